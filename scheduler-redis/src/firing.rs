//! Storing, firing and ending, by what this process knows already.

use scheduler_core::Result;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::Id;
use scheduler_core::store::view::{Names as _, View};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};

use crate::names::Names;
use crate::run::{Mode, Ran, each};
use crate::session::{Held, Loose, Origin, home_of};
use crate::shared::Shared;
use crate::take::BATCH;

impl Shared {
    /// What this process knows of these claims.
    pub(crate) fn load_held(&self, view: &mut View<Names>, claims: impl Iterator<Item = ExecutionId>) {
        let sessions = self.sessions.lock();
        for claim in claims {
            let Some(held) = sessions.get(&claim.session()).and_then(|known| known.held(claim)) else {
                view.names().claim(claim, &home_of(claim));
                continue;
            };
            held.load(claim, view);
            let key = held.claim.trigger.job();
            if let Some((version, row)) = self.known.job(key) {
                let id = view.names().job(key);
                if !row.detail.durable() {
                    // Most have one; the commit tells if there are more.
                    view.load_members(id, 1);
                }
                view.load_job(id, Some(row), version);
            }
        }
    }

    pub(crate) async fn fire(&self, request: Fire) -> Result<Vec<FireResult>> {
        let mut results = Vec::with_capacity(request.firings.len());
        for part in request.firings.chunks(BATCH) {
            results.extend(self.fire_part(request.now, part).await?);
        }
        Ok(results)
    }

    async fn fire_part(
        &self,
        now: chrono::DateTime<chrono::Utc>,
        firings: &[Firing],
    ) -> Result<Vec<FireResult>> {
        let mut view = self.view();
        self.load_held(&mut view, firings.iter().map(|firing| firing.claim));
        let rule =
            |view: &mut View<Names>| each(view, firings, |view, firing| rules::fire(view, firing, now));
        let Ran { answer, mut view, version, _nothing_is_told, .. } =
            self.run("fire", Mode::Fire, view, rule).await?;
        let mut sessions = self.sessions.lock();
        for (firing, result) in firings.iter().zip(&answer) {
            let Some(known) = sessions.get_mut(&firing.claim.session()) else { continue };
            let before = known.let_go(firing.claim);
            let id = Id::of(firing.claim);
            let claim = view.claims().row(id).filter(|claim| claim.fired).cloned();
            let (Some(claim), FireResult::Run { .. }) = (claim, result) else { continue };
            let Some(item) = claim.trigger_id() else { continue };
            let row = view.triggers().row(item).cloned();
            let of_trigger = view.triggers().version(item, version);
            let from = match &before {
                Some(Held { of: Origin::Trigger { from, .. }, .. }) => Some(from.clone()),
                _ => None,
            };
            let of = match (row, before) {
                (Some(row), _) => {
                    let from = from.unwrap_or_else(|| row.progress());
                    Origin::Trigger { row: Loose::of(row, view.names(), of_trigger), from }
                }
                // Its trigger is gone; the run goes on.
                (None, Some(before)) => before.of,
                (None, None) => continue,
            };
            let version = view.claims().version(id, version);
            known.hold(firing.claim, Held { claim, version, of });
        }
        Ok(answer)
    }

    pub(crate) async fn complete(&self, request: Complete) -> Result<Vec<CompleteResult>> {
        let mut open: Vec<_> = {
            let settled = self.settled.lock();
            let is_open = |completion: &&Completion| !settled.contains_key(&completion.execution);
            request.executions.iter().filter(is_open).cloned().collect()
        };
        self.end_large_jobs(&mut open).await?;
        for part in open.chunks(BATCH) {
            let results = self.complete_part(request.now, part).await?;
            let ids = part.iter().map(|completion| completion.execution);
            self.settled.lock().extend(ids.zip(results));
        }
        let mut settled = self.settled.lock();
        let result =
            |completion: &Completion| settled.remove(&completion.execution).unwrap_or(CompleteResult::Gone);
        Ok(request.executions.iter().map(result).collect())
    }

    async fn complete_part(
        &self,
        now: chrono::DateTime<chrono::Utc>,
        executions: &[Completion],
    ) -> Result<Vec<CompleteResult>> {
        let mut view = self.view();
        self.load_held(&mut view, executions.iter().map(|completion| completion.execution));
        let rule = |view: &mut View<Names>| {
            each(view, executions, |view, completion: Completion| {
                if completion.unfinished {
                    let node = self.name_of(completion.execution.session());
                    return rules::abandon(view, completion.execution, &node, now);
                }
                rules::complete(view, completion, now)
            })
        };
        let ran = self.run("complete", Mode::End, view, rule).await?;
        let (at, mut sessions) = (SystemClock.monotonic(), self.sessions.lock());
        for completion in executions {
            if let Some(known) = sessions.get_mut(&completion.execution.session()) {
                known.ended(completion.clone(), at);
            }
        }
        Ok(ran.answer)
    }
}
