//! What is done to a store. Numbers choose among what there is.

use proptest::prelude::*;
use scheduler_core::run::{Condition, Hold, WhenFull};

/// An operation, and whether it comes before the store has gone on with what the one before has left to be done.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) operation: Operation,
    pub(super) is_hurried: bool,
}

impl Operation {
    /// Whether what a store has yet to do makes a difference that is up to the store.
    pub(super) fn needs_rest(&self) -> bool {
        matches!(self, Self::Wait(_) | Self::Take { .. } | Self::TakeAll)
    }
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// Time passes, in seconds.
    Wait(i64),
    Enqueue(Vec<Wish>),
    OpenBatch {
        wish: BatchWish,
        runs: Vec<Wish>,
    },
    /// A node asks for so many runs.
    Take {
        node: usize,
        max: usize,
    },
    /// The first node takes all it is given.
    TakeAll,
    /// Attempts end in one call.
    End(Vec<(usize, Ending)>),
    GiveBack(usize),
    /// A node ends with what it has claimed, and another one begins.
    Die(usize),
    Change {
        runs: Vec<usize>,
        change: ChangeWish,
    },
    SetLimit {
        limit: usize,
        cap: Option<u32>,
    },
    Pause(usize),
    Resume(usize),
}

/// How an attempt ends. Seconds are counted from now.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    Over,
    Discarded,
    Again { after: i64, counts: bool },
    Cancelled,
    Dead,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ChangeWish {
    Cancel,
    Replay,
    Delete,
    Hold,
    Release,
    Seal,
    /// Another queue, and seconds from now when the run is due.
    Edit(Option<usize>, Option<i64>),
}

/// A run to be stored.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) due: i64,
    pub(super) job: usize,
    pub(super) queue: Option<usize>,
    pub(super) boost: bool,
    pub(super) expires: Option<i64>,
    pub(super) fair: Option<usize>,
    pub(super) limits: Vec<LimitWish>,
    pub(super) link: Link,
    /// The batch that it is in, and the run that adds it.
    pub(super) batch: Option<(usize, Option<usize>)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct LimitWish {
    pub(super) limit: usize,
    pub(super) weight: u32,
    pub(super) when_full: WhenFull,
    pub(super) hold: Hold,
}

/// What a run has to do with others. A run that waits for others has no key and no sequence here: which of two such runs comes first
/// when both are let go at once is up to the store.
#[derive(Debug, Clone)]
pub(super) enum Link {
    None,
    After { parents: Vec<(usize, Condition)>, delay: i64 },
    Own { key: Option<KeyWish>, sequence: Option<(usize, bool)> },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct KeyWish {
    pub(super) name: usize,
    pub(super) until_started: bool,
    pub(super) until: Option<i64>,
    pub(super) conflict: usize,
    pub(super) keeps_due: bool,
}

#[derive(Debug, Clone)]
pub(super) struct BatchWish {
    pub(super) outer: Option<usize>,
    pub(super) is_sealed: bool,
    /// Whether runs tell of its end, its success and its first death.
    pub(super) callbacks: bool,
}

pub(super) fn sequence() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (operation(), any::<bool>()).prop_map(|(operation, is_hurried)| Step { operation, is_hurried });
    prop::collection::vec(step, 1..45)
}

