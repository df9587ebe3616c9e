//! What the code declares, beside what is stored and what others change.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use scheduler_core::job::{
    Invocation, JobContext, JobDefinition, JobDetail, JobDetailBuilder, JobError, Outcome, State,
};
use scheduler_core::run::RetryPolicy;
use scheduler_core::scheduler::SchedulerBuilder;
use scheduler_core::store::{Existing, MemoryJobStore};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{JobData, JobKey, Scheduler, TriggerKey};

use crate::logged;

const NOW: &str = "2026-03-01T00:00:00Z";
const MINUTE: Duration = Duration::from_secs(60);

type Log = Arc<Mutex<Vec<String>>>;

fn rules(name: &str) -> JobDetailBuilder {
    JobDetail::builder(name.parse().unwrap(), name)
}

fn key(name: &str) -> TriggerKey {
    name.parse().unwrap()
}

/// A job that writes down its argument.
fn bill(log: &Log) -> JobDefinition {
    let log = log.clone();
    JobDefinition::new(rules("bill").build(), move |customer: String| {
        log.lock().push(customer);
        async {}
    })
}

fn minutely() -> TriggerBuilder {
    Trigger::every(MINUTE).start_after(MINUTE)
}

#[tokio::test]
async fn r5_the_arguments_stay_however_a_trigger_is_changed() {
    let log = Log::default();
    let test = TestScheduler::start(NOW, Scheduler::builder().register(bill(&log))).await.unwrap();
    let scheduler = test.scheduler();
    let billed = || Invocation::with_args(rules("bill").build(), &"ada");
    scheduler.schedule(billed(), minutely().name("bill")).await.unwrap();
    let heard = async |case: &str| {
        test.advance(MINUTE).await;
        assert_eq!(std::mem::take(&mut *log.lock()), ["ada"], "{case}");
    };
    heard("as it was scheduled").await;
    scheduler.reschedule(&key("bill"), minutely()).await.unwrap().unwrap();
    heard("rescheduled").await;
    scheduler.reschedule(&key("bill"), minutely().name("other")).await.unwrap().unwrap();
    heard("rescheduled with another name").await;
    scheduler.reschedule(&key("other"), minutely().with("note", "x")).await.unwrap().unwrap();
    assert!(scheduler.update_trigger(&key("other"), |trigger| trigger.priority(9)).await.unwrap());
    heard("rescheduled with data beside the arguments, and updated").await;
    for existing in [Existing::Replace, Existing::Update] {
        let all = [(billed(), minutely().name("other").priority(1))];
        scheduler.schedule_all(all, existing).await.unwrap();
        heard("scheduled over what was there").await;
    }
    let new = Invocation::with_args(rules("bill").build(), &"bob");
    scheduler.reschedule(&key("other"), minutely().data(new.data().unwrap().clone())).await.unwrap().unwrap();
    test.advance(MINUTE).await;
    assert_eq!(*log.lock(), ["bob"], "new arguments win");
}

#[tokio::test]
async fn r5_a_declared_schedule_that_changes_keeps_its_arguments() {
    let (store, log) = (MemoryJobStore::new(), Log::default());
    for (trigger, reschedules) in
        [(minutely(), true), (Trigger::every(2 * MINUTE).start_after(MINUTE), false)]
    {
        let billed = Invocation::with_args(rules("bill").build(), &"ada");
        let builder = Scheduler::builder()
            .store(store.clone())
            .register(bill(&log))
            .schedule(billed, trigger.name("declared"));
        let test = TestScheduler::start(NOW, builder).await.unwrap();
        if reschedules {
            test.scheduler().reschedule(&key("declared"), minutely()).await.unwrap().unwrap();
        }
        test.advance(MINUTE).await;
        assert_eq!(std::mem::take(&mut *log.lock()), ["ada"]);
        test.scheduler().shutdown(MINUTE).await;
    }
}

/// A job that sleeps for ten seconds.
fn slow(rules: JobDetail) -> JobDefinition {
    let body = |context: JobContext| async move {
        let data = context.data().clone();
        let kept = context.set_job_data(data.with("kept", true)).is_ok();
        context.clock().sleep(Duration::from_secs(10)).await;
        if kept { Err(JobError::new("kept")) } else { Ok(()) }
    };
    JobDefinition::new(rules, body)
}

