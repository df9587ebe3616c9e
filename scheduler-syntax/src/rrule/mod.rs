//! Recurrence rules of RFC 5545, as calendars write them: `FREQ=MONTHLY;BYDAY=-1FR`.
//!
//! A rule counts from a start, which also gives what the rule leaves open: the time of day, the weekday of a weekly
//! rule, the day of a monthly one.
//!
//! ```
//! use chrono_tz::Europe::Berlin;
//! use scheduler_syntax::DstPolicy;
//! use scheduler_syntax::rrule::RecurrenceRule;
//!
//! let payday = RecurrenceRule::parse("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1")?;
//! let start = "2026-01-01T08:00:00Z".parse().unwrap();
//! let next = payday.next_after(start, start, Berlin, DstPolicy::RFC_5545).unwrap();
//! assert_eq!(next.with_timezone(&Berlin).to_rfc3339(), "2026-01-30T09:00:00+01:00");
//! # Ok::<(), scheduler_syntax::rrule::RuleError>(())
//! ```
//!
//! # What is read
//!
//! Every part of RFC 5545, section 3.3.10, in any order, with or without `RRULE:` in front:
//!
//! | part | values |
//! |---|---|
//! | `FREQ` | `SECONDLY`, `MINUTELY`, `HOURLY`, `DAILY`, `WEEKLY`, `MONTHLY`, `YEARLY`; the only part that must be there |
//! | `INTERVAL` | from 1 |
//! | `COUNT` or `UNTIL` | a number; a date (that whole day), a civil time, or a time in UTC |
//! | `BYSECOND`, `BYMINUTE`, `BYHOUR` | 0–59, 0–59, 0–23 |
//! | `BYDAY` | `MO`–`SU`; in monthly and yearly rules with a number, `2TU`, `-1FR` |
//! | `BYMONTHDAY`, `BYYEARDAY`, `BYWEEKNO` | from 1, or from -1 backwards |
//! | `BYMONTH` | 1–12 |
//! | `BYSETPOS` | which of the times of one period; from 1, or from -1 backwards |
//! | `WKST` | the day on which weeks begin; `MO` unless set |
//!
//! # Decisions where the RFC leaves room
//!
//! * The start itself fires only if it matches the rule. `COUNT` is not applied here, since it counts firings that
//!   happened; whoever fires asks for it with [`count`](RecurrenceRule::count).
//! * Rules from `DAILY` upwards name fixed times of day, for which a [`DstPolicy`](crate::DstPolicy) decides where clocks
//!   change; the RFC's own is [`RFC_5545`](crate::DstPolicy::RFC_5545). `HOURLY` and finer rules follow real time: every
//!   `INTERVAL` is of one length, nothing is owed for a gap, and both passes of a doubled hour count. Their `BY…` parts read
//!   the wall clock: every two hours from midnight may be odd hours in summer, of which `BYHOUR=3` chooses one.
//! * A month without a 31st has none; the day is not moved. `BYWEEKNO` without `BYDAY` takes the weekday of the start.
//! * Other lines of an exported event, such as `DTSTART` and `EXDATE`, are refused; the error says where each belongs. A rule
//!   that is folded over several lines is read.
//! * Unknown parts and repeated ones are refused, as is a leap second (`BYSECOND=60`).
//! * A search ends with the year 2199, or after 100,000 periods without a match.

mod block;
mod days;
mod error;
mod hints;
mod parse;
mod real_time;
mod rule;
mod search;

pub use error::RuleError;
pub use rule::{Frequency, RecurrenceRule};
