//! How nodes share a job store in Redis, as a small model that is looked at in every state that it can come to.
//!
//! The scripts of the store are single steps. Between them nodes crash, freeze and lose touch, calls are lost or late,
//! clocks are set, and the server comes back with older data. What is promised must hold in every state, and from every
//! state everything must still get done if nothing more goes wrong. Six models share the work, since one would be too
//! large, and each says what it has and leaves out. [`commit`] is the protocol: nodes decide, and the server compares and writes.
//! [`changes`] has its numbers, [`parts`] what is under way at once, [`lease`] the clocks, [`rollback`] a server that comes back with
//! older data, and [`claims`] nodes that freeze and runs that are repeated.
//!
//! That the models notice anything is shown by spoiling them: each [`Mutation`] leaves one rule of the protocol out, and
//! must be found. A failure prints the shortest way to it.
//!
//! `MODEL_FAULTS=3` lets more go wrong at once, and measures leases exactly; each more takes ten times as long. Random histories let much more go wrong;
//! `MODEL_SEED` is the first of them, and `MODEL_SEEDS` how many there are.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod changes;
mod claims;
mod commit;
mod lease;
mod parts;
mod promise;
mod rollback;
mod search;
mod walk;

use changes::Changes;
use claims::Claims;
use commit::{Commits, Work};
use lease::{COARSE, EXACT, Leases};
use parts::Parts;
use rollback::Rollback;
use search::{Report, search};
use walk::walk;

/// The life of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Life {
    Up,
    /// Nothing goes on in it, for any time.
    Frozen,
    Crashed,
}

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutation {
    /// Whoever had a claim once may fire.
    ClaimsAreNotCompared,
    /// The completion of a claim that is not stored frees its job.
    UnknownClaimsComplete,
    /// The claims of a session whose lease is over are consumed, and the session stays.
    OrphanedSessionsLive,
    /// A lost run is repeated, and keeps its job.
    LostRunsAreNotEnded,
    /// A claim that has lapsed is ended, and its trigger stays claimed.
    LapsedIsNotGivenBack,
    /// Triggers of a busy job are handed out.
    BusyIsNotChecked,
    /// A claim fires as long as a session of its number lives, also if it was given to an earlier life of it.
    OrphanedClaimsFire,
    /// What the store allows is begun, however late the node hears of it.
    LateAnswersBegin,
    /// A call to acquire is carried out also when its node has asked again since.
    EarlierTurnsCount,
    /// A node does not ask what a call has fired whose answer was lost.
    LostAnswersStayLost,
    /// A node goes on until the end of its lease.
    NoMargin,
    /// The lease clock goes with the server's, whatever that does.
    NoCap,
    /// Runs of a node that has lost touch are told so at some time.
    StopsWait,
    /// Nodes do not tell a server that has come back what they know.
    NothingIsTold,
    /// A run is told of whatever its trigger has done since.
    ProgressIsNotCompared,
    /// A run that is told of takes the job from a claim that was not fired, and that claim stays.
    HoldersAreOverridden,
    /// A commit that tells of a run does not compare the row of its trigger.
    VersionsOfToldAreNotCompared,
    /// Nor who holds the job.
    HoldersAreNotCompared,
    /// A run that is told of takes the job from one whose node has told already.
    HoldersThatToldGiveWay,
    /// A run that is told of is refused for one whose node has not told yet that it has ended.
    NobodyWaitsForHolders,
    /// A run may be told of for a session that is over, or has told everything before.
    WhoeverTellsIsHeard,
    /// The number of an epoch is one more than the last that the server knows of.
    EpochsAreCounted,
    /// A fence is one more than the last that the server knows of.
    FencesStartOver,
    /// A commit writes what its sender has read, whatever has changed since.
    VersionsAreNotCompared,
    /// A commit is carried out whenever it comes.
    NumbersAreNotCompared,
    /// A call that is decided anew after a refused commit keeps its number.
    NumbersAreUsedTwice,
    /// Whoever has a claim fires, though the trigger was changed since.
    EpochsOfRowsAreNotCompared,
    /// What was claimed is put back, whatever its row says by now.
    ChangedRowsArePutBack,
    /// The place of a row is written before the row.
    PlacesComeFirst,
    /// A claim counts the attempt in the row.
    ClaimsChangeRows,
    /// A commit counts a claim at a gate that is full.
    BoundIsNotChecked,
    /// A commit parks at a gate that has room.
    FullIsNotChecked,
    /// Whoever frees a gate shows nobody that waits there.
    NobodyIsWoken,
    /// What was shown when a gate was free is paused, and nobody else is shown.
    PausesWakeNobody,
    /// A take is carried out also when its node has asked again since.
    EarlierTakesCount,
    /// A node does not ask what it has after an answer was lost.
    LostTakesStayLost,
    /// The server does not note which changes it has carried out.
    DoneIsNotNoted,
    /// The server notes only the last change that it has carried out.
    OnlyTheLastIsNoted,
    /// A change that was given up takes effect whenever it arrives.
    LowestIsNotNoted,
    /// A change that was given up takes effect as long as an earlier one is waited for.
    GivenUpIsNotTold,
    /// A node gives back what an answer has told it that it has not read yet.
    UnreadPartsAreUnknown,
    /// Of several ends under way, one that is answered counts for all.
    OneAnswerCountsForAll,
    /// An end says which run, and not which claim.
    EndsGoByTheRun,
}

