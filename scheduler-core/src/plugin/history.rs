//! The history of a scheduler, written to `tracing`.

use chrono::{DateTime, Utc};

use super::Plugin;
use crate::job::{JobContext, Outcome};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Matcher;
use crate::scheduler::{JobListener, SchedulerBuilder, TriggerListener};
use crate::trigger::Trigger;

/// Writes a line for each firing, run, veto and misfire: what Quartz's history plugins do.
///
/// The lines have the target `scheduler::history` and fields named `job`, `trigger`, `execution`, `scheduled`, `next`,
/// `attempt`, `outcome` and `failure`. What went well is `info`, what did not is `warn`.
///
/// ```
/// use scheduler_core::plugin::HistoryLog;
/// use scheduler_core::{Matcher, Scheduler, Text};
///
/// // Everything, or the jobs of one group with whatever triggers them.
/// let builder = Scheduler::builder().plugin(HistoryLog::new());
/// let builder = Scheduler::builder().plugin(HistoryLog::new().of_jobs(Matcher::group(Text::is("billing"))));
/// ```
#[derive(Debug, Clone)]
pub struct HistoryLog {
    jobs: Matcher<JobKey>,
    triggers: Matcher<TriggerKey>,
}

impl Default for HistoryLog {
    fn default() -> Self {
        Self { jobs: Matcher::Everything, triggers: Matcher::Everything }
    }
}

impl HistoryLog {
    /// Of everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// These jobs alone, with whatever triggers them.
    #[must_use]
    pub fn of_jobs(self, jobs: Matcher<JobKey>) -> Self {
        Self { jobs, ..self }
    }

    /// Firings of these triggers alone.
    #[must_use]
    pub fn of_triggers(self, triggers: Matcher<TriggerKey>) -> Self {
        Self { triggers, ..self }
    }
}

impl Plugin for HistoryLog {
    fn install(self, builder: SchedulerBuilder) -> SchedulerBuilder {
        let of_triggers = Writer { jobs: self.jobs.clone() };
        builder.job_listener(self.jobs, Writer::default()).trigger_listener(self.triggers, of_triggers)
    }
}

#[derive(Default)]
struct Writer {
    /// Only lines of triggers of these jobs.
    jobs: Matcher<JobKey>,
}

impl JobListener for Writer {
    async fn to_be_executed(&self, context: &JobContext) {
        let (job, execution) = (context.job_key(), context.execution_id());
        let (trigger, attempt) = (context.trigger_key(), context.attempt());
        tracing::info!(target: "scheduler::history", %job, %trigger, %execution, attempt, "job `{job}` runs for trigger `{trigger}`");
    }

    async fn vetoed(&self, context: &JobContext) {
        let (job, execution) = (context.job_key(), context.execution_id());
        let trigger = context.trigger_key();
        tracing::warn!(target: "scheduler::history", %job, %trigger, %execution, "job `{job}` does not run: a listener has vetoed it");
    }

    async fn was_executed(&self, context: &JobContext, outcome: &Outcome) {
        let (job, execution, word) = (context.job_key(), context.execution_id(), outcome.word());
        match outcome.failure() {
            None => {
                tracing::info!(target: "scheduler::history", %job, %execution, outcome = word, "job `{job}` {word}");
            }
            Some(failure) if matches!(outcome, Outcome::Discarded(_)) => {
                tracing::info!(target: "scheduler::history", %job, %execution, outcome = word, failure, "job `{job}` {word}: {failure}");
            }
            Some(failure) => {
                tracing::warn!(target: "scheduler::history", %job, %execution, outcome = word, failure, "job `{job}` {word}: {failure}");
            }
        }
    }
}

impl TriggerListener for Writer {
    async fn fired(&self, context: &JobContext) {
        let (trigger, job) = (context.trigger_key(), context.job_key());
        if !self.jobs.matches(job) {
            return;
        }
        let (scheduled, next) = (context.scheduled_fire_time(), context.next_fire_time());
        tracing::info!(target: "scheduler::history", %trigger, %job, %scheduled, next = next.map(display), "trigger `{trigger}` fired");
    }

    async fn misfired(&self, trigger: &Trigger, scheduled: DateTime<Utc>, next: Option<DateTime<Utc>>) {
        let key = trigger.key();
        if !self.jobs.matches(trigger.job()) {
            return;
        }
        tracing::warn!(target: "scheduler::history", trigger = %key, %scheduled, next = next.map(display), "trigger `{key}` misfired");
    }
}
