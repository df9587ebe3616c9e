//! What a boost and an expiry may be.

use std::time::Duration;

use crate::duration::format_duration;

const DAY: Duration = Duration::from_secs(86_400);

/// The fault of a boost of this length, if it has one. With more than a day, work would go before everything else that waits.
pub fn boost_problem(boost: Duration) -> Option<String> {
    let shown = format_duration(boost);
    if boost > DAY {
        return Some(format!("the boost is {shown}; use at most `1d`"));
    }
    (boost < Duration::from_millis(1))
        .then(|| format!("the boost is {shown}; use at least `1ms` or leave it out"))
}

/// The fault of an expiry after this time, if it has one. A run that expires at once would never begin.
pub fn expiry_problem(expires: Duration) -> Option<String> {
    let shown = format_duration(expires);
    (expires < Duration::from_millis(1))
        .then(|| format!("a run would expire after {shown}; use at least `1ms` or leave it out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boost_is_at_most_a_day() {
        assert_eq!(boost_problem(Duration::from_millis(1)), None);
        assert_eq!(boost_problem(DAY), None);
        let long = boost_problem(DAY + Duration::from_millis(1)).unwrap();
        assert_eq!(long, "the boost is 1d1ms; use at most `1d`");
        let short = boost_problem(Duration::ZERO).unwrap();
        assert_eq!(short, "the boost is 0s; use at least `1ms` or leave it out");
    }

    #[test]
    fn nothing_expires_at_once() {
        assert_eq!(expiry_problem(Duration::from_millis(1)), None);
        assert_eq!(expiry_problem(Duration::MAX), None);
        assert!(expiry_problem(Duration::from_micros(999)).unwrap().contains("at least `1ms`"));
    }
}
