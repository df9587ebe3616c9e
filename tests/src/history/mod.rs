//! What has happened in a cluster, and whether it may have.
//!
//! The server's own log of writes says in which order everything took effect; the logs of the nodes say what their jobs
//! saw. Each check is a function of both, tested by itself with histories that are wrong.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, Utc};
use scheduler_core::run::RunId;

use crate::workload::{self, Expected};

mod changes;
mod dependents;
mod exclusive;
mod promises;
mod read;
mod runs;

pub use changes::{Change, Told};
pub use promises::Promise;
pub use read::{has_lost_touch, read_ledger, read_lines, read_refused, read_writes};
pub use runs::RunCounts;

/// A write of the store, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A claim was exchanged for the right to run.
    Fired {
        /// Its id.
        claim: String,
        /// The trigger.
        trigger: String,
        /// When it was due, in milliseconds.
        due: i64,
    },
    /// A stored run was claimed, and its attempt begins.
    Claimed {
        /// The run.
        run: RunId,
        /// The claim.
        claim: String,
        /// The claim was written whole: it is to stop, or the server was told of one that it did not know.
        whole: bool,
    },
    /// A run was stored, or its row was written again.
    Stored {
        /// The run.
        run: RunId,
        /// Attempts that have ended and count.
        attempts: u32,
        /// Of those, the last ones that were lost with their nodes.
        losses: u32,
        /// No retry is left.
        is_dead: bool,
    },
    /// The row of a run was removed.
    Removed(RunId),
    /// The attempt of this claim was asked to stop, since its run was cancelled.
    Cancelled(String),
    /// A claim is no more.
    Ended(String),
    /// A call in which claims have ended has written nothing else.
    EndOfCall,
    /// A claim holds a job that allows one run at a time.
    Held {
        /// The job.
        job: String,
        /// The claim.
        claim: String,
    },
    /// The job is free.
    Free(String),
    /// A trigger is due next at this time, in milliseconds; none if never.
    Next(String, Option<i64>),
    /// The count that the job `count` keeps.
    Count(u64),
    /// The server has held the node of this session for dead, or the node has given up runs of it.
    Lost(String),
}

/// What a job has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whether it is about the begin or the end of a run.
    pub begins: bool,
    /// Whether the job fails at this end.
    pub fails: bool,
    /// When, by the machine's clock, in milliseconds.
    pub at: i64,
    /// The trigger; of a repeated run the one that was lost, of an enqueued run its id.
    pub trigger: String,
    /// When it was due, in milliseconds.
    pub due: i64,
    /// The claim.
    pub claim: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// Whether it repeats a lost run.
    pub again: bool,
    /// On which node.
    pub node: String,
}

/// A stretch of time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub begin: i64,
    /// Its last moment.
    pub end: i64,
}

impl Window {
    fn holds(&self, at: i64) -> bool {
        (self.begin..=self.end).contains(&at)
    }
}

/// How late first runs began, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Half of them were not later.
    pub half: i64,
    /// Of a hundred, one was later.
    pub most: i64,
    /// None was later.
    pub all: i64,
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { half, most, all } = self;
        write!(f, "runs began late by {half} ms (half of them), {most} ms (99 of 100), {all} ms (all)")
    }
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In the order in which they took effect.
    pub writes: Vec<Write>,
    /// Node by node, in the order in which they were written.
    pub lines: Vec<Line>,
    /// What jobs that allow one run at a time have written into a place outside, in its order: job, fence and claim.
    pub ledger: Vec<(String, u64, String)>,
    /// Claims whose end was refused, as their nodes have logged it.
    pub refused: Vec<String>,
    /// In the order in which they were made.
    pub changes: Vec<Change>,
    /// The runs that were enqueued, as their sender knows them.
    pub promises: Vec<Promise>,
    /// Sessions whose node was killed, or held still or parted for about its lease or longer, and all others that a server
    /// has held for dead, or that have lost touch with it: a busy machine stops a node as well.
    pub lost_sessions: HashSet<String>,
    /// When another server came to have the data. What was answered before the begin is not forgotten, and after the end
    /// the server before answers nobody.
    pub replaced: Vec<Window>,
    /// The claims that servers had fired which were replaced later, by their own logs.
    pub fired_before: HashSet<String>,
    /// How long, in milliseconds, the machine had no time for a thread that was to go on.
    pub stalled: i64,
    /// When the server's clock was not the machine's, and by how many milliseconds it was ahead.
    pub clocks: Vec<(Window, i64)>,
}

