//! What becomes of firings that were missed: every policy, side by side, after an outage.
//!
//! ```text
//! cargo run --bin misfire
//! ```
//!
//! One job has a trigger for each policy, all due every ten minutes. The scheduler rests from 00:05 to 00:37, as if its
//! process had been down. Time is simulated, so the hour passes at once. What you see: when each trigger fired, which
//! scheduled time each run stood for, and the decision in words.

use std::collections::BTreeMap;
use std::time::Duration;

use examples::println;
use scheduler_core::prelude::*;
use scheduler_core::testing::TestScheduler;
use scheduler_core::time::Clock;
use scheduler_core::trigger::{Misfire, Trigger};

const POLICIES: [(&str, Misfire); 5] = [
    ("smart", Misfire::Smart),
    ("ignore", Misfire::Ignore),
    ("fire-now", Misfire::FireNow),
    ("skip", Misfire::Skip),
    ("next", Misfire::NextWithRemainingCount),
];

/// Polls something.
#[job]
async fn poll() {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut builder = Scheduler::builder().register(poll::definition());
    for (name, policy) in POLICIES {
        let trigger = Trigger::every(Duration::from_secs(600)).name(name).misfire(policy);
        builder = builder.schedule(poll::with(), trigger);
    }
    let test = TestScheduler::start("2026-03-01T00:00:00Z", builder).await?;
    test.advance_to("2026-03-01T00:05:00Z").await;
    test.scheduler().standby()?;
    test.advance_to("2026-03-01T00:37:00Z").await;
    println!("the scheduler rests from 00:05 to 00:37; then each policy decides:\n");
    for (name, _) in POLICIES {
        let status = test.scheduler().trigger(&name.parse()?).await?;
        let Some(status) = status else { continue };
        let decision = status.trigger.explain_misfire(
            &status.progress,
            test.clock().now(),
            chrono::TimeDelta::seconds(60),
            None,
        );
        println!("  {name:<9} {decision}");
    }
    test.scheduler().start().await?;
    test.run_due().await;
    test.advance_to("2026-03-01T01:00:00Z").await;
    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for fired in test.fired() {
        let late = if fired.fired == fired.scheduled {
            fired.fired.format("%H:%M").to_string()
        } else {
            format!("{} for {}", fired.fired.format("%H:%M"), fired.scheduled.format("%H:%M"))
        };
        runs.entry(fired.trigger.name().to_owned()).or_default().push(late);
    }
    println!("\nwhat has run:\n");
    for (name, _) in POLICIES {
        println!("  {name:<9} {}", runs.get(name).map(|all| all.join(", ")).unwrap_or_default());
    }
    Ok(())
}
