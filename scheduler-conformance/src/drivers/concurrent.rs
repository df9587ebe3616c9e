//! Transactions at the same time: as if one came after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use scheduler_core::TriggerKey;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::job::ExecutionId;
use scheduler_core::run::RunId;
use scheduler_core::store::rows::*;
use scheduler_core::store::{GroupKind, Mark, PauseNote, StoredState};

use super::DriverUnderTest;
use super::bench::*;
use super::random::Chance;
use crate::seeded::seed;

const THREADS: u64 = 4;

/// On so many threads at once, each with its number.
pub(super) fn at_once<T: Send>(threads: u64, act: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (barrier, act) = (Barrier::new(threads as usize), &act);
    thread::scope(|scope| {
        let begin = |number| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                act(number)
            })
        };
        let all: Vec<_> = (0..threads).map(begin).collect();
        all.into_iter().map(|thread| thread.join().expect("no thread fails")).collect()
    })
}

/// Where transactions wait for each other when they have read and not yet committed, so that all have read the same. A driver that
/// lets only one of them run at a time keeps the others out: when that was seen a few times, nobody waits any more.
pub(super) struct Meeting<'a> {
    came: AtomicU64,
    patience: &'a AtomicU32,
}

/// So often whoever waits looks.
const LOOKS: u32 = 4000;

/// So often some are missing before nobody waits any more.
pub(super) const PATIENCE: u32 = 3;

impl<'a> Meeting<'a> {
    pub(super) const fn new(patience: &'a AtomicU32) -> Self {
        Self { came: AtomicU64::new(0), patience }
    }

    pub(super) fn meet(&self, all: u64) {
        self.come();
        self.wait_for(all);
    }

    fn come(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
    }

    fn wait_for(&self, all: u64) {
        let all_came = || self.came.load(Ordering::SeqCst) >= all;
        for _ in 0..LOOKS {
            if all_came() || self.patience.load(Ordering::SeqCst) == 0 {
                return;
            }
            thread::yield_now();
        }
        let one_less = |patience: u32| patience.checked_sub(1);
        self.patience.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).ok();
    }
}

fn id(number: u64) -> RunId {
    RunId::new(7, number)
}

/// What a transaction has read, by row, and which of these rows it has written, with its own number.
#[derive(Debug, Clone)]
struct Done {
    number: u32,
    read: BTreeMap<u64, u32>,
    written: BTreeSet<u64>,
}

const SHARED_ROWS: u64 = 5;

/// Reads some rows, and writes some of them and others. Whatever it writes it has read.
fn transaction<D: DriverUnderTest>(
    bench: &Bench<D>,
    number: u32,
    chance: &mut Chance,
    meeting: &Meeting<'_>,
) -> Done {
    let read: Vec<_> = (0..=chance.below(3)).map(|_| chance.below(SHARED_ROWS)).collect();
    let written: BTreeSet<_> = (0..=chance.below(2)).map(|_| chance.below(SHARED_ROWS)).collect();
    let read = bench.run(|rows| {
        let mut seen = BTreeMap::new();
        for row in read.iter().chain(&written) {
            let Some(run) = rows.run(id(*row))? else { continue };
            seen.extend(rows.get(run)?.map(|run| (*row, run.attempts)));
        }
        meeting.meet(THREADS);
        for row in &written {
            if let Some(run) = rows.run(id(*row))? {
                rows.edit(run, |run| run.attempts = number)?;
            }
        }
        Ok(seen)
    });
    Done { number, read, written }
}

/// An order in which all of them have read what was there; the error is what has no order.
fn order(all: &[Done]) -> Result<Vec<&Done>, Vec<&Done>> {
    let is_before = |a: &Done, b: &Done| {
        let has_read_it = a.written.iter().any(|row| b.read.get(row) == Some(&a.number));
        let overwrites = |row| a.read.get(row).is_some_and(|read| b.read[row] == *read);
        a.number != b.number && (has_read_it || b.written.iter().any(overwrites))
    };
    let (mut left, mut order): (Vec<_>, _) = (all.iter().collect(), Vec::new());
    while !left.is_empty() {
        let first = left.iter().position(|one| !left.iter().any(|other| is_before(other, one)));
        let Some(first) = first else { return Err(left) };
        order.push(left.swap_remove(first));
    }
    Ok(order)
}

