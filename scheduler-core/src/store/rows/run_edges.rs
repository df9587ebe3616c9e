//! A run that waits for the ends of others, and a run for whose end others wait.
//!
//! A child has an [edge](Edge) for each parent that it still waits for, and a tag for each edge. The edge leaves the row in the step that
//! settles it, so nothing is settled twice, and the tag says what is left to be settled.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::links::Links;
use super::run::{RunRow, Standing};
use crate::data::JobData;
use crate::run::{AttemptError, Edge, FailureKind, Input, RunEnd, RunId};

/// An argument that consists of outputs has so many bytes at most.
const MOST_INPUT: usize = 256 * 1024;

/// Makes the output a part of the argument, if that does not become too long.
fn fill(data: &mut JobData, input: Input, output: Option<&Arc<str>>) -> bool {
    // A job that returns nothing has stored nothing.
    let output = output.map_or("null", |output| output);
    let value = serde_json::from_str(output).unwrap_or(serde_json::Value::Null);
    let item = match input {
        Input::Whole => None,
        Input::Item(item) => usize::try_from(item).ok(),
    };
    let mut filled = data.clone();
    let is_filled = filled.fill(item, value).is_ok();
    let fits = is_filled && serde_json::to_string(&filled).is_ok_and(|text| text.len() <= MOST_INPUT);
    if fits {
        *data = filled;
    }
    fits
}

impl RunRow {
    fn links(&self) -> Option<&Links> {
        self.cold.as_deref()?.links.as_deref()
    }

    fn edit_links(&mut self, edit: impl FnOnce(&mut Links)) {
        if let Some(links) = self.cold.as_mut().and_then(|cold| cold.links.as_deref_mut()) {
            edit(links);
        }
    }

    /// Its edges to parents that it waits for, and to those that keep it from running.
    pub fn parents(&self) -> &[Edge] {
        self.links().map_or(&[], |links| &links.parents)
    }

    /// Whether it waits for a parent.
    pub fn has_parents(&self) -> bool {
        self.end().is_none() && !self.parents().is_empty()
    }

    /// Whether it has waited for parents.
    pub(super) fn is_child(&self) -> bool {
        self.links().is_some_and(|links| links.is_child)
    }

    /// Whether a parent has not ended as it has to.
    pub fn is_unmet(&self) -> bool {
        self.parents().iter().any(|edge| edge.is_unmet)
    }

    /// It waits for nobody any more.
    pub(super) fn forget_parents(&mut self) {
        self.edit_links(|links| {
            links.lacks_input |= links.parents.iter().any(|edge| edge.input.is_some());
            links.parents.clear();
        });
    }

    /// A parent has ended like this, with this output: the edge is removed, or says that it is not met. The output goes into the argument.
    pub fn settle(&mut self, parent: RunId, (end, output): (RunEnd, Option<&Arc<str>>), now: DateTime<Utc>) {
        let mut data = self.data.clone();
        let mut is_too_long = false;
        self.edit_links(|links| {
            links.parents.retain_mut(|edge| {
                let is_settled = edge.parent == parent && !edge.is_unmet;
                edge.is_unmet |= is_settled && !edge.on.is_met_by(end);
                if let Some(input) = edge.input.filter(|_| is_settled && !edge.is_unmet) {
                    edge.is_unmet = !fill(&mut data, input, output);
                    is_too_long |= edge.is_unmet;
                }
                !is_settled || edge.is_unmet
            });
        });
        self.data = data;
        if is_too_long {
            let text = format!(
                "the outputs that are the argument of this run are longer than {} KB together; store them elsewhere and return their addresses",
                MOST_INPUT / 1024
            );
            self.push_error(AttemptError::new(0, FailureKind::Failed, now, &text));
        }
    }

    /// Whether an output that is a part of its argument has not come.
    pub fn lacks_input(&self) -> bool {
        self.parents().iter().any(|edge| edge.input.is_some())
            || self.links().is_some_and(|links| links.lacks_input)
    }

    /// Somebody has said what its argument is.
    pub(super) fn has_input(&mut self) {
        self.edit_links(|links| links.lacks_input = false);
    }

    /// What it has waited for has come, though the parent has not ended. Says whether it has waited for that.
    pub fn meet(&mut self, parent: RunId) -> bool {
        let waits = self.parents().iter().any(|edge| edge.parent == parent);
        self.edit_links(|links| links.parents.retain(|edge| edge.parent != parent));
        waits
    }

    /// A parent that has not ended as it has to runs again.
    pub fn wait_again_for(&mut self, parent: RunId) {
        self.edit_links(|links| {
            links
                .parents
                .iter_mut()
                .filter(|edge| edge.parent == parent)
                .for_each(|edge| edge.is_unmet = false);
        });
    }

    /// Nothing can be changed that keeps it from running.
    pub(in crate::store) fn give_up_parents(&mut self) {
        self.forget_parents();
    }

    /// It is held again, since no parent keeps it from running any more. Runs that were cancelled with it come back, too.
    pub fn hold_again(&mut self) {
        self.stand(Standing::Held, DateTime::<Utc>::MIN_UTC);
        self.edit_links(|links| links.has_more = links.has_unmet);
    }

    /// Whether it was cancelled and has done nothing: its record is only kept for people, unless it has to do with others. Another run may take
    /// its id.
    pub fn is_spent(&self) -> bool {
        let is_linked = self.is_unmet() || self.has_more_children() || self.batch_of().is_some();
        self.end() == Some(RunEnd::Cancelled) && !is_linked
    }

    /// Whether it is held for parents, and the last of them has ended.
    pub fn is_free(&self) -> bool {
        let is_held = self.standing == Standing::Held && !self.follows() && !self.is_batch();
        is_held && self.behind().is_none() && self.parents().is_empty() && !self.has_more_children()
    }

    /// The last parent has ended: it is due now, if it is not to wait for longer.
    pub fn begin_waiting(&mut self, now: DateTime<Utc>) {
        let delay = self.links().map_or(TimeDelta::zero(), Links::delay);
        let earliest = now.checked_add_signed(delay).unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.due = self.due.max(earliest);
        self.stand(Standing::Waiting, now);
    }

    /// Whether runs wait for its end, or have.
    pub fn is_parent(&self) -> bool {
        self.links().is_some_and(|links| links.is_parent)
    }

    /// A run waits for its end.
    pub fn become_parent(&mut self) {
        self.cold().links.get_or_insert_default().is_parent = true;
    }

    /// Whether runs are cancelled since it has not ended as it has to.
    pub fn has_unmet_children(&self) -> bool {
        self.links().is_some_and(|links| links.has_unmet)
    }

    /// Whether there are such runs.
    pub fn set_unmet_children(&mut self, has_unmet: bool) {
        if has_unmet || self.has_unmet_children() {
            self.cold().links.get_or_insert_default().has_unmet = has_unmet;
        }
    }

    /// Whether a rule has to go on with its children.
    pub fn has_more_children(&self) -> bool {
        self.links().is_some_and(|links| links.has_more)
    }

    /// It has ended like this, and a rule has to go on with its children before it is removed.
    pub fn finish_with_children(&mut self, end: RunEnd, now: DateTime<Utc>, kept_until: DateTime<Utc>) {
        self.finish(end, now, kept_until);
        self.set_more_children(true);
    }

    /// Whether there are more children than one step touches.
    pub fn set_more_children(&mut self, has_more: bool) {
        self.edit_links(|links| links.has_more = has_more);
    }
}
