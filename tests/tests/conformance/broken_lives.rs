//! Faults that random lives of runs find without any other rule of the kit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;

use scheduler_conformance::model_runs;
use scheduler_core::store::MemoryJobStore;

use crate::broken::{Broken, Bug};

/// In limits, keys, edges, batches and sequences.
const IN_LIVES_OF_RUNS: &[Bug] = &[
    Bug::DropsRetries,
    Bug::CountsInterruptions,
    Bug::ForgetsTheDead,
    Bug::TakesDiscardsForSuccess,
    Bug::KeepsReleasedClaims,
    Bug::ReplaysWhatWaits,
    Bug::HoldsNothing,
    Bug::ForgetsQueuesOfEdits,
    Bug::ForgetsPausedQueues,
    Bug::CancelsWhatIsDeleted,
    Bug::DropsExpiries,
    Bug::StoresRunsTwice,
    Bug::IgnoresKeys,
    Bug::ReplacesNothing,
    Bug::KeepsKeysTooLong,
    Bug::IgnoresSequences,
    Bug::ReleasesOutOfTurn,
    Bug::IgnoresLimitsOfRuns,
    Bug::IgnoresWeights,
    Bug::MixesKeysOfLimits,
    Bug::KnowsOneLimitOfARun,
    Bug::FreesBetweenAttempts,
    Bug::IgnoresRates,
    Bug::IgnoresCaps,
    Bug::SetsCapsOfAllKeys,
    Bug::IgnoresParents,
    Bug::KnowsOneParent,
    Bug::IgnoresConditions,
    Bug::StoresOrphans,
    Bug::CountsDelaysFromTheCall,
    Bug::LosesUnmetChildren,
    Bug::IgnoresBatches,
    Bug::SealsNothing,
    Bug::ForgetsDeaths,
    Bug::LetsStrangersIn,
    Bug::CancelsNoBatch,
    Bug::LeavesWholeBatchesOpen,
];

#[test]
fn random_lives_of_runs_find_bugs_alone() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let is_missed = |bug: &&Bug| {
        let bug = **bug;
        let open = move || async move {
            Broken { store: MemoryJobStore::new(), bug, acquired: AtomicUsize::new(0) }
        };
        catch_unwind(AssertUnwindSafe(|| model_runs::check_at_length(&open))).is_ok()
    };
    let missed: Vec<_> = IN_LIVES_OF_RUNS.iter().filter(is_missed).collect();
    std::panic::set_hook(hook);
    assert!(missed.is_empty(), "not found: {missed:?}");
}
