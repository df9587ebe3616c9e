//! Listeners, middleware and events.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use scheduler_core::job::{JobContext, JobDefinition, JobDetail, JobError, Outcome};
use scheduler_core::scheduler::{Event, JobListener, Middleware, Next, SchedulerListener, TriggerListener};
use scheduler_core::store::{Executions, Selection};
use scheduler_core::testing::{TestScheduler, assert_fired};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_core::{JobKey, Matcher, Scheduler, Text, TriggerKey};

const NOW: &str = "2026-03-01T00:00:00Z";

/// What was heard, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Writes down what it hears, under a name; refuses the runs of one trigger.
#[derive(Clone)]
struct Ear {
    name: &'static str,
    log: Log,
    refuses: Option<&'static str>,
    panics: bool,
}

impl Ear {
    fn new(name: &'static str, log: &Log) -> Self {
        Self { name, log: log.clone(), refuses: None, panics: false }
    }

    fn hears(&self, what: &str, who: impl std::fmt::Display) {
        self.log.note(format!("{} {what} {who}", self.name));
        assert!(!self.panics, "a listener with a bug");
    }
}

impl JobListener for Ear {
    async fn to_be_executed(&self, context: &JobContext) {
        self.hears("begins", format_args!("{} {}", context.job_key(), context.refire_count() + 1));
    }

    async fn vetoed(&self, context: &JobContext) {
        self.hears("vetoed", context.job_key());
    }

    async fn was_executed(&self, context: &JobContext, outcome: &Outcome) {
        self.hears("ended", format_args!("{} {}", context.job_key(), outcome.word()));
    }
}

impl TriggerListener for Ear {
    async fn fired(&self, context: &JobContext) {
        self.hears("fired", context.trigger_key());
    }

    async fn veto(&self, context: &JobContext) -> bool {
        self.refuses == Some(context.trigger_key().name())
    }

    async fn misfired(&self, trigger: &Trigger, scheduled: DateTime<Utc>, next: Option<DateTime<Utc>>) {
        let clock = |time: DateTime<Utc>| time.format("%H:%M").to_string();
        let next = next.map_or("never".to_owned(), clock);
        self.hears("misfired", format_args!("{} {} {next}", trigger.key(), clock(scheduled)));
    }

    async fn completed(&self, context: &JobContext, outcome: &Outcome) {
        self.hears("completed", format_args!("{} {}", context.trigger_key(), outcome.word()));
    }
}

fn detail(key: &str) -> JobDetail {
    JobDetail::builder(key.parse().unwrap(), "work").build()
}

/// A job of this key that runs `body` every minute, with a trigger of the same name.
fn minutely<F, Fut>(key: &'static str, body: F) -> JobDefinition
where
    F: Fn(JobContext) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let detail = JobDetail::builder(key.parse().unwrap(), key).build();
    JobDefinition::new(detail, body).with_trigger(Trigger::every(Duration::from_secs(60)).name(key))
}

async fn nothing(_: JobContext) -> Result<(), JobError> {
    Ok(())
}

#[tokio::test]
async fn listeners_hear_in_order_and_only_of_what_matches() {
    let log = Log::default();
    let builder = Scheduler::builder()
        .register(minutely("bills/pay", nothing))
        .register(minutely("bills/send", nothing))
        .register(minutely("mail/send", nothing))
        .job_listener(
            Matcher::group(Text::is("bills")).and(Matcher::name(Text::is("send"))),
            Ear::new("job", &log),
        )
        .trigger_listener(
            Matcher::key("mail/send".parse().unwrap()).or(Matcher::name(Text::is("send"))),
            Ear::new("trigger", &log),
        )
        .job_listener(Matcher::group(Text::is("bills")).negated(), Ear::new("others", &log));
    let _test = TestScheduler::start(NOW, builder).await.unwrap();
    let mut heard = log.take();
    heard.sort_by_key(|line| line.contains("mail"));
    assert_eq!(
        heard,
        [
            "trigger fired bills/send",
            "job begins bills/send 1",
            "job ended bills/send succeeded",
            "trigger completed bills/send succeeded",
            "trigger fired mail/send",
            "others begins mail/send 1",
            "others ended mail/send succeeded",
            "trigger completed mail/send succeeded",
        ]
    );
}

#[tokio::test]
async fn one_veto_is_enough_and_everybody_hears_of_it() {
    let (log, ran) = (Log::default(), Log::default());
    let (inner, refusing) = (ran.clone(), Ear { refuses: Some("refused"), ..Ear::new("trigger", &log) });
    let body = move |context: JobContext| {
        inner.note(context.job_key().to_string());
        nothing(context)
    };
    let builder = Scheduler::builder()
        .register(minutely("refused", body.clone()))
        .register(minutely("allowed", body))
        .trigger_listener(Matcher::Everything, refusing)
        .job_listener(Matcher::name(Text::is("refused")), Ear::new("job", &log));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    assert_eq!(ran.take(), ["allowed"]);
    let of_refused: Vec<_> = log.take().into_iter().filter(|line| line.contains("refused")).collect();
    assert_eq!(of_refused, ["trigger fired refused", "job vetoed refused"]);
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(ran.take(), ["allowed"], "a veto is for one firing");
}

