//! Days that are not like the others: clock changes, short months, leap days and windows over midnight.

use super::*;

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
    // So does one at midnight.
    fires(
        "M2 forward at midnight",
        &starting(window(HOUR, "22:00:00", "00:30:00", "America/Sao_Paulo"), "2018-11-03T12:00:00Z"),
        &[
            "2018-11-03T22:00:00-03:00",
            "2018-11-03T23:00:00-03:00",
            "2018-11-04T01:00:00-02:00",
            "2018-11-04T22:00:00-02:00",
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
