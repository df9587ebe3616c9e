//! A minute in the life of a cluster in which everything goes wrong. `cargo xtask chaos --minutes N --seed S` plays others.
#![cfg(unix)]

use std::time::Duration;

use tests::chaos::{Plan, run};

#[test]
fn nothing_is_lost_or_doubled_in_a_minute_of_chaos() {
    let node = env!("CARGO_BIN_EXE_cluster_node").into();
    let (lasts, lease) = (Duration::from_secs(60), Duration::from_millis(1500));
    let account = run(&Plan { node, lasts, seed: 1, lease });
    println!("{account}");
    assert!(account.faults.is_empty(), "seed 1\n{account}");
}
