//! Random operations on work, with what a plain list says of the order in which it is taken.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::DriverUnderTest;
use super::bench::*;
use crate::seeded;

/// So many sequences of operations.
const CASES: u32 = 40;

/// Numbers that follow from a seed.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A random step. The numbers choose among the rows that exist.
#[derive(Debug, Clone)]
enum Operation {
    /// Adds it, or makes it so if it is there.
    Put(Wish),
    Remove(usize),
    Take {
        session: u64,
        until: i64,
        max: usize,
    },
    GiveBack(usize),
    Fire {
        claim: usize,
        next: i64,
    },
    End(usize),
    Show(usize),
}

#[derive(Debug, Clone)]
struct Wish {
    name: usize,
    job: usize,
    at: i64,
    priority: i32,
}

/// Eight triggers and eight runs of three jobs; the first two allow one run at a time, the last runs on the first node only.
const NAMES: usize = 16;

impl Wish {
    /// A run stays what it is, apart from its time and priority.
    fn work(&self) -> Work {
        let is_run = self.name >= NAMES / 2;
        let job = if is_run { self.name % 3 } else { self.job };
        let work = if is_run {
            run(self.name as u64, self.at)
        } else {
            trigger(&format!("t{}", self.name), self.at)
        };
        let work = match job {
            0 => work.of("alone").alone(),
            1 => work.of("also").alone(),
            _ => work.in_lane("other"),
        };
        work.with_priority(self.priority)
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let wish = (0..NAMES, 0..3usize, 0..6i64, 4..6i32).prop_map(|(name, job, at, priority)| Wish {
        name,
        job,
        at,
        priority,
    });
    prop_oneof![
        6 => wish.prop_map(Operation::Put),
        1 => (0..NAMES).prop_map(Operation::Remove),
        6 => (ONE..=TWO, 0..8i64, 0..5usize).prop_map(|(session, until, max)| Operation::Take { session, until, max }),
        2 => (0..50usize).prop_map(Operation::GiveBack),
        2 => (0..50usize, 0..9i64).prop_map(|(claim, next)| Operation::Fire { claim, next }),
        3 => (0..50usize).prop_map(Operation::End),
        1 => (0..NAMES).prop_map(Operation::Show),
    ]
}

#[derive(Debug, Clone)]
struct Claim {
    taken: Taken,
    /// As it was when it was claimed.
    work: Work,
    fired: bool,
}

#[derive(Debug, Default)]
struct Model {
    work: BTreeMap<Name, Work>,
    claims: Vec<Claim>,
}

impl Model {
    /// A run is claimed until its claim is over, a trigger until it is fired.
    fn is_claimed(&self, name: &Name) -> bool {
        self.claims.iter().any(|claim| claim.taken.name == *name && !claim.fired)
    }

    fn is_busy(&self, work: &Work, taken: &[Work]) -> bool {
        let holders = self.claims.iter().map(|claim| &claim.work).chain(taken);
        work.exclusive && holders.filter(|other| other.exclusive).any(|other| other.job == work.job)
    }

    fn next(&self, session: u64, until: i64, max: usize) -> Vec<Work> {
        let mut due: Vec<_> = self.work.values().filter(|work| work.at <= at(until)).collect();
        due.sort_unstable_by_key(|work| work.order());
        let mut taken = Vec::new();
        for work in due {
            let is_open = session == ONE || work.job_type == "work";
            if taken.len() < max && is_open && !self.is_claimed(&work.name) && !self.is_busy(work, &taken) {
                taken.push(work.clone());
            }
        }
        taken
    }

    /// One of the claims, of triggers that are not fired if that is asked for.
    fn pick(&self, number: usize, to_be_fired: bool) -> Option<usize> {
        let may =
            |claim: &Claim| !to_be_fired || (!claim.fired && matches!(claim.taken.name, Name::Trigger(_)));
        let all: Vec<_> = (0..self.claims.len()).filter(|index| may(&self.claims[*index])).collect();
        (!all.is_empty()).then(|| all[number % all.len()])
    }
}

fn name(number: usize) -> Name {
    Wish { name: number, job: 0, at: 0, priority: 0 }.work().name
}

fn play<D: DriverUnderTest>(bench: &Bench<D>, operations: &[Operation]) -> Result<(), String> {
    let mut model = Model::default();
    for (step, operation) in operations.iter().enumerate() {
        match operation {
            // Claimed rows are left alone: a rule that changes one also decides about its claim.
            Operation::Put(wish) if !model.is_claimed(&name(wish.name)) => {
                let work = wish.work();
                match model.work.insert(work.name.clone(), work.clone()) {
                    Some(_) => bench.change(&work),
                    None => bench.put(&[work]),
                }
            }
            Operation::Remove(number) if !model.is_claimed(&name(*number)) => {
                bench.remove(&name(*number));
                model.work.remove(&name(*number));
            }
            Operation::Show(number) if !model.is_claimed(&name(*number)) => bench.show(&name(*number)),
            Operation::Put(_) | Operation::Remove(_) | Operation::Show(_) => {}
            Operation::Take { session, until, max } => {
                let expected = model.next(*session, *until, *max);
                let taken = bench.take(*session, *until, *max);
                if !taken.iter().map(|taken| &taken.name).eq(expected.iter().map(|work| &work.name)) {
                    let expected: Vec<_> = expected.iter().map(|work| &work.name).collect();
                    return Err(format!("operation {step} has taken {taken:?}, and not {expected:?}"));
                }
                let claims = taken.into_iter().zip(expected);
                model.claims.extend(claims.map(|(taken, work)| Claim { taken, work, fired: false }));
            }
            Operation::GiveBack(number) => {
                if let Some(index) = model.pick(*number, false).filter(|index| !model.claims[*index].fired) {
                    bench.give_back(&model.claims.swap_remove(index).taken);
                }
            }
            Operation::Fire { claim, next } => {
                let Some(index) = model.pick(*claim, true) else { continue };
                let claim = &mut model.claims[index];
                claim.fired = true;
                bench.fire(&claim.taken, *next);
                if let Some(work) = model.work.get_mut(&claim.taken.name) {
                    work.at = at(*next);
                }
            }
            Operation::End(number) => {
                let Some(index) = model.pick(*number, false) else { continue };
                let claim = model.claims.swap_remove(index);
                if claim.fired {
                    bench.run(|rows| end_claim(rows, claim.taken.claim));
                } else {
                    bench.finish(&claim.taken);
                    model.work.remove(&claim.taken.name);
                }
            }
        }
    }
    Ok(())
}

/// Plays random sequences of operations. Every run plays the same ones; the environment variable `CONFORMANCE_SEED`, a number, has it
/// play others.
///
/// # Panics
///
/// The driver hands out something else than the model. The message holds the shortest sequence found that shows it.
pub fn check<D: DriverUnderTest>(open: &dyn Fn() -> D) {
    seeded::play_all(CASES, 1000, prop::collection::vec(operation(), 1..60), |operations| {
        play(&Bench::new(open()), operations)
    });
}
