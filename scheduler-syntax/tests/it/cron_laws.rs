//! What holds for every expression in every zone.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use scheduler_syntax::cron::CronExpr;

use crate::strategies::{CHANGES, expression, instant, nightly, policy, zone};

proptest! {
    #[test]
    fn the_next_time_is_later_and_matches(
        expr in expression(), zone in zone(), asked in instant(), policy in policy(),
    ) {
        if let Some(next) = expr.next_after(asked, zone, policy) {
            prop_assert!(next > asked && next.timestamp_subsec_nanos() == 0);
            prop_assert!(expr.matches(next, zone, policy));
            prop_assert!(expr.matches(next + TimeDelta::milliseconds(999), zone, policy));
            // Whoever asks in between gets the same answer.
            let between = asked + (next - asked) / 2;
            prop_assert_eq!(expr.next_after(between, zone, policy), Some(next));
        }
    }

    #[test]
    fn the_previous_time_is_the_inverse(
        expr in expression(), zone in zone(), asked in instant(), policy in policy(),
    ) {
        let next = expr.next_after(asked, zone, policy);
        let after = asked + TimeDelta::milliseconds(1);
        let previous = expr.previous_before(after, zone, policy);
        if let Some(previous) = previous {
            prop_assert!(previous <= asked && expr.matches(previous, zone, policy));
            prop_assert_eq!(expr.next_after(previous, zone, policy), next);
        }
        if let Some(next) = next {
            prop_assert_eq!(expr.previous_before(next, zone, policy), previous);
            prop_assert_eq!(expr.previous_before(next + TimeDelta::milliseconds(1), zone, policy), Some(next));
        }
    }

    #[test]
    fn around_changes_a_walk_forward_is_a_walk_back(
        expr in nightly(), change in 0..CHANGES.len(), policy in policy(),
    ) {
        let (zone, at) = CHANGES[change];
        let (from, until) = (instant_at(at - 6 * 3600), instant_at(at + 6 * 3600));
        let forward: Vec<_> = std::iter::successors(expr.next_after(from, zone, policy), |last| {
            expr.next_after(*last, zone, policy)
        })
        .take_while(|time| *time < until)
        .collect();
        let mut back: Vec<_> = std::iter::successors(expr.previous_before(until, zone, policy), |first| {
            expr.previous_before(*first, zone, policy)
        })
        .take_while(|time| *time > from)
        .collect();
        back.reverse();
        prop_assert!(forward.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(forward, back);
    }

    #[test]
    fn the_normalised_text_says_the_same(expr in expression(), asked in instant()) {
        let again = CronExpr::parse(expr.as_str()).unwrap();
        prop_assert_eq!(&again, &expr);
        prop_assert_eq!(again.next_civil_after(asked.naive_utc()), expr.next_civil_after(asked.naive_utc()));
        prop_assert!(!expr.describe().is_empty());
    }

    #[test]
    fn civil_times_go_both_ways(expr in expression(), asked in instant()) {
        let asked = asked.naive_utc();
        prop_assert_eq!(expr.never_fires(), expr.next_civil_after(chrono::NaiveDateTime::MIN).is_none());
        if let Some(next) = expr.next_civil_after(asked) {
            prop_assert!(next > asked && expr.matches_civil(next));
            prop_assert!(expr.previous_civil_before(next).is_none_or(|previous| previous <= asked));
        }
        if let Some(previous) = expr.previous_civil_before(asked) {
            prop_assert!(previous < asked && expr.matches_civil(previous));
            prop_assert!(expr.next_civil_after(previous).is_none_or(|next| next >= asked));
        }
    }

    /// A parser that panics in a macro takes the compiler with it.
    #[test]
    fn no_text_is_too_strange(text in "[ @*?/,#LWH()0-9A-Za-zü-]{0,40}") {
        for parsed in [CronExpr::parse_hashed(&text, "key"), CronExpr::parse_unix(&text)] {
            match parsed {
                Ok(expr) => prop_assert_eq!(CronExpr::parse(expr.as_str()).unwrap(), expr),
                Err(error) => prop_assert!(text.get(error.span()).is_some(), "{}", error),
            }
        }
    }
}

pub(crate) fn instant_at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}
