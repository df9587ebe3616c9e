//! What has changed, written.

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use scheduler_core::store::journal::{Entry, Journal, Stored};
use scheduler_core::store::rows::RunRow;
use scheduler_core::store::view::{firing, record};
use scheduler_core::store::{FiringRecord, MemoryRows};
use scheduler_core::{Error, Result};
use serde::Serialize;

use crate::failure::failure;

/// A time for people, in a form that sorts.
fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

fn json(value: &(impl Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::config("a record cannot be written as JSON").caused_by(error))
}

/// How a run stands, in one word.
fn state(row: &RunRow) -> String {
    row.end().map_or_else(|| row.standing.state(false).to_string(), |end| end.to_string())
}

/// One table: its name, and the columns of its key.
struct Table(&'static str, &'static [&'static str]);

impl Table {
    fn put(&self, connection: &Connection, values: Vec<Value>) -> rusqlite::Result<()> {
        let places = vec!["?"; values.len()].join(",");
        let sql = format!("INSERT OR REPLACE INTO {} VALUES ({places})", self.0);
        connection.prepare_cached(&sql)?.execute(params_from_iter(values)).map(drop)
    }

    fn delete(&self, connection: &Connection, key: Vec<Value>) -> rusqlite::Result<()> {
        let wanted: Vec<_> = self.1.iter().map(|column| format!("{column} = ?")).collect();
        let sql = format!("DELETE FROM {} WHERE {}", self.0, wanted.join(" AND "));
        connection.prepare_cached(&sql)?.execute(params_from_iter(key)).map(drop)
    }
}

fn table_of(entry: &Entry) -> Table {
    match entry {
        Entry::Job(_) => Table("job", &["grp", "name"]),
        Entry::Trigger(_) => Table("trigger", &["grp", "name"]),
        Entry::Run(_) => Table("run", &["id"]),
        Entry::Claim(_) => Table("claim", &["id"]),
        Entry::Batch(_) => Table("batch", &["id"]),
        Entry::Gate(_) => Table("gate", &["id"]),
        Entry::Cap(_) => Table("cap", &["id"]),
        Entry::Calendar(_) => Table("calendar", &["name"]),
        Entry::Mark(_) => Table("mark", &["name"]),
        Entry::Pauses => Table("meta", &["name"]),
        Entry::Counts(..) => Table("count", &["step", "start"]),
    }
}

fn key_of(entry: &Entry) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.to_owned());
    match entry {
        Entry::Job(key) => vec![text(key.group()), text(key.name())],
        Entry::Trigger(key) => vec![text(key.group()), text(key.name())],
        Entry::Run(id) | Entry::Batch(id) => vec![text(&id.to_string())],
        Entry::Claim(number) => vec![Value::Integer(number.cast_signed())],
        Entry::Gate(id) | Entry::Cap(id) => vec![text(id.text())],
        Entry::Calendar(name) | Entry::Mark(name) => vec![text(name)],
        Entry::Pauses => vec![text("pauses")],
        Entry::Counts(step, start) => vec![text(step.word()), Value::Integer(*start)],
    }
}

/// The columns after the key; none if the entry is gone.
fn columns_of(rows: &MemoryRows, entry: &Entry) -> Result<Option<Vec<Value>>> {
    let text = |text: String| Value::Text(text);
    Ok(Some(match rows.stored(entry) {
        Stored::Gone => return Ok(None),
        Stored::Job(row) => {
            vec![text(row.detail.job_type().to_string()), Value::Blob(record::job(row)?)]
        }
        Stored::Trigger(row) => {
            let next = row.progress().next.map_or(Value::Null, |next| text(shown(next)));
            let state = format!("{:?}", row.state).to_lowercase();
            vec![
                text(row.trigger.job().to_string()),
                text(state),
                next,
                Value::Blob(rows.record_of_trigger(row)?),
            ]
        }
        Stored::Run(row) => vec![
            text(row.job.to_string()),
            row.queue.as_ref().map_or(Value::Null, |queue| text(queue.to_string())),
            text(state(row)),
            text(shown(row.due)),
            Value::Integer(row.attempts.into()),
            Value::Blob(record::run(row)?),
        ],
        Stored::Claim(row) => vec![
            Value::Integer(row.session.cast_signed()),
            text(row.trigger.job().to_string()),
            text(shown(row.since)),
            Value::Blob(record::claim(row)?),
        ],
        Stored::Batch(counts, rings) => vec![Value::Integer(rings.into()), text(json(&counts)?)],
        Stored::Gate(state) => {
            vec![Value::Integer(state.idle_at), Value::Integer(state.shut), text(json(&state.rate)?)]
        }
        Stored::Cap(cap) => vec![text(json(cap)?)],
        Stored::Calendar(calendar) => vec![text(json(&**calendar)?)],
        Stored::Mark(mark) => vec![text(mark.text.to_string()), Value::Integer(mark.revision.cast_signed())],
        Stored::Pauses(pauses) => vec![text(json(pauses)?)],
        Stored::Counts(rows) => vec![text(json(&rows)?)],
    }))
}

fn save_firings(connection: &Connection, records: &[FiringRecord], keeps: usize) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO firing VALUES (?1, ?2)")?;
    for record in records {
        let mut bytes = Vec::new();
        firing(record, &mut bytes);
        insert.execute(params![record.number.cast_signed(), bytes])?;
    }
    if let Some(last) = records.last() {
        let first = last.number.cast_signed().saturating_sub_unsigned(keeps as u64);
        connection.prepare_cached("DELETE FROM firing WHERE number <= ?1")?.execute([first])?;
    }
    Ok(())
}

/// Writes what the journal names, in the open transaction.
pub(crate) fn save(
    connection: &Connection,
    rows: &MemoryRows,
    journal: &Journal,
    (place, keeps): (&str, usize),
) -> Result<()> {
    let failed = |error| failure(place, error);
    for entry in &journal.entries {
        let (table, mut values) = (table_of(entry), key_of(entry));
        match columns_of(rows, entry)? {
            None => table.delete(connection, values).map_err(failed)?,
            Some(columns) => {
                values.extend(columns);
                table.put(connection, values).map_err(failed)?;
            }
        }
        if let Entry::Counts(step, start) = entry {
            let old = "DELETE FROM count WHERE step = ?1 AND start < ?2";
            let oldest = start - step.kept_seconds();
            connection
                .prepare_cached(old)
                .and_then(|mut old| old.execute(params![step.word(), oldest]))
                .map_err(failed)?;
        }
    }
    save_firings(connection, &journal.firings, keeps).map_err(failed)
}

/// Writes the largest number that was given.
pub(crate) fn save_counter(connection: &Connection, counter: u64) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta VALUES ('counter', ?1)";
    connection.prepare_cached(sql)?.execute([counter.cast_signed()]).map(drop)
}
