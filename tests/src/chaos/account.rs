//! What has happened in a chaos, for people.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Stalls;
use crate::history::{Faults, Lateness, RunCounts};

/// What has happened.
#[derive(Debug)]
pub struct Account {
    /// How many firings the schedules ask for.
    pub expected: usize,
    /// How many happened.
    pub fired: usize,
    /// What has become of the runs that were enqueued.
    pub runs: RunCounts,
    /// How many runs repeated a lost one.
    pub repeated: usize,
    /// How many runs no server knows of any more, all from when one was replaced; and how many of those ran again.
    pub forgotten: (usize, usize),
    /// How late runs began.
    pub lateness: Lateness,
    /// What was done, and how often.
    pub done: Vec<(&'static str, usize)>,
    /// How long it took, after each kill, until nothing was left of the node.
    pub takeovers: Vec<Duration>,
    /// How long the machine had no time for it.
    pub stalls: Stalls,
    /// The faults: observations that no order explains in which the servers can have answered.
    pub faults: Faults,
    /// How to have all this once more.
    pub again: String,
    /// Where the logs are; they are kept if something is wrong.
    pub logs: Option<PathBuf>,
}

impl Account {
    /// For somebody who sees this for the first time.
    fn explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().take(20).try_for_each(|fault| writeln!(f, "  {fault}"))?;
        writeln!(
            f,
            "Each fault is one of the product or of this checker: no order in which the servers can have answered explains it.\n\
             Slowness of the machine is allowed for, and is no reason. A fault that also comes without your change is not yours.\n\
             repeat it with: {}",
            self.again
        )?;
        self.logs.iter().try_for_each(|logs| writeln!(f, "the logs are in {}", logs.display()))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.done {
            writeln!(f, "{count:>6}  {what}")?;
        }
        let count = |start: &str| self.faults.iter().filter(|fault| fault.starts_with(start)).count();
        writeln!(
            f,
            "expected {}, fired {}, lost {}, doubled {}, repeated after a loss {}",
            self.expected,
            self.fired,
            count("lost"),
            count("doubled"),
            self.repeated
        )?;
        writeln!(f, "{}, lost {}, doubled {}", self.runs, count("run lost"), count("run doubled"))?;
        if let (forgotten @ 1.., again) = self.forgotten {
            writeln!(
                f,
                "{forgotten} runs were forgotten when a server was replaced, {again} of them ran again"
            )?;
        }
        writeln!(f, "{}", self.lateness)?;
        let mut takeovers: Vec<_> = self.takeovers.iter().map(Duration::as_secs_f64).collect();
        takeovers.sort_by(f64::total_cmp);
        if let (Some(first), Some(last)) = (takeovers.first(), takeovers.last()) {
            let middle = takeovers[takeovers.len() / 2];
            writeln!(
                f,
                "takeover of {} killed nodes: {first:.2} s to {last:.2} s, median {middle:.2} s",
                takeovers.len()
            )?;
        }
        let Stalls { longest, total } = self.stalls;
        writeln!(
            f,
            "the machine had no time for the test for {total:.1?} in all, {longest:.1?} at the longest"
        )?;
        writeln!(f, "{} faults", self.faults.len())?;
        if self.faults.is_empty() { Ok(()) } else { self.explain(f) }
    }
}
