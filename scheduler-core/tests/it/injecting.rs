//! Values that jobs ask for: shared, lazy, made anew, and of one execution.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Matcher;
use scheduler_core::Scheduler;
use scheduler_core::job::{JobContext, JobDefinition, JobDetail, JobError, Outcome, Scoped, State};
use scheduler_core::scheduler::{JobListener, Middleware, Next, SchedulerBuilder};
use scheduler_core::store::Executions;
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;

const NOW: &str = "2026-03-01T00:00:00Z";

type Log = Arc<Mutex<Vec<String>>>;

/// A unit of work.
#[derive(Clone)]
struct Transaction(&'static str);

/// Something on top of it.
#[derive(Clone)]
struct Repository(#[allow(dead_code)] Transaction);

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

/// A scheduler whose transactions and repositories write down what becomes of them.
fn builder(log: &Log) -> SchedulerBuilder {
    let (opens, closes, closes_too) = (log.clone(), log.clone(), log.clone());
    Scheduler::builder()
        .cancel_grace(Duration::ZERO)
        .provide_scoped_with(
            move |context: JobContext| {
                opens.lock().push(format!("begin {}", context.job_key()));
                async { Ok::<_, JobError>(Transaction("tx")) }
            },
            move |transaction: Transaction, outcome: Outcome| {
                let end = if outcome.is_success() { "commit" } else { "roll back" };
                closes.lock().push(format!("{end} {} {}", transaction.0, outcome.word()));
                async { Ok::<(), JobError>(()) }
            },
        )
        .provide_scoped_with(
            |Scoped(transaction): Scoped<Transaction>| async { Ok::<_, JobError>(Repository(transaction)) },
            move |_: Repository, _: Outcome| {
                closes_too.lock().push("close repository".to_owned());
                async { Ok::<(), JobError>(()) }
            },
        )
}

fn once(job: JobDefinition) -> JobDefinition {
    job.with_trigger(Trigger::now())
}

#[tokio::test]
async fn a_scope_is_closed_backwards_and_by_the_outcome() {
    let log = Log::default();
    let works = |Scoped(_): Scoped<Repository>, Scoped(_): Scoped<Transaction>| async {};
    let fails = |Scoped(_): Scoped<Transaction>| async { Err::<(), _>(JobError::new("no")) };
    async fn panics(_: Scoped<Transaction>) {
        panic!("no")
    }
    for (job, expected) in [
        (
            JobDefinition::new(detail("works"), works),
            vec!["begin works", "close repository", "commit tx succeeded"],
        ),
        (JobDefinition::new(detail("fails"), fails), vec!["begin fails", "roll back tx failed"]),
        (JobDefinition::new(detail("panics"), panics), vec!["begin panics", "roll back tx panicked"]),
    ] {
        let test = TestScheduler::start(NOW, builder(&log).register(once(job))).await.unwrap();
        test.run_due().await;
        assert_eq!(std::mem::take(&mut *log.lock()), expected);
    }
}

#[tokio::test]
async fn a_scope_is_closed_when_a_run_is_taken_away() {
    let log = Log::default();
    let deaf = |_: Scoped<Repository>, context: JobContext| async move {
        context.clock().sleep(Duration::from_secs(3600)).await;
    };
    let timed = detail("deaf").to_builder().timeout(Duration::from_secs(5)).disallow_concurrent(true).build();
    let test = TestScheduler::start(NOW, builder(&log).register(once(JobDefinition::new(timed, deaf))))
        .await
        .unwrap();
    test.advance(Duration::from_secs(6)).await;
    assert_eq!(
        std::mem::take(&mut *log.lock()),
        ["begin deaf", "close repository", "roll back tx timed out"]
    );
    assert!(
        test.scheduler().executions(Executions::All).await.unwrap().is_empty(),
        "the claim has ended too"
    );
}

#[tokio::test]
async fn each_attempt_has_a_scope_of_its_own() {
    let log = Log::default();
    let twice = |_: Scoped<Transaction>, context: JobContext| async move {
        if context.refire_count() == 0 {
            context.refire();
            return Err(JobError::new("again"));
        }
        Ok(())
    };
    let test =
        TestScheduler::start(NOW, builder(&log).register(once(JobDefinition::new(detail("t"), twice))))
            .await
            .unwrap();
    test.run_due().await;
    assert_eq!(*log.lock(), ["begin t", "roll back tx failed", "begin t", "commit tx succeeded"]);
}

#[tokio::test]
async fn a_commit_that_fails_fails_the_run_and_what_comes_before_it_rolls_back() {
    let log = Log::default();
    let outer = log.clone();
    let builder = Scheduler::builder()
        .provide_scoped_with(
            async || Ok::<_, JobError>(Transaction("outer")),
            move |_: Transaction, outcome: Outcome| {
                outer.lock().push(outcome.word().to_owned());
                async { Ok::<(), JobError>(()) }
            },
        )
        .provide_scoped_with(
            |Scoped(transaction): Scoped<Transaction>| async { Ok::<_, JobError>(Repository(transaction)) },
            async |_: Repository, _: Outcome| Err::<(), _>(JobError::new("the disk is full")),
        )
        .register(once(JobDefinition::new(detail("t"), async |_: Scoped<Repository>| {})));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.run_due().await;
    let failure = test.fired()[0].outcome.as_ref().unwrap().failure().unwrap();
    assert!(failure.contains("Repository` could not be closed: the disk is full"), "{failure}");
    assert_eq!(*log.lock(), ["failed"]);
}

struct Peek(Log);

impl Middleware for Peek {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        let own = <Scoped<Transaction> as scheduler_core::job::FromContext>::from_context(&context).await;
        self.0.lock().push(format!("middleware sees {}", own.is_ok()));
        next.run(context).await
    }
}

impl JobListener for Peek {
    async fn was_executed(&self, _: &JobContext, outcome: &Outcome) {
        self.0.lock().push(format!("told {}", outcome.word()));
    }
}

#[tokio::test]
async fn middleware_is_inside_the_scope_and_listeners_hear_what_stays() {
    let log = Log::default();
    let builder = builder(&log)
        .middleware(Peek(log.clone()))
        .job_listener(Matcher::Everything, Peek(log.clone()))
        .register(once(JobDefinition::new(detail("t"), async |_: Scoped<Transaction>| {})));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.run_due().await;
    assert_eq!(*log.lock(), ["begin t", "middleware sees true", "commit tx succeeded", "told succeeded"]);
}

#[derive(Clone)]
struct Pool(usize);
#[derive(Clone)]
struct Client(usize);
#[derive(Clone)]
struct Number(usize);

#[tokio::test]
async fn lazy_values_are_made_once_and_transient_ones_each_time() {
    let (made, numbers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, next) = (made.clone(), numbers.clone());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let job = move |State(client): State<Client>, State(number): State<Number>| {
        log.lock().push((client.0, number.0));
        async {}
    };
    let builder = Scheduler::builder()
        .provide(Pool(7))
        .provide_with(move |State(pool): State<Pool>| {
            counter.fetch_add(1, Ordering::SeqCst);
            Client(pool.0 * 10)
        })
        .provide_transient(move || Number(next.fetch_add(1, Ordering::SeqCst)))
        .register(
            JobDefinition::new(detail("t"), job)
                .with_trigger(Trigger::every(Duration::from_secs(10)).repeat(2)),
        );
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    assert!(made.load(Ordering::SeqCst) <= 1);
    test.advance(Duration::from_secs(30)).await;
    assert_eq!(*seen.lock(), [(70, 0), (70, 1), (70, 2)]);
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[test]
fn everything_that_is_missing_or_confused_is_reported_together() {
    #[derive(Clone)]
    struct A;
    #[derive(Clone)]
    struct B;
    let error = Scheduler::builder()
        .provide_with(|_: State<B>| A)
        .provide_with(|_: State<A>| B)
        .provide_scoped(async || Ok::<_, JobError>(Transaction("t")))
        .provide(Pool(1))
        .provide(Pool(2))
        .register(JobDefinition::new(detail("one"), async |_: State<Transaction>| {}))
        .register(JobDefinition::new(detail("two"), async |_: Scoped<Pool>| {}))
        .register(JobDefinition::new(detail("three"), async |_: Scoped<Client>, _: State<Number>| {}))
        .build()
        .unwrap_err()
        .to_string();
    for expected in [
        "a circle; provide one of them ready made",
        "takes `State<it::injecting::Transaction>`, which is made for each execution; take `Scoped<",
        "takes `Scoped<it::injecting::Pool>`, which is shared; take `State<",
        "needs a `it::injecting::Client` of its own; call `.provide_scoped(…)`",
        "needs a `it::injecting::Number`; call `.provide(…)` with one",
        "two values of type `it::injecting::Pool` are provided",
    ] {
        assert!(error.contains(expected), "`{expected}` is not in:\n{error}");
    }
}
