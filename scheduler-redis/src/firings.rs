//! Firing records: written in chunks, and listed page by page.

use scheduler_core::run::RunId;
use scheduler_core::store::view::{firing, read_firing};
use scheduler_core::store::{FiringCursor, FiringOutcome, FiringQuery, FiringRecord, Page};
use scheduler_core::{Key, Result};

use crate::codec;
use crate::ops::{Words, text};
use crate::script::{self, bytes, word};
use crate::shared::Shared;

/// So many records are read at once.
const ROWS: usize = 100;

/// A page reads so many times.
const READS: usize = 8;

/// The hash of a job, a trigger or a run in an entry; zeros if there is none.
type Mark = [u8; 4];

/// By FNV-1a, which is the same in every program.
fn of_key(key: &impl Key) -> Mark {
    codec::key(key)
        .bytes()
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
        .to_be_bytes()
}

fn of_run(run: RunId) -> Mark {
    // Runs of one sender have numbers that follow each other.
    ((run.count() ^ run.sender()) as u32).to_be_bytes()
}

fn of_outcome(outcome: FiringOutcome) -> u8 {
    b'0' + outcome as u8
}

/// The entry of a record in its chunk, by which a query finds the record (see `common.lua`).
fn entry(record: &FiringRecord, bytes: usize) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[0] = of_outcome(record.outcome);
    entry[1..5].copy_from_slice(&of_key(&record.job));
    entry[5..9].copy_from_slice(&record.trigger.as_ref().map_or(Mark::default(), of_key));
    entry[9..13].copy_from_slice(&record.run.map_or(Mark::default(), of_run));
    entry[13..].copy_from_slice(&(bytes as u32).to_be_bytes()[1..]);
    entry
}

/// Records as the server keeps them: all entries, and all records one after the other.
pub(crate) fn write(records: &[FiringRecord]) -> [Vec<u8>; 2] {
    let (mut entries, mut whole) =
        (Vec::with_capacity(16 * records.len()), Vec::with_capacity(128 * records.len()));
    for record in records {
        let place = whole.len();
        firing(record, &mut whole);
        entries.extend(entry(record, whole.len() - place));
    }
    [entries, whole]
}

fn read(number: u64, known: &[u8], bytes: &[u8]) -> std::result::Result<FiringRecord, String> {
    let record = read_firing(number, bytes)?;
    let is_of_entry = entry(&record, bytes.len()) == known;
    is_of_entry.then_some(record).ok_or_else(|| "its place in the chunk is wrong".to_owned())
}

/// The marks that the entry of a wanted record must have.
fn marks(query: &FiringQuery) -> Words {
    let mark = |mark: Option<Mark>| mark.map(Vec::from).unwrap_or_default();
    let outcomes = FiringOutcome::ALL.into_iter().filter(|outcome| query.outcomes.contains(outcome));
    vec![
        mark(query.job.as_ref().map(of_key)),
        mark(query.trigger.as_ref().map(of_key)),
        mark(query.run.map(of_run)),
        outcomes.map(of_outcome).collect(),
    ]
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
        let (marks, mut after) = (marks(query), query.after);
        for _ in 0..READS {
            let (records, next) = self.read_firings(after, &marks).await?;
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
        marks: &Words,
    ) -> Result<(Vec<FiringRecord>, Option<FiringCursor>)> {
        let before = after.map(|after| after.0.to_string()).unwrap_or_default();
        let mut words = vec![text("firings"), text(before), text(ROWS.to_string())];
        words.extend_from_slice(marks);
        let asked = async || self.evaluate(&self.hot, &script::FIRINGS, "firings", &words).await;
        let answer = match asked().await {
            // It changes nothing, so it is asked again. What was of the wrong kind is out of the way by then.
            Err(error) if error.is_transient() => asked().await?,
            answer => answer?,
        };
        let next = script::number(answer.get(1)).map(FiringCursor);
        let mut records = Vec::with_capacity(ROWS);
        for found in answer.get(2..).unwrap_or_default().chunks_exact(3) {
            let number = script::number(found.first()).unwrap_or_default();
            let [known, record] = [&found[1], &found[2]].map(|value| bytes(value).unwrap_or_default());
            match read(number, known, record) {
                Ok(record) => records.push(record),
                Err(reason) => tracing::error!(
                    number,
                    "the firing record {number} cannot be read and is left out of the list: {reason}; upgrade this program if a newer \
                     version wrote the record (it is `{}` in Redis)",
                    codec::shown(&word(found.get(2)))
                ),
            }
        }
        Ok((records, next))
    }
}
