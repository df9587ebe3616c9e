use scheduler_core::prelude::*;

#[job(retry)]
async fn nothing() {}

#[job(retry())]
async fn empty() {}

#[job(retry = "3")]
async fn text() {}

#[job(retry = "fixed(30s)")]
async fn backoff_alone() {}

#[job(retry = true)]
async fn flag() {}

#[job(retry = -1)]
async fn negative() {}

#[job(retry = 4294967296)]
async fn overflow() {}

#[job(retry(3))]
async fn bare_number() {}

#[job(retry(max = "3"))]
async fn max_text() {}

#[job(retry(max))]
async fn max_alone() {}

#[job(retry(max = 3, backoff = exponential(15s, 1h)))]
async fn backoff_without_quotes() {}

#[job(retry(backoff = 30))]
async fn backoff_number() {}

#[job(retry(backoff("30s")))]
async fn backoff_list() {}

#[job(retry = 3, retry(max = 4))]
async fn twice() {}

fn main() {}
