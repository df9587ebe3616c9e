//! Runs that are stored: by the model, and as the store is asked to.

use std::time::Duration;

use scheduler_core::job::JobDetail;
use scheduler_core::run::{Condition, Edge, Gate, Gates, Pace, RunEnd, Unique};
use scheduler_core::store::batches::{InBatch, NewBatch};
use scheduler_core::store::{Conflict, Enqueued, NewKey, NewRun};

use super::operations::{BatchWish, KeyWish, Link, Wish};
use super::plain::{Batch, Key, Plain, Run, Standing, Wait};
use super::play::{QUEUES, id, limit};
use crate::bench::{at, job};

/// A run to be stored, as the model knows it.
#[derive(Debug, Clone)]
pub(super) struct New {
    pub(super) run: Run,
    key: Option<KeyWish>,
    /// The run of its batch that adds it.
    by: Option<u64>,
    /// The batch of whose end it tells.
    tells_of: Option<u64>,
    boost: bool,
    fair: Option<usize>,
}

fn blank(number: u64, due: i64) -> Run {
    Run {
        number,
        is_gone: false,
        standing: Standing::Waiting,
        due,
        attempts: 0,
        replays: 0,
        job: 0,
        queue: None,
        expires: None,
        has_begun: false,
        gates: Vec::new(),
        waits: Vec::new(),
        delay: 0,
        is_parent: false,
        has_unmet: false,
        has_more: false,
        key: None,
        has_freed_key: false,
        follows: false,
        is_followed: false,
        is_only_key: false,
        sequence: None,
        joined: None,
        member_of: None,
        is_asked: false,
        batch: None,
    }
}

impl New {
    fn plain(run: Run) -> Self {
        Self { run, key: None, by: None, tells_of: None, boost: false, fair: None }
    }

    /// As the store is asked for it.
    pub(super) fn stored(&self, now: i64) -> NewRun {
        let run = &self.run;
        let detail: JobDetail = match run.job {
            0 => job("work").build(),
            _ => JobDetail::builder("far".parse().unwrap(), "elsewhere").build(),
        };
        let mut new = NewRun::of(id(run.number), &detail, at(run.due));
        new.now = Some(at(now));
        new.queue = run.queue.map(|queue| QUEUES[queue].into());
        new.boost = Duration::from_secs(if self.boost { 15 } else { 0 });
        new.expires = run.expires.map(|after| Duration::from_secs(after.unsigned_abs()));
        let fair = self.fair.map(|key| ["x", "y"][key].into());
        new.gates = Gates::new(run.gates.clone()).with_fair(fair);
        new.after = run.waits.iter().map(|wait| Edge::new(id(wait.parent), wait.on)).collect();
        new.delay = Duration::from_secs(run.delay.unsigned_abs());
        new.batch = match (run.member_of, self.tells_of) {
            (Some(batch), _) => Some(InBatch::member(id(batch), self.by.map(id))),
            (None, tells_of) => tells_of.map(|batch| InBatch::callback(id(batch))),
        };
        new.opens = run.batch.map(|batch| {
            let mut opens = NewBatch::new(batch.on_death.map(id));
            opens.is_sealed = batch.is_sealed;
            opens
        });
        new.sequence = run.sequence.map(|(name, halts)| {
            let sequence = scheduler_core::run::Sequence::of(name).across_jobs();
            Box::new(if halts { sequence.halt_when_dead() } else { sequence }.stored("work"))
        });
        new.unique = self.key.map(|wish| {
            let mut unique = Unique::key(wish.name).across_jobs();
            if wish.until_started {
                unique = unique.until_started();
            }
            if let Some(until) = wish.until {
                unique = unique.for_at_least(Duration::from_secs(until.unsigned_abs()));
            }
            let conflict = match wish.conflict {
                0 => Conflict::Skip,
                1 => Conflict::Refuse,
                2 => Conflict::Replace { data: true, of: None },
                _ => Conflict::Follow,
            };
            let mut key = NewKey::new(unique.stored("work", at(now)), conflict, at(now));
            key.keeps_due = wish.keeps_due;
            key.into()
        });
        new
    }
}

impl Plain {
    /// The run of this number in a list that begins with the latest.
    fn chosen(&self, number: usize, earlier: &[u64]) -> Option<u64> {
        // Now and then one that is not stored any more.
        let all: Vec<_> = match number {
            11 => self.runs.iter().map(|run| run.number).collect(),
            _ => earlier.iter().rev().copied().chain(self.latest()).collect(),
        };
        all.get(number % all.len().max(1)).copied()
    }

