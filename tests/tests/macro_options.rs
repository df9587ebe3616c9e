//! Options of `#[job]` that need a calendar to be there; apart, since every job of a binary is discovered.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use scheduler_core::prelude::*;

#[job(
    every = "1h",
    calendar = "workdays",
    misfire = "skip",
    overlap = "cancel_previous",
    execution_group = "reports",
    persist_data,
    requests_recovery
)]
async fn all_options() {}

#[test]
fn options_of_triggers_and_details() {
    use scheduler_core::trigger::{Misfire, OverlapPolicy};

    let definition = all_options::definition();
    assert!(definition.detail().persist_data() && definition.detail().requests_recovery());
    let now = "2026-03-01T00:00:00Z".parse().unwrap();
    let trigger = definition.triggers()[0].clone().name("t").for_job("all_options").build(now).unwrap();
    assert_eq!((trigger.calendar(), trigger.misfire()), (Some("workdays"), Misfire::Skip));
    assert_eq!(trigger.overlap(), OverlapPolicy::CancelPrevious);
    assert_eq!(definition.detail().execution_group().map(|group| &**group), Some("reports"));
}
