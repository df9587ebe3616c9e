//! Backoffs: read, refused, written.

use std::time::Duration;

use proptest::prelude::*;
use scheduler_syntax::{BackoffExpr, parse_backoff};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn reads_what_people_write() {
    let exponential = |base, cap| BackoffExpr::Exponential { base, cap };
    for (text, expected) in [
        ("fixed(30s)", BackoffExpr::Fixed(30 * SECOND)),
        ("fixed(1ms)", BackoffExpr::Fixed(SECOND / 1_000)),
        (" fixed ( 1m 30s ) ", BackoffExpr::Fixed(90 * SECOND)),
        ("exponential(15s, 1h)", exponential(15 * SECOND, 3_600 * SECOND)),
        ("exponential(15s,1h)", exponential(15 * SECOND, 3_600 * SECOND)),
        ("exponential( 1m , 1m )", exponential(60 * SECOND, 60 * SECOND)),
    ] {
        assert_eq!(parse_backoff(text).unwrap(), expected, "{text}");
    }
}

#[track_caller]
fn refused(text: &str, column: usize, expected: &str) {
    let error = parse_backoff(text).unwrap_err();
    assert!(error.column() == column && error.to_string().contains(expected), "`{text}`: {error}");
}

#[test]
fn an_unknown_function_is_refused() {
    refused("exponental(15s, 1h)", 1, "there is no backoff `exponental`; did you mean `exponential`?");
    refused(" Fixed(30s)", 2, "there is no backoff `Fixed`; did you mean `fixed`?");
    refused("exp(15s, 1h)", 1, "did you mean `exponential`?");
    refused("constant(15s)", 1, "did you mean `fixed`?");
    refused("linear(15s)", 1, "there is no backoff `linear`; write `fixed(30s)` or `exponential(15s, 1h)`");
    refused("(15s)", 1, "expected the name of a function; write `fixed(30s)` or `exponential(15s, 1h)`");
    refused("", 1, "is empty; write `fixed(30s)` or `exponential(15s, 1h)`");
    refused("   ", 4, "is empty");
    refused("1m 30s", 1, "`1m 30s` is only a duration; write `fixed(1m 30s)` to wait as long each time");
}

#[test]
fn a_call_in_another_shape_is_refused() {
    refused("fixed", 6, "expected `(` behind `fixed`; write `fixed(30s)`");
    refused("exponential 15s", 13, "expected `(` behind `exponential`; write `exponential(15s, 1h)`");
    refused("fixed(30s", 10, "the parenthesis is not closed; add `)`");
    refused("fixed(30s) x", 12, "`x` behind `)` means nothing; remove it");
}

#[test]
fn a_wrong_number_of_durations_is_refused() {
    refused("fixed()", 7, "`fixed` takes 1 duration, the delay, not 0; write `fixed(30s)`");
    refused("fixed(1s, 2s)", 7, "`fixed` takes 1 duration, the delay, not 2");
    let two = "`exponential` takes 2 durations, the base and the cap, not";
    refused("exponential(15s)", 13, &format!("{two} 1; write `exponential(15s, 1h)`"));
    refused("exponential(1s, 2, 1h)", 13, &format!("{two} 3"));
}

#[test]
fn a_wrong_duration_is_refused_at_its_place() {
    refused("fixed(15)", 9, "the delay `15`: `15` has no unit; write `15s` for seconds");
    refused(
        "fixed(15 minutes)",
        10,
        "`minutes` is no unit; use one of w, d, h, m, s, ms, us, ns; write `15m`",
    );
    refused("exponential(15s, soon)", 18, "the cap `soon`: expected a whole number, such as in `30s`");
    refused("exponential(15s,)", 17, "the cap is empty; write a number and a unit, such as `30s`");
    refused("exponential(, 1h)", 13, "the base is empty");
    refused("fixed(ä)", 7, "the delay `ä`: expected a whole number");
    refused("fixed( 0s)", 8, "the delay `0s` is shorter than a millisecond; use at least `1ms`");
    refused("exponential(999us, 1h)", 13, "the base `999us` is shorter than a millisecond");
    refused("exponential(2h, 1h)", 13, "the base 2h is longer than the cap 1h; write `exponential(1h, 2h)`");
}

#[test]
fn an_error_names_the_text_and_the_column() {
    let error = parse_backoff("fixed(0s)").unwrap_err().to_string();
    assert_eq!(
        error,
        "backoff `fixed(0s)`, column 7: the delay `0s` is shorter than a millisecond; use at least `1ms`"
    );
}

proptest! {
    #[test]
    fn written_backoffs_are_read_back(one in 1_000_000_u64.., other in 1_000_000_u64.., fixed: bool) {
        let (base, cap) = (Duration::from_nanos(one.min(other)), Duration::from_nanos(one.max(other)));
        let backoff =
            if fixed { BackoffExpr::Fixed(base) } else { BackoffExpr::Exponential { base, cap } };
        prop_assert_eq!(parse_backoff(&backoff.to_string()), Ok(backoff));
    }

    #[test]
    fn no_text_is_too_strange(text in "(fixed|exponential|.{0,3}) ?\\(?[0-9smhµä, .]{0,12}\\)?.{0,2}") {
        match parse_backoff(&text) {
            Ok(backoff) => prop_assert_eq!(parse_backoff(&backoff.to_string()), Ok(backoff)),
            Err(error) => prop_assert!(error.column() <= text.chars().count() + 1, "{}", error),
        }
    }
}