/// Each rule, and what is broken without it.
const RULES: [(Mutation, &str); 43] = [
    (Mutation::ClaimsAreNotCompared, promise::ONE_PLACE),
    (Mutation::UnknownClaimsComplete, promise::ONE_CLAIM),
    (Mutation::OrphanedSessionsLive, promise::NO_OVERLAP),
    (Mutation::LostRunsAreNotEnded, promise::NOT_STUCK),
    (Mutation::LapsedIsNotGivenBack, promise::ONE_PLACE),
    (Mutation::BusyIsNotChecked, promise::ONE_CLAIM),
    (Mutation::OrphanedClaimsFire, promise::NO_OVERLAP),
    (Mutation::LateAnswersBegin, promise::NO_OVERLAP),
    (Mutation::EarlierTurnsCount, promise::NOT_STUCK),
    (Mutation::LostAnswersStayLost, promise::NOT_STUCK),
    (Mutation::NoMargin, promise::NOT_ROBBED),
    (Mutation::NoCap, promise::NOT_ROBBED),
    (Mutation::StopsWait, promise::NO_OVERLAP),
    (Mutation::NothingIsTold, promise::NOT_STUCK),
    (Mutation::ProgressIsNotCompared, promise::ONCE),
    (Mutation::HoldersAreOverridden, promise::ONE_CLAIM),
    (Mutation::VersionsOfToldAreNotCompared, promise::ONCE),
    (Mutation::HoldersAreNotCompared, promise::ONE_CLAIM),
    (Mutation::HoldersThatToldGiveWay, promise::ONE_CLAIM),
    (Mutation::NobodyWaitsForHolders, promise::HEARD),
    (Mutation::WhoeverTellsIsHeard, promise::OWNED),
    (Mutation::EpochsAreCounted, promise::NOT_STUCK),
    (Mutation::FencesStartOver, promise::FENCES_GROW),
    (Mutation::VersionsAreNotCompared, promise::PAUSED),
    (Mutation::NumbersAreNotCompared, promise::RUN_ONCE),
    (Mutation::NumbersAreUsedTwice, promise::RUN_ONCE),
    (Mutation::EpochsOfRowsAreNotCompared, promise::PAUSED),
    (Mutation::ChangedRowsArePutBack, promise::ONE_PLACE),
    (Mutation::PlacesComeFirst, promise::ONE_PLACE),
    (Mutation::ClaimsChangeRows, promise::ATTEMPTS),
    (Mutation::BoundIsNotChecked, promise::ONE_CLAIM),
    (Mutation::FullIsNotChecked, promise::PARKED),
    (Mutation::NobodyIsWoken, promise::PARKED),
    (Mutation::PausesWakeNobody, promise::PARKED),
    (Mutation::EarlierTakesCount, promise::NOT_STUCK),
    (Mutation::LostTakesStayLost, promise::NOT_STUCK),
    (Mutation::DoneIsNotNoted, promise::CHANGED_ONCE),
    (Mutation::OnlyTheLastIsNoted, promise::CHANGED),
    (Mutation::LowestIsNotNoted, promise::NOT_UNDONE),
    (Mutation::GivenUpIsNotTold, promise::NOT_UNDONE),
    (Mutation::UnreadPartsAreUnknown, promise::NO_OVERLAP),
    (Mutation::OneAnswerCountsForAll, promise::NOT_STUCK),
    (Mutation::EndsGoByTheRun, promise::OWN_END),
];

