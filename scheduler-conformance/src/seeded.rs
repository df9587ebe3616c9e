//! Random sequences that follow from a seed.

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// The seed of the environment variable `CONFORMANCE_SEED`, a number. Default: 1, so every run plays the same sequences.
///
/// # Panics
///
/// The variable is not a number.
pub(crate) fn seed() -> u64 {
    std::env::var("CONFORMANCE_SEED").map_or(1, |seed| {
        let wrong = |error| {
            panic!(
                "CONFORMANCE_SEED is `{seed}`, which is not a number ({error}); give a number or leave it out"
            )
        };
        seed.parse().unwrap_or_else(wrong)
    })
}

/// Plays so many random sequences, and shortens one that fails in at most `shrinks` steps.
///
/// # Panics
///
/// A sequence fails. The message holds the shortest failing sequence, and the seed.
pub(crate) fn play_all<O: Debug>(
    cases: u32,
    shrinks: u32,
    operations: impl Strategy<Value = Vec<O>>,
    play: impl Fn(&[O]) -> Result<(), String>,
) {
    let (seed, mut bytes) = (seed(), [0; 32]);
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: shrinks, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let result = TestRunner::new_with_rng(config, rng)
        .run(&operations, |operations| play(&operations).map_err(TestCaseError::fail));
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, operations)) => {
            let lines: Vec<_> = operations.iter().map(|operation| format!("    {operation:?}")).collect();
            panic!("{reason}\nwith CONFORMANCE_SEED={seed}, after\n{}", lines.join("\n"));
        }
        Err(error) => panic!("CONFORMANCE_SEED={seed}: {error}"),
    }
}
