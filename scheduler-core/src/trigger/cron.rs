//! Cron expressions in a time zone; parser and search are those of [`scheduler_syntax`].

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use scheduler_syntax::DstPolicy;
use scheduler_syntax::cron::CronExpr;
use serde::{Deserialize, Serialize};

use super::schedule::Window;
use crate::time::zone;

/// A cron expression and the zone whose wall clock it reads.
///
/// The tables of zones end with the year 2099. From then on the offset of its end stays in force: Berlin has winter time,
/// Sydney summer time. This holds for every schedule and calendar that reads a wall clock. A search ends with the year 2199.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CronSchedule {
    #[serde(with = "crate::stored::text")]
    expression: CronExpr,
    #[serde(with = "crate::stored::zone")]
    zone: Tz,
    #[serde(with = "crate::stored::dst", default, skip_serializing_if = "is_default")]
    dst: DstPolicy,
}

impl CronSchedule {
    /// The expression on the wall clock of `zone`.
    pub fn new(expression: CronExpr, zone: Tz) -> Self {
        Self { expression, zone, dst: DstPolicy::default() }
    }

    /// The expression.
    pub fn expression(&self) -> &CronExpr {
        &self.expression
    }

    /// The zone.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    pub(super) fn in_zone(self, zone: Tz) -> Self {
        Self { zone, ..self }
    }

    /// What a fixed time does where clocks change.
    pub fn dst(&self) -> DstPolicy {
        self.dst
    }

    /// With this choice for fixed times where clocks change. Default: once, right after a gap, and the first of two.
    #[must_use]
    pub fn with_dst(self, dst: DstPolicy) -> Self {
        Self { dst, ..self }
    }

    /// Strictly later than `after`, not before the start; the very end still counts.
    pub(super) fn after(&self, window: Window, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = window.opened(after)?;
        self.expression.next_after(after, self.zone, self.dst).and_then(|time| window.to_end(time))
    }

    /// Where its last year ends, a time that no firing passes; none if the expression does not name its years.
    pub(super) fn ends(&self) -> Option<DateTime<Utc>> {
        let next_year = NaiveDate::from_ymd_opt(self.expression.last_year()? + 1, 1, 1)?;
        Some(zone::start_of_day(self.zone, next_year))
    }
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.expression.describe(), self.zone.name())
    }
}

fn is_default(policy: &DstPolicy) -> bool {
    *policy == DstPolicy::default()
}
