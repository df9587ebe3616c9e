use scheduler_core::prelude::*;

#[job(cron = "0 30 2 ? * MOM-FRI")]
async fn nightly() {}

fn main() {}
