//! What nodes take: places are derived from rows whenever somebody asks.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::ExecutionId;
use scheduler_core::run::{GateId, Gates, RateState, RunId};
use scheduler_core::store::rows::*;
use scheduler_core::store::view::Version;
use scheduler_core::store::*;
use scheduler_core::{JobKey, TriggerKey};

use crate::bugs::Bug;
use crate::server::Server;
use crate::store::Takes;

/// What stands in a lane, in the order in which it is taken.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at: DateTime<Utc>,
    rank: Reverse<i32>,
    order: Order,
    is_exclusive: bool,
    queue: Option<Arc<str>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Trigger(TriggerKey, Id<TriggerRow>),
    Run(RunId, Id<RunRow>),
}

#[derive(Default)]
struct Claimed {
    /// A claim is that of a birth and an epoch.
    triggers: HashSet<(Id<TriggerRow>, u64, u32)>,
    runs: HashSet<RunId>,
    jobs: HashSet<JobKey>,
}

fn run_of(claim: &ClaimRow) -> Option<RunId> {
    match claim.item {
        Item::Run(run) => Some(run),
        Item::Trigger(_) => None,
    }
}

impl Server {
    /// What is claimed, for whoever takes for this session.
    fn claimed(&self, session: u64) -> Claimed {
        let mut claimed = Claimed::default();
        let others = !self.has(Bug::HandsOutTwice);
        for (claim, _) in self.claims.values().filter(|(claim, _)| claim.session == session || others) {
            match claim.item {
                Item::Run(run) => drop(claimed.runs.insert(run)),
                Item::Trigger(_) if claim.fired => {}
                Item::Trigger(id) if self.has(Bug::ShowsWhatIsClaimed) && self.debris.shown.contains(&id) => {
                }
                Item::Trigger(id) => drop(claimed.triggers.insert((id, claim.birth, claim.epoch))),
            }
            if claim.exclusive && !self.has(Bug::ShowsTwoOfAJob) {
                claimed.jobs.insert(claim.trigger.job().clone());
            }
        }
        claimed
    }

    pub(crate) fn unfired_of(&self, trigger: Id<TriggerRow>) -> Option<Id<ClaimRow>> {
        if self.has(Bug::LosesUnfiredClaims) {
            return None;
        }
        let of_trigger = |(_, (claim, _)): &(&_, &(ClaimRow, Version))| {
            !claim.fired && claim.item == Item::Trigger(trigger)
        };
        self.claims.iter().find(of_trigger).map(|(id, _)| *id)
    }

    pub(crate) fn claim_of(&self, run: Id<RunRow>) -> Option<Id<ClaimRow>> {
        let run = self.runs.get(&run)?.0.id;
        self.claims.iter().find(|(_, (claim, _))| claim.item == Item::Run(run)).map(|(id, _)| *id)
    }

    pub(crate) fn holder_of(&self, job: &JobKey) -> Option<Id<ClaimRow>> {
        let holds = |claim: &ClaimRow| claim.exclusive && claim.trigger.job() == job;
        self.claims.iter().find(|(_, (claim, _))| holds(claim)).map(|(id, _)| *id)
    }

    /// What may be taken and is due some day, in order, with what is left for its queue.
    fn waiting(&self, request: &AcquireDue, (types, queues): &Takes) -> Vec<Waiting> {
        let claimed = self.claimed(request.session);
        let is_open = |job: &JobKey, exclusive: bool, job_type: &str, queue: Option<&Arc<str>>| {
            !(exclusive && claimed.jobs.contains(job))
                && (self.has(Bug::IgnoresJobTypes)
                    || types.as_ref().is_none_or(|types| types.contains(job_type)))
                && queues.takes(queue)
                && self.left(request, queue) != Some(0)
        };
        let triggers = self.triggers.iter().filter_map(|(id, (row, _))| {
            let (job, queue) = (&self.jobs[&row.job].0.detail, row.trigger.queue());
            let is_open = is_open(row.trigger.job(), row.exclusive, job.job_type(), queue);
            let moved = self.debris.unmoved.get(id).filter(|_| self.has(Bug::ForgetsToMove));
            let place = moved.unwrap_or(row).place();
            let is_claimed = claimed.triggers.contains(&(*id, row.birth, row.epoch));
            let place = place.filter(|_| is_open && !is_claimed)?;
            Some((place, Order::Trigger(row.trigger.key().clone(), *id), queue.cloned()))
        });
        let runs = self.runs.iter().filter_map(|(id, (row, _))| {
            let is_open = is_open(&row.job, row.exclusive, &row.job_type, row.queue.as_ref());
            let place = self.place_in_turn(row).filter(|_| is_open && !claimed.runs.contains(&row.id))?;
            Some((place, Order::Run(row.id, *id), row.queue.clone()))
        });
        let waiting = |(place, order, queue): (Place, Order, Option<Arc<str>>)| {
            let at = if self.has(Bug::BeginsIn1970) { place.at.max(DateTime::UNIX_EPOCH) } else { place.at };
            Waiting {
                at,
                is_exclusive: place.exclusive,
                rank: if self.has(Bug::IgnoresPriority) { Reverse(0) } else { place.rank },
                order,
                queue,
            }
        };
        let mut waiting: Vec<_> = triggers.chain(runs).map(waiting).collect();
        waiting.sort_unstable();
        self.park(&mut waiting);
        if self.has(Bug::MixesEqualTimes) {
            waiting.reverse();
            waiting.sort_by_key(|waiting| (waiting.at, waiting.rank));
        }
        waiting
    }

