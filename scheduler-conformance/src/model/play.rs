//! Does the same to a store and to the model, and compares.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::Error;
use scheduler_core::Text;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::{Progress, Trigger};
use scheduler_core::{JobKey, TriggerKey};

use super::plain::{Plain, Refusal};
use super::{Operation, TriggerWish};
use crate::bench::*;

pub(super) async fn play(open: &impl Open, operations: &[Operation]) -> Result<(), String> {
    let mut table = Table {
        bench: Bench::new(open).await,
        plain: Plain::default(),
        now: 0,
        acquired: HashMap::new(),
        fences: BTreeMap::new(),
    };
    for operation in operations {
        let what = |difference: String| format!("{operation:?}: {difference}");
        table.apply(operation).await.map_err(what)?;
        table.compare().await.map_err(what)?;
    }
    Ok(())
}

/// A store and the model of it.
struct Table {
    bench: Bench,
    plain: Plain,
    now: i64,
    /// Every claim that was handed out, with its number in the order of hand-out.
    acquired: HashMap<ExecutionId, (usize, AcquiredTrigger)>,
    /// The fences of each job, in the order of the claims.
    fences: BTreeMap<JobKey, BTreeMap<usize, u64>>,
}

const EXISTING: [Existing; 4] = [Existing::Refuse, Existing::Replace, Existing::Keep, Existing::Update];

fn trigger_key(index: usize) -> TriggerKey {
    key(&if index.is_multiple_of(2) { format!("t{index}") } else { format!("g/t{index}") })
}

fn job_key(index: usize) -> JobKey {
    ["j0", "j1", "jobs/j2", "jobs/far"][index].parse().unwrap()
}

fn detail(index: usize, exclusive: bool, durable: bool) -> Arc<JobDetail> {
    let job_type = if index == 3 { "elsewhere" } else { "work" };
    let builder = JobDetail::builder(job_key(index), job_type);
    Arc::new(builder.disallow_concurrent(exclusive).durable(durable).build())
}

fn selection(index: usize) -> Selection {
    match index {
        0..5 => Selection::Trigger(trigger_key(index)),
        5..7 => Selection::Job(job_key(index - 5)),
        7 => Selection::TriggerGroup(Text::is("g")),
        8 => Selection::TriggerGroup(Text::starts_with("D")),
        9 => Selection::TriggerGroup(Text::Any),
        10 => Selection::JobGroup(Text::is("jobs")),
        _ => Selection::All,
    }
}

fn limits(index: usize) -> QueueLimits {
    let named = |limit: usize| [(Arc::from("limited"), limit)].into();
    match index {
        0 => QueueLimits { named: named(1), ..QueueLimits::default() },
        1 => QueueLimits { named: named(0), default: Some(2), ..QueueLimits::default() },
        2 => QueueLimits { others: Some(1), default: Some(0), ..QueueLimits::default() },
        3 => QueueLimits { shared: named(2), ..QueueLimits::default() },
        _ => QueueLimits::default(),
    }
}

fn shares(index: usize) -> Vec<QueueShare> {
    let named = |name: &str| Arc::new([Arc::from(name)].into());
    let of = |name: &str, most| QueueShare { queues: QueueSet::Named(named(name)), most };
    match index {
        0 => vec![of("limited", 2), of(DEFAULT_QUEUE, 1)],
        1 => vec![QueueShare { queues: QueueSet::AllBut(named("limited")), most: 1 }, of("limited", 9)],
        2 => vec![of(DEFAULT_QUEUE, 2)],
        _ => Vec::new(),
    }
}

fn refusal(error: &Error) -> Refusal {
    if error.is_conflict() { Refusal::Conflict } else { Refusal::NotFound }
}

impl Table {
    fn built(&self, wish: &TriggerWish) -> (Arc<Trigger>, Progress) {
        let now = at(self.now);
        let mut builder = Trigger::every(Duration::from_secs(40)).key(trigger_key(wish.trigger));
        builder = builder.job(job_key(wish.job)).start_at(now + TimeDelta::seconds(wish.start));
        builder = builder.priority(wish.priority).overlap(wish.overlap);
        if wish.times > 0 {
            builder = builder.repeat(wish.times - 1);
        }
        if wish.has_queue {
            builder = builder.queue("limited");
        }
        let trigger = builder.build(now).unwrap();
        let progress = trigger.first(None);
        (Arc::new(trigger), progress)
    }

