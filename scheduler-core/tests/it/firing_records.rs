//! Firing records of a scheduler: what each attempt and each occurrence leaves.

use std::time::Duration;

use scheduler_core::job::{JobContext, JobDefinition, JobDetail, JobError, Outcome};
use scheduler_core::run::{Backoff, FiringCause, RetryPolicy, RunId};
use scheduler_core::scheduler::TriggerListener;
use scheduler_core::store::{
    Complete, Completion, Executions, FiringCursor, FiringOutcome, FiringQuery, FiringReason, FiringRecord,
    JobStore, MemoryJobStore, Node, Queries, QueueFilter,
};
use scheduler_core::testing::{Fault, FaultyStore, Verb};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::{Misfire, OverlapPolicy, Trigger};
use scheduler_core::{JobData, Matcher, Scheduler};

const NOW: &str = "2026-03-01T00:00:00Z";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

fn once(name: &str) -> Trigger {
    Trigger::after(seconds(1)).name(name).for_job(name).build(NOW.parse().unwrap()).unwrap()
}

async fn fails() -> Result<(), JobError> {
    Err(JobError::new("no route to the bank"))
}

async fn panics() {
    panic!("empty");
}

async fn deaf(context: JobContext) {
    context.clock().sleep(seconds(3600)).await;
}

async fn stays(context: JobContext) -> Result<(), JobError> {
    let token = context.cancellation();
    token.run_until_cancelled(context.clock().sleep(seconds(3600))).await;
    Err(JobError::new("stopped in the middle"))
}

struct Refuses;

impl TriggerListener for Refuses {
    async fn veto(&self, context: &JobContext) -> bool {
        context.job_key().name() == "refused"
    }
}

/// What people look for in a record.
fn told(record: &FiringRecord) -> (&str, FiringCause, FiringOutcome, Option<FiringReason>) {
    (record.job.name(), record.cause, record.outcome, record.reason)
}

async fn of_job(scheduler: &Scheduler, job: &str) -> Vec<FiringRecord> {
    let mut records =
        scheduler.all_firings(FiringQuery::default().of_job(job.parse().unwrap())).await.unwrap();
    records.reverse();
    records
}