/// Whatever is ahead of it, and whatever happens, no run begins later than this, in milliseconds of a machine that has
/// time for it.
const LATEST: i64 = 30_000;

/// The clocks of a machine differ by no more than this, in milliseconds.
const ROUNDED: i64 = 50;

/// What is wrong; empty if nothing is.
pub type Faults = Vec<String>;

fn time(millis: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(millis).map_or_else(|| millis.to_string(), |time| time.to_string())
}

impl History {
    fn firings(&self) -> impl Iterator<Item = (&str, &str, i64)> {
        let mut seen = HashSet::new();
        self.writes.iter().filter_map(move |write| match write {
            Write::Fired { claim, trigger, due } => {
                seen.insert(claim.as_str()).then_some((claim.as_str(), trigger.as_str(), *due))
            }
            _ => None,
        })
    }

    /// The claims of runs that the last server knows nothing of, since they were fired by one that it has replaced.
    #[must_use]
    pub fn forgotten(&self) -> HashSet<&str> {
        let mut forgotten = self.unfired();
        forgotten.retain(|claim| self.fired_before.contains(*claim));
        forgotten
    }

    /// How many of those ran again, since the next server knew nothing of it.
    #[must_use]
    pub fn run_again(&self) -> usize {
        let forgotten = self.forgotten_runs();
        self.firings().filter(|(_, trigger, due)| forgotten.contains(&(*trigger, *due))).count()
    }

    /// The triggers of those, and when they were due.
    fn forgotten_runs(&self) -> HashSet<(&str, i64)> {
        let forgotten = self.forgotten();
        let runs = self.lines.iter().filter(|line| forgotten.contains(line.claim.as_str()));
        runs.map(|line| (line.trigger.as_str(), line.due)).collect()
    }

    /// The claims that have begun a run, and that the last server has not fired.
    fn unfired(&self) -> HashSet<&str> {
        let mut fired: HashSet<_> = self.firings().map(|(claim, ..)| claim).collect();
        fired.extend(self.writes.iter().filter_map(|write| match write {
            Write::Claimed { claim, .. } => Some(claim.as_str()),
            _ => None,
        }));
        let begun = self.lines.iter().filter(|line| line.begins).map(|line| line.claim.as_str());
        begun.filter(|claim| !fired.contains(claim)).collect()
    }

    /// Nothing runs that was not fired.
    #[must_use]
    pub fn runs_were_fired(&self) -> Faults {
        let unfired = self.unfired().into_iter().filter(|claim| !self.fired_before.contains(*claim));
        unfired.map(|claim| format!("{claim} ran and was not fired")).collect()
    }

    /// Every firing that the schedules ask for has happened, if only as a run that is forgotten.
    #[must_use]
    pub fn nothing_is_lost(&self, expected: &Expected) -> Faults {
        let mut fired = self.forgotten_runs();
        fired.extend(self.firings().map(|(_, trigger, due)| (trigger, due)));
        let all = expected.iter().flat_map(|(trigger, times)| times.iter().map(move |time| (trigger, time)));
        let missing =
            all.filter(|(trigger, time)| !fired.contains(&(trigger.as_str(), time.timestamp_millis())));
        missing.map(|(trigger, time)| format!("lost: {trigger} at {time}")).collect()
    }

    /// No firing has happened twice, and none that no schedule asks for.
    #[must_use]
    pub fn nothing_is_doubled(&self, expected: &Expected) -> Faults {
        let mut seen = HashMap::new();
        let mut faults = Faults::new();
        for (claim, trigger, due) in self.firings().filter(|(_, trigger, _)| expected.contains_key(*trigger))
        {
            if let Some(before) = seen.insert((trigger, due), claim) {
                faults.push(format!("doubled: {trigger} at {} by {before} and {claim}", time(due)));
            }
            if !expected[trigger].iter().any(|time| time.timestamp_millis() == due) {
                faults.push(format!("invented: {trigger} at {}", time(due)));
            }
        }
        faults
    }

