use scheduler_core::prelude::*;

#[job(cron = "0 0 2 * * ?", every = "10s")]
async fn nightly() {}

fn main() {}
