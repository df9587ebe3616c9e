//! What holds for every kind of schedule, in every zone, around every change of clocks from 1970 to 2037.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveTime, Offset, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};
use scheduler_core::calendar::{Calendar, Exclusion, StandardCalendar};
use scheduler_core::trigger::{
    CalendarIntervalSchedule, CronSchedule, DailySchedule, DstPolicy, Gap, Misfire, Overlap, Progress,
    RecurrenceSchedule, Schedule, Trigger, UnionSchedule, Unit,
};

/// How many of the kinds are tried at each change; the next change goes on with the next kinds.
const AT_ONCE: usize = 4;

/// How many kinds there are; prime to the numbers of instants and of calendars that go round with them.
const KINDS: usize = 25;

fn offset(zone: Tz, second: i64) -> i32 {
    zone.offset_from_utc_datetime(&instant(second).naive_utc()).fix().local_minus_utc()
}

fn instant(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// The seconds at which clocks of a zone are set; of several within a day the last is found.
fn changes(zone: Tz) -> Vec<i64> {
    let days = (0..68 * 365).map(|day| day * 86_400);
    days.filter(|day| offset(zone, *day) != offset(zone, day + 86_400))
        .map(|day| {
            let (mut same, mut at) = (day, day + 86_400);
            while at - same > 1 {
                let middle = same + (at - same) / 2;
                let changed = offset(zone, middle) == offset(zone, day + 86_400);
                *(if changed { &mut at } else { &mut same }) = middle;
            }
            at
        })
        .collect()
}

fn cron(text: &str, zone: Tz, gap: Gap, overlap: Overlap) -> Schedule {
    CronSchedule::new(text.parse().unwrap(), zone).with_dst(DstPolicy { gap, overlap }).into()
}

fn rule(text: &str, zone: Tz) -> Schedule {
    RecurrenceSchedule::new(text.parse().unwrap(), zone).into()
}

fn every(count: u32, unit: Unit, zone: Tz) -> CalendarIntervalSchedule {
    CalendarIntervalSchedule::new(count, unit, zone)
}

fn window(every: u64, from: (u32, u32), to: (u32, u32), zone: Tz) -> DailySchedule {
    let time = |(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
    DailySchedule::new(Duration::from_secs(every), zone).from(time(from)).to(time(to))
}

/// One of each kind with its options. Numbers go round.
fn schedule(number: usize, zone: Tz) -> Schedule {
    let nightly = "0 0,30 0,1,2,3 * * ?";
    match number % KINDS {
        0 => cron(nightly, zone, Gap::RunAfter, Overlap::First),
        1 => cron(nightly, zone, Gap::Shift, Overlap::Second),
        2 => cron(nightly, zone, Gap::Skip, Overlap::Both),
        3 => cron("0 0/20 * * * ?", zone, Gap::RunAfter, Overlap::First),
        4 => every(5, Unit::Hour, zone).into(),
        5 => every(1, Unit::Day, zone).into(),
        6 => every(1, Unit::Day, zone).preserve_hour(true).into(),
        7 => every(1, Unit::Day, zone).preserve_hour(true).skip_missing_hour(true).into(),
        8 => every(1, Unit::Week, zone).preserve_hour(true).into(),
        9 => every(1, Unit::Month, zone).into(),
        10 => window(2400, (0, 30), (4, 10), zone).into(),
        11 => window(2400, (0, 30), (4, 10), zone).on(&[Weekday::Sun, Weekday::Mon]).repeat_per_day(2).into(),
        12 => rule("FREQ=DAILY;BYHOUR=0,1,2,3;BYMINUTE=30", zone),
        13 => rule("FREQ=HOURLY;INTERVAL=2", zone),
        14 => rule("FREQ=MINUTELY;INTERVAL=25;BYSECOND=0,30", zone),
        15 => rule("FREQ=WEEKLY;BYDAY=SU,MO;BYHOUR=2;BYSETPOS=-1", zone),
        16 => Trigger::every(Duration::from_secs(3000))
            .name("x")
            .for_job("x")
            .build(instant(0))
            .unwrap()
            .schedule()
            .clone(),
        17 => UnionSchedule::new([
            cron("0 30 2 * * ?", zone, Gap::RunAfter, Overlap::First),
            every(7, Unit::Hour, zone).into(),
        ])
        .into(),
        18 => window(3300, (22, 30), (3, 10), zone).into(),
        19 => window(1500, (0, 0), (23, 59), zone).into(),
        20 => window(25_000, (2, 30), (2, 29), zone).repeat_per_day(2).into(),
        21 => window(600, (2, 10), (2, 40), zone).into(),
        22 => every(2, Unit::Day, zone).skip_missing_hour(true).into(),
        23 => every(1, Unit::Year, zone).into(),
        _ => UnionSchedule::new([
            window(4500, (23, 15), (1, 45), zone).into(),
            every(1, Unit::Day, zone).into(),
            rule("FREQ=DAILY;BYHOUR=1,2;BYMINUTE=15", zone),
        ])
        .into(),
    }
}

/// Starts days before the change, not always at a whole second, and ends within hours of it.
fn trigger(number: usize, zone: Tz, change: i64) -> Trigger {
    let odd = i64::try_from(number).unwrap() * 7_919;
    let start = instant(change - 9 * 86_400 - odd % 86_400) + TimeDelta::milliseconds(odd % 3 * 340);
    let end = instant(change - 5 * 3600 + odd % 50_000);
    let builder = Trigger::scheduled(schedule(number, zone)).start_at(start).end_at(end);
    builder.misfire(Misfire::Skip).name("law").for_job("law").build(start).unwrap()
}

/// What a trigger is asked with: nothing, or a calendar that cuts into the night or into the week.
fn calendar(number: usize, zone: Tz) -> Option<StandardCalendar> {
    let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
    let exclusion = match number % 4 {
        0 => Exclusion::daily(time(1, 15), time(2, 45)),
        1 => Exclusion::weekly(&[Weekday::Sat]),
        _ => return None,
    };
    Some(StandardCalendar::new(exclusion, zone))
}

#[test]
fn walking_and_asking_agree_and_stay_inside_whoever_asks() {
    let mut number = 0;
    let (mut zones, mut seen) = (0, 0);
    for zone in TZ_VARIANTS {
        zones += 1;
        for change in changes(zone) {
            for _ in 0..AT_ONCE {
                walk(number, change, zone);
                number += 1;
            }
            seen += 1;
        }
    }
    assert!(zones > 400 && seen > 20_000, "{zones} zones with {seen} changes");
}

/// From a day before the change to six hours after it.
fn walk(number: usize, change: i64, zone: Tz) {
    let trigger = trigger(number, zone, change);
    let calendar = calendar(number, zone);
    let calendar = calendar.as_ref().map(|calendar| calendar as &dyn Calendar);
    let told = |asked: DateTime<Utc>| {
        let around = instant(change);
        format!("case {number}: {} in {zone} around {around}, asked at {asked}", trigger.schedule())
    };
    // The policy drops what was missed, so this is the question for the next fire time.
    let ask = |progress: &Progress, at| trigger.misfired(progress, at, calendar).next;
    let mut passed = instant(change - 24 * 3600);
    let fresh = Progress::default();
    let mut progress = Progress { next: ask(&fresh, passed), ..fresh };
    while let Some(next) = progress.next {
        assert!(next > passed, "{next}, {}", told(passed));
        assert!(next >= trigger.start() && trigger.end().is_none_or(|end| next <= end), "{}", told(passed));
        for before in shortly_before(next, number).into_iter().filter(|before| *before >= passed) {
            assert_eq!(ask(&progress, before), Some(next), "{}", told(before));
            if calendar.is_none() {
                assert_eq!(trigger.fire_time_after(before), Some(next), "{}", told(before));
            }
        }
        if next > instant(change + 6 * 3600) {
            return;
        }
        passed = next;
        progress = trigger.fired(&progress, calendar);
    }
    if passed > instant(change - 24 * 3600) && number.is_multiple_of(16) {
        assert_eq!(trigger.final_fire_time(calendar), Some(passed), "{}", told(passed));
    }
}

/// Instants within the last second, minute, hour and day before a firing; others for each case.
fn shortly_before(next: DateTime<Utc>, number: usize) -> [DateTime<Utc>; 5] {
    let part = i64::try_from(number * 37 % 101).unwrap();
    [1, 10 * part, 600 * part, 36_000 * part, 864_000 * part]
        .map(|milliseconds| next - TimeDelta::milliseconds(milliseconds.max(1)))
}

#[test]
fn a_trigger_walks_through_the_times_that_it_tells() {
    for (number, zone) in [Tz::Europe__Berlin, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::UTC]
        .into_iter()
        .flat_map(|zone| (0..KINDS).map(move |number| (number, zone)))
    {
        let trigger = trigger(number, zone, 1_792_890_000);
        let weekends = StandardCalendar::new(Exclusion::weekly(&[Weekday::Sat]), zone);
        let mut progress = trigger.first(Some(&weekends));
        let mut last = None;
        for step in 0.. {
            let Some(due) = progress.next else { break };
            assert!(due.with_timezone(&zone).weekday() != Weekday::Sat, "{}: {due}", trigger.schedule());
            assert!(last.is_none_or(|last| last < due));
            assert_eq!(progress.fired, step);
            last = Some(due);
            progress = trigger.fired(&progress, Some(&weekends));
        }
        assert_eq!(trigger.final_fire_time(Some(&weekends)), last, "{}", trigger.schedule());
    }
}

#[test]
fn a_count_of_a_rule_counts_firings() {
    let fridays = StandardCalendar::new(Exclusion::weekly(&[Weekday::Fri]), Tz::UTC);
    let start = "2026-01-01T00:00:00Z".parse().unwrap();
    let trigger =
        Trigger::rrule("FREQ=DAILY;COUNT=3").start_at(start).name("a").for_job("b").build(start).unwrap();
    let last = trigger.final_fire_time(Some(&fridays)).unwrap();
    assert_eq!(last.to_rfc3339(), "2026-01-04T00:00:00+00:00");
    assert_eq!(trigger.final_fire_time(None).unwrap().to_rfc3339(), "2026-01-03T00:00:00+00:00");
}

#[test]
fn a_final_time_is_found_for_every_kind() {
    let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let last = |trigger: scheduler_core::trigger::TriggerBuilder| {
        let trigger = trigger.start_at(start).name("a").for_job("b").build(start).unwrap();
        trigger.final_fire_time(None).map(|time| time.to_rfc3339())
    };
    let end = "2030-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(last(Trigger::now()).unwrap(), "2026-01-01T00:00:00+00:00");
    assert_eq!(last(Trigger::every(Duration::from_secs(1))), None);
    assert_eq!(
        last(Trigger::every(Duration::from_secs(1)).repeat(u32::MAX)).unwrap(),
        "2162-02-07T06:28:15+00:00"
    );
    assert_eq!(
        last(Trigger::every(Duration::from_secs(1)).end_at(end)).unwrap(),
        "2029-12-31T23:59:59+00:00"
    );
    assert_eq!(last(Trigger::cron("0 0 0 29 2 ?").end_at(end)).unwrap(), "2028-02-29T00:00:00+00:00");
    assert_eq!(last(Trigger::cron("0 0 0 29 2 ?")), None);
    assert_eq!(
        last(Trigger::calendar_interval(1, Unit::Month).end_at(end)).unwrap(),
        "2029-12-01T00:00:00+00:00"
    );
}

#[test]
fn what_does_not_fit_is_said() {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let problem = |trigger: scheduler_core::trigger::TriggerBuilder| {
        trigger.name("a").for_job("b").build(now).unwrap_err().problems().join("\n")
    };
    let union = |schedules: Vec<Schedule>| Trigger::scheduled(UnionSchedule::new(schedules));
    let cases = [
        (
            Trigger::now().time_zone("Europe/Berlin"),
            "`time_zone` means nothing for a trigger that fires once; leave it out",
        ),
        (Trigger::calendar_interval(0, Unit::Day), "the calendar interval is 0; use at least 1"),
        (
            Trigger::calendar_interval(1, Unit::Day).dst(DstPolicy::default()),
            "`dst` means nothing for a trigger that fires every day (UTC)",
        ),
        (
            Trigger::cron("0 0 2 * * ?").repeat(3),
            "`repeat` means nothing for a trigger that fires at 02:00 (UTC); use `every`",
        ),
        (
            Trigger::rrule("FREQ=DAYLY"),
            "recurrence rule `FREQ=DAYLY`: `FREQ` has `DAYLY`; did you mean `DAILY`?",
        ),
        (union(vec![]), "the union has no schedule; give it at least one"),
        (
            union(vec![rule("FREQ=DAILY;COUNT=2", Tz::UTC)]),
            "`FREQ=DAILY;COUNT=2 (UTC)` of a union is limited to a number of firings",
        ),
    ];
    for (trigger, expected) in cases {
        let found = problem(trigger);
        assert!(found.contains(expected), "{found}");
    }
}