    fn is_lost(&self, claim: &str) -> bool {
        self.lost_sessions.contains(claim.split('-').next().unwrap_or_default())
    }

    /// A claim begins one run, and one that began none was on a node that was lost. A lost run of a job that wants it is
    /// begun again until one has ended.
    #[must_use]
    pub fn claims_and_runs_agree(&self) -> Faults {
        let repeats = self.lines.iter().filter(|line| line.begins && line.again);
        let unwanted =
            repeats.filter(|line| !workload::job_of(&line.trigger).is_some_and(|job| job.recovers));
        let mut faults: Faults =
            unwanted.map(|line| format!("repeated unasked: {} by {}", line.trigger, line.claim)).collect();
        let mut begun = BTreeMap::<&str, usize>::new();
        let mut finished = HashSet::new();
        for line in &self.lines {
            if line.begins {
                *begun.entry(&line.claim).or_default() += 1;
            } else {
                finished.insert((line.trigger.as_str(), line.due));
            }
        }
        faults.extend(
            begun
                .iter()
                .filter(|(_, runs)| **runs > 1)
                .map(|(claim, runs)| format!("{claim} ran {runs} times")),
        );
        for (claim, trigger, due) in self.firings() {
            if !begun.contains_key(claim) && !self.is_lost(claim) {
                faults.push(format!("fired and not run: {trigger} at {} by {claim}", time(due)));
            }
            let recovers = workload::job_of(trigger).is_some_and(|job| job.recovers);
            if recovers && !finished.contains(&(trigger, due)) {
                faults.push(format!("never finished: {trigger} at {}", time(due)));
            }
        }
        faults
    }

    /// How far the server's clock was ahead at this time, at most.
    fn ahead(&self, at: i64) -> i64 {
        let set = self.clocks.iter().filter(|(window, _)| window.holds(at));
        set.map(|(_, ahead)| *ahead).max().unwrap_or_default().max(0)
    }

    /// No run has begun before it was due.
    #[must_use]
    pub fn nothing_is_early(&self) -> Faults {
        let is_early = |line: &&Line| line.begins && line.at + ROUNDED + self.ahead(line.at) < line.due;
        let early = self.lines.iter().filter(is_early);
        early.map(|line| format!("early: {} at {}", line.trigger, time(line.at))).collect()
    }

    /// The next time of each trigger goes forward. It passes a time only if that time was fired, if only by a run that is
    /// forgotten: a server that was replaced is told of several firings in one call.
    #[must_use]
    pub fn schedules_advance_once(&self) -> Faults {
        let mut last = HashMap::<&str, i64>::new();
        let mut faults = Faults::new();
        let mut fired = self.forgotten_runs();
        fired.extend(self.firings().map(|(_, trigger, due)| (trigger, due)));
        for write in &self.writes {
            let Write::Next(trigger, Some(next)) = write else { continue };
            let Some(job) = workload::job_of(trigger) else { continue };
            let Some(before) = last.insert(trigger, *next) else { continue };
            let mut passed = (before + i64::from(job.every)..*next).step_by(job.every as usize);
            let is_step = (*next - before) % i64::from(job.every) == 0 && *next >= before;
            if !is_step || !passed.all(|due| fired.contains(&(trigger, due))) {
                faults.push(format!("{trigger} went from {} to {}", time(before), time(*next)));
            }
        }
        faults
    }

    /// Each accepted ending of the job that counts has counted one further; those that are forgotten have counted, too.
    #[must_use]
    pub fn kept_data_counts(&self) -> Faults {
        let counts = self.writes.iter().filter_map(|write| match write {
            Write::Count(count) => Some(*count),
            _ => None,
        });
        let counts = counts.collect::<Vec<_>>();
        let mut forgotten =
            self.forgotten_runs().iter().filter(|(trigger, _)| trigger.starts_with("count-")).count() as u64;
        let wrong = counts.windows(2).filter(|pair| {
            let skipped = pair[1].wrapping_sub(pair[0]).saturating_sub(1);
            let is_forgotten = skipped <= forgotten;
            forgotten = forgotten.saturating_sub(skipped);
            !is_forgotten
        });
        let mut faults: Faults =
            wrong.map(|pair| format!("the count went from {} to {}", pair[0], pair[1])).collect();
        // The end of a run may be lost with its node or with a server; no other end may be.
        let ended = self.lines.iter().filter(|line| !line.begins && line.trigger.starts_with("count-"));
        let ended: Vec<_> = ended.filter(|line| !self.refused.contains(&line.claim)).collect();
        let forgotten = self.forgotten();
        let may_be_lost =
            |line: &&&Line| self.is_lost(&line.claim) || forgotten.contains(line.claim.as_str());
        let lost = ended.iter().filter(may_be_lost).count();
        let last = counts.last().map_or(0, |last| *last as usize);
        if !(ended.len() - lost..=ended.len()).contains(&last) {
            faults.push(format!(
                "the count is {last}, and {} runs have ended, {lost} of them on nodes or servers that were lost",
                ended.len()
            ));
        }
        faults
    }

