//! Another node, which works while a rule is under way: it takes what is due, adds what the rule has not seen, and ends what the
//! rule goes by. Before anybody looks, everything is as it was, so whoever asks the store sees nothing of it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::TriggerKey;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::run::RunId;
use scheduler_core::store::rows::*;
use scheduler_core::store::view::*;
use scheduler_core::store::*;
use scheduler_core::trigger::Trigger;

use crate::server::{Numbers, Server};
use crate::store::{Takes, USE};
use crate::turns::TurnsByQueue;

/// The session of that node. It is known to nobody.
const OTHER: u64 = 0x07E4;

/// What the other node is to undo.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    claims: Vec<ExecutionId>,
    triggers: Vec<TriggerKey>,
    runs: Vec<RunId>,
    /// The turns as they were.
    turns: Option<TurnsByQueue>,
}

impl Traces {
    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.triggers.is_empty() && self.runs.is_empty()
    }
}

/// After everything that is due.
fn far() -> DateTime<Utc> {
    DateTime::from_timestamp(i64::from(u32::MAX), 0).unwrap()
}

impl Server {
    /// Carries out a rule that nobody disturbs.
    fn apply<T>(&mut self, rule: impl Fn(&mut View<Numbers>) -> Result<T, Missing>) -> T {
        let mut view = View::new(self.numbers.clone());
        loop {
            if let Ok(answer) = rule(&mut view) {
                let number = self.numbers.next();
                assert!(self.commit(number, &view), "a rule that nobody disturbs is not refused");
                return answer;
            }
            view.reset();
            let wants = view.wants();
            self.load(&mut view, wants);
        }
    }

    /// Takes whatever is due some day.
    pub(crate) fn take_for_other(&mut self) -> Traces {
        if !self.has_other {
            return Traces::default();
        }
        let turns = Some(self.turns.clone());
        let (now, limits, late, heard) = (self.present, QueueLimits::default(), None, None);
        let request =
            AcquireDue { session: OTHER, now, until: far(), max: 9, limits, shares: Vec::new(), late, heard };
        let (taken, misplaced) = self.take(request, &Takes::default(), USE);
        let of_triggers = taken.triggers.iter().map(|trigger| trigger.claim);
        let of_runs = taken.runs.iter().map(|run| run.claim).chain(misplaced.iter().map(|(claim, _)| *claim));
        let claims = of_triggers.chain(of_runs).collect();
        Traces { claims, turns, ..Traces::default() }
    }

    /// Whether the transaction goes by what versions do not cover, and few rules do.
    pub(crate) fn is_worth_it(view: &View<Numbers>) -> bool {
        view.claims_of_runs().next().is_some() || view.unused().next().is_some()
    }

    /// Works between the load and the commit of this transaction.
    pub(crate) fn disturb(&mut self, view: &View<Numbers>, pick: u64) -> Traces {
        let kind = match pick % 4 {
            _ if !self.has_other => 0,
            // What versions do not cover comes about most often.
            _ if view.claims_of_runs().next().is_some() => 1,
            _ if view.unused().next().is_some() => 2,
            kind => kind,
        };
        match kind {
            0 => {
                self.touch(view, pick / 4);
                Traces::default()
            }
            1 => self.take_for_other(),
            2 => Traces { triggers: self.add_trigger(view, pick / 4), ..Traces::default() },
            _ => Traces { runs: self.add_run(view, pick / 4), ..Traces::default() },
        }
    }

