//! Who hears of what happens.

use std::future::Future;
use std::sync::Arc;

use super::SchedulerBuilder;
use crate::client::Enqueuing;
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Matcher;
use crate::run::DeadRun;
use crate::watch::{Event, JobListener, OnDead, SchedulerListener, TriggerListener};

impl SchedulerBuilder {
    /// A listener to the executions of the jobs that match. Listeners are called in the order in which they were added.
    pub fn job_listener(self, jobs: Matcher<JobKey>, listener: impl JobListener) -> Self {
        self.surroundings.listeners.add_job(jobs, listener);
        self
    }

    /// A listener to the firings of the triggers that match.
    pub fn trigger_listener(self, triggers: Matcher<TriggerKey>, listener: impl TriggerListener) -> Self {
        self.surroundings.listeners.add_trigger(triggers, listener);
        self
    }

    /// A listener to everything that happens.
    pub fn listener(self, listener: impl SchedulerListener) -> Self {
        self.listener_to(|_| true, listener)
    }

    /// A listener to the events for which `wants` is true. No other event takes a place in the queue of the listener, so a slow listener to
    /// rare events misses none of them in a busy scheduler.
    pub fn listener_to(mut self, wants: fn(&Event) -> bool, listener: impl SchedulerListener) -> Self {
        self.scheduler_listeners.push((Arc::new(listener), wants));
        self
    }

    /// Code that sees, and may change, each run that is enqueued: by this scheduler, by its [client](crate::Scheduler::client), and by the
    /// jobs that it runs. Several are called in the order in which they were added. Other programs need the same setting. See
    /// [`Enqueuing`].
    pub fn enqueuing(mut self, hook: impl Enqueuing) -> Self {
        self.settings.hooks.add(hook);
        self
    }

    /// A function that is called for each run of which no retry is left, one after the other: to page somebody, or to open a ticket. A job
    /// can have [one of its own](crate::job::JobDefinition::on_dead).
    ///
    /// ```
    /// use scheduler_core::Scheduler;
    ///
    /// let builder = Scheduler::builder().on_dead(|dead| async move {
    ///     println!("run {} of `{}` is dead after {} attempts: {}", dead.run, dead.job, dead.attempts, dead.error);
    /// });
    /// ```
    ///
    /// Exactly one node hears of a dead run, after the store has noted it: the node of the last attempt, or, if that has died,
    /// the one that found it dead. The call is made at most once: it is lost if that node ends before. So whoever must not miss a dead run
    /// also looks at [`RunQuery::dead`](crate::store::RunQuery::dead) from time to time. Occurrences of triggers whose jobs have no retry policy
    /// are never dead.
    ///
    /// Nothing waits for the function. A panic is logged. A call that takes more than 30 seconds is dropped. While a call goes on, up to
    /// 4,096 dead runs wait for the next ones, and a warning says how many were missed beyond.
    pub fn on_dead<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(DeadRun) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send,
    {
        self.on_dead.push(Box::new(|clock| Arc::new(OnDead::new(hook, None, clock))));
        self
    }
}
