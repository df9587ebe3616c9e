
use scheduler_core::prelude::*;

#[job(cron = "0 0 2 * * ?", overlap = "skipp", misfire = "later")]
async fn nightly() {}

#[job(queue = "reports", overlap = "skip")]
async fn report() {}

fn main() {}
