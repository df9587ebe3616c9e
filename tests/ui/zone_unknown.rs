use scheduler_core::prelude::*;

#[job(cron = "0 0 2 * * ?", time_zone = "Europe/Berln")]
async fn nightly() {}

fn main() {}
