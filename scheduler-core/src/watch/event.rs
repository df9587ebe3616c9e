//! What happens, as a stream of values for whoever wants to watch.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::broadcast;

use super::state::SchedulerState;
use crate::job::{ExecutionId, Launcher};
use crate::key::{JobKey, TriggerKey};
use crate::run::RunId;

/// Something that has happened in a scheduler.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// A launcher has fired and its job is about to run: a trigger, or a queue in memory, a start-up task or a service of the host.
    Fired {
        /// The run.
        execution: ExecutionId,
        /// What has launched it.
        launcher: Launcher,
        /// Its job.
        job: JobKey,
        /// Its trigger.
        trigger: TriggerKey,
        /// When it was due.
        scheduled: DateTime<Utc>,
        /// When it fired.
        fired: DateTime<Utc>,
        /// When the trigger is due next.
        next: Option<DateTime<Utc>>,
    },
    /// A firing came later than the misfire threshold, and the trigger's policy was applied.
    Misfired {
        /// The trigger.
        trigger: TriggerKey,
        /// When it was due.
        scheduled: DateTime<Utc>,
        /// When it is due now; none if never again.
        next: Option<DateTime<Utc>>,
    },
    /// A run is over.
    Ended {
        /// The run.
        execution: ExecutionId,
        /// What has launched it.
        launcher: Launcher,
        /// Its job.
        job: JobKey,
        /// Its trigger.
        trigger: TriggerKey,
        /// From the start of the job's body to its end.
        #[serde(rename = "took_ms", serialize_with = "crate::stored::millis")]
        took: Duration,
        /// One word, as [`Outcome::word`](crate::job::Outcome::word) says it.
        outcome: &'static str,
        /// What went wrong.
        failure: Option<String>,
        /// By how much the run has exceeded its [timeout](crate::job::JobDetailBuilder::timeout), whatever its outcome: a run
        /// that finishes its work too late has succeeded, and this says that it was late. None if it was in time.
        overran: Option<Duration>,
    },
    /// A firing was dropped: the previous run of its trigger goes on, and its overlap policy is to skip.
    Overlapped {
        /// The trigger.
        trigger: TriggerKey,
        /// When it was due.
        scheduled: DateTime<Utc>,
        /// When it is due next.
        next: Option<DateTime<Utc>>,
    },
    /// A trigger was put in place, or put in the place of another one.
    Scheduled {
        /// The trigger.
        trigger: TriggerKey,
        /// Its job.
        job: JobKey,
        /// When it is due.
        next: Option<DateTime<Utc>>,
    },
    /// A run was stored: somebody has enqueued it or started its job by hand.
    Enqueued {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
        /// When it is due.
        due: DateTime<Utc>,
    },
    /// An attempt failed, and the run waits for the next one.
    Retrying {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
        /// The number of the attempt that failed.
        attempt: u32,
        /// When the next attempt is due.
        due: DateTime<Utc>,
    },
    /// Somebody has given a limit another cap than that of the code, or has removed that. Heard where it was done.
    LimitChanged {
        /// The name of the limit.
        name: Arc<str>,
        /// The key; none for all keys that have no cap of their own.
        key: Option<Arc<str>>,
        /// What holds now; none for what the runs were enqueued with.
        cap: Option<u32>,
    },
    /// A run was due and found a limit full. It waits, unless the limit [says something else](crate::run::WhenFull). Told once for each
    /// attempt, and for each limit that is met; heard on the node that has looked.
    Limited {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
        /// The name of the limit.
        limit: Arc<str>,
        /// The key; none for a limit without keys.
        key: Option<Arc<str>>,
    },
    /// A run has ended without an attempt: a limit was full, and the run was [not to wait](crate::run::WhenFull) for it.
    Superseded {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
    },
    /// A job had nothing to do yet, and its run waits. The attempt does not count.
    Snoozed {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
        /// When the run is due again.
        due: DateTime<Utc>,
    },
    /// A job was asked for a pause, and its run waits. The attempt does not count. No run that has the limit of this name, with the key that
    /// this run has for it, begins before the end of the pause.
    Throttled {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
        /// The name of the limit.
        limit: Arc<str>,
        /// The end of the pause. The pause of another run may last longer.
        until: DateTime<Utc>,
    },
    /// An attempt failed, and no retry is left. The run stays stored and can be replayed.
    Dead {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
        /// How many attempts were made.
        attempts: u32,
        /// What the last attempt failed with.
        error: Arc<str>,
    },
    /// No node began a run in time, so the run is over. It is kept for a while and can be replayed.
    Expired {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
    },
    /// Somebody has changed stored runs.
    RunsChanged {
        /// What was done to them, in one word: `cancel`, `replay`, `delete`, `hold`, `release` or `edit`.
        change: &'static str,
        /// The runs.
        runs: Vec<RunId>,
        /// Who has done it, if that was said.
        author: Option<Arc<str>>,
        /// Why, if that was said.
        reason: Option<Arc<str>>,
    },
    /// A dead run was removed before its time, since more of them were stored than are kept.
    DeadRunDropped {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
    },
    /// A trigger was removed by a call.
    Unscheduled {
        /// The trigger.
        trigger: TriggerKey,
    },
    /// A trigger is complete: it will not fire again.
    Finished {
        /// The trigger.
        trigger: TriggerKey,
    },
    /// A job was stored or replaced.
    JobStored {
        /// The job.
        job: JobKey,
    },
    /// A job was removed, with its triggers or after its last one.
    JobRemoved {
        /// The job.
        job: JobKey,
    },
    /// Triggers were paused.
    Paused {
        /// The triggers.
        triggers: Vec<TriggerKey>,
    },
    /// Triggers were resumed.
    Resumed {
        /// The triggers.
        triggers: Vec<TriggerKey>,
    },
    /// A queue was paused, or its pause was given another note.
    QueuePaused {
        /// Its name.
        queue: Arc<str>,
    },
    /// A queue was resumed by a call.
    QueueResumed {
        /// Its name.
        queue: Arc<str>,
    },
    /// A calendar was stored, replaced or removed.
    CalendarChanged {
        /// Its name.
        name: Arc<str>,
    },
    /// All jobs, triggers and calendars were removed.
    Cleared,
    /// The scheduler has entered another phase of its life.
    State {
        /// The phase.
        state: SchedulerState,
    },
    /// The store answers again.
    StoreRecovered,
    /// The store has failed; the scheduler goes on trying.
    StoreFailed {
        /// What the store said.
        error: String,
    },
    /// This reader was too slow and has missed so many events.
    Missed {
        /// How many.
        count: u64,
    },
}

/// A stream of events, from the moment it was asked for.
///
/// ```
/// # use scheduler_core::Scheduler;
/// use scheduler_core::scheduler::Event;
///
/// # async fn watch(scheduler: Scheduler) {
/// let mut events = scheduler.events();
/// while let Some(event) = events.next().await {
///     match event {
///         Event::Ended { job, failure: Some(failure), .. } => println!("{job}: {failure}"),
///         Event::Missed { count } => println!("{count} events were too fast for this reader"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Events(pub(super) broadcast::Receiver<Event>);

impl Events {
    /// The next event; none when the scheduler is gone.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when it is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Event::Missed { count }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
