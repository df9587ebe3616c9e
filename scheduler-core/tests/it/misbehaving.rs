//! User code around a run that misbehaves harms that run only.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use scheduler_core::calendar::{Calendar, typetag};
use scheduler_core::job::{
    Invocation, JobContext, JobDefinition, JobDetail, JobError, JobResult, Outcome, Scoped,
};
use scheduler_core::scheduler::{
    Event, JobListener, Middleware, Next, SchedulerBuilder, SchedulerListener, TriggerListener,
};
use scheduler_core::store::{Executions, Existing, TriggerState};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Matcher, Scheduler, Text, TriggerKey};
use serde::{Deserialize, Serialize};

use crate::logged;
use crate::rogue::{Fault, Rogue};

const NOW: &str = "2026-03-01T00:00:00Z";
const MINUTE: Duration = Duration::from_secs(60);

impl JobListener for Rogue {
    fn to_be_executed(&self, _: &JobContext) -> impl Future<Output = ()> + Send {
        self.call("to_be_executed", ())
    }

    fn vetoed(&self, _: &JobContext) -> impl Future<Output = ()> + Send {
        self.call("vetoed", ())
    }

    fn was_executed(&self, _: &JobContext, _: &Outcome) -> impl Future<Output = ()> + Send {
        self.call("was_executed", ())
    }
}

impl TriggerListener for Rogue {
    fn fired(&self, _: &JobContext) -> impl Future<Output = ()> + Send {
        self.call("fired", ())
    }

    fn veto(&self, _: &JobContext) -> impl Future<Output = bool> + Send {
        self.call("veto", self.place == "vetoed")
    }

    fn misfired(
        &self,
        _: &Trigger,
        _: DateTime<Utc>,
        _: Option<DateTime<Utc>>,
    ) -> impl Future<Output = ()> + Send {
        self.call("misfired", ())
    }

    fn completed(&self, _: &JobContext, _: &Outcome) -> impl Future<Output = ()> + Send {
        self.call("completed", ())
    }
}

impl SchedulerListener for Rogue {
    fn on_event(&self, _: &Event) -> impl Future<Output = ()> + Send {
        self.call("on_event", ())
    }
}

/// Concerns one job, unlike the listeners, which have matchers.
impl Middleware for Rogue {
    fn handle(&self, context: JobContext, next: Next) -> impl Future<Output = Outcome> + Send {
        let harmed = context.job_key().name() == "harmed";
        let call = harmed.then(|| self.call("middleware", ()));
        async move {
            if let Some(call) = call {
                call.await;
            }
            next.run(context).await
        }
    }
}

/// Hears after the rogue.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<String>>>);

impl Witness {
    fn note(&self, line: String) {
        self.0.lock().push(line);
    }

    fn count(&self, line: &str) -> usize {
        self.0.lock().iter().filter(|known| *known == line).count()
    }
}

impl JobListener for Witness {
    async fn was_executed(&self, context: &JobContext, outcome: &Outcome) {
        self.note(format!("{} was executed: {}", context.job_key(), outcome.word()));
    }
}

impl TriggerListener for Witness {
    async fn misfired(&self, trigger: &Trigger, _: DateTime<Utc>, _: Option<DateTime<Utc>>) {
        self.note(format!("{} misfired", trigger.key()));
    }

    async fn completed(&self, context: &JobContext, outcome: &Outcome) {
        self.note(format!("{} completed: {}", context.trigger_key(), outcome.word()));
    }
}

impl SchedulerListener for Witness {
    async fn on_event(&self, event: &Event) {
        if let Event::Ended { job, outcome, .. } = event {
            self.note(format!("{job} ended: {outcome}"));
        }
    }
}

#[derive(Clone)]
struct Value;

/// Two jobs that run each minute on one slot; the rogue is around the one that it is to harm.
fn builder(rogue: &Rogue, witness: &Witness) -> SchedulerBuilder {
    let (makes, closes, runs) = (rogue.clone(), rogue.clone(), rogue.clone());
    let harmed = JobDetail::builder("harmed".parse().unwrap(), "harmed")
        .timeout(Duration::from_secs(10))
        .disallow_concurrent(true)
        .build();
    let other = JobDetail::builder("other".parse().unwrap(), "other").build();
    let start = NOW.parse::<DateTime<Utc>>().unwrap() + MINUTE;
    let minutely = || Trigger::every(MINUTE).start_at(start);
    let job = move |_: Scoped<Value>| runs.call("job", ());
    Scheduler::builder()
        .concurrency(1)
        .provide_scoped_with(
            move || makes.call("factory", Ok::<_, JobError>(Value)),
            move |_: Value, _: Outcome| closes.call("close", JobResult::Ok(())),
        )
        .register(JobDefinition::new(harmed, job).with_trigger(minutely().priority(9)))
        .register(JobDefinition::new(other, async || {}).with_trigger(minutely()))
        .job_listener(Matcher::name(Text::is("harmed")), rogue.clone())
        .trigger_listener(Matcher::name(Text::is("harmed")), rogue.clone())
        .listener(rogue.clone())
        .middleware(rogue.clone())
        .job_listener(Matcher::Everything, witness.clone())
        .trigger_listener(Matcher::Everything, witness.clone())
        .listener(witness.clone())
}