#[tokio::test]
async fn r6_the_rules_of_the_code_win_over_stored_ones_and_what_differs_is_said_once() {
    logged::listen();
    type Edit = fn(JobDetailBuilder) -> JobDetailBuilder;
    let changes: [(&str, Edit, Edit); 7] = [
        ("timeout", |rules| rules.timeout(Duration::from_secs(1)), |rules| rules.timeout(MINUTE)),
        ("timeout", |rules| rules.timeout(Duration::from_secs(1)), |rules| rules),
        ("retry", |rules| rules, |rules| rules.retry(RetryPolicy::default())),
        ("retry", |rules| rules.retry(RetryPolicy::default()), |rules| rules),
        ("disallow_concurrent", |rules| rules, |rules| rules.disallow_concurrent(true)),
        ("persist_data", |rules| rules.persist_data(true), |rules| rules),
        ("requests_recovery", |rules| rules, |rules| rules.requests_recovery(true)),
    ];
    for (number, (rule, before, after)) in changes.into_iter().enumerate() {
        let (name, store) = (format!("slow-{number}"), MemoryJobStore::new());
        let (before, after) = (before(rules(&name)).build(), after(rules(&name)).build());
        let own = JobData::new().with("region", "eu");
        let builder =
            |rules: &JobDetail| Scheduler::builder().store(store.clone()).register(slow(rules.clone()));
        let first = TestScheduler::start(NOW, builder(&before)).await.unwrap();
        let stored = before.to_builder().data(own.clone()).build();
        first.scheduler().schedule(Invocation::new(stored), Trigger::after(MINUTE)).await.unwrap();
        first.scheduler().shutdown(Duration::ZERO).await;
        let warnings = || logged::lines_with(&["WARN", &format!("job={name} "), rule]).len();
        assert_eq!(warnings(), 0, "{rule}");
        for _ in 0..2 {
            let second = TestScheduler::start(NOW, builder(&after)).await.unwrap();
            let job = second.scheduler().job(&name.parse().unwrap()).await.unwrap().unwrap();
            assert_eq!(*job, after.to_builder().data(own.clone()).build(), "{rule}: its data stays");
            assert_eq!(warnings(), 1, "{rule} is said once");
            second.scheduler().enqueue(Invocation::new(after.clone())).await.unwrap();
            second.advance(Duration::from_secs(11)).await;
            let outcome = second.fired()[0].outcome.clone().unwrap();
            assert!(matches!(outcome, Outcome::Succeeded), "{rule}: {outcome:?}");
            second.scheduler().shutdown(Duration::ZERO).await;
        }
    }
}

async fn sync(region: String, State(log): State<Log>, context: JobContext) {
    log.lock().push(format!("{} {region}", context.job_key()));
}

#[tokio::test]
async fn r7_one_function_registered_under_several_keys_is_several_jobs() {
    let log = Log::default();
    let mut builder = Scheduler::builder().provide(log.clone());
    for region in ["eu", "us", "as"] {
        let detail = JobDetail::builder(format!("sync/{region}").parse().unwrap(), "sync_region")
            .data(JobData::from_args(&region).unwrap())
            .build();
        builder = builder.register(JobDefinition::new(detail, sync).with_trigger(Trigger::now()));
    }
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.run_due().await;
    log.lock().sort();
    assert_eq!(*log.lock(), ["sync/as as", "sync/eu eu", "sync/us us"]);
    assert_eq!(test.scheduler().metadata().job_types.len(), 1);
    let by_name = test.scheduler().trigger_job(&"sync/us".parse().unwrap(), JobData::new()).await;
    assert!(by_name.is_ok(), "each is known by its key");
}

/// The only problem of a builder.
#[track_caller]
fn problem(builder: SchedulerBuilder) -> String {
    let error = builder.build().unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
    error.problems()[0].clone()
}

