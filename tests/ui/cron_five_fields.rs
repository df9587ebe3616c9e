use scheduler_core::prelude::*;

#[job(cron = "30 2 * * *")]
async fn nightly() {}

fn main() {}