#[tokio::test]
async fn a_listener_that_panics_changes_nothing() {
    let log = Log::default();
    let bad = Ear { panics: true, ..Ear::new("bad", &log) };
    let builder = Scheduler::builder()
        .register(minutely("work", nothing))
        .job_listener(Matcher::Everything, bad.clone())
        .trigger_listener(Matcher::Everything, bad)
        .job_listener(Matcher::Everything, Ear::new("good", &log));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    assert_fired!(test, "work", 1);
    assert!(test.fired()[0].outcome.as_ref().unwrap().is_success());
    let good: Vec<_> = log.take().into_iter().filter(|line| line.starts_with("good")).collect();
    assert_eq!(good, ["good begins work 1", "good ended work succeeded"]);
}

#[tokio::test]
async fn listeners_come_and_go_while_it_runs() {
    let log = Log::default();
    let test =
        TestScheduler::start(NOW, Scheduler::builder().register(minutely("work", nothing))).await.unwrap();
    let scheduler = test.scheduler();
    let job = scheduler.add_job_listener(Matcher::Everything, Ear::new("job", &log));
    let trigger = scheduler.add_trigger_listener(Matcher::Everything, Ear::new("trigger", &log));
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(log.take().len(), 4);
    assert!(scheduler.remove_listener(job));
    assert!(!scheduler.remove_listener(job));
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(log.take(), ["trigger fired work", "trigger completed work succeeded"]);
    assert!(scheduler.remove_listener(trigger));
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test]
async fn listeners_hear_of_misfires() {
    let log = Log::default();
    let hourly = Trigger::every(Duration::from_secs(3600)).name("hourly").misfire(Misfire::Skip);
    let builder = Scheduler::builder()
        .register(JobDefinition::new(detail("work"), nothing).with_trigger(hourly))
        .trigger_listener(Matcher::Everything, Ear::new("trigger", &log));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    log.take();
    let paused = Selection::Trigger("hourly".parse().unwrap());
    test.scheduler().pause(paused.clone()).await.unwrap();
    test.advance(Duration::from_secs(9000)).await;
    test.scheduler().resume(paused).await.unwrap();
    test.run_due().await;
    assert_eq!(log.take(), ["trigger misfired hourly 01:00 03:00"]);
}

#[tokio::test]
async fn listeners_hear_of_a_run_that_was_aborted_or_panicked() {
    let log = Log::default();
    let deaf = |context: JobContext| async move {
        context.clock().sleep(Duration::from_secs(3600)).await;
        Ok(())
    };
    let panics = |_: JobContext| async { panic!("the table is empty") };
    let builder = Scheduler::builder()
        .register(minutely("deaf", deaf))
        .register(minutely("panics", panics))
        .cancel_grace(Duration::ZERO)
        .job_listener(Matcher::Everything, Ear::new("job", &log));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().cancel(Executions::OfJob("deaf".parse().unwrap())).await.unwrap();
    test.run_due().await;
    let mut ends: Vec<_> = log.take().into_iter().filter(|line| line.contains("ended")).collect();
    ends.sort();
    assert_eq!(ends, ["job ended deaf cancelled", "job ended panics panicked"]);
}

struct Layer(&'static str, Log);

impl Middleware for Layer {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        self.1.note(format!("{} in", self.0));
        let outcome = next.run(context).await;
        self.1.note(format!("{} out {}", self.0, outcome.word()));
        outcome
    }
}

/// Answers for jobs in maintenance.
struct Maintenance;

impl Middleware for Maintenance {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        if context.job_key().name() == "closed" {
            return Outcome::Failed(JobError::new("closed for maintenance"));
        }
        next.run(context).await
    }
}

#[tokio::test]
async fn middleware_is_layered_and_may_answer_for_the_job() {
    let log = Log::default();
    let inner = log.clone();
    let body = move |context: JobContext| {
        inner.note(context.job_key().to_string());
        nothing(context)
    };
    let builder = Scheduler::builder()
        .register(JobDefinition::new(
            JobDetail::builder("open".parse().unwrap(), "open").build(),
            body.clone(),
        ))
        .register(JobDefinition::new(JobDetail::builder("closed".parse().unwrap(), "closed").build(), body))
        .middleware(Layer("outer", log.clone()))
        .middleware(Layer("inner", log.clone()))
        .middleware(Maintenance);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let job = |name: &str| {
        scheduler_core::job::Invocation::new(JobDetail::builder(name.parse().unwrap(), name).build())
    };
    assert!(test.run_one(job("open")).await.is_success());
    assert_eq!(log.take(), ["outer in", "inner in", "open", "inner out succeeded", "outer out succeeded"]);
    let outcome = test.run_one(job("closed")).await;
    assert!(outcome.failure().unwrap().contains("closed for maintenance"));
    assert_eq!(log.take(), ["outer in", "inner in", "inner out failed", "outer out failed"]);
}

