//! What happens, as a stream of values for whoever wants to watch.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::job::ExecutionId;
use crate::key::{JobKey, TriggerKey};

/// How many events a slow reader may lag behind before it misses some.
const BUFFER: usize = 4096;

/// Something that has happened in a scheduler.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// A trigger has fired and its job is about to run.
    Fired {
        /// The run.
        execution: ExecutionId,
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
        /// Its job.
        job: JobKey,
        /// Its trigger.
        trigger: TriggerKey,
        /// From the start of the job's body to its end.
        took: Duration,
        /// One word: `succeeded`, `failed`, `panicked`, `timed out` or `cancelled`.
        outcome: &'static str,
        /// What went wrong.
        failure: Option<String>,
    },
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
pub struct Events(broadcast::Receiver<Event>);

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

/// Where events are sent; making one costs nothing while nobody listens.
#[derive(Debug)]
pub(super) struct Bus(broadcast::Sender<Event>);

impl Bus {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(BUFFER))
    }

    pub(super) fn send(&self, event: impl FnOnce() -> Event) {
        if self.0.receiver_count() > 0 {
            // Fails only if the last reader has just gone.
            drop(self.0.send(event()));
        }
    }

    pub(super) fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }
}
