//! Calendars alone and together with triggers.

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::calendar::{Calendar, StandardCalendar};
use serde_json::Value;

use crate::triggers;
use crate::{cases, report};
use scheduler_conformance::build;
use scheduler_conformance::corpus::{Line, text, time};
use scheduler_conformance::report::Report;

/// Midnights lie on quarters of an hour, in every zone. In milliseconds.
const QUARTER: i64 = 900_000;

#[test]
fn conformance_of_calendars() {
    account(&cases("calendars")).finish();
}

pub(crate) fn account(lines: &[Line]) -> Report {
    let mut report = report("calendars");
    for line in lines {
        report.check_each(line, |case| match text(case, "kind") {
            "calendar" => alone(case),
            "trigger-with-calendar" => vec![with_trigger(case)],
            other => panic!("unknown kind `{other}`"),
        });
    }
    report
}

fn alone(case: &Value) -> Vec<Result<(), String>> {
    let calendar = build::calendar(&case["calendar"]);
    let checks = case["checks"].as_array().unwrap().iter();
    checks.map(|check| included(&calendar, check).and_then(|()| next(&calendar, check))).collect()
}

fn with_trigger(case: &Value) -> Result<(), String> {
    let calendar = build::calendar(&case["calendar"]);
    triggers::fires(case, &build::trigger(&case["trigger"])?, Some(&calendar))
}

fn included(calendar: &StandardCalendar, check: &Value) -> Result<(), String> {
    let at = time(&check["t"]).unwrap();
    let found = calendar.includes(at);
    if found == check["included"] {
        return Ok(());
    }
    // The first and the last millisecond of a day, in whatever zone a calendar of the chain has.
    let edge = [0, 1].iter().any(|ms| (at.timestamp_millis() + ms) % QUARTER == 0);
    let label = if found && edge { "edge-of-day: " } else { "" };
    Err(format!("{label}{}: included is {found}", check["t_at"]))
}

/// The next included time must be the first that the whole chain includes. For a time that is included that is the time
/// itself, where some of Quartz's calendars answer something later, or the start of the day. In a chain, Quartz asks the
/// base only once: where its answer is excluded by its own chain, or passes over included times, there is nothing to
/// agree with, and ours is looked at by itself.
fn next(calendar: &StandardCalendar, check: &Value) -> Result<(), String> {
    let (at, shown) = (time(&check["t"]).unwrap(), &check["t_at"]);
    let next = calendar.next_included(at);
    if calendar.includes(at) {
        return if next == Some(at) {
            Ok(())
        } else {
            Err(format!("{shown} is included, yet next is {next:?}"))
        };
    }
    if next.is_some_and(|next| next < at || !calendar.includes(next)) {
        return Err(format!("{shown}: {next:?} is early or excluded"));
    }
    let expected = time(&check["next"]).filter(|time| time.timestamp() > 0);
    let wrong = expected
        .is_none_or(|expected| !calendar.includes(expected) || next.is_some_and(|next| next < expected));
    if check.get("next").is_none() || next == expected || (wrong && is_first(calendar, at, next)) {
        return Ok(());
    }
    Err(format!("{shown}: next is {next:?} instead of {}", check["next_at"]))
}

/// Whether no earlier time is included, as far as a look at every minute shows.
fn is_first(calendar: &StandardCalendar, at: DateTime<Utc>, next: Option<DateTime<Utc>>) -> bool {
    let minutes = (1..20_000).map(|minute| at + TimeDelta::minutes(minute));
    minutes.take_while(|time| next.is_none_or(|next| *time < next)).all(|time| !calendar.includes(time))
}
