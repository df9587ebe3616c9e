//! Recurrence rules: the examples of RFC 5545, section 3.8.5.3, and what lies beside them.

use chrono::{DateTime, Utc};
use chrono_tz::America::New_York;
use chrono_tz::Europe::Berlin;
use chrono_tz::Tz;
use scheduler_syntax::DstPolicy;
use scheduler_syntax::rrule::RecurrenceRule;

/// The fires from `start` on, written in the zone.
fn fires(rule: &str, start: &str, zone: Tz, most: usize) -> Vec<String> {
    let rule = RecurrenceRule::parse(rule).unwrap();
    let start = start.parse::<DateTime<Utc>>().unwrap();
    let most = rule.count().map_or(most, |count| most.min(count as usize));
    let next = |after| rule.next_after(start, after, zone, DstPolicy::RFC_5545);
    std::iter::successors(next(start - chrono::TimeDelta::seconds(1)), |last| next(*last))
        .take(most)
        .map(|time| time.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string())
        .collect()
}

/// Dates at nine in New York, from 2 September 1997 unless said otherwise.
#[track_caller]
fn nine(rule: &str, expected: &str) {
    nine_from("1997-09-02", rule, expected);
}

/// `expected`: dates; `1997-09-02 03 04` has the same month for the days that follow.
#[track_caller]
fn nine_from(start: &str, rule: &str, expected: &str) {
    let (mut dates, mut month) = (Vec::new(), String::new());
    for word in expected.split_whitespace() {
        let date = if word.len() == 2 { format!("{month}-{word}") } else { word.to_owned() };
        month = date[..7].to_owned();
        dates.push(format!("{date} 09:00"));
    }
    let start = format!("{start}T13:00:00Z");
    let winter = |start: &str| start.starts_with("1998-01") || start.starts_with("2007-01");
    let start = if winter(&start) { start.replace("T13", "T14") } else { start };
    assert_eq!(fires(rule, &start, New_York, dates.len()), dates, "{rule}");
}

