//! The edges of schedules: starts and ends, days on which clocks change, short months, windows over midnight, final times.
//!
//! The numbers `T1` and so on name the kinds of cases.

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

#[test]
fn t01_t02_no_kind_fires_after_its_end() {
    let hourly = || window(HOUR, "00:00:00", "23:59:59", "UTC");
    let (start, end) = ("2026-03-01T00:00:00Z", "2026-03-01T02:30:00Z");
    let three = ["2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z"];
    fires_only("T1 window", &lasting(hourly(), start, end), &three);
    fires_only("T1 union", &lasting(union([hourly().into()]), start, end), &three);
    fires_only("T1 cron", &lasting(cron("0 0 * * * ?", "UTC"), start, end), &three);
    fires_only("T1 rule", &lasting(rule("FREQ=HOURLY", "UTC"), start, end), &three);
    fires_only("T1 interval", &lasting(interval(HOUR), start, end), &three);
    fires_only("T1 hours", &lasting(every(1, Unit::Hour, "UTC"), start, end), &three);
    let both = union([hourly().into(), interval(2 * HOUR), every(1, Unit::Day, "UTC").into()]);
    fires_only("T1 union of kinds", &lasting(both, start, end), &three);

    let weekends = window(HOUR, "02:30:00", "23:59:00", "Europe/Berlin").on(&[Weekday::Sat, Weekday::Sun]);
    fires_only(
        "T2",
        &lasting(weekends, "2018-03-24T20:00:00Z", "2018-03-25T01:00:00Z"),
        &["2018-03-24T21:30:00+01:00", "2018-03-24T22:30:00+01:00", "2018-03-24T23:30:00+01:00"],
    );
}

/// Windows with any start and end, beside a list made day by day.
#[test]
fn t01_windows_with_any_start_and_end() {
    for seed in 0..2_808_u64 {
        let mut state = seed;
        let mut any = |below: i64| {
            // Knuth's constants for a linear congruential generator.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((state >> 33) % u64::try_from(below).unwrap()).unwrap()
        };
        // Clocks in Berlin change between two and three, so these begin outside of that.
        let time = |minute: i64| NaiveTime::MIN + TimeDelta::minutes(minute);
        let (from, to) = (time(200 + any(1_240)), time(any(1_440)));
        let every = TimeDelta::minutes(1 + any(300));
        let start = at("2026-03-26T00:00:00Z") + TimeDelta::milliseconds(any(86_400_000));
        let end = start + TimeDelta::milliseconds(any(4 * 86_400_000));
        let schedule = DailySchedule::new(every.to_std().unwrap(), Tz::Europe__Berlin).from(from).to(to);
        let builder = Trigger::scheduled(UnionSchedule::new([schedule.into()])).start_at(start).end_at(end);
        let trigger = builder.name("any").for_job("any").build(start).unwrap();
        let expected = listed(from, to, every, start, end);
        assert_eq!(walk(&trigger).collect::<Vec<_>>(), expected, "seed {seed}: {}", trigger.schedule());
        assert_eq!(trigger.final_fire_time(None), expected.last().copied(), "seed {seed}");
    }
}