    /// The end of a run is refused only when its claim was ended before, by whomever, or is forgotten.
    #[must_use]
    pub fn refusals_have_a_reason(&self) -> Faults {
        let ended = self.writes.iter().filter_map(|write| match write {
            Write::Ended(claim) => Some(claim),
            _ => None,
        });
        let ended: HashSet<_> = ended.collect();
        let forgotten = self.forgotten();
        let is_known = |claim: &&String| !ended.contains(claim) && !forgotten.contains(claim.as_str());
        let without = self.refused.iter().filter(is_known);
        without.map(|claim| format!("refused without a reason: the end of {claim}")).collect()
    }

    /// What was written is read until something later is, and what was given up does not come back.
    #[must_use]
    pub fn changes_take_effect_in_order(&self) -> Faults {
        changes::faults(&self.changes, &self.replaced)
    }

    /// Nobody waits for ever, however much is ahead.
    #[must_use]
    pub fn nobody_starves(&self) -> Faults {
        let latest = LATEST + self.stalled;
        let late = self.first_runs().filter(|line| line.at - line.due > latest);
        late.map(|line| format!("starved: {} of {} until {}", line.trigger, time(line.due), time(line.at)))
            .collect()
    }

    /// Everything that is wrong.
    #[must_use]
    pub fn faults(&self, expected: &Expected) -> Faults {
        [
            self.nothing_is_lost(expected),
            self.nothing_is_doubled(expected),
            self.claims_and_runs_agree(),
            self.runs_were_fired(),
            self.holders_take_turns(),
            self.runs_do_not_overlap(),
            self.nothing_is_early(),
            self.schedules_advance_once(),
            self.kept_data_counts(),
            self.only_lost_nodes_come_late(),
            self.changes_take_effect_in_order(),
            self.refusals_have_a_reason(),
            self.nobody_starves(),
            self.runs_are_conserved(),
            self.attempts_are_as_promised(),
            self.limits_hold(),
            self.dependents_come_after(),
        ]
        .concat()
    }

    /// How many firings there were of what the schedules ask for.
    #[must_use]
    pub fn fired(&self, expected: &Expected) -> usize {
        self.firings().filter(|(_, trigger, _)| expected.contains_key(*trigger)).count()
    }

    /// Of jobs that wait for nothing but their time.
    fn first_runs(&self) -> impl Iterator<Item = &Line> {
        let waits_for_others = |run| {
            workload::kind_of(run)
                .is_some_and(|kind| kind.limit > 0 || kind.follows.is_some() || kind.batch.is_some())
        };
        let is_free = move |line: &&Line| {
            workload::job_of(&line.trigger).is_some_and(|job| !job.exclusive)
                && !line.trigger.parse().is_ok_and(waits_for_others)
        };
        self.lines.iter().filter(|line| line.begins && !line.again && line.attempt == 1).filter(is_free)
    }

    /// How late first runs began, of jobs that wait for nothing but their time.
    #[must_use]
    pub fn lateness(&self) -> Lateness {
        let mut late: Vec<_> = self.first_runs().map(|line| line.at - line.due).collect();
        late.sort_unstable();
        let part = |of_hundred: usize| late.get(late.len() * of_hundred / 100).or(late.last()).copied();
        let [half, most, all] = [50, 99, 100].map(|part_of| part(part_of).unwrap_or_default());
        Lateness { half, most, all }
    }

    /// How many runs repeated a lost one.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.lines.iter().filter(|line| line.begins && line.again).count()
    }
}
