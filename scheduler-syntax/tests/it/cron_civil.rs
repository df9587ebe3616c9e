//! Matching civil times, without a zone.

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use scheduler_syntax::cron::CronExpr;

pub(crate) fn civil(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

/// The days of a month on which an expression matches.
pub(crate) fn days_of(expr: &CronExpr, year: i32, month: u32) -> Vec<u32> {
    let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
    let mut days = Vec::new();
    let mut next = expr.next_civil_at_or_after(first);
    while let Some(found) = next.filter(|found| (found.year(), found.month()) == (year, month)) {
        days.push(found.day());
        next = expr.next_civil_after(found);
    }
    days.dedup();
    days
}

#[track_caller]
fn days(field: &str, year: i32, month: u32, expected: &[u32]) {
    let days = if field.contains('?') { field.to_owned() } else { format!("{field} * ?") };
    let expr = CronExpr::parse(&format!("0 0 0 {days}")).unwrap();
    assert_eq!(days_of(&expr, year, month), expected, "{field} in {year}-{month}");
}

#[test]
fn days_from_the_end_of_the_month() {
    days("L", 2026, 2, &[28]);
    days("L", 2028, 2, &[29]);
    days("L-2", 2026, 2, &[26]);
    days("L-30", 2026, 1, &[1]);
    days("L-30", 2026, 4, &[]);
    days("L,L-1,1", 2026, 4, &[1, 29, 30]);
}

/// January 2026 begins on a Thursday, February on a Sunday, August on a Saturday and ends on a Monday.
#[test]
fn nearest_weekdays_stay_in_their_month() {
    days("LW", 2026, 1, &[30]);
    days("LW", 2026, 2, &[27]);
    days("1W", 2026, 2, &[2]);
    days("1W", 2026, 8, &[3]);
    days("15W", 2026, 2, &[16]);
    days("15W", 2026, 8, &[14]);
    days("31W", 2026, 1, &[30]);
    days("31W", 2026, 5, &[29]);
    days("L-1W", 2026, 1, &[30]);
    days("L-30W", 2026, 8, &[3]);
}

#[test]
fn a_special_day_that_a_month_lacks_is_left_out() {
    days("31W", 2026, 2, &[]);
    days("30W", 2026, 2, &[]);
    days("? * 6#5", 2026, 2, &[]);
    days("? * 6#5", 2026, 1, &[30]);
}

#[test]
fn each_item_of_a_list_counts_by_itself() {
    days("2W,16", 2026, 8, &[3, 16]);
    days("1,1W,LW", 2026, 2, &[1, 2, 27]);
}

#[test]
fn weekdays_of_a_month() {
    days("? * 1L", 2026, 1, &[25]);
    days("? * L", 2026, 1, &[3, 10, 17, 24, 31]);
    days("? * FRI#1", 2026, 1, &[2]);
    days("? * SAT-MON", 2026, 1, &[3, 4, 5, 10, 11, 12, 17, 18, 19, 24, 25, 26, 31]);
    days("? * TUE-SAT/2", 2026, 2, &[3, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
}

#[track_caller]
fn hours(field: &str, expected: &[i64]) {
    let expr = CronExpr::parse(&format!("0 0 {field} * * ?")).unwrap();
    let day = civil("2026-01-01T00:00:00");
    let matching = (0..24).filter(|hour| expr.matches_civil(day + TimeDelta::hours(*hour)));
    assert_eq!(matching.collect::<Vec<_>>(), expected, "{field}");
}

#[test]
fn steps_and_wrapped_ranges() {
    hours("22-2", &[0, 1, 2, 22, 23]);
    hours("22-2/2", &[0, 2, 22]);
    hours("/6", &[0, 6, 12, 18]);
    hours("5/8", &[5, 13, 21]);
    hours("5-13/4", &[5, 9, 13]);
    hours("7-7", &[7]);
    hours("1,3-4,23/5", &[1, 3, 4, 23]);
}

#[test]
fn impossible_dates_are_known_at_once() {
    let never = |text: &str| CronExpr::parse(text).unwrap().never_fires();
    for text in
        ["0 0 0 31 2 ?", "0 0 0 30 2 ? 2030", "0 0 0 29 2 ? 2100", "0 0 0 31 4,6,9,11 ?", "0 0 0 31W 2 ?"]
    {
        assert!(never(text), "{text}");
        assert_eq!(CronExpr::parse(text).unwrap().next_civil_after(civil("2020-01-01T00:00:00")), None);
    }
    for text in ["0 0 0 29 2 ?", "0 0 0 ? 2 6#5", "0 0 0 1 1 ? 1970", "0 0 0 29 2 ? 2196", "0 0 0 L-28 2 ?"] {
        assert!(!never(text), "{text}");
    }
}

#[test]
fn years_have_a_first_and_a_last() {
    let yearly = CronExpr::parse("@yearly").unwrap();
    assert_eq!(yearly.next_civil_after(civil("0001-01-01T00:00:00")), Some(civil("1970-01-01T00:00:00")));
    assert_eq!(yearly.next_civil_after(civil("2199-01-01T00:00:00")), None);
    assert_eq!(
        yearly.previous_civil_before(civil("9999-01-01T00:00:00")),
        Some(civil("2199-01-01T00:00:00"))
    );
    assert_eq!(yearly.previous_civil_before(civil("1970-01-01T00:00:00")), None);
    let leap = CronExpr::parse("0 0 0 29 2 ?").unwrap();
    assert_eq!(leap.next_civil_after(civil("2096-03-01T00:00:00")), Some(civil("2104-02-29T00:00:00")));
    assert_eq!(leap.previous_civil_before(civil("2104-02-29T00:00:00")), Some(civil("2096-02-29T00:00:00")));
}

#[test]
fn fractions_of_a_second() {
    let noon = CronExpr::daily_at(12, 0).unwrap();
    let (noon_1, noon_2) = (civil("2026-01-01T12:00:00"), civil("2026-01-02T12:00:00"));
    let later = noon_1 + TimeDelta::milliseconds(1);
    assert!(noon.matches_civil(noon_1) && noon.matches_civil(later));
    assert_eq!(noon.next_civil_at_or_after(noon_1), Some(noon_1));
    assert_eq!(noon.next_civil_at_or_after(later), Some(noon_2));
    assert_eq!(noon.next_civil_after(later), Some(noon_2));
    assert_eq!(noon.previous_civil_before(later), Some(noon_1));
    assert_eq!(noon.previous_civil_before(noon_2), Some(noon_1));
}
