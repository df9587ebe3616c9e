//! Which texts are expressions, and what is said about the others.

use std::collections::HashSet;

use chrono::Weekday;
use scheduler_syntax::cron::{CronExpr, Field};

#[track_caller]
fn refused(text: &str, expected: &str) {
    match CronExpr::parse(text) {
        Ok(parsed) => panic!("`{text}` was read as {parsed:?}"),
        Err(error) => assert!(error.to_string().contains(expected), "`{text}`: {error}"),
    }
}

#[test]
fn errors_name_field_column_value_and_way_out() {
    refused("0 0 2 1 13 ?", "month field has `13` at column 9; use 1-12 or JAN-DEC");
    refused("0 0 24 * * ?", "hour field has `24` at column 5; use 0-23");
    refused("0 0 12 99 * ?", "day-of-month field has `99` at column 8; use 1-31");
    refused("0 0 12 1 * ? 2200", "year field has `2200` at column 14; use 1970-2199");
    refused("0 0 12 1, * ?", "empty item");
    refused("ü 0 12 1 * ?", "second field has `ü` at column 1; use 0-59");
    refused("0 x 12 ü * ?", "minute field has `x` at column 3");
}

#[test]
fn typos_get_the_name_that_was_meant() {
    refused("0 0 12 ? * MOM", "day-of-week field has `MOM` at column 12; did you mean MON?");
    refused("0 0 12 ? * MONDAY", "did you mean MON?");
    refused("0 0 12 1 Juli ?", "month field has `Juli` at column 10; did you mean JUL?");
    refused("@dayly", "did you mean `@daily`?");
}

#[test]
fn the_number_of_fields_is_explained() {
    refused("", "the expression is empty");
    refused("*/5 * * * *", "with the second in front it is `0 */5 * * * ?`");
    refused("30 2 * * MON", "with the second in front it is `0 30 2 ? * MON`");
    refused("0 0 12 1 * ? 2020 x", "has 8 fields");
    refused("0 0", "has 2 fields; write second, minute, hour");
    refused("@reboot", "start-up job");
}

#[test]
fn exactly_one_day_field_says_something() {
    refused("0 30 2 * * *", "write `0 30 2 * * ?`");
    refused("0 30 2 1 * MON", "write `?` in exactly one of the two");
    refused("0 30 2 ? * ?", "`?` in both day fields");
    refused("? 0 12 1 * ?", "write `*`");
    refused("0 0 12 1,? * MON", "has `?`");
}

#[test]
fn steps_and_ranges_that_mean_nothing_are_refused() {
    refused("0 0/0 2 * * ?", "a step is a number from 1 to 59");
    refused("0 0 0/24 * * ?", "a step is a number from 1 to 23");
    refused("0 0/ 2 * * ?", "has an empty item");
    refused("0 0 12 ? * MON/2", "ambiguous; write the range, such as `MON-SAT/2`");
    refused("0 0 12 1 * ? 2030-2020", "write `2020-2030`");
    refused("0 0 12 ? * MON-5", "write both ends as names or both as numbers");
}

#[test]
fn letters_stand_where_they_mean_something() {
    refused("0 0 12 ? * 6#6", "third Friday");
    refused("0 0 12 ? * 6#1,2", "stands alone");
    refused("0 0 12 ? * 2,6L", "stands alone");
    refused("0 0 12 ? * 6,L", "in a list write SAT");
    refused("0 0 12 L-31 * ?", "n of at most 30");
    refused("0 0 12 W * ?", "before `W` stands a day");
    refused("0 0 12 0W * ?", "before `W` stands a day");
    refused("0 0 12 15WL * ?", "use 1-31");
    refused("L 0 12 1 * ?", "second field has `L`");
    refused("0 0 0 1 1 ? L", "year field has `L`");
}

