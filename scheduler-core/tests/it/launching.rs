//! One pipeline, whoever launches a job: the same function under the same assertions, once for each launcher.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::host::{
    Host, HostBuilder, HostHandle, JobQueue, Supervision, background, every, start_up,
};
use scheduler_core::job::{
    Invocation, JobContext, JobDefinition, JobDetail, JobError, JobResult, Launcher, Outcome, Scoped, State,
};
use scheduler_core::scheduler::{Event, JobListener, Middleware, Next, TriggerListener};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Matcher, Scheduler};
use tokio::task::JoinHandle;

use crate::logged;

const NOW: &str = "2026-03-01T00:00:00Z";

type Log = Arc<Mutex<Vec<String>>>;

/// What launches the job of a test, and what the context, the events and the span call it.
const LAUNCHERS: [&str; 6] = ["trigger", "run", "start-up", "queue q", "service work", "timer work"];

/// What the job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Succeeds,
    Fails,
    Panics,
    /// Is not called, since a listener refuses it.
    Vetoed,
    /// Has its token and does not go by it.
    Lingers,
    /// Has no token.
    IsDeaf,
}

#[derive(Clone)]
struct Plan {
    act: Act,
    log: Log,
    launchers: Arc<Mutex<Vec<Launcher>>>,
}

#[derive(Clone)]
struct Transaction;

/// The job of all launchers.
async fn work(State(plan): State<Plan>, _transaction: Scoped<Transaction>, context: JobContext) -> JobResult {
    plan.log.lock().push("work".to_owned());
    plan.launchers.lock().push(context.launcher().clone());
    tracing::info!(target: "scheduler::history", "inside of {:?} by {}", plan.act, context.launcher());
    match plan.act {
        Act::Succeeds | Act::Vetoed => Ok(()),
        Act::Fails => Err(JobError::new("no route")),
        Act::Panics => panic!("a bug"),
        Act::Lingers | Act::IsDeaf => {
            let _token = (plan.act == Act::Lingers).then(|| context.cancellation());
            context.clock().sleep(Duration::from_secs(9999)).await;
            Ok(())
        }
    }
}

/// Everything that can be around a run, with a name for the log.
struct Witness(&'static str, Plan);

impl Witness {
    fn note(&self, what: &str) {
        self.1.log.lock().push(format!("{} {what}", self.0));
    }
}

impl Middleware for Witness {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        self.note("in");
        let outcome = next.run(context).await;
        self.note(outcome.word());
        outcome
    }
}

impl JobListener for Witness {
    async fn to_be_executed(&self, _: &JobContext) {
        self.note("begins");
    }

    async fn vetoed(&self, _: &JobContext) {
        self.note("vetoed");
    }

    async fn was_executed(&self, _: &JobContext, outcome: &Outcome) {
        self.note(outcome.word());
    }
}

impl TriggerListener for Witness {
    async fn fired(&self, context: &JobContext) {
        self.note(&format!("fired {}", context.launcher()));
    }

    async fn veto(&self, _: &JobContext) -> bool {
        self.1.act == Act::Vetoed
    }

    async fn completed(&self, _: &JobContext, outcome: &Outcome) {
        self.note(outcome.word());
    }
}

struct Case {
    by: &'static str,
    clock: ManualClock,
    plan: Plan,
    handle: HostHandle,
    events: scheduler_core::scheduler::Events,
    running: JoinHandle<Result<scheduler_core::host::HostReport, scheduler_core::HostError>>,
}

fn detail(timeout: Option<Duration>) -> JobDetail {
    let detail = JobDetail::builder("work".parse().unwrap(), "work");
    match timeout {
        Some(timeout) => detail.timeout(timeout).build(),
        None => detail.build(),
    }
}

/// A host in which the launcher runs the job, with something around runs in the host, and more in its scheduler.
fn builder(by: &str, plan: &Plan, timeout: Option<Duration>) -> (HostBuilder, Option<JobQueue>) {
    let (begun, ended, detail) = (plan.log.clone(), plan.log.clone(), detail(timeout));
    let witness = |name| Witness(name, plan.clone());
    let host = Host::builder()
        .provide(plan.clone())
        .provide_scoped_with(
            move || {
                begun.lock().push("begin".to_owned());
                async { Ok::<_, JobError>(Transaction) }
            },
            move |_: Transaction, outcome: Outcome| {
                ended.lock().push(format!("end {}", outcome.word()));
                async { Ok::<(), JobError>(()) }
            },
        )
        .middleware(witness("outer"))
        .job_listener(Matcher::Everything, witness("job"))
        .stop_budget(Duration::from_secs(6));
    let scheduler = Scheduler::builder()
        .middleware(witness("inner"))
        .trigger_listener(Matcher::Everything, witness("trigger"));
    let job = JobDefinition::new(detail, work);
    match by {
        "trigger" => (host.register(job.with_trigger(Trigger::now())).scheduler(scheduler), None),
        "run" => (host.register(job).scheduler(scheduler), None),
        "start-up" => {
            let task = start_up("work", work);
            let task = match timeout {
                Some(time) => task.start_within(time),
                None => task,
            };
            (host.service(task).scheduler(scheduler), None)
        }
        "queue q" => {
            let queue = JobQueue::bounded(1).build();
            (host.register(job).queue("q", queue.clone()).scheduler(scheduler), Some(queue))
        }
        "service work" => {
            let service = background("work", work).may_end().supervise(Supervision::Ignore);
            (host.service(service).scheduler(scheduler), None)
        }
        _ => {
            let period = Duration::from_secs(86_400);
            let timer = every("work", period, work).first(scheduler_core::host::FirstTick::AtOnce);
            (host.service(timer).scheduler(scheduler), None)
        }
    }
}

