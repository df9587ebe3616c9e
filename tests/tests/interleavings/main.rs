//! The store in memory and the firing loop, in the orders in which their threads and tasks can meet.
//!
//! Built only with `--cfg shuttle` (`cargo xtask interleavings`): a checker then decides at each lock who goes on, by
//! chance, by preemption bounds, and in full for the smallest case. A failure prints the schedule that repeats it.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod engine;
mod store;

/// By chance, and with few but well placed preemptions. The variable `INTERLEAVINGS` says how many times as often.
fn explore(rounds: usize, test: impl Fn() + Clone + Send + Sync + 'static) {
    let times = std::env::var("INTERLEAVINGS").map_or(1, |times| times.parse().unwrap());
    let rounds: usize = rounds * times;
    shuttle::check_random(test.clone(), rounds);
    shuttle::check_pct(test, rounds * 2 / 3, 3);
}
