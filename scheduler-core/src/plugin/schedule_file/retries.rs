//! The retry policy of a job in a file.

use std::time::Duration;

use scheduler_syntax::jitter_percent;

use super::fields::{Either, Fields};
use crate::run::{FailureKind, RetryPolicy};

/// `retry`: the number of retries, or a table. The policy of the code holds for what the file leaves out.
pub(super) fn policy(fields: &Fields<'_>, of_code: Option<&RetryPolicy>) -> Option<RetryPolicy> {
    let mut base = of_code.cloned().unwrap_or_default();
    match fields.table_or_number("retry")? {
        Either::Number(max) => {
            base.max = max;
            Some(base)
        }
        Either::Table(table) => {
            let policy = of_table(&table, base);
            table.finish();
            Some(policy)
        }
    }
}

/// A mistake is noted, and the value of `base` takes its place.
fn of_table(table: &Fields<'_>, mut base: RetryPolicy) -> RetryPolicy {
    base.max = table.number("max").unwrap_or(base.max);
    if let Some(backoff) = table.parsed("backoff", str::parse) {
        base.backoff = backoff;
    }
    if let Some(percent) = jitter(table) {
        base.jitter = percent;
    }
    base.within = within(table).or(base.within);
    if table.parsed("progress", progress).is_some() {
        base.is_reset_by_progress = true;
    }
    match table.parsed("on", FailureKind::read) {
        Some(kinds) => base.on(kinds),
        None => base,
    }
}

fn progress(word: &str) -> Result<(), String> {
    (word == "resets").then_some(()).ok_or_else(|| {
        format!("`{word}` is nothing that progress can do; write `resets`, or leave `progress` out")
    })
}

fn jitter(table: &Fields<'_>) -> Option<u8> {
    let percent = jitter_percent(table.fraction("jitter")?);
    percent.map_err(|problem| table.note_at("jitter", problem)).ok()
}

fn within(table: &Fields<'_>) -> Option<Duration> {
    let within = table.duration("within")?;
    if within < Duration::from_millis(1) {
        table.note_at("within", "is shorter than a millisecond; write `max = 0` for no retries");
        return None;
    }
    Some(within)
}
