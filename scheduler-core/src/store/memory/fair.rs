//! Runs with fair keys: which of each key stands in its lane, and where.
//!
//! Invariants, true whenever the lock is free:
//! 1. A run with a key that stands has a *turn*, and stands in its lane or is parked at a gate by that; or it *waits*, and stands nowhere else.
//! 2. Of each lane and key of which runs wait, one is the *head*: it has a turn, and was not parked since it got that.
//! 3. A key is known as long as a run of it waits or has a turn, and a queue as long as a run of it has a turn.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use foldhash::HashMap;

use super::lanes::Due;
use crate::store::rows::Turn;

/// Runs that take turns.
#[derive(Debug, Default)]
pub(super) struct FairTable {
    queues: HashMap<Option<Arc<str>>, Queue>,
    /// By the slots of runs.
    at: HashMap<usize, At>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The largest turn at which a run was claimed.
    present: Option<Turn>,
    /// The due times of the runs that have turns, and their slots.
    dues: BTreeSet<(DateTime<Utc>, usize)>,
    keys: HashMap<Arc<str>, Key>,
}

#[derive(Debug, Default)]
struct Key {
    /// The turns that runs have, and their slots.
    turns: BTreeSet<(Turn, usize)>,
    lanes: HashMap<usize, Line>,
}

/// The runs of one lane and key.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeSet<Due>,
    head: Option<usize>,
}

/// Where a run belongs: its queue, key and lane.
#[derive(Debug, Clone)]
pub(super) struct Of {
    pub(super) queue: Option<Arc<str>>,
    pub(super) key: Arc<str>,
    pub(super) lane: usize,
}

#[derive(Debug)]
struct At {
    of: Of,
    /// By its due time.
    due: Due,
    /// Its due time and its turn, unless it waits.
    turn: Option<(DateTime<Utc>, Turn)>,
}

impl FairTable {
    /// The turn of a run; none if it waits, or has no key.
    pub(super) fn turn_of(&self, slot: usize) -> Option<Turn> {
        self.at.get(&slot)?.turn.map(|(_, turn)| turn)
    }

    /// Whether a run waits behind others of its lane and key.
    pub(super) fn is_waiting(&self, slot: usize) -> bool {
        self.at.get(&slot).is_some_and(|at| at.turn.is_none())
    }

    fn line(&mut self, of: &Of) -> &mut Line {
        let queue = self.queues.entry(of.queue.clone()).or_default();
        queue.keys.entry(of.key.clone()).or_default().lanes.entry(of.lane).or_default()
    }

    pub(super) fn enter(&mut self, slot: usize, of: Of, due: Due) {
        self.line(&of).waiting.insert(due.clone());
        self.at.insert(slot, At { of, due, turn: None });
    }

    /// The run that comes first if its lane and key have no head.
    pub(super) fn next(&mut self, of: &Of) -> Option<&Due> {
        let line = self.line(of);
        line.waiting.first().filter(|_| line.head.is_none())
    }

    /// A run that waits, and is due then, becomes the head.
    pub(super) fn bring_up(&mut self, slot: usize, due: DateTime<Utc>) {
        let Some(at) = self.at.get_mut(&slot) else { return };
        let queue = self.queues.entry(at.of.queue.clone()).or_default();
        let key = queue.keys.entry(at.of.key.clone()).or_default();
        queue.dues.insert((due, slot));
        let oldest = queue.dues.first().map_or(due, |(oldest, _)| *oldest);
        let turn = Turn::next(queue.present, key.turns.last().map(|(turn, _)| *turn), oldest);
        key.turns.insert((turn, slot));
        at.turn = Some((due, turn));
        let line = key.lanes.entry(at.of.lane).or_default();
        line.waiting.remove(&at.due);
        line.head = Some(slot);
    }

    /// The run is no head any more.
    pub(super) fn pass(&mut self, slot: usize) -> Option<Of> {
        let of = self.at.get(&slot)?.of.clone();
        let line = self.line(&of);
        line.head = line.head.filter(|head| *head != slot);
        Some(of)
    }

    /// The run is claimed.
    pub(super) fn claimed(&mut self, slot: usize) {
        let Some(At { of, turn: Some((_, turn)), .. }) = self.at.get(&slot) else { return };
        if let Some(queue) = self.queues.get_mut(&of.queue) {
            queue.present = queue.present.max(Some(*turn));
        }
    }

    /// The run stands nowhere any more.
    pub(super) fn leave(&mut self, slot: usize) -> Option<Of> {
        let of = self.pass(slot)?;
        let at = self.at.remove(&slot)?;
        let queue = self.queues.get_mut(&of.queue)?;
        let key = queue.keys.get_mut(&of.key)?;
        match at.turn {
            Some((due, turn)) => {
                key.turns.remove(&(turn, slot));
                queue.dues.remove(&(due, slot));
            }
            None => drop(key.lanes.get_mut(&of.lane)?.waiting.remove(&at.due)),
        }
        Some(of)
    }

    /// Forgets what is empty.
    pub(super) fn tidy(&mut self, of: &Of) {
        let Some(queue) = self.queues.get_mut(&of.queue) else { return };
        if let Some(key) = queue.keys.get_mut(&of.key) {
            key.lanes.retain(|_, line| line.head.is_some() || !line.waiting.is_empty());
            if key.lanes.is_empty() && key.turns.is_empty() {
                queue.keys.remove(&of.key);
            }
        }
        if queue.dues.is_empty() {
            self.queues.remove(&of.queue);
        }
    }
}
