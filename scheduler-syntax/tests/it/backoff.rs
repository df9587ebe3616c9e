//! Backoffs: read, refused, written.

use std::time::Duration;

use proptest::prelude::*;
use scheduler_syntax::{BackoffExpr, Factor, parse_backoff};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn reads_what_people_write() {
    let growing = |base, cap, factor| {
        let factor = Factor::new(factor).unwrap();
        BackoffExpr::Exponential { base, cap, factor }
    };
    let exponential = |base, cap| growing(base, cap, 2.0);
    for (text, expected) in [
        ("fixed(30s)", BackoffExpr::Fixed(30 * SECOND)),
        ("fixed(1ms)", BackoffExpr::Fixed(SECOND / 1_000)),
        (" fixed ( 1m 30s ) ", BackoffExpr::Fixed(90 * SECOND)),
        ("exponential(15s, 1h)", exponential(15 * SECOND, 3_600 * SECOND)),
        ("exponential(15s,1h)", exponential(15 * SECOND, 3_600 * SECOND)),
        ("exponential( 1m , 1m )", exponential(60 * SECOND, 60 * SECOND)),
        ("exponential(15s, 1h, 1.5)", growing(15 * SECOND, 3_600 * SECOND, 1.5)),
        ("exponential(15s, 1h, 1)", growing(15 * SECOND, 3_600 * SECOND, 1.0)),
        ("exponential(15s, 1h, 100.000)", growing(15 * SECOND, 3_600 * SECOND, 100.0)),
        ("exponential(15s, 1h, 2.0)", exponential(15 * SECOND, 3_600 * SECOND)),
        ("linear(30s, 5m)", BackoffExpr::Linear { step: 30 * SECOND, cap: 300 * SECOND }),
        ("delays(1s)", BackoffExpr::Delays(vec![SECOND])),
        ("delays( 1m,1s , 1s)", BackoffExpr::Delays(vec![60 * SECOND, SECOND, SECOND])),
        ("hangfire", BackoffExpr::Hangfire),
        (" sidekiq ", BackoffExpr::Sidekiq),
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
    refused("lin(15s, 1h)", 1, "did you mean `linear`?");
    refused("polynomial(4)", 1, "did you mean `sidekiq`?");
    refused("side_kiq", 1, "did you mean `sidekiq`?");
    refused(
        "fibonacci(15s)",
        1,
        "there is no backoff `fibonacci`; write `fixed(30s)`, `linear(30s, 1h)`, `exponential(15s, 1h)`, \
         `delays(1s, 10s, 1m)`, `hangfire` or `sidekiq`",
    );
    refused("1s, 10s", 1, "`1s, 10s` is only a list of durations; write `delays(1s, 10s)`");
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
    refused("hangfire()", 9, "`hangfire` takes nothing in parentheses; write `hangfire`");
    refused("sidekiq 5", 9, "`5` behind `sidekiq` means nothing; remove it");
}

#[test]
fn a_wrong_number_of_durations_is_refused() {
    refused("fixed()", 7, "`fixed` takes 1 duration, the delay, not 0; write `fixed(30s)`");
    refused("fixed(1s, 2s)", 7, "`fixed` takes 1 duration, the delay, not 2");
    let two = "`exponential` takes 2 durations, the base and the cap, not";
    refused("exponential(15s)", 13, &format!("{two} 1; write `exponential(15s, 1h)`"));
    refused("exponential(1s, 1h, 2, 3)", 13, &format!("{two} 4"));
    refused("linear(15s)", 8, "`linear` takes 2 durations, the step and the cap, not 1");
    refused("linear(1s, 1m, 2)", 8, "`linear` takes 2 durations, the step and the cap, not 3");
    refused("delays()", 8, "`delays` takes 1 to 32 durations, not 0; write `delays(1s, 10s, 1m)`");
    let many = |number: usize| format!("delays({})", vec!["1s"; number].join(","));
    refused(&many(33), 8, "`delays` takes 1 to 32 durations, not 33");
    parse_backoff(&many(32)).unwrap();
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
    refused("linear(2h, 1h)", 8, "the step 2h is longer than the cap 1h; write `linear(1h, 2h)`");
    refused("delays(1s, 0s)", 12, "the delay `0s` is shorter than a millisecond");
    refused("delays(1s, )", 12, "the delay is empty");
    refused("exponential(2h, 1h)", 13, "the base 2h is longer than the cap 1h; write `exponential(1h, 2h)`");
}

#[test]
fn a_wrong_factor_is_refused_at_its_place() {
    let way = "write a number from 1 to 100, such as `1.5`";
    for (factor, expected) in [
        ("0.999", "the factor `0.999` is not between 1 and 100"),
        ("100.001", "the factor `100.001` is not between 1 and 100"),
        ("99999999999", "the factor `99999999999` is not between 1 and 100"),
        ("1.2345", "the factor `1.2345` has more than three decimals; leave out the others"),
        ("-2", "the factor `-2` is no number"),
        ("2x", "the factor `2x` is no number"),
        ("1h", "the factor `1h` is no number"),
        (".5", "the factor `.5` is no number"),
        ("1e1", "the factor `1e1` is no number"),
        ("NaN", "the factor `NaN` is no number"),
    ] {
        refused(&format!("exponential(1s, 1h, {factor})"), 21, expected);
    }
    refused("exponential(1s, 1h, )", 21, &format!("the factor is empty; {way}"));
    refused("exponential(1h, 1s, 3)", 13, "write `exponential(1s, 1h, 3)`");
}

#[test]
fn a_factor_is_exact() {
    for (value, thousandths, text) in [(1.0, 1_000, "1"), (1.25, 1_250, "1.25"), (10.001, 10_001, "10.001")] {
        let factor = Factor::new(value).unwrap();
        assert_eq!((factor.thousandths(), factor.to_string()), (thousandths, text.to_owned()));
        assert_eq!(Factor::new(factor.value()), Some(factor));
    }
    for value in [0.999, 100.001, 1.0001, -2.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Factor::new(value), None, "{value}");
    }
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
    fn written_backoffs_are_read_back(backoff in backoffs()) {
        prop_assert_eq!(parse_backoff(&backoff.to_string()), Ok(backoff));
    }

    #[test]
    fn no_text_is_too_strange(
        text in "(fixed|linear|exponential|delays|sidekiq|.{0,3}) ?\\(?[0-9smhµä, .]{0,12}\\)?.{0,2}"
    ) {
        match parse_backoff(&text) {
            Ok(backoff) => prop_assert_eq!(parse_backoff(&backoff.to_string()), Ok(backoff)),
            Err(error) => prop_assert!(error.column() <= text.chars().count() + 1, "{}", error),
        }
    }
}

fn backoffs() -> impl Strategy<Value = BackoffExpr> {
    let delay = || (1_000_000_u64..).prop_map(Duration::from_nanos);
    let ordered = || (delay(), delay()).prop_map(|(one, other)| (one.min(other), one.max(other)));
    let factor = (1_000_u32..=100_000).prop_map(|factor| Factor::new(f64::from(factor) / 1_000.0).unwrap());
    prop_oneof![
        delay().prop_map(BackoffExpr::Fixed),
        ordered().prop_map(|(step, cap)| BackoffExpr::Linear { step, cap }),
        (ordered(), factor).prop_map(|((base, cap), factor)| BackoffExpr::Exponential { base, cap, factor }),
        prop::collection::vec(delay(), 1..=32).prop_map(BackoffExpr::Delays),
        Just(BackoffExpr::Hangfire),
        Just(BackoffExpr::Sidekiq),
    ]
}