/// How a run ends around which the rogue misbehaves.
fn outcome_of(place: &str, fault: Fault) -> &'static str {
    match (place, fault) {
        ("to_be_executed" | "fired" | "veto" | "vetoed" | "middleware" | "factory" | "job", Fault::Hangs) => {
            "timed out"
        }
        ("vetoed", _) => "vetoed",
        ("middleware" | "job", _) => "panicked",
        ("factory" | "close", _) => "failed",
        _ => "succeeded",
    }
}

#[tokio::test]
async fn r8_user_code_that_misbehaves_harms_its_own_run_only() {
    const PLACES: [&str; 12] = [
        "to_be_executed",
        "vetoed",
        "was_executed",
        "fired",
        "veto",
        "completed",
        "misfired",
        "on_event",
        "middleware",
        "factory",
        "close",
        "job",
    ];
    let cases = PLACES.into_iter().flat_map(|place| Fault::ALL.map(|fault| (place, fault)));
    // A manual clock waits for listeners of events; see the next test.
    for (place, fault) in cases.filter(|case| *case != ("on_event", Fault::Hangs)) {
        let case = format!("{place} {fault:?}");
        let (rogue, witness) = (Rogue::new(place, fault), Witness::default());
        let test = TestScheduler::start(NOW, builder(&rogue, &witness)).await.unwrap();
        rogue.begin(test.clock());
        test.advance(3 * MINUTE + Duration::from_secs(40)).await;
        let (outcome, heard) = (outcome_of(place, fault), || witness.0.lock().clone());
        assert_eq!(witness.count(&format!("harmed ended: {outcome}")), 3, "{case}: {:?}", heard());
        assert_eq!(witness.count("other ended: succeeded"), 3, "{case}: {:?}", heard());
        if outcome != "vetoed" {
            assert_eq!(witness.count(&format!("harmed was executed: {outcome}")), 3, "{case}: {:?}", heard());
            assert_eq!(witness.count(&format!("harmed completed: {outcome}")), 3, "{case}: {:?}", heard());
        }
        assert!(test.scheduler().running().is_empty(), "{case}");
        assert!(test.scheduler().executions(Executions::All).await.unwrap().is_empty(), "{case}");
    }
}

/// Hangs at the first event, or tells of ends.
enum Ear {
    Hangs,
    Tells(tokio::sync::mpsc::UnboundedSender<&'static str>),
}

impl SchedulerListener for Ear {
    async fn on_event(&self, event: &Event) {
        match (self, event) {
            (Self::Hangs, _) => std::future::pending().await,
            (Self::Tells(ends), Event::Ended { outcome, .. }) => ends.send(outcome).unwrap(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn r8_a_listener_of_events_that_hangs_keeps_no_event_from_others() {
    let (tells, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let detail = JobDetail::builder("t".parse().unwrap(), "t").build();
    let trigger = Trigger::every(Duration::from_millis(1)).repeat(2);
    let builder = Scheduler::builder()
        .listener(Ear::Hangs)
        .listener(Ear::Tells(tells))
        .register(JobDefinition::new(detail, async || {}).with_trigger(trigger));
    let scheduler = builder.build().unwrap();
    scheduler.start().await.unwrap();
    for _ in 0..3 {
        assert_eq!(ends.recv().await, Some("succeeded"));
    }
    scheduler.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn r8_a_misfire_listener_that_misbehaves_keeps_nothing_from_the_next() {
    for fault in Fault::ALL {
        let (rogue, witness) = (Rogue::new("misfired", fault), Witness::default());
        let test = TestScheduler::start(NOW, builder(&rogue, &witness)).await.unwrap();
        rogue.begin(test.clock());
        test.scheduler().standby().unwrap();
        test.advance(10 * MINUTE).await;
        test.scheduler().start().await.unwrap();
        test.advance(2 * MINUTE).await;
        assert_eq!(witness.count("harmed misfired"), 1, "{fault:?}: {:?}", witness.0.lock());
        assert!(witness.count("harmed ended: succeeded") > 0, "{fault:?}: {:?}", witness.0.lock());
    }
}

/// Sees how what is inside has ended.
struct Outer(Arc<Mutex<Vec<String>>>);

impl Middleware for Outer {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        let outcome = next.run(context).await;
        self.0.lock().push(outcome.failure().unwrap_or_default());
        outcome
    }
}

#[tokio::test]
async fn r8_middleware_sees_the_panic_of_what_is_inside() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    async fn panics() {
        panic!("a bug in the job")
    }
    let detail = JobDetail::builder("t".parse().unwrap(), "t").build();
    let builder = Scheduler::builder()
        .middleware(Outer(seen.clone()))
        .register(JobDefinition::new(detail, panics).with_trigger(Trigger::now()));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.run_due().await;
    assert_eq!(*seen.lock(), ["panicked: a bug in the job"]);
}

/// An error that misbehaves when it is written or dropped.
#[derive(Debug)]
struct Bomb {
    panics_in_text: bool,
}

impl std::fmt::Display for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        assert!(!self.panics_in_text, "a bug in the text");
        f.write_str("bomb")
    }
}

impl std::error::Error for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.panics_in_text || std::thread::panicking(), "a bug in the drop of an error");
    }
}