    /// A claim by number: among those that were fired, or among those that were not.
    fn chosen(&self, number: usize, fired: bool) -> Option<ExecutionId> {
        let claims: Vec<_> = self.plain.claims.iter().filter(|claim| claim.fired == fired).collect();
        claims.get(number % claims.len().max(1)).map(|claim| claim.id)
    }

    async fn apply(&mut self, operation: &Operation) -> Result<(), String> {
        let store = self.bench.store.clone();
        match operation {
            Operation::Wait(seconds) => self.now += seconds,
            Operation::PutJob { job, exclusive, durable, existing } => {
                let (job, existing) = (detail(*job, *exclusive, *durable), EXISTING[*existing]);
                let put = Put {
                    jobs: vec![job.clone()],
                    existing_jobs: existing,
                    triggers: Vec::new(),
                    existing_triggers: existing,
                };
                let result = store.put(put).await.map_err(|error| refusal(&error));
                return same("the result", &result, &self.plain.put_job(&job, existing));
            }
            Operation::PutTrigger { trigger, existing } => {
                return self.put_trigger(trigger, EXISTING[*existing]).await;
            }
            Operation::Reschedule { old, trigger, keep } => {
                let (trigger, progress) = self.built(trigger);
                let progress = (!keep).then_some(progress);
                let request = Reschedule { old: trigger_key(*old), revision: None, trigger, progress };
                let result = store.reschedule(request.clone()).await.map_err(|error| refusal(&error));
                return same("the result", &result, &self.plain.reschedule(&request));
            }
            Operation::Adjust { trigger, next } => return self.adjust(&trigger_key(*trigger), *next).await,
            Operation::RemoveTrigger(index) => {
                let key = trigger_key(*index);
                let result = store.remove_triggers(vec![key.clone()]).await.unwrap()[0];
                return same("the result", &result, &self.plain.remove_trigger(&key));
            }
            Operation::RemoveJob(index) => {
                let result = store.remove_jobs(vec![job_key(*index)]).await.unwrap()[0];
                return same("the result", &result, &self.plain.remove_job(&job_key(*index)));
            }
            Operation::Pause(index) => {
                let what = selection(*index);
                let note = PauseNote::at(at(self.now));
                let result = store.pause(Pause { what: what.clone(), note }).await.unwrap();
                return same("what was paused", &result, &self.plain.pause(&what));
            }
            Operation::Resume(index) => {
                let result = store.resume(selection(*index)).await.unwrap();
                return same("what was resumed", &result, &self.plain.resume(&selection(*index)));
            }
            Operation::Reset(index) => {
                let result = store.reset(vec![trigger_key(*index)]).await.unwrap()[0];
                return same("the result", &result, &self.plain.reset(&trigger_key(*index)));
            }
            Operation::Clear => {
                store.clear().await.unwrap();
                self.plain.clear();
            }
            _ => return self.use_claims(operation).await,
        }
        Ok(())
    }

    /// What nodes do.
    async fn use_claims(&mut self, operation: &Operation) -> Result<(), String> {
        let store = self.bench.store.clone();
        match operation {
            Operation::Acquire { node, max, limits: index, shares: of_queues, late } => {
                let share = |(before, most)| LateShare { before: at(self.now - before), most };
                let (session, now, max) = ([ONE, TWO][*node], at(self.now), *max);
                let (limits, late) = (limits(*index), late.map(share));
                let request = AcquireDue {
                    session,
                    now,
                    until: now,
                    max,
                    limits,
                    shares: shares(*of_queues),
                    late,
                    heard: None,
                };
                return self.acquire(request).await;
            }
            Operation::Fire { claim, run } => return self.fire(self.chosen(*claim, false), *run).await,
            Operation::FireAgain { claim } => {
                let number = claim % self.acquired.len().max(1);
                let known = self.acquired.iter().find(|(_, (known, _))| *known == number);
                return self.fire(known.map(|(claim, _)| *claim), true).await;
            }
            Operation::Complete { claim, instruction } => {
                let Some(execution) = self.chosen(*claim, true) else { return Ok(()) };
                let instruction = match instruction {
                    0..5 => Instruction::Continue,
                    5..8 => Instruction::RemoveTrigger,
                    8 => Instruction::FinishTrigger,
                    9 => Instruction::FinishJob,
                    10 => Instruction::FailTrigger,
                    _ => Instruction::FailJob,
                };
                let completion = Completion { instruction, ..Completion::of(execution) };
                let complete = Complete { now: at(self.now), executions: vec![completion] };
                let result = store.complete(complete).await.unwrap()[0];
                return same("the result", &result, &self.plain.complete(execution, instruction));
            }
            Operation::Release { claim } => {
                if let Some(claim) = self.chosen(*claim, false) {
                    store.release(vec![claim]).await.unwrap();
                    self.plain.release(claim);
                }
            }
            Operation::Cancel(index) => {
                let what = match index {
                    0..6 => Executions::OfTrigger(trigger_key(*index)),
                    6..10 => Executions::OfJob(job_key(*index - 6)),
                    _ => Executions::All,
                };
                let result = store.cancel(what.clone()).await.unwrap();
                return same("what is to stop", &result, &self.plain.cancel(&what));
            }
            _ => {}
        }
        Ok(())
    }

