//! Fire times where clocks change: known ones, and a rule that looks at every second.

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use scheduler_syntax::cron::{CronExpr, DstPolicy, Gap, Overlap};

use crate::cron_laws::instant_at;
use crate::strategies::{CHANGES, nightly, policy};

const BERLIN: Tz = Tz::Europe__Berlin;

#[track_caller]
fn fires(text: &str, zone: Tz, policy: DstPolicy, after: &str, expected: &[&str]) {
    let after: DateTime<Utc> = after.parse().unwrap();
    let found = CronExpr::parse(text).unwrap().next_n(after, zone, policy, expected.len());
    let found: Vec<_> = found.iter().map(|time| time.with_timezone(&zone).to_rfc3339()).collect();
    assert_eq!(found, expected, "{text}");
}

const SHIFT: DstPolicy = DstPolicy { gap: Gap::Shift, overlap: Overlap::First };
const BOTH: DstPolicy = DstPolicy { gap: Gap::RunAfter, overlap: Overlap::Both };

#[test]
fn a_fixed_time_in_a_gap() {
    let (once, lists) = ("0 30 2 * * ?", "0 15,30 2 * * ?");
    let (after, usual) = ("2026-03-28T12:00:00Z", DstPolicy::default());
    fires(once, BERLIN, usual, after, &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]);
    fires(lists, BERLIN, usual, after, &["2026-03-29T03:00:00+02:00", "2026-03-30T02:15:00+02:00"]);
    fires(once, BERLIN, SHIFT, after, &["2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"]);
    fires(lists, BERLIN, SHIFT, after, &["2026-03-29T03:15:00+02:00", "2026-03-29T03:30:00+02:00"]);
    fires(once, BERLIN, DstPolicy::QUARTZ_JAVA, after, &["2026-03-30T02:30:00+02:00"]);
}

/// The gap ends at 01:00:00Z: asked a second before, at it and behind it.
#[test]
fn a_gap_is_made_up_for_whenever_one_asks() {
    let (text, usual) = ("0 30 2 * * ?", DstPolicy::default());
    fires(text, BERLIN, usual, "2026-03-29T00:59:59Z", &["2026-03-29T03:00:00+02:00"]);
    fires(text, BERLIN, usual, "2026-03-29T00:59:59.999Z", &["2026-03-29T03:00:00+02:00"]);
    fires(text, BERLIN, usual, "2026-03-29T01:00:00Z", &["2026-03-30T02:30:00+02:00"]);
    fires(text, BERLIN, SHIFT, "2026-03-29T01:10:00Z", &["2026-03-29T03:30:00+02:00"]);
    fires(
        "0 0 3 * * ?",
        BERLIN,
        usual,
        "2026-03-29T00:30:00Z",
        &["2026-03-29T03:00:00+02:00", "2026-03-30T03:00:00+02:00"],
    );
    // In Beirut clocks are set forward at midnight.
    let midnight = ["2024-03-31T01:00:00+03:00", "2024-04-01T00:00:00+03:00"];
    fires("0 0 0 * * ?", Tz::Asia__Beirut, usual, "2024-03-30T12:00:00Z", &midnight);
}

#[test]
fn a_fixed_time_that_exists_twice() {
    let (text, after) = ("0 30 2 * * ?", "2026-10-24T12:00:00Z");
    let (first, second) = ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00");
    let next_day = "2026-10-26T02:30:00+01:00";
    fires(text, BERLIN, DstPolicy::default(), after, &[first, next_day]);
    fires(text, BERLIN, DstPolicy::default(), "2026-10-25T01:10:00Z", &[next_day]);
    fires(text, BERLIN, DstPolicy::QUARTZ_JAVA, after, &[second, next_day]);
    fires(text, BERLIN, DstPolicy::QUARTZ_JAVA, "2026-10-25T00:45:00Z", &[second]);
    fires(text, BERLIN, BOTH, after, &[first, second, next_day]);
}

#[test]
fn an_interval_follows_real_time() {
    let spring = ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"];
    let autumn = [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ];
    for policy in [DstPolicy::default(), DstPolicy::QUARTZ_JAVA, SHIFT] {
        fires("0 0/30 * * * ?", BERLIN, policy, "2026-03-29T00:00:00Z", &spring);
        fires("0 0/30 * * * ?", BERLIN, policy, "2026-10-24T23:45:00Z", &autumn);
    }
    // The last of its times, in the second pass, is not forgotten for want of later ones.
    let twice = ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"];
    fires("0 30 2-2 25 10 ? 2026", BERLIN, DstPolicy::default(), "2026-01-01T00:00:00Z", &twice);
}

#[test]
fn a_date_that_does_not_exist_is_not_made_up_for() {
    for policy in [DstPolicy::default(), SHIFT, DstPolicy::QUARTZ_JAVA] {
        let samoa = ["2011-12-29T09:00:00-10:00", "2011-12-31T09:00:00+14:00"];
        fires("0 0 9 * * ?", Tz::Pacific__Apia, policy, "2011-12-29T12:00:00Z", &samoa);
        let kwajalein = ["1993-08-20T09:00:00-12:00", "1993-08-22T09:00:00+12:00"];
        fires("0 0 9 * * ?", Tz::Pacific__Kwajalein, policy, "1993-08-20T12:00:00Z", &kwajalein);
    }
    fires(
        "0 0 9 30 12 ?",
        Tz::Pacific__Apia,
        DstPolicy::default(),
        "2011-12-01T00:00:00Z",
        &["2012-12-30T09:00:00+14:00"],
    );
}

