//! The status of limits: their holders, the runs that wait, and the caps that somebody has set.

use chrono::{DateTime, Utc};
use redis::Value;
use scheduler_core::run::{GateId, RateState, RunId, WhenFull};
use scheduler_core::store::view::{View, record};
use scheduler_core::store::{
    AcquireDue, FullLimit, GateUse, LimitOverride, LimitQuery, LimitStatus, Page, rules,
};
use scheduler_core::{JobKey, Result};

use crate::codec;
use crate::commit::text;
use crate::load::parts;
use crate::names::Names;
use crate::run::{Mode, each};
use crate::script::{self, bytes, list, number, word};
use crate::shared::Shared;

/// So many words the script says of a gate.
const WORDS: usize = 9;

/// A cap as it is stored: the script reads the number, and programs what follows.
pub(crate) fn write(cap: &LimitOverride) -> Result<String> {
    Ok(format!("{} {}", cap.cap, codec::encode(cap)?))
}

fn read(limit: &GateId, words: &str) -> Option<LimitOverride> {
    let (_, record) = words.split_once(' ')?;
    codec::decode("cap of a limit", &limit.to_string(), record)
        .inspect_err(|error| tracing::error!(%limit, %error, "the cap that was set for limit `{limit}` cannot be read: {error}; set it again"))
        .ok()
}

/// Reads the state of a gate, and whether the gate is in use.
fn read_use(words: &[Value], now: DateTime<Utc>) -> (GateUse, bool) {
    let mut of = GateUse::new(GateId::read(&word(words.first())));
    of.used = number(words.get(1)).unwrap_or_default();
    of.waiting = number(words.get(2)).unwrap_or_default();
    of.first = codec::read_run(&word(words.get(3)));
    let time = |place| {
        let time = word(words.get(place)).parse().ok().and_then(DateTime::from_timestamp_millis);
        time.filter(|time| *time > now)
    };
    (of.opens, of.shut) = (time(4), time(5));
    of.rate = RateState::read(&word(words.get(6)));
    let own = read(&of.id, &word(words.get(7)));
    let is_in_use = of.used > 0 || of.waiting > 0 || of.shut.is_some() || own.is_some();
    of.overridden = own.or_else(|| read(&of.id, &word(words.get(8))));
    (of, is_in_use)
}

impl Shared {
    /// Runs that have found a limit full, as the script says. Those that are not to wait for that have ended then, and are returned, too.
    pub(crate) async fn meet_full_limits(
        &self,
        request: &AcquireDue,
        found: &[Value],
    ) -> Result<(Vec<FullLimit>, Vec<(RunId, JobKey)>)> {
        let (mut limited, mut unwilling) = (Vec::with_capacity(found.len()), Vec::new());
        let mut names = Names::new(self.numbers.clone(), request.now);
        for words in found {
            let words = list(Some(words.clone()));
            let record = words.get(1).and_then(bytes).and_then(parts);
            // One that cannot be read is told when it is taken.
            let Some(Ok(row)) = record.map(|(_, text)| record::read_run(text, &mut names)) else { continue };
            let mut full = FullLimit::new(row.id, row.job.clone(), GateId::read(&word(words.get(2))));
            let gate = row.gates().iter().find(|gate| gate.id == full.limit).map(|gate| gate.when_full);
            if gate.is_some_and(|when_full| when_full != WhenFull::Wait) {
                let waiting = list(words.get(3).cloned());
                full.waiting = waiting.iter().filter_map(|name| codec::read_run(&word(Some(name)))).collect();
                unwilling.push(full.clone());
            }
            limited.push(full);
        }
        if unwilling.is_empty() {
            return Ok((limited, Vec::new()));
        }
        let AcquireDue { session, now, .. } = *request;
        let rule = |view: &mut View<Names>| {
            each(view, &unwilling, |view, full| rules::meet_full_limit(view, &full, session, now))
        };
        let ended = self.run("full", Mode::Chore, self.view(), rule).await?.answer;
        Ok((limited, ended.into_iter().flatten().collect()))
    }

    pub(crate) async fn page_of_limits(
        &self,
        query: &LimitQuery,
        now: DateTime<Utc>,
    ) -> Result<Page<LimitStatus, GateId>> {
        if query.page_size() == 0 {
            return Ok(Page::empty());
        }
        let after = query.after.as_ref().map_or("", GateId::text);
        let mut words = vec![text("limits"), text(query.name.as_deref().unwrap_or_default()), text(after)];
        words.push(text(query.page_size().to_string()));
        words.extend(query.gates.iter().map(|gate| text(gate.text())));
        let asked = async || self.evaluate(&self.hot, &script::LIMITS, "limits", &words).await;
        let answer = match asked().await {
            // It changes nothing, so it is asked again. What was of the wrong kind is out of the way by then.
            Err(error) if error.is_transient() => asked().await?,
            answer => answer?,
        };
        let onward = word(answer.first());
        let found = answer.get(1..).unwrap_or_default().chunks_exact(WORDS);
        let looked_at = found.len();
        let is_meant = |(of, is_in_use)| (is_in_use || !query.gates.is_empty()).then_some(of);
        let uses: Vec<_> = found.filter_map(|words| is_meant(read_use(words, now))).collect();
        let limits = self.look(|view| rules::limits(view, &uses, now)).await?;
        let next = (!onward.is_empty()).then(|| GateId::read(&onward));
        Ok(Page::new(limits, next, looked_at))
    }
}