/// What Quartz reads without a word, though it is malformed.
#[test]
fn stray_text_is_not_passed_over() {
    for text in [
        "0 0 12 * * ? 2030 extra words",
        "0 1xdds0 0/1 ? * * *",
        "0 0 15 ? * FRI*",
        "0 5x * * * ?",
        "0 *5 * * * ?",
        "0 0 12 *x * ?",
        "0 0 * * * ??",
        "0 1,,5 * * * ?",
        "99 * * * * ?",
        "0 0 12 ? * 2L6",
        "0 0 12 15W15 * ?",
        "0 0 12 15W/2 * ?",
        "0 0 12 ? * FRI-MON#2",
        "0 0 12 ? * 9#1",
        "0 0 0 1 1 ? 1969",
        "0 5-10/99 * * * ?",
    ] {
        assert!(CronExpr::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_error_knows_its_bytes() {
    let text = "0 0 12 ü,MON * ?";
    let error = CronExpr::parse(text).unwrap_err();
    assert_eq!((error.field(), error.column()), (Some(Field::DayOfMonth), 8));
    assert_eq!(&text[error.span()], "ü");
    let error = CronExpr::parse("@unix 0 0 * * MOM").unwrap_err();
    assert_eq!((error.span(), error.hint()), (14..17, "did you mean MON?"));
    let error = CronExpr::parse("0 0 12 1 * ? 2020 x y").unwrap_err();
    assert_eq!((error.field(), error.span()), (None, 18..21));
    let error = CronExpr::parse("0 0 12 1 * MON").unwrap_err();
    assert_eq!((error.field(), error.span()), (Some(Field::DayOfWeek), 7..14));
}

#[test]
fn the_text_is_normalised() {
    let text = |text: &str| CronExpr::parse(text).unwrap().to_string();
    assert_eq!(text("  0 0\t12 ? jan-mar   mon "), "0 0 12 ? JAN-MAR MON");
    assert_eq!(text("0 0 12 l-2w,1W * ? 2030"), "0 0 12 L-2W,1W * ? 2030");
    assert_eq!(text("@daily"), "0 0 0 * * ?");
    assert_eq!(text(" @Weekly "), "0 0 0 ? * 1");
    assert_eq!(format!("{:>8}|", CronExpr::parse("@hourly").unwrap()), "0 0 * * * ?|");
}

#[test]
fn expressions_are_equal_by_their_text() {
    let parse = |text: &str| CronExpr::parse(text).unwrap();
    assert_eq!(parse("0 0 12 ? * mon"), parse("0  0 12 ? * MON"));
    assert_ne!(parse("0 0 12 ? * 2"), parse("0 0 12 ? * MON"), "the same times, in other words");
    let set: HashSet<_> = [parse("@daily"), parse("0 0 0 * * ?"), parse("@midnight")].into();
    assert_eq!(set.len(), 1);
}

#[test]
fn fixed_times_are_told_from_intervals() {
    let fixed = |text: &str| CronExpr::parse(text).unwrap().is_fixed_time();
    assert!(fixed("0 30 2 * * ?") && fixed("0,30 15,45 2,14 ? * MON-FRI"));
    assert!(!fixed("* 30 2 * * ?") && !fixed("0 0-5 2 * * ?") && !fixed("0 0 2/12 * * ?"));
    assert!(!fixed("0 0 2-2 * * ?") && !fixed("0 /15 2 * * ?"));
}

#[test]
fn everyday_expressions_need_no_text() {
    let text = |built: Result<CronExpr, _>| built.map(|expr| expr.to_string()).unwrap();
    assert_eq!(text(CronExpr::daily_at(2, 30)), "0 30 2 * * ?");
    assert_eq!(text(CronExpr::weekly_on(&[Weekday::Mon, Weekday::Sun], 9, 0)), "0 0 9 ? * MON,SUN");
    assert_eq!(text(CronExpr::monthly_on(31, 0, 0)), "0 0 0 31 * ?");
    let message = |built: Result<CronExpr, scheduler_syntax::cron::CronError>| built.unwrap_err().to_string();
    assert!(message(CronExpr::daily_at(24, 0)).contains("hour field has `24`"));
    assert!(message(CronExpr::monthly_on(0, 0, 0)).contains("day-of-month field has `0`"));
    assert!(message(CronExpr::weekly_on(&[], 0, 0)).contains("5 fields"));
}