#[test]
fn rare_times_are_found_over_many_changes() {
    let leap = ["2028-02-29T02:30:00+01:00", "2032-02-29T02:30:00+01:00"];
    let summer = ["2026-07-01T00:00:00+02:00", "2027-07-01T00:00:00+02:00"];
    for policy in [DstPolicy::default(), SHIFT, BOTH, DstPolicy::QUARTZ_JAVA] {
        fires("0 30 2 29 2 ?", BERLIN, policy, "2026-03-28T12:00:00Z", &leap);
        fires("0 0 0 1 7 ?", BERLIN, policy, "2026-01-01T00:00:00Z", &summer);
        fires("0 0-0 0 1 7 ?", BERLIN, policy, "2026-01-01T00:00:00Z", &summer);
    }
}

#[test]
fn the_ends_of_time() {
    let yearly = CronExpr::parse("@yearly").unwrap();
    let usual = DstPolicy::default();
    for zone in [Tz::UTC, BERLIN, Tz::Pacific__Kiritimati, Tz::Pacific__Pago_Pago] {
        let all = yearly.next_n(DateTime::<Utc>::MIN_UTC, zone, usual, 1000);
        assert_eq!(all.len(), 230, "{zone}");
        assert_eq!(yearly.previous_before(DateTime::<Utc>::MAX_UTC, zone, usual), all.last().copied());
        assert_eq!(yearly.next_after(DateTime::<Utc>::MAX_UTC, zone, usual), None);
        assert_eq!(yearly.previous_before(all[0], zone, usual), None);
        let never = CronExpr::parse("0 0 0 31 2 ?").unwrap();
        assert_eq!(never.next_after(DateTime::<Utc>::MIN_UTC, zone, usual), None);
        assert_eq!(never.previous_before(DateTime::<Utc>::MAX_UTC, zone, usual), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_rule_holds_second_by_second(expr in nightly(), change in 0..CHANGES.len(), policy in policy()) {
        let (zone, at) = CHANGES[change];
        let around = Around::new(zone, at);
        let expected = around.expected(&expr, policy);
        let first = expr.next_after(instant_at(around.from - 1), zone, policy);
        let found = std::iter::successors(first, |last| expr.next_after(*last, zone, policy));
        let found: Vec<_> = found.map(|time| time.timestamp()).take_while(|time| *time < around.until).collect();
        prop_assert_eq!(&found, &expected);
        // Asked at any second, the answer is the first one behind it.
        for asked in (around.from..*expected.last().unwrap_or(&around.from)).step_by(97).chain(at - 2..at + 2) {
            let next = expected.iter().find(|time| **time > asked).copied();
            if let Some(next) = next {
                prop_assert_eq!(expr.next_after(instant_at(asked), zone, policy), Some(instant_at(next)));
            }
        }
    }
}

/// The hours around one change of clocks.
struct Around {
    zone: Tz,
    at: i64,
    from: i64,
    until: i64,
}

impl Around {
    fn new(zone: Tz, at: i64) -> Self {
        let around = Self { zone, at, from: at - 5 * 3600, until: at + 5 * 3600 };
        assert_ne!(around.offset(at - 1), around.offset(at), "clocks change in {zone} at {at}");
        around
    }

    fn offset(&self, instant: i64) -> i64 {
        let utc = instant_at(instant).naive_utc();
        i64::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
    }

    fn expected(&self, expr: &CronExpr, policy: DstPolicy) -> Vec<i64> {
        let rule = if expr.is_fixed_time() { Self::fires_fixed } else { Self::fires_in_real_time };
        (self.from..self.until).filter(|second| rule(self, expr, *second, policy)).collect()
    }

    fn fires_in_real_time(&self, expr: &CronExpr, second: i64, _: DstPolicy) -> bool {
        expr.matches_civil(civil(second + self.offset(second)))
    }

    fn fires_fixed(&self, expr: &CronExpr, second: i64, policy: DstPolicy) -> bool {
        let (before, after) = (self.offset(self.at - 1), self.offset(self.at));
        let forward = after - before;
        let first_pass = forward < 0 && (self.at + forward..self.at).contains(&second);
        let second_pass = forward < 0 && (self.at..self.at - forward).contains(&second);
        let counts = match policy.overlap {
            Overlap::First => !second_pass,
            Overlap::Second => !first_pass,
            Overlap::Both => true,
        };
        let owed = (1..24 * 3600).contains(&forward)
            && match policy.gap {
                Gap::RunAfter => {
                    second == self.at
                        && (0..forward).any(|missing| expr.matches_civil(civil(second + before + missing)))
                }
                Gap::Shift => {
                    (self.at..self.at + forward).contains(&second)
                        && expr.matches_civil(civil(second + before))
                }
                Gap::Skip => false,
            };
        owed || counts && expr.matches_civil(civil(second + self.offset(second)))
    }
}

fn civil(seconds: i64) -> NaiveDateTime {
    instant_at(seconds).naive_utc()
}

#[test]
fn t20_after_2099_the_last_offset_of_a_zone_stays() {
    let expr = CronExpr::parse("0 0 12 1 7 ?").unwrap();
    let next = |after: &str, zone| {
        let after = after.parse::<DateTime<Utc>>().unwrap();
        expr.next_after(after, zone, DstPolicy::default()).unwrap().to_rfc3339()
    };
    assert_eq!(next("2099-01-01T00:00:00Z", chrono_tz::Europe::Berlin), "2099-07-01T10:00:00+00:00");
    assert_eq!(next("2150-01-01T00:00:00Z", chrono_tz::Europe::Berlin), "2150-07-01T11:00:00+00:00");
    assert_eq!(next("2150-01-01T00:00:00Z", chrono_tz::Australia::Sydney), "2150-07-01T01:00:00+00:00");
}