fn operation() -> impl Strategy<Value = Operation> {
    let batch = (prop::option::weighted(0.4, 0..9usize), any::<bool>(), any::<bool>())
        .prop_map(|(outer, is_sealed, callbacks)| BatchWish { outer, is_sealed, callbacks });
    let runs = || prop::collection::vec(wish(), 1..4);
    prop_oneof![
        4 => (1..20i64).prop_map(Operation::Wait),
        8 => runs().prop_map(Operation::Enqueue),
        3 => (batch, prop::collection::vec(wish(), 0..3)).prop_map(|(wish, runs)| Operation::OpenBatch { wish, runs }),
        6 => (0..2usize, 1..4usize).prop_map(|(node, max)| Operation::Take { node, max }),
        4 => Just(Operation::TakeAll),
        10 => prop::collection::vec((0..50usize, ending()), 1..4).prop_map(Operation::End),
        2 => (0..50usize).prop_map(Operation::GiveBack),
        1 => (0..2usize).prop_map(Operation::Die),
        9 => (prop::collection::vec(0..40usize, 1..3), change())
            .prop_map(|(runs, change)| Operation::Change { runs, change }),
        2 => (0..5usize, prop::option::of(0..4u32)).prop_map(|(limit, cap)| Operation::SetLimit { limit, cap }),
        1 => (0..2usize).prop_map(Operation::Pause),
        1 => (0..2usize).prop_map(Operation::Resume),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => Just(Ending::Over),
        1 => Just(Ending::Discarded),
        3 => (0..20i64, any::<bool>()).prop_map(|(after, counts)| Ending::Again { after, counts }),
        1 => Just(Ending::Cancelled),
        3 => Just(Ending::Dead),
    ]
}

fn change() -> impl Strategy<Value = ChangeWish> {
    prop_oneof![
        3 => Just(ChangeWish::Cancel),
        4 => Just(ChangeWish::Replay),
        1 => Just(ChangeWish::Delete),
        2 => Just(ChangeWish::Hold),
        2 => Just(ChangeWish::Release),
        3 => Just(ChangeWish::Seal),
        1 => (prop::option::of(0..2usize), prop::option::of(-5..30i64))
            .prop_map(|(queue, due)| ChangeWish::Edit(queue, due)),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let due = prop_oneof![2 => Just(0), 1 => -5..30i64];
    let of_queue =
        (prop::option::of(0..2usize), prop::bool::weighted(0.2), prop::option::weighted(0.2, 0..2usize));
    let limits = prop_oneof![
        3 => Just(Vec::new()),
        2 => prop::collection::vec(limit(), 1..3),
    ];
    let batch = prop::option::weighted(0.4, (0..6usize, prop::option::weighted(0.2, 0..20usize)));
    let expires = prop::option::weighted(0.2, 0..20i64);
    (due, 0..6usize, of_queue, expires, limits, link(), batch).prop_map(
        |(due, job, (queue, boost, fair), expires, mut limits, link, batch)| {
            // One run has a limit once.
            limits.dedup_by_key(|limit| limit.limit);
            Wish { due, job: job / 5, queue, boost, expires, fair, limits, link, batch }
        },
    )
}

fn limit() -> impl Strategy<Value = LimitWish> {
    let when_full = prop_oneof![
        8 => Just(WhenFull::Wait),
        1 => Just(WhenFull::Skip),
        1 => Just(WhenFull::KeepNewest),
        1 => Just(WhenFull::KeepOldest),
        1 => Just(WhenFull::CancelRunning),
    ];
    let hold = prop_oneof![4 => Just(Hold::Attempt), 1 => Just(Hold::Run)];
    (0..4usize, 1..3u32, when_full, hold).prop_map(|(limit, weight, when_full, hold)| LimitWish {
        limit,
        weight,
        when_full,
        hold,
    })
}

fn link() -> impl Strategy<Value = Link> {
    let on = prop::sample::select(vec![
        Condition::Success,
        Condition::Success,
        Condition::Failure,
        Condition::Cancelled,
        Condition::Any,
    ]);
    let parents = prop::collection::vec((0..12usize, on), 1..3);
    let delay = prop_oneof![3 => Just(0), 1 => 1..20i64];
    let until = prop::option::weighted(0.2, 1..40i64);
    let key = (0..3usize, prop::bool::weighted(0.3), until, 0..4usize, any::<bool>()).prop_map(
        |(name, until_started, until, conflict, keeps_due)| KeyWish {
            name,
            until_started,
            until,
            conflict,
            keeps_due,
        },
    );
    let sequence = prop::option::weighted(0.4, (0..2usize, prop::bool::weighted(0.3)));
    prop_oneof![
        3 => Just(Link::None),
        3 => (parents, delay).prop_map(|(parents, delay)| Link::After { parents, delay }),
        3 => (prop::option::weighted(0.6, key), sequence).prop_map(|(key, sequence)| Link::Own { key, sequence }),
    ]
}
