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
    if servers::has_valkey() {
        steps.push(store_tests_on_valkey());
    }
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
    if machine::succeeds("cargo", &["deny", "--version"]) {
        steps.push(Step::program("dependencies", "cargo deny check licenses bans sources"));
    }
    steps
}

/// The store in memory and the firing loop, in the orders in which they can meet. Other flags, so a folder of its own.
pub(crate) fn interleavings() -> Step {
    let line = "cargo test -p tests --test interleavings --target-dir target/shuttle";
    Step::program("interleavings", line).with_variable("RUSTFLAGS", "--cfg shuttle")
}

/// Random histories of the model of the protocol, from this seed on.
pub(crate) fn histories(seed: u64, many: u64) -> Step {
    let line = "cargo test -q -p tests --test model random_histories";
    Step::program("histories", line)
        .with_variable("MODEL_SEED", seed.to_string())
        .with_variable("MODEL_SEEDS", many.to_string())
}

/// The programs that a chaos kills.
pub(crate) fn nodes() -> Step {
    Step::program("nodes", "cargo build -p tests --bins")
}

/// A life of a cluster in which everything goes wrong.
pub(crate) fn chaos(minutes: f64, seed: u64, lease: u64, place: &str) -> Step {
    Step::program("chaos", &format!("cargo run -q -p tests --bin chaos -- {minutes} {seed} {lease} {place}"))
}

/// The steps of `cargo xtask soak`: what takes longer than anybody waits for before a change is merged.
pub(crate) fn soak(minutes: f64, seed: u64) -> Vec<Step> {
    let mut steps = vec![
        Step::inside("servers", servers::ensure),
        interleavings().with_variable("INTERLEAVINGS", "20"),
        histories(seed, 200),
        nodes(),
    ];
    steps.extend(["one", "sentinel", "cluster"].map(|place| chaos(minutes, seed, 1500, place)));
    steps
}

/// Doctests, which cargo-nextest cannot run, have their own step.
fn unit_tests() -> Step {
    if has_nextest() {
        Step::program("tests", "cargo nextest run --workspace --all-features")
    } else {
        Step::program("tests", "cargo test --workspace --all-features --lib --bins --tests")
    }
}

/// Everything that starts servers, on those of the other kind. Some builds of them have no TLS.
fn store_tests_on_valkey() -> Step {
    let run = if has_nextest() { "nextest run" } else { "test" };
    let tests = "--test chaos --test cluster --test connections --test faults --test load --test parts";
    let line = format!("cargo {run} -p tests --all-features {tests} --test redis -- --skip tls");
    Step::program("tests on Valkey", &line).with_variable(servers::CHOICE, servers::VALKEY)
}

fn has_nextest() -> bool {
    machine::succeeds("cargo", &["nextest", "--version"])
}
