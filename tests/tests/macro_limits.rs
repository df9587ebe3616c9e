//! The limits, sequences and fair keys that `#[job]` declares; apart, since every job of a binary is discovered.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scheduler_core::JobData;
use scheduler_core::job::{IntoInvocation, Invocation, JobError};
use scheduler_core::prelude::*;
use scheduler_core::run::{RunState, Sequence};
use scheduler_core::store::RunQuery;
use scheduler_core::testing::TestScheduler;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default)]
struct Began(Arc<AtomicUsize>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    tenant: u64,
    size: u64,
}

impl Letter {
    fn tenant(&self) -> u64 {
        self.tenant
    }

    fn account(&self) -> String {
        format!("{}/{}", self.tenant, self.size)
    }

    fn half(&self) -> u64 {
        self.size / 2
    }
}

async fn work(began: &Began, context: &JobContext) {
    began.0.fetch_add(1, Ordering::SeqCst);
    context.clock().sleep(Duration::from_secs(60)).await;
}

#[job(limit(key = "tenant", max = 2))]
async fn by_field(letter: Letter, State(began): State<Began>, context: JobContext) {
    let _ = letter;
    work(&began, &context).await;
}

#[job(limit(key = Letter::tenant, max = 3, name = "heavy", weight = Letter::half))]
async fn by_function(letter: Letter, State(began): State<Began>, context: JobContext) {
    let _ = letter;
    work(&began, &context).await;
}

#[job(limit(max = 4, weight = 2), limit(name = "all", key = ["tenant", "size"], max = 4, weight = "size"))]
async fn by_two(letter: Letter, State(began): State<Began>, context: JobContext) {
    let _ = letter;
    work(&began, &context).await;
}

#[job(limit(max = 1))]
async fn alone(State(began): State<Began>, context: JobContext) {
    work(&began, &context).await;
}

#[job(rate = "2/1h")]
async fn rated(State(began): State<Began>, context: JobContext) {
    work(&began, &context).await;
}

#[job(rate("10/1h", key = "tenant", name = "calls", cost = 5, burst = 5))]
async fn smooth(letter: Letter, State(began): State<Began>, context: JobContext) {
    let _ = letter;
    work(&began, &context).await;
}

#[job(sequence(key = "tenant"))]
async fn in_sequence(letter: Letter, State(began): State<Began>, context: JobContext) {
    let _ = letter;
    work(&began, &context).await;
}

#[job(sequence)]
async fn one_sequence(State(began): State<Began>, context: JobContext) {
    work(&began, &context).await;
}

#[job(sequence(key = ["tenant", "size"], across = "jobs"))]
async fn debit(letter: Letter, State(began): State<Began>, context: JobContext) {
    let _ = letter;
    work(&began, &context).await;
}

#[job(sequence(key = Letter::account, across = "jobs"))]
async fn credit(letter: Letter, State(began): State<Began>, context: JobContext) {
    let _ = letter;
    work(&began, &context).await;
}

#[job(retry = 0, sequence(key = "number", on_dead = "halt"))]
async fn halts(number: u64) -> JobResult {
    Err(JobError::from(std::io::Error::other(format!("no {number}"))))
}

#[job(queue = "letters", fair(key = "tenant"))]
async fn in_turn(letter: Letter) {
    let _ = letter;
}

#[job(fair(key = ["tenant", "size"]))]
async fn in_turn_by_two(letter: Letter) {
    let _ = letter;
}

#[job(fair(key = Letter::account))]
async fn in_turn_by_function(letter: Letter) {
    let _ = letter;
}

#[job(retry = 0, sequence(key = "number"))]
async fn goes_on(number: u64) -> JobResult {
    Err(JobError::from(std::io::Error::other(format!("no {number}"))))
}

#[derive(Debug, Serialize, Deserialize, Job)]
#[job(limit(key = "0", max = 1))]
struct Derived(u64);

impl Derived {
    async fn execute(self, State(began): State<Began>, context: JobContext) {
        work(&began, &context).await;
    }
}

async fn start() -> (TestScheduler, Began) {
    let began = Began::default();
    let builder = Scheduler::builder().provide(began.clone()).discover_jobs();
    (TestScheduler::start("2026-03-01T00:00:00Z", builder).await.unwrap(), began)
}

fn letter(tenant: u64, size: u64) -> Letter {
    Letter { tenant, size }
}