/// The firings in Berlin from 25 March 2026 on, day by day.
fn listed(
    from: NaiveTime,
    to: NaiveTime,
    every: TimeDelta,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Vec<DateTime<Utc>> {
    let first_day: NaiveDate = "2026-03-25".parse().unwrap();
    let instant = |time: NaiveDateTime| match Tz::Europe__Berlin.from_local_datetime(&time).latest() {
        Some(found) => found.to_utc(),
        None => time.and_utc() - TimeDelta::hours(1),
    };
    let mut all = Vec::new();
    for day in first_day.iter_days().take(8) {
        let closes = if to < from { day.succ_opt().unwrap() } else { day };
        let next = instant(day.succ_opt().unwrap().and_time(from));
        let mut time = instant(day.and_time(from));
        while time <= instant(closes.and_time(to)) && time < next {
            all.push(time);
            time += every;
        }
    }
    all.retain(|time| start <= *time && *time <= end);
    all
}

#[test]
fn t01_an_end_that_is_a_fire_time() {
    let (start, end) = ("2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z");
    let (one, two) = (["2026-03-01T00:00:00Z"], ["2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z"]);
    fires_only("window", &lasting(window(HOUR, "00:00:00", "23:59:59", "UTC"), start, end), &two);
    fires_only("cron", &lasting(cron("0 0 * * * ?", "UTC"), start, end), &two);
    fires_only("rule", &lasting(rule("FREQ=HOURLY", "UTC"), start, end), &two);
    fires_only("interval", &lasting(interval(HOUR), start, end), &one);
    fires_only("hours", &lasting(every(1, Unit::Hour, "UTC"), start, end), &one);
    fires_only("days", &lasting(every(1, Unit::Day, "UTC"), start, "2026-03-02T00:00:00Z"), &one);
    let union = union([interval(HOUR), cron("0 0 1 * * ?", "UTC")]);
    fires_only("union", &lasting(union, start, end), &two);
    fires_only("no length", &lasting(every(1, Unit::Day, "UTC"), start, start), &one);
    fires_only("no length", &lasting(window(HOUR, "00:00:00", "23:59:59", "UTC"), start, start), &one);
    let nothing = lasting(window(HOUR, "05:00:00", "06:00:00", "UTC"), start, end);
    fires_only("over before it begins", &nothing, &[]);
}

#[test]
fn t03_a_start_within_a_second_is_not_passed() {
    let start = "2026-08-22T22:50:00.681Z";
    let five = || window(5 * MINUTE, "02:15:00", "23:59:59", "UTC");
    fires("T3", &starting(five(), start), &["2026-08-22T22:55:00Z", "2026-08-22T23:00:00Z"]);
    fires("T3 union", &starting(union([five().into()]), start), &["2026-08-22T22:55:00Z"]);
    fires("T3 cron", &starting(cron("0 0/5 * * * ?", "UTC"), start), &["2026-08-22T22:55:00Z"]);
    fires("T3 rule", &starting(rule("FREQ=MINUTELY;BYSECOND=0", "UTC"), start), &["2026-08-22T22:51:00Z"]);
    fires(
        "T3 begins",
        &starting(window(5 * MINUTE, "22:50:01", "23:59:59", "UTC"), start),
        &["2026-08-22T22:50:01Z", "2026-08-22T22:55:01Z"],
    );
    for unit in [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month, Unit::Year] {
        let trigger = starting(every(1, unit, "Europe/Berlin"), start);
        let first: Vec<_> = walk(&trigger).take(3).collect();
        assert_eq!(first[0], at(start), "T3 {unit:?}");
        assert!(first.iter().all(|time| time.timestamp_subsec_millis() == 681), "T3 {unit:?}: {first:?}");
    }
}

#[test]
fn t04_the_last_firing_is_found_within_the_last_second() {
    let office = || window(HOUR, "08:00:00", "17:00:00", "UTC");
    for schedule in
        [office().into(), Schedule::Union(union([office().into()])), cron("0 0 8-17 * * ?", "UTC")]
    {
        let trigger = starting(schedule, "2026-03-01T00:00:00Z");
        for asked_at in ["16:59:59.999Z", "16:59:59.500Z", "16:59:59.001Z", "16:59:59Z", "16:00:00.001Z"] {
            asked("T4", &trigger, &format!("2026-03-02T{asked_at}"), "2026-03-02T17:00:00Z");
        }
        asked("T4", &trigger, "2026-03-02T17:00:00Z", "2026-03-03T08:00:00Z");
    }
    // A calendar asks a millisecond before the first time that it includes.
    let until_five = Exclusion::daily(NaiveTime::MIN, "16:59:59.999".parse().unwrap());
    let calendar = StandardCalendar::new(until_five, Tz::UTC);
    let first = starting(office(), "2026-03-01T00:00:00Z").first(Some(&calendar));
    assert_eq!(first.next, Some(at("2026-03-01T17:00:00Z")), "T4 with a calendar");
}

#[test]
fn t05_a_count_per_day_is_counted_in_real_time() {
    let night = || window(HOUR, "00:00:00", "23:59:59", "Europe/Berlin").repeat_per_day(3);
    fires(
        "T5 forward",
        &starting(night(), "2026-03-28T23:00:00Z"),
        &[
            "2026-03-29T00:00:00+01:00",
            "2026-03-29T01:00:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T04:00:00+02:00",
            "2026-03-30T00:00:00+02:00",
        ],
    );
    fires(
        "T5 back",
        &starting(night(), "2026-10-24T22:00:00Z"),
        &[
            "2026-10-25T00:00:00+02:00",
            "2026-10-25T01:00:00+02:00",
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-26T00:00:00+01:00",
        ],
    );
    let huge = window(HOUR, "22:00:00", "23:00:00", "UTC").repeat_per_day(u32::MAX);
    fires(
        "T5 more than there are",
        &starting(huge, "2026-03-01T00:00:00Z"),
        &["2026-03-01T22:00:00Z", "2026-03-01T23:00:00Z", "2026-03-02T22:00:00Z"],
    );
}

#[test]
fn t06_t07_a_missing_hour_moves_no_later_day() {
    let trigger = starting(every(1, Unit::Day, "Europe/Amsterdam"), "2025-03-01T01:30:00Z");
    asked("T6", &trigger, "2025-04-01T00:00:00Z", "2025-04-01T02:30:00+02:00");
    let trigger = starting(every(1, Unit::Day, "Europe/Amsterdam"), "2025-03-28T01:30:00Z");
    fires(
        "T7",
        &trigger,
        &[
            "2025-03-28T02:30:00+01:00",
            "2025-03-29T02:30:00+01:00",
            "2025-03-30T03:30:00+02:00",
            "2025-03-31T02:30:00+02:00",
        ],
    );
    let dates: Vec<_> =
        walk(&trigger).take(25).map(|time| time.with_timezone(&Tz::Europe__Amsterdam).date_naive()).collect();
    assert!(dates.windows(2).all(|two| two[0].succ_opt() == Some(two[1])), "T7: {dates:?}");
    fires(
        "T7 weekly",
        &starting(every(1, Unit::Week, "America/New_York"), "2026-03-01T07:30:00Z"),
        &["2026-03-01T02:30:00-05:00", "2026-03-08T03:30:00-04:00", "2026-03-15T02:30:00-04:00"],
    );
    fires(
        "T7 midnight",
        &starting(every(1, Unit::Day, "America/Sao_Paulo"), "2018-11-03T03:00:00Z"),
        &["2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"],
    );
    fires(
        "T7 a date that is missing",
        &starting(every(1, Unit::Week, "Pacific/Apia"), "2011-12-23T20:00:00Z"),
        &["2011-12-23T10:00:00-10:00", "2012-01-06T10:00:00+14:00"],
    );
}

#[test]
fn t08_t10_the_hour_of_the_start_is_kept() {
    for keep in [false, true] {
        let berlin = every(1, Unit::Day, "Europe/Berlin").preserve_hour(keep);
        let trigger = starting(berlin.clone(), "2026-03-20T01:30:00Z");
        for asked_at in ["2026-03-29T00:29:00Z", "2026-03-29T00:45:00Z", "2026-03-29T01:29:59.999Z"] {
            asked("T8", &trigger, asked_at, "2026-03-29T03:30:00+02:00");
        }
        asked("T8", &trigger, "2026-03-29T01:30:00Z", "2026-03-30T02:30:00+02:00");
        let skipping = starting(berlin.skip_missing_hour(true), "2026-03-28T01:30:00Z");
        fires("T8 skip", &skipping, &["2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"]);

        let island = every(1, Unit::Day, "Australia/Lord_Howe").preserve_hour(keep);
        fires(
            "T10",
            &starting(island, "2025-10-02T15:45:00Z"),
            &[
                "2025-10-03T02:15:00+10:30",
                "2025-10-04T02:15:00+10:30",
                "2025-10-05T02:45:00+11:00",
                "2025-10-06T02:15:00+11:00",
            ],
        );
        let doubled = every(1, Unit::Day, "Europe/Berlin").preserve_hour(keep);
        fires(
            "T8 doubled",
            &starting(doubled, "2026-10-24T00:30:00Z"),
            &["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        );
    }
    let second_pass = starting(every(1, Unit::Day, "Europe/Berlin"), "2026-10-25T01:30:00Z");
    fires("T8", &second_pass, &["2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"]);
}

#[test]
fn t09_short_months_and_leap_days_do_not_drift() {
    fires(
        "T9 monthly",
        &starting(every(1, Unit::Month, "UTC"), "2025-08-31T00:00:00Z"),
        &[
            "2025-08-31T00:00:00Z",
            "2025-09-30T00:00:00Z",
            "2025-10-31T00:00:00Z",
            "2025-11-30T00:00:00Z",
            "2025-12-31T00:00:00Z",
            "2026-01-31T00:00:00Z",
            "2026-02-28T00:00:00Z",
            "2026-03-31T00:00:00Z",
        ],
    );
    fires(
        "T9 yearly",
        &starting(every(1, Unit::Year, "UTC"), "2024-02-29T00:00:00Z"),
        &[
            "2024-02-29T00:00:00Z",
            "2025-02-28T00:00:00Z",
            "2026-02-28T00:00:00Z",
            "2027-02-28T00:00:00Z",
            "2028-02-29T00:00:00Z",
        ],
    );
    fires(
        "T9 quarterly",
        &starting(every(3, Unit::Month, "Europe/Berlin"), "2025-11-30T23:30:00Z"),
        &["2025-12-01T00:30:00+01:00", "2026-03-01T00:30:00+01:00", "2026-06-01T00:30:00+02:00"],
    );
    let quartz = every(1, Unit::Month, "UTC").as_quartz(true);
    fires(
        "T9 as Quartz",
        &starting(quartz, "2025-08-31T00:00:00Z"),
        &["2025-08-31T00:00:00Z", "2025-09-30T00:00:00Z", "2025-10-30T00:00:00Z"],
    );
}

#[test]
fn m2_a_window_may_pass_midnight() {
    let late = window(2 * HOUR, "22:00:00", "02:00:00", "Europe/Berlin");
    fires(
        "M2 from within",
        &starting(late.clone(), "2026-06-01T22:30:00Z"),
        &["2026-06-02T02:00:00+02:00", "2026-06-02T22:00:00+02:00", "2026-06-03T00:00:00+02:00"],
    );
    fires(
        "M2 the day is that of the begin",
        &starting(late.clone().on(&[Weekday::Fri]), "2026-06-05T00:00:00Z"),
        &[
            "2026-06-05T22:00:00+02:00",
            "2026-06-06T00:00:00+02:00",
            "2026-06-06T02:00:00+02:00",
            "2026-06-12T22:00:00+02:00",
        ],
    );
    // The end of the window is skipped by clocks and moves by an hour, like the real time of the window.
    fires(
        "M2 forward",
        &starting(window(2 * HOUR, "22:30:00", "02:30:00", "Europe/Berlin"), "2026-03-28T12:00:00Z"),
        &[
            "2026-03-28T22:30:00+01:00",
            "2026-03-29T00:30:00+01:00",
            "2026-03-29T03:30:00+02:00",
            "2026-03-29T22:30:00+02:00",
        ],
    );
    fires(
        "M2 back",
        &starting(late.clone(), "2026-10-24T12:00:00Z"),
        &[
            "2026-10-24T22:00:00+02:00",
            "2026-10-25T00:00:00+02:00",
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T22:00:00+01:00",
        ],
    );
    fires(
        "M2 count per window",
        &starting(late.clone().repeat_per_day(1), "2026-06-01T12:00:00Z"),
        &["2026-06-01T22:00:00+02:00", "2026-06-02T00:00:00+02:00", "2026-06-02T22:00:00+02:00"],
    );
    fires_only(
        "M2 end",
        &lasting(late.repeat(9), "2026-06-01T12:00:00Z", "2026-06-01T23:59:00Z"),
        &["2026-06-01T22:00:00+02:00", "2026-06-02T00:00:00+02:00"],
    );
    fires(
        "M2 most of a day",
        &starting(window(7 * HOUR, "06:00:00", "05:59:59", "UTC"), "2026-06-01T12:00:00Z"),
        &["2026-06-01T13:00:00Z", "2026-06-01T20:00:00Z", "2026-06-02T03:00:00Z", "2026-06-02T06:00:00Z"],
    );
}

#[test]
fn windows_on_days_of_change() {
    let berlin = |from, to| window(30 * MINUTE, from, to, "Europe/Berlin");
    fires(
        "begins in the first of two hours",
        &starting(berlin("02:30:00", "03:00:00"), "2026-10-24T12:00:00Z"),
        &[
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00",
            "2026-10-26T02:30:00+01:00",
        ],
    );
    fires(
        "begins in the second of two hours, as Quartz",
        &starting(berlin("02:30:00", "03:00:00").as_quartz(true), "2026-10-24T12:00:00Z"),
        &["2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"],
    );
    fires(
        "ends in the second of two hours",
        &starting(berlin("02:00:00", "02:00:00"), "2026-10-24T12:00:00Z"),
        &["2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"],
    );
    fires(
        "lies within the gap",
        &starting(berlin("02:10:00", "02:40:00"), "2026-03-28T12:00:00Z"),
        &[
            "2026-03-29T03:10:00+02:00",
            "2026-03-29T03:40:00+02:00",
            "2026-03-30T02:10:00+02:00",
            "2026-03-30T02:40:00+02:00",
        ],
    );
    fires(
        "would begin after its end",
        &starting(berlin("02:30:00", "03:15:00"), "2026-03-28T12:00:00Z"),
        &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-30T03:00:00+02:00"],
    );
    fires(
        "begins in a gap at midnight",
        &starting(window(HOUR, "00:30:00", "02:00:00", "Africa/Cairo"), "2026-04-23T12:00:00Z"),
        &["2026-04-24T01:30:00+03:00", "2026-04-25T00:30:00+03:00", "2026-04-25T01:30:00+03:00"],
    );
    fires(
        "on a date that is missing",
        &starting(window(12 * HOUR, "06:00:00", "18:00:00", "Pacific/Apia"), "2011-12-29T17:00:00Z"),
        &["2011-12-29T18:00:00-10:00", "2011-12-31T06:00:00+14:00", "2011-12-31T18:00:00+14:00"],
    );
    let fridays = window(12 * HOUR, "06:00:00", "18:00:00", "Pacific/Apia").on(&[Weekday::Fri]);
    fires(
        "on a Friday that is missing",
        &starting(fridays, "2011-12-29T17:00:00Z"),
        &["2012-01-06T06:00:00+14:00"],
    );
}

#[test]
fn t13_a_schedule_that_ends_knows_its_final_time() {
    let start = "2026-06-01T00:00:00Z";
    let rules = [
        ("FREQ=HOURLY;UNTIL=20260601T030000Z", "UTC", "2026-06-01T03:00:00Z"),
        ("FREQ=HOURLY;UNTIL=20260601T030000", "America/New_York", "2026-06-01T03:00:00-04:00"),
        ("FREQ=HOURLY;UNTIL=20260601T030000", "Pacific/Kiritimati", ""),
        ("FREQ=DAILY;UNTIL=20260610", "Asia/Tokyo", "2026-06-10T09:00:00+09:00"),
        ("FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20261231", "Europe/Berlin", "2026-12-25T02:00:00+01:00"),
        ("FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0;BYSECOND=0;COUNT=5", "UTC", "2026-06-03T09:00:00Z"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;COUNT=3", "UTC", "2036-02-29T00:00:00Z"),
        ("FREQ=MINUTELY;COUNT=10000001", "Europe/Berlin", "2045-06-05T10:40:00Z"),
        ("FREQ=SECONDLY;COUNT=1000000001", "UTC", "2058-02-07T01:46:40Z"),
        ("FREQ=MINUTELY;BYHOUR=9,10;BYDAY=MO;COUNT=10000", "Asia/Tokyo", "2028-01-03T09:39:00+09:00"),
        ("FREQ=DAILY", "UTC", ""),
    ];
    for (text, zone, last) in rules {
        let expected = (!last.is_empty()).then(|| at(last));
        assert_eq!(starting(rule(text, zone), start).final_fire_time(None), expected, "T13 {text} in {zone}");
    }
    let years = starting(cron("0 0 12 1 1 ? 2026-2028", "UTC"), "2026-01-01T00:00:00Z");
    assert_eq!(years.final_fire_time(None), Some(at("2028-01-01T12:00:00Z")), "T13 years");
    let far = starting(cron("0 0 12 31 12 ? 2030", "Pacific/Pago_Pago"), start);
    fires_only("T13 last year far behind UTC", &far, &["2030-12-31T12:00:00-11:00"]);

    let ends = || rule("FREQ=HOURLY;UNTIL=20260601T030000Z", "UTC");
    let both = union([ends(), Schedule::Once, cron("0 0 12 1 1 ? 2026-2028", "UTC")]);
    assert_eq!(starting(both, start).final_fire_time(None), Some(at("2028-01-01T12:00:00Z")), "T13 union");
    let open = union([ends(), cron("0 0 12 1 1 ?", "UTC")]);
    assert_eq!(starting(open.clone(), start).final_fire_time(None), None, "T13 union without an end");
    let closed = lasting(open, start, "2027-06-01T00:00:00Z");
    assert_eq!(closed.final_fire_time(None), Some(at("2027-01-01T12:00:00Z")), "T13 union with an end");

    let weekdays = StandardCalendar::new(Exclusion::weekly(&[Weekday::Mon, Weekday::Tue]), Tz::UTC);
    let trigger = starting(rule("FREQ=DAILY;UNTIL=20260609", "UTC"), start);
    assert_eq!(trigger.final_fire_time(Some(&weekdays)), Some(at("2026-06-07T00:00:00Z")), "T13 calendar");
}

/// Each would take minutes if firings were counted.
#[test]
fn t14_a_final_time_is_computed() {
    let start = "2026-01-01T00:00:00Z";
    let beyond = build(Trigger::every(Duration::from_millis(u64::MAX / 4)).repeat(5), start);
    assert_eq!(beyond.final_fire_time(None), Some(at(start)), "T14 no time for a second firing");
    let counted =
        |end: &str| build(Trigger::every(Duration::from_millis(1)).repeat(u32::MAX).end_at(at(end)), start);
    let last = |trigger: &Trigger| trigger.final_fire_time(None).unwrap();
    assert_eq!(
        last(&counted("2026-02-01T00:00:00Z")),
        at("2026-01-31T23:59:59.999Z"),
        "T14 the end is first"
    );
    assert_eq!(
        last(&counted("2027-01-01T00:00:00Z")),
        at("2026-02-19T17:02:47.295Z"),
        "T14 the count is first"
    );
    let weekends = StandardCalendar::new(Exclusion::weekly(&[Weekday::Thu]), Tz::UTC);
    let trigger = counted("2027-01-01T00:00:00Z");
    assert_eq!(
        trigger.final_fire_time(Some(&weekends)),
        Some(at("2026-02-18T23:59:59.999Z")),
        "T14 calendar"
    );
    let until = lasting(cron("* * * * * ?", "UTC"), start, "2199-01-01T00:00:00Z");
    let only_2026 = StandardCalendar::new(Exclusion::cron("* * * * * ? 2027-2199").unwrap(), Tz::UTC);
    assert_eq!(
        until.final_fire_time(Some(&only_2026)),
        Some(at("2026-12-31T23:59:59Z")),
        "T14 long exclusion"
    );
    let window =
        starting(window(Duration::from_secs(1), "00:00:00", "23:59:59", "UTC").repeat(2_000_000_000), start);
    assert_eq!(last(&window), at("2089-05-18T03:33:20Z"), "T14 windows");
}

#[test]
fn t14_the_final_time_of_counted_windows_is_that_of_the_walk() {
    for (name, to) in
        [("Europe/Berlin", "23:59:59"), ("America/St_Johns", "23:59:59"), ("Pacific/Apia", "05:00:00")]
    {
        let schedule = window(25 * MINUTE, "06:10:00", to, name).repeat(30_000);
        let trigger = starting(schedule, "2010-11-01T00:00:00.250Z");
        assert_eq!(trigger.final_fire_time(None), walk(&trigger).last(), "T14 {name}");
        assert_eq!(walk(&trigger).count(), 30_001, "T14 {name}");
    }
}

#[test]
fn t14_the_final_time_of_counted_rules_is_that_of_the_walk() {
    let rules = [
        "FREQ=HOURLY;COUNT=20000",
        "FREQ=HOURLY;INTERVAL=7;COUNT=3000",
        "FREQ=MINUTELY;INTERVAL=25;BYHOUR=0,1,2,3,23;COUNT=9000",
        "FREQ=MINUTELY;INTERVAL=90;BYDAY=SA,SU;COUNT=2000",
        "FREQ=HOURLY;BYMINUTE=10,20,30;BYSETPOS=-1;BYMONTHDAY=1,15,-1;COUNT=2000",
        "FREQ=MONTHLY;BYDAY=MO;BYHOUR=2,9;BYSETPOS=1,2,3;COUNT=200",
        "FREQ=DAILY;BYHOUR=0,2;BYMINUTE=30;COUNT=1000",
    ];
    for text in rules {
        for name in ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo"] {
            let trigger = starting(rule(text, name), "2009-11-01T00:20:00.250Z");
            assert_eq!(trigger.final_fire_time(None), walk(&trigger).last(), "T14 {text} in {name}");
            let end = trigger.final_fire_time(None).unwrap() - TimeDelta::hours(30);
            let shorter = trigger.to_builder().end_at(end).build(trigger.start()).unwrap();
            assert_eq!(shorter.final_fire_time(None), walk(&shorter).last(), "T14 {text} in {name} to {end}");
        }
    }
}

#[test]
fn the_count_of_an_interval_is_one_of_its_grid_that_of_a_rule_one_of_firings() {
    let start = "2026-01-01T00:00:00Z";
    let holiday = StandardCalendar::new(Exclusion::holidays(["2026-01-02".parse().unwrap()]), Tz::UTC);
    let count = |trigger: &Trigger| {
        let progress = std::iter::successors(Some(trigger.first(Some(&holiday))), |last| {
            Some(trigger.fired(last, Some(&holiday)))
        });
        progress.take_while(|progress| progress.next.is_some()).count()
    };
    assert_eq!(count(&build(Trigger::every(24 * HOUR).repeat(3), start)), 3);
    assert_eq!(count(&starting(rule("FREQ=DAILY;COUNT=4", "UTC"), start)), 4);
    let noon = window(HOUR, "12:00:00", "12:00:00", "UTC").repeat(3);
    assert_eq!(count(&starting(noon, start)), 4);
}

#[test]
fn the_ends_of_time_are_not_passed() {
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let schedules = [
        Schedule::Once,
        interval(HOUR),
        every(1, Unit::Second, "Asia/Tokyo").into(),
        every(u32::MAX, Unit::Day, "Asia/Tokyo").into(),
        every(u32::MAX, Unit::Year, "America/New_York").into(),
        every(1, Unit::Month, "America/New_York").skip_missing_hour(true).into(),
        window(HOUR, "22:00:00", "02:00:00", "Pacific/Kiritimati").into(),
        cron("0 0 0 * * ?", "America/New_York"),
        rule("FREQ=DAILY", "America/New_York"),
    ];
    for schedule in schedules.clone().into_iter().chain([UnionSchedule::new(schedules).into()]) {
        let trigger = starting(schedule, "2026-01-01T00:00:00Z");
        let told = format!("{} ", trigger.schedule());
        assert!(trigger.fire_time_after(first).is_some_and(|time| time >= trigger.start()), "{told}");
        assert_eq!(trigger.fire_time_after(last), None, "{told}");
        let endless = trigger.to_builder().end_at(last).build(trigger.start()).unwrap();
        assert!(endless.final_fire_time(None).is_some_and(|time| time >= trigger.start()), "{told}");
        for start in [first, last] {
            let extreme = endless.to_builder().start_at(start).build(start).unwrap();
            let times = [first, trigger.start(), last].map(|time| extreme.fire_time_after(time));
            let inside = times.into_iter().flatten().all(|time| time >= extreme.start());
            assert!(inside, "{told} from {start}");
            extreme.final_fire_time(None);
        }
    }
}
