//! Cron expressions in a time zone; parser and search are those of [`scheduler_syntax`].

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_syntax::cron::{CronExpr, DstPolicy};
use serde::{Deserialize, Serialize};

/// A cron expression and the zone whose wall clock it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct CronSchedule {
    expression: CronExpr,
    zone: Tz,
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

    pub(super) fn first(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.after(start - TimeDelta::milliseconds(1))
    }

    pub(super) fn after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.expression.next_after(after, self.zone, self.dst)
    }
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.expression.describe(), self.zone.name())
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    expression: String,
    zone: String,
}

impl From<CronSchedule> for Stored {
    fn from(schedule: CronSchedule) -> Self {
        Self { expression: schedule.expression.to_string(), zone: schedule.zone.name().to_owned() }
    }
}

impl TryFrom<Stored> for CronSchedule {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let expression = stored.expression.parse().map_err(|error| format!("{error}"))?;
        let zone = scheduler_syntax::parse_zone(&stored.zone).map_err(|error| error.to_string())?;
        Ok(Self::new(expression, zone))
    }
}