#[tokio::test]
async fn r11_errors_and_captured_values_that_panic_end_their_run_only() {
    for panics_in_text in [true, false] {
        let detail = JobDetail::builder("t".parse().unwrap(), "t").disallow_concurrent(true).build();
        let job = move || async move { Err::<(), _>(Bomb { panics_in_text }) };
        let trigger = Trigger::every(MINUTE).repeat(2);
        let builder = Scheduler::builder()
            .concurrency(1)
            .register(JobDefinition::new(detail, job).with_trigger(trigger));
        let test = TestScheduler::start(NOW, builder).await.unwrap();
        test.advance(3 * MINUTE).await;
        let outcomes: Vec<_> = test.fired().iter().map(|fired| fired.outcome.clone().unwrap()).collect();
        assert_eq!(outcomes.len(), 3);
        let expected =
            if panics_in_text { "an error whose text panicked: a bug in the text" } else { "bomb" };
        assert!(outcomes.iter().all(|outcome| outcome.failure().unwrap() == expected), "{outcomes:?}");
        test.forget();
        drop(outcomes);
        assert!(test.scheduler().running().is_empty());
    }
}

/// A scoped value whose drop panics.
#[derive(Clone)]
struct Fragile(Arc<Shell>);

struct Shell;

impl Drop for Shell {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a bug in the drop of a value");
    }
}

#[tokio::test]
async fn r11_a_scoped_value_that_panics_in_its_drop_ends_with_its_run() {
    logged::listen();
    for deaf in [true, false] {
        let detail = JobDetail::builder("t".parse().unwrap(), "t")
            .timeout(Duration::from_secs(10))
            .disallow_concurrent(true)
            .build();
        let job = move |Scoped(value): Scoped<Fragile>, context: JobContext| async move {
            if deaf {
                context.clock().sleep(100 * MINUTE).await;
            }
            // The scope has the last one.
            assert!(Arc::strong_count(&value.0) > 1);
        };
        let builder = Scheduler::builder()
            .concurrency(1)
            .provide_scoped(async || Ok::<_, JobError>(Fragile(Arc::new(Shell))))
            .register(JobDefinition::new(detail, job).with_trigger(Trigger::every(MINUTE).repeat(2)));
        let test = TestScheduler::start(NOW, builder).await.unwrap();
        test.advance(4 * MINUTE).await;
        let outcomes: Vec<_> =
            test.fired().iter().map(|fired| fired.outcome.clone().unwrap().word()).collect();
        assert_eq!(outcomes, [if deaf { "timed out" } else { "succeeded" }; 3]);
        assert!(test.scheduler().executions(Executions::All).await.unwrap().is_empty());
    }
    assert!(!logged::lines_with(&["Fragile", "a bug in the drop of a value"]).is_empty());
}

#[derive(Clone)]
struct Transaction;
#[derive(Clone)]
struct Session;

