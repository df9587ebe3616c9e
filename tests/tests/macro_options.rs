//! Options of `#[job]` that need a calendar to be there; apart, since every job of a binary is discovered.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use scheduler_core::job::{JobDetail, JobError};
use scheduler_core::prelude::*;

#[job(
    every = "1h",
    calendar = "workdays",
    misfire = "skip",
    overlap = "cancel_previous",
    queue = "reports",
    persist_data,
    requests_recovery,
    log,
    delivery = "at_most_once"
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

#[job(retry(
    max = 2,
    backoff = "exponential(1s, 1m, 1.5)",
    jitter = 0.3,
    within = "3d",
    on = "failed, timed_out",
    progress = "resets"
))]
async fn retry_by_all() {}

#[job(retry(backoff = "hangfire", jitter = 0, on = "lost"))]
async fn retry_by_preset() {}

/// What goes wrong when a letter is sent.
#[derive(Debug)]
enum SendError {
    Busy,
    NoSuchAddress,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for SendError {}

impl SendError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

fn never(_: &JobError) -> bool {
    false
}

#[job(retry(max = 2, backoff = "fixed(1m)", when = SendError::is_transient))]
async fn send(address: u32) -> Result<(), SendError> {
    match address {
        0 => Err(SendError::Busy),
        1 => Err(SendError::NoSuchAddress),
        _ => Ok(()),
    }
}

#[job(blocking, retry(max = 2, when = never))]
fn file(number: u32) -> JobResult {
    match number {
        0 => Err(JobError::new("no")),
        _ => Err(JobError::discard("of no interest")),
    }
}

#[derive(serde::Serialize, serde::Deserialize, Job)]
#[job(retry(max = 2, backoff = "fixed(30s)"))]
struct Retried;

impl Retried {
    async fn execute(self) {}
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Order {
    number: u64,
    lines: Vec<String>,
    from: Place,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Place {
    city: String,
}

impl Order {
    fn of(number: u64, line: &str) -> Self {
        Self { number, lines: vec![line.to_owned()], from: Place { city: "Ulm".to_owned() } }
    }

    const fn half(&self) -> u64 {
        self.number / 2
    }

    fn merge(mut self, new: Self) -> Self {
        self.lines.extend(new.lines);
        self
    }
}

#[job(unique)]
async fn unique_job() {}

#[job(unique(key = "number"))]
async fn unique_by_value(number: u64) {
    assert!(number > 0);
}

#[job(unique(key = ["number", "from.city"], while = "queued", on_conflict = "replace"))]
async fn unique_by_fields(order: Order) {
    drop(order);
}

#[job(unique(key = Order::half, on_conflict = "refuse"))]
async fn unique_by_function(order: Order) {
    drop(order);
}

#[job(unique(key = "number", merge = Order::merge))]
async fn unique_merged(order: Order) {
    drop(order);
}

#[job(debounce(key = "number", quiet = "5s", at_most = "1m"))]
async fn debounced(order: Order) {
    drop(order);
}

#[derive(serde::Serialize, serde::Deserialize, Job)]
#[job(unique(key = "number", for = "1h", across = "jobs"))]
struct UniqueStruct {
    number: u64,
}

impl UniqueStruct {
    #[allow(clippy::unused_async, reason = "a job")]
    async fn execute(self) {}
}

/// The keys of the runs that a client has stored, which knows no job but by its code.
#[tokio::test]
async fn keys_of_unique_runs() {
    use scheduler_core::Client;
    use scheduler_core::client::EnqueueOutcome;
    use scheduler_core::store::{MemoryJobStore, RunQuery};

    let client = Client::new(MemoryJobStore::new());
    let keys = async || {
        let runs = client.all_runs(RunQuery::default()).await.unwrap();
        runs.into_iter().map(|run| run.key.unwrap().to_string()).collect::<Vec<_>>()
    };
    let order = Order::of(7, "a");
    client.enqueue(unique_job::with()).await.unwrap();
    client.enqueue(unique_by_value::with(3)).await.unwrap();
    client.enqueue(unique_by_fields::with(order.clone())).await.unwrap();
    client.enqueue(unique_by_function::with(order.clone())).await.unwrap();
    client.enqueue(debounced::with(order.clone())).await.unwrap();
    client.enqueue(UniqueStruct { number: 9 }).await.unwrap();
    let mut found = keys().await;
    found.sort_unstable();
    assert_eq!(found, ["3", "3", "7", "7/Ulm", "9", "unique_job"]);
    let again = client.enqueue(UniqueStruct { number: 9 }).outcome().await.unwrap();
    assert!(matches!(again, EnqueueOutcome::Existing(_)));
    let error = client.enqueue(unique_by_function::with(Order::of(6, "b"))).await.unwrap_err();
    assert!(error.to_string().contains("has the key"), "{error}");
    let first = client.enqueue(unique_merged::with(order)).await.unwrap();
    let merged = client.enqueue(unique_merged::with(Order::of(7, "b"))).outcome().await.unwrap();
    assert_eq!(merged, EnqueueOutcome::Replaced(first));
    let run = client.all_runs(RunQuery::one(first)).await.unwrap().remove(0);
    assert_eq!(run.data.to_args::<Order>().unwrap().lines, ["a", "b"]);
}

#[test]
fn retry_policies() {
    use std::time::Duration;

    use scheduler_core::run::{Backoff, FailureKind, RetryPolicy};

    let policy = |max, backoff: &str| RetryPolicy::new(max, backoff.parse::<Backoff>().unwrap());
    let all =
        policy(2, "exponential(1s, 1m, 1.5)").jitter(0.3).unwrap().within(Duration::from_secs(3 * 86_400));
    for (detail, expected) in [
        (retry_by_number::detail(), policy(3, "exponential(15s, 6h)")),
        (retry_by_max::detail(), policy(0, "exponential(15s, 6h)")),
        (retry_by_backoff::detail(), policy(10, "fixed(1ms)")),
        (retry_by_both::detail(), policy(u32::MAX, "exponential(15s, 90m)")),
        (retry_by_all::detail(), all.on([FailureKind::Failed, FailureKind::TimedOut]).reset_by_progress()),
        (retry_by_preset::detail(), policy(10, "hangfire").jitter(0.0).unwrap().on([FailureKind::Lost])),
        (send::detail(), policy(2, "fixed(1m)")),
        (Retried::detail(), policy(2, "fixed(30s)")),
    ] {
        assert_eq!(detail.retry(), Some(&expected));
    }
    assert_eq!(all_options::detail().retry(), None);
    assert_eq!(retry_by_number::with().detail().retry(), retry_by_number::detail().retry());
}

#[tokio::test]
async fn errors_are_retried_if_when_says_so() {
    use scheduler_core::run::RunEnd;
    use scheduler_core::store::RunQuery;
    use scheduler_core::testing::TestScheduler;

    let builder = Scheduler::builder().register(send::definition()).register(file::definition());
    let test = TestScheduler::start("2026-03-01T00:00:00Z", builder).await.unwrap();
    for (job, attempts, end) in [
        (send::with(0), 3, Some(RunEnd::Dead)),
        (send::with(1), 1, Some(RunEnd::Dead)),
        (send::with(2), 1, None),
        (file::with(0), 1, Some(RunEnd::Dead)),
        (file::with(1), 1, None),
    ] {
        let shown = format!("{job:?}");
        let before = test.fired().len();
        let run = test.scheduler().enqueue(job).await.unwrap();
        test.drain().await;
        assert_eq!(test.fired().len() - before, attempts, "{shown}");
        let stored = test.scheduler().all_runs(RunQuery::one(run)).await.unwrap();
        assert_eq!(stored.first().and_then(|run| run.end), end, "{shown}");
    }
}

#[test]
fn options_of_triggers_and_details() {
    use scheduler_core::run::Delivery;
    use scheduler_core::trigger::{Misfire, OverlapPolicy};

    let definition = all_options::definition();
    assert!(definition.detail().persist_data() && definition.detail().requests_recovery());
    assert!(definition.detail().log() && !queue_by_alias::detail().log());
    let deliveries = [definition.detail(), queue_by_alias::detail()].map(JobDetail::delivery);
    assert_eq!(deliveries, [Delivery::AtMostOnce, Delivery::AtLeastOnce]);
    let now = "2026-03-01T00:00:00Z".parse().unwrap();
    let trigger = definition.triggers()[0].clone().name("t").for_job("all_options").build(now).unwrap();
    assert_eq!((trigger.calendar(), trigger.misfire()), (Some("workdays"), Misfire::Skip));
    assert_eq!(trigger.overlap(), OverlapPolicy::CancelPrevious);
    assert_eq!(definition.detail().queue().map(|queue| &**queue), Some("reports"));
    assert_eq!(queue_by_alias::detail().queue(), definition.detail().queue());
}
