//! Counters of attempts that have ended: one hash for each bucket. Redis removes a bucket that is not kept any longer.
//!
//! The name of a field begins with its kind: `n` for the number of attempts, `d` and two digits for those at a bound of durations, `l` for the end
//! of the latest one. The kind of attempts follows, as JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use redis::Value;
use scheduler_core::Result;
use scheduler_core::store::{CountBucket, CountKey, CountQuery, CountStep, EndCount};

use crate::ops::{Words, text};
use crate::script::{self, bytes, list, number};
use crate::shared::Shared;

/// A call adds to so many counters at most, in each of the buckets.
const PART: usize = 100;

fn name(step: CountStep, start: i64) -> String {
    format!("cnt:{}:{start}", step.word())
}

/// The fields of a counter with their numbers.
fn fields(ends: &EndCount) -> Result<Vec<(String, u64)>> {
    let key = serde_json::to_string(&ends.key).map_err(|error| {
        let what = "what was counted cannot be written";
        scheduler_core::Error::config(what).caused_by(error)
    })?;
    let latest = u64::try_from(ends.latest.timestamp_millis()).unwrap_or_default();
    let mut fields = vec![(format!("n{key}"), ends.count), (format!("l{key}"), latest)];
    let durations = ends.durations.counts().iter().enumerate().filter(|(_, many)| **many > 0);
    fields.extend(durations.map(|(place, many)| (format!("d{place:02}{key}"), *many)));
    Ok(fields)
}

/// The counters of a bucket. What cannot be read is left out.
fn read(values: Value) -> BTreeMap<CountKey, EndCount> {
    let mut found = BTreeMap::new();
    for pair in list(Some(values)).chunks_exact(2) {
        let field = bytes(&pair[0]).and_then(|field| std::str::from_utf8(field).ok());
        let (Some(field), Some(many)) = (field, number(pair.get(1))) else { continue };
        let Some(at) = field.find('{') else { continue };
        let (kind, key) = field.split_at(at);
        let Ok(key) = serde_json::from_str::<CountKey>(key) else { continue };
        let ends = found
            .entry(key)
            .or_insert_with_key(|key| EndCount::new(key.clone(), DateTime::<Utc>::UNIX_EPOCH));
        match kind.split_at_checked(1) {
            Some(("n", "")) => ends.count = many,
            Some(("l", "")) => {
                let millis = i64::try_from(many).unwrap_or_default();
                ends.latest = DateTime::from_timestamp_millis(millis).unwrap_or_default();
            }
            Some(("d", place)) => ends.durations.add(place.parse().unwrap_or(usize::MAX), many),
            _ => {}
        }
    }
    found.retain(|_, ends| ends.count > 0);
    found
}

impl Shared {
    pub(crate) async fn add_counts(&self, counts: &[EndCount], now: DateTime<Utc>) -> Result<()> {
        for part in counts.chunks(PART) {
            let mut added: Words = Vec::new();
            for ends in part {
                added.extend(
                    fields(ends)?.into_iter().flat_map(|(field, many)| [text(field), text(many.to_string())]),
                );
            }
            let mut words = vec![text("count")];
            for step in CountStep::ALL {
                let start = step.start(now);
                let kept = start + step.kept_seconds() - now.timestamp();
                words.push(text(format!("{}:{start}", step.word())));
                words.push(text(kept.to_string()));
                words.push(text((added.len() / 2).to_string()));
                words.extend_from_slice(&added);
            }
            self.evaluate(&self.slow, &script::COUNTS, "count", &words).await?;
        }
        Ok(())
    }

    pub(crate) async fn find_counts(
        &self,
        query: &CountQuery,
        now: DateTime<Utc>,
    ) -> Result<Vec<CountBucket>> {
        let Some((first, last)) = query.starts(now) else { return Ok(Vec::new()) };
        let step = usize::try_from(query.step.seconds()).unwrap_or(1);
        let starts: Vec<_> = (first..=last).step_by(step).collect();
        let commands =
            starts.iter().map(|start| self.command("HGETALL", &name(query.step, *start))).collect();
        let found = starts.into_iter().zip(self.ask_all(commands).await?);
        let meant = found.flat_map(|(start, values)| {
            let ends = read(values).into_values().filter(|ends| query.matches(&ends.key));
            ends.map(move |ends| CountBucket::new(start, ends)).collect::<Vec<_>>()
        });
        Ok(meant.collect())
    }
}