#[test]
fn r7_what_shares_a_name_and_not_a_function_is_refused_with_both_named() {
    async fn other() {}
    async fn idle() {}
    let of = |key: &str, job_type: &str| JobDetail::builder(key.parse::<JobKey>().unwrap(), job_type).build();
    // One place in the source for all of them.
    fn define<H: scheduler_core::job::Handler<M>, M: 'static>(
        detail: JobDetail,
        function: H,
    ) -> JobDefinition {
        JobDefinition::new(detail, function)
    }
    let captures = |value: usize| move || async move { assert!(value < 9) };
    let builder = Scheduler::builder;
    let cases = [
        (
            "closures that capture",
            builder().register(define(of("a", "x"), captures(1))).register(define(of("b", "x"), captures(2))),
        ),
        (
            "two functions",
            builder().register(define(of("a", "x"), idle)).register(define(of("b", "x"), other)),
        ),
        (
            "blocking and not",
            builder()
                .register(define(of("a", "x"), idle))
                .register(JobDefinition::blocking(of("b", "x"), || {})),
        ),
        (
            "one key, two functions",
            builder().register(define(of("a", "x"), idle)).register(define(of("a", "y"), other)),
        ),
        (
            "one key, two triggers",
            builder()
                .register(define(of("a", "x"), idle).with_trigger(minutely()))
                .register(define(of("a", "x"), idle).with_trigger(minutely().priority(1))),
        ),
        (
            "one key, two rules",
            builder()
                .register(define(of("a", "x"), idle))
                .register(define(of("a", "x").to_builder().timeout(MINUTE).build(), idle)),
        ),
    ];
    for (case, builder) in cases {
        let problem = problem(builder);
        assert!(problem.starts_with("two jobs are named `"), "{case}: {problem}");
        assert!(problem.contains("`a`"), "{case}: {problem}");
        assert!(case.starts_with("one key") || problem.contains("`b`"), "{case}: {problem}");
        assert!(problem.matches("declaring.rs:").count() == 2, "{case}: {problem}");
    }
}

#[test]
fn r7_the_same_definition_twice_is_one_job_and_a_host_tells_of_two() {
    let captures = {
        let value = 7;
        move || async move { assert_eq!(value, 7) }
    };
    let definition = JobDefinition::new(rules("t").build(), captures).with_trigger(minutely());
    assert!(Scheduler::builder().register(definition.clone()).register(definition.clone()).build().is_ok());
    let host = scheduler_core::Host::builder()
        .register(definition.clone())
        .register(JobDefinition::new(rules("t").build(), async || {}))
        .scheduler(Scheduler::builder().register(definition));
    let error = host.build().unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(error.to_string().contains("two jobs are named `t`"), "{error}");
}

#[tokio::test]
async fn v2_a_trigger_that_is_no_longer_declared_is_named_with_the_way_out() {
    logged::listen();
    let store = MemoryJobStore::new();
    let builder = || Scheduler::builder().name("of-v2").store(store.clone()).register(bill(&Log::default()));
    let declared = || Invocation::with_args(rules("bill").build(), &"ada");
    let with = || builder().schedule(declared(), minutely().name("v2/orphan"));
    let warnings = || logged::lines_with(&["WARN", "v2/orphan", "prune_undeclared(true)"]).len();
    for (builder, expected) in
        [(with(), 0), (with(), 0), (builder(), 1), (builder().prune_undeclared(true), 1)]
    {
        let test = TestScheduler::start(NOW, builder).await.unwrap();
        assert_eq!(warnings(), expected);
        test.scheduler().shutdown(Duration::ZERO).await;
    }
    let test = TestScheduler::start(NOW, builder()).await.unwrap();
    assert!(test.scheduler().trigger(&key("v2/orphan")).await.unwrap().is_none());
    assert_eq!(warnings(), 1, "nothing is left to warn of");
}

#[tokio::test]
async fn v5_a_wall_clock_that_is_set_back_is_a_warning() {
    logged::listen();
    let test = TestScheduler::start(NOW, Scheduler::builder().register(bill(&Log::default()))).await.unwrap();
    let warnings = || logged::lines_with(&["WARN", "the wall clock was set back", "2026-02-28 21:"]).len();
    test.advance(MINUTE).await;
    test.jump_wall("2026-03-01T05:00:00Z").await;
    test.advance(MINUTE).await;
    assert_eq!(warnings(), 0, "forward is what misfires are for");
    test.jump_wall("2026-02-28T21:00:00Z").await;
    test.advance(MINUTE).await;
    assert_eq!(warnings(), 1);
    test.advance(10 * MINUTE).await;
    assert_eq!(warnings(), 1, "once");
}
