//! Claims that are given back before their work has begun.

use chrono::{DateTime, Utc};
use scheduler_core::Result;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::ClaimRow;
use scheduler_core::store::view::View;
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};

use crate::names::Names;
use crate::run::{Mode, Ran, each};
use crate::script::word;
use crate::session::{Asks, Held, Session};
use crate::shared::Shared;

/// Whether this may be a claim that its node has not begun to work on.
fn may_be_given_back(claim: &ClaimRow) -> bool {
    !claim.fired || claim.trigger_id().is_none()
}

impl Shared {
    /// Claims of this process that were not fired in time are those of nobody.
    /// Without a present it is that of each node.
    pub(crate) async fn release_lapsed(&self, now: Option<DateTime<Utc>>) -> Result<()> {
        let monotonic = SystemClock.monotonic();
        let lapsed: Vec<_> = {
            let sessions = self.sessions.lock();
            let of_session = |session: &Session| {
                let now = now.or_else(|| session.present(monotonic));
                let lapsed = session.lapses().filter(|(_, lapse)| now.is_some_and(|now| *lapse <= now));
                lapsed.map(|(claim, _)| claim).collect::<Vec<_>>()
            };
            sessions.values().flat_map(of_session).collect()
        };
        if lapsed.is_empty() { Ok(()) } else { self.release(lapsed).await }
    }

    /// Of a call no answer has come: what it has taken is given back, and what of it is still on its way takes nothing.
    pub(crate) async fn look_for_unheard(&self, request: &AcquireDue) -> Result<()> {
        {
            let mut sessions = self.sessions.lock();
            let unheard = sessions.get_mut(&request.session);
            let Some(known) = unheard.filter(|known| known.is_unheard || known.unanswered > 0) else {
                return Ok(());
            };
            (known.is_unheard, known.unanswered) = (false, 0);
        }
        let found = self.give_back_unheard(request).await;
        if !matches!(found, Ok(true)) {
            let mut sessions = self.sessions.lock();
            sessions.get_mut(&request.session).into_iter().for_each(|known| known.is_unheard = true);
        }
        found.map(drop)
    }

    /// Says whether the lost call takes nothing any more.
    async fn give_back_unheard(&self, request: &AcquireDue) -> Result<bool> {
        let turn = self.turn_of(request.session).to_string();
        let nothing = AcquireDue { max: 0, ..request.clone() };
        let answer = self.take(&nothing, &turn, false).await?;
        let is_noted = !matches!(word(answer.first()).as_str(), "late" | "held" | "lost");
        if is_noted {
            let session = request.session;
            let claims = self
                .look(|view| {
                    let claims = rows::Rows::claims_of(view, session)?;
                    let open =
                        claims.into_iter().filter(|id| view.claims().row(*id).is_some_and(may_be_given_back));
                    Ok(open.map(|id| ExecutionId::new(session, id.0)).collect::<Vec<_>>())
                })
                .await?;
            let unknown: Vec<_> = {
                let sessions = self.sessions.lock();
                let known = |claim: &ExecutionId| {
                    sessions.get(&session).is_some_and(|known| known.held(*claim).is_some())
                };
                claims.into_iter().filter(|claim| !known(claim)).collect()
            };
            if !unknown.is_empty() {
                self.release(unknown).await?;
            }
        }
        Ok(is_noted)
    }

    pub(crate) async fn release(&self, claims: Vec<ExecutionId>) -> Result<()> {
        let mut view = self.view();
        self.load_held(&mut view, claims.iter().map(|claim| (*claim, Asks::ForAll)));
        let rule = |view: &mut View<Names>| each(view, &claims, rules::release);
        let Ran { view, version, .. } = self.run("release", Mode::GiveBack, view, rule).await?;
        let mut sessions = self.sessions.lock();
        for claim in claims {
            let id = rows::Id::of(claim);
            let Some(known) = sessions.get_mut(&claim.session()) else { continue };
            let Some(held) = known.held(claim).filter(|held| may_be_given_back(&held.claim)).cloned() else {
                continue;
            };
            match view.claims().row(id) {
                // It was fired, by a call whose answer was lost.
                Some(row) if row.fired => {
                    let version = view.claims().version(id, version);
                    known.hold(claim, Held { claim: row.clone(), version, ..held });
                }
                _ => drop(known.let_go(claim)),
            }
        }
        Ok(())
    }
}
