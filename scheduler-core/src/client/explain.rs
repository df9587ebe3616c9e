//! Why a trigger does not fire, or a run does not begin.

use std::fmt;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::explain_limits::{describe, describe_turn};
use super::handle::Client;
use crate::error::{During, Result};
use crate::job::ExecutionId;
use crate::key::{JobKey, TriggerKey};
use crate::run::{Condition, RunEnd, RunId, RunState};
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

/// The answer to "why does this run not begin?".
///
/// Its text is made for people, one reason a line.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RunExplanation {
    /// The run as it is stored.
    pub run: RunStatus,
    /// What keeps it from beginning now; empty if it is due and only waits for its turn, if it is under way, held or over.
    pub reasons: Vec<Obstacle>,
}

/// One thing that keeps a trigger from firing, or a run from beginning.
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
    /// It waits for a run of its sequence that was enqueued before.
    Behind {
        /// The sequence.
        sequence: Arc<str>,
        /// The run before it.
        run: RunId,
    },
    /// Other runs of its fair key come first: of each key one run begins in each round.
    BehindKey {
        /// The key.
        key: Arc<str>,
        /// How many runs of the key come first, as far as they are among the first that the store lists.
        before: usize,
    },
    /// One of its limits has no room.
    Limited {
        /// The limit: its cap, who holds it, who waits and when it opens.
        limit: Box<LimitStatus>,
        /// How much the run needs.
        weight: u32,
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
    /// Its job could not be run; it waits for [`reset_from_error`](Client::reset_from_error).
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
    /// No node that the store knows can run its job.
    NoNode {
        /// The function.
        job_type: String,
    },
    /// No node that can run its job takes from its queue.
    NoNodeForQueue {
        /// The queue; none for work without one.
        queue: Option<Arc<str>>,
    },
    /// This node does not take from its queue; a node that does must take it.
    QueueNotTaken {
        /// The queue; none for work without one.
        queue: Option<Arc<str>>,
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
    /// Its queue is paused.
    QueuePaused {
        /// The queue.
        queue: Arc<str>,
        /// Why, by whom, since when and for how long.
        note: PauseNote,
    },
    /// It waits for the end of another run.
    Parent {
        /// The run that has to end.
        run: RunId,
        /// How it has to end.
        on: Condition,
        /// Its state; none if it is not stored.
        state: Option<RunState>,
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

impl fmt::Display for RunExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunStatus { id, job, state, end, .. } = &self.run;
        write!(f, "run {id} of job `{job}` ")?;
        match (state, end) {
            (RunState::Waiting, _) if self.reasons.is_empty() => f.write_str("is due and waits for its turn"),
            (RunState::Waiting, _) => f.write_str("does not begin:"),
            (RunState::Claimed, _) => f.write_str("is under way"),
            (RunState::Held, _) if self.run.batch.is_some() => f.write_str("is a batch that has not ended"),
            (RunState::Held, _) if !self.run.parents.is_empty() => f.write_str("is held for other runs:"),
            (RunState::Held, _) if !self.reasons.is_empty() => f.write_str("is held:"),
            (RunState::Held, _) => match &self.run.key {
                Some(key) => write!(
                    f,
                    "is held until the run that has its key `{key}` has ended, or until `RunChange::Release`"
                ),
                None => f.write_str("is held until `RunChange::Release`"),
            },
            (RunState::Ended, Some(RunEnd::Dead)) => {
                let count = self.run.attempts;
                let attempts = if count == 1 { "attempt" } else { "attempts" };
                write!(f, "is dead after {count} {attempts}")?;
                self.run.last_error.iter().try_for_each(|error| write!(f, ": {error}"))?;
                f.write_str("; `replay` runs it again")
            }
            (RunState::Ended, Some(RunEnd::Cancelled)) if !self.run.parents.is_empty() => {
                let unmet = self.run.parents.iter().filter(|edge| edge.is_unmet);
                let unmet: Vec<_> =
                    unmet.map(|edge| format!("the {} of run {}", edge.on, edge.parent)).collect();
                write!(
                    f,
                    "was cancelled, since it waits for {}; a replay of that run holds it again",
                    unmet.join(" and ")
                )
            }
            (RunState::Ended, Some(RunEnd::Cancelled)) => {
                f.write_str("was cancelled; `replay` runs it again")
            }
            (RunState::Ended, Some(RunEnd::Expired)) => {
                f.write_str("has expired: no attempt had begun in time")?;
                self.run.ended.iter().try_for_each(|ended| write!(f, ", by {ended}"))?;
                f.write_str("; `replay` runs it again")
            }
            (RunState::Ended, Some(end)) => write!(f, "is over: {end}"),
            (RunState::Ended, None) => f.write_str("is over"),
        }?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))?;
        self.run.changed.iter().try_for_each(|change| write!(f, "\n  last change: {change}"))?;
        let expires = self.run.expires.filter(|_| matches!(state, RunState::Waiting | RunState::Held));
        expires.map_or(Ok(()), |at| write!(f, "\n  it expires at {at} unless an attempt has begun by then"))
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStored => {
                f.write_str("it is not stored: never scheduled, fired for the last time, or removed")
            }
            Self::NotYetDue { due } => write!(f, "it is due at {due}"),
            Self::Behind { sequence, run } => {
                write!(f, "it waits for run {run}, which is before it in sequence `{sequence}`")
            }
            Self::BehindKey { key, before } => describe_turn(key, *before, f),
            Self::Limited { limit, weight } => describe(limit, *weight, f),
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
                let meanwhile = meanwhile(*policy);
                write!(f, "its previous run {execution} has been running since {since}; {meanwhile}")
            }
            Self::JobBusy { job, execution, trigger, since } => {
                write!(
                    f,
                    "job `{job}` allows one run at a time, and {execution} by `{trigger}` has it since {since}"
                )
            }
            Self::NoNode { job_type } => {
                write!(f, "no node can run `{job_type}`; start one that has registered the job")
            }
            Self::NoNodeForQueue { queue } => {
                write!(f, "no node that can run its job takes from {}; ", of_queue(queue.as_ref()))?;
                f.write_str("start one that does, or change `only_queues` and `except_queues` of a node")
            }
            Self::QueueNotTaken { queue } => {
                write!(f, "this node does not take from {}; another node must", of_queue(queue.as_ref()))
            }
            Self::NotRegistered { job_type } => {
                write!(
                    f,
                    "this node cannot run `{job_type}`; register the job here or start a node that has it"
                )
            }
            Self::QueuePaused { queue, note } => write!(f, "its queue `{queue}` is {note}"),
            Self::QueueFull { queue: Some(queue), limit } => {
                write!(f, "{limit} runs of queue `{queue}` are under way, which is its limit here")
            }
            Self::QueueFull { queue: None, limit } => {
                write!(f, "{limit} runs of triggers without a queue are under way, which is the limit here")
            }
            Self::QueueFullOnAllNodes { queue, limit } => {
                write!(f, "{limit} runs of queue `{queue}` are under way on all nodes, which is its limit")
            }
            Self::Parent { run, on, state: Some(state) } => {
                write!(f, "it waits for the {on} of run {run}, which is {state}")
            }
            Self::Parent { run, on, state: None } => write!(
                f,
                "it waits for the {on} of run {run}, which is not stored; let it go with `RunChange::Release`"
            ),
            Self::NoSlot { concurrency } => write!(f, "all {concurrency} slots of this node are in use"),
            Self::NotRunning { state } => write!(f, "this scheduler is {state}"),
        }
    }
}

