//! The last firing of a schedule, which is computed and agrees with the walk.

use super::*;

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
