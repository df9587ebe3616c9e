//! Where jobs and triggers live: the contract of a job store, and the store in memory.
//!
//! A store has few verbs, over batches: those by which nodes work, [`change`](JobStore::change) for everything that users write
//! and [`query`](JobStore::query) for everything that they read. [`Changes`] and [`Queries`] have a method for each of these. It computes no schedule and reads no clock: the
//! caller brings `now` and the next fire times. BLOCKED and EXECUTING are derived from the claims that exist and
//! are never stored, so they cannot get stuck.
//!
//! # The way of a firing
//!
//! [`acquire_due`](JobStore::acquire_due) hands out due triggers, each with a *claim*. [`fire`](JobStore::fire)
//! exchanges the claim for the right to run, and moves the trigger to its next fire time in the same step.
//! [`complete`](JobStore::complete) ends the claim. [`release`](JobStore::release) gives back a claim that was not
//! fired. A claim that is neither fired nor released within the [grace](Attached::grace) lapses.
//!
//! ```text
//!   put ──▶ WAITING ──acquire_due──▶ ACQUIRED ──fire──▶ WAITING at the next time, or COMPLETE ──complete──▶ removed
//!              ▲  ▲                     │  │
//!              │  └── release, lapse ───┘  └─ pause ─▶ PAUSED (the claim is void)
//!              └───────── resume ──────────────────────┘          any ── a job that cannot run ──▶ ERROR ── reset ──▶ WAITING
//! ```
//!
//! # The way of a run
//!
//! [`enqueue`](Changes::enqueue) stores a run. `acquire_due` hands it out when it is due, and its attempt has begun with that:
//! there is nothing to fire, and the claim does not lapse. `complete` says by a [`Fate`] whether the run is over, waits for another
//! attempt or is dead; `release` gives back a run that has not begun. An attempt whose node is gone is made again.
//!
//! ```text
//!   enqueue ──▶ waiting ──acquire_due──▶ claimed ──complete──▶ over: nothing is left
//!                 ▲ ▲                      │ │
//!                 │ └─ again, given back ──┘ └── dead ──▶ ended ── replay ──▶ waiting
//!                 └──────── lost ──────────┘                   └── kept long enough ──▶ removed
//! ```
//!
//! # Writing a store
//!
//! The guide `docs/write-a-store.md` goes through it step by step. Implement [`JobStore`]. What a store decides is in [`rules`], as functions on [`rows`]; a driver keeps the rows, directly as
//! the store in memory does, or behind a [`view`]. Either way the rules that every store keeps are these:
//!
//! * each verb is atomic, or a row of atomic parts where it touches more than 500 jobs or triggers, and may be repeated after a
//!   reply was lost;
//! * results come one for each parameter, by position;
//! * a job that disallows concurrent runs never has two claims, fired or not;
//! * a claim that is void is refused: its fire is [`FireResult::Stale`], its completion [`CompleteResult::Gone`];
//! * a job that is not durable goes with its last trigger, whatever removes it;
//! * a run has one claim at most, and an attempt is counted by whoever ends it or takes it over;
//! * the node's [`wake`](Node::wake) is called after every change that may bring a due time forward.

mod admin;
pub mod batches;
mod change_note;
mod contract;
mod counts;
pub mod decorator;
mod end_signals;
mod firing;
mod firings;
mod limits;
mod memory;
mod new_keys;
mod page;
mod pauses;
mod queues;
mod requests;
pub mod rows;
pub mod rules;
mod run_changes;
mod runs;
mod state;
mod terms;
pub mod view;

/// Traits for a store that has one method for each change and each query. They contain the `match` over the requests.
pub mod handler {
    pub use super::requests::{ChangeHandler, QueryHandler};
}

pub use admin::*;
pub use change_note::ChangeNote;
pub use contract::*;
pub use counts::*;
pub use end_signals::{EndSignal, EndSignals};
pub use firing::*;
pub use firings::*;
pub use limits::*;
pub use memory::MemoryJobStore;
#[doc(hidden)]
pub use memory::Table as MemoryRows;
#[doc(hidden)]
pub use memory::journal;
pub use new_keys::{Conflict, NewKey};
pub use page::{MAX_PAGE_SIZE, PAGE_SIZE, Page};
pub use queues::*;
pub use requests::{Change, Changed, Changes, Found, Queries, Query};
pub use run_changes::*;
pub use runs::*;
pub use state::{Step, StoredState, TriggerState};
pub use terms::{NewTerms, RunTerms};
