//! Starts and ends: no firing lies outside of them, and none within is left out.

use super::*;

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
