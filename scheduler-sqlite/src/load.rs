//! What was written, read back.

use std::sync::Arc;

use rusqlite::{Connection, Row};
use scheduler_core::calendar::Calendar;
use scheduler_core::run::{BatchCounts, GateId, RateState};
use scheduler_core::store::journal::{CountRow, GateState, Naming};
use scheduler_core::store::rows::Pauses;
use scheduler_core::store::view::{read_firing, record};
use scheduler_core::store::{CountStep, LimitOverride, Mark, MemoryJobStore, MemoryRows};
use scheduler_core::{Error, Result};
use serde::de::DeserializeOwned;

use crate::failure::failure;

/// Reads tables of one file.
struct Reader<'a> {
    connection: &'a Connection,
    place: &'a str,
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Reader<'_> {
    /// Gives each row to `take`. A row that cannot be read is left in the file and told of.
    fn each(
        &self,
        what: &str,
        sql: &str,
        mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<Result<(), String>>,
    ) -> Result<()> {
        let failed = |error| failure(self.place, error);
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if let Err(reason) = take(row).map_err(failed)? {
                tracing::error!(
                    place = self.place,
                    "a {what} in `{}` cannot be read and stays there without effect: {reason}",
                    self.place
                );
            }
        }
        Ok(())
    }

    fn rows(&self, table: &mut MemoryRows) -> Result<()> {
        let mut names = Naming::of(table);
        self.each("job", "SELECT record FROM job", |row| {
            Ok(record::read_job(row.get_ref(0)?.as_blob()?).map(|job| names.table.restore_job(job)))
        })?;
        self.each("trigger", "SELECT record FROM trigger", |row| {
            let found = record::read_trigger(row.get_ref(0)?.as_blob()?, &mut names, &mut ());
            Ok(found.and_then(|trigger| match names.table.restore_trigger(trigger) {
                true => Ok(()),
                false => Err("its job is not stored".to_owned()),
            }))
        })?;
        self.each("run", "SELECT record FROM run", |row| {
            let found = record::read_run(row.get_ref(0)?.as_blob()?, &mut names);
            Ok(found.map(|run| names.table.restore_run(run)))
        })?;
        self.each("claim", "SELECT id, record FROM claim ORDER BY id", |row| {
            let number = row.get::<_, i64>(0)?.cast_unsigned();
            let found = record::read_claim(row.get_ref(1)?.as_blob()?, &mut names);
            Ok(found.map(|claim| names.table.restore_claim(number, claim)))
        })
    }

    fn limits(&self, table: &mut MemoryRows) -> Result<()> {
        self.each("limit", "SELECT id, idle_at, shut, record FROM gate", |row| {
            let (id, idle_at, shut) = (GateId::read(row.get_ref(0)?.as_str()?), row.get(1)?, row.get(2)?);
            let rate = json::<RateState>(row.get_ref(3)?.as_str()?);
            Ok(rate.map(|rate| table.restore_gate(id, GateState { rate, shut, idle_at })))
        })?;
        self.each("cap of a limit", "SELECT id, record FROM cap", |row| {
            let id = GateId::read(row.get_ref(0)?.as_str()?);
            Ok(json::<LimitOverride>(row.get_ref(1)?.as_str()?).map(|cap| table.restore_cap(id, cap)))
        })
    }

    /// A calendar that cannot be read would let its triggers fire when they must not.
    fn calendars(&self, table: &mut MemoryRows) -> Result<()> {
        let mut unreadable = None;
        self.each("calendar", "SELECT name, record FROM calendar", |row| {
            let name: Arc<str> = row.get_ref(0)?.as_str()?.into();
            match json::<Box<dyn Calendar>>(row.get_ref(1)?.as_str()?) {
                Ok(calendar) => table.restore_calendar(name, calendar.into()),
                Err(reason) => unreadable = Some((name, reason)),
            }
            Ok(Ok(()))
        })?;
        unreadable.map_or(Ok(()), |(name, reason)| {
            Err(Error::config(format!(
                "the calendar `{name}` in `{}` cannot be read: {reason}; its type has to be part of this program",
                self.place
            )))
        })
    }

    fn others(&self, table: &mut MemoryRows) -> Result<()> {
        self.each("batch", "SELECT id, rings, record FROM batch", |row| {
            let id = row.get_ref(0)?.as_str()?.parse().map_err(|error| format!("{error}"));
            let (rings, counts) = (row.get(1)?, json::<BatchCounts>(row.get_ref(2)?.as_str()?));
            Ok(id.and_then(|id| counts.map(|counts| table.restore_batch(id, counts, rings))))
        })?;
        self.each("note", "SELECT name, record, revision FROM mark", |row| {
            let (text, revision) = (row.get_ref(1)?.as_str()?.into(), row.get::<_, i64>(2)?.cast_unsigned());
            table.restore_mark(row.get_ref(0)?.as_str()?.into(), Mark { text, revision });
            Ok(Ok(()))
        })?;
        self.each("counter", "SELECT step, start, record FROM count", |row| {
            let (word, start) = (row.get_ref(0)?.as_str()?, row.get(1)?);
            let step = CountStep::ALL.into_iter().find(|step| step.word() == word);
            let rows = json::<Vec<CountRow>>(row.get_ref(2)?.as_str()?);
            let step = step.ok_or_else(|| format!("`{word}` is no span of time"));
            Ok(step.and_then(|step| rows.map(|rows| table.restore_counts(step, start, rows))))
        })?;
        self.each("list of pauses", "SELECT value FROM meta WHERE name = 'pauses'", |row| {
            Ok(json::<Pauses>(row.get_ref(0)?.as_str()?).map(|pauses| table.restore_pauses(pauses)))
        })?;
        self.each("number", "SELECT value FROM meta WHERE name = 'counter'", |row| {
            table.restore_counter(row.get::<_, i64>(0)?.cast_unsigned());
            Ok(Ok(()))
        })?;
        self.each("firing record", "SELECT number, record FROM firing ORDER BY number", |row| {
            let number = row.get::<_, i64>(0)?.cast_unsigned();
            let found = read_firing(number, row.get_ref(1)?.as_blob()?);
            Ok(found.map(|record| table.restore_firing(record)))
        })
    }
}

/// Everything that is stored, in place of what the store in memory has.
pub(crate) fn load(
    connection: &Connection,
    memory: &MemoryJobStore,
    (place, keeps): (&str, usize),
) -> Result<()> {
    let reader = Reader { connection, place };
    let mut table = MemoryRows::keeping_history(keeps);
    reader.calendars(&mut table)?;
    reader.rows(&mut table)?;
    reader.limits(&mut table)?;
    reader.others(&mut table)?;
    table.keep_journal();
    memory.replace_rows(table);
    Ok(())
}