#[test]
fn the_examples_of_the_rfc_by_days_and_weeks() {
    nine("FREQ=DAILY;COUNT=10", "1997-09-02 03 04 05 06 07 08 09 10 11");
    nine("FREQ=DAILY;INTERVAL=2", "1997-09-02 04 06 08 10 12 14 16 18 20 22 24 26 28 30 1997-10-02 04");
    nine("FREQ=DAILY;INTERVAL=10;COUNT=5", "1997-09-02 12 22 1997-10-02 12");
    nine("FREQ=WEEKLY;COUNT=10", "1997-09-02 09 16 23 30 1997-10-07 14 21 28 1997-11-04");
    nine(
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        "1997-09-02 16 30 1997-10-14 28 1997-11-11 25 1997-12-09 23 1998-01-06",
    );
    for rule in
        ["FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH", "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH"]
    {
        nine(rule, "1997-09-02 04 09 11 16 18 23 25 30 1997-10-02");
    }
    nine_from(
        "1997-09-01",
        "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
        "1997-09-01 03 05 15 17 19 29 1997-10-01 03 13 15 17 27 29 31 1997-11-10 12 14 24 26 28 1997-12-08 10 12 22",
    );
    nine("FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH", "1997-09-02 04 16 18 30 1997-10-02 14 16");
    nine_from("1997-08-05", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997-08-05 10 19 24");
    nine_from("1997-08-05", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997-08-05 17 19 31");
}

#[test]
fn the_examples_of_the_rfc_by_months() {
    nine_from(
        "1997-09-05",
        "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
        "1997-09-05 1997-10-03 1997-11-07 1997-12-05 1998-01-02 1998-02-06 1998-03-06 1998-04-03 1998-05-01 1998-06-05",
    );
    nine_from(
        "1997-09-05",
        "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR",
        "1997-09-05 1997-10-03 1997-11-07 1997-12-05",
    );
    nine_from(
        "1997-09-07",
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        "1997-09-07 28 1997-11-02 30 1998-01-04 25 1998-03-01 29 1998-05-03 31",
    );
    nine_from(
        "1997-09-22",
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        "1997-09-22 1997-10-20 1997-11-17 1997-12-22 1998-01-19 1998-02-16",
    );
    nine_from(
        "1997-09-28",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        "1997-09-28 1997-10-29 1997-11-28 1997-12-29 1998-01-29 1998-02-26",
    );
    nine(
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
        "1997-09-02 15 1997-10-02 15 1997-11-02 15 1997-12-02 15 1998-01-02 15",
    );
    nine_from(
        "1997-09-30",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
        "1997-09-30 1997-10-01 31 1997-11-01 30 1997-12-01 31 1998-01-01 31 1998-02-01",
    );
    nine_from(
        "1997-09-10",
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        "1997-09-10 11 12 13 14 15 1999-03-10 11 12 13",
    );
    nine(
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
        "1997-09-02 09 16 23 30 1997-11-04 11 18 25 1998-01-06 13 20 27 1998-03-03 10 17 24 31",
    );
    nine("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13 1998-03-13 1998-11-13 1999-08-13 2000-10-13");
    nine_from(
        "1997-09-13",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        "1997-09-13 1997-10-11 1997-11-08 1997-12-13 1998-01-10 1998-02-07 1998-03-07 1998-04-11 1998-05-09 1998-06-13",
    );
    nine_from(
        "1997-09-04",
        "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
        "1997-09-04 1997-10-07 1997-11-06",
    );
    nine_from(
        "1997-09-29",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        "1997-09-29 1997-10-30 1997-11-27 1997-12-30 1998-01-29 1998-02-26 1998-03-30",
    );
    // An invalid date is left out, not moved.
    nine_from(
        "2007-01-15",
        "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
        "2007-01-15 30 2007-02-15 2007-03-15 30",
    );
}

#[test]
fn the_examples_of_the_rfc_by_years() {
    nine_from(
        "1997-06-10",
        "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
        "1997-06-10 1997-07-10 1998-06-10 1998-07-10 1999-06-10 1999-07-10 2000-06-10 2000-07-10 2001-06-10 2001-07-10",
    );
    let start = "1997-03-10T14:00:00Z";
    let found = fires("FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3", start, New_York, 4);
    assert_eq!(found, ["1997-03-10 09:00", "1999-01-10 09:00", "1999-02-10 09:00", "1999-03-10 09:00"]);
    let found =
        fires("FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200", "1997-01-01T14:00:00Z", New_York, 10);
    let dates: Vec<_> = found.iter().map(|fire| &fire[..10]).collect();
    let expected = [
        "1997-01-01",
        "1997-04-10",
        "1997-07-19",
        "2000-01-01",
        "2000-04-09",
        "2000-07-18",
        "2003-01-01",
        "2003-04-10",
        "2003-07-19",
        "2006-01-01",
    ];
    assert_eq!(dates, expected);
    nine_from("1997-05-19", "FREQ=YEARLY;BYDAY=20MO", "1997-05-19 1998-05-18 1999-05-17");
    nine_from("1997-05-12", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12 1998-05-11 1999-05-17");
    let found = fires("FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1997-03-13T14:00:00Z", New_York, 11);
    let dates: Vec<_> = found.iter().map(|fire| &fire[..10]).collect();
    let expected = [
        "1997-03-13",
        "1997-03-20",
        "1997-03-27",
        "1998-03-05",
        "1998-03-12",
        "1998-03-19",
        "1998-03-26",
        "1999-03-04",
        "1999-03-11",
        "1999-03-18",
        "1999-03-25",
    ];
    assert_eq!(dates, expected);
    nine_from(
        "1997-06-05",
        "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
        "1997-06-05 12 19 26 1997-07-03 10 17 24 31 1997-08-07 14 21 28 1998-06-04 11 18 25 1998-07-02",
    );
    // Every four years, the first Tuesday after a Monday in November: election day.
    let found = fires(
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        "1996-11-05T14:00:00Z",
        New_York,
        3,
    );
    assert_eq!(found, ["1996-11-05 09:00", "2000-11-07 09:00", "2004-11-02 09:00"]);
    // Every day in January, in two ways.
    for rule in [
        "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
        "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
    ] {
        let found = fires(rule, "1998-01-01T14:00:00Z", New_York, 200);
        assert_eq!(found.len(), 93, "{rule}");
        assert_eq!(found[30..32], ["1998-01-31 09:00", "1999-01-01 09:00"]);
        assert_eq!(found[92], "2000-01-31 09:00");
    }
}

#[test]
fn the_examples_of_the_rfc_within_the_day() {
    let start = "1997-09-02T13:00:00Z";
    let found = fires("FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", start, New_York, 10);
    assert_eq!(found, ["1997-09-02 09:00", "1997-09-02 12:00", "1997-09-02 15:00"]);
    let found = fires("FREQ=MINUTELY;INTERVAL=15;COUNT=6", start, New_York, 10);
    assert_eq!(found.last().unwrap(), "1997-09-02 10:15");
    let found = fires("FREQ=MINUTELY;INTERVAL=90;COUNT=4", start, New_York, 10);
    assert_eq!(found, ["1997-09-02 09:00", "1997-09-02 10:30", "1997-09-02 12:00", "1997-09-02 13:30"]);
    // Every 20 minutes from nine to five, in two ways.
    for rule in [
        "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
        "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
    ] {
        let found = fires(rule, start, New_York, 48);
        assert_eq!(found[..3], ["1997-09-02 09:00", "1997-09-02 09:20", "1997-09-02 09:40"], "{rule}");
        assert_eq!(found[23..25], ["1997-09-02 16:40", "1997-09-03 09:00"], "{rule}");
    }
}

#[test]
fn an_old_start_costs_nothing() {
    let rule = RecurrenceRule::parse("FREQ=SECONDLY;INTERVAL=7").unwrap();
    let (start, after) = ("1970-01-01T00:00:00Z".parse().unwrap(), "2199-01-01T00:00:00Z".parse().unwrap());
    let next = rule.next_after(start, after, Tz::UTC, DstPolicy::RFC_5545).unwrap();
    assert!(next > after && (next - start).num_seconds() % 7 == 0 && (next - after).num_seconds() <= 7);
}

#[test]
fn rules_that_never_match_end() {
    for rule in [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;INTERVAL=2;BYSECOND=1",
        "FREQ=MINUTELY;INTERVAL=60;BYMINUTE=1",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
    ] {
        assert!(fires(rule, "2026-01-31T12:00:00Z", Tz::UTC, 1).is_empty(), "{rule}");
    }
    for frequency in ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"] {
        let rule = format!("FREQ={frequency};INTERVAL=4294967295");
        assert_eq!(
            fires(&rule, "2026-01-31T12:00:00Z", Tz::UTC, 2).len(),
            1 + usize::from(frequency == "SECONDLY")
        );
    }
}

#[test]
fn where_clocks_change() {
    // Half past two does not exist on 29 March 2026 in Berlin, and exists twice on 25 October.
    let daily = fires("FREQ=DAILY", "2026-03-28T01:30:00Z", Berlin, 3);
    assert_eq!(daily, ["2026-03-28 02:30", "2026-03-29 03:30", "2026-03-30 02:30"]);
    let hourly = fires("FREQ=HOURLY", "2026-10-25T00:00:00Z", Berlin, 3);
    assert_eq!(hourly, ["2026-10-25 02:00", "2026-10-25 02:00", "2026-10-25 03:00"]);
}

#[test]
fn until_includes_its_day() {
    assert_eq!(fires("FREQ=DAILY;UNTIL=20260303", "2026-03-01T23:00:00Z", Tz::UTC, 9).len(), 3);
    assert_eq!(fires("FREQ=DAILY;UNTIL=20260303T225959", "2026-03-01T23:00:00Z", Tz::UTC, 9).len(), 2);
    assert_eq!(fires("FREQ=DAILY;UNTIL=20260303T230000Z", "2026-03-01T23:00:00Z", Tz::UTC, 9).len(), 3);
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("", "`` is no part of a rule; write `NAME=VALUE`, such as `FREQ=DAILY` (column 1)"),
        ("INTERVAL=2", "the rule has no `FREQ`; add one, such as `FREQ=DAILY` (column 1)"),
        (
            "FREQ=DAYLY",
            "`FREQ` has `DAYLY`; did you mean `DAILY`? use one of SECONDLY, MINUTELY, HOURLY, DAILY, WEEKLY, MONTHLY, YEARLY (column 1)",
        ),
        ("FREQ=DAILY;INTERVALL=2", "there is no part `INTERVALL`, did you mean `INTERVAL`?; use one of"),
        ("FREQ=DAILY;INTERVAL=0", "`INTERVAL` has `0`; use a number from 1 (column 12)"),
        (
            "FREQ=DAILY;BYHOUR=1;BYHOUR=2",
            "`BYHOUR` stands there twice; write its values with commas (column 21)",
        ),
        (
            "RRULE:FREQ=DAILY;BYHOUR=24",
            "`BYHOUR` has `24`; use numbers from 0 to 23, with commas between them (column 18)",
        ),
        ("FREQ=DAILY;BYSECOND=60", "`BYSECOND` has `60`; use numbers from 0 to 59"),
        ("FREQ=WEEKLY;BYDAY=2TU", "`BYDAY` may number weekdays only in monthly and yearly rules"),
        ("FREQ=MONTHLY;BYDAY=XX", "`BYDAY` has `XX`; use MO, TU"),
        ("FREQ=MONTHLY;BYDAY=0MO", "number weekdays from 1 to 53"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20300101", "`UNTIL` and `COUNT` exclude each other; leave one out"),
        ("FREQ=DAILY;UNTIL=2030-01-01", "`UNTIL` has `2030-01-01`; write `20300101` (column 12)"),
        ("FREQ=DAILY;UNTIL=soon", "write 20301231T235959Z"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "`BYMONTHDAY` means nothing in a weekly rule"),
        ("FREQ=DAILY;BYSETPOS=1", "`BYSETPOS` chooses among the times of another `BY…` part; add one"),
    ];
    for (text, expected) in cases {
        let error = RecurrenceRule::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "`{text}`: {error}");
    }
    assert_eq!(RecurrenceRule::parse(" rrule:freq=daily ").unwrap().as_str(), "FREQ=DAILY");
}