    /// A trigger of a job that the transaction has read, if there is one: the trigger that is about to be added, or another one.
    fn add_trigger(&mut self, view: &View<Numbers>, pick: u64) -> Vec<TriggerKey> {
        let is_there = |id: &Id<JobRow>| self.jobs.contains_key(id);
        let mut jobs: Vec<_> = view.jobs().reads().map(|(id, _)| id).filter(is_there).collect();
        if jobs.is_empty() {
            jobs = self.jobs.keys().copied().collect();
        }
        let Some(job) = jobs.get(pick as usize % jobs.len().max(1)) else { return Vec::new() };
        let job = self.jobs[job].0.detail.key().clone();
        let added = view.triggers().changes().filter(|change| change.before.is_none());
        let added: Vec<_> = added.filter_map(|change| Some(change.after?.trigger.key().clone())).collect();
        let key = added.first().cloned().unwrap_or_else(|| "of another node".parse().unwrap());
        let trigger = Trigger::at(far()).key(key.clone()).job(job);
        // One that the transaction takes for unused.
        let trigger = view.unused().fold(trigger, |trigger, calendar| trigger.calendar(&**calendar));
        let trigger = trigger.build(far()).unwrap();
        let progress = trigger.first(None);
        let put = Put {
            jobs: Vec::new(),
            existing_jobs: Existing::Keep,
            triggers: vec![(Arc::new(trigger), progress)],
            existing_triggers: Existing::Refuse,
        };
        let is_added = self.apply(|view| rules::put(view, put.clone())).is_ok();
        is_added.then_some(key).into_iter().collect()
    }

    /// A run: the one that is about to be added, or another one.
    fn add_run(&mut self, view: &View<Numbers>, pick: u64) -> Vec<RunId> {
        let added = view.runs().changes().filter(|change| change.before.is_none());
        let added: Vec<_> = added.filter_map(|change| change.after.cloned()).collect();
        let jobs: Vec<_> = self.jobs.values().map(|(row, _)| row.detail.clone()).collect();
        let Some(job) = jobs.get(pick as usize % jobs.len().max(1)) else { return Vec::new() };
        let due = self.present;
        let run = match added.first() {
            Some(row) => NewRun::of(row.id, &JobDetail::builder(row.job.clone(), "any").build(), row.due),
            None => NewRun::of(RunId::new(OTHER, pick), job, due),
        };
        let is_added = self.apply(|view| rules::enqueue(view, run.clone())) == Enqueued::Created;
        is_added.then_some(run.id).into_iter().collect()
    }

    /// Gives back what was taken and removes what was added.
    pub(crate) fn undo(&mut self, traces: Traces) {
        let Traces { claims, triggers, runs, turns } = traces;
        for claim in claims {
            self.apply(|view| rules::release(view, claim));
        }
        for key in triggers {
            let jobs = self.jobs.clone();
            self.apply(|view| rules::remove_trigger(view, &key));
            // A job may be without a trigger before one is added, and goes with that.
            for (id, job) in jobs {
                self.jobs.entry(id).or_insert(job);
            }
        }
        for run in runs {
            let request = ChangeRuns::new(vec![run], RunChange::Delete, self.present);
            self.apply(|view| rules::change_run(view, (0, run), &request));
        }
        self.turns = turns.unwrap_or_else(|| std::mem::take(&mut self.turns));
        assert!(self.claims.values().all(|(claim, _)| claim.session != OTHER), "nothing of it is left");
    }

    /// What holds after every commit, whoever works beside it.
    pub(crate) fn check(&self) {
        if !self.has_other {
            return;
        }
        for (row, _) in self.triggers.values() {
            let key = row.trigger.key();
            assert!(self.jobs.contains_key(&row.job), "`{key}` has lost its job");
            let calendar = row.trigger.calendar();
            let is_there = calendar.is_none_or(|name| self.rest.0.calendars.contains_key(name));
            assert!(is_there, "`{key}` has lost its calendar");
        }
        let mut claimed = Vec::new();
        for (claim, _) in
            self.claims.values().filter(|(claim, _)| !claim.fired || claim.trigger_id().is_none())
        {
            let is_valid = match claim.item {
                Item::Run(run) => claim.run_removed || self.runs.values().any(|(row, _)| row.id == run),
                Item::Trigger(trigger) => self
                    .triggers
                    .get(&trigger)
                    .is_some_and(|(row, _)| row.birth == claim.birth && row.epoch == claim.epoch),
            };
            assert!(is_valid, "a claim of `{}` is void, and was not taken away", claim.trigger.key());
            assert!(!claimed.contains(&claim.item), "`{}` is claimed twice", claim.trigger.key());
            claimed.push(claim.item);
        }
    }
}
