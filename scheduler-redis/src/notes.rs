//! What attempts of this process note while they are under way.

use scheduler_core::Result;
use scheduler_core::store::rows::Id;
use scheduler_core::store::view::{Names as _, View};
use scheduler_core::store::*;

use crate::names::Names;
use crate::parts::PART;
use crate::run::{Mode, Ran, each};
use crate::session::{Asks, Held, Origin};
use crate::shared::Shared;

impl Shared {
    pub(crate) async fn note(&self, notes: Vec<RunNote>) -> Result<Vec<bool>> {
        let mut answers = Vec::with_capacity(notes.len());
        for part in notes.chunks(PART) {
            answers.extend(self.note_part(part).await?);
        }
        Ok(answers)
    }

    /// The rows are those that the process has in hand, and it knows the new ones afterwards, so that the end of an attempt finds them as it
    /// expects.
    async fn note_part(&self, notes: &[RunNote]) -> Result<Vec<bool>> {
        let mut view = self.view();
        self.load_held(&mut view, notes.iter().map(|note| (note.claim, Asks::ForAll)));
        let rule = |view: &mut View<Names>| each(view, notes, rules::note);
        let Ran { answer, mut view, version, .. } = self.run("note", Mode::Change, view, rule).await?;
        let mut sessions = self.sessions.lock();
        for (note, _) in notes.iter().zip(&answer).filter(|(_, is_noted)| **is_noted) {
            let Some(known) = sessions.get_mut(&note.claim.session()) else { continue };
            let Some(held) = known.held(note.claim).cloned() else { continue };
            let id = Id::of(note.claim);
            let (claim, of_claim) = (view.claims().row(id).cloned(), view.claims().version(id, version));
            let of = match held.of {
                Origin::Run(row, before) => {
                    let run = view.names().run(row.id);
                    match view.runs().row(run).cloned() {
                        Some(row) => Origin::Run(row.into(), view.runs().version(run, version)),
                        None => Origin::Run(row, before),
                    }
                }
                of_trigger @ Origin::Trigger { .. } => of_trigger,
            };
            known.hold(note.claim, Held { claim: claim.unwrap_or(held.claim), version: of_claim, of });
        }
        Ok(answer)
    }
}
