//! Why a trigger does not fire.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::handle::Scheduler;
use crate::error::{During, Result};
use crate::job::ExecutionId;
use crate::key::{JobKey, TriggerKey};
use crate::store::*;
use crate::trigger::OverlapPolicy;
use crate::watch::SchedulerState;

/// The answer to "why did this not run?": what stands between a trigger and its next firing, all of it.
///
/// Its text is made for people, one reason a line.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The trigger.
    pub trigger: TriggerKey,
    /// When it fired last; none if it has not or is not stored.
    pub previous: Option<DateTime<Utc>>,
    /// When it is due; none if never again or not stored.
    pub next: Option<DateTime<Utc>>,
    /// What keeps it from firing now; empty if it is due and only waits for its turn.
    pub reasons: Vec<Obstacle>,
}

/// One thing that keeps a trigger from firing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
#[non_exhaustive]
pub enum Obstacle {
    /// There is no such trigger: it was never scheduled, has fired for the last time, or was removed.
    NotStored,
    /// Its time has not come.
    NotYetDue {
        /// When it is due.
        due: DateTime<Utc>,
    },
    /// It will not fire again.
    Complete,
    /// Its last run goes on; it will not fire again.
    LastRun {
        /// The run.
        execution: ExecutionId,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// Its job could not be run; it waits for [`reset_from_error`](Scheduler::reset_from_error).
    Error,
    /// It is paused.
    Paused {
        /// Why, by whom, since when and for how long.
        note: PauseNote,
    },
    /// Its previous run goes on, and its overlap policy lets it wait or drops the firing.
    PreviousRun {
        /// The policy.
        policy: OverlapPolicy,
        /// The run.
        execution: ExecutionId,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// Its job allows one run at a time, and another trigger of the job has it.
    JobBusy {
        /// The job.
        job: JobKey,
        /// The run.
        execution: ExecutionId,
        /// Its trigger.
        trigger: TriggerKey,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// The function of its job is not registered here; a node that has it must take it.
    NotRegistered {
        /// The function.
        job_type: String,
    },
    /// The limit of its queue is reached on this node.
    QueueFull {
        /// The queue; none for triggers without one.
        queue: Option<String>,
        /// The limit.
        limit: usize,
    },
    /// The limit of its queue on all nodes together is reached.
    QueueFullOnAllNodes {
        /// The queue.
        queue: String,
        /// The limit.
        limit: usize,
    },
    /// All slots of this node are in use.
    NoSlot {
        /// How many there are.
        concurrency: usize,
    },
    /// This scheduler does not fire now.
    NotRunning {
        /// What it does.
        state: SchedulerState,
    },
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reasons[..] {
            [] => write!(f, "trigger `{}` is due and waits for its turn", self.trigger)?,
            _ => write!(f, "trigger `{}` does not fire:", self.trigger)?,
        }
        for reason in &self.reasons {
            write!(f, "\n  {reason}")?;
        }
        self.previous.map_or(Ok(()), |time| write!(f, "\n  it fired last at {time}"))
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStored => {
                f.write_str("it is not stored: never scheduled, fired for the last time, or removed")
            }
            Self::NotYetDue { due } => write!(f, "it is due at {due}"),
            Self::Complete => f.write_str("it is complete and will not fire again; reschedule it"),
            Self::LastRun { execution, since } => {
                write!(
                    f,
                    "its last run {execution} goes on since {since}, and it will not fire again after that"
                )
            }
            Self::Error => {
                f.write_str("its job could not be run; mend the cause and call `reset_from_error`")
            }
            Self::Paused { note } => write!(f, "it is {note}"),
            Self::PreviousRun { policy, execution, since } => {
                let meanwhile = match policy {
                    OverlapPolicy::AllowAll => "the next run may begin beside it",
                    OverlapPolicy::Skip => "a firing that is due meanwhile is dropped",
                    OverlapPolicy::BufferOne => "a firing that is due meanwhile waits for its end",
                    OverlapPolicy::CancelPrevious => "it is asked to stop when the trigger is due again",
                };
                write!(f, "its previous run {execution} has been running since {since}; {meanwhile}")
            }
            Self::JobBusy { job, execution, trigger, since } => {
                write!(
                    f,
                    "job `{job}` allows one run at a time, and {execution} by `{trigger}` has it since {since}"
                )
            }
            Self::NotRegistered { job_type } => {
                write!(
                    f,
                    "this node cannot run `{job_type}`; register the job here or start a node that has it"
                )
            }
            Self::QueueFull { queue: Some(queue), limit } => {
                write!(f, "{limit} runs of queue `{queue}` are under way, which is its limit here")
            }
            Self::QueueFull { queue: None, limit } => {
                write!(f, "{limit} runs of triggers without a queue are under way, which is the limit here")
            }
            Self::QueueFullOnAllNodes { queue, limit } => {
                write!(f, "{limit} runs of queue `{queue}` are under way on all nodes, which is its limit")
            }
            Self::NoSlot { concurrency } => write!(f, "all {concurrency} slots of this node are in use"),
            Self::NotRunning { state } => write!(f, "this scheduler is {state}"),
        }
    }
}

impl Scheduler {
    /// The next `most` times at which a trigger fires, without those that its calendar leaves out; fewer if it ends before. None
    /// if there is no such trigger.
    ///
    /// The answer is that of the schedule: pauses and misfires are not foreseen. [`Trigger::upcoming`] answers without a
    /// scheduler.
    ///
    /// [`Trigger::upcoming`]: crate::trigger::Trigger::upcoming
    ///
    /// # Errors
    ///
    /// The calendar of the trigger is not stored, or the store has failed.
    pub async fn next_fire_times(&self, key: &TriggerKey, most: usize) -> Result<Option<Vec<DateTime<Utc>>>> {
        let Some(status) = self.trigger(key).await? else { return Ok(None) };
        let trigger = &status.trigger;
        let calendars = self.core().calendars_for(std::iter::once(&**trigger)).await?;
        calendars.upcoming(trigger, &status.progress, most).map(Some)
    }

