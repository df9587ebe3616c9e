//! What is given to the nodes of this process and what they give back, remembered by their sessions.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::Result;
use scheduler_core::job::{CancelReason, ExecutionId};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};

use crate::codec;
use crate::firing::FIRED;
use crate::inner::Inner;
use crate::session::{Claimed, Ending, Flight, Session};
use crate::store::touch_lost;

/// What a session was when it asked for triggers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Before {
    since: Option<Duration>,
    /// See [`Session::unheard`].
    pub(crate) unheard: Option<u64>,
}

/// What was acquired, with what is to be remembered of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) triggers: Vec<(AcquiredTrigger, Memo)>,
    pub(crate) cancel: Vec<(ExecutionId, CancelReason)>,
    pub(crate) next_due: Option<DateTime<Utc>>,
    /// Everything that was fired is there.
    pub(crate) is_all: bool,
}

/// A trigger and its progress, before it is fired and after, as the store has them.
#[derive(Debug)]
pub(crate) struct Memo {
    pub(crate) trigger: String,
    pub(crate) from: String,
    pub(crate) after: String,
}

impl Found {
    /// What comes after it.
    pub(crate) fn add(&mut self, part: Self) {
        self.triggers.extend(part.triggers);
        (self.cancel, self.next_due) = (part.cancel, part.next_due);
        self.is_all &= part.is_all;
    }
}

impl Session {
    /// A claim is the node's, and a run if it was fired at once.
    fn holds(&mut self, acquired: &AcquiredTrigger, memo: Memo, at: Duration, now: DateTime<Utc>) {
        let due = acquired.progress.next.map(codec::time);
        let claimed = Claimed { at, trigger: memo.trigger, due, from: memo.from };
        let Some(fired) = &acquired.fired else { return self.claimed(acquired.claim, claimed) };
        let flight = Flight {
            claimed,
            progress: memo.after,
            next: fired.progress.next.map(codec::time),
            fired: codec::time(now),
            exclusive: fired.job.disallow_concurrent(),
        };
        self.flights.insert(acquired.claim, flight);
    }
}

impl Inner {
    /// A node is about to ask for triggers, or only what is new. From here on the store may have fired what it does not know of.
    pub(crate) fn asks_for(&self, session: u64, triggers: bool) -> Before {
        let highest = self.state.lock().highest;
        let mut sessions = self.sessions.lock();
        let Some(known) = sessions.get_mut(&session) else { return Before::default() };
        let before = Before { since: known.since, unheard: known.unheard };
        if triggers {
            known.unheard = known.unheard.or(Some(highest));
        }
        before
    }

    /// Asks runs of a node to stop.
    pub(crate) fn stop(&self, session: u64, runs: Vec<(ExecutionId, CancelReason)>) {
        let stop = self.sessions.lock().get(&session).map(|known| known.node.stop.clone());
        if let Some(stop) = stop {
            runs.into_iter().for_each(|(run, reason)| stop(run, reason));
        }
    }

    pub(crate) fn name_of(&self, session: u64) -> Option<Arc<str>> {
        self.sessions.lock().get(&session).map(|known| known.node.name.clone())
    }

    /// The number of the next call by which a node asks for triggers.
    pub(crate) fn turn_of(&self, session: u64) -> u64 {
        self.sessions.lock().get_mut(&session).map_or(1, |known| {
            known.turn += 1;
            known.turn
        })
    }

    /// What was found is the node's from now on. Not if it has lost touch meanwhile: then nothing may begin.
    pub(crate) fn hand_out(&self, request: &AcquireDue, before: Before, found: Found) -> Result<Acquired> {
        let now = SystemClock.monotonic();
        let highest = found.triggers.iter().map(|(acquired, _)| acquired.claim.count()).max();
        let mut triggers = Vec::with_capacity(found.triggers.len());
        {
            let mut sessions = self.sessions.lock();
            let mut known = sessions.get_mut(&request.session);
            let since = known.as_ref().and_then(|known| known.since);
            if since != before.since || known.as_ref().is_some_and(|known| !known.is_safe(now)) {
                return Err(touch_lost());
            }
            for (acquired, memo) in found.triggers {
                if let Some(known) = &mut known {
                    known.holds(&acquired, memo, now, request.now);
                }
                triggers.push(acquired);
            }
            if let Some(known) = known.filter(|_| found.is_all) {
                known.unheard = None;
            }
        }
        let mut state = self.state.lock();
        state.highest = state.highest.max(highest.unwrap_or_default());
        Ok(Acquired { triggers, cancel: found.cancel, next_due: found.next_due })
    }

    /// Notes what runs from now on. False if the node has lost touch meanwhile: then nothing may begin.
    pub(crate) fn departed(
        &self,
        session: u64,
        now: DateTime<Utc>,
        firings: &[Firing],
        rows: &[String],
        results: &mut [FireResult],
    ) -> bool {
        let mut sessions = self.sessions.lock();
        let Some(known) = sessions.get_mut(&session) else { return true };
        if !known.is_safe(SystemClock.monotonic()) {
            return false;
        }
        for ((firing, row), result) in firings.iter().zip(rows.chunks(FIRED)).zip(results) {
            let claimed = known.claimed.remove(&firing.claim);
            let FireResult::Run { job, .. } = &*result else { continue };
            let Some(claimed) = claimed else {
                if !known.flights.contains_key(&firing.claim) {
                    // The node was held for dead since it has claimed this.
                    *result = FireResult::Stale;
                }
                continue;
            };
            let flight = Flight {
                claimed,
                progress: row[2].clone(),
                next: firing.progress.next.map(codec::time),
                fired: codec::time(now),
                exclusive: job.disallow_concurrent(),
            };
            known.flights.insert(firing.claim, flight);
        }
        true
    }

    pub(crate) fn landed(&self, executions: &[Completion], endings: Vec<Ending>) {
        let (now, mut sessions) = (SystemClock.monotonic(), self.sessions.lock());
        for (completion, ending) in executions.iter().zip(endings) {
            if let Some(known) = sessions.get_mut(&completion.execution.session()) {
                known.ended(completion.execution, ending, now);
            }
        }
    }

    /// Whether the nodes of this process look for further triggers themselves, so that others need not.
    pub(crate) fn takes(&self) -> bool {
        self.sessions.lock().values().all(|session| session.takes)
    }
}
