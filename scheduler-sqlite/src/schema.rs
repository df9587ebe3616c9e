//! The tables, and the version of their format.

use rusqlite::{Connection, OptionalExtension};

use crate::settings::Durability;

/// Changes with the form of the tables or of a record. Nothing is released, so another number is refused.
pub(crate) const FORMAT: i64 = 1;

/// The first library without a fault by which a checkpoint beside a writer could lose a commit.
const OLDEST_LIBRARY: i32 = 3_051_003;

/// `record` is what the store reads; the other columns are for people.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS job (grp TEXT, name TEXT, type TEXT, record BLOB, PRIMARY KEY (grp, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trigger (grp TEXT, name TEXT, job TEXT, state TEXT, next TEXT, record BLOB, PRIMARY KEY (grp, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS run (id TEXT PRIMARY KEY, job TEXT, queue TEXT, state TEXT, due TEXT, attempts INTEGER, record BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claim (id INTEGER PRIMARY KEY, session INTEGER, job TEXT, since TEXT, record BLOB);
CREATE TABLE IF NOT EXISTS batch (id TEXT PRIMARY KEY, rings INTEGER, record TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gate (id TEXT PRIMARY KEY, idle_at INTEGER, shut INTEGER, record TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cap (id TEXT PRIMARY KEY, record TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calendar (name TEXT PRIMARY KEY, record TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, record TEXT, revision INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS count (step TEXT, start INTEGER, record TEXT, PRIMARY KEY (step, start)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS firing (number INTEGER PRIMARY KEY, record BLOB);
";

/// Makes the connection ready. The answer is the format of a file that is newer or older than this program, if it is.
pub(crate) fn prepare(connection: &Connection, durability: Durability) -> rusqlite::Result<Option<i64>> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "trusted_schema", false)?;
    // A store in memory has no log, and says so.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "fullfsync", true)?;
    if rusqlite::version_number() < OLDEST_LIBRARY {
        tracing::warn!(
            version = rusqlite::version(),
            "SQLite {} may lose a commit when a backup or another program reads the file beside the scheduler; use 3.51.3 or newer",
            rusqlite::version()
        );
    }
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    let known = "SELECT value FROM meta WHERE name = 'format'";
    let known = transaction.query_row(known, [], |row| row.get(0)).optional()?;
    if known.is_none() {
        transaction.execute("INSERT INTO meta VALUES ('format', ?1)", [FORMAT])?;
    }
    transaction.commit()?;
    Ok(known.filter(|format| *format != FORMAT))
}