#[tokio::test]
async fn r10_a_close_hook_that_hangs_has_the_grace_and_frees_the_job() {
    logged::listen();
    for blocking in [false, true] {
        let closed = Arc::new(Mutex::new(Vec::new()));
        let log = closed.clone();
        let name = if blocking { "stuck-blocking" } else { "stuck-async" };
        let detail = JobDetail::builder(name.parse().unwrap(), name)
            .timeout(Duration::from_secs(10))
            .disallow_concurrent(true)
            .build();
        let definition = if blocking {
            JobDefinition::blocking(detail, |_: Scoped<Transaction>, _: Scoped<Session>| {})
        } else {
            let deaf = |_: Scoped<Transaction>, _: Scoped<Session>, context: JobContext| async move {
                context.clock().sleep(100 * MINUTE).await;
            };
            JobDefinition::new(detail, deaf)
        };
        let clock = Arc::new(std::sync::OnceLock::new());
        let hangs = clock.clone();
        let builder = Scheduler::builder()
            .cancel_grace(Duration::from_secs(7))
            .provide_scoped_with(
                async || Ok::<_, JobError>(Transaction),
                move |_: Transaction, outcome: Outcome| {
                    log.lock().push(outcome.word());
                    async { JobResult::Ok(()) }
                },
            )
            .provide_scoped_with(
                async || Ok::<_, JobError>(Session),
                move |_: Session, _: Outcome| {
                    let hang = Rogue::new("close", Fault::Hangs);
                    hang.begin(hangs.get().unwrap());
                    hang.call("close", JobResult::Ok(()))
                },
            )
            .register(definition.with_trigger(Trigger::every(MINUTE).start_after(MINUTE)));
        let test = TestScheduler::start(NOW, builder).await.unwrap();
        clock.set(test.clock().clone()).unwrap();
        let free = async || test.scheduler().executions(Executions::All).await.unwrap().is_empty();
        test.advance(MINUTE + Duration::from_secs(16)).await;
        assert!(!free().await, "the grace is not over");
        test.advance(Duration::from_secs(1)).await;
        assert!(free().await, "the job is free");
        let outcome = if blocking { "failed" } else { "timed out" };
        assert_eq!(*closed.lock(), [outcome], "the value behind is closed");
        test.advance(MINUTE).await;
        assert_eq!(test.fired_of(name).len(), 2, "the next run is not kept back");
        assert!(!logged::lines_with(&[name, "Session", "did not end within the cancel grace"]).is_empty());
    }
}

/// Panics from a certain time on.
#[derive(Debug, Serialize, Deserialize)]
struct Broken(DateTime<Utc>);

#[typetag::serde(name = "misbehaving")]
impl Calendar for Broken {
    fn includes(&self, time: DateTime<Utc>) -> bool {
        assert!(time < self.0, "a bug in the calendar");
        true
    }

    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(time)
    }
}

#[tokio::test]
async fn r9_a_calendar_that_panics_is_an_error_that_names_the_trigger() {
    let start: DateTime<Utc> = NOW.parse().unwrap();
    let detail = JobDetail::builder("t".parse().unwrap(), "t").build();
    let job = JobDefinition::new(detail.clone(), async || {});
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let scheduler = test.scheduler();
    scheduler.put_calendar("late", Broken(start + 2 * MINUTE), false).await.unwrap();
    scheduler.put_calendar("early", Broken(start), false).await.unwrap();
    let trigger = |name: &str, calendar: &str| Trigger::every(MINUTE).name(name).calendar(calendar);
    let refused = "the calendar `early` of trigger `b` has panicked: a bug in the calendar";
    let error = scheduler.schedule(detail.clone(), trigger("b", "early")).await.unwrap_err();
    assert_eq!(error.to_string(), refused);
    let all = [(Invocation::new(detail.clone()), trigger("b", "early"))];
    let error = scheduler.schedule_all(all, Existing::Replace).await.unwrap_err();
    assert_eq!(error.to_string(), refused);
    scheduler.schedule(detail, trigger("a", "late")).await.unwrap();
    let a: TriggerKey = "a".parse().unwrap();
    let error = scheduler.reschedule(&a, Trigger::every(MINUTE).calendar("early")).await.unwrap_err();
    assert!(error.to_string().contains("the calendar `early` of trigger `a` has panicked"), "{error}");
    let error = scheduler.put_calendar("late", Broken(start), true).await.unwrap_err();
    assert!(error.to_string().contains("the calendar `late` of trigger `a` has panicked"), "{error}");
    test.advance(5 * MINUTE).await;
    assert_eq!(scheduler.trigger(&a).await.unwrap().unwrap().state, TriggerState::Error);
}