/// In the smallest model that has the rule.
fn without(rule: Mutation) -> Report {
    let (mutation, restart) = (Some(rule), rule == Mutation::EpochsAreCounted);
    match rule {
        Mutation::NoMargin | Mutation::NoCap | Mutation::StopsWait => {
            search(&Leases { mutation, times: COARSE })
        }
        Mutation::WhoeverTellsIsHeard => search(&Rollback { mutation, faults: 2, restart }),
        Mutation::NothingIsTold
        | Mutation::ProgressIsNotCompared
        | Mutation::HoldersAreOverridden
        | Mutation::VersionsOfToldAreNotCompared
        | Mutation::HoldersAreNotCompared
        | Mutation::HoldersThatToldGiveWay
        | Mutation::NobodyWaitsForHolders
        | Mutation::EpochsAreCounted
        | Mutation::FencesStartOver => search(&Rollback { mutation, faults: 1 - u8::from(restart), restart }),
        Mutation::NumbersAreNotCompared
        | Mutation::ClaimsChangeRows
        | Mutation::EarlierTakesCount
        | Mutation::LostTakesStayLost => search(&Commits { mutation, work: Work::Run, faults: 2 }),
        Mutation::VersionsAreNotCompared
        | Mutation::NumbersAreUsedTwice
        | Mutation::EpochsOfRowsAreNotCompared
        | Mutation::ChangedRowsArePutBack
        | Mutation::PlacesComeFirst
        | Mutation::BoundIsNotChecked
        | Mutation::FullIsNotChecked
        | Mutation::NobodyIsWoken
        | Mutation::PausesWakeNobody => search(&Commits { mutation, work: Work::Triggers, faults: 1 }),
        Mutation::DoneIsNotNoted
        | Mutation::OnlyTheLastIsNoted
        | Mutation::LowestIsNotNoted
        | Mutation::GivenUpIsNotTold => search(&Changes { mutation, faults: 2 }),
        Mutation::UnreadPartsAreUnknown | Mutation::OneAnswerCountsForAll | Mutation::EndsGoByTheRun => {
            search(&Parts { mutation, faults: 2 })
        }
        _ => search(&Claims { mutation, faults: 1 }),
    }
}

#[track_caller]
fn holds(model: &str, report: &Report) {
    println!("{model}: {} states", report.states);
    if let Some(violation) = &report.violation {
        panic!("{model}, {violation}");
    }
}

#[test]
fn the_protocol_keeps_its_promises() {
    let faults = std::env::var("MODEL_FAULTS").map_or(2, |faults| faults.parse().unwrap());
    let mutation = None;
    holds("claims", &search(&Claims { mutation, faults }));
    holds("commits, a run", &search(&Commits { mutation, work: Work::Run, faults: faults + 1 }));
    holds("commits, triggers", &search(&Commits { mutation, work: Work::Triggers, faults: faults - 1 }));
    holds("changes", &search(&Changes { mutation, faults: faults + 1 }));
    holds("parts", &search(&Parts { mutation, faults: faults + 1 }));
    let times = if faults > 2 { EXACT } else { COARSE };
    holds("leases", &search(&Leases { mutation, times }));
    holds("rollback", &search(&Rollback { mutation, faults, restart: false }));
    holds(
        "rollback and restart",
        &search(&Rollback { mutation, faults: faults.saturating_sub(1), restart: true }),
    );
}

#[test]
fn each_mutation_is_found() {
    for (rule, expected) in RULES {
        let report = without(rule);
        let violation = report.violation.unwrap_or_else(|| panic!("{rule:?} is not found"));
        println!("{rule:?}, {} states, {violation}", report.states);
        assert_eq!(violation.promise, expected, "{rule:?}");
    }
}

/// So many steps at random in each model, from each of these seeds.
fn histories(seeds: std::ops::Range<u64>, steps: usize) {
    let (mutation, faults) = (None, 24);
    for seed in seeds {
        println!("MODEL_SEED={seed}, {steps} steps in each model");
        holds("claims", &walk(&Claims { mutation, faults }, seed, steps));
        holds("commits, a run", &walk(&Commits { mutation, work: Work::Run, faults }, seed, steps));
        holds("commits, triggers", &walk(&Commits { mutation, work: Work::Triggers, faults }, seed, steps));
        holds("changes", &walk(&Changes { mutation, faults }, seed, steps));
        holds("parts", &walk(&Parts { mutation, faults }, seed, steps));
        holds("leases", &walk(&Leases { mutation, times: EXACT }, seed, steps));
        holds("rollback", &walk(&Rollback { mutation, faults, restart: true }, seed, steps));
    }
}

#[test]
fn random_histories_keep_the_promises() {
    let number = |name| std::env::var(name).ok().map(|value| value.parse().unwrap());
    let seed = number("MODEL_SEED").unwrap_or(1);
    histories(seed..seed + number("MODEL_SEEDS").unwrap_or(3), 20_000);
}
