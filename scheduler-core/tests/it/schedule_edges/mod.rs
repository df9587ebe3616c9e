//! The edges of schedules: starts and ends, days on which clocks change, short months, windows over midnight, final times.
//!
//! The numbers `T1` and so on name the kinds of cases.

mod bounds;
mod calendar_days;
mod final_times;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::trigger::{
    CalendarIntervalSchedule, CronSchedule, DailySchedule, Progress, RecurrenceSchedule, Schedule, Trigger,
    TriggerBuilder, UnionSchedule, Unit,
};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zone(name: &str) -> Tz {
    name.parse().unwrap()
}

fn window(every: Duration, from: &str, to: &str, zone_name: &str) -> DailySchedule {
    let time = |text: &str| text.parse::<NaiveTime>().unwrap();
    DailySchedule::new(every, zone(zone_name)).from(time(from)).to(time(to))
}

fn every(count: u32, unit: Unit, zone_name: &str) -> CalendarIntervalSchedule {
    CalendarIntervalSchedule::new(count, unit, zone(zone_name))
}

fn rule(text: &str, zone_name: &str) -> Schedule {
    RecurrenceSchedule::new(text.parse().unwrap(), zone(zone_name)).into()
}

fn cron(text: &str, zone_name: &str) -> Schedule {
    CronSchedule::new(text.parse().unwrap(), zone(zone_name)).into()
}

fn interval(every: Duration) -> Schedule {
    build(Trigger::every(every), "2026-01-01T00:00:00Z").schedule().clone()
}

fn union<const N: usize>(schedules: [Schedule; N]) -> UnionSchedule {
    UnionSchedule::new(schedules)
}

fn build(builder: TriggerBuilder, start: &str) -> Trigger {
    builder.start_at(at(start)).name("edge").for_job("edge").build(at(start)).unwrap()
}

fn starting(schedule: impl Into<Schedule>, start: &str) -> Trigger {
    build(Trigger::scheduled(schedule), start)
}

fn lasting(schedule: impl Into<Schedule>, start: &str, end: &str) -> Trigger {
    build(Trigger::scheduled(schedule).end_at(at(end)), start)
}

/// The firings from the first one on, each from the one before.
fn walk(trigger: &Trigger) -> impl Iterator<Item = DateTime<Utc>> {
    let progress = std::iter::successors(Some(trigger.first(None)), |last| Some(trigger.fired(last, None)));
    progress.map_while(|progress: Progress| progress.next)
}

/// Fires at these times first, and is asked for them from shortly before.
#[track_caller]
fn fires(case: &str, trigger: &Trigger, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|text| at(text)).collect();
    let found: Vec<_> = walk(trigger).take(expected.len()).collect();
    assert_eq!(found, expected, "{case}: {}", trigger.schedule());
    for time in expected {
        let before = time - TimeDelta::milliseconds(1);
        assert_eq!(trigger.fire_time_after(before), Some(time), "{case}: asked at {before}");
    }
}

/// Fires at these times and never again, and knows that the last one is the last.
#[track_caller]
fn fires_only(case: &str, trigger: &Trigger, expected: &[&str]) {
    fires(case, trigger, expected);
    assert_eq!(walk(trigger).nth(expected.len()), None, "{case}: goes on");
    assert_eq!(trigger.final_fire_time(None), expected.last().map(|text| at(text)), "{case}: final time");
}

#[track_caller]
fn asked(case: &str, trigger: &Trigger, after: &str, expected: &str) {
    assert_eq!(trigger.fire_time_after(at(after)), Some(at(expected)), "{case}: asked after {after}");
}
