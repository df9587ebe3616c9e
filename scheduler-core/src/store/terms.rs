//! What a run has to keep to, made of its argument.

use crate::run::{Gates, RunKey, RunSequence};

/// What a job makes of the argument of a run: the key, the limits with the key of turns, and the sequence.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RunTerms {
    /// The key of a unique run.
    pub key: Option<RunKey>,
    /// The limits, and the key by which the run takes turns.
    pub gates: Gates,
    /// The sequence.
    pub sequence: Option<RunSequence>,
}

impl RunTerms {
    /// These.
    pub const fn new(key: Option<RunKey>, gates: Gates, sequence: Option<RunSequence>) -> Self {
        Self { key, gates, sequence }
    }
}

/// What an edit of the argument changes of them. Whatever a run does not have of its argument, but of the call that has enqueued it, stays.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct NewTerms {
    /// Of the argument before the edit.
    pub before: RunTerms,
    /// Of the new argument.
    pub after: RunTerms,
}

impl NewTerms {
    /// These in place of those.
    pub const fn new(before: RunTerms, after: RunTerms) -> Self {
        Self { before, after }
    }

    /// The key in place of this one; none if it stays.
    pub(super) fn key(&self, present: Option<&RunKey>) -> Option<RunKey> {
        let (present, before, after) = (present?, self.before.key.as_ref()?, self.after.key.as_ref()?);
        let is_changed = present.id == before.id && after.id != before.id;
        is_changed.then(|| RunKey { id: after.id, text: after.text.clone(), ..present.clone() })
    }

    /// The sequence in place of this one; none if it stays.
    pub(super) fn sequence(&self, present: Option<&RunSequence>) -> Option<RunSequence> {
        let before = self.before.sequence.as_ref()?;
        let after = self.after.sequence.as_ref().filter(|after| after.id != before.id)?;
        present.filter(|present| present.id == before.id).map(|_| after.clone())
    }

    /// The gates in place of these.
    pub(super) fn gates(&self, present: &Gates) -> Gates {
        let is_of_call =
            |gate: &&crate::run::Gate| self.before.gates.iter().all(|before| before.id != gate.id);
        let mut gates: Vec<_> = present.iter().filter(is_of_call).cloned().collect();
        for (before, after) in self.before.gates.iter().zip(&self.after.gates) {
            match present.iter().find(|present| present.id == before.id) {
                // What the run holds of it stays held.
                Some(present) if after.id == before.id => gates.push(present.clone()),
                Some(_) => gates.push(after.clone()),
                // The call has set another limit in its place.
                None => {}
            }
        }
        let fair = match present.fair() == self.before.gates.fair() {
            true => self.after.gates.fair(),
            false => present.fair(),
        };
        Gates::new(gates).with_fair(fair.cloned())
    }
}
