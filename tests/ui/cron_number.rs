use scheduler_core::prelude::*;

#[job(cron = 5)]
async fn nightly() {}

fn main() {}
