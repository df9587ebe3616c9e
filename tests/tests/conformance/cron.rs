//! Cron: which texts are expressions, and when they fire.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_syntax::cron::{CronExpr, DstPolicy, Gap, Overlap};
use serde_json::Value;

use crate::{cases, report};
use scheduler_conformance::corpus::{Line, text, time, times, zone};
use scheduler_conformance::report::Report;

const QUARTZ: DstPolicy = DstPolicy { gap: Gap::Skip, overlap: Overlap::Second };

#[test]
fn conformance_of_cron() {
    account(&cases("cron")).finish();
}

pub(crate) fn account(lines: &[Line]) -> Report {
    let mut report = report("cron");
    for line in lines {
        report.check(line, |case| match text(case, "kind") {
            "cron" => measured(case),
            "cron-fact" => fact(case),
            other => panic!("unknown kind `{other}`"),
        });
    }
    report
}

/// What Quartz answered, or what its documentation says where it does not keep to it.
fn measured(case: &Value) -> Result<(), String> {
    let parsed = CronExpr::parse(text(case, "expr"));
    let refuse = case["valid"] == false || case.get("error").is_some();
    // Malformed text that Quartz lets pass: refusing it is right, and so is Quartz's own reading.
    let lenient = text(case, "category").starts_with("lenient.");
    let expr = match parsed {
        Err(_) if refuse || lenient => return Ok(()),
        Err(error) => return Err(format!("`{}`: {error}", text(case, "expr"))),
        Ok(expr) if refuse => return Err(format!("`{expr}` must be refused")),
        Ok(expr) => expr,
    };
    let (zone, after) = (zone(case), time(&case["after"]).unwrap());
    match text(case, "plain") {
        "agrees" => same(&expr, zone, after, DstPolicy::default(), &times(&case["fires"])),
        "differs" => same(&expr, zone, after, DstPolicy::default(), &times(&case["plain_fires"])),
        "dst" => around_clock_changes(&expr, zone, after, &times(&case["fires"])),
        other => panic!("unknown comparison `{other}`"),
    }
}

fn same(
    expr: &CronExpr,
    zone: Tz,
    after: DateTime<Utc>,
    policy: DstPolicy,
    expected: &[DateTime<Utc>],
) -> Result<(), String> {
    let found = expr.next_n(after, zone, policy, expected.len());
    if found == expected {
        return Ok(());
    }
    Err(format!("`{expr}` in {zone} after {after}: {found:?} instead of {expected:?}"))
}

/// Quartz's list up to the first time that is doubled or missing, then our rule by looking at every second; and with
/// Quartz's choices its own list for fixed times.
fn around_clock_changes(
    expr: &CronExpr,
    zone: Tz,
    after: DateTime<Utc>,
    fires: &[DateTime<Utc>],
) -> Result<(), String> {
    if expr.is_fixed_time() {
        let label = if in_first_pass(zone, after) { "asked-in-first-pass: " } else { "" };
        same(expr, zone, after, QUARTZ, fires).map_err(|difference| format!("{label}{difference}"))?;
    }
    let last = fires.last().copied().unwrap_or(after).min(after + TimeDelta::days(40));
    let changes = changes(zone, after - TimeDelta::hours(3), last + TimeDelta::hours(3));
    for change in &changes {
        let (from, until) = (*change - TimeDelta::minutes(150), *change + TimeDelta::minutes(150));
        let expected = oracle(expr, zone, from, until);
        let found: Vec<_> = walk(expr, zone, from).take_while(|time| *time < until).collect();
        if found != expected {
            return Err(format!("`{expr}` in {zone} around {change}: {found:?} instead of {expected:?}"));
        }
    }
    let undisturbed = changes.first().map_or(last, |change| *change - TimeDelta::minutes(150));
    let before: Vec<_> = fires.iter().copied().take_while(|time| *time < undisturbed).collect();
    same(expr, zone, after, DstPolicy::default(), &before)
}

/// Whether the same wall-clock time comes once more.
fn in_first_pass(zone: Tz, instant: DateTime<Utc>) -> bool {
    let local = instant.with_timezone(&zone).naive_local();
    (1..=180).any(|minutes| {
        let later = instant + TimeDelta::minutes(minutes);
        later.with_timezone(&zone).naive_local() == local
    })
}

fn walk(expr: &CronExpr, zone: Tz, from: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    let next = move |after: DateTime<Utc>| expr.next_after(after, zone, DstPolicy::default());
    std::iter::successors(next(from - TimeDelta::seconds(1)), move |last| next(*last))
}

/// The instants at which clocks are set.
fn changes(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut found = Vec::new();
    let mut at = from;
    while at < until {
        let next = at + TimeDelta::minutes(15);
        let civil = |time: DateTime<Utc>| time.with_timezone(&zone).naive_local();
        if civil(next) - civil(at) != TimeDelta::minutes(15) {
            let second = (1..=900)
                .map(|s| at + TimeDelta::seconds(s))
                .find(|t| civil(*t) - civil(*t - TimeDelta::seconds(1)) != TimeDelta::seconds(1));
            found.extend(second);
        }
        at = next;
    }
    found
}

/// Our rule, by looking at every second of a stretch that has one clock change well inside.
fn oracle(expr: &CronExpr, zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let seconds = (until - from).num_seconds();
    let civil: Vec<(DateTime<Utc>, NaiveDateTime)> = (0..seconds)
        .map(|second| from + TimeDelta::seconds(second))
        .map(|instant| (instant, instant.with_timezone(&zone).naive_local()))
        .collect();
    if !expr.is_fixed_time() {
        return civil
            .iter()
            .filter(|(_, local)| expr.matches_civil(*local))
            .map(|(instant, _)| *instant)
            .collect();
    }
    let mut first: BTreeMap<NaiveDateTime, DateTime<Utc>> = BTreeMap::new();
    for (instant, local) in &civil {
        first.entry(*local).or_insert(*instant);
    }
    let mut fires: Vec<_> =
        first.iter().filter(|(local, _)| expr.matches_civil(**local)).map(|(_, instant)| *instant).collect();
    for pair in civil.windows(2) {
        let (before, (end, after)) = (pair[0].1, pair[1]);
        let missing = (1..(after - before).num_seconds()).map(|second| before + TimeDelta::seconds(second));
        // A date that does not exist at all has no fires.
        let mut owed = missing.filter(|local| local.date() == before.date() || local.date() == after.date());
        if owed.any(|local| expr.matches_civil(local)) {
            fires.push(end);
        }
    }
    fires.sort();
    fires.dedup();
    fires
}

/// What the tests of Quartz.NET and of newer versions of Quartz demand; where Quartz 2.3.2 refuses the text, refusing
/// it is as good.
fn fact(case: &Value) -> Result<(), String> {
    let expr = match CronExpr::parse(text(case, "expr")) {
        Ok(expr) => expr,
        Err(_) if case["quartz_2_3_2"] == "rejected" => return Ok(()),
        Err(_) if case["check"] == "valid" && case["expected"] == false => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let found = match text(case, "check") {
        "valid" => true,
        "satisfied" => expr.matches(time(&case["instant"]).unwrap(), zone(case), DstPolicy::default()),
        "next" => {
            return same(
                &expr,
                zone(case),
                time(&case["after"]).unwrap(),
                DstPolicy::default(),
                &times(&case["expected"]),
            );
        }
        other => panic!("unknown check `{other}`"),
    };
    if found == case["expected"] { Ok(()) } else { Err(format!("`{expr}` gives {found}")) }
}
