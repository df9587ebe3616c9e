use scheduler_core::prelude::*;

#[job(retry(max = 3, backoff = "exponental(15s, 1h)"))]
async fn mistyped() {}

#[job(retry(backoff = "fibonacci(15s, 1h)"))]
async fn unknown() {}

#[job(retry(backoff = "30s"))]
async fn duration_alone() {}

#[job(retry(backoff = ""))]
async fn empty() {}

#[job(retry(backoff = "exponential(15s)"))]
async fn one_duration() {}

#[job(retry(backoff = "fixed(15s, 1h)"))]
async fn two_durations() {}

#[job(retry(backoff = "fixed(15 minutes)"))]
async fn unit() {}

#[job(retry(backoff = "exponential(15, 1h)"))]
async fn no_unit() {}

#[job(retry(backoff = "exponential(2h, 1h)"))]
async fn base_beyond_cap() {}

#[job(retry(backoff = "fixed(10us)"))]
async fn too_short() {}

#[job(retry(backoff = "fixed(30s"))]
async fn not_closed() {}

#[derive(serde::Serialize, serde::Deserialize, Job)]
#[job(retry(max = 3, backoff = "fixed(0s)"))]
struct Derived;

impl Derived {
    async fn execute(self) {}
}

fn main() {}
