//! The counters of batches: read, compared, added to.
//!
//! They stand beside the row of the batch, and the server adds to them. So commits of many nodes do not refuse each other. A batch of which
//! nothing is pending rings: an entry of its own among the alarms says so until a rule has looked.

use std::collections::BTreeSet;

use redis::Value;
use scheduler_core::Result;
use scheduler_core::run::{BatchCounts, RunId};
use scheduler_core::store::rows::RunRow;
use scheduler_core::store::view::View;

use crate::codec;
use crate::commit::{Checked, Commit};
use crate::load::Loader;
use crate::names::Names;
use crate::ops::{Step, text};
use crate::script::{list, word};

/// The place of the number of pending runs among the counters.
const PENDING: usize = 1;

/// The key of the counters of a batch.
pub(crate) fn counters(batch: RunId) -> String {
    format!("bc:{}", codec::run(batch))
}

impl Loader<'_> {
    pub(crate) async fn counts(&mut self, batches: BTreeSet<RunId>) -> Result<()> {
        let command =
            |batch: &RunId| self.get("HMGET", &counters(*batch)).arg(&BatchCounts::NAMES).to_owned();
        let answers = self.shared.ask_all(batches.iter().map(command).collect()).await?;
        for (batch, answer) in batches.into_iter().zip(answers) {
            let found = list(Some(answer));
            // Each stored batch has a total. Of one without it nothing is known, so something may be pending until an audit.
            let has_total = !matches!(found.first(), Some(Value::Nil) | None);
            let is_unknown = !has_total && {
                let mut stored = self.get("HGET", "runs");
                !matches!(self.shared.ask(stored.arg(codec::run(batch))).await?, Value::Nil)
            };
            let number = |place| match found.get(place) {
                Some(Value::Nil) | None => i64::from(is_unknown && place == PENDING),
                written => word(written).parse().unwrap_or(i64::from(place == PENDING)),
            };
            self.view.load_counts(batch, BatchCounts::of(std::array::from_fn(number)));
        }
        Ok(())
    }
}

impl Commit {
    /// Adds to the counters of batches, and compares those that the rule has read.
    pub(crate) fn batches(&mut self, view: &View<Names>, names: &Names) {
        for change in view.runs().changes() {
            let is_batch = |row: Option<&RunRow>| row.is_some_and(RunRow::is_batch);
            let batch = names.run_id(change.id);
            match (is_batch(change.before), is_batch(change.after)) {
                (false, true) => self.ops.add(Step::HSet, counters(batch), [text("total"), text("0")]),
                (true, false) => {
                    self.ops.add(Step::HDel, counters(batch), BatchCounts::NAMES.map(text));
                    self.ops.add(Step::ZRem, "alarms", [text(codec::ring(batch))]);
                }
                _ => {}
            }
        }
        for batch in view.heard_batches() {
            self.ops.add(Step::ZRem, "alarms", [text(codec::ring(*batch))]);
        }
        for (batch, change) in view.tallies() {
            let counters_of = BatchCounts::NAMES.into_iter().zip(change.numbers());
            let changed = counters_of.filter(|(_, by)| *by != 0);
            let words: Vec<_> = changed.flat_map(|(name, by)| [text(name), text(by.to_string())]).collect();
            self.ops.add(Step::Tally, counters(*batch), words);
        }
    }

    /// Counters that a rule has gone by: all of them if nothing is pending, otherwise that something is.
    pub(crate) fn check_counts(&mut self, view: &View<Names>) {
        for (batch, counts) in view.read_counts() {
            let words = match counts {
                Some(counts) => counts.numbers().map(|number| text(number.to_string())).to_vec(),
                None => vec![text("")],
            };
            self.add_check("counts", &counters(batch), words, vec![Checked::Other]);
        }
    }
}
