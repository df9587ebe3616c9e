use scheduler_core::prelude::*;

#[job(durable, durable)]
async fn twice() {}

#[job(timeout = "5s", timeout = "6s", timeout = "7s")]
async fn thrice() {}

#[job(durable = false)]
async fn flag_value() {}

#[job(cron)]
async fn no_value() {}

#[job(cron = )]
async fn nothing_behind() {}

#[job(cron: "0 0 2 * * ?")]
async fn colon() {}

#[job(cron("0 0 2 * * ?"))]
async fn list() {}

#[job("0 0 2 * * ?")]
async fn bare_text() {}

#[job = "0 0 2 * * ?"]
async fn equals() {}

#[job(durable,,)]
async fn commas() {}

#[job(durable; timeout = "5s")]
async fn semicolon() {}

#[job(5)]
async fn number() {}

#[job(Cron = "0 0 2 * * ?")]
async fn capital() {}

#[job(CRON = "0 0 2 * * ?")]
async fn capitals() {}

#[job(time-zone = "UTC", cron = "0 0 2 * * ?")]
async fn hyphen() {}

#[job(tz = "UTC", cron = "0 0 2 * * ?")]
async fn short() {}

#[job(interval = "5s")]
async fn interval() {}

#[job(async = true)]
async fn keyword() {}

#[job(scheduler::cron = "0 0 2 * * ?")]
async fn path() {}

#[job(retries = 3, max_retries = 3, backoff = "5s", concurrency = 1, lock = "x", once, immediate, run_at = "x", at = "x", start = "x", tags = "x", id = "x", args = "x", misfire = "x", catch_up, on_error = "x", dedupe, unique_for = "5s", max_attempts = 3, attempts = 3)]
async fn others() {}

fn main() {}