rules! { ($) concurrent, __driver_rules_of_concurrent;

/// Each transaction has read what a plain model holds when they are carried out in some order, one after the other.
fn concurrent_transactions_have_an_order(bench) {
    let patience = AtomicU32::new(PATIENCE);
    let seed = seed();
    bench.put(&(0..SHARED_ROWS).map(|number| run(number, 1)).collect::<Vec<_>>());
    let rounds: Vec<_> = (0..25).map(|_| Meeting::new(&patience)).collect();
    let done = at_once(THREADS, |thread| {
        let mut chance = Chance::of(seed + thread);
        let numbered = (thread as u32 * 1000 + 1..).zip(&rounds);
        numbered.map(|(number, meeting)| transaction(&bench, number, &mut chance, meeting)).collect::<Vec<_>>()
    });
    let done: Vec<_> = done.into_iter().flatten().collect();
    let order = order(&done).unwrap_or_else(|circle| {
        panic!("no order explains these transactions, with CONFORMANCE_SEED={seed}: {circle:#?}")
    });
    let mut model: BTreeMap<u64, u32> = (0..SHARED_ROWS).map(|row| (row, 0)).collect();
    for one in order {
        let is_so = one.read.iter().all(|(row, value)| model[row] == *value);
        assert!(is_so, "{one:?} has read something else than {model:?}, with CONFORMANCE_SEED={seed}");
        model.extend(one.written.iter().map(|row| (*row, one.number)));
    }
    let left = bench.run(|rows| {
        let mut left = BTreeMap::new();
        for row in 0..SHARED_ROWS {
            let Some(run) = rows.run(id(row))? else { continue };
            left.extend(rows.get(run)?.map(|run| (row, run.attempts)));
        }
        Ok(left)
    });
    assert_eq!(left, model, "with CONFORMANCE_SEED={seed}");
}

fn a_name_is_given_to_one_of_those_who_found_it_free(bench) {
    let patience = AtomicU32::new(PATIENCE);
    for round in 0..20 {
        let meeting = Meeting::new(&patience);
        let added = at_once(THREADS, |_| bench.run(|rows| {
            let is_free = rows.run(id(round))?.is_none();
            meeting.meet(THREADS);
            if is_free {
                add(rows, &run(round, 1))?;
            }
            Ok(is_free)
        }));
        assert_eq!(added.iter().filter(|added| **added).count(), 1, "in round {round}");
    }
}

/// A commit that depends on there being several triggers of a job is refused if there are no others any more.
fn who_goes_by_several_members_is_not_overtaken(bench) {
    let patience = AtomicU32::new(PATIENCE);
    for round in 0..20 {
        let (job, meeting) = ("job".parse().expect("a key"), Meeting::new(&patience));
        let names: Vec<_> = (0..THREADS).map(|thread| format!("t{round}-{thread}")).collect();
        bench.put(&names.iter().map(|name| trigger(name, 99)).collect::<Vec<_>>());
        at_once(THREADS, |thread| bench.run(|rows| {
            let several = rows.job(&job)?.map_or(Ok(false), |job| rows.has_several(job))?;
            meeting.meet(THREADS);
            match rows.trigger(&names[thread as usize].parse().expect("a key"))? {
                Some(own) if several => rows.remove(own),
                _ => Ok(()),
            }
        }));
        assert_eq!(bench.members("job"), 1, "one is left in round {round}");
        bench.run(|rows| {
            for name in &names {
                if let Some(left) = rows.trigger(&name.parse().expect("a key"))? {
                    rows.remove(left)?;
                }
            }
            Ok(())
        });
    }
}

/// A commit that depends on room in a queue is refused if there is none any more.
fn who_found_room_in_a_queue_is_not_overtaken(bench) {
    let patience = AtomicU32::new(PATIENCE);
    let queue = Arc::from("q");
    for round in 0..20 {
        let meeting = Meeting::new(&patience);
        let most = round as usize + 1;
        at_once(THREADS, |thread| bench.run(|rows| {
            let has_room = rows.room_in(&queue, 1, most)?.is_ok();
            meeting.meet(THREADS);
            if has_room {
                add(rows, &run(round * 100 + thread, 99).in_queue("q"))?;
            }
            Ok(())
        }));
        let length = bench.run(|rows| rows.room_in(&queue, 1, 0));
        assert_eq!(length, Err(most), "one was added in round {round}");
    }
}

/// A commit that depends on the number of triggers of a job is refused if that number has changed.
fn who_goes_by_the_number_of_members_is_not_overtaken(bench) {
    let patience = AtomicU32::new(PATIENCE);
    bench.put(&[trigger("first", 99)]);
    for round in 0..20 {
        let (job, meeting) = ("job".parse().expect("a key"), Meeting::new(&patience));
        at_once(THREADS, |thread| bench.run(|rows| {
            let members = rows.job(&job)?.map_or(Ok(0), |job| rows.members(job))?;
            meeting.meet(THREADS);
            if members < round + 2 {
                add(rows, &trigger(&format!("t{round}-{thread}"), 99))?;
            }
            Ok(())
        }));
        assert_eq!(bench.members("job"), round + 2, "one was added in round {round}");
    }
}

/// A paused trigger keeps no unfired claim.
fn who_found_no_claim_is_refused_if_there_is_one(bench) {
    let patience = AtomicU32::new(PATIENCE);
    for round in 0..20 {
        let (work, one) = (trigger(&format!("t{round}"), 1), run(round, 1));
        bench.put(&[work.clone(), one.clone()]);
        let meeting = Meeting::new(&patience);
        at_once(2, |thread| {
            if thread == 0 {
                meeting.wait_for(1);
                bench.take(ONE, 1, 10);
                return meeting.come();
            }
            bench.run(|rows| {
                let (Name::Trigger(key), Name::Run(run)) = (&work.name, &one.name) else { return Ok(()) };
                let (Some(trigger), Some(run)) = (rows.trigger(key)?, rows.run(*run)?) else { return Ok(()) };
                let claims = [rows.unfired(trigger)?, rows.claim_of(run)?];
                meeting.meet(2);
                claims.into_iter().flatten().try_for_each(|claim| {
                    rows.get(claim)?;
                    rows.remove(claim)
                })?;
                rows.edit(trigger, |row| (row.state, row.epoch) = (StoredState::Paused, row.epoch + 1))?;
                rows.edit(run, |row| (row.standing, row.epoch) = (Standing::Held, row.epoch + 1))?;
                Ok(())
            });
        });
        assert_eq!(bench.claims_of(ONE), [0; 0], "in round {round}");
        assert_eq!(bench.due(9), [""; 0], "in round {round}");
    }
}

/// A node tells a server that came back with older data of a run, while another node takes the next one of the same job.
fn a_forgotten_claim_does_not_hold_a_job_that_another_holds(bench) {
    let patience = AtomicU32::new(PATIENCE);
    for round in 0..20 {
        let job = format!("job{round}");
        let next = run(1000 + round, 1).of(&job).alone();
        bench.put(&[run(round, 1).of(&job).alone()]);
        let known = bench.take_one(1);
        let key = job.parse().expect("a key");
        assert_eq!(bench.run(|rows| rows.holder(&key)), Some(Id::of(known.claim)));
        let row = bench.run(|rows| Ok(rows.get(Id::of(known.claim))?.cloned())).expect("it is there");
        bench.give_back(&known);
        bench.remove(&known.name);
        bench.put(std::slice::from_ref(&next));
        let meeting = Meeting::new(&patience);
        at_once(2, |thread| {
            if thread == 0 {
                meeting.wait_for(1);
                bench.take(TWO, 1, 10);
                return meeting.come();
            }
            bench.run(|rows| {
                let is_free = rows.holder(&key)?.is_none();
                meeting.meet(2);
                if is_free {
                    add(rows, &run(round, 99).of(&job).alone())?;
                    rows.add_claim(Id::of(known.claim), row.clone());
                    assert_eq!(rows.holder(&key)?, Some(Id::of(known.claim)), "it has added it itself");
                }
                Ok(())
            });
        });
        assert_eq!(bench.claims_of(ONE).len() + bench.claims_of(TWO).len(), 1, "in round {round}");
        for session in [ONE, TWO] {
            for claim in bench.claims_of(session) {
                bench.run(|rows| end_claim(rows, ExecutionId::new(session, claim)));
            }
        }
        [&known.name, &next.name].into_iter().for_each(|name| bench.remove(name));
    }
}

fn each_piece_of_work_is_taken_by_one_node(bench) {
    let of = |number: u64| if number.is_multiple_of(3) { trigger(&format!("t{number}"), 1) } else { run(number, 1) };
    let alone = |number: u64| run(1000 + number, 1).of("alone").alone();
    bench.put(&(0..200).map(of).collect::<Vec<_>>());
    bench.put(&(0..20).map(alone).collect::<Vec<_>>());
    let taken = at_once(2, |thread| {
        let mut all = Vec::new();
        loop {
            let taken = bench.take(ONE + thread, 1, 7);
            if taken.is_empty() {
                return all;
            }
            all.extend(taken);
        }
    });
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 201, "and one of the job that allows one run at a time");
    assert_eq!(taken.iter().map(|taken| &taken.name).collect::<BTreeSet<_>>().len(), 201);
    assert_eq!(taken.iter().map(|taken| taken.claim.count()).collect::<BTreeSet<_>>().len(), 201);
}

