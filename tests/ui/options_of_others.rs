use scheduler_core::prelude::*;

#[job(max_attempts = 3, dedupe, workers = 4, max_concurrent = 2)]
async fn send() {}

#[job(schedule = "0 0 2 * * ?", timezone = "UTC", priority = 3, rate_limit = "10/s", delay = "5s", max_instances = 1)]
async fn nightly() {}

fn main() {}
