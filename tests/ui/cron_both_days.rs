use scheduler_core::prelude::*;

#[job(cron = "0 30 2 1 * 2")]
async fn nightly() {}

fn main() {}
