use scheduler_core::prelude::*;

#[job(cron = "0 0 2 1 13 ?")]
async fn nightly() {}

fn main() {}
