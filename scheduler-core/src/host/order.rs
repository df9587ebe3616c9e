//! The order of services: what each one takes, and what its author has said.
//!
//! Services, queues and the scheduler are numbered in this order. An edge says that one comes after another, and why, so that a
//! circle can be explained.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};

use scheduler_syntax::nearest;

use super::definition::{Kind, ServiceDefinition};
use super::queue::JobQueue;
use crate::job::{Need, Providers, Registry};
use crate::scheduler::OwnHandle;

/// What comes after what.
pub(super) struct Order<'a> {
    names: Vec<&'a str>,
    /// For each, those that it comes after, with the reason.
    after: Vec<BTreeMap<usize, String>>,
    problems: Vec<String>,
}

impl<'a> Order<'a> {
    pub(super) fn new(
        services: &'a [ServiceDefinition],
        queues: &[&'a str],
        scheduler: Option<&'a str>,
        providers: &Providers,
        jobs: &Registry,
    ) -> Self {
        let names = services.iter().map(|service| &*service.rules.name);
        let names: Vec<_> = names.chain(queues.iter().copied()).chain(scheduler).collect();
        let mut order = Self { after: vec![BTreeMap::new(); names.len()], names, problems: Vec::new() };
        let queues = services.len()..services.len() + queues.len();
        for (number, service) in services.iter().enumerate() {
            order.say_after(number, service);
            order.take_values(number, services, providers);
            if !matches!(service.kind, Kind::StartUp(_)) {
                let made_of = |of| service.rules.needs.iter().find(|need| providers.is_made_of(need, of));
                if let Some(need) = made_of(TypeId::of::<JobQueue>()) {
                    queues.clone().for_each(|queue| order.insert(number, queue, takes(need)));
                }
                if made_of(TypeId::of::<OwnHandle>()).is_some() && scheduler.is_some() {
                    order.insert(number, queues.end, "it takes `Scheduler`".to_owned());
                }
            }
        }
        order.jobs_take_values(services, providers, jobs);
        order.work_comes_last(services.len());
        order
    }

    fn insert(&mut self, number: usize, other: usize, why: String) {
        self.after[number].entry(other).or_insert(why);
    }

    /// What the author has said.
    fn say_after(&mut self, number: usize, service: &ServiceDefinition) {
        for other in &service.rules.after {
            match self.names.iter().position(|known| known == other) {
                Some(other) => self.insert(number, other, "it says so with `.after(…)`".to_owned()),
                None => {
                    let near = nearest(other, self.names.iter().copied());
                    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    let name = &service.rules.name;
                    self.problems
                        .push(format!("service `{name}` comes after `{other}`, which is no service{hint}"));
                }
            }
        }
    }

    /// After each service that provides a value which this one takes.
    fn take_values(&mut self, number: usize, services: &[ServiceDefinition], providers: &Providers) {
        for need in &services[number].rules.needs {
            for (other, provider) in services.iter().enumerate().filter(|(other, _)| *other != number) {
                if provider.rules.provides.iter().any(|value| providers.is_made_of(need, value.type_id())) {
                    self.insert(number, other, takes(need));
                }
            }
        }
    }

    /// Queues and the scheduler come after each service that provides a value which a job takes.
    fn jobs_take_values(&mut self, services: &[ServiceDefinition], providers: &Providers, jobs: &Registry) {
        let jobs = jobs.in_order();
        let needs = jobs
            .iter()
            .flat_map(|job| job.job().needs().into_iter().map(|need| (job.detail().job_type(), need)));
        for (job, need) in needs {
            for (number, provider) in services.iter().enumerate() {
                if provider.rules.provides.iter().any(|value| providers.is_made_of(&need, value.type_id())) {
                    let why = format!("job `{job}` takes `State<{}>`", need.type_name());
                    (services.len()..self.names.len())
                        .for_each(|work| self.insert(work, number, why.clone()));
                }
            }
        }
    }

    /// Queues and the scheduler, from number `work` on, come after all services that do not come after one of them.
    fn work_comes_last(&mut self, work: usize) {
        let before: Vec<_> =
            (0..work).filter(|service| !self.reaches(*service, |other| other >= work)).collect();
        for worker in work..self.names.len() {
            for service in &before {
                self.insert(
                    worker,
                    *service,
                    "queues and the scheduler come after all other services".to_owned(),
                );
            }
        }
    }

    /// Whether `from` comes, directly or by others, after one that is meant.
    fn reaches(&self, from: usize, is_meant: impl Fn(usize) -> bool) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(number) = open.pop() {
            for other in self.after[number].keys() {
                if is_meant(*other) {
                    return true;
                }
                if seen.insert(*other) {
                    open.push(*other);
                }
            }
        }
        false
    }

    /// The numbers by layers, each after all that it comes after, and everything that is wrong with the order.
    pub(super) fn layers(mut self) -> (Vec<Vec<usize>>, Vec<String>) {
        let (mut layers, mut placed) = (Vec::new(), BTreeSet::new());
        while placed.len() < self.names.len() {
            let is_free = |number: &usize| {
                !placed.contains(number) && self.after[*number].keys().all(|other| placed.contains(other))
            };
            let layer: Vec<usize> = (0..self.names.len()).filter(is_free).collect();
            if layer.is_empty() {
                self.problems.push(self.circle(&placed));
                break;
            }
            placed.extend(&layer);
            layers.push(layer);
        }
        (layers, self.problems)
    }

    /// A circle among those that could not be placed, each step with its reason. Each of them comes after another one, so that
    /// whoever goes on comes by a place again.
    fn circle(&self, placed: &BTreeSet<usize>) -> String {
        let mut path: Vec<(usize, &str)> = Vec::new();
        let mut number = (0..self.names.len()).find(|number| !placed.contains(number)).unwrap_or_default();
        while !path.iter().any(|(before, _)| *before == number) {
            let next = self.after[number].iter().find(|(other, _)| !placed.contains(other));
            let Some((other, why)) = next else { break };
            path.push((number, why));
            number = *other;
        }
        let begin = path.iter().position(|(before, _)| *before == number).unwrap_or_default();
        let steps = path[begin..].iter().enumerate().map(|(step, (of, why))| {
            let next = path.get(begin + step + 1).map_or(number, |(next, _)| *next);
            format!("`{}` comes after `{}`, since {why}", self.names[*of], self.names[next])
        });
        let steps: Vec<_> = steps.collect();
        format!("services come after each other: {}; leave one of these out", steps.join("; "))
    }
}

fn takes(need: &Need) -> String {
    format!("it takes `State<{}>`", need.type_name())
}
