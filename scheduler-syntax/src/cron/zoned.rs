//! The instants of an expression in a zone.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::expr::{CronExpr, Parts};
use crate::wall::{CivilTimes, DstPolicy, Walk};

impl CronExpr {
    /// The first fire time strictly later than `after` on the wall clock of `zone`, in whole seconds.
    ///
    /// None when there is none before the year 2200. Fire times strictly increase, whatever the zone does, and asking
    /// from any instant between two of them gives the later one.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz, policy: DstPolicy) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(self.walk(zone, policy).next(after.timestamp())?, 0)
    }

    /// The last fire time strictly earlier than `before`. None when there is none after the year 1969.
    pub fn previous_before(
        &self,
        before: DateTime<Utc>,
        zone: Tz,
        policy: DstPolicy,
    ) -> Option<DateTime<Utc>> {
        let end = before.timestamp() + i64::from(before.timestamp_subsec_nanos() > 0);
        DateTime::from_timestamp(self.walk(zone, policy).previous(end)?, 0)
    }

    /// The next `count` fire times later than `after`; fewer if there are no more.
    pub fn next_n(
        &self,
        after: DateTime<Utc>,
        zone: Tz,
        policy: DstPolicy,
        count: usize,
    ) -> Vec<DateTime<Utc>> {
        let next = |after| self.next_after(after, zone, policy);
        std::iter::successors(next(after), |last| next(*last)).take(count).collect()
    }

    /// Whether it fires at this instant, to the second.
    pub fn matches(&self, instant: DateTime<Utc>, zone: Tz, policy: DstPolicy) -> bool {
        let second = instant.timestamp();
        self.walk(zone, policy).next(second - 1) == Some(second)
    }

    fn walk(&self, zone: Tz, policy: DstPolicy) -> Walk<'_, Parts> {
        let policy = if self.is_fixed_time() { policy } else { DstPolicy::REAL_TIME };
        Walk { times: self.parts(), zone, policy }
    }
}

impl CivilTimes for Parts {
    fn civil_from(&self, from: i64) -> Option<i64> {
        self.first_from(from)
    }

    fn civil_to(&self, to: i64) -> Option<i64> {
        self.last_to(to)
    }
}