#[tokio::test]
async fn each_outcome_has_its_record() {
    let clock = ManualClock::at(NOW);
    let timed = detail("slow").to_builder().timeout(seconds(5)).build();
    let queued = detail("works").to_builder().queue("mail").build();
    let define = |detail: JobDetail, name: &str| (detail, once(name).to_builder());
    let (works, trigger) = define(queued, "works");
    let builder = Scheduler::builder()
        .clock(clock.clone())
        .node_name("n1")
        .store(MemoryJobStore::keeping_history(100))
        .trigger_listener(Matcher::Everything, Refuses)
        .register(JobDefinition::new(works, async || {}).with_trigger(trigger))
        .register(JobDefinition::new(detail("fails"), fails).with_trigger(once("fails").to_builder()))
        .register(JobDefinition::new(detail("panics"), panics).with_trigger(once("panics").to_builder()))
        .register(JobDefinition::new(timed, deaf).with_trigger(once("slow").to_builder()))
        .register(JobDefinition::new(detail("stopped"), stays).with_trigger(once("stopped").to_builder()))
        .register(
            JobDefinition::new(detail("refused"), async || {}).with_trigger(once("refused").to_builder()),
        );
    let scheduler = builder.build().unwrap();
    scheduler.start().await.unwrap();
    clock.advance(seconds(2)).await;
    scheduler.cancel(Executions::OfJob("stopped".parse().unwrap())).await.unwrap();
    clock.advance(seconds(60)).await;
    use FiringOutcome::*;
    for (job, outcome, reason) in [
        ("works", Succeeded, None),
        ("fails", Failed, None),
        ("panics", Panicked, None),
        ("slow", TimedOut, None),
        ("stopped", Cancelled, Some(FiringReason::Requested)),
        ("refused", NotRun, Some(FiringReason::Vetoed)),
    ] {
        let records = of_job(&scheduler, job).await;
        assert_eq!(
            records.iter().map(told).collect::<Vec<_>>(),
            [(job, FiringCause::Schedule, outcome, reason)]
        );
        let record = &records[0];
        let (execution, run) = (record.execution.unwrap(), record.run.unwrap());
        assert_eq!(run, RunId::new(execution.session(), execution.count()), "that of its first claim");
        assert_eq!((record.session, record.attempt), (execution.session(), 1));
        assert_eq!(record.trigger.as_ref().unwrap().name(), job);
        assert_eq!((record.job_type.as_deref(), record.node.as_deref()), (Some(job), Some("n1")));
        assert_eq!((record.scheduled, record.began), (once("x").start(), Some(once("x").start())));
    }
    let works = of_job(&scheduler, "works").await.remove(0);
    assert_eq!((works.queue.as_deref(), works.failure), (Some("mail"), None));
    let failed = of_job(&scheduler, "fails").await.remove(0);
    assert_eq!(failed.failure.as_deref(), Some("no route to the bank"));
    let slow = of_job(&scheduler, "slow").await.remove(0);
    assert_eq!((slow.ended - slow.began.unwrap()).num_seconds(), 5);
    scheduler.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn the_attempts_of_a_run_are_found_by_the_run() {
    let clock = ManualClock::at(NOW);
    let policy = RetryPolicy::new(1, Backoff::fixed(seconds(60)).unwrap());
    let retried = detail("fails").to_builder().retry(policy).build();
    let builder = Scheduler::builder()
        .clock(clock.clone())
        .store(MemoryJobStore::keeping_history(100))
        .register(JobDefinition::new(retried.clone(), fails).with_trigger(once("fails").to_builder()));
    let scheduler = builder.build().unwrap();
    scheduler.start().await.unwrap();
    let enqueued = RunId::new(7, 1);
    scheduler.enqueue(retried).id(enqueued).await.unwrap();
    let manual = scheduler.trigger_job(&"fails".parse().unwrap(), JobData::new()).await.unwrap();
    clock.advance(seconds(600)).await;
    let first = of_job(&scheduler, "fails").await;
    let by_trigger = first.iter().find(|record| record.trigger.is_some()).unwrap().run.unwrap();
    for (run, cause) in [
        (enqueued, FiringCause::Enqueued),
        (manual, FiringCause::Manual),
        (by_trigger, FiringCause::Schedule),
    ] {
        let mut records = scheduler.all_firings(FiringQuery::default().of_run(run)).await.unwrap();
        records.reverse();
        let told: Vec<_> =
            records.iter().map(|record| (record.attempt, record.cause, record.reason)).collect();
        let (retried, dead) = (Some(FiringReason::Retried), Some(FiringReason::Dead));
        assert_eq!(told, [(1, cause, retried), (2, FiringCause::Retry, dead)]);
        assert!(records.iter().all(|record| record.trigger.is_some() == (run == by_trigger)));
    }
    scheduler.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_occurrence_that_did_not_run_says_why() {
    let clock = ManualClock::at(NOW);
    let hourly = |name: &str| Trigger::every(seconds(3600)).name(name);
    let late = hourly("late").misfire(Misfire::Skip);
    let overlapping = hourly("overlapping").misfire(Misfire::Ignore).overlap(OverlapPolicy::Skip);
    let builder = Scheduler::builder()
        .clock(clock.clone())
        .store(MemoryJobStore::keeping_history(100))
        .register(JobDefinition::new(detail("late"), async || {}).with_trigger(late))
        .register(
            JobDefinition::new(detail("overlapping"), async |context: JobContext| {
                context.clock().sleep(seconds(5000)).await;
            })
            .with_trigger(overlapping),
        );
    let scheduler = builder.build().unwrap();
    scheduler.start().await.unwrap();
    clock.advance(seconds(3601)).await;
    scheduler.standby().unwrap();
    clock.advance(seconds(4 * 3600)).await;
    scheduler.start().await.unwrap();
    clock.settle().await;
    let not_run = FiringQuery::default().with_outcomes([FiringOutcome::NotRun]);
    let records = scheduler.all_firings(not_run).await.unwrap();
    let late: Vec<_> = records.iter().filter(|record| record.job.name() == "late").collect();
    assert_eq!(late.len(), 1, "one record stands for all that was missed: {records:?}");
    assert_eq!((late[0].reason, late[0].execution), (Some(FiringReason::Misfired), None));
    assert_eq!(late[0].scheduled.to_string(), "2026-03-01 02:00:00 UTC", "the first that was missed");
    let overlapping: Vec<_> = records.iter().filter(|record| record.job.name() == "overlapping").collect();
    assert!(overlapping.iter().all(|record| record.reason == Some(FiringReason::Overlapped)), "{records:?}");
    assert!(!overlapping.is_empty());
    scheduler.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_lost_answer_leaves_one_record() {
    let clock = ManualClock::at(NOW);
    let store = FaultyStore::new(MemoryJobStore::keeping_history(100));
    let builder = Scheduler::builder().clock(clock.clone()).store(store.clone());
    let scheduler = builder.register(JobDefinition::new(detail("work"), async || {})).build().unwrap();
    scheduler.start().await.unwrap();
    store.inject(Verb::Complete, Fault::LosesReply, 3);
    scheduler.enqueue(detail("work")).await.unwrap();
    clock.advance(seconds(600)).await;
    assert_eq!(of_job(&scheduler, "work").await.len(), 1);
    scheduler.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn the_oldest_go_and_without_a_wish_none_is_kept() {
    for (store, kept) in
        [(MemoryJobStore::keeping_history(3), vec![5, 4, 3]), (MemoryJobStore::new(), vec![])]
    {
        let clock = ManualClock::at(NOW);
        let builder = Scheduler::builder().clock(clock.clone()).store(store);
        let scheduler = builder.register(JobDefinition::new(detail("work"), async || {})).build().unwrap();
        scheduler.start().await.unwrap();
        for number in 1..=5 {
            scheduler.enqueue(detail("work")).id(RunId::new(1, number)).await.unwrap();
            clock.settle().await;
        }
        let records = scheduler.all_firings(FiringQuery::default()).await.unwrap();
        let runs: Vec<_> = records.iter().map(|record| record.run.unwrap().count()).collect();
        assert_eq!(runs, kept);
        assert!(
            scheduler.all_firings(FiringQuery::default().of_run(RunId::new(1, 1))).await.unwrap().is_empty()
        );
        scheduler.shutdown(Duration::ZERO).await;
    }
}

/// The word of an outcome is the same in a record and in an event.
#[test]
fn the_words_of_outcomes_are_those_of_records() {
    for outcome in [
        Outcome::Succeeded,
        Outcome::Failed(JobError::new("x")),
        Outcome::Panicked("x".into()),
        Outcome::TimedOut,
        Outcome::Cancelled,
    ] {
        assert_eq!(FiringOutcome::from(&outcome).word(), outcome.word());
    }
}

#[test]
fn a_record_is_written_and_read_as_json() {
    let (job, times) = ("g/work".parse().unwrap(), (NOW.parse().unwrap(), NOW.parse().unwrap()));
    let mut record = FiringRecord::new(job, 7, FiringCause::Schedule, times, FiringOutcome::NotRun);
    (record.number, record.reason) = (3, Some(FiringReason::Misfired));
    let json = serde_json::to_value(&record).unwrap();
    assert_eq!((&json["outcome"], &json["reason"]), (&"not_run".into(), &"misfired".into()));
    assert_eq!(serde_json::from_value::<FiringRecord>(json).unwrap(), record);
}

#[tokio::test]
async fn a_filter_that_finds_nothing_looks_at_a_limited_number_of_records() {
    const MANY: u64 = 40_000;
    let store = MemoryJobStore::keeping_history(usize::try_from(MANY).unwrap());
    let node = |session| Node {
        session,
        name: "n".into(),
        types: None,
        queues: QueueFilter::default(),
        wake: std::sync::Arc::new(|| {}),
        stop: std::sync::Arc::new(|_, _| {}),
    };
    store.attach(node(1)).await.unwrap();
    let job: scheduler_core::JobKey = "work".parse().unwrap();
    for number in 0..MANY {
        let at = NOW.parse().unwrap();
        let mut record =
            FiringRecord::new(job.clone(), 1, FiringCause::Enqueued, (at, at), FiringOutcome::Succeeded);
        record.run = Some(RunId::new(1, number));
        store.transact(|rows| {
            scheduler_core::store::rows::Rows::record(rows, record.into());
            Ok(())
        });
    }
    let mut query = FiringQuery::default();
    query.from = Some("2030-01-01T00:00:00Z".parse().unwrap());
    let (mut pages, mut looked_at) = (0, 0);
    loop {
        let page = store.firings(query.clone()).await.unwrap();
        assert!(page.items.is_empty());
        (pages, looked_at) = (pages + 1, looked_at + page.looked_at);
        let Some(next) = page.next else { break };
        assert!(!page.complete);
        query.after = Some(next);
    }
    assert_eq!((pages, looked_at), (3, usize::try_from(MANY).unwrap()));
    let page = store.firings(FiringQuery::default().of_job("other".parse().unwrap())).await.unwrap();
    assert!(page.looked_at == 0 && page.complete, "nothing has that name");
    let page = store.firings(FiringQuery::default().of_job(job).of_run(RunId::new(1, 7))).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert!(page.looked_at < 20, "by the index of runs: {}", page.looked_at);
    let executions = vec![Completion::of(scheduler_core::job::ExecutionId::new(1, 1))];
    store.complete(Complete { now: NOW.parse().unwrap(), executions }).await.unwrap();
    assert_eq!(store.firings(FiringQuery::default().limit(1)).await.unwrap().next, Some(FiringCursor(MANY)));
}