    pub(crate) fn millis(&self) -> i64 {
        self.present.timestamp_millis()
    }

    pub(crate) fn rate(&self, gate: &GateId) -> RateState {
        self.rates.get(gate).cloned().unwrap_or_default()
    }

    /// Before when nobody enters this gate, if that is to come.
    pub(crate) fn shut_until(&self, gate: &GateId) -> Option<i64> {
        self.shut.get(gate).map(DateTime::timestamp_millis).filter(|until| *until > self.millis())
    }

    /// An attempt begins: it counts for its rates.
    fn begin(&mut self, gates: &Gates) {
        for gate in gates {
            let gate = self.capped(gate);
            let Some(pace) = gate.pace else { continue };
            if let Ok(rate) = self.rate(&gate.id).take(gate.cap, pace, self.millis(), gate.weight) {
                self.rates.insert(gate.id.clone(), rate);
            }
        }
    }

    /// When the first gate opens for which somebody waits.
    fn opening(&self) -> Option<DateTime<Utc>> {
        let claimed: HashSet<_> = self.claims.values().filter_map(|(claim, _)| run_of(claim)).collect();
        let runs = self.runs.values().map(|(row, _)| row).filter(|row| !claimed.contains(&row.id));
        let due = runs.filter(|row| row.place().is_some_and(|place| place.at <= self.present));
        let opens = due.flat_map(|row| {
            let gates = row.gates();
            let opens = gates.iter().filter_map(|gate| {
                let of_rate = self.opening_of_rate(&self.capped(gate));
                of_rate.into_iter().chain(self.shut_until(&gate.id)).max()
            });
            opens.collect::<Vec<_>>()
        });
        opens.min().and_then(DateTime::from_timestamp_millis)
    }

    /// How much of each gate is used.
    pub(crate) fn used(&self) -> HashMap<GateId, u64> {
        let mut used = HashMap::new();
        let claims = self.claims.values().map(|(claim, _)| &claim.gates);
        let gone = self.debris.slots.iter().filter(|_| self.has(Bug::KeepsSlots));
        let of_runs: Vec<_> = self.runs.values().map(|(row, _)| row.gates().of_run()).collect();
        for gate in claims.chain(&of_runs).chain(gone).flatten().filter(|gate| gate.pace.is_none()) {
            let weight = if self.has(Bug::IgnoresWeights) { 1 } else { gate.weight };
            *used.entry(gate.id.clone()).or_default() += u64::from(weight);
        }
        used
    }

    /// A run that finds no room at a gate waits there, and so does every run behind it.
    fn park(&self, waiting: &mut Vec<Waiting>) {
        let (used, mut full) = (self.used(), HashSet::new());
        waiting.retain(|waiting| {
            let Order::Run(_, id) = &waiting.order else { return true };
            let gates = self.runs[id].0.gates();
            let found = self.full_gate(&gates, &used, &full);
            let Some(gate) = found.filter(|_| !self.has(Bug::IgnoresGates)) else { return true };
            full.insert(gate);
            false
        });
    }

    fn left(&self, request: &AcquireDue, queue: Option<&Arc<str>>) -> Option<usize> {
        let of_queue = |claim: &&(ClaimRow, Version)| claim.0.trigger.queue() == queue;
        let claimed = if self.has(Bug::IgnoresClaimsOfQueues) {
            0
        } else {
            self.claims.values().filter(of_queue).count()
        };
        request.limits.left(queue, claimed)
    }

    /// Runs that are due and try occurrences of paused triggers again are held.
    fn hold(&mut self, until: DateTime<Utc>) {
        let is_claimed: HashSet<_> = self.claims.values().filter_map(|(claim, _)| run_of(claim)).collect();
        for (row, of_row) in self.runs.values_mut() {
            let mut triggers = self.triggers.values_mut();
            let trigger =
                row.occurrence_of().and_then(|key| triggers.find(|(row, _)| row.trigger.key() == key));
            let is_due = row.place().is_some_and(|place| place.at <= until) && !is_claimed.contains(&row.id);
            if let Some((trigger, _)) = trigger.filter(|(row, _)| is_due && row.state == StoredState::Paused)
            {
                self.version += 1;
                trigger.retried = true;
                row.hold_for_trigger();
                *of_row = self.version;
            }
        }
    }