    fn batches(&self) -> Vec<u64> {
        let is_batch = |number: &u64| self.run(*number).is_some_and(|run| run.batch.is_some());
        self.latest().into_iter().filter(is_batch).collect()
    }

    /// Runs of one call, numbered from here on.
    pub(super) fn wished(&self, wishes: &[Wish], mut earlier: Vec<u64>, of: Option<u64>) -> Vec<New> {
        let mut call = Vec::new();
        for wish in wishes {
            let number = self.last + earlier.len() as u64 + 1;
            call.push(self.wish(wish, number, &earlier, of));
            earlier.push(number);
        }
        call
    }

    fn wish(&self, wish: &Wish, number: u64, earlier: &[u64], of: Option<u64>) -> New {
        let batches = self.batches();
        let member_of = of.or_else(|| batches.get(wish.batch?.0 % batches.len().max(1)).copied());
        let by = member_of.and_then(|_| self.chosen(wish.batch?.1?, earlier));
        let mut run = Run {
            job: wish.job,
            queue: wish.queue,
            expires: wish.expires,
            member_of,
            gates: wish.limits.iter().map(gate).collect(),
            ..blank(number, self.now + wish.due)
        };
        let mut wished = None;
        match &wish.link {
            Link::None => {}
            Link::After { parents, delay } => {
                for (parent, on) in parents {
                    let parent = self
                        .chosen(*parent, earlier)
                        .filter(|parent| run.waits.iter().all(|wait| wait.parent != *parent));
                    run.waits.extend(parent.map(|parent| Wait { parent, on: *on, is_unmet: false }));
                }
                run.delay = *delay;
            }
            Link::Own { key, sequence } => {
                run.sequence = *sequence;
                run.key = key.map(|key| Key {
                    name: key.name,
                    until_started: key.until_started,
                    until: key.until.map(|until| self.now + until),
                });
                wished = *key;
            }
        }
        New { key: wished, by, boost: wish.boost, fair: wish.fair, ..New::plain(run) }
    }

    /// A batch, the runs that tell of it, and its first runs.
    pub(super) fn opened(&self, wish: &BatchWish, runs: &[Wish]) -> Vec<New> {
        let number = self.last + 1;
        let callback = |on, place| {
            let waits = vec![Wait { parent: number, on, is_unmet: false }];
            let run = Run { waits, ..blank(number + place, self.now) };
            New { tells_of: Some(number), ..New::plain(run) }
        };
        let outer = self.batches().into_iter().nth(wish.outer.unwrap_or(usize::MAX));
        let on_death = wish.callbacks.then_some(number + 3);
        let (is_sealed, is_cancelled, skipped) = (wish.is_sealed, false, 0);
        let batch = Some(Batch { is_sealed, is_cancelled, is_cancelling: false, on_death, skipped });
        let mut call = vec![New::plain(Run { batch, member_of: outer, ..blank(number, self.now) })];
        if wish.callbacks {
            call.extend([
                callback(Condition::Any, 1),
                callback(Condition::Success, 2),
                callback(Condition::Death, 3),
            ]);
        }
        let earlier = call.iter().map(|new| new.run.number).collect();
        call.extend(self.wished(runs, earlier, Some(number)));
        call
    }

    /// Whether nothing of a call is to be stored.
    pub(super) fn refuses(&self, call: &[New]) -> bool {
        let place = |number: u64| call.iter().position(|new| new.run.number == number);
        call.iter().enumerate().any(|(at, new)| {
            let is_orphan = new.run.waits.iter().any(|wait| {
                self.run(wait.parent).is_none() && place(wait.parent).is_none_or(|parent| parent >= at)
            });
            let outer = std::iter::successors(new.run.member_of, |batch| {
                let of_call = call.iter().map(|new| &new.run).find(|run| run.number == *batch);
                of_call.or_else(|| self.run(*batch))?.member_of
            });
            let outer: Vec<_> = outer.collect();
            let waits_for_itself = new.run.waits.iter().any(|wait| outer.contains(&wait.parent));
            let is_stranger =
                new.run.member_of.is_some_and(|batch| place(batch).is_none() && !self.takes(batch, new.by));
            let is_taken = new.key.is_some_and(|key| {
                let earlier =
                    call[..at].iter().any(|new| new.key.is_some_and(|known| known.name == key.name));
                key.conflict == 1 && (earlier || !self.owners(key.name, new.run.number).is_empty())
            });
            is_orphan || waits_for_itself || is_stranger || is_taken
        })
    }

