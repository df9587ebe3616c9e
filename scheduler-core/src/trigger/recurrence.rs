//! Recurrence rules of RFC 5545, counted from the start of the trigger.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_syntax::DstPolicy;
use scheduler_syntax::rrule::RecurrenceRule;
use serde::{Deserialize, Serialize};

use super::schedule::Window;
use crate::time::zone;

/// The number of firings and the last one for each first firing of a day, all from the begin of the day.
type Days = HashMap<TimeDelta, (i64, TimeDelta)>;

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

    /// The last instant of its `UNTIL`; none without one.
    pub(super) fn until(&self) -> Option<DateTime<Utc>> {
        self.rule.until(self.zone)
    }

    /// The last of its firings if they are counted, else a time that no firing passes; none if it goes on for ever.
    pub(super) fn ends(&self, window: Window) -> Option<DateTime<Utc>> {
        match self.rule.count() {
            Some(count) => self.last_of(window, i64::from(count)),
            None => self.rule.ends_by(),
        }
    }

    /// The last of so many firings, or of those that there are.
    fn last_of(&self, window: Window, count: i64) -> Option<DateTime<Utc>> {
        let (mut left, mut last, mut days) = (count, None, Days::new());
        let mut next = self.after(window, window.before_start());
        while let Some(first) = next.filter(|_| left > 0) {
            let (number, time) = self.firings_of_day(window, first, left, &mut days)?;
            left -= number;
            last = Some(time);
            next = self.after(window, time);
        }
        last
    }

    /// The number and the last of the firings of one day from its first one on, at most so many.
    ///
    /// A rule of hours or less that has its first firing at the same time of two days has all firings at the same times of
    /// both, unless clocks are set. So one such day is walked through, and a count of millions is known after a few.
    fn firings_of_day(
        &self,
        window: Window,
        first: DateTime<Utc>,
        most: i64,
        known: &mut Days,
    ) -> Option<(i64, DateTime<Utc>)> {
        let day = zone::civil(self.zone, first).date();
        let begin = zone::start_of_day(self.zone, day);
        let over = zone::start_of_day(self.zone, day.succ_opt()?);
        let firings = || std::iter::successors(Some(first), |last| self.after(window, *last));
        let counted = |most: i64| (1..=most).zip(firings()).take_while(|(_, time)| *time < over).last();
        // Clocks that go back over midnight return to a day that is over. A firing there stands alone.
        let walk = |most: i64| counted(most).unwrap_or((1, first));
        let whole = over - begin == TimeDelta::days(1) && window.end.is_none_or(|end| over <= end);
        if !whole || self.rule.is_fixed_time() {
            return Some(walk(most));
        }
        let (number, last) = *known.entry(first - begin).or_insert_with(|| {
            let (number, last) = walk(i64::MAX);
            (number, last - begin)
        });
        Some(if number > most { walk(most) } else { (number, begin + last) })
    }
}

impl fmt::Display for RecurrenceSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule, self.zone.name())
    }
}
