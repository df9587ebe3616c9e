//! Daily calendars read the wall clock, whatever clocks do on that day.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_core::calendar::{Calendar, Exclusion, StandardCalendar};

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn time(text: &str) -> NaiveTime {
    text.parse().unwrap()
}

#[test]
fn t15_both_passes_of_a_doubled_hour_are_left_out() {
    let night = Exclusion::daily(time("02:00:00"), time("02:59:59.999"));
    let calendar = StandardCalendar::new(night, Tz::Europe__Berlin);
    assert!(!calendar.includes(utc("2026-10-25T00:30:00Z")), "the first 02:30");
    assert!(!calendar.includes(utc("2026-10-25T01:30:00Z")), "the second 02:30");
    assert_eq!(calendar.next_included(utc("2026-10-25T00:30:00Z")), Some(utc("2026-10-25T02:00:00Z")));
    assert!(calendar.includes(utc("2026-03-29T01:00:00Z")), "03:00, right after the gap");
}

#[test]
fn t16_a_range_goes_over_midnight() {
    let night = || (time("22:00:00"), time("06:00:00"));
    let (from, to) = night();
    let awake = StandardCalendar::new(Exclusion::daily(from, to), Tz::UTC);
    assert!(!awake.includes(utc("2026-05-01T23:00:00Z")) && !awake.includes(utc("2026-05-01T05:00:00Z")));
    assert_eq!(awake.next_included(utc("2026-05-01T23:00:00Z")), Some(utc("2026-05-02T06:00:00.001Z")));
    let asleep = StandardCalendar::new(Exclusion::all_but(from, to), Tz::UTC);
    assert_eq!(asleep.next_included(utc("2026-05-01T12:00:00Z")), Some(utc("2026-05-01T22:00:00Z")));
}

/// Half-hour changes, gaps, doubled hours and a missing day: the answer is the first included minute.
#[test]
fn t15_asking_and_walking_agree() {
    for (zone, day) in [
        (Tz::Europe__Berlin, "2026-10-24T12:00:00Z"),
        (Tz::Europe__Berlin, "2026-03-28T12:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-04-04T02:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-10-03T02:00:00Z"),
        (Tz::Pacific__Apia, "2011-12-29T20:00:00Z"),
        (Tz::America__Sao_Paulo, "2018-11-03T12:00:00Z"),
        (Tz::America__Sao_Paulo, "2018-02-17T12:00:00Z"),
        (Tz::Asia__Beirut, "2026-03-28T12:00:00Z"),
        (Tz::Asia__Beirut, "2026-10-24T12:00:00Z"),
        (Tz::Africa__Cairo, "2026-04-23T12:00:00Z"),
        (Tz::America__Scoresbysund, "2024-03-30T12:00:00Z"),
        (Tz::America__Scoresbysund, "2023-10-28T12:00:00Z"),
        (Tz::Antarctica__Troll, "2026-03-28T12:00:00Z"),
        (Tz::Antarctica__Troll, "2026-10-24T12:00:00Z"),
        (Tz::America__Havana, "2026-10-31T12:00:00Z"),
    ] {
        for (from, to) in [
            ("02:15:00", "02:44:59.999"),
            ("01:30:00", "03:29:59.999"),
            ("22:00:00", "02:29:59.999"),
            ("00:00:00", "00:59:59.999999"),
            ("23:30:00", "23:59:59.999999"),
        ] {
            for make in [Exclusion::daily, Exclusion::all_but] {
                let calendar = StandardCalendar::new(make(time(from), time(to)), zone);
                let minutes: Vec<_> = (0..48 * 60).map(|n| utc(day) + TimeDelta::minutes(n)).collect();
                for (n, at) in minutes.iter().enumerate().step_by(7) {
                    let walked = minutes[n..].iter().find(|minute| calendar.includes(**minute));
                    let asked = calendar.next_included(*at);
                    assert!(walked.is_none() || asked.as_ref() == walked, "{zone} {from}-{to} at {at}");
                }
            }
        }
    }
}

#[test]
fn a_daily_range_ends_with_a_whole_millisecond() {
    let midnight = "2026-05-02T00:00:00Z";
    for to in ["23:59:59.999", "23:59:59.9991", "23:59:59.999999", "23:59:59.999999999"] {
        let evening = StandardCalendar::new(Exclusion::daily(time("22:00:00"), time(to)), Tz::UTC);
        assert_eq!(evening.next_included(utc("2026-05-01T22:30:00.0005Z")), Some(utc(midnight)), "{to}");
        for at in ["22:00:00", "23:59:59.999", "23:59:59.9995", "23:59:59.999999999"] {
            assert!(!evening.includes(utc(&format!("2026-05-01T{at}Z"))), "{to} at {at}");
        }
        assert!(evening.includes(utc(midnight)) && evening.includes(utc("2026-05-01T21:59:59.999999Z")));
        let only = StandardCalendar::new(Exclusion::all_but(time("22:00:00"), time(to)), Tz::UTC);
        assert!(only.includes(utc("2026-05-01T23:59:59.9999Z")) && !only.includes(utc(midnight)), "{to}");
    }
    let noon = StandardCalendar::new(Exclusion::all_but(time("12:00:00.0005"), time("12:59:59")), Tz::UTC);
    assert_eq!(noon.next_included(utc("2026-05-01T08:00:00Z")), Some(utc("2026-05-01T12:00:00Z")));
}
