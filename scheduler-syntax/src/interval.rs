//! Which durations can be the interval of a trigger.

use std::time::Duration;

use crate::format_duration;

/// The longest interval: as many milliseconds as times are counted in.
const LONGEST: Duration = Duration::from_millis(i64::MAX.unsigned_abs());

/// What keeps a duration from being the interval of a trigger, which is a whole number of milliseconds from 1 to
/// `i64::MAX`.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(scheduler_syntax::interval_problem(Duration::from_millis(1)), None);
/// assert_eq!(scheduler_syntax::interval_problem(Duration::ZERO).unwrap(), "the interval is 0s; use at least 1ms");
/// ```
pub fn interval_problem(every: Duration) -> Option<String> {
    let shown = format_duration(every);
    if every < Duration::from_millis(1) {
        return Some(format!("the interval is {shown}; use at least 1ms"));
    }
    if every > LONGEST {
        return Some(format!("the interval {shown} is longer than can be counted; use a shorter one"));
    }
    let whole = every.subsec_nanos().is_multiple_of(1_000_000);
    (!whole).then(|| format!("the interval {shown} has a fraction of a millisecond; use whole milliseconds"))
}
