//! Every step of CI as a command that a person can run: `cargo xtask --help`.
//!
//! A new command is a variant of [`Command`], an arm of [`run`] and a file beside this one. What it runs are
//! [`Step`]s, which print themselves, so that a failing run can be repeated by hand.

mod machine;
mod servers;
mod steps;
mod test;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::Step;

/// The commands of this repository; each prints what it runs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must be green: format, lints, servers, tests, documentation, tidy
    Test {
        /// Leave out the doctests and the documentation build
        #[arg(long)]
        quick: bool,
    },
    /// What CI runs: the same as `test`
    Ci,
    /// Explore the orders in which nodes can meet in the store in memory
    Interleavings,
    /// Let a cluster live through chaos and print the account
    Chaos {
        /// For how long things go wrong
        #[arg(long, default_value_t = 1.0, value_parser = minutes)]
        minutes: f64,
        /// Decides what goes wrong
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The lease of the nodes in milliseconds; 9000 is the default of the store
        #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u64).range(1000..=3_600_000))]
        lease: u64,
        /// Where the data is: `one` server, or several that a `sentinel` or a `cluster` puts in each other's place
        #[arg(long, default_value = "one", value_parser = ["one", "sentinel", "cluster"])]
        place: String,
    },
    /// What takes too long for `test`: interleavings in twenty times as many orders, random histories of the protocol's model, and a
    /// long chaos in each place
    Soak {
        /// For how long things go wrong in each place
        #[arg(long, default_value_t = 10.0, value_parser = minutes)]
        minutes: f64,
        /// Decides what goes wrong
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measure the workloads side by side with the peers: `cargo xtask bench -- --peers --workload W1`
    Bench {
        /// What the program of the benchmarks is told; `--help` says what it knows
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Make sure that the servers the tests start are installed
    Servers,
    /// Check the rules that no compiler checks: layers, absent dependencies, leftovers, manifests
    Tidy,
}

/// No longer than a day.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok().filter(|minutes| *minutes > 0.0 && *minutes <= 1440.0);
    minutes.ok_or_else(|| "give a number of minutes above 0 and up to 1440, such as 0.5".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match enter_workspace().and_then(|()| run(&arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\nxtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), String> {
    match command {
        Command::Test { quick } => steps::run_all(&test::steps(*quick)),
        Command::Ci => steps::run_all(&test::steps(false)),
        Command::Interleavings => steps::run_all(&[test::interleavings()]),
        Command::Chaos { minutes, seed, lease, place } => steps::run_all(&[
            Step::inside("servers", servers::ensure),
            test::nodes(),
            test::chaos(*minutes, *seed, *lease, place),
        ]),
        Command::Soak { minutes, seed } => steps::run_all(&test::soak(*minutes, *seed)),
        Command::Bench { arguments } => {
            let line = format!("cargo run --release -q -p benches --bin bench -- {}", arguments.join(" "));
            steps::run_all(&[
                Step::inside("servers", servers::ensure),
                Step::program("build", "cargo build --release -p benches"),
                Step::program("bench", line.trim_end()),
            ])
        }
        Command::Servers => steps::run_all(&[Step::inside("servers", servers::ensure)]),
        Command::Tidy => steps::run_all(&[Step::inside("tidy", tidy::run)]),
    }
}

/// Paths in every message are relative to the root of the workspace, wherever the command was typed.
fn enter_workspace() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    std::env::set_current_dir(root).map_err(|error| format!("cannot enter {}: {error}", root.display()))
}
