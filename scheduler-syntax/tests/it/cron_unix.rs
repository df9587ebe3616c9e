//! The five fields of a crontab.

use scheduler_syntax::cron::CronExpr;

use crate::cron_civil::days_of;

#[track_caller]
fn normal(unix: &str, expected: &str) {
    let parsed = CronExpr::parse_unix(unix).unwrap();
    assert_eq!(parsed.as_str(), expected, "{unix}");
    assert_eq!(CronExpr::parse(parsed.as_str()).unwrap(), parsed, "is read back");
    assert_eq!(CronExpr::parse(&format!("@unix {unix}")).unwrap(), parsed, "the mark means the same");
}

#[test]
fn what_quartz_can_say_becomes_its_form() {
    normal("30 2 * * *", "0 30 2 * * ?");
    normal("*/15 8-17 * jan-mar *", "0 */15 8-17 * JAN-MAR ?");
    normal("0 0 1,15 * *", "0 0 0 1,15 * ?");
    normal("0 0 */2 * *", "0 0 0 */2 * ?");
    normal("0 0 1-31 * 5", "0 0 0 * * ?");
}

#[test]
fn weekdays_count_from_sunday_and_seven_is_sunday_too() {
    normal("0 0 * * 0", "0 0 0 ? * SUN");
    normal("0 0 * * 7", "0 0 0 ? * SUN");
    normal("0 0 * * 1-5", "0 0 0 ? * MON-FRI");
    normal("0 0 * * 5-7", "0 0 0 ? * FRI-SUN");
    normal("0 0 * * 0-7", "0 0 0 * * ?");
    normal("0 0 * * 1-7/2", "0 0 0 ? * MON-SUN/2");
    normal("0 0 * * 1/2", "0 0 0 ? * MON-SAT/2");
    normal("0 0 * * sat,0", "0 0 0 ? * SAT,SUN");
    normal("0 0 * * */2", "0 0 0 ? * */2");
    let january = |text: &str| days_of(&CronExpr::parse_unix(text).unwrap(), 2027, 1);
    assert_eq!(january("0 0 * * 1-7/2"), [1, 3, 4, 6, 8, 10, 11, 13, 15, 17, 18, 20, 22, 24, 25, 27, 29, 31]);
    assert_eq!(january("0 0 * * sat-sun"), [2, 3, 9, 10, 16, 17, 23, 24, 30, 31]);
    normal("0 0 13 * 5-7", "@UNIX 0 0 13 * FRI-SUN");
}

#[test]
fn both_day_fields_are_joined_as_vixie_does() {
    normal("0 0 13 * 5", "@UNIX 0 0 13 * FRI");
    normal("0 0 */2 * 1", "@UNIX 0 0 */2 * MON");
    // Friday 1 January 2027.
    let january = |text: &str| days_of(&CronExpr::parse_unix(text).unwrap(), 2027, 1);
    assert_eq!(january("0 0 13 * 5"), [1, 8, 13, 15, 22, 29], "either is enough");
    assert_eq!(january("0 0 */2 * 1"), [11, 25], "a star asks for both");
}

#[test]
fn what_does_not_belong_to_the_form_is_refused() {
    let message = |text: &str| CronExpr::parse_unix(text).unwrap_err().to_string();
    assert!(message("0 30 2 * * ?").contains("begins with a second is Quartz's form"));
    assert!(message("30 2 ? * 1").contains("write `*`"));
    assert!(message("30 2 L * *").contains("belong to Quartz's form"));
    assert!(message("30 2 * * 6#3").contains("belong to Quartz's form"));
    assert!(message("30 2 * * 8").contains("day-of-week field has `8` at column 10; use 0-7"));
    assert!(message("60 2 * * *").contains("minute field has `60` at column 1"));
}

#[test]
fn macros_and_times_of_day_are_those_of_quartz() {
    normal("0,30 2 * * *", "0 0,30 2 * * ?");
    assert_eq!(CronExpr::parse_unix("@daily").unwrap().as_str(), "0 0 0 * * ?");
    assert!(CronExpr::parse_unix("0,30 2 * * *").unwrap().is_fixed_time());
    assert!(!CronExpr::parse_unix("0 */2 * * *").unwrap().is_fixed_time());
}

#[test]
fn a_day_that_must_match_both_day_fields_is_marked() {
    let friday = CronExpr::parse("@both 30 0 9 13 * FRI 2026").unwrap();
    assert_eq!(friday.as_str(), "@BOTH 30 0 9 13 * FRI 2026");
    assert_eq!(CronExpr::parse(friday.as_str()).unwrap(), friday);
    let asked = "2026-01-01T00:00:00Z".parse().unwrap();
    let found = friday.next_n(asked, chrono_tz::UTC, Default::default(), 9);
    let found: Vec<_> = found.iter().map(|time| time.format("%m-%d %T").to_string()).collect();
    assert_eq!(found, ["02-13 09:00:30", "03-13 09:00:30", "11-13 09:00:30"]);
    let message = |text: &str| CronExpr::parse(text).unwrap_err().to_string();
    assert!(message("@both 0 0 9 ? * FRI").contains("write `*`"));
    assert!(message("@both 0 0 9 L * FRI").contains("do not go with `@both`"));
}
