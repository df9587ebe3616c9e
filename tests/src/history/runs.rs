//! The lives of stored runs, read off the log of the server: each is claimed by one node at a time, and ends once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use scheduler_core::run::RunId;
use scheduler_core::store::rules::MOST_LOSSES;

use super::{Faults, History, Promise, Write};
use crate::workload;

/// What has become of the runs that were enqueued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// How many were promised.
    pub expected: usize,
    /// How many are over: an attempt succeeded.
    pub over: usize,
    /// How many are dead.
    pub dead: usize,
    /// How many were cancelled.
    pub cancelled: usize,
    /// How many a server that was replaced has taken with it.
    pub forgotten: usize,
    /// How many were stored once more after their end, by a sender that had no answer.
    pub renewed: usize,
    /// How often nodes claimed them.
    pub claims: usize,
}

impl fmt::Display for RunCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, over, dead, cancelled, forgotten, renewed, claims } = self;
        let ended = over + dead + cancelled;
        write!(
            f,
            "runs: expected {expected}, stored again {renewed}, forgotten with a server {forgotten}, "
        )?;
        write!(f, "ended {ended} ({over} over, {dead} dead, {cancelled} cancelled) after {claims} claims")
    }
}

/// A run from when it is stored until its row is removed.
#[derive(Default)]
struct Life<'a> {
    attempts: u32,
    is_dead: bool,
    claim: Option<&'a str>,
}

/// All lives of one id.
#[derive(Default)]
struct Track<'a> {
    lives: usize,
    over: usize,
    dead: usize,
    cancelled: usize,
    claims: usize,
    /// How many of those a server was told of.
    told: u32,
    fence: u64,
    now: Option<Life<'a>>,
}

impl Track<'_> {
    /// Why this run has not ended once for each time it was stored.
    fn open(&self, run: RunId) -> Option<String> {
        let ends = self.over + self.dead + self.cancelled;
        match &self.now {
            Some(Life { claim: Some(claim), .. }) => {
                Some(format!("run lost: {run} is still claimed by {claim}"))
            }
            Some(Life { is_dead: false, .. }) => Some(format!("run lost: {run} still waits")),
            _ if ends > self.lives => {
                Some(format!("run doubled: {run} was stored {} times and ended {ends} times", self.lives))
            }
            _ => None,
        }
    }
}

/// The attempts of a run that only a server knew which was replaced.
#[derive(Default)]
struct Told {
    attempts: u32,
    has_finished: bool,
}

struct Walk<'a> {
    promised: HashMap<RunId, &'a Promise>,
    /// The claims whose job came to its end without failing.
    finished: HashSet<&'a str>,
    /// What a server has claimed which was replaced: the next one is told of all attempts of a run in one call.
    told: HashMap<RunId, Told>,
    tracks: BTreeMap<RunId, Track<'a>>,
    /// The run of each claim, and the number of the attempt.
    claims: HashMap<&'a str, (RunId, u32)>,
    /// Claims that a server has heard of by their node.
    told_claims: HashSet<&'a str>,
    /// What was asked to stop.
    stops: HashSet<&'a str>,
    /// The claims that end in this call.
    ended: HashMap<RunId, &'a str>,
    /// Runs that were removed though nobody has cancelled them: it has to be with a parent.
    in_vain: Vec<RunId>,
    faults: Faults,
}

impl<'a> Walk<'a> {
    fn of(history: &'a History) -> Self {
        let finished = history.lines.iter().filter(|line| !line.begins && !line.fails);
        let forgotten = history.forgotten();
        let finished: HashSet<_> = finished.map(|line| line.claim.as_str()).collect();
        let mut told = HashMap::<RunId, Told>::new();
        for line in history.lines.iter().filter(|line| line.begins && forgotten.contains(line.claim.as_str()))
        {
            let Ok(run) = line.trigger.parse() else { continue };
            let of_run = told.entry(run).or_default();
            of_run.attempts += 1;
            of_run.has_finished |= finished.contains(line.claim.as_str());
        }
        let mut walk = Self {
            promised: history.promised(),
            told,
            finished,
            tracks: BTreeMap::new(),
            claims: HashMap::new(),
            told_claims: HashSet::new(),
            stops: HashSet::new(),
            ended: HashMap::new(),
            in_vain: Vec::new(),
            faults: Faults::new(),
        };
        history.writes.iter().for_each(|write| walk.read(write));
        walk
    }

