//! Building a scheduler; everything that is missing is reported at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::handle::{OwnHandle, Scheduler};
use super::queue_settings::QueueSettings;
use crate::calendar::Calendar;
use crate::client::bind;
use crate::client::{Hooks, Lengths};
use crate::declare::{Declarations, Declared};
use crate::engine::{Core, QueueOrder, Settings};
use crate::error::{Error, Result};
use crate::execute::{CANCEL_GRACE, Middleware, Pipeline, Surroundings};
use crate::job::provide_methods;
use crate::job::{IntoInvocation, Invocation, JobDefinition, Providers, Registry};
use crate::key::JobKey;
use crate::plugin::Plugin;
use crate::run::{FailureKind, RetryPolicy};
use crate::store::{JobStore, MemoryJobStore, Queries, QueueFilter, QueueLimits, StoreFuture};
use crate::time::{Clock, SystemClock};
use crate::trigger::{Misfire, Trigger, TriggerBuilder};
use crate::watch::{Listening, MakeOnDead, dead_hooks};

mod listeners;
mod queues;

/// Everything that keeps a scheduler or a host from being built.
///
/// The [source](std::error::Error::source) is the first error among the problems that has fields of its own, such as the trigger
/// that it is about.
#[derive(Clone, Default)]
pub struct BuildError {
    problems: Vec<String>,
    cause: Option<Arc<Error>>,
}

impl BuildError {
    /// Each problem in a sentence.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl BuildError {
    /// The same, with these problems instead.
    pub(crate) fn with(self, problems: Vec<String>) -> Self {
        Self { problems, ..self }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the scheduler cannot be built:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl fmt::Debug for BuildError {
    /// As a person wants to read it when `main` returns it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::config(error.to_string()).caused_by(error)
    }
}

/// Builds a [`Scheduler`].
///
/// Nothing here fails or touches the store; [`build`](Self::build) reports every problem at once:
///
/// ```
/// use scheduler_core::Scheduler;
/// use scheduler_core::job::{JobDefinition, JobDetail, State};
/// use scheduler_core::{JobKey, trigger::Trigger};
///
/// async fn bill(State(_rate): State<f64>) {}
///
/// let detail = JobDetail::builder(JobKey::new("bill")?, "bill").build();
/// let error = Scheduler::builder()
///     .register(JobDefinition::new(detail, bill).with_trigger(Trigger::cron("0 0 25 * * ?")))
///     .build()
///     .unwrap_err();
/// let problems = error.problems().join("\n");
/// assert!(problems.contains("needs a `f64`"), "{problems}");
/// assert!(problems.contains("hour field has `25` at column 5; use 0-23"), "{problems}");
/// # Ok::<(), scheduler_core::Error>(())
/// ```
#[must_use]
pub struct SchedulerBuilder {
    pub(super) settings: Settings,
    clock: Option<Arc<dyn Clock>>,
    store: Arc<dyn JobStore>,
    registry: Registry,
    providers: Providers,
    start_up: Vec<Invocation>,
    surroundings: Surroundings,
    cancel_grace: Duration,
    scheduler_listeners: Vec<Listening>,
    on_dead: Vec<MakeOnDead>,
    limits: QueueLimits,
    queues: QueueSettings,
    calendars: BTreeMap<Arc<str>, Arc<dyn Calendar>>,
    schedules: Vec<(Invocation, TriggerBuilder)>,
    #[cfg(feature = "schedule-file")]
    files: Vec<crate::plugin::ScheduleFile>,
    problems: Vec<String>,
}

impl fmt::Debug for SchedulerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SchedulerBuilder");
        out.field("settings", &self.settings).field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Default for SchedulerBuilder {
    fn default() -> Self {
        let settings = Settings {
            name: "scheduler".into(),
            node: node_name().into(),
            concurrency: 100,
            misfire_threshold: Duration::from_secs(60),
            misfire: Misfire::Smart,
            retry: RetryPolicy::default(),
            order: QueueOrder::default(),
            queues: QueueFilter::default(),
            lengths: Lengths::default(),
            hooks: Hooks::default(),
            prune: false,
            drains: true,
        };
        let mut providers = Providers::default();
        providers.insert(OwnHandle::default());
        Self {
            settings,
            clock: None,
            store: Arc::new(MemoryJobStore::new()),
            registry: Registry::default(),
            providers,
            start_up: Vec::new(),
            surroundings: Surroundings::default(),
            cancel_grace: CANCEL_GRACE,
            scheduler_listeners: Vec::new(),
            on_dead: Vec::new(),
            limits: QueueLimits::default(),
            queues: QueueSettings::default(),
            calendars: BTreeMap::new(),
            schedules: Vec::new(),
            #[cfg(feature = "schedule-file")]
            files: Vec::new(),
            problems: Vec::new(),
        }
    }
}

impl SchedulerBuilder {
    /// The name of the scheduler, in logs and as the name of its thread. Default: `scheduler`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// What people call this node among those that share a store. Default: the name of the machine and the number of the
    /// process.
    pub fn node_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.node = name.into();
        self
    }

