//! The kinds of trigger, alone and with calendars, and what becomes of late ones.

use chrono::{DateTime, Days, MappedLocalTime, NaiveTime, TimeZone, Utc};
use scheduler_core::calendar::Calendar;
use scheduler_core::trigger::{Misfire, Progress, Trigger};
use serde_json::Value;

use crate::{cases, report};
use scheduler_conformance::build;
use scheduler_conformance::corpus::{Line, text, time, times, zone};
use scheduler_conformance::report::Report;

#[test]
fn conformance_of_triggers() {
    account(&cases("triggers")).finish();
}

pub(crate) fn account(lines: &[Line]) -> Report {
    let mut report = report("triggers");
    for line in lines {
        report.check(line, |case| {
            let result = match text(case, "kind") {
                "trigger" => measured(case),
                "trigger-fact" => fact(case),
                other => panic!("unknown kind `{other}`"),
            };
            result.map_err(|difference| format!("{}{difference}", label(case)))
        });
    }
    report
}

#[test]
fn conformance_of_misfire() {
    account_of_misfire(&cases("misfire")).finish();
}

pub(crate) fn account_of_misfire(lines: &[Line]) -> Report {
    let mut report = report("misfire");
    for line in lines {
        report.check(line, |case| match text(case, "kind") {
            "misfire" => late(case).map_err(|difference| format!("{}{difference}", label_of_late(case))),
            other => panic!("unknown kind `{other}`"),
        });
    }
    report
}

/// What Quartz does with a late firing in this case and we do not.
fn label_of_late(case: &Value) -> &'static str {
    let (end, now) = (time(&case["trigger"]["end"]), time(&case["now"]));
    if end.is_some() && end < now { "fires-after-its-end: " } else { "" }
}

/// What Quartz does with a daily window in this case and we do not.
fn label(case: &Value) -> &'static str {
    let described = &case["trigger"];
    let end = time(&described["end"]);
    let late = |fire: &DateTime<Utc>| end.is_some_and(|end| *fire > end);
    if times(&case["fires"]).iter().any(late) {
        "fires-after-its-end: "
    } else if window_begins_in_gap(described) {
        "window-begins-in-gap: "
    } else {
        ""
    }
}

/// Whether clocks are set forward over the begin of a daily window while the case runs.
fn window_begins_in_gap(described: &Value) -> bool {
    let (Ok(from), Some(start)) =
        (described["start_of_day"].as_str().unwrap_or("").parse::<NaiveTime>(), time(&described["start"]))
    else {
        return false;
    };
    let first_day = start.with_timezone(&zone(described)).date_naive();
    let in_gap = |days| {
        let begin = (first_day + Days::new(days)).and_time(from);
        zone(described).from_local_datetime(&begin) == MappedLocalTime::None
    };
    (0..400).any(in_gap)
}

fn fact(case: &Value) -> Result<(), String> {
    let expected = times(&case["expected"]);
    compare("fires", &walk(&build::trigger(&case["trigger"])?, None, expected.len()).0, &expected)
}

fn measured(case: &Value) -> Result<(), String> {
    let trigger = match build::trigger(&case["trigger"]) {
        Err(_) if case["valid"] == false => return Ok(()),
        Err(error) => return Err(error),
        Ok(trigger) if case["valid"] == false => return Err(format!("must be refused: {trigger:?}")),
        Ok(trigger) => trigger,
    };
    fires(case, &trigger, None)?;
    for query in case["queries"].as_array().into_iter().flatten() {
        let found = trigger.fire_time_after(time(&query["after"]).unwrap());
        if found != time(&query["next"]) {
            return Err(format!("after {}: {found:?} instead of {}", query["after_at"], query["next_at"]));
        }
    }
    Ok(())
}

/// The listed fires, the count, and whether it ends there.
pub(crate) fn fires(case: &Value, trigger: &Trigger, calendar: Option<&dyn Calendar>) -> Result<(), String> {
    let expected = times(&case["fires"]);
    let (found, progress) = walk(trigger, calendar, expected.len());
    compare("fires", &found, &expected)?;
    if case["end"] == "exhausted" && progress.may_fire_again() {
        return Err(format!("goes on at {:?}", progress.next));
    }
    // Of a list that is cut, Quartz has counted on.
    match case["times_triggered"].as_u64().filter(|_| case["end"] != "cut") {
        Some(count) if count != progress.fired => {
            Err(format!("fired {} times instead of {count}", progress.fired))
        }
        _ => Ok(()),
    }
}

fn walk(trigger: &Trigger, calendar: Option<&dyn Calendar>, count: usize) -> (Vec<DateTime<Utc>>, Progress) {
    from(trigger, trigger.first(calendar), calendar, count)
}

fn from(
    trigger: &Trigger,
    mut progress: Progress,
    calendar: Option<&dyn Calendar>,
    count: usize,
) -> (Vec<DateTime<Utc>>, Progress) {
    let mut fires = Vec::new();
    while let Some(next) = progress.next.filter(|_| fires.len() < count) {
        fires.push(next);
        progress = trigger.fired(&progress, calendar);
    }
    (fires, progress)
}

fn compare(what: &str, found: &[DateTime<Utc>], expected: &[DateTime<Utc>]) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}

/// The state after the misfire rule, and the fires from there on.
fn late(case: &Value) -> Result<(), String> {
    let trigger = build::trigger(&case["trigger"])?;
    let calendar = case["calendar"].is_object().then(|| build::calendar(&case["calendar"]));
    let calendar = calendar.as_ref().map(|calendar| calendar as &dyn Calendar);
    let (before, now) = (progress(&case["before"], &trigger), time(&case["now"]).unwrap());
    let after = match trigger.misfire() {
        Misfire::Ignore => before.clone(),
        _ => trigger.misfired(&before, now, calendar),
    };
    let expected = &case["after"];
    compare("next", &Vec::from_iter(after.next), &Vec::from_iter(time(&expected["next_fire"])))?;
    let start = after.start.unwrap_or(trigger.start());
    compare("start", &[start], &Vec::from_iter(time(&expected["start"])))?;
    match expected["times_triggered"].as_u64() {
        Some(count) if count != after.fired => {
            return Err(format!("{} times fired instead of {count}", after.fired));
        }
        _ => {}
    }
    if after.next.is_some_and(|next| next <= now) && after.scheduled() != before.next {
        return Err(format!("the time it was due for is lost: {:?}", after.scheduled()));
    }
    let then = times(&case["then_fires"]);
    compare("then", &from(&trigger, after, calendar, then.len()).0, &then)
}

fn progress(state: &Value, trigger: &Trigger) -> Progress {
    Progress {
        next: time(&state["next_fire"]),
        previous: time(&state["previous_fire"]),
        fired: state["times_triggered"].as_u64().unwrap_or(0),
        start: time(&state["start"]).filter(|start| *start != trigger.start()),
        repeat: state["repeat_count"].as_i64().and_then(|count| u32::try_from(count).ok()),
        scheduled: None,
    }
}