    /// How many attempts of this run a server was told of when they were over.
    fn told_of(&self, run: RunId) -> u32 {
        self.told.get(&run).map_or(0, |told| told.attempts)
    }

    /// How often a server was told of attempts of this run.
    fn tellings(&self, run: RunId) -> u32 {
        self.told_of(run) + self.tracks.get(&run).map_or(0, |track| track.told)
    }

    fn read(&mut self, write: &'a Write) {
        match write {
            Write::Stored { run, attempts, losses, is_dead } => {
                self.stored(*run, *attempts, is_dead.then_some(*losses));
            }
            Write::Claimed { run, claim, whole } => self.claimed(*run, claim, *whole),
            Write::Cancelled(claim) => drop(self.stops.insert(claim)),
            Write::Ended(claim) => self.ended(claim),
            Write::Removed(run) => self.removed(*run),
            Write::EndOfCall => self.end_of_call(),
            _ => {}
        }
    }

    /// With its losses if it is dead.
    fn stored(&mut self, run: RunId, attempts: u32, dead: Option<u32>) {
        let most = u32::from(self.ended.contains_key(&run)) + self.told_of(run);
        let track = self.tracks.entry(run).or_default();
        if track.now.is_none() {
            track.lives += 1;
            track.now = Some(Life { attempts, ..Life::default() });
        }
        let Some(life) = &mut track.now else { return };
        if !(life.attempts..=life.attempts + most).contains(&attempts) {
            self.faults.push(format!("the attempts of run {run} go from {} to {attempts}", life.attempts));
        }
        life.attempts = attempts;
        let Some(losses) = dead else { return };
        let may_die = workload::kind_of(run).is_some_and(|kind| kind.dies() && attempts > kind.retries);
        if !may_die && losses <= MOST_LOSSES {
            self.faults.push(format!("run {run} is dead after {attempts} attempts, with retries left"));
        }
        if !std::mem::replace(&mut life.is_dead, true) {
            track.dead += 1;
        }
    }

    fn claimed(&mut self, run: RunId, claim: &'a str, is_told: bool) {
        let track = self.tracks.entry(run).or_default();
        let Some(life) = &mut track.now else {
            return self.faults.push(format!("run {run} was claimed by {claim}, and is not stored"));
        };
        match life.claim {
            // Its record was written again.
            Some(known) if known == claim => return,
            Some(other) => self.faults.push(format!("run {run} was claimed by {claim} and by {other}")),
            None if life.is_dead => {
                self.faults.push(format!("run {run} was claimed by {claim} after its end"));
            }
            None => {}
        }
        let fence: u64 = claim.split('-').nth(1).and_then(|fence| fence.parse().ok()).unwrap_or_default();
        if is_told {
            // The server hears late of an attempt that is under way: it may know the end of the next one, and nothing more of the run.
            track.told += 1;
            self.told_claims.insert(claim);
        } else if fence <= track.fence {
            self.faults.push(format!("the fence of run {run} goes from {} to {fence}", track.fence));
        }
        (track.fence, track.claims, life.claim) = (fence.max(track.fence), track.claims + 1, Some(claim));
        self.claims.insert(claim, (run, life.attempts + 1));
    }

    fn ended(&mut self, claim: &'a str) {
        let Some((run, _)) = self.claims.get(claim) else { return };
        let life = self.tracks.get_mut(run).and_then(|track| track.now.as_mut());
        if let Some(life) = life.filter(|life| life.claim == Some(claim)) {
            life.claim = None;
            self.ended.insert(*run, claim);
        }
    }

