//! What SQLite says, as errors that say what to do.

use rusqlite::ErrorCode;
use scheduler_core::Error;

/// The error of an operation on the file at this place.
pub(crate) fn failure(place: &str, error: rusqlite::Error) -> Error {
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "is locked: another program writes to it or keeps a transaction open; end that"
        }
        Some(ErrorCode::DiskFull) => {
            "cannot grow, since the disk is full; make room, and the call works when it is repeated"
        }
        Some(ErrorCode::SystemIoFailure) => {
            "cannot be read or written; look at the disk and at the log of the system"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            return Error::config(format!(
                "the job store in `{place}` cannot be written; give this user the right to write the file and its folder"
            ))
            .caused_by(error);
        }
        Some(ErrorCode::CannotOpen) => {
            return Error::config(format!(
                "the job store in `{place}` cannot be opened; make sure that its folder is there and can be written"
            ))
            .caused_by(error);
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return Error::config(format!(
                "`{place}` is damaged, or no SQLite database; it was left as it is: restore a backup, or rescue what can be read with `sqlite3 {place} .recover`"
            ))
            .caused_by(error);
        }
        _ => "has refused an operation",
    };
    Error::transient(format!("the job store in `{place}` {what}")).caused_by(error)
}
