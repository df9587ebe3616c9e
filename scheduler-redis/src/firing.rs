//! Storing, firing and ending, by what this process knows already.

use scheduler_core::Result;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::Id;
use scheduler_core::store::view::{Names as _, View};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};

use crate::names::Names;
use crate::parts::two_at_a_time;
use crate::run::{Mode, Ran, each};
use crate::session::{Asks, Held, Loose, Origin, home_of};
use crate::shared::Shared;
use crate::take::BATCH;

/// What ending an execution costs the server, where ending a run that leaves nothing costs one.
const HEAVY: usize = 3;

impl Shared {
    /// What this process knows of these claims.
    pub(crate) fn load_held(
        &self,
        view: &mut View<Names>,
        claims: impl Iterator<Item = (ExecutionId, Asks)>,
    ) {
        let sessions = self.sessions.lock();
        let mut home = None;
        for (claim, asks) in claims {
            let home = match &home {
                Some((session, home)) if *session == claim.session() => home,
                _ => &home.insert((claim.session(), home_of(claim))).1,
            };
            let Some(held) = sessions.get(&claim.session()).and_then(|known| known.held(claim)) else {
                view.names().claim(claim, home);
                continue;
            };
            let asks = if held.claim.linked { Asks::ForAll } else { asks };
            held.load(claim, home, view, asks);
            if held.of_run() && asks == Asks::ForClaim {
                continue;
            }
            let key = held.claim.trigger.job();
            if let Some((version, row)) = self.known.job(key) {
                let id = view.names().job(key);
                if !row.detail.durable() {
                    // Most have one; the commit tells if that is wrong.
                    view.load_members(id, self.known.members(key));
                }
                view.load_job(id, Some(row), version);
            }
        }
    }

    pub(crate) async fn fire(&self, request: Fire) -> Result<Vec<FireResult>> {
        let parts = request.firings.chunks(BATCH);
        let fired = two_at_a_time(parts, |part| Box::pin(self.fire_part(request.now, part))).await?;
        Ok(fired.into_iter().flatten().collect())
    }

    async fn fire_part(
        &self,
        now: chrono::DateTime<chrono::Utc>,
        firings: &[Firing],
    ) -> Result<Vec<FireResult>> {
        let mut view = self.view();
        self.load_held(&mut view, firings.iter().map(|firing| (firing.claim, Asks::ForAll)));
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
        let all: Vec<_> = request.executions.iter().map(|completion| completion.execution).collect();
        let mut open = request.executions;
        {
            let settled = self.settled.lock();
            open.retain(|completion| !settled.contains_key(&completion.execution));
        }
        self.end_large_jobs(&mut open).await?;
        let parts = self.parts_of(open).into_iter();
        two_at_a_time(parts, |part| Box::pin(self.complete_part(request.now, part))).await?;
        let mut settled = self.settled.lock();
        Ok(all.iter().map(|execution| settled.remove(execution).unwrap_or(CompleteResult::Gone)).collect())
    }

    async fn complete_part(
        &self,
        now: chrono::DateTime<chrono::Utc>,
        executions: Vec<Completion>,
    ) -> Result<()> {
        let mut view = self.view();
        self.load_held(&mut view, executions.iter().map(|one| (one.execution, asks(one))));
        let rule = |view: &mut View<Names>| {
            each(view, &executions, |view, completion: Completion| {
                if completion.unfinished {
                    let node = self.name_of(completion.execution.session());
                    return rules::abandon(view, completion, &node, now);
                }
                rules::complete(view, completion, now)
            })
        };
        let ran = self.run("complete", Mode::End, view, rule).await?;
        let ids = executions.iter().map(|completion| completion.execution);
        self.settled.lock().extend(ids.zip(ran.answer));
        let (at, mut sessions) = (SystemClock.monotonic(), self.sessions.lock());
        for completion in executions {
            if let Some(known) = sessions.get_mut(&completion.execution.session()) {
                known.ended(completion, at);
            }
        }
        Ok(())
    }

    /// Parts that are small enough not to block the server for long.
    fn parts_of(&self, all: Vec<Completion>) -> Vec<Vec<Completion>> {
        let (mut parts, mut part, mut room) = (Vec::new(), Vec::new(), BATCH * HEAVY);
        let sessions = self.sessions.lock();
        for completion in all {
            let known = sessions.get(&completion.execution.session());
            let held = known.and_then(|known| known.held(completion.execution));
            let is_run =
                held.is_some_and(|held| held.of_run() && !held.claim.exclusive && !held.claim.linked);
            let is_light = is_run && asks(&completion) == Asks::ForClaim;
            let weight = if is_light { 1 } else { HEAVY };
            if room < weight {
                parts.push(std::mem::take(&mut part));
                room = BATCH * HEAVY;
            }
            room -= weight;
            part.push(completion);
        }
        parts.extend(Some(part).filter(|part| !part.is_empty()));
        parts
    }
}

/// A run that is over and changes nothing of its job needs only its claim to end.
fn asks(completion: &Completion) -> Asks {
    let is_over = matches!(completion.fate, Fate::Over | Fate::Discarded) && !completion.unfinished;
    let of_job = completion.data.is_some() || completion.instruction != Instruction::Continue;
    if is_over && !of_job { Asks::ForClaim } else { Asks::ForAll }
}
