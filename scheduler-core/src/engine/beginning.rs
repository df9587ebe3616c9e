//! Executions of the firings and runs that the store hands out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::deadlines::Deadline;
use super::decision::Decision;
use super::turn::Engine;
use crate::execute::Execution;
use crate::job::{JobDetail, Launcher, RunParts, StoredRun};
use crate::store::*;

impl Engine {
    /// What the store allowed to run, as an execution.
    pub(super) fn begin(
        &mut self,
        acquired: AcquiredTrigger,
        decision: Decision,
        result: FireResult,
        now: DateTime<Utc>,
    ) -> Option<Execution> {
        let scheduled = acquired.progress.scheduled().unwrap_or(now);
        let next = decision.firing.progress.next;
        if decision.misfired {
            self.core.report_misfire(&acquired, scheduled, decision.firing.dropped.is_none(), next, now);
        }
        let AcquiredTrigger { claim: id, trigger, progress, .. } = acquired;
        let (fence, job) = match result {
            FireResult::Run { fence, job } => (fence, job),
            other => {
                self.queues.leave(trigger.queue());
                self.core.report_no_run(&trigger, &other, scheduled, next);
                return None;
            }
        };
        self.core.active.fetch_add(1, Ordering::AcqRel);
        let parts = RunParts {
            id,
            job,
            trigger,
            launcher: Launcher::Trigger,
            fence,
            scheduled,
            fired: now,
            previous: progress.previous,
            next,
            stored: None,
            caller: None,
        };
        if decision.broken {
            self.core.fail_trigger(&parts);
            return None;
        }
        if self.core.queues(&parts) {
            return None;
        }
        self.execute(parts)
    }

    /// A run that the store has claimed for this node, as an execution.
    pub(super) fn begin_run(&mut self, acquired: AcquiredRun, now: DateTime<Utc>) -> Option<Execution> {
        let AcquiredRun { claim: id, run, attempt, job, job_type, trigger, .. } = acquired;
        let AcquiredRun { scheduled, first, retry, errors, checkpoint, occurrence_of, cause, batch, .. } =
            acquired;
        let AcquiredRun { interruptions, delivery, .. } = acquired;
        let defined = || self.core.registry.declared(trigger.job(), &job_type).cloned();
        let job = job.filter(|job| job.job_type() == &*job_type).or_else(defined).unwrap_or_else(|| {
            // The program that enqueued the run declares the job, and this program does not.
            Arc::new(JobDetail::builder(trigger.job().clone(), job_type.clone()).build())
        });
        self.core.active.fetch_add(1, Ordering::AcqRel);
        let most = {
            let of_scheduler = occurrence_of.is_none().then_some(&self.core.settings.retry);
            let policy = retry.as_ref().or(job.retry()).or(of_scheduler);
            policy.map_or(1, |policy| policy.max().saturating_add(1))
        };
        let stored = StoredRun {
            id: run,
            occurrence_of,
            cause,
            batch,
            attempt,
            most,
            first,
            retry,
            errors,
            checkpoint,
            interruptions,
            delivery,
        };
        self.execute(RunParts {
            id,
            job,
            trigger,
            launcher: Launcher::Run,
            fence: id.count(),
            scheduled,
            fired: now,
            previous: None,
            next: None,
            stored: Some(Box::new(stored)),
            caller: None,
        })
    }

    fn execute(&mut self, parts: RunParts) -> Option<Execution> {
        let id = parts.id;
        self.core.pipeline.report_fired(&parts);
        let timeout = parts.job.timeout();
        let execution = self.core.execution(parts)?;
        if let Some(timeout) = timeout {
            // After the run has begun, so that one which is asked to stop has exceeded its timeout.
            let at = self.core.clock.monotonic().saturating_add(timeout);
            self.deadlines.set(Deadline { at, run: id, asked: false });
        }
        Some(execution)
    }
}