    /// Whether a batch takes a run that is added by this one of its runs, or by nobody.
    fn takes(&self, batch: u64, by: Option<u64>) -> bool {
        let Some(run) = self.run(batch).filter(|run| run.is_open()) else { return false };
        let is_member = |by: u64| self.run(by).is_some_and(|by| by.member_of == Some(batch) && by.is_open());
        run.batch.is_some_and(|batch| !batch.is_cancelled && (!batch.is_sealed || by.is_some_and(is_member)))
    }

    pub(super) fn enqueue(&mut self, new: New) -> Enqueued {
        let (batch, merges) = (new.run.member_of, new.key.is_some_and(|key| key.conflict == 3));
        let answer = self.store(new);
        let is_skipped = match answer {
            Enqueued::Created => false,
            Enqueued::Existing(_) => !merges,
            Enqueued::Replaced(_) => true,
        };
        if let Some(batch) = batch.filter(|_| is_skipped) {
            self.edit_batch(batch, |batch| batch.skipped += 1);
        }
        answer
    }

    fn store(&mut self, New { mut run, key, .. }: New) -> Enqueued {
        let owner = key.and_then(|key| self.owners(key.name, run.number).first().copied());
        if let (Some(key), Some(owner)) = (key, owner) {
            if key.conflict < 2 || self.run(owner).is_none_or(|owner| !owner.is_open()) {
                return Enqueued::Existing(id(owner));
            }
            let is_followed = self.run(owner).is_some_and(|owner| owner.is_followed);
            let follower = self.follower(key.name).filter(|_| is_followed);
            let waits = follower.or(self.claim_of(owner).is_none().then_some(owner));
            if let Some(waits) = waits {
                return self.replace(waits, &run, key);
            }
            self.edit(owner, |owner| owner.is_followed = true);
            (run.follows, run.standing) = (true, Standing::Held);
            self.runs.push(run);
            return Enqueued::Created;
        }
        for wait in &run.waits {
            let is_open = self.run(wait.parent).is_some_and(Run::is_open);
            self.edit(wait.parent, |parent| parent.is_parent |= is_open);
        }
        let ends: Vec<_> = run.waits.iter().map(|wait| self.run(wait.parent).map(Run::end)).collect();
        let has_waited = !run.waits.is_empty();
        let mut ends = ends.into_iter();
        run.waits.retain_mut(|wait| {
            // A parent of the same call was not stored if another run has its key.
            let Some(end) = ends.next().flatten().unwrap_or(Some(RunEnd::Cancelled)) else { return true };
            wait.is_unmet = !wait.on.is_met_by(end);
            wait.is_unmet
        });
        if run.waits.iter().any(|wait| wait.is_unmet) {
            run.standing = Standing::Ended(RunEnd::Cancelled);
        } else if !run.waits.is_empty() || run.batch.is_some() {
            run.standing = Standing::Held;
        } else if has_waited {
            run.due = run.due.max(self.now + run.delay);
        }
        for wait in run.waits.iter().filter(|wait| wait.is_unmet) {
            self.edit(wait.parent, |parent| parent.has_unmet = true);
        }
        let number = run.number;
        self.runs.push(run);
        self.line_up(number);
        Enqueued::Created
    }

    /// The run that waits does what the new one is to do.
    fn replace(&mut self, number: u64, new: &Run, key: KeyWish) -> Enqueued {
        if key.conflict == 3 {
            return Enqueued::Existing(id(number));
        }
        let (gates, expires, due) = (new.gates.clone(), new.expires, new.due);
        self.edit(number, |run| {
            (run.gates, run.expires, run.has_begun) = (gates, expires, false);
            run.due = if key.keeps_due { run.due } else { due };
        });
        Enqueued::Replaced(id(number))
    }
}

fn gate(wish: &super::operations::LimitWish) -> Gate {
    let mut gate = match wish.limit {
        2 => Gate::new(limit(2), 1, 1),
        3 => return Gate::rate(limit(3), 2, Pace::new(30_000, 0), 1),
        slots => Gate::new(limit(slots), 2, wish.weight),
    };
    (gate.when_full, gate.hold) = (wish.when_full, wish.hold);
    gate
}
