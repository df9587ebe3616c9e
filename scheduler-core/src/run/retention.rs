//! How long runs are kept after their end.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::RunEnd;

const DAY: Duration = Duration::from_secs(86_400);

/// How long a job store keeps runs after their end, and how many.
///
/// By default dead runs are kept for 30 days, and cancelled runs for one day. Of each kind the store keeps the latest 100,000. A run
/// that succeeds or is discarded leaves no record.
///
/// The time is noted when a run ends. Another retention therefore concerns the runs that end later; the number concerns all.
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_core::run::{Retention, RunEnd};
///
/// let week = Duration::from_secs(7 * 86_400);
/// let retention = Retention::default().keep_dead(week).at_most(10_000);
/// assert_eq!(retention.of(RunEnd::Dead), week);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    dead: Duration,
    other: Duration,
    most: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { dead: 30 * DAY, other: DAY, most: 100_000 }
    }
}

impl Retention {
    /// Keeps dead runs for so long. With a zero duration a run that gives up leaves no record.
    #[must_use]
    pub const fn keep_dead(self, dead: Duration) -> Self {
        Self { dead, ..self }
    }

    /// Keeps cancelled runs for so long. With a zero duration they leave no record.
    #[must_use]
    pub const fn keep_cancelled(self, other: Duration) -> Self {
        Self { other, ..self }
    }

    /// Keeps at most this many runs of each kind of end, the latest ones. An event and a warning in the log report each dead run that is
    /// removed for this reason.
    #[must_use]
    pub const fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// How long a run is kept that has ended like this; zero for not at all.
    pub const fn of(&self, end: RunEnd) -> Duration {
        match end {
            RunEnd::Dead => self.dead,
            RunEnd::Cancelled | RunEnd::Expired | RunEnd::Superseded | RunEnd::Incomplete => self.other,
            RunEnd::Succeeded | RunEnd::Discarded => Duration::ZERO,
        }
    }

    /// How many runs of each kind of end are kept.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// Until when a run is kept that ends like this now; none if it leaves no record.
    pub(crate) fn until(&self, end: RunEnd, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let kept = self.of(end);
        let until = TimeDelta::from_std(kept).ok().and_then(|kept| now.checked_add_signed(kept));
        (!kept.is_zero()).then(|| until.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_forever_is_kept_until_the_end_of_time() {
        let (now, last) = (DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
        let retention = Retention::default().keep_dead(Duration::MAX).keep_cancelled(Duration::ZERO);
        assert_eq!(retention.until(RunEnd::Dead, now), Some(last));
        assert_eq!(retention.until(RunEnd::Cancelled, now), None);
        assert_eq!(Retention::default().until(RunEnd::Expired, now), Some(now + TimeDelta::days(1)));
        assert_eq!(Retention::default().until(RunEnd::Dead, last), Some(last));
    }
}
