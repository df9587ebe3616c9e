use scheduler_core::prelude::*;

#[job(retry(jitter = 1.5))]
async fn jitter_too_large() {}

#[job(retry(jitter = 30))]
async fn jitter_in_percent() {}

#[job(retry(jitter = -0.1))]
async fn jitter_negative() {}

#[job(retry(jitter = "0.3"))]
async fn jitter_text() {}

#[job(retry(jitter))]
async fn jitter_alone() {}

#[job(retry(within = 3))]
async fn within_number() {}

#[job(retry(within = "3 days"))]
async fn within_unit() {}

#[job(retry(within = "0s"))]
async fn within_nothing() {}

#[job(retry(on = "failed, timeout"))]
async fn on_mistyped() {}

#[job(retry(on = ""))]
async fn on_nothing() {}

#[job(retry(on = failed))]
async fn on_without_quotes() {}

#[job(retry(on = "lost, lost"))]
async fn on_twice() {}

#[job(retry(backoff = "exponential(1s, 1h, 0.5)"))]
async fn factor_too_small() {}

#[job(retry(backoff = "delays()"))]
async fn no_delays() {}

#[job(retry(backoff = "sidekiq(1s)"))]
async fn preset_with_parentheses() {}

fn main() {}
