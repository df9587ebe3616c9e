use scheduler_core::prelude::*;

#[job(cron = "0 0 0 31 2 ?")]
async fn nightly() {}

fn main() {}
