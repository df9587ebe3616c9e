use scheduler_core::job::JobError;
use scheduler_core::prelude::*;

#[job(retry(max = 3, max = 4))]
async fn max_twice() {}

#[job(retry(backoff = "fixed(30s)", max = 3, backoff = "fixed(1m)"))]
async fn backoff_twice() {}

#[job(retry(maks = 3, backof = "fixed(30s)"))]
async fn mistyped() {}

#[job(retry(attempts = 4, delay = "30s", cap = "1h", factor = 2, deadline = "3d"))]
async fn of_others() {}

#[job(retry(max = 0, backoff = "fixed(30s)"))]
async fn never_with_a_backoff() {}

#[job(retry(max = 0, jitter = 0.5, within = "3d", on = "failed", when = never))]
async fn never_with_everything() -> JobResult {
    Ok(())
}

fn never(_: &JobError) -> bool {
    false
}

fn main() {}
