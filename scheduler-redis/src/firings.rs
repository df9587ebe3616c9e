//! Firing records: how they are written, and pages of them.

use scheduler_core::run::RunId;
use scheduler_core::store::view::{firing, read_firing};
use scheduler_core::store::{FiringCursor, FiringOutcome, FiringQuery, FiringRecord, Page};
use scheduler_core::{JobKey, Key, Result, TriggerKey};

use crate::codec;
use crate::ops::{Words, text};
use crate::script::{self, bytes, word};
use crate::shared::Shared;

/// So many records are read at once.
const ROWS: usize = 100;

/// A page reads so many times.
const READS: usize = 8;

/// In place of the name of a list.
const NONE: u8 = b'~';

/// The digits of the hash of a job or a trigger.
const OF_KEY: usize = 11;

/// The digits of a run. So runs share 4,096 lists: most runs have one record, for which a list of its own would cost more than the record.
const OF_RUN: usize = 2;

/// What begins the records: the names of the lists of its outcome, job, trigger and run (see `commit.lua`).
const HEAD: usize = 1 + 2 * OF_KEY + OF_RUN;

fn digits<const MANY: usize>(number: u64) -> [u8; MANY] {
    let mut digits = codec::digits(number.into(), MANY as u32);
    std::array::from_fn(|_| digits.next().unwrap_or(NONE))
}

/// By FNV-1a, which is the same in every program.
fn of_key(key: &impl Key) -> [u8; OF_KEY] {
    let hash = codec::key(key).bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    digits(hash)
}

fn of_outcome(outcome: FiringOutcome) -> u8 {
    b'0' + outcome as u8
}

fn of_run(run: RunId) -> [u8; OF_RUN] {
    // Runs of one sender have numbers that follow each other.
    digits(run.count() ^ run.sender())
}

/// A record as the server has it.
pub(crate) fn write(record: &FiringRecord) -> Vec<u8> {
    let mut whole = Vec::with_capacity(256);
    whole.push(of_outcome(record.outcome));
    whole.extend(of_key(&record.job));
    whole.extend(record.trigger.as_ref().map_or([NONE; OF_KEY], of_key));
    whole.extend(record.run.map_or([NONE; OF_RUN], of_run));
    whole.extend(firing(record));
    whole
}

/// The lists in which all that a query means is found, in groups.
fn groups(query: &FiringQuery) -> Words {
    let named = |kind: &str, name: &[u8]| [kind.as_bytes(), name].concat();
    let mut words = Words::new();
    let job = query.job.as_ref().map(|job: &JobKey| named("j", &of_key(job)));
    let trigger = query.trigger.as_ref().map(|trigger: &TriggerKey| named("t", &of_key(trigger)));
    let run = query.run.map(|run| named("r", &of_run(run)));
    for list in [job, trigger, run].into_iter().flatten() {
        words.extend([text("1"), list]);
    }
    let outcomes = FiringOutcome::ALL.into_iter().filter(|outcome| query.outcomes.contains(outcome));
    let outcomes: Words = outcomes.map(|outcome| named("o", &[of_outcome(outcome)])).collect();
    if !outcomes.is_empty() {
        words.push(text(outcomes.len().to_string()));
        words.extend(outcomes);
    }
    words
}

impl Shared {
    pub(crate) async fn page_of_firings(
        &self,
        query: &FiringQuery,
    ) -> Result<Page<FiringRecord, FiringCursor>> {
        let (mut items, mut looked_at, limit) = (Vec::new(), 0, query.page_size());
        if limit == 0 {
            return Ok(Page::empty());
        }
        let (groups, mut after) = (groups(query), query.after);
        for _ in 0..READS {
            let (records, next) = self.read_firings(after, &groups).await?;
            looked_at += records.len();
            items.extend(records.into_iter().filter(|record| query.matches(record)));
            if items.len() > limit || (items.len() == limit && next.is_some()) {
                items.truncate(limit);
                let next = items.last().map(|record: &FiringRecord| FiringCursor(record.number));
                return Ok(Page::new(items, next, looked_at));
            }
            let Some(next) = next else { return Ok(Page::new(items, None, looked_at)) };
            after = Some(next);
        }
        Ok(match after {
            Some(next) => Page::unfinished(items, next, looked_at),
            None => Page::new(items, None, looked_at),
        })
    }

    /// The next records that can be read, and where the list goes on.
    async fn read_firings(
        &self,
        after: Option<FiringCursor>,
        groups: &Words,
    ) -> Result<(Vec<FiringRecord>, Option<FiringCursor>)> {
        let before = after.map(|after| after.0.to_string()).unwrap_or_default();
        let mut words = vec![text("firings"), text(before), text(ROWS.to_string())];
        words.extend_from_slice(groups);
        let asked = async || self.evaluate(&self.hot, &script::FIRINGS, "firings", &words).await;
        let answer = match asked().await {
            // It changes nothing, so it is asked again. What was of the wrong kind is out of the way by then.
            Err(error) if error.is_transient() => asked().await?,
            answer => answer?,
        };
        let next = script::number(answer.get(1)).map(FiringCursor);
        let mut records = Vec::with_capacity(ROWS);
        for pair in answer.get(2..).unwrap_or_default().chunks_exact(2) {
            let number = script::number(pair.first()).unwrap_or_default();
            let record = bytes(&pair[1]).and_then(|whole| whole.get(HEAD..)).unwrap_or_default();
            match read_firing(number, record) {
                Ok(record) => records.push(record),
                Err(reason) => tracing::error!(
                    number,
                    "the firing record {number} cannot be read and is left out of the list: {reason}; upgrade this program if a newer \
                     version wrote the record (it is `{}` in Redis)",
                    codec::shown(&word(pair.get(1)))
                ),
            }
        }
        Ok((records, next))
    }
}
