//! Recurrence rules of RFC 5545, counted from the start of the trigger.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_syntax::DstPolicy;
use scheduler_syntax::rrule::RecurrenceRule;
use serde::{Deserialize, Serialize};

use super::schedule::Window;

/// A recurrence rule on the wall clock of a zone.
///
/// The start of the trigger is the start of the rule, and gives what the rule leaves open. A `COUNT` counts firings that
/// happened, so that times which a calendar leaves out do not use it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecurrenceSchedule {
    #[serde(with = "crate::stored::text")]
    rule: RecurrenceRule,
    #[serde(with = "crate::stored::zone")]
    zone: Tz,
    #[serde(with = "crate::stored::dst", default = "rfc")]
    dst: DstPolicy,
}

fn rfc() -> DstPolicy {
    DstPolicy::RFC_5545
}

impl RecurrenceSchedule {
    /// The rule on the wall clock of `zone`; where clocks change, as the RFC says it.
    pub fn new(rule: RecurrenceRule, zone: Tz) -> Self {
        Self { rule, zone, dst: rfc() }
    }

    /// What a fixed time of day does where clocks change. Default: [`DstPolicy::RFC_5545`].
    #[must_use]
    pub fn with_dst(self, dst: DstPolicy) -> Self {
        Self { dst, ..self }
    }

    /// The rule.
    pub fn rule(&self) -> &RecurrenceRule {
        &self.rule
    }

    /// The zone.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    pub(super) fn in_zone(self, zone: Tz) -> Self {
        Self { zone, ..self }
    }

    /// Strictly later than `after`, not before the start; the very end still counts, as in a rule's own `UNTIL`.
    pub(super) fn after(&self, window: Window, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // The rule reads whole seconds. A start within one begins with the next.
        let after = window.opened(after)?;
        let next = self.rule.next_after(window.start, after, self.zone, self.dst);
        next.and_then(|time| window.to_end(time))
    }

    /// The last of its firings if they are counted, else a time that no firing passes; none if it goes on for ever.
    pub(super) fn ends(&self, window: Window) -> Option<DateTime<Utc>> {
        let Some(count) = self.rule.count() else { return self.rule.ends_by() };
        let first = self.after(window, window.before_start())?;
        if let Some(step) = self.rule.step() {
            let all = step.num_seconds().checked_mul(i64::from(count - 1)).and_then(TimeDelta::try_seconds);
            return all.and_then(|all| first.checked_add_signed(all)).or(Some(DateTime::<Utc>::MAX_UTC));
        }
        let firings = std::iter::successors(Some(first), |last| self.after(window, *last));
        firings.zip(0..count).last().map(|(last, _)| last)
    }
}

impl fmt::Display for RecurrenceSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule, self.zone.name())
    }
}
