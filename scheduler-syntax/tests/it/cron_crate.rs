//! The `cron` crate as an oracle, in UTC, for what both can read.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Utc};
use proptest::prelude::*;
use scheduler_syntax::cron::{CronExpr, DstPolicy};

use crate::strategies::{instant, plain_field};

/// The crate gives up in the year after.
const LAST_COMMON_YEAR: i32 = 2099;

proptest! {
    #[test]
    fn both_give_the_same_times(
        second in plain_field(0, 59),
        minute in plain_field(0, 59),
        hour in plain_field(0, 23),
        (day, weekday) in prop_oneof![
            (plain_field(1, 31), Just("?".to_owned())),
            (Just("?".to_owned()), plain_field(1, 7)),
        ],
        month in plain_field(1, 12),
        asked in instant(),
    ) {
        let text = format!("{second} {minute} {hour} {day} {month} {weekday}");
        let ours = CronExpr::parse(&text).unwrap();
        let theirs = cron::Schedule::from_str(&text).unwrap();
        let common = |time: &DateTime<Utc>| time.year() <= LAST_COMMON_YEAR;
        let expected: Vec<_> = theirs.after(&asked).take(20).filter(common).collect();
        let found = ours.next_n(asked, chrono_tz::UTC, DstPolicy::default(), 20);
        let found: Vec<_> = found.into_iter().filter(common).collect();
        prop_assert_eq!(found, expected, "{}", text);
    }
}
