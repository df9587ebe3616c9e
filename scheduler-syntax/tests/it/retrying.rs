//! Kinds of failure and jitter: read and refused.

use scheduler_syntax::{FAILURES, jitter_percent, parse_failures};

#[test]
fn kinds_of_failure_are_read_in_the_order_of_the_text() {
    assert_eq!(parse_failures("lost").unwrap(), ["lost"]);
    assert_eq!(parse_failures(" timed_out ,failed").unwrap(), ["timed_out", "failed"]);
    assert_eq!(parse_failures(&FAILURES.join(",")).unwrap(), FAILURES);
}

#[test]
fn what_is_no_kind_of_failure_is_refused() {
    for (text, expected) in [
        ("", "no kind of failure is named; use one or more of failed, panicked, timed_out, lost"),
        ("failed,", "a comma has no kind of failure beside it"),
        ("failed failed", "`failed failed` is no kind of failure"),
        ("lost, lost", "`lost` is named twice; keep one"),
        ("timeout", "`timeout` is no kind of failure; did you mean `timed_out`?"),
        ("Failed", "did you mean `failed`?"),
        ("panic", "did you mean `panicked`?"),
        ("all", "`all` is no kind of failure; leave `on` out for all kinds"),
        ("snoozed", "use one or more of failed, panicked, timed_out, lost"),
    ] {
        let problem = parse_failures(text).unwrap_err();
        assert!(problem.contains(expected), "{text}: {problem}");
    }
}

#[test]
fn a_jitter_is_a_number_from_0_to_1() {
    for (jitter, percent) in [(0.0, 0), (0.2, 20), (0.29, 29), (0.333, 33), (1.0, 100)] {
        assert_eq!(jitter_percent(jitter), Ok(percent));
    }
    for jitter in [-0.1, 1.01, 30.0, f64::NAN, f64::INFINITY] {
        assert!(jitter_percent(jitter).unwrap_err().contains("is not between 0 and 1"), "{jitter}");
    }
}