    async fn put_trigger(&mut self, wish: &TriggerWish, existing: Existing) -> Result<(), String> {
        let (trigger, progress) = self.built(wish);
        let job = detail(wish.job, false, false);
        let put = Put {
            jobs: vec![job.clone()],
            existing_jobs: Existing::Keep,
            triggers: vec![(trigger.clone(), progress.clone())],
            existing_triggers: existing,
        };
        let result = self.bench.store.put(put).await.map_err(|error| refusal(&error));
        let conflict = existing == Existing::Refuse && self.plain.rows.contains_key(trigger.key());
        if conflict {
            return same("the result", &result, &Err(Refusal::Conflict));
        }
        let expected = self.plain.put_job(&job, Existing::Keep);
        same("the result", &result, &expected.and(self.plain.put_trigger(&trigger, &progress, existing)))
    }

    async fn adjust(&mut self, key: &TriggerKey, next: Option<i64>) -> Result<(), String> {
        let from = self.plain.rows.get(key).map(|row| row.progress.clone()).unwrap_or_default();
        let to = Progress { next: next.map(|seconds| at(self.now + seconds)), ..from.clone() };
        let adjustment = Adjustment { trigger: key.clone(), from, to: to.clone() };
        let result = self.bench.store.adjust(vec![adjustment]).await.unwrap()[0];
        same("the result", &result, &self.plain.adjust(key, to))
    }

    async fn acquire(&mut self, request: AcquireDue) -> Result<(), String> {
        let AcquireDue { session: node, now, max, .. } = request;
        let acquired = self.bench.store.acquire_due(request.clone()).await.unwrap();
        self.plain.settle(now);
        let (mut expected, types) = (Vec::new(), (node == TWO).then_some("work"));
        while expected.len() < max {
            let Some(key) = self.plain.next(&request, types, &expected) else { break };
            let due = self.plain.rows[&key].progress.next.unwrap();
            // The store says the claim's name.
            let id = acquired.triggers.get(expected.len()).map(|acquired| acquired.claim);
            let lapse = self.bench.attached.lapse(due, now);
            self.plain.claim(&key, id.unwrap_or(ExecutionId::new(node, 0)), lapse);
            expected.push(key);
        }
        let ours: Vec<_> = acquired.triggers.iter().map(|acquired| acquired.trigger.key().clone()).collect();
        same("what is handed out", &ours, &expected)?;
        for acquired in acquired.triggers {
            let row = &self.plain.rows[acquired.trigger.key()];
            same(
                "the claim's trigger",
                &(&acquired.trigger, &acquired.progress),
                &(&row.trigger, &row.progress),
            )?;
            same("the claim's session", &acquired.claim.session(), &node)?;
            let (number, claim) = (self.acquired.len(), acquired.claim);
            if let Some((_, twin)) = self.acquired.insert(claim, (number, acquired)) {
                return Err(format!("the claim {} was handed out twice", twin.claim));
            }
        }
        Ok(())
    }

    /// The progress after the firing that a claim is for.
    fn after(&self, claim: ExecutionId) -> Progress {
        let (_, acquired) = &self.acquired[&claim];
        acquired.trigger.fired(&acquired.progress, None)
    }