    /// Why a trigger does not fire, or did not: everything that stands in its way, from the store and from this node.
    ///
    /// ```
    /// # use scheduler_core::Scheduler;
    /// # async fn ask(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// println!("{}", scheduler.explain(&"nightly".parse().unwrap()).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn explain(&self, key: &TriggerKey) -> Result<Explanation> {
        self.explain_now(key).await.of_trigger(key).during("explain")
    }

    async fn explain_now(&self, key: &TriggerKey) -> Result<Explanation> {
        let Some(status) = self.trigger(key).await? else {
            let (trigger, reasons) = (key.clone(), vec![Obstacle::NotStored]);
            return Ok(Explanation { trigger, previous: None, next: None, reasons });
        };
        let mut reasons = Vec::new();
        let next = status.progress.next;
        let runs = self.executions(Executions::OfTrigger(key.clone())).await?;
        match (status.state, status.pause.clone(), next) {
            (TriggerState::Error, ..) => reasons.push(Obstacle::Error),
            (TriggerState::Complete, ..) | (_, None, None) => reasons.push(match runs.first() {
                Some(run) => Obstacle::LastRun { execution: run.id, since: run.fired },
                None => Obstacle::Complete,
            }),
            (_, Some(note), _) => reasons.push(Obstacle::Paused { note }),
            _ => {}
        }
        let is_over = matches!(reasons[..], [Obstacle::Complete | Obstacle::LastRun { .. }]);
        if let Some(due) = next.filter(|due| *due > self.core().clock.now() && !is_over) {
            reasons.push(Obstacle::NotYetDue { due });
        }
        if !is_over {
            reasons.extend(self.obstacle_in_runs(&status).await?);
        }
        reasons.extend(self.obstacles_here(&status).await?);
        Ok(Explanation { trigger: key.clone(), previous: status.progress.previous, next, reasons })
    }

    /// A run that the trigger has to wait for.
    async fn obstacle_in_runs(&self, status: &TriggerStatus) -> Result<Option<Obstacle>> {
        let trigger = &status.trigger;
        let runs = self.executions(Executions::OfJob(trigger.job().clone())).await?;
        let own = runs.iter().find(|run| run.trigger == *trigger.key());
        if let Some(run) = own.filter(|_| trigger.overlap() != OverlapPolicy::AllowAll) {
            let policy = trigger.overlap();
            return Ok(Some(Obstacle::PreviousRun { policy, execution: run.id, since: run.fired }));
        }
        let job = self.job(trigger.job()).await?;
        let run = runs.first().filter(|_| job.is_some_and(|job| job.disallow_concurrent()));
        Ok(run.map(|run| Obstacle::JobBusy {
            job: run.job.clone(),
            execution: run.id,
            trigger: run.trigger.clone(),
            since: run.fired,
        }))
    }

    /// How many runs of the queue there are on all nodes.
    async fn claimed_of(&self, queue: &Arc<str>) -> Result<usize> {
        Ok(self.executions(Executions::OfQueue(queue.clone())).await?.len())
    }

    async fn obstacles_here(&self, status: &TriggerStatus) -> Result<Vec<Obstacle>> {
        let (core, mut found) = (self.core(), Vec::new());
        if self.state() != SchedulerState::Running {
            found.push(Obstacle::NotRunning { state: self.state() });
        }
        let job = self.job(status.trigger.job()).await?;
        if let Some(job) = job.filter(|job| !core.registry.knows(job.job_type())) {
            found.push(Obstacle::NotRegistered { job_type: job.job_type().to_owned() });
        }
        let running = self.running();
        let queue = status.trigger.queue();
        let used = running.iter().filter(|run| run.queue.as_ref() == queue).count();
        if let Some(limit) = core.limits.read().of(queue).filter(|limit| used >= *limit) {
            found.push(Obstacle::QueueFull { queue: queue.map(ToString::to_string), limit });
        }
        let shared = queue.and_then(|queue| core.limits.read().shared.get(queue).copied());
        if let (Some(queue), Some(limit)) = (queue, shared)
            && self.claimed_of(queue).await? >= limit
        {
            found.push(Obstacle::QueueFullOnAllNodes { queue: queue.to_string(), limit });
        }
        if running.len() >= core.settings.concurrency {
            found.push(Obstacle::NoSlot { concurrency: core.settings.concurrency });
        }
        Ok(found)
    }
}
