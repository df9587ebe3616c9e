//! Recurrence rules finer than a day step in real time, whatever the clocks of the zone do.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use chrono_tz::{Australia, Europe::Berlin, Tz};
use proptest::prelude::*;
use scheduler_syntax::DstPolicy;
use scheduler_syntax::rrule::RecurrenceRule;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn next(
    rule: &RecurrenceRule,
    start: DateTime<Utc>,
    after: DateTime<Utc>,
    zone: Tz,
) -> Option<DateTime<Utc>> {
    rule.next_after(start, after, zone, DstPolicy::RFC_5545)
}

/// The first fires, as the wall clock of the zone shows them.
fn fires(rule: &str, start: &str, zone: Tz, count: usize) -> Vec<String> {
    let (rule, start) = (RecurrenceRule::parse(rule).unwrap(), at(start));
    let first = next(&rule, start, start - TimeDelta::seconds(1), zone);
    std::iter::successors(first, |last| next(&rule, start, *last, zone))
        .take(count)
        .map(|time| time.with_timezone(&zone).format("%dT%H:%M").to_string())
        .collect()
}

#[test]
fn t19_every_two_hours_are_two_hours() {
    let spring = fires("FREQ=HOURLY;INTERVAL=2", "2026-03-28T23:00:00Z", Berlin, 4);
    assert_eq!(spring, ["29T00:00", "29T03:00", "29T05:00", "29T07:00"]);
    let autumn = fires("FREQ=HOURLY;INTERVAL=2", "2026-10-24T22:00:00Z", Berlin, 4);
    assert_eq!(autumn, ["25T00:00", "25T02:00", "25T03:00", "25T05:00"]);
    let minutes = fires("FREQ=MINUTELY;INTERVAL=90", "2026-03-28T23:00:00Z", Berlin, 3);
    assert_eq!(minutes, ["29T00:00", "29T01:30", "29T04:00"]);
    let half_hour = fires("FREQ=HOURLY", "2026-10-03T14:00:00Z", Australia::Lord_Howe, 4);
    assert_eq!(half_hour, ["04T00:30", "04T01:30", "04T03:00", "04T04:00"]);
}

#[test]
fn t19_filters_read_the_wall_clock() {
    // Even hours in winter, odd ones in summer: never three o'clock before the change.
    let three = fires("FREQ=HOURLY;INTERVAL=2;BYHOUR=3", "2026-01-01T23:00:00Z", Berlin, 2);
    assert_eq!(three, ["29T03:00", "30T03:00"]);
    let july = fires("FREQ=HOURLY;INTERVAL=12;BYMONTH=7", "2026-01-01T23:00:00Z", Berlin, 2);
    assert_eq!(july, ["01T01:00", "01T13:00"]);
    let until = fires("FREQ=HOURLY;INTERVAL=2;UNTIL=20260329T030000", "2026-03-28T23:00:00Z", Berlin, 9);
    assert_eq!(until, ["29T00:00", "29T03:00"]);
    let never = RecurrenceRule::parse("FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1").unwrap();
    let start = at("2026-01-01T00:00:00Z");
    assert_eq!(next(&never, start, start, Berlin), None);
}

/// Starts and zones around changes of an hour, of half an hour, and of a whole day.
fn near_a_change() -> impl Strategy<Value = (Tz, DateTime<Utc>)> {
    let changes = [
        (Berlin, "2026-03-29T01:00:00Z"),
        (Berlin, "2026-10-25T01:00:00Z"),
        (Tz::America__New_York, "2026-11-01T06:00:00Z"),
        (Australia::Lord_Howe, "2026-10-03T15:30:00Z"),
        (Australia::Lord_Howe, "2026-04-04T15:00:00Z"),
        (Tz::Pacific__Apia, "2011-12-30T10:00:00Z"),
        (Tz::Asia__Kolkata, "2026-03-29T01:00:00Z"),
    ];
    let change = prop::sample::select(changes.to_vec());
    (change, -200_000_i64..100_000)
        .prop_map(|((zone, change), back)| (zone, at(change) + TimeDelta::seconds(back)))
}

fn steps() -> impl Strategy<Value = (&'static str, i64, i64)> {
    let of = |name, unit, most| (1_i64..=most).prop_map(move |interval| (name, unit, interval));
    prop_oneof![of("HOURLY", 3600, 30), of("MINUTELY", 60, 400), of("SECONDLY", 1, 20_000)]
}

proptest! {
    #[test]
    fn t19_steps_are_of_one_length_and_asking_agrees_with_walking(
        (zone, start) in near_a_change(), (name, unit, interval) in steps(), asked in 0_i64..400_000,
    ) {
        let rule = RecurrenceRule::parse(&format!("FREQ={name};INTERVAL={interval}")).unwrap();
        let length = unit * interval;
        let expected = start + TimeDelta::seconds((asked / length + 1) * length);
        prop_assert_eq!(next(&rule, start, start + TimeDelta::seconds(asked), zone), Some(expected));
    }

    #[test]
    fn t19_a_filter_chooses_among_the_steps_on_the_wall_clock(
        (zone, start) in near_a_change(), (name, unit, interval) in steps(), hour in 0_u32..24, asked in 0_i64..200_000,
    ) {
        let rule = RecurrenceRule::parse(&format!("FREQ={name};INTERVAL={interval};BYHOUR={hour}")).unwrap();
        let length = unit * interval;
        let asked = start + TimeDelta::seconds(asked);
        let first = (asked - start).num_seconds() / length + 1;
        let expected = (first..first + 400_000 / length)
            .map(|step| start + TimeDelta::seconds(step * length))
            .find(|time| time.with_timezone(&zone).hour() == hour);
        if let Some(expected) = expected {
            prop_assert_eq!(next(&rule, start, asked, zone), Some(expected));
        }
    }
}
