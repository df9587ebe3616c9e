//! Storing, firing and ending, from what this process knows already.

use std::sync::Arc;

use redis::cmd;
use scheduler_core::Result;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::Id;
use scheduler_core::store::view::{Missing, Names as _, View, Wants};
use scheduler_core::store::*;
use scheduler_core::time::Clock;

use super::hands::{Held, Trigger, home_of};
use super::load::Loader;
use super::names::Names;
use super::run::{Core, Mode, Ran};
use super::server::{list, word};
use super::take::BATCH;
use crate::codec;

/// A rule for each of a batch. It goes on after one that misses something, so that all of it is known at once.
pub(crate) fn each<A: Clone, T>(
    view: &mut View<Names>,
    all: &[A],
    rule: impl Fn(&mut View<Names>, A) -> Result<T, Missing>,
) -> Result<Vec<T>, Missing> {
    rules::each(view, all, |view, one| rule(view, one.clone()))
}

impl Core {
    pub(crate) async fn put(&self, mut view: View<Names>, request: Put) -> Result<()> {
        // All at once, not one after the other as they come up.
        let mut wants = Wants::default();
        let names = view.names();
        wants.jobs.extend(request.jobs.iter().map(|job| names.job(job.key())));
        wants.jobs.extend(request.triggers.iter().map(|(trigger, _)| names.job(trigger.job())));
        wants.triggers.extend(request.triggers.iter().map(|(trigger, _)| names.trigger(trigger.key())));
        wants.jobs.retain(|id| view.jobs().is_unknown(*id));
        wants.triggers.retain(|id| view.triggers().is_unknown(*id));
        let loader = Loader { server: &self.server, known: &self.known, view: &mut view };
        Box::pin(loader.load(wants)).await?;
        self.run("put", Mode::Change, view, |view| rules::put(view, request.clone())).await?.answer
    }

    pub(crate) async fn release(&self, claims: Vec<ExecutionId>) -> Result<()> {
        let mut view = self.view();
        for claim in &claims {
            view.names().claim(*claim, &home_of(*claim));
        }
        let all = claims.clone();
        let rule = move |view: &mut View<Names>| each(view, &all, rules::release).map(drop);
        self.run("release", Mode::Chore, view, rule).await?;
        let mut hands = self.hands.lock();
        claims.iter().for_each(|claim| hands.let_go(*claim));
        Ok(())
    }

    /// What this process knows of these claims.
    fn load_held(&self, view: &mut View<Names>, claims: impl Iterator<Item = ExecutionId>) {
        let hands = self.hands.lock();
        for claim in claims {
            match hands.get(claim) {
                Some(held) => {
                    held.load(claim, view);
                    let job = held.claim.trigger.job();
                    if let Some((version, row)) = self.known.job(job) {
                        let id = view.names().job(job);
                        if !row.detail.durable() {
                            view.load_members(id, 1);
                        }
                        view.load_job(id, Some(row), version);
                    }
                }
                None => drop(view.names().claim(claim, &home_of(claim))),
            }
        }
    }

    pub(crate) async fn fire(&self, request: Fire) -> Result<Vec<FireResult>> {
        let mut results = Vec::with_capacity(request.firings.len());
        for part in request.firings.chunks(BATCH) {
            let (firings, now, mut view) = (part.to_vec(), request.now, self.view());
            self.load_held(&mut view, firings.iter().map(|firing| firing.claim));
            let all = firings.clone();
            let rule = move |view: &mut View<Names>| {
                each(view, &all, |view, firing: Firing| rules::fire(view, firing, now))
            };
            let Ran { answer, mut view, version } = self.run("fire", Mode::Node, view, rule).await?;
            let mut hands = self.hands.lock();
            for (firing, result) in firings.iter().zip(&answer) {
                let id = Id::of(firing.claim);
                let claim = view.claims().row(id).filter(|claim| claim.fired).cloned();
                let Some(claim) = claim.filter(|_| matches!(result, FireResult::Run { .. })) else {
                    hands.let_go(firing.claim);
                    continue;
                };
                let Some(row) = view.triggers().row(claim.item).cloned() else { continue };
                let trigger = Trigger::of(row, view.names(), version);
                hands.hold(firing.claim, Held { claim, version, trigger });
            }
            results.extend(answer);
        }
        Ok(results)
    }

    pub(crate) async fn complete(&self, request: Complete) -> Result<Vec<CompleteResult>> {
        let mut results = Vec::with_capacity(request.executions.len());
        for part in request.executions.chunks(BATCH) {
            let (all, now, mut view) = (part.to_vec(), request.now, self.view());
            self.load_held(&mut view, all.iter().map(|one| one.execution));
            let rule = move |view: &mut View<Names>| {
                each(view, &all, |view, one: Completion| rules::complete(view, one, now))
            };
            results.extend(self.run("complete", Mode::Node, view, rule).await?.answer);
            let mut hands = self.hands.lock();
            part.iter().for_each(|one| hands.let_go(one.execution));
        }
        Ok(results)
    }
}

/// The work of nodes that are gone.
impl Core {
    /// Takes over from nodes that are gone, and from this one if it ends.
    pub(crate) async fn bury(&self, mut session: Option<u64>) -> Result<()> {
        loop {
            let ends = session.take().map(|session| session.to_string()).unwrap_or_default();
            let answer = self.server.bury(&[ends.into_bytes()]).await?;
            let (has_ended, grave) = (word(answer.first()) == "1", word(answer.get(1)));
            let node = serde_json::from_str::<serde_json::Value>(&word(answer.get(2))).unwrap_or_default();
            let node = codec::text(&node["n"]).to_owned();
            if grave.is_empty() {
                if has_ended {
                    continue;
                }
                return Ok(());
            }
            if !self.bury_part(&grave, &node).await? {
                // A newer program may be able to read these records.
                return Ok(());
            }
        }
    }

    /// Says whether any claim could be read. The records of the others stay.
    async fn bury_part(&self, grave: &str, node: &str) -> Result<bool> {
        let home: Arc<str> = format!("grave:{grave}").into();
        let mut command = cmd("HRANDFIELD");
        let found = self.server.ask(command.arg(self.server.key(&home)).arg(BATCH)).await?;
        let ids: Vec<_> = list(Some(found)).iter().map(|id| word(Some(id))).collect();
        let (mut view, mut claims) = (self.view(), Vec::new());
        for execution in ids.iter().filter_map(|id| codec::read_claim(id).ok()) {
            view.names().claim(execution, &home);
            claims.push(execution);
        }
        let now = self.inner.clock.now();
        let lost =
            |view: &mut View<Names>| each(view, &claims, |view, run| rules::lose(view, run, node, now));
        let lost = self.run("bury", Mode::Chore, view, lost).await?.answer;
        self.inner.wake();
        Ok(lost.iter().any(|lost| *lost != rules::Lost::Gone))
    }
}
