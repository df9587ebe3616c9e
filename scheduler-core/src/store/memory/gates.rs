//! Gates: how much of each limit is used, and which runs wait for it.
//!
//! Invariants, true whenever the lock is free:
//! 1. What is used of a gate is the sum of the weights of the claims and runs that hold it.
//! 2. A run that was looked at while a gate was full is *parked* there, and stands in no lane. It holds nothing.
//! 3. Of each lane whose runs are parked at a gate, the first has no room there, or some of them are *let out*: they stand in the lane
//!    again and were not looked at since; or the cap of the limit has changed, and the gate is still to be looked at. Whatever else becomes of a run that is let out, the next one is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use foldhash::HashMap;

use super::caps::Caps;
use super::entries::GateState;
use super::lanes::Due;
use crate::run::{Gate, GateId, Gates, RateState};

/// So many rates are forgotten at a time.
const MOST_SWEPT: usize = 100;

/// The gates that are used or waited for.
#[derive(Debug, Default)]
pub(super) struct GateTable {
    pub(super) by_id: BTreeMap<GateId, Entry>,
    /// What somebody has set.
    pub(super) caps: Caps,
    /// By the slots of runs.
    pub(super) at: HashMap<usize, At>,
    /// Lanes in which somebody was let out.
    pub(super) opened: Vec<usize>,
    /// Rates for which somebody waits, by when they open, in milliseconds.
    pub(super) opens: BTreeSet<(i64, GateId)>,
    /// Rates, by when nothing may be known of them any more.
    idle: BTreeSet<(i64, GateId)>,
    /// The newest time that is known.
    pub(super) now: i64,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) used: u64,
    /// Of a rate.
    pub(super) rate: RateState,
    /// Until when there is something to be known of the rate.
    pub(super) idle_at: i64,
    /// Nobody enters before this time.
    pub(super) shut: i64,
    /// When it opens, if somebody waits for that.
    pub(super) opens: Option<i64>,
    pub(super) is_swept: bool,
    /// By lane.
    pub(super) waiting: BTreeMap<usize, Waiting>,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) parked: BTreeSet<Due>,
    /// How many are let out.
    pub(super) out: u64,
}

/// Where a run waits.
#[derive(Debug)]
pub(super) struct At {
    pub(super) gate: GateId,
    pub(super) lane: usize,
    pub(super) is_out: bool,
}

impl Entry {
    /// Whether there is room for this gate of a run.
    pub(super) fn has_room(&self, gate: &Gate, now: i64) -> bool {
        self.room(gate, now) >= gate.weight.into()
    }

    /// How much room there is at this gate.
    pub(super) fn room(&self, gate: &Gate, now: i64) -> u64 {
        match gate.pace {
            _ if self.shut > now => 0,
            Some(pace) => self.rate.left(gate.cap, pace, now).min(gate.cap).into(),
            None => u64::from(gate.cap).saturating_sub(self.used),
        }
    }

    /// When there may be room, if the clock brings it.
    pub(super) fn opening(&self, gate: &Gate, now: i64) -> Option<i64> {
        let pace = gate.pace.filter(|_| gate.is_enough());
        let of_rate = pace.and_then(|pace| self.rate.take(gate.cap, pace, now, gate.weight).err());
        of_rate.into_iter().chain((self.shut > now).then_some(self.shut)).max()
    }

    pub(super) fn is_idle(&self, now: i64) -> bool {
        self.used == 0 && self.waiting.is_empty() && self.idle_at <= now
    }
}

impl GateTable {
    /// A claim or a run holds these gates from now on.
    pub(super) fn hold(&mut self, gates: &Gates) {
        for gate in gates.iter().filter(|gate| gate.pace.is_none()) {
            self.by_id.entry(gate.id.clone()).or_default().used += u64::from(gate.weight);
        }
    }