/// How many of these begin at once.
async fn begin(jobs: Vec<Invocation>) -> usize {
    let (test, began) = start().await;
    for job in jobs {
        test.scheduler().enqueue(job).await.unwrap();
    }
    test.run_due().await;
    let at_once = began.0.load(Ordering::SeqCst);
    test.drain().await;
    let left = test.scheduler().all_runs(RunQuery::default()).await.unwrap();
    assert!(left.iter().all(|run| run.state == RunState::Ended), "{left:?}");
    at_once
}

#[tokio::test]
async fn runs_are_limited_as_their_job_declares() {
    let two_tenants =
        |job: fn(Letter) -> Invocation, size| [1, 1, 1, 2].map(|tenant| job(letter(tenant, size))).to_vec();
    assert_eq!(begin(two_tenants(by_field::with, 1)).await, 3);
    assert_eq!(begin(two_tenants(by_function::with, 4)).await, 2, "each counts as two of three");
    assert_eq!(begin(two_tenants(by_two::with, 3)).await, 2);
    assert_eq!(begin(vec![alone::with(); 3]).await, 1);
    assert_eq!(begin(vec![rated::with(); 3]).await, 2);
    assert_eq!(begin(two_tenants(smooth::with, 1)).await, 2);
    assert_eq!(begin(two_tenants(in_sequence::with, 1)).await, 2);
    assert_eq!(begin(vec![one_sequence::with(); 3]).await, 1);
    let derived = [1, 1, 2].map(|number| Derived(number).into_invocation());
    assert_eq!(begin(derived.to_vec()).await, 2);
}

#[tokio::test]
async fn sequences_of_several_jobs_are_one() {
    // A key of two fields is another one than the text of both.
    let jobs = vec![debit::with(letter(1, 2)), debit::with(letter(1, 2)), credit::with(letter(1, 2))];
    assert_eq!(begin(jobs).await, 2);
}

#[tokio::test]
async fn a_dead_run_halts_its_sequence_if_the_job_says_so() {
    let (test, _) = start().await;
    for job in [halts::with(1), halts::with(1), halts::with(2), goes_on::with(1), goes_on::with(1)] {
        test.scheduler().enqueue(job).await.unwrap();
    }
    test.run_due().await;
    let runs = test.scheduler().all_runs(RunQuery::default()).await.unwrap();
    let waiting: Vec<_> = runs.iter().filter(|run| run.state != RunState::Ended).collect();
    assert!(matches!(&*waiting, [run] if run.job.name() == "halts" && run.behind.is_some()), "{runs:?}");
}

#[tokio::test]
async fn a_call_and_a_scheduler_that_knows_the_job_by_name_take_its_limits_and_sequence() {
    let (test, began) = start().await;
    let scheduler = test.scheduler();
    for _ in 0..2 {
        scheduler.trigger_job(&one_sequence::key(), JobData::new()).await.unwrap();
        scheduler.trigger_job(&alone::key(), JobData::new()).await.unwrap();
    }
    test.run_due().await;
    assert_eq!(began.0.load(Ordering::SeqCst), 2);
    // A sequence of the call takes the place of that of the job.
    scheduler.enqueue(one_sequence::with()).sequence(Sequence::of("other")).await.unwrap();
    test.run_due().await;
    assert_eq!(began.0.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_weight_that_no_limit_allows_is_refused_by_the_call() {
    let (test, _) = start().await;
    let refused = test.scheduler().enqueue(by_two::with(letter(1, 5))).await.unwrap_err().to_string();
    assert!(refused.contains("limit `all` allows 4 and the weight of the run is 5"), "{refused}");
}

#[tokio::test]
async fn fair_keys_are_made_of_the_argument_or_given_by_the_call() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let key = async |call: scheduler_core::client::Enqueue<'_>| {
        let run = call.delay(Duration::from_secs(60)).await.unwrap();
        scheduler.all_runs(RunQuery::one(run)).await.unwrap()[0].fair.clone()
    };
    let letter = || letter(17, 2);
    assert_eq!(key(scheduler.enqueue(in_turn::with(letter()))).await.as_deref(), Some("17"));
    assert_eq!(key(scheduler.enqueue(in_turn_by_two::with(letter()))).await.as_deref(), Some("17/2"));
    let by_function = scheduler.enqueue(in_turn_by_function::with(letter()));
    assert_eq!(key(by_function).await.as_deref(), Some("17\\/2"), "one part, whatever is in it");
    let call = scheduler.enqueue(in_turn::with(letter())).fair("");
    assert_eq!(key(call).await.as_deref(), Some(""), "that of the call comes first");
    assert_eq!(key(scheduler.enqueue(alone::with())).await, None);
    let started = scheduler.trigger_job(&in_turn::key(), JobData::new()).await.unwrap_err().to_string();
    assert!(started.contains("argument"), "{started}");
}
