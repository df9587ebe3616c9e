//! Cron expressions in a time zone; parser and search are those of [`scheduler_syntax`].

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_syntax::cron::{self, CronExpr, DstPolicy};
use serde::{Deserialize, Serialize};

use super::schedule::Window;

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

    /// What a fixed time does where clocks change.
    pub fn dst(&self) -> DstPolicy {
        self.dst
    }

    pub(super) fn with_dst(self, dst: DstPolicy) -> Self {
        Self { dst, ..self }
    }

    pub(super) fn first(&self, window: Window) -> Option<DateTime<Utc>> {
        self.after(window, window.start - TimeDelta::milliseconds(1))
    }

    /// Strictly later than `after`, not before the start; the very end still counts.
    pub(super) fn after(&self, window: Window, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = after.max(window.start - TimeDelta::milliseconds(1));
        let next = self.expression.next_after(after, self.zone, self.dst);
        next.filter(|time| window.end.is_none_or(|end| *time <= end))
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
    #[serde(default, skip_serializing_if = "is_default")]
    gap: Gap,
    #[serde(default, skip_serializing_if = "is_default")]
    overlap: Overlap,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// [`scheduler_syntax::cron::Gap`] as it is stored.
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Gap {
    #[default]
    RunAfter,
    Shift,
    Skip,
}

/// [`scheduler_syntax::cron::Overlap`] as it is stored.
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Overlap {
    #[default]
    First,
    Second,
    Both,
}

impl Stored {
    fn dst(&self) -> DstPolicy {
        let gap = match self.gap {
            Gap::RunAfter => cron::Gap::RunAfter,
            Gap::Shift => cron::Gap::Shift,
            Gap::Skip => cron::Gap::Skip,
        };
        let overlap = match self.overlap {
            Overlap::First => cron::Overlap::First,
            Overlap::Second => cron::Overlap::Second,
            Overlap::Both => cron::Overlap::Both,
        };
        DstPolicy { gap, overlap }
    }
}

impl From<CronSchedule> for Stored {
    fn from(schedule: CronSchedule) -> Self {
        let gap = match schedule.dst.gap {
            cron::Gap::RunAfter => Gap::RunAfter,
            cron::Gap::Shift => Gap::Shift,
            cron::Gap::Skip => Gap::Skip,
        };
        let overlap = match schedule.dst.overlap {
            cron::Overlap::First => Overlap::First,
            cron::Overlap::Second => Overlap::Second,
            cron::Overlap::Both => Overlap::Both,
        };
        Self {
            expression: schedule.expression.to_string(),
            zone: schedule.zone.name().to_owned(),
            gap,
            overlap,
        }
    }
}

impl TryFrom<Stored> for CronSchedule {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let expression = stored.expression.parse().map_err(|error| format!("{error}"))?;
        let zone = scheduler_syntax::parse_zone(&stored.zone).map_err(|error| error.to_string())?;
        Ok(Self::new(expression, zone).with_dst(stored.dst()))
    }
}
