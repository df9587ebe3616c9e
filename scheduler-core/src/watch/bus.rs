//! The way of events to streams and listeners.
//!
//! Locks: `listeners` before the `missed` of one of them; each is held for a few instructions and never across an await.

use std::future::Future;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, mpsc};

use super::event::{Event, Events};
use super::listener::{ErasedSchedulerListener, heard};
use crate::time::{Activity, Clock};
use crate::user;

/// How many events a slow reader may lag behind before it misses some.
const BUFFER: usize = 4096;

/// Where events are sent; making one costs nothing while nobody listens.
pub(crate) struct Bus {
    stream: broadcast::Sender<Event>,
    listeners: RwLock<Vec<Subscriber>>,
    clock: Arc<dyn Clock>,
}

/// A listener, and which events it hears of.
pub(crate) type Listening = (Arc<dyn ErasedSchedulerListener>, fn(&Event) -> bool);

/// The way to one scheduler listener. The clock stands still until it has heard of an event.
struct Subscriber {
    sender: mpsc::Sender<Message>,
    missed: Arc<Mutex<u64>>,
    /// The events that it hears of.
    wants: fn(&Event) -> bool,
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
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { stream: broadcast::Sender::new(BUFFER), listeners: RwLock::default(), clock }
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.stream.receiver_count() > 0 || !self.listeners.read().is_empty()
    }

    pub(crate) fn send(&self, event: impl FnOnce() -> Event) {
        let listeners = self.listeners.read();
        if listeners.is_empty() && self.stream.receiver_count() == 0 {
            return;
        }
        let event = event();
        // A filter that panics wants nothing.
        let wants = |listener: &&Subscriber| user::call(|| (listener.wants)(&event)).unwrap_or(false);
        for listener in listeners.iter().filter(wants) {
            listener.send(event.clone(), self.clock.begin(&"an event"));
        }
        // Fails only if the last reader has just gone.
        drop(self.stream.send(event));
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events(self.stream.subscribe())
    }

    /// A task that tells a listener of the events that it wants until the scheduler ends.
    pub(crate) fn attach(&self, (listener, wants): Listening) -> impl Future<Output = ()> + Send + 'static {
        let (sender, messages) = mpsc::channel(BUFFER);
        let missed = Arc::<Mutex<u64>>::default();
        self.listeners.write().push(Subscriber { sender, missed: missed.clone(), wants });
        Hearer { listener, messages, missed }.hear()
    }

    /// Nothing is sent to listeners any more; they hear what was sent before.
    pub(crate) fn close(&self) {
        self.listeners.write().clear();
    }
}
