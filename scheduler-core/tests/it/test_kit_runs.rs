//! The test kit on promised work: what waits, what fails because a test says so, how a drain has ended.

use std::time::Duration;

use scheduler_core::job::{JobContext, JobError};
use scheduler_core::prelude::*;
use scheduler_core::run::{Limit, WhenFull};
use scheduler_core::testing::{TestScheduler, assert_dead, assert_enqueued, assert_fired, assert_limited};
use serde::{Deserialize, Serialize};

use crate::retrying::NOW;
use crate::test_kit::said;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    tenant: String,
    pages: u32,
}

fn letter(tenant: &str, pages: u32) -> Letter {
    Letter { tenant: tenant.to_owned(), pages }
}

#[job(retry(max = 2, backoff = "fixed(1m)"))]
async fn post(letter: Letter, context: JobContext) -> JobResult {
    let _ = letter;
    context.clock().sleep(Duration::from_secs(10)).await;
    Ok(())
}

async fn started() -> TestScheduler {
    TestScheduler::start(NOW, Scheduler::builder().register(post::definition())).await.unwrap()
}

#[tokio::test]
async fn waiting_runs_are_found_by_what_is_in_their_argument() {
    let test = started().await;
    for (tenant, pages) in [("a", 1), ("a", 2), ("b", 3)] {
        test.scheduler()
            .enqueue(post::with(letter(tenant, pages)))
            .delay(Duration::from_secs(60))
            .await
            .unwrap();
    }
    assert_enqueued!(test, post::key(), 2, where |letter: &Letter| letter.tenant == "a");
    assert_enqueued!(test, "post", where |letter: &Letter| letter.pages == 3);
    let none =
        said(async { assert_enqueued!(test, post::key(), where |letter: &Letter| letter.pages > 3) }).await;
    assert!(none.starts_with("0 waiting runs of `post` are meant, not some; there are"), "{none}");
    let other =
        said(async { assert_enqueued!(test, post::key(), 3, where |letter: &Letter| letter.tenant == "a") })
            .await;
    assert!(other.starts_with("2 waiting runs of `post` are meant, not 3; there are"), "{other}");
    let wrong = said(async { assert_enqueued!(test, post::key(), where |number: &u32| *number == 3) }).await;
    assert!(wrong.starts_with("the argument of a run of `post` cannot be read:"), "{wrong}");
}

#[tokio::test]
async fn an_attempt_fails_because_the_test_says_so_and_a_drain_counts_all() {
    let test = started().await;
    let call = || post::with(letter("a", 1));
    test.fail_next(post::key(), JobError::new("no route"));
    test.fail_next("post", JobError::snooze(Duration::from_secs(5)));
    test.scheduler().enqueue(call()).await.unwrap();
    let drained = test.drain().await;
    assert_eq!((drained.failed, drained.snoozed, drained.succeeded, drained.dead), (1, 1, 1, 0));
    assert_fired!(test, post::key(), 3);

    (0..3).for_each(|_| test.fail_next(post::key(), JobError::new("no route to the server")));
    test.fail_next(post::key(), JobError::discard("not worth it"));
    test.scheduler().enqueue(call()).await.unwrap();
    let drained = test.drain().await;
    assert_eq!((drained.failed, drained.dead, drained.succeeded), (3, 1, 0));
    assert_dead!(test, post::key(), "no route to the server");
    test.scheduler()
        .enqueue(call())
        .expires(Duration::from_secs(30))
        .delay(Duration::from_secs(5))
        .await
        .unwrap();
    let drained = test.drain().await;
    assert_eq!((drained.discarded, drained.dead), (1, 0), "{drained:?}");
}

#[tokio::test]
async fn a_run_that_waits_at_a_limit_is_found_and_so_is_one_that_was_superseded() {
    let test = started().await;
    let limit = || Limit::new("post office", 1);
    for _ in 0..2 {
        test.scheduler().enqueue(post::with(letter("a", 1))).limit(limit()).await.unwrap();
    }
    test.run_due().await;
    assert_limited!(test, post::key());
    assert_limited!(test, "post", "post office");
    let other = said(async { assert_limited!(test, post::key(), "bank") }).await;
    assert!(
        other.starts_with("no run of `post` waits at a limit `bank`; what its runs wait for is"),
        "{other}"
    );
    assert!(other.contains("limit `post office` has no room"), "{other}");
    let skipping = limit().when_full(WhenFull::Skip);
    test.scheduler().enqueue(post::with(letter("b", 1))).limit(skipping).await.unwrap();
    let drained = test.drain().await;
    assert_eq!((drained.succeeded, drained.superseded), (2, 1));
    let none = said(async { assert_limited!(test, post::key()) }).await;
    assert!(none.ends_with("nothing"), "{none}");
}

#[tokio::test]
async fn a_batch_shows_its_counters() {
    let test = started().await;
    let batch = test.scheduler().batch("letters").open().await.unwrap();
    batch.add_all((0..3).map(|pages| post::with(letter("a", pages)))).await.unwrap();
    assert_eq!((test.batch(&batch).await.counts.pending, test.batch(&batch).await.is_sealed), (3, false));
    batch.seal().await.unwrap();
    test.drain().await;
    let state = test.batch(&batch).await;
    assert_eq!((state.counts.pending, state.counts.succeeded, state.is_sealed), (0, 3, true));
}
