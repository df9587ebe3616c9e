//! A short time in the life of a cluster in which everything goes wrong. `cargo xtask chaos --minutes N --seed S` plays
//! longer ones and others.
#![cfg(unix)]

use std::time::Duration;

use tests::chaos::{Place, Plan, run};

fn nothing_goes_wrong(place: Place, seconds: u64) {
    let node = env!("CARGO_BIN_EXE_cluster_node").into();
    let (lasts, lease) = (Duration::from_secs(seconds), Duration::from_millis(1500));
    let account = run(&Plan { node, place, lasts, seed: 1, lease });
    println!("{account}");
    assert!(account.faults.is_empty(), "{account}");
}

#[test]
fn nothing_is_lost_or_doubled_in_a_short_chaos() {
    nothing_goes_wrong(Place::One, 20);
}

#[test]
fn nothing_is_lost_while_a_sentinel_replaces_servers() {
    nothing_goes_wrong(Place::Sentinel, 20);
}

#[test]
fn nothing_is_lost_while_a_cluster_replaces_servers() {
    nothing_goes_wrong(Place::Cluster, 20);
}
