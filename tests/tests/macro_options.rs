//! Options of `#[job]` that need a calendar to be there; apart, since every job of a binary is discovered.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use scheduler_core::prelude::*;

#[job(
    every = "1h",
    calendar = "workdays",
    misfire = "skip",
    overlap = "cancel_previous",
    queue = "reports",
    persist_data,
    requests_recovery
)]
async fn all_options() {}

#[job(execution_group = "reports")]
async fn queue_by_alias() {}

#[job(retry = 3)]
async fn retry_by_number() {}

#[job(retry(max = 0))]
async fn retry_by_max() {}

#[job(retry(backoff = "fixed(1ms)"))]
async fn retry_by_backoff() {}

#[job(retry(backoff = " exponential(15s, 1h30m) ", max = 4_294_967_295,))]
async fn retry_by_both() {}

#[derive(serde::Serialize, serde::Deserialize, Job)]
#[job(retry(max = 2, backoff = "fixed(30s)"))]
struct Retried;

impl Retried {
    async fn execute(self) {}
}

#[test]
fn retry_policies() {
    use scheduler_core::run::{Backoff, RetryPolicy};

    let policy = |max, backoff: &str| Some(RetryPolicy::new(max, backoff.parse::<Backoff>().unwrap()));
    assert_eq!(retry_by_number::detail().retry(), policy(3, "exponential(15s, 6h)"));
    assert_eq!(retry_by_max::detail().retry(), policy(0, "exponential(15s, 6h)"));
    assert_eq!(retry_by_backoff::detail().retry(), policy(10, "fixed(1ms)"));
    assert_eq!(retry_by_both::detail().retry(), policy(u32::MAX, "exponential(15s, 90m)"));
    assert_eq!(Retried::detail().retry(), policy(2, "fixed(30s)"));
    assert_eq!(all_options::detail().retry(), None);
    assert_eq!(retry_by_number::with().detail().retry(), retry_by_number::detail().retry());
}

#[test]
fn options_of_triggers_and_details() {
    use scheduler_core::trigger::{Misfire, OverlapPolicy};

    let definition = all_options::definition();
    assert!(definition.detail().persist_data() && definition.detail().requests_recovery());
    let now = "2026-03-01T00:00:00Z".parse().unwrap();
    let trigger = definition.triggers()[0].clone().name("t").for_job("all_options").build(now).unwrap();
    assert_eq!((trigger.calendar(), trigger.misfire()), (Some("workdays"), Misfire::Skip));
    assert_eq!(trigger.overlap(), OverlapPolicy::CancelPrevious);
    assert_eq!(definition.detail().queue().map(|queue| &**queue), Some("reports"));
    assert_eq!(queue_by_alias::detail().queue(), definition.detail().queue());
}
