//! The counters of batches, counted anew from the records of their runs.
//!
//! Runs that have succeeded have no record, and ended runs are removed some day. So exactly one counter follows from records: how many runs
//! are pending. Each of the others is at least what the records say, and all of them together are the total.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use redis::Value;
use scheduler_core::Result;
use scheduler_core::run::{BatchCounts, RunEnd, RunId};

use super::Audit;
use super::named::Named;
use super::question::Question;
use crate::batches::counters;
use crate::commit::{Step, text};
use crate::script::{list, word};

/// What the records of the runs of a batch say.
#[derive(Default)]
struct Counted {
    pending: i64,
    ended: BatchCounts,
}

impl Counted {
    fn add(&mut self, end: Option<RunEnd>) {
        match end {
            None => self.pending += 1,
            Some(RunEnd::Succeeded) => self.ended.succeeded += 1,
            Some(RunEnd::Discarded) => self.ended.discarded += 1,
            Some(RunEnd::Dead | RunEnd::Incomplete) => self.ended.dead += 1,
            Some(RunEnd::Expired) => self.ended.expired += 1,
            Some(_) => self.ended.cancelled += 1,
        }
    }

    /// The counters as they have to be, if these were found.
    fn mended(&self, found: BatchCounts) -> BatchCounts {
        let (found, ended) = (found.numbers(), self.ended.numbers());
        let mut numbers: [i64; 8] = std::array::from_fn(|place| found[place].max(ended[place]));
        numbers[1] = self.pending;
        numbers[0] = numbers[1..].iter().sum();
        BatchCounts::of(numbers)
    }
}

impl Audit<'_> {
    /// The counters of each batch. A batch whose counters change while its runs are counted is left to the next audit.
    pub(super) async fn batches(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.batches);
        if batches.is_empty() {
            return Ok(());
        }
        let mut found = BTreeMap::new();
        for batch in batches {
            let answer = self.ask("HMGET", &counters(batch), &BatchCounts::NAMES).await?;
            let text_of = |field: &Value| (!matches!(field, Value::Nil)).then(|| word(Some(field)));
            found.insert(batch, list(Some(answer)).iter().map(text_of).collect::<Vec<_>>());
        }
        let counted = self.count_members(&found.keys().copied().collect()).await?;
        let mut questions = Vec::new();
        for (batch, words) in found {
            let number = |place: usize| words.get(place)?.as_deref()?.parse::<i64>().ok();
            let counts = BatchCounts::of(std::array::from_fn(|place| number(place).unwrap_or_default()));
            let mended =
                counted.get(&batch).map_or_else(|| Counted::default().mended(counts), |of| of.mended(counts));
            // A batch begins with a total of zero, and without the others.
            let differs = |place: &usize| match words.get(*place) {
                Some(None) if *place > 0 => mended.numbers()[*place] != 0,
                _ => number(*place) != Some(mended.numbers()[*place]),
            };
            let shown = |place| {
                let found = words.get(place).and_then(Option::as_deref).unwrap_or("nothing");
                format!("`{}` is {found} and not {}", BatchCounts::NAMES[place], mended.numbers()[place])
            };
            let faults: Vec<_> = (0..8).filter(differs).map(shown).collect();
            if faults.is_empty() {
                continue;
            }
            let fault = format!("its counters do not fit its runs: {}", faults.join(", "));
            let values = || BatchCounts::NAMES.into_iter().zip(mended.numbers());
            let fields = values().flat_map(|(name, number)| [text(name), text(number.to_string())]).collect();
            // As long as they are what they were: otherwise a run was added or has ended meanwhile.
            let seen = words.iter().map(|word| text(word.as_deref().unwrap_or("0"))).collect();
            let key = counters(batch);
            let question = Question {
                kind: "batch",
                key: crate::codec::run(batch),
                guard: Some(("counts", key.clone(), seen)),
                checks: Vec::new(),
            };
            // A batch of which nothing is pending rings.
            let mends = vec![(Step::HSet, key.clone(), fields), (Step::Tally, key, Vec::new())];
            questions.push(question.certain(&fault, mends));
        }
        self.settle(questions).await
    }

    /// Counts the runs of these batches, a page of records at a time.
    async fn count_members(&self, batches: &BTreeSet<RunId>) -> Result<BTreeMap<RunId, Counted>> {
        let (mut counted, mut cursor) = (BTreeMap::<RunId, Counted>::new(), Some("0".to_owned()));
        // The server may show a record twice.
        let mut seen = HashSet::new();
        while let Some(at) = cursor {
            let (page, next) = self.scan("runs", &at).await?;
            for (name, whole) in page {
                let (_, row) = self.read(Named::Run, &name, Some(&whole));
                let Some(run) = row.as_ref().and_then(|row| row.run()) else { continue };
                if let Some(batch) =
                    run.member_of().filter(|batch| batches.contains(batch) && seen.insert(run.id))
                {
                    counted.entry(batch).or_default().add(run.end());
                }
            }
            cursor = next;
        }
        Ok(counted)
    }
}
