//! Random operations, on a store and on a simple model of it, with equal observable results.
//!
//! The model keeps plain lists and looks through all of them for everything. It knows two nodes, four jobs (of which one
//! can be run by the first node alone) and eight triggers of two groups.

mod plain;
mod play;

use proptest::prelude::*;
use scheduler_core::trigger::OverlapPolicy;

use super::bench::{Open, run};
use super::seeded;

/// So many sequences of operations.
const CASES: u32 = 300;

/// Plays random sequences of operations. Every run plays the same ones; the environment variable `CONFORMANCE_SEED`, a
/// number, has it play others.
///
/// # Panics
///
/// The store answers otherwise than the model. The message holds the shortest sequence found that shows it.
pub fn check(open: &impl Open) {
    seeded::play_all(CASES, 4000, prop::collection::vec(operation(), 1..50), |operations| {
        run(play::play(open, operations))
    });
}

/// What is done to a store; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Operation {
    /// Time passes, in seconds.
    Wait(i64),
    PutJob {
        job: usize,
        exclusive: bool,
        durable: bool,
        existing: usize,
    },
    PutTrigger {
        trigger: TriggerWish,
        existing: usize,
    },
    Reschedule {
        old: usize,
        trigger: TriggerWish,
        keep: bool,
    },
    Adjust {
        trigger: usize,
        next: Option<i64>,
    },
    RemoveTrigger(usize),
    RemoveJob(usize),
    Pause(usize),
    Resume(usize),
    Reset(usize),
    Clear,
    Acquire {
        node: usize,
        max: usize,
        limits: usize,
        shares: usize,
        /// Since how many seconds a trigger is late, and how many such ones come first.
        late: Option<(i64, usize)>,
    },
    /// Fires what is claimed and not fired.
    Fire {
        claim: usize,
        run: bool,
    },
    /// Fires something again, or what is over.
    FireAgain {
        claim: usize,
    },
    Complete {
        claim: usize,
        instruction: usize,
    },
    Release {
        claim: usize,
    },
    Cancel(usize),
}

#[derive(Debug, Clone)]
struct TriggerWish {
    trigger: usize,
    job: usize,
    /// How many seconds from now it is first due.
    start: i64,
    /// How often it fires in all; for ever if 0.
    times: u32,
    priority: i32,
    overlap: OverlapPolicy,
    has_queue: bool,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..50i64).prop_map(Operation::Wait),
        2 => (0..4usize, any::<bool>(), any::<bool>(), 0..4usize)
            .prop_map(|(job, exclusive, durable, existing)| Operation::PutJob { job, exclusive, durable, existing }),
        6 => (wish(), 0..4usize).prop_map(|(trigger, existing)| Operation::PutTrigger { trigger, existing }),
        1 => (0..8usize, wish(), any::<bool>())
            .prop_map(|(old, trigger, keep)| Operation::Reschedule { old, trigger, keep }),
        1 => (0..8usize, prop::option::of(0..90i64))
            .prop_map(|(trigger, next)| Operation::Adjust { trigger, next }),
        1 => (0..8usize).prop_map(Operation::RemoveTrigger),
        1 => (0..4usize).prop_map(Operation::RemoveJob),
        2 => (0..12usize).prop_map(Operation::Pause),
        2 => (0..12usize).prop_map(Operation::Resume),
        1 => (0..8usize).prop_map(Operation::Reset),
        8 => (0..2usize, 0..6usize, 0..5usize, 0..6usize, prop::option::of((0..60i64, 0..3usize)))
            .prop_map(|(node, max, limits, shares, late)| Operation::Acquire { node, max, limits, shares, late }),
        8 => (0..100usize, prop::bool::weighted(0.9)).prop_map(|(claim, run)| Operation::Fire { claim, run }),
        1 => (0..100usize).prop_map(|claim| Operation::FireAgain { claim }),
        6 => (0..100usize, 0..12usize)
            .prop_map(|(claim, instruction)| Operation::Complete { claim, instruction }),
        1 => (0..100usize).prop_map(|claim| Operation::Release { claim }),
        1 => (0..12usize).prop_map(Operation::Cancel),
        1 => Just(Operation::Clear),
    ]
}

fn wish() -> impl Strategy<Value = TriggerWish> {
    let overlap = prop::sample::select(vec![
        OverlapPolicy::AllowAll,
        OverlapPolicy::Skip,
        OverlapPolicy::BufferOne,
        OverlapPolicy::CancelPrevious,
    ]);
    (0..8usize, 0..4usize, 0..90i64, 0..3u32, 4..7i32, overlap, any::<bool>()).prop_map(
        |(trigger, job, start, times, priority, overlap, has_queue)| TriggerWish {
            trigger,
            job,
            start,
            times,
            priority,
            overlap,
            has_queue,
        },
    )
}