impl Client {
    /// Why a trigger does not fire, or did not: everything that stands in its way, as far as the store knows. The method of the same
    /// name of a [`Scheduler`](crate::Scheduler::explain) also says what keeps its own node from it.
    ///
    /// ```
    /// # use scheduler_core::Client;
    /// # async fn ask(client: Client) -> scheduler_core::Result<()> {
    /// println!("{}", client.explain(&"nightly".parse().unwrap()).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn explain(&self, key: &TriggerKey) -> Result<Explanation> {
        self.explain_in_cluster(key).await.of_trigger(key).during("explain")
    }

    async fn explain_in_cluster(&self, key: &TriggerKey) -> Result<Explanation> {
        let (mut explanation, status) = self.explained(key).await?;
        if let Some(status) = status
            && let Some(job) = self.job(status.trigger.job()).await?
        {
            explanation.reasons.extend(self.no_node_for(job.job_type(), status.trigger.queue()).await?);
        }
        Ok(explanation)
    }

    /// What the store knows, and how the trigger is stored.
    pub(crate) async fn explained(&self, key: &TriggerKey) -> Result<(Explanation, Option<TriggerStatus>)> {
        let Some(status) = self.trigger(key).await? else {
            let (trigger, reasons) = (key.clone(), vec![Obstacle::NotStored]);
            return Ok((Explanation { trigger, previous: None, next: None, reasons }, None));
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
        if let Some(due) = next.filter(|due| *due > self.now() && !is_over) {
            reasons.push(Obstacle::NotYetDue { due });
        }
        if !is_over {
            reasons.extend(self.obstacle_in_runs(&status).await?);
            reasons.extend(self.paused_queue(status.trigger.queue()).await?);
        }
        let previous = status.progress.previous;
        Ok((Explanation { trigger: key.clone(), previous, next, reasons }, Some(status)))
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
        Ok(run.map(busy))
    }

    /// Why a stored run does not begin: everything that stands in its way, as far as the store knows. None if it is not stored: it
    /// is over, was cancelled, or was never enqueued.
    ///
    /// ```
    /// # use scheduler_core::Client;
    /// # use scheduler_core::run::RunId;
    /// # async fn ask(client: Client, run: RunId) -> scheduler_core::Result<()> {
    /// match client.explain_run(run).await? {
    ///     Some(explanation) => println!("{explanation}"),
    ///     None => println!("run {run} is not stored"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn explain_run(&self, run: RunId) -> Result<Option<RunExplanation>> {
        self.explain_stored(run).await.during("explain_run")
    }

    async fn explain_stored(&self, run: RunId) -> Result<Option<RunExplanation>> {
        let Some(run) = self.store().all_runs(self.as_of_now(RunQuery::one(run))).await?.pop() else {
            return Ok(None);
        };
        let mut reasons = Vec::new();
        if run.state == RunState::Held {
            let behind = run.sequence.clone().zip(run.behind);
            reasons.extend(behind.map(|(sequence, run)| Obstacle::Behind { sequence, run }));
            reasons.extend(self.paused_trigger(&run.cause).await?);
            reasons.extend(self.parents_of(&run).await?);
        }
        if run.state == RunState::Waiting {
            if run.due > self.now() {
                reasons.push(Obstacle::NotYetDue { due: run.due });
            }
            let full = self.full_limits(&run).await?.into_iter();
            reasons.extend(full.map(|(limit, weight)| Obstacle::Limited { limit: Box::new(limit), weight }));
            let before = self.before_in_key(&run).await?;
            reasons.extend(before.map(|(key, before)| Obstacle::BehindKey { key, before }));
            let job = self.job(&run.job).await?;
            if job.as_ref().map_or(run.exclusive, |job| job.disallow_concurrent()) {
                reasons.extend(self.executions(Executions::OfJob(run.job.clone())).await?.first().map(busy));
            }
            reasons.extend(self.paused_queue(run.queue.as_ref()).await?);
            reasons.extend(self.paused_trigger(&run.cause).await?);
            let job_type = job.as_ref().map_or(&*run.job_type, |job| job.job_type());
            reasons.extend(self.no_node_for(job_type, run.queue.as_ref()).await?);
        }
        Ok(Some(RunExplanation { run, reasons }))
    }

    /// That the trigger is paused of whose occurrence this is a retry.
    async fn paused_trigger(&self, cause: &Cause) -> Result<Option<Obstacle>> {
        let Cause::Trigger { trigger, .. } = cause else { return Ok(None) };
        let status = self.trigger(trigger).await?;
        Ok(status.and_then(|status| status.pause).map(|note| Obstacle::Paused { note }))
    }

    /// That this queue is paused.
    async fn paused_queue(&self, queue: Option<&Arc<str>>) -> Result<Option<Obstacle>> {
        let Some(queue) = queue else { return Ok(None) };
        let paused = self.store().paused_queues().await?.into_iter().find(|paused| paused.name == *queue);
        Ok(paused.map(|paused| Obstacle::QueuePaused { queue: paused.name, note: paused.note }))
    }

    /// That no node can run jobs of this type, or that none of those takes from this queue.
    pub(crate) async fn no_node_for(
        &self,
        job_type: &str,
        queue: Option<&Arc<str>>,
    ) -> Result<Option<Obstacle>> {
        let mut nodes = self.nodes().await?;
        nodes.retain(|node| node.types.as_ref().is_none_or(|types| types.contains(job_type)));
        if nodes.is_empty() {
            return Ok(Some(Obstacle::NoNode { job_type: job_type.to_owned() }));
        }
        let is_taken = nodes.iter().any(|node| node.queues.takes(queue));
        Ok((!is_taken).then(|| Obstacle::NoNodeForQueue { queue: queue.cloned() }))
    }
}

/// What becomes of a firing that is due while the previous run goes on.
fn meanwhile(policy: OverlapPolicy) -> &'static str {
    match policy {
        OverlapPolicy::AllowAll => "the next run may begin beside it",
        OverlapPolicy::Skip => "a firing that is due meanwhile is dropped",
        OverlapPolicy::BufferOne => "a firing that is due meanwhile waits for its end",
        OverlapPolicy::CancelPrevious => "it is asked to stop when the trigger is due again",
    }
}

fn of_queue(queue: Option<&Arc<str>>) -> String {
    queue.map_or("the default queue".to_owned(), |queue| format!("its queue `{queue}`"))
}

fn busy(run: &ExecutionStatus) -> Obstacle {
    Obstacle::JobBusy {
        job: run.job.clone(),
        execution: run.id,
        trigger: run.trigger.clone(),
        since: run.fired,
    }
}