    /// An attempt begins: it counts for its rates.
    pub(super) fn begin(&mut self, gates: &Gates) {
        for gate in gates {
            let gate = self.caps.capped(gate);
            let Some(pace) = gate.pace else { continue };
            let entry = self.by_id.entry(gate.id.clone()).or_default();
            if let Ok(after) = entry.rate.take(gate.cap, pace, self.now, gate.weight) {
                entry.rate = after;
            }
            entry.idle_at = entry.rate.idle_at(pace).max(entry.shut);
            if !std::mem::replace(&mut entry.is_swept, true) {
                self.idle.insert((entry.idle_at, gate.id.clone()));
            }
        }
    }

    /// Nobody enters this gate before that time.
    pub(super) fn shut(&mut self, id: &GateId, until: i64) {
        let entry = self.by_id.entry(id.clone()).or_default();
        entry.shut = entry.shut.max(until);
        entry.idle_at = entry.idle_at.max(until);
        if !std::mem::replace(&mut entry.is_swept, true) {
            self.idle.insert((entry.idle_at, id.clone()));
        }
    }

    /// What was remembered of a gate.
    pub(super) fn restore(&mut self, id: GateId, state: GateState) {
        let entry = self.by_id.entry(id.clone()).or_default();
        (entry.rate, entry.shut, entry.idle_at) = (state.rate, state.shut, state.idle_at);
        if !std::mem::replace(&mut entry.is_swept, true) {
            self.idle.insert((state.idle_at, id));
        }
    }

    /// An attempt that was to begin at this time has not begun.
    pub(super) fn unbegin(&mut self, gates: &Gates, since: i64) {
        for gate in gates {
            let gate = self.caps.capped(gate);
            if let (Some(pace), Some(entry)) = (gate.pace, self.by_id.get_mut(&gate.id)) {
                entry.rate = std::mem::take(&mut entry.rate).give_back(gate.cap, pace, since, gate.weight);
            }
        }
    }

    /// Somebody waits for a rate that opens then.
    pub(super) fn opens_at(&mut self, id: &GateId, at: i64) {
        let Some(entry) = self.by_id.get_mut(id) else { return };
        if let Some(known) = entry.opens.replace(at) {
            self.opens.remove(&(known, id.clone()));
        }
        self.opens.insert((at, id.clone()));
    }

    /// A rate that opens by now.
    pub(super) fn pop_open(&mut self) -> Option<GateId> {
        let (_, id) = self.opens.first().filter(|(at, _)| *at <= self.now)?;
        let id = id.clone();
        self.opens.pop_first();
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.opens = None;
        }
        Some(id)
    }

    /// Forgets some of the rates of which nothing is to be known any more.
    pub(super) fn sweep(&mut self) {
        for _ in 0..MOST_SWEPT {
            let Some((at, id)) = self.idle.pop_first() else { return };
            if at > self.now {
                self.idle.insert((at, id));
                return;
            }
            let Some(entry) = self.by_id.get_mut(&id) else { continue };
            entry.is_swept = entry.idle_at > self.now;
            if entry.is_swept {
                self.idle.insert((entry.idle_at, id));
            } else if entry.is_idle(self.now) {
                self.by_id.remove(&id);
            }
        }
    }

    /// When the first rate opens for which somebody waits.
    pub(super) fn next_opening(&self) -> Option<DateTime<Utc>> {
        self.opens.first().and_then(|(at, _)| DateTime::from_timestamp_millis(*at))
    }

    /// The run does not wait at a gate any more. Says at which it did, and whether it stood in no lane because of that.
    pub(super) fn forget(&mut self, slot: usize, due: Option<&Due>) -> Option<(GateId, bool)> {
        let At { gate, lane, is_out } = self.at.remove(&slot)?;
        let entry = self.by_id.get_mut(&gate)?;
        let waiting = entry.waiting.get_mut(&lane)?;
        if is_out {
            waiting.out -= 1;
        } else if let Some(due) = due {
            waiting.parked.remove(due);
        }
        Some((gate, !is_out))
    }
}
