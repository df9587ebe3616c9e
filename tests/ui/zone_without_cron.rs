use scheduler_core::prelude::*;

#[job(every = "10s", time_zone = "Europe/Berlin")]
async fn nightly() {}

fn main() {}
