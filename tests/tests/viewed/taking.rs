//! What nodes take: places are derived from rows whenever somebody asks.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::job::ExecutionId;
use scheduler_core::run::RunId;
use scheduler_core::store::rows::*;
use scheduler_core::store::view::Version;
use scheduler_core::store::*;
use scheduler_core::{JobKey, TriggerKey};

use crate::bugs::Bug;
use crate::server::Server;

/// What stands in a lane, in the order in which it is taken.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at: DateTime<Utc>,
    rank: Reverse<i32>,
    order: Order,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Trigger(TriggerKey, Id<TriggerRow>),
    Run(RunId, Id<RunRow>),
}

/// What nodes take.
impl Server {
    fn is_claimed(&self, id: Id<TriggerRow>, row: &TriggerRow) -> bool {
        let is = |claim: &ClaimRow| {
            !claim.fired
                && claim.item == Item::Trigger(id)
                && claim.birth == row.birth
                && claim.epoch == row.epoch
        };
        self.claims.values().any(|(claim, _)| is(claim))
    }

    fn unfired_of(&self, trigger: Id<TriggerRow>) -> Option<Id<ClaimRow>> {
        let of_trigger = |(_, (claim, _)): &(&_, &(ClaimRow, Version))| {
            !claim.fired && claim.item == Item::Trigger(trigger)
        };
        self.claims.iter().find(of_trigger).map(|(id, _)| *id)
    }

    fn claim_of(&self, run: Id<RunRow>) -> Option<Id<ClaimRow>> {
        let run = self.runs.get(&run)?.0.id;
        self.claims.iter().find(|(_, (claim, _))| claim.item == Item::Run(run)).map(|(id, _)| *id)
    }

    fn is_busy(&self, job: &JobKey) -> bool {
        self.claims.values().any(|(claim, _)| claim.exclusive && claim.trigger.job() == job)
    }

    /// What may be taken and is due some day, in order, with what is left for its group.
    fn waiting(&self, request: &AcquireDue, types: Option<&HashSet<Arc<str>>>) -> Vec<Waiting> {
        let is_open = |job: &JobKey, exclusive: bool, job_type: &str, group: Option<&Arc<str>>| {
            !(exclusive && self.is_busy(job))
                && types.is_none_or(|types| types.contains(job_type))
                && self.left(request, group) != Some(0)
        };
        let triggers = self.triggers.iter().filter_map(|(id, (row, _))| {
            let (job, group) = (&self.jobs[&row.job].0.detail, row.trigger.execution_group());
            let is_open = is_open(row.trigger.job(), row.exclusive, job.job_type(), group);
            let place = row.place().filter(|_| is_open && !self.is_claimed(*id, row))?;
            Some(Waiting {
                at: place.at,
                rank: place.rank,
                order: Order::Trigger(row.trigger.key().clone(), *id),
            })
        });
        let runs = self.runs.iter().filter_map(|(id, (row, _))| {
            let is_open = is_open(&row.job, row.exclusive, &row.job_type, row.execution_group.as_ref());
            let place = row.place().filter(|_| is_open && self.claim_of(*id).is_none())?;
            Some(Waiting { at: place.at, rank: place.rank, order: Order::Run(row.id, *id) })
        });
        let mut waiting: Vec<_> = triggers.chain(runs).collect();
        waiting.sort_unstable();
        waiting
    }

    fn left(&self, request: &AcquireDue, group: Option<&Arc<str>>) -> Option<usize> {
        let of_group = |claim: &&(ClaimRow, Version)| claim.0.trigger.execution_group() == group;
        request.limits.left(group, self.claims.values().filter(of_group).count())
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
        types: Option<&HashSet<Arc<str>>>,
        timing: Attached,
    ) -> Acquired {
        self.settle();
        let mut acquired = Acquired::default();
        for _ in 0..request.max {
            let waiting = self.waiting(&request, types);
            let due = || waiting.iter().filter(|waiting| waiting.at <= request.until);
            let is_late = |waiting: &Waiting| {
                request.late.is_some_and(|share| share.most == 0 && waiting.at < share.before)
            };
            // Further late ones come after all that are punctual.
            let next = due().find(|waiting| !is_late(waiting)).or_else(|| due().next());
            let Some(next) = next else { break };
            let group = match &next.order {
                Order::Trigger(_, id) => {
                    let one = self.claim(&request, *id, timing.lapse(next.at, request.now));
                    let group = one.trigger.execution_group().cloned();
                    acquired.triggers.push(one);
                    group
                }
                Order::Run(_, id) => {
                    let one = self.claim_run(&request, *id);
                    let group = one.trigger.execution_group().cloned();
                    acquired.runs.push(one);
                    group
                }
            };
            request.took(group.as_ref(), Some(next.at));
        }
        let alarms = self.triggers.values().filter_map(|(row, _)| row.alarm());
        let lapses = self.claims.values().filter(|(claim, _)| !claim.fired).map(|(claim, _)| claim.lapse);
        let first = self.waiting(&request, types).first().map(|waiting| waiting.at);
        let others = alarms.chain(lapses).chain(self.rest.0.pauses.next_ending());
        acquired.next_due = others.chain(first).min();
        acquired
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
