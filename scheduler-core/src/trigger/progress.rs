//! How far a trigger has got, and the pure steps from one progress to the next.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Trigger;
use crate::calendar::Calendar;

/// How far a trigger has got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When it is due next; none when it never fires again.
    pub next: Option<DateTime<Utc>>,
    /// The scheduled time of its last firing.
    pub previous: Option<DateTime<Utc>>,
    /// How often it has fired.
    pub fired: u64,
    /// When `next` was due by the schedule, if a misfire rule has moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<DateTime<Utc>>,
}

impl Progress {
    /// Whether there is a further firing.
    pub fn may_fire_again(&self) -> bool {
        self.next.is_some()
    }

    /// The true scheduled time of the next firing, also after a misfire.
    pub fn scheduled(&self) -> Option<DateTime<Utc>> {
        self.scheduled.or(self.next)
    }
}

impl Trigger {
    /// The progress of a trigger that has just been stored: due at its first fire time that `calendar` includes.
    pub fn first(&self, calendar: Option<&dyn Calendar>) -> Progress {
        let first = self.schedule.first(self.start);
        Progress { next: self.admit(first, calendar), ..Progress::default() }
    }

    /// The progress after the firing that `progress` was due for.
    pub fn fired(&self, progress: &Progress, calendar: Option<&dyn Calendar>) -> Progress {
        let fired = progress.fired + 1;
        let next = progress.next.and_then(|due| self.following(due, fired, calendar));
        Progress { next, previous: progress.scheduled(), fired, scheduled: None }
    }

    /// The first fire time strictly later than `after`, counted from a fresh start.
    pub fn fire_time_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.within_end(self.schedule.after(self.start, after))
    }

    pub(super) fn following(
        &self,
        due: DateTime<Utc>,
        fired: u64,
        calendar: Option<&dyn Calendar>,
    ) -> Option<DateTime<Utc>> {
        if self.schedule.limit().is_some_and(|limit| fired >= limit) {
            return None;
        }
        self.admit(self.schedule.after(self.start, due), calendar)
    }

    /// The first of the fire times from `candidate` on that is inside the window and that the calendar includes.
    fn admit(
        &self,
        candidate: Option<DateTime<Utc>>,
        calendar: Option<&dyn Calendar>,
    ) -> Option<DateTime<Utc>> {
        let mut candidate = self.within_end(candidate)?;
        let Some(calendar) = calendar else { return Some(candidate) };
        while !calendar.includes(candidate) {
            let resume = calendar.next_included(candidate)?;
            let before = resume - chrono::TimeDelta::milliseconds(1);
            candidate = self.fire_time_after(before.max(candidate))?;
        }
        Some(candidate)
    }

    fn within_end(&self, time: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        time.filter(|t| match self.end {
            None => true,
            Some(end) if self.schedule.end_is_inclusive() => *t <= end,
            Some(end) => *t < end || *t == self.start,
        })
    }
}