fn no_change_of_what_there_is_one_of_is_lost(bench) {
    let patience = AtomicU32::new(PATIENCE);
    let name = Arc::from("mark");
    let rounds: Vec<_> = (0..10).map(|_| [Meeting::new(&patience), Meeting::new(&patience)]).collect();
    at_once(THREADS, |thread| {
        for (round, [first, second]) in rounds.iter().enumerate() {
            bench.run(|rows| {
                let revision = rows.mark(&name)?.map_or(0, |mark| mark.revision) + 1;
                first.meet(THREADS);
                rows.set_mark(name.clone(), Mark { text: "".into(), revision });
                Ok(())
            });
            let group = format!("{thread}-{round}").into();
            bench.run(|rows| {
                rows.pauses()?;
                second.meet(THREADS);
                let groups = std::slice::from_ref(&group);
                rows.edit_pauses(|pauses| pauses.remember(GroupKind::Jobs, groups, &PauseNote::at(t0())))
            });
        }
    });
    let many = usize::try_from(THREADS * 10).expect("a small number");
    assert_eq!(bench.run(|rows| rows.mark(&name)).map(|mark| mark.revision), Some(THREADS * 10));
    assert_eq!(bench.run(|rows| Ok(rows.pauses()?.of(GroupKind::Jobs).len())), many);
}

