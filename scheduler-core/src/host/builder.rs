//! Building a host: everything that is wrong is reported at once, in every environment.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::core::HostCore;
use super::definition::{Hosted, Kind, Rules, ServiceDefinition};
use super::health::{ServiceState, Successes};
use super::order::Order;
use super::queue::JobQueue;
use super::run::{Entry, Host};
use super::scheduled::SchedulerService;
use super::service::{ErasedService, ServiceContext};
use crate::execute::{CANCEL_GRACE, Middleware, Pipeline, Surroundings};
use crate::job::{JobDefinition, Need, Providers, Registry, provide_methods};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Matcher;
use crate::scheduler::{BuildError, SchedulerBuilder};
use crate::time::{Clock, SystemClock};
use crate::watch::{JobListener, TriggerListener};

/// The name of the scheduler among the services.
const SCHEDULER: &str = "scheduler";

/// Builds a [`Host`].
#[must_use]
pub struct HostBuilder {
    clock: Option<Arc<dyn Clock>>,
    providers: Providers,
    registry: Registry,
    services: Vec<ServiceDefinition>,
    queues: Vec<(Arc<str>, JobQueue)>,
    scheduler: Option<SchedulerBuilder>,
    stop_budget: Duration,
    drain_delay: Duration,
    successes: Successes,
    surroundings: Surroundings,
    problems: Vec<String>,
}

impl Default for HostBuilder {
    fn default() -> Self {
        Self {
            clock: None,
            providers: Providers::default(),
            registry: Registry::default(),
            services: Vec::new(),
            queues: Vec::new(),
            scheduler: None,
            stop_budget: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            successes: Successes::default(),
            surroundings: Surroundings::default(),
            problems: Vec::new(),
        }
    }
}

impl HostBuilder {
    /// Where the time comes from, for everything in the host. Default: the machine.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Adds a service.
    pub fn service(mut self, service: impl Into<ServiceDefinition>) -> Self {
        self.services.push(service.into());
        self
    }

    /// Adds a queue, which is served from the start to the stop of the host.
    pub fn queue(mut self, name: &str, queue: JobQueue) -> Self {
        self.queues.push((name.into(), queue));
        self
    }

    /// Adds a scheduler, as the service `scheduler`. It shares the clock, the values and the jobs of the host.
    pub fn scheduler(mut self, scheduler: SchedulerBuilder) -> Self {
        if self.scheduler.replace(scheduler).is_some() {
            self.problems.push("two schedulers are given; a host has one".to_owned());
        }
        self
    }

    /// Adds a job, for queues and the scheduler.
    pub fn register(mut self, definition: JobDefinition) -> Self {
        self.registry.register(definition);
        self
    }

    /// Adds every job of the program that was made with `#[job]` or `#[derive(Job)]`.
    #[cfg(feature = "macros")]
    pub fn discover_jobs(mut self) -> Self {
        self.registry.discover();
        self
    }

    /// How long the stop may take, all services together. Default: 30 s.
    pub fn stop_budget(mut self, budget: Duration) -> Self {
        self.stop_budget = budget;
        self
    }