    /// Runs stand where their jobs want them to.
    fn settle(&mut self) {
        let Self { jobs, runs, version, .. } = self;
        for (row, of_row) in runs.values_mut() {
            let job = jobs.values().find(|(job, _)| *job.detail.key() == row.job);
            if let Some((job, _)) = job.filter(|(job, _)| job.detail.disallow_concurrent() != row.exclusive) {
                *version += 1;
                (row.exclusive, *of_row) = (job.detail.disallow_concurrent(), *version);
            }
        }
    }

    pub(crate) fn take(
        &mut self,
        mut request: AcquireDue,
        takes: &Takes,
        timing: Attached,
    ) -> (Acquired, Vec<(ExecutionId, bool)>) {
        self.present = request.now;
        self.settle();
        self.hold(request.until);
        self.settle_turns();
        let (mut acquired, mut misplaced) = (Acquired::default(), Vec::new());
        let one_more = usize::from(request.max > 0 && self.has(Bug::TakesOneMore));
        let until = request.until + TimeDelta::seconds(i64::from(self.has(Bug::TakesEarly)));
        let mut waiting = self.waiting(&request, takes);
        for _ in 0..request.max + one_more {
            let is_late = |waiting: &Waiting| {
                request.late.is_some_and(|share| share.most == 0 && waiting.at < share.before)
            };
            // Further late ones of these queues come after all that are punctual.
            let next_of = |queues: Option<&QueueSet>| {
                let is_due = |waiting: &Waiting| {
                    waiting.at <= until && queues.is_none_or(|queues| queues.contains(waiting.queue.as_ref()))
                };
                let next = waiting.iter().position(|waiting| is_due(waiting) && !is_late(waiting));
                next.or_else(|| waiting.iter().position(is_due))
            };
            let open = request.shares.iter().filter(|share| share.most > 0).map(|share| Some(&share.queues));
            let Some(next) = open.chain([None]).find_map(next_of) else { break };
            let next = waiting.remove(next);
            let trigger = match &next.order {
                Order::Trigger(_, id) => {
                    let one = self.claim(&request, *id, timing.lapse(next.at, request.now));
                    acquired.triggers.push(one);
                    acquired.triggers.last().map(|one| one.trigger.clone())
                }
                Order::Run(_, id) => {
                    let run = self.claim_run(&request, *id);
                    let row = &self.runs[id].0;
                    if row.may_not_begin(request.now, request.until) {
                        misplaced.push((run.claim, row.exclusive));
                        continue;
                    }
                    acquired.runs.push(run);
                    acquired.runs.last().map(|one| one.trigger.clone())
                }
            };
            let queue = trigger.as_ref().and_then(|trigger| trigger.queue());
            request.took(queue, Some(next.at));
            // The claim has closed other places.
            let is_gated = matches!(&next.order, Order::Run(_, id) if self.runs[id].0.is_gated());
            if next.is_exclusive || is_gated || request.limits != QueueLimits::default() {
                self.settle_turns();
                waiting = self.waiting(&request, takes);
            }
        }
        let of_runs = self.runs.values().filter_map(|(row, _)| row.alarm());
        let alarms = self.triggers.values().filter_map(|(row, _)| row.alarm()).chain(of_runs);
        let lapses = self.claims.values().filter(|(claim, _)| !claim.fired).map(|(claim, _)| claim.lapse);
        let first = self.waiting(&request, takes).first().map(|waiting| waiting.at);
        let others = alarms.chain(lapses).chain(self.opening()).chain(self.rest.0.pauses.next_ending());
        acquired.next_due = others.chain(first).min();
        (acquired, misplaced)
    }

    fn claim_run(&mut self, request: &AcquireDue, id: Id<RunRow>) -> AcquiredRun {
        let number = self.numbers.claim(request.now);
        let row = &self.runs[&id].0;
        let (claim, mut acquired) =
            rules::claimed_run(row, ExecutionId::new(request.session, number), request.now);
        if let Some((job, _)) = self.jobs.values().find(|(job, _)| *job.detail.key() == row.job) {
            acquired.job = Some(job.detail.clone());
        }
        self.version += 1;
        self.begin(&claim.gates);
        self.met.retain(|(run, _)| *run != acquired.run);
        self.take_turn(id);
        self.claims.insert(Id::new(number), (claim, self.version));
        acquired
    }

    fn claim(&mut self, request: &AcquireDue, id: Id<TriggerRow>, lapse: DateTime<Utc>) -> AcquiredTrigger {
        let number = self.numbers.claim(request.now);
        let row = &self.triggers[&id].0;
        let claim = rules::claimed(id, row, request.session, request.now, lapse);
        let acquired = AcquiredTrigger {
            claim: ExecutionId::new(request.session, number),
            trigger: row.trigger.clone(),
            progress: row.progress(),
            calendar: row.trigger.calendar().and_then(|name| self.rest.0.calendars.get(name)).cloned(),
            freed: row.freed(),
        };
        self.version += 1;
        self.claims.insert(Id::new(number), (claim, self.version));
        acquired
    }
}