#[tokio::test]
async fn a_middleware_is_tested_alone() {
    let builder = Scheduler::builder().register(minutely("work", nothing));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let context = Arc::new(Mutex::new(None));
    struct Steal(Arc<Mutex<Option<JobContext>>>);
    impl JobListener for Steal {
        async fn to_be_executed(&self, context: &JobContext) {
            *self.0.lock() = Some(context.clone());
        }
    }
    test.scheduler().add_job_listener(Matcher::Everything, Steal(context.clone()));
    test.advance(Duration::from_secs(60)).await;
    let context = context.lock().take().unwrap();
    let log = Log::default();
    let next = Next::answering(async { Err::<(), _>(JobError::new("no")) });
    let outcome = Layer("alone", log.clone()).handle(context, next).await;
    assert_eq!((outcome.word(), log.take()), ("failed", vec!["alone in".into(), "alone out failed".into()]));
}

struct Everything(Log);

impl SchedulerListener for Everything {
    async fn on_event(&self, event: &Event) {
        let value = serde_json::to_value(event).unwrap();
        self.0.note(value["event"].as_str().unwrap());
    }
}

#[tokio::test]
async fn one_stream_tells_everything() {
    let log = Log::default();
    let builder = Scheduler::builder().register(minutely("work", nothing)).listener(Everything(log.clone()));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    log.take();
    let (scheduler, key) = (test.scheduler(), "work".parse::<TriggerKey>().unwrap());
    scheduler.pause(Selection::All).await.unwrap();
    scheduler.resume(Selection::All).await.unwrap();
    scheduler.unschedule(&key).await.unwrap();
    scheduler.standby().unwrap();
    scheduler.start().await.unwrap();
    scheduler.delete_job(&"work".parse::<JobKey>().unwrap()).await.unwrap();
    scheduler.clear().await.unwrap();
    test.run_due().await;
    let heard = log.take();
    for event in ["paused", "resumed", "unscheduled", "state", "cleared"] {
        assert!(heard.iter().any(|line| line == event), "{event} is not among {heard:?}");
    }
}

#[tokio::test]
async fn a_slow_reader_hears_how_much_it_has_missed() {
    let test =
        TestScheduler::start(NOW, Scheduler::builder().register(minutely("work", nothing))).await.unwrap();
    let mut events = test.scheduler().events();
    for _ in 0..3000 {
        test.scheduler().pause(Selection::All).await.unwrap();
        test.scheduler().resume(Selection::All).await.unwrap();
    }
    let first = events.next().await.unwrap();
    assert!(matches!(first, Event::Missed { count } if count >= 1000), "{first:?}");
    assert!(!matches!(events.next().await.unwrap(), Event::Missed { .. }), "the rest is there");
}

/// Waits at its first event until it may go on; counts what it hears and what it is told to have missed.
struct Slow {
    gate: Arc<tokio::sync::Semaphore>,
    heard: Arc<Mutex<(u64, Vec<u64>)>>,
}

impl SchedulerListener for Slow {
    async fn on_event(&self, event: &Event) {
        let _permit = self.gate.acquire().await.unwrap();
        let mut heard = self.heard.lock();
        match event {
            Event::Missed { count } => heard.1.push(*count),
            _ => heard.0 += 1,
        }
    }
}

/// Bursts of events, each while the readers stand still; how many of them are too many for the readers.
async fn assert_missed(bursts: &[usize], gaps: usize) {
    let (gate, heard) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(Mutex::new((0, Vec::new()))));
    let slow = Slow { gate: gate.clone(), heard: heard.clone() };
    let clock = ManualClock::at(NOW);
    let builder = Scheduler::builder().clock(clock.clone()).listener(slow);
    let scheduler = builder.build().unwrap();
    let mut events = scheduler.events();
    scheduler.start().await.unwrap();
    let (mut read, mut told) = (0, Vec::new());
    for burst in bursts {
        for _ in 0..*burst {
            scheduler.pause(Selection::All).await.unwrap();
        }
        // The last event says that everything was read.
        scheduler.resume(Selection::All).await.unwrap();
        loop {
            match events.next().await.unwrap() {
                Event::Missed { count } => told.push(count),
                Event::Resumed { .. } => break,
                _ => read += 1,
            }
        }
        read += 1;
        gate.add_permits(1);
        clock.settle().await;
        gate.acquire().await.unwrap().forget();
    }
    // And that the scheduler runs.
    let sent = bursts.iter().map(|burst| *burst as u64 + 1).sum::<u64>() + 1;
    let (heard, missed) = heard.lock().clone();
    assert_eq!((heard + missed.iter().sum::<u64>(), missed.len()), (sent, gaps), "{heard} and {missed:?}");
    assert_eq!((read + told.iter().sum::<u64>(), told.len()), (sent, gaps), "{read} and {told:?}");
}

#[tokio::test]
async fn h05_the_number_of_missed_events_is_right_for_streams_and_listeners() {
    assert_missed(&[100], 0).await;
    assert_missed(&[10_000], 1).await;
    assert_missed(&[10_000, 3], 1).await;
    assert_missed(&[10_000, 3, 6000, 5000], 3).await;
}
