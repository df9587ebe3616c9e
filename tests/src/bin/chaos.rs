//! Lets a cluster live through chaos and prints the account: `chaos MINUTES SEED LEASE
//! PLACE`, the lease in milliseconds.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test program says what went wrong by failing")]

use std::process::ExitCode;
use std::time::Duration;

use tests::chaos::{Plan, run};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [minutes, seed, lease, place] = arguments.as_slice() else { panic!("four arguments") };
    // Triggers end at whole milliseconds.
    let lasts = Duration::from_millis((minutes.parse::<f64>().unwrap() * 60_000.0).round() as u64);
    let lease = Duration::from_millis(lease.parse().unwrap());
    let node = std::env::current_exe().unwrap().with_file_name("cluster_node");
    let account =
        run(&Plan { node, place: place.parse().unwrap(), lasts, seed: seed.parse().unwrap(), lease });
    println!("seed {seed}\n{account}");
    if account.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