    /// How long everything goes on between the request to stop and the stop, while the host is no longer ready: time for a
    /// load balancer to notice. Default: none.
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay = delay;
        self
    }

    /// The host is not healthy when this job has not succeeded for so long.
    pub fn expect_success(self, job: JobKey, within: Duration) -> Self {
        self.successes.expect(job, within);
        self
    }

    /// Code around every run, whoever launches it: the scheduler, a queue, a start-up task, a service, a timer. The first one that
    /// is added is the outermost, and those of the scheduler are inside.
    ///
    /// ```
    /// use scheduler_core::host::Host;
    /// use scheduler_core::job::{JobContext, Outcome};
    /// use scheduler_core::scheduler::{Middleware, Next};
    ///
    /// struct Logs;
    ///
    /// impl Middleware for Logs {
    ///     async fn handle(&self, context: JobContext, next: Next) -> Outcome {
    ///         println!("{} was launched by {}", context.job_key(), context.launcher());
    ///         next.run(context).await
    ///     }
    /// }
    ///
    /// let builder = Host::builder().middleware(Logs);
    /// ```
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.surroundings.middleware.push(Arc::new(middleware));
        self
    }

    /// A listener to the runs of the jobs that match, whoever launches them. The function of a start-up task, a service or a
    /// timer is a job in the group `start-up`, `service` or `timer`.
    pub fn job_listener(self, jobs: Matcher<JobKey>, listener: impl JobListener) -> Self {
        self.surroundings.listeners.add_job(jobs, listener);
        self
    }

    /// A listener to what the triggers that match launch; it may refuse it. A launcher of the host counts as a trigger that is
    /// named after it, such as `queue mails/7`.
    pub fn trigger_listener(self, triggers: Matcher<TriggerKey>, listener: impl TriggerListener) -> Self {
        self.surroundings.listeners.add_trigger(triggers, listener);
        self
    }

    /// The host, not yet started.
    ///
    /// # Errors
    ///
    /// All problems at once: names that are used twice, services that come after nobody or after each other, values that jobs,
    /// services and factories need and nobody provides, and whatever is wrong with the scheduler.
    pub fn build(mut self) -> Result<Host, BuildError> {
        let mut problems = std::mem::take(&mut self.problems);
        let mut surroundings = std::mem::take(&mut self.surroundings);
        if !self.successes.is_empty() {
            surroundings.listeners.add_job(Matcher::Everything, self.successes.clone());
        }
        let (has_scheduler, mut of_scheduler) = (self.scheduler.is_some(), None::<BuildError>);
        let scheduler = match self.scheduler.take() {
            None => {
                let declares = |definition: &&JobDefinition| !definition.triggers().is_empty();
                let idle = self.registry.in_order().into_iter().filter(declares).map(|job| {
                    let name = job.detail().job_type();
                    format!("job `{name}` ({}) declares a trigger, and the host has no scheduler; call `.scheduler(…)`", job.place())
                });
                problems.extend(idle);
                problems.extend(self.registry.problems(&self.providers).iter().map(ToString::to_string));
                None
            }
            Some(mut builder) => {
                let around = std::mem::take(&mut surroundings);
                let both = builder.adopt(self.clock.clone(), &self.providers, &self.registry, around);
                problems.extend(both.iter().map(|name| {
                    format!("`{name}` is provided to the host and to its scheduler; provide it once")
                }));
                self.registry.adopt(builder.jobs());
                self.providers = builder.values().clone();
                let built = builder.build();
                let mut note = |error: BuildError| {
                    problems.extend_from_slice(error.problems());
                    of_scheduler = Some(error);
                };
                built.map_err(&mut note).ok()
            }
        };
        problems.extend(self.service_problems());
        if !has_scheduler {
            problems.extend(self.wants_scheduler());
        }
        let (layers, disorder) = self.order(has_scheduler).layers();
        problems.extend(disorder);
        if !problems.is_empty() {
            return Err(of_scheduler.unwrap_or_default().with(problems));
        }
        let clock = self.clock.take().unwrap_or_else(|| Arc::new(SystemClock));
        let own = std::mem::take(&mut self.providers);
        let pipeline = match &scheduler {
            Some(scheduler) => scheduler.pipeline().clone(),
            None => Arc::new(Pipeline::new(clock.clone(), Arc::new(own), surroundings, CANCEL_GRACE)),
        };
        let core = Arc::new(HostCore::new(clock, pipeline, scheduler, self.successes.clone()));
        let (stop_budget, drain_delay) = (self.stop_budget, self.drain_delay);
        let entries = self.entries(&core)?;
        Ok(Host { core, entries, layers, stop_budget, drain_delay })
    }

    /// What comes after what: the services, the queues, the scheduler.
    fn order(&self, scheduler: bool) -> Order<'_> {
        let queues: Vec<_> = self.queues.iter().map(|(name, _)| &**name).collect();
        Order::new(&self.services, &queues, scheduler.then_some(SCHEDULER), &self.providers, &self.registry)
    }

    fn service_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut seen: BTreeMap<Arc<str>, String> = BTreeMap::new();
        seen.insert(SCHEDULER.into(), "the scheduler".to_owned());
        let places =
            self.services.iter().map(|service| (&service.rules.name, service.rules.place.to_string()));
        let queues = self.queues.iter().map(|(name, _)| (name, "a queue".to_owned()));
        for (name, place) in places.chain(queues) {
            if let Some(other) = seen.insert(name.clone(), place.clone()) {
                problems.push(format!(
                    "two services are named `{name}`: {other} and {place}; give one another name"
                ));
            }
        }
        for service in &self.services {
            let unmet = service.rules.needs.iter().filter(|need| !is_own_context(need));
            let unmet = unmet.filter_map(|need| self.providers.problem_with(need));
            let place = service.rules.place;
            problems
                .extend(unmet.map(|problem| format!("service `{}` ({place}) {problem}", service.rules.name)));
        }
        problems
    }

    /// What works with a scheduler only.
    fn wants_scheduler(&self) -> Vec<String> {
        let once = |service: &&ServiceDefinition| matches!(&service.kind, Kind::StartUp(task) if task.once.is_some());
        let tasks = self.services.iter().filter(once).map(|task| {
            let (name, place) = (&task.rules.name, task.rules.place);
            format!("task `{name}` ({place}) is to run once per cluster, and the host has no scheduler; call `.scheduler(…)`")
        });
        let queues = self.queues.iter().filter(|(_, queue)| queue.needs_scheduler()).map(|(name, _)| {
            format!("the queue `{name}` is to keep its jobs at the stop, and the host has no scheduler; call `.scheduler(…)`")
        });
        tasks.chain(queues).collect()
    }

    fn entries(self, core: &Arc<HostCore>) -> Result<Vec<Entry>, BuildError> {
        let registry = Arc::new(self.registry);
        let mut entries = Vec::new();
        for definition in self.services {
            let ServiceDefinition { rules, kind } = definition;
            let Rules { name, start_within, stop_within, .. } = rules;
            let (service, start_within): (Arc<dyn ErasedService>, _) = match kind {
                Kind::Hosted(Hosted(service)) => (service, start_within),
                Kind::Background(background) => (Arc::new(background), start_within),
                // Its limit is for each attempt.
                Kind::StartUp(mut task) => {
                    task.start_within = start_within;
                    (Arc::new(task), None)
                }
            };
            entries.push(entry(name, service, core, start_within, stop_within));
        }
        for (name, queue) in self.queues {
            if !queue.bind(name.clone(), registry.clone(), core.clone()) {
                let problem = format!("the queue `{name}` belongs to another host already");
                return Err(BuildError::default().with(vec![problem]));
            }
            entries.push(entry(name, queue.service(), core, None, None));
        }
        if let Some(scheduler) = &core.scheduler {
            let service = SchedulerService { scheduler: scheduler.clone(), tasks: core.tasks.clone() };
            let service = Arc::new(service);
            entries.push(entry(SCHEDULER.into(), service, core, None, None));
        }
        Ok(entries)
    }
}

provide_methods!(HostBuilder);

impl Host {
    /// Starts to build a host.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }
}

fn is_own_context(need: &Need) -> bool {
    need.type_id() == TypeId::of::<ServiceContext>()
}

fn entry(
    name: Arc<str>,
    service: Arc<dyn ErasedService>,
    core: &Arc<HostCore>,
    start_within: Option<Duration>,
    stop_within: Option<Duration>,
) -> Entry {
    core.set_state(&name, ServiceState::Waiting);
    let (stop, ready) = (CancellationToken::new(), Arc::new(watch::Sender::new(false)));
    let context = ServiceContext { name, core: core.clone(), stop, run: None, ready };
    Entry { service, context, start_within, stop_within }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder").field("services", &self.services).finish_non_exhaustive()
    }
}