impl Case {
    async fn launch(by: &'static str, act: Act, timeout: Option<Duration>) -> Self {
        logged::listen();
        let plan = Plan { act, log: Log::default(), launchers: Arc::default() };
        let (clock, (builder, queue)) = (ManualClock::at(NOW), builder(by, &plan, timeout));
        let host = builder.clock(clock.clone()).build().unwrap();
        let (handle, events) = (host.handle(), host.handle().runs());
        let running = tokio::spawn(host.run_until(std::future::pending()));
        let case = Self { by, clock, plan, handle, events, running };
        case.quiet().await;
        let job = || Invocation::new(detail(timeout));
        match queue {
            Some(queue) => drop(queue.enqueue(job()).await.unwrap()),
            None if by == "run" => {
                case.handle.scheduler().unwrap().enqueue(job()).await.unwrap();
            }
            None => {}
        }
        case.quiet().await;
        case
    }

    async fn quiet(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
            self.clock.settle().await;
        }
    }

    async fn advance(&self, time: Duration) {
        self.clock.advance(time).await;
        self.quiet().await;
    }

    async fn stop(&mut self) {
        self.handle.stop();
        for _ in 0..20 {
            self.quiet().await;
            if self.running.is_finished() {
                break;
            }
            self.clock.advance(Duration::from_secs(1)).await;
        }
        // A start-up task or service that fails makes a failure of the host; the pipeline is what is looked at here.
        drop((&mut self.running).await.unwrap());
    }

    fn log(&self) -> Vec<String> {
        self.plan.log.lock().clone()
    }

    /// The launcher and the end of each run, as the events tell them.
    async fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, self.events.next()).await {
            match event {
                Event::Fired { launcher, .. } => told.push(format!("fired by {launcher}")),
                Event::Ended { launcher, outcome, .. } => told.push(format!("{outcome} by {launcher}")),
                _ => {}
            }
        }
        told
    }

    /// What is around a run that has begun, up to the end of its body.
    fn begin(&self) -> Vec<String> {
        let fired = format!("trigger fired {}", self.by);
        [&*fired, "job begins", "outer in", "inner in", "begin", "work"].map(str::to_owned).to_vec()
    }
}

#[tokio::test]
async fn the_same_is_around_a_run_whoever_launches_it() {
    for by in LAUNCHERS {
        for (act, word) in [(Act::Succeeds, "succeeded"), (Act::Fails, "failed"), (Act::Panics, "panicked")] {
            let mut case = Case::launch(by, act, None).await;
            let ends = ["inner", "outer", "end", "job", "trigger"].map(|who| format!("{who} {word}"));
            assert_eq!(case.log(), [case.begin(), ends.to_vec()].concat(), "{by} {act:?}");
            case.stop().await;
            assert_eq!(case.told().await, [format!("fired by {by}"), format!("{word} by {by}")]);
            assert_eq!(case.plan.launchers.lock()[0].to_string(), by);
            let lines = logged::lines_with(&[&format!("inside of {act:?} by {by}")]);
            let span = format!("launcher={by} run=");
            assert!(lines[0].contains("run{job=") && lines[0].contains(&span), "{}", lines[0]);
            assert!(lines[0].contains(" attempt=1 execution="), "{}", lines[0]);
        }
    }
}

#[tokio::test]
async fn a_listener_can_refuse_a_run_whoever_launches_it() {
    for by in LAUNCHERS {
        let mut case = Case::launch(by, Act::Vetoed, None).await;
        assert_eq!(case.log(), [&*format!("trigger fired {by}"), "job vetoed"], "{by}");
        case.stop().await;
        assert_eq!(case.told().await, [format!("fired by {by}"), format!("vetoed by {by}")]);
    }
}

/// One that has its token gets the grace, 5 s, and one that has none is aborted at once.
#[tokio::test]
async fn a_run_that_takes_too_long_has_the_same_grace_whoever_launches_it() {
    let timeout = Duration::from_secs(2);
    for by in ["trigger", "run", "start-up", "queue q"] {
        for (act, grace) in [(Act::Lingers, Duration::from_secs(5)), (Act::IsDeaf, Duration::ZERO)] {
            let mut case = Case::launch(by, act, Some(timeout)).await;
            assert_eq!(case.log(), case.begin(), "{by}");
            case.advance(timeout + grace - Duration::from_millis(1)).await;
            assert_eq!(case.log(), case.begin(), "{by} {act:?}: it was aborted too early");
            case.advance(Duration::from_millis(1)).await;
            let ends = ["end", "job", "trigger"].map(|who| format!("{who} timed out"));
            assert_eq!(case.log(), [case.begin(), ends.to_vec()].concat(), "{by} {act:?}");
            case.stop().await;
            assert_eq!(case.told().await, [format!("fired by {by}"), format!("timed out by {by}")]);
        }
    }
}

#[tokio::test]
async fn a_run_that_does_not_stop_ends_as_cancelled_and_is_named_whoever_launches_it() {
    for by in LAUNCHERS {
        let mut case = Case::launch(by, Act::Lingers, None).await;
        assert_eq!(case.log(), case.begin(), "{by}");
        case.stop().await;
        let ends = ["end", "job", "trigger"].map(|who| format!("{who} cancelled"));
        assert_eq!(case.log(), [case.begin(), ends.to_vec()].concat(), "{by}");
        assert_eq!(case.told().await, [format!("fired by {by}"), format!("cancelled by {by}")]);
        let named =
            logged::lines_with(&["was cancelled and has stopped after", &format!("launcher={by} run=")]);
        assert!(!named.is_empty(), "{by}: {}", logged::text());
    }
}
