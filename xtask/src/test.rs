//! The steps of `cargo xtask test`: what must be green before a change is merged.

use crate::steps::Step;
use crate::{machine, servers, tidy};

/// All steps in order; `quick` leaves out the doctests and the documentation build.
pub(crate) fn steps(quick: bool) -> Vec<Step> {
    let mut steps = vec![
        Step::program("format", "cargo fmt --all --check"),
        Step::program("lints", "cargo clippy --workspace --all-targets --all-features -- -D warnings"),
        Step::inside("servers", servers::ensure),
        unit_tests(),
        interleavings(),
    ];
    if !quick {
        // Small, and in a debug build: what it shows is that the workloads run.
        steps.push(Step::program("bench programs", "cargo build -p benches --bins"));
        steps.push(Step::program("benches", "cargo run -q -p benches --bin bench -- --small"));
        steps.push(Step::program("doctests", "cargo test --doc --workspace --all-features"));
        steps.push(
            Step::program("docs", "cargo doc --workspace --no-deps --all-features")
                .with_variable("RUSTDOCFLAGS", "-D warnings"),
        );
    }
    steps.push(Step::inside("tidy", tidy::run));
    steps
}

/// The store in memory and the firing loop, in the orders in which they can meet. Other flags, so a folder of its own.
pub(crate) fn interleavings() -> Step {
    let line = "cargo test -p tests --test interleavings --target-dir target/shuttle";
    Step::program("interleavings", line).with_variable("RUSTFLAGS", "--cfg shuttle")
}

/// With cargo-nextest where it is installed. Doctests, which it cannot run, have their own step.
fn unit_tests() -> Step {
    if machine::succeeds("cargo", &["nextest", "--version"]) {
        Step::program("tests", "cargo nextest run --workspace --all-features")
    } else {
        Step::program("tests", "cargo test --workspace --all-features --lib --bins --tests")
    }
}