    async fn fire(&mut self, claim: Option<ExecutionId>, run: bool) -> Result<(), String> {
        let Some(claim) = claim else { return Ok(()) };
        let dropped = (!run).then_some(FiringReason::Misfired);
        let firing = Firing { claim, progress: self.after(claim), dropped };
        let fire = Fire { now: at(self.now), firings: vec![firing.clone()] };
        let result = self.bench.store.fire(fire).await.unwrap().remove(0);
        let name = match &result {
            FireResult::Run { .. } => "run",
            FireResult::Advanced => "advanced",
            FireResult::Overlapped => "overlapped",
            FireResult::Stale => "stale",
        };
        same("the result", &name, &self.plain.fire(&firing))?;
        let FireResult::Run { fence, job } = result else { return Ok(()) };
        self.runs(self.acquired[&claim].0, fence, &job)
    }

    /// The claim of this number runs.
    fn runs(&mut self, number: usize, fence: u64, job: &JobDetail) -> Result<(), String> {
        let fences = self.fences.entry(job.key().clone()).or_default();
        fences.insert(number, fence);
        let in_order = fences.values().is_sorted_by(|a, b| a < b);
        if in_order { Ok(()) } else { Err(format!("the fences of `{}` do not grow: {fences:?}", job.key())) }
    }

    /// Everything that can be seen.
    async fn compare(&mut self) -> Result<(), String> {
        let now = at(self.now);
        self.plain.settle(now);
        for node in [ONE, TWO] {
            let asked = self.bench.ask(node, self.now, 0, QueueLimits::default()).await;
            let own = self.plain.claims.iter().filter(|claim| claim.id.session() == node);
            let mut stop: Vec<_> = own.filter_map(|claim| Some((claim.id, claim.cancel?))).collect();
            stop.sort_unstable_by_key(|(id, _)| *id);
            same("what is to stop", &asked.cancel, &stop)?;
            if node == ONE {
                self.compare_next_due(asked.next_due)?;
            }
        }
        let store = &self.bench.store;
        let jobs = store.all_jobs(JobQuery::default()).await.unwrap();
        same("the jobs", &jobs, &self.plain.jobs.values().cloned().collect())?;
        let triggers = store.all_triggers(TriggerQuery::default()).await.unwrap();
        let ours: Vec<_> = triggers
            .iter()
            .map(|status| (&status.trigger, &status.progress, status.state, status.pause.is_some()))
            .collect();
        let rows = self.plain.rows.values();
        let is_paused = |state| state == StoredState::Paused;
        let theirs: Vec<_> = rows
            .map(|row| (&row.trigger, &row.progress, self.plain.state(row), is_paused(row.state)))
            .collect();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            same("a trigger", ours, theirs)?;
        }
        same("the number of triggers", &ours.len(), &theirs.len())?;
        let executions = store.executions(Executions::All).await.unwrap();
        let ours: Vec<_> = executions.iter().map(|execution| execution.id).collect();
        let fired = self.plain.claims.iter().filter(|claim| claim.fired);
        let mut theirs: Vec<_> = fired.map(|claim| claim.id).collect();
        theirs.sort_unstable();
        same("the executions", &ours, &theirs)?;
        for kind in [GroupKind::Jobs, GroupKind::Triggers] {
            let groups = store.groups(kind).await.unwrap();
            let ours: Vec<_> = groups
                .iter()
                .map(|group| (group.name.to_string(), group.members, group.pause.is_some()))
                .collect();
            same("the groups", &ours, &self.plain.groups(kind))?;
        }
        Ok(())
    }

    /// A store may ask to be asked too early, but not too late, and not at once without a reason.
    fn compare_next_due(&self, ours: Option<chrono::DateTime<chrono::Utc>>) -> Result<(), String> {
        let exact = self.plain.next_due();
        let fits = match (ours, exact) {
            (None, None) => true,
            (Some(ours), Some(exact)) => ours <= exact && (ours > at(self.now) || exact <= at(self.now)),
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(format!("asks to be asked at {ours:?}; something happens at {exact:?}"))
        }
    }
}

fn same<T: Debug + PartialEq>(what: &str, ours: &T, model: &T) -> Result<(), String> {
    if ours == model { Ok(()) } else { Err(format!("{what}: {ours:?}, by the model {model:?}")) }
}
