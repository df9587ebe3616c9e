//! What happens, as a stream of values for whoever wants to watch.
//!
//! Locks: `listeners` before the `missed` of one of them; each is held for a few instructions and never across an await.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio::sync::{broadcast, mpsc};

use super::core::SchedulerState;
use super::listener::{ErasedSchedulerListener, heard};
use crate::job::ExecutionId;
use crate::key::{JobKey, TriggerKey};
use crate::run::RunId;
use crate::time::{Activity, Clock};
use crate::user;

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
    /// An attempt failed, and no retry is left. The run stays stored and can be replayed.
    Dead {
        /// The run.
        run: RunId,
        /// Its job.
        job: JobKey,
        /// How many attempts were made.
        attempts: u32,
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
pub(super) struct Bus {
    stream: broadcast::Sender<Event>,
    listeners: RwLock<Vec<Subscriber>>,
    clock: Arc<dyn Clock>,
}

/// The way to one scheduler listener. The clock stands still until it has heard of an event.
struct Subscriber {
    sender: mpsc::Sender<Message>,
    missed: Arc<Mutex<u64>>,
}

/// An event on its way to a listener.
struct Message {
    /// How many events the listener has missed just before this one.
    missed: u64,
    event: Event,
    activity: Activity,
}

impl Subscriber {
    /// Counts and sends under one lock, so no event between two that are heard is left out of the count.
    fn send(&self, event: Event, activity: Activity) {
        let mut missed = self.missed.lock();
        match self.sender.try_reserve() {
            Ok(place) => place.send(Message { missed: std::mem::take(&mut missed), event, activity }),
            Err(_) => *missed += 1,
        }
    }
}

/// The other end of the way to a scheduler listener.
struct Hearer {
    listener: Arc<dyn ErasedSchedulerListener>,
    messages: mpsc::Receiver<Message>,
    missed: Arc<Mutex<u64>>,
}

impl Hearer {
    async fn hear(mut self) {
        while let Some(Message { missed, event, activity }) = self.messages.recv().await {
            let telling = async {
                self.tell_missed(missed).await;
                self.tell(&event).await;
                self.tell_missed(self.missed_last()).await;
            };
            activity.observe(telling).await;
        }
    }

    /// How many events were missed after the last one that was sent; nothing while others follow, which say so themselves.
    fn missed_last(&self) -> u64 {
        let mut missed = self.missed.lock();
        if self.messages.is_empty() { std::mem::take(&mut missed) } else { 0 }
    }

    async fn tell_missed(&self, count: u64) {
        if count > 0 {
            self.tell(&Event::Missed { count }).await;
        }
    }

    async fn tell(&self, event: &Event) {
        heard(self.listener.type_name(), user::run(|| self.listener.on_event(event)).await);
    }
}

impl Bus {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { stream: broadcast::Sender::new(BUFFER), listeners: RwLock::default(), clock }
    }

    pub(super) fn is_heard(&self) -> bool {
        self.stream.receiver_count() > 0 || !self.listeners.read().is_empty()
    }

    pub(super) fn send(&self, event: impl FnOnce() -> Event) {
        let listeners = self.listeners.read();
        if listeners.is_empty() && self.stream.receiver_count() == 0 {
            return;
        }
        let event = event();
        for listener in &*listeners {
            listener.send(event.clone(), self.clock.begin(&"an event"));
        }
        // Fails only if the last reader has just gone.
        drop(self.stream.send(event));
    }

    pub(super) fn subscribe(&self) -> Events {
        Events(self.stream.subscribe())
    }

    /// A task that tells a listener of every event until the scheduler ends.
    pub(super) fn attach(
        &self,
        listener: Arc<dyn ErasedSchedulerListener>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (sender, messages) = mpsc::channel(BUFFER);
        let missed = Arc::<Mutex<u64>>::default();
        self.listeners.write().push(Subscriber { sender, missed: missed.clone() });
        Hearer { listener, messages, missed }.hear()
    }

    /// Nothing is sent to listeners any more; they hear what was sent before.
    pub(super) fn close(&self) {
        self.listeners.write().clear();
    }
}