    fn removed(&mut self, run: RunId) {
        let (ended, told) = (self.ended.get(&run).copied(), self.told.get(&run));
        let waits = workload::kind_of(run).is_some_and(|kind| kind.follows.is_some());
        let is_cancelled = self.promised.get(&run).is_some_and(|promise| promise.is_cancelled);
        let track = self.tracks.entry(run).or_default();
        let claim = track.now.take().and_then(|life| life.claim);
        match (ended, claim) {
            (Some(claim), _) if self.finished.contains(claim) => track.over += 1,
            (Some(_), _) if told.is_some_and(|told| told.has_finished) => track.over += 1,
            (Some(claim), _) if self.stops.contains(claim) => track.cancelled += 1,
            // The server before was asked to stop it.
            (Some(claim), _) if is_cancelled && self.told_claims.contains(claim) => track.cancelled += 1,
            (Some(claim), _) => {
                track.over += 1;
                self.faults.push(format!("run {run} is over with {claim}, which has not finished it"));
            }
            (None, Some(claim)) => {
                self.faults.push(format!("run lost: {run} was removed while {claim} had it"));
            }
            (None, None) if is_cancelled => track.cancelled += 1,
            (None, None) if waits => {
                track.cancelled += 1;
                self.in_vain.push(run);
            }
            (None, None) if told.is_some() => track.over += 1,
            (None, None) => {
                self.faults.push(format!("run lost: {run} was removed, and nobody has cancelled it"));
            }
        }
    }

    /// Whether one of the runs for which this one waits has ended without success, so that it never begins.
    fn waits_in_vain(&self, run: RunId) -> bool {
        let has_failed = |track: &Track<'_>| track.dead + track.cancelled > 0;
        let parents = self.promised.get(&run).map_or(&[][..], |promise| &promise.after);
        parents.iter().any(|parent| self.tracks.get(parent).is_some_and(has_failed))
    }

    fn end_of_call(&mut self) {
        for (run, claim) in self.ended.drain().filter(|(_, claim)| self.stops.contains(claim)) {
            if self.tracks.get(&run).is_some_and(|track| track.now.is_some()) {
                self.faults.push(format!("run {run} was cancelled while {claim} had it, and waits again"));
            }
        }
    }
}

impl History {
    /// Each stored run is claimed by one node at a time and ends once, and each that was promised was stored.
    #[must_use]
    pub fn runs_are_conserved(&self) -> Faults {
        let mut walk = Walk::of(self);
        let mut faults = std::mem::take(&mut walk.faults);
        faults.extend(walk.tracks.iter().filter_map(|(run, track)| track.open(*run)));
        let lost = walk.in_vain.iter().filter(|run| !walk.waits_in_vain(**run));
        faults.extend(lost.map(|run| format!("run lost: {run} was removed, and its parent has not failed")));
        faults.extend(self.promises.iter().filter_map(|promise| self.broken(promise, &walk)));
        let strange = walk
            .tracks
            .keys()
            .filter(|run| workload::kind_of(**run).is_some() && !walk.promised.contains_key(run));
        faults.extend(strange.map(|run| format!("invented: run {run}")));
        for line in self.lines.iter().filter(|line| line.begins) {
            let Some((run, attempt)) = walk.claims.get(line.claim.as_str()) else { continue };
            if line.attempt != *attempt {
                faults.push(format!(
                    "attempt {} of run {run} by {} is attempt {attempt} of the store",
                    line.attempt, line.claim
                ));
            }
        }
        faults
    }

    fn broken(&self, promise: &Promise, walk: &Walk<'_>) -> Option<String> {
        let run = promise.run;
        match walk.tracks.get(&run).map_or(0, |track| track.lives) {
            _ if !promise.is_answered => Some(format!("run {run} was never answered for")),
            0 if !self.may_be_forgotten(promise) => {
                Some(format!("run lost: {run} was promised and not stored"))
            }
            lives if lives > self.most_lives(promise, walk.tellings(run)) => {
                Some(format!("run doubled: {run} was stored {lives} times"))
            }
            _ => None,
        }
    }

    /// What has become of the runs that were enqueued.
    #[must_use]
    pub fn run_counts(&self) -> RunCounts {
        let walk = Walk::of(self);
        let mut counts = RunCounts { expected: self.promises.len(), ..RunCounts::default() };
        for promise in &self.promises {
            let Some(track) = walk.tracks.get(&promise.run) else {
                counts.forgotten += 1;
                continue;
            };
            counts.renewed += track.lives.saturating_sub(1);
            counts.over += track.over;
            counts.dead += track.dead;
            counts.cancelled += track.cancelled;
            counts.claims += track.claims;
        }
        counts
    }
}
