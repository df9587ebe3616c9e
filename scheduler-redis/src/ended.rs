//! Runs that have ended: the latest of them, and the oldest of which there are too many.

use redis::Value;
use scheduler_core::Result;
use scheduler_core::run::RunEnd;
use scheduler_core::store::rows::{Id, Rank, RunRow};
use scheduler_core::store::view::Names as _;

use crate::codec;
use crate::commit::{Ops, Step, known, operation, text};
use crate::commit_runs::ended;
use crate::load::Loader;
use crate::script::{bytes, list, number, word, words};
use crate::shared::Shared;

/// The largest number of runs of one end that one step removes.
const PART: u64 = 100;

impl Loader<'_> {
    /// The oldest ended runs of which there are more than are kept.
    pub(crate) async fn excess(&mut self) -> Result<Vec<Id<RunRow>>> {
        let most = self.shared.settings.retention.most() as u64;
        let mut runs = Vec::new();
        for end in RunEnd::ALL {
            let mut oldest = self.shared.command("ZRANGE", &ended(end));
            oldest.arg(0).arg(PART - 1);
            let count = self.shared.command("ZCARD", &ended(end));
            // They are counted after they were read: what another node removes in between makes the excess smaller.
            let mut answers = self.shared.ask_all(vec![oldest, count]).await?.into_iter();
            let mut names = words(answers.next());
            let excess = number(answers.next().as_ref()).unwrap_or_default().saturating_sub(most);
            names.truncate(usize::try_from(excess).unwrap_or(usize::MAX));
            self.drop_nameless(end, &mut names).await?;
            runs.extend(
                names.iter().filter_map(|name| codec::read_run(name)).map(|run| self.view.names().run(run)),
            );
        }
        Ok(runs)
    }

    /// Entries whose records somebody has destroyed leave the order, so that they do not keep others in it.
    async fn drop_nameless(&self, end: RunEnd, names: &mut Vec<String>) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let records = list(Some(self.shared.ask(self.shared.command("HMGET", "runs").arg(&*names)).await?));
        let gone: Vec<_> = names.iter().zip(&records).filter(|(_, record)| bytes(record).is_none()).collect();
        for (name, _) in &gone {
            let mut body = operation("is", "runs", &[text(*name), known(0)]);
            let mut ops = Ops::default();
            ops.add(Step::ZRem, ended(end), [text(*name)]);
            body.extend(ops.words());
            self.shared.commit_plain("tidy", body).await?;
        }
        let gone: Vec<_> = gone.into_iter().map(|(name, _)| name.clone()).collect();
        names.retain(|name| !gone.contains(name));
        Ok(())
    }
}

impl Shared {
    /// The latest runs that have ended like these, behind that of this rank, at most so many.
    pub(crate) async fn latest(
        &self,
        ends: &[RunEnd],
        behind: Option<Rank>,
        most: usize,
    ) -> Result<Vec<Rank>> {
        let mut found = Vec::new();
        for end in ends {
            found.extend(self.latest_of(*end, behind, most).await?);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(most);
        Ok(found)
    }

    async fn latest_of(&self, end: RunEnd, behind: Option<Rank>, most: usize) -> Result<Vec<Rank>> {
        let first = behind.map_or_else(|| "+inf".to_owned(), |rank| rank.number.to_string());
        let (mut found, mut offset) = (Vec::new(), 0);
        loop {
            // Those that have the number of the cursor and stand before it are passed over.
            let part = most - found.len() + usize::from(behind.is_some());
            let mut command = self.command("ZREVRANGEBYSCORE", &ended(end));
            command.arg(&first).arg("-inf").arg("WITHSCORES").arg("LIMIT").arg(offset).arg(part);
            let pairs = pairs(self.ask(&command).await?);
            offset += pairs.len();
            let ranks = pairs.iter().filter_map(|(name, score)| {
                Some(Rank { number: (*score)? as u64, run: codec::read_run(name)? })
            });
            found.extend(ranks.filter(|rank| behind.is_none_or(|behind| *rank < behind)));
            if pairs.len() < part || found.len() >= most {
                return Ok(found);
            }
        }
    }
}

/// Members with their scores. The third version of the protocol answers pairs, the second one a flat list.
fn pairs(answer: Value) -> Vec<(String, Option<f64>)> {
    let pair = |pair: &[Value]| (word(pair.first()), pair.get(1).and_then(score));
    let all = list(Some(answer));
    if all.iter().all(|pair| matches!(pair, Value::Array(_))) {
        return all.into_iter().map(|of| pair(&list(Some(of)))).collect();
    }
    all.chunks_exact(2).map(pair).collect()
}

fn score(value: &Value) -> Option<f64> {
    match value {
        Value::Double(score) => Some(*score),
        other => word(Some(other)).parse().ok(),
    }
}