/// Nobody removes a calendar in the moment in which a trigger begins to name it.
fn a_calendar_in_use_is_not_removed(bench) {
    let patience = AtomicU32::new(PATIENCE);
    for round in 0..20 {
        let (name, key): (Arc<str>, TriggerKey) = (format!("c{round}").into(), format!("t{round}").parse().expect("a key"));
        let calendar = Arc::new(StandardCalendar::new(Exclusion::Nothing, chrono_tz::Tz::UTC));
        bench.run(|rows| rows.set_calendar(name.clone(), Some(calendar.clone())));
        bench.put(&[trigger(&format!("t{round}"), 99)]);
        let meeting = Meeting::new(&patience);
        let done = at_once(2, |thread| bench.run(|rows| {
            if thread == 0 {
                let is_free = rows.user_of(&name)?.is_none();
                meeting.meet(2);
                if is_free {
                    rows.set_calendar(name.clone(), None)?;
                }
                return Ok(is_free);
            }
            let (there, trigger) = (rows.calendar(&name)?.is_some(), rows.trigger(&key)?);
            meeting.meet(2);
            if let Some(trigger) = trigger.filter(|_| there) {
                rows.edit(trigger, |row| {
                    let named = row.trigger.to_builder().calendar(name.clone()).build(t0());
                    row.trigger = Arc::new(named.expect("a trigger"));
                })?;
            }
            Ok(there)
        }));
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "in round {round}: {done:?}");
    }
}

}
