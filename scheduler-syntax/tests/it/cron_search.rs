//! Fire times, away from and around the changes of clocks.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use scheduler_syntax::cron::{CronExpr, DstPolicy, Gap, Overlap};

#[track_caller]
fn fires(text: &str, zone: Tz, after: &str, policy: DstPolicy, expected: &[&str]) {
    let after: DateTime<Utc> = after.parse().unwrap();
    let found = CronExpr::parse(text).unwrap().next_n(after, zone, policy, expected.len());
    let found: Vec<_> = found.iter().map(|time| time.with_timezone(&zone).to_rfc3339()).collect();
    assert_eq!(found, expected, "{text}");
}

const BERLIN: Tz = Tz::Europe__Berlin;

#[test]
fn special_days() {
    let utc = |text: &str, expected: &[&str]| {
        fires(text, Tz::UTC, "2026-01-01T00:00:00Z", DstPolicy::default(), expected);
    };
    utc("0 0 0 L * ?", &["2026-01-31T00:00:00+00:00", "2026-02-28T00:00:00+00:00"]);
    utc("0 0 0 L-2 * ?", &["2026-01-29T00:00:00+00:00", "2026-02-26T00:00:00+00:00"]);
    utc("0 0 0 LW * ?", &["2026-01-30T00:00:00+00:00", "2026-02-27T00:00:00+00:00"]);
    utc("0 0 0 1W * ?", &["2026-02-02T00:00:00+00:00", "2026-03-02T00:00:00+00:00"]);
    utc("0 0 0 31W * ?", &["2026-01-30T00:00:00+00:00", "2026-03-31T00:00:00+00:00"]);
    utc("0 0 0 ? * 6#5", &["2026-01-30T00:00:00+00:00", "2026-05-29T00:00:00+00:00"]);
    utc("0 0 0 ? * 1L", &["2026-01-25T00:00:00+00:00", "2026-02-22T00:00:00+00:00"]);
    utc("0 0 0 29 2 ?", &["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]);
    utc(
        "0 0 22-2/2 1 1 ? 2027",
        &["2027-01-01T00:00:00+00:00", "2027-01-01T02:00:00+00:00", "2027-01-01T22:00:00+00:00"],
    );
}

#[test]
fn impossible_dates_end() {
    for text in ["0 0 0 31 2 ?", "0 0 0 30 2 ? 2030", "0 0 0 29 2 ? 2100", "0 0 0 1 1 ? 1975"] {
        let expr = CronExpr::parse(text).unwrap();
        assert_eq!(
            expr.next_after("2026-01-01T00:00:00Z".parse().unwrap(), BERLIN, DstPolicy::default()),
            None,
            "{text}"
        );
    }
    assert!(CronExpr::parse("0 0 0 31 2 ?").unwrap().never_fires());
}

#[test]
fn a_fixed_time_in_a_gap_runs_once_after_it() {
    let default = ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];
    fires("0 30 2 * * ?", BERLIN, "2026-03-28T12:00:00Z", DstPolicy::default(), &default);
    fires(
        "0 15,30 2 * * ?",
        BERLIN,
        "2026-03-28T12:00:00Z",
        DstPolicy::default(),
        &["2026-03-29T03:00:00+02:00", "2026-03-30T02:15:00+02:00"],
    );
    let shift = DstPolicy { gap: Gap::Shift, ..DstPolicy::default() };
    fires(
        "0 30 2 * * ?",
        BERLIN,
        "2026-03-28T12:00:00Z",
        shift,
        &["2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"],
    );
    fires("0 30 2 * * ?", BERLIN, "2026-03-29T01:10:00Z", shift, &["2026-03-29T03:30:00+02:00"]);
    let skip = DstPolicy { gap: Gap::Skip, ..DstPolicy::default() };
    fires("0 30 2 * * ?", BERLIN, "2026-03-28T12:00:00Z", skip, &["2026-03-30T02:30:00+02:00"]);
}

#[test]
fn a_fixed_time_that_exists_twice_runs_once() {
    let after = "2026-10-24T12:00:00Z";
    fires(
        "0 30 2 * * ?",
        BERLIN,
        after,
        DstPolicy::default(),
        &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
    );
    let second = DstPolicy { overlap: Overlap::Second, ..DstPolicy::default() };
    fires("0 30 2 * * ?", BERLIN, after, second, &["2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"]);
    fires("0 30 2 * * ?", BERLIN, "2026-10-25T00:45:00Z", second, &["2026-10-25T02:30:00+01:00"]);
    let both = DstPolicy { overlap: Overlap::Both, ..DstPolicy::default() };
    fires("0 30 2 * * ?", BERLIN, after, both, &["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]);
}

#[test]
fn an_interval_follows_real_time() {
    let spring = ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"];
    fires("0 0/30 * * * ?", BERLIN, "2026-03-29T00:00:00Z", DstPolicy::default(), &spring);
    let autumn = [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ];
    fires("0 0/30 * * * ?", BERLIN, "2026-10-24T23:45:00Z", DstPolicy::default(), &autumn);
}

#[test]
fn a_day_that_does_not_exist_is_not_made_up_for() {
    let after = "2011-12-29T12:00:00Z";
    fires(
        "0 0 9 * * ?",
        Tz::Pacific__Apia,
        after,
        DstPolicy::default(),
        &["2011-12-29T09:00:00-10:00", "2011-12-31T09:00:00+14:00"],
    );
}