    /// How many executions may be under way at once. Default: 100. At least 1.
    pub fn concurrency(mut self, executions: usize) -> Self {
        self.settings.concurrency = executions;
        self
    }

    /// How late a firing may be before the misfire policy of its trigger applies. Default: 60 s.
    pub fn misfire_threshold(mut self, threshold: Duration) -> Self {
        self.settings.misfire_threshold = threshold;
        self
    }

    /// The misfire policy of triggers that set none. Default: [`Misfire::Smart`].
    pub fn misfire(mut self, policy: Misfire) -> Self {
        self.settings.misfire = policy;
        self
    }

    /// The retry policy of enqueued runs for which neither the call nor the job has one. Default: ten retries after 15 s, 30 s, 1 min
    /// and so on, which are about four hours in all. [`RetryPolicy::never`] makes such a run dead when it fails.
    ///
    /// An occurrence of a trigger is not retried without a policy of its job, since the next occurrence follows. A policy
    /// that does not retry [lost](crate::run::FailureKind::Lost) runs is refused when the scheduler is built: the store that finds a run
    /// lost does not know the policy of the scheduler.
    pub fn retry_enqueued(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry = policy;
        self
    }

    /// How long a run that has exceeded its timeout and watches its cancellation token may take to stop. Default: 5 s.
    /// A run that does not watch its token is aborted at its timeout. Once a run was asked to stop, the close hook of a scoped
    /// value and a listener at the end of the run have the same time, then they are dropped.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.cancel_grace = grace;
        self
    }

    /// Where the time comes from. Default: what the [store](JobStore::clock) goes by, or else the machine's clocks.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Where jobs and triggers live. Default: in memory.
    pub fn store(mut self, store: impl JobStore) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// A job that this scheduler can run. Several jobs may share one function, each with a key of its own.
    ///
    /// The rules of a job that is stored already are replaced by those of the code when the scheduler starts: timeout, function,
    /// `disallow_concurrent`, `persist_data` and `requests_recovery`. A warning says once for each job what has differed. The
    /// data of the stored job stays.
    pub fn register(mut self, definition: JobDefinition) -> Self {
        self.registry.register(definition);
        self
    }

    /// Every job that is annotated with `#[job]` or `#[derive(Job)]` in a crate that is linked into this program.
    ///
    /// A crate of which nothing is used may not be linked; the jobs found are logged at start.
    #[cfg(feature = "macros")]
    pub fn discover_jobs(mut self) -> Self {
        self.registry.discover();
        self
    }

    /// Code around every execution; the first one that is added is the outermost.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.surroundings.middleware.push(Arc::new(middleware));
        self
    }

    /// Takes over what the host has: its clock, its values, its jobs, what is around its runs. Returns what both have.
    pub(crate) fn adopt(
        &mut self,
        clock: Option<Arc<dyn Clock>>,
        values: &Providers,
        jobs: &Registry,
        surroundings: Surroundings,
    ) -> Vec<&'static str> {
        self.clock = clock.or(self.clock.take());
        self.surroundings.adopt(surroundings);
        self.registry.adopt(jobs);
        self.providers.merge(values)
    }

    /// The jobs that were registered so far.
    pub(crate) fn jobs(&self) -> &Registry {
        &self.registry
    }

    /// The values that were provided so far.
    pub(crate) fn values(&self) -> &Providers {
        &self.providers
    }

    /// Adds what a plugin has.
    pub fn plugin(self, plugin: impl Plugin) -> Self {
        plugin.install(self)
    }

    #[cfg(feature = "schedule-file")]
    pub(crate) fn schedule_file(mut self, file: crate::plugin::ScheduleFile) -> Self {
        self.files.push(file);
        self
    }

    /// Removes at start what an earlier version of this program has declared and this one does not: triggers that
    /// carry the [name](Self::name) of this scheduler as their [declarer](crate::trigger::Trigger::declared_by). Default:
    /// false, and a warning names them at each start.
    pub fn prune_undeclared(mut self, prune: bool) -> Self {
        self.settings.prune = prune;
        self
    }

    /// Whether [`shutdown`](Scheduler::shutdown) first runs what is due, if the store
    /// [forgets](crate::store::JobStore::forgets) it otherwise: as far as there is time before runs are asked to stop. What
    /// becomes due later, in seconds or days, is not waited for. A store that keeps its work leaves it for the next start.
    /// Default: true.
    pub fn drain_at_shutdown(mut self, drain: bool) -> Self {
        self.settings.drains = drain;
        self
    }

    /// A calendar under the name by which triggers ask for it, put into the store at start in place of one that is there.
    pub fn calendar(mut self, name: impl Into<Arc<str>>, calendar: impl Calendar) -> Self {
        let name = name.into();
        self.problems.extend(calendar.problem().map(|problem| format!("calendar `{name}`: {problem}")));
        if self.calendars.insert(name.clone(), Arc::new(calendar)).is_some() {
            self.problems.push(format!("two calendars are named `{name}`; give one another name"));
        }
        self
    }

    /// A job with a schedule, put in place at start beside those that jobs declare themselves. One that is stored already
    /// and fires at the same times goes on from where it is, paused or not; a changed one begins anew.
    pub fn schedule(mut self, job: impl IntoInvocation, trigger: TriggerBuilder) -> Self {
        self.schedules.push((job.into_invocation(), trigger));
        self
    }

    /// A job that runs to its end at start, before any trigger fires: a migration, a warm-up. They run one after the
    /// other; if one fails, the start fails. They wait for no limit of a queue, since a full queue on another node
    /// would hold up the start.
    pub fn before_start(mut self, job: impl IntoInvocation) -> Self {
        self.start_up.push(job.into_invocation());
        self
    }

    /// The scheduler, not yet started.
    ///
    /// # Errors
    ///
    /// All problems at once: values that jobs need and nobody provides, names that two jobs share, schedules that
    /// cannot be, jobs that are not registered.
    pub fn build(mut self) -> Result<Scheduler, BuildError> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend(self.registry.problems(&self.providers).iter().map(ToString::to_string));
        if self.settings.concurrency == 0 {
            problems.push("the concurrency is 0; allow at least 1 execution".to_owned());
        }
        problems.extend(self.problem_of_retries());
        let (order, queues, wrong) = std::mem::take(&mut self.queues).checked();
        (self.settings.order, self.settings.queues) = (order, queues);
        problems.extend(wrong);
        problems.extend(self.start_up.iter().filter_map(|job| self.unrunnable(job)));
        let declared = self.declared();
        let clock = self.clock.take().or_else(|| self.store.clock()).unwrap_or_else(|| Arc::new(SystemClock));
        let now = clock.now();
        let mut schedules: Vec<Declared> = Vec::with_capacity(declared.len());
        let mut cause = None;
        let (mut names, mut unnamed) = (HashSet::new(), HashMap::<JobKey, usize>::new());
        for (job, trigger) in declared {
            problems.extend(self.registry.unknown(job.detail()));
            let own_start = trigger.has_start();
            let trigger = trigger.or_misfire(self.settings.misfire).declared_by(&self.settings.name);
            // The same name at each start: that of the job, then `name-2` and so on.
            let name = || {
                let count = unnamed.entry(job.key().clone()).or_default();
                *count += 1;
                let of_job = job.key().name();
                Some(if *count == 1 { of_job.to_owned() } else { format!("{of_job}-{count}") })
            };
            match bind(&job, trigger, now, name) {
                Ok(trigger) if !names.insert(trigger.key().clone()) => {
                    problems
                        .push(format!("two triggers are named `{}`; give one another name", trigger.key()));
                }
                Ok(trigger) => {
                    problems.extend(self.registry.misfit(job.detail(), trigger.data()));
                    problems.extend(self.missing_calendar(&trigger));
                    schedules.push(Declared { job, trigger, own_start, place: None });
                }
                Err(error) => {
                    problems.push(error.to_string());
                    cause.get_or_insert_with(|| Arc::new(error));
                }
            }
        }
        if !problems.is_empty() {
            return Err(BuildError { problems, cause });
        }
        self.scheduler_listeners.extend(dead_hooks(self.on_dead, &self.registry, &clock));
        let pipeline = Pipeline::new(clock, Arc::new(self.providers), self.surroundings, self.cancel_grace);
        let mut core = Core::new(self.settings, self.store, self.registry, pipeline);
        core.start_up = self.start_up;
        core.limits = self.limits.into();
        let declared = Declarations {
            calendars: self.calendars.into_iter().collect(),
            schedules,
            #[cfg(feature = "schedule-file")]
            files: self.files,
        };
        Ok(Scheduler::new(core, declared, self.scheduler_listeners))
    }

    /// The fault of the retry policy for enqueued runs, if it has one.
    fn problem_of_retries(&self) -> Option<String> {
        let policy = &self.settings.retry;
        let knows_lost = policy.retries(FailureKind::Lost);
        let lost = || {
            (!knows_lost).then(|| {
                "leaves out `lost`, but the store that finds a run lost does not know this policy; add `lost`, or set the policy \
                 of the jobs"
                    .to_owned()
            })
        };
        let problem = policy.checked().err().map(|problem| problem.to_string()).or_else(lost)?;
        Some(format!("the retry policy of enqueued runs: {problem}"))
    }

    /// Why a start-up job cannot run; none if it can.
    fn unrunnable(&self, job: &Invocation) -> Option<String> {
        let (detail, data) = (job.detail(), job.data().ok()?);
        self.registry.unknown(detail).or_else(|| self.registry.misfit(detail, data))
    }

    /// That nobody provides the calendar of a trigger. A store that keeps what it has may have one of an earlier start; that is
    /// looked at when the scheduler starts.
    fn missing_calendar(&self, trigger: &Trigger) -> Option<String> {
        let name = trigger.calendar().filter(|name| !self.calendars.contains_key(*name))?;
        if !self.store.forgets() {
            return None;
        }
        let stored = at_once(self.store.calendars())?.ok()?;
        if stored.iter().any(|(known, _)| **known == *name) {
            return None;
        }
        let near = scheduler_syntax::nearest(name, self.calendars.keys().map(|known| &**known));
        let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        let trigger = trigger.key();
        Some(format!(
            "trigger `{trigger}` names the calendar `{name}`, which is not there{hint}; add it with `.calendar(\"{name}\", …)`"
        ))
    }

    /// The schedules of the builder and those that jobs declare themselves.
    fn declared(&mut self) -> Vec<(Invocation, TriggerBuilder)> {
        let mut all = std::mem::take(&mut self.schedules);
        for definition in self.registry.in_order() {
            let job = Invocation::new(definition.detail().clone());
            all.extend(definition.triggers().iter().map(|trigger| (job.clone(), trigger.clone())));
        }
        all
    }
}

provide_methods!(SchedulerBuilder);

/// The output of a future that has nothing to wait for.
fn at_once<T>(mut future: StoreFuture<'_, T>) -> Option<Result<T>> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn node_name() -> String {
    let file = || std::fs::read_to_string("/etc/hostname").ok();
    let machine = std::env::var("HOSTNAME").ok().or_else(file).unwrap_or_default();
    let machine = machine.trim();
    format!("{}-{}", if machine.is_empty() { "node" } else { machine }, std::process::id())
}
