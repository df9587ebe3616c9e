//! Who hears of runs, and what they hear: events, listeners, and the way from one to the other.
//!
//! Whoever runs jobs or changes what is stored tells this room; it calls nobody but the code of users who listen.

mod bus;
mod dead;
mod event;
mod listener;
mod state;

pub(crate) use bus::{Bus, Listening};
pub(crate) use dead::{MakeOnDead, OnDead, dead_hooks};
pub(crate) use listener::{Audience, Listeners, Misfired};

pub use event::{Event, Events};
pub use listener::{JobListener, ListenerId, SchedulerListener, TriggerListener};
pub use state::SchedulerState;
