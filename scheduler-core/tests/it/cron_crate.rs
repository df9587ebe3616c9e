//! Schedules of the crate `cron` keep their fire times.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use scheduler_core::trigger::{CronSchedule, Schedule, Trigger};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn converted(text: &str) -> CronSchedule {
    cron::Schedule::from_str(text).unwrap().into()
}

#[test]
fn fire_times_are_those_of_the_crate() {
    let asked = at("2026-02-03T04:05:06Z");
    for text in [
        "0 30 9,12,15 1,15 May-Aug Mon,Wed,Fri 2028/2",
        "0 0 9 13 * Fri",
        "0 0 9 * * 1-5",
        "*/7 * * * * *",
        "0 5/20,3 1-4,9 * * *",
        "30 0 0 31 * ?",
        "0 0 0 29 2 * 2028,2032",
        "@weekly",
        "@hourly",
        "@yearly",
    ] {
        let theirs: Vec<_> = cron::Schedule::from_str(text).unwrap().after(&asked).take(30).collect();
        let ours = converted(text);
        let found = ours.expression().next_n(asked, ours.zone(), ours.dst(), theirs.len());
        assert_eq!(found, theirs, "{text}: {}", ours.expression());
    }
}

#[test]
fn texts_stay_short_and_intervals_stay_intervals() {
    for (text, expected) in [
        ("0 0 9 * * Mon-Fri", "0 0 9 ? * 2-6/1"),
        ("0 */10 * * * *", "0 0-50/10 * * * ?"),
        ("0 0 1,2,3 * * *", "0 0 1,2,3 * * ?"),
        ("0 0 9 13 * Fri", "@BOTH 0 0 9 13 * 6"),
        ("0 0 9 1 1 * 2030", "0 0 9 1 1 ? 2030"),
    ] {
        assert_eq!(converted(text).expression().as_str(), expected, "{text}");
    }
    assert!(converted("0 0 1,2,3 * * *").expression().is_fixed_time());
    assert!(!converted("0 0 1-3 * * *").expression().is_fixed_time());
    assert!(!converted("0 5/20,3 1 * * *").expression().is_fixed_time());
}

#[test]
fn the_zone_is_that_of_the_trigger() {
    let schedule = cron::Schedule::from_str("0 30 9 * * *").unwrap();
    let now = at("2026-01-01T00:00:00Z");
    let trigger = Trigger::scheduled(schedule.clone()).time_zone("Europe/Berlin").name("a").for_job("b");
    assert_eq!(trigger.build(now).unwrap().fire_time_after(now), Some(at("2026-01-01T08:30:00Z")));
    assert_eq!(Schedule::from(schedule.clone()), Schedule::Cron(CronSchedule::from(schedule)));
}
