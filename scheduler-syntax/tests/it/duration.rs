//! Durations: read, refused, written.

use std::time::Duration;

use proptest::prelude::*;
use scheduler_syntax::{format_duration, parse_duration};

#[test]
fn reads_what_people_write() {
    for (text, millis) in [
        ("90s", 90_000),
        ("1m30s", 90_000),
        ("2 h", 7_200_000),
        ("250ms", 250),
        ("1d 12h", 129_600_000),
        ("0s", 0),
        (" 1w ", 604_800_000),
        ("1s 1s", 2_000),
        ("007m", 420_000),
    ] {
        assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
    }
    assert_eq!(parse_duration("3us7ns").unwrap(), Duration::from_nanos(3_007));
}

#[track_caller]
fn refused(text: &str, column: usize, expected: &str) {
    let error = parse_duration(text).unwrap_err();
    assert!(error.column() == column && error.to_string().contains(expected), "`{text}`: {error}");
}

#[test]
fn says_what_is_wrong_and_where() {
    refused("15", 3, "`15` has no unit; write `15s` for seconds");
    refused("1m 5x", 5, "`x` is no unit; use one of w, d, h, m, s, ms, us, ns");
    refused("5 µs", 3, "`µs` is no unit");
    refused("", 1, "is empty");
    refused("  ", 1, "is empty");
    refused("1.5s", 2, "only whole numbers");
    refused("-3s", 1, "whole number");
    refused("1h -3s", 4, "whole number");
    refused("99999999999999999999999w", 1, "longer than can be counted");
    refused("99999999999999999999999999999999999999999999s", 1, "longer than can be counted");
}

#[test]
fn the_largest_units_are_written() {
    for (seconds, text) in [(0, "0s"), (90, "1m30s"), (604_800, "1w"), (694_861, "1w1d1h1m1s")] {
        assert_eq!(format_duration(Duration::from_secs(seconds)), text);
    }
    assert!(parse_duration(&format_duration(Duration::MAX)).is_ok_and(|read| read == Duration::MAX));
}

proptest! {
    #[test]
    fn written_durations_are_read_back(seconds: u64, nanos in 0_u32..1_000_000_000) {
        let duration = Duration::new(seconds, nanos);
        prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
    }

    #[test]
    fn no_text_is_too_strange(text: String) {
        if let Ok(duration) = parse_duration(&text) {
            prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }
    }
}
