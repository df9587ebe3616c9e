//! How far a trigger has got, and the pure steps from one progress to the next.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Trigger;
use super::overlap::OverlapPolicy;
use super::schedule::{LAST_YEAR, Window};
use crate::calendar::Calendar;

/// How many fire times that a calendar excludes are tried one by one before the search gives up.
const MOST_TRIES: usize = 4_000;

/// How far a trigger has got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When it is due next; none when it never fires again.
    pub next: Option<DateTime<Utc>>,
    /// The scheduled time of its last firing.
    pub previous: Option<DateTime<Utc>>,
    /// How often it has fired. A misfire policy may count anew or count missed times.
    pub fired: u64,
    /// When `next` was due by the schedule, if a misfire policy has moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<DateTime<Utc>>,
    /// The start from which an interval counts, if a misfire policy has moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<DateTime<Utc>>,
    /// How often an interval fires after its start, if a misfire policy has changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
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
        let mut progress = Progress::default();
        let first = self.schedule.first(self.window(&progress));
        progress.next = self.admit(&progress, first, calendar);
        progress
    }

    /// The progress after the firing that `progress` was due for.
    pub fn fired(&self, progress: &Progress, calendar: Option<&dyn Calendar>) -> Progress {
        let mut after = Progress {
            previous: progress.scheduled(),
            fired: progress.fired.saturating_add(1),
            scheduled: None,
            ..progress.clone()
        };
        after.next = progress.next.and_then(|due| self.following(&after, due, calendar));
        after
    }

    /// The progress after a firing at `now`. Where the overlap policy keeps back what is due while a run goes on, all that
    /// was missed by `now` counts as this one firing.
    pub fn fired_at(
        &self,
        progress: &Progress,
        now: DateTime<Utc>,
        calendar: Option<&dyn Calendar>,
    ) -> Progress {
        let after = self.fired(progress, calendar);
        let merges = matches!(self.overlap, OverlapPolicy::BufferOne | OverlapPolicy::CancelPrevious);
        if merges && after.next.is_some_and(|next| next <= now) {
            return Progress { next: self.following(&after, now, calendar), ..after };
        }
        after
    }

    /// The progress after the calendar of the trigger has changed: the first time after its last firing that the new one
    /// includes. One that is later than `threshold` is left out.
    pub fn with_calendar(
        &self,
        progress: &Progress,
        now: DateTime<Utc>,
        threshold: TimeDelta,
        calendar: Option<&dyn Calendar>,
    ) -> Progress {
        let mut next = match progress.previous {
            Some(previous) => self.following(progress, previous, calendar),
            None => self.first(calendar).next,
        };
        // What was merged into one firing, or moved on by a policy, does not come back.
        let moved_on = progress.next.is_none_or(|due| due > now) && next.is_some_and(|next| next <= now);
        if moved_on || next.is_some_and(|next| now - next >= threshold) {
            next = self.following(progress, now, calendar);
        }
        Progress { next, scheduled: None, ..progress.clone() }
    }

    /// The first fire time strictly later than `after`, without its calendar, of a trigger that has not fired yet.
    ///
    /// The answer is the same from every instant between two fire times. A count of firings, that of a recurrence rule
    /// or of all firings of a daily window, does not end it: [`Progress`] carries how many there were.
    pub fn fire_time_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.time_after(&Progress::default(), after)
    }

    /// The first fire time strictly later than `time` that `calendar` includes, for a trigger that has got so far.
    pub(super) fn following(
        &self,
        progress: &Progress,
        time: DateTime<Utc>,
        calendar: Option<&dyn Calendar>,
    ) -> Option<DateTime<Utc>> {
        self.admit(progress, self.time_after(progress, time), calendar)
    }

    fn time_after(&self, progress: &Progress, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let repeat = self.repeat(progress);
        if repeat.is_some_and(|repeat| progress.fired > u64::from(repeat)) {
            return None;
        }
        self.schedule.after(self.window(progress), repeat, time)
    }

    pub(super) fn repeat(&self, progress: &Progress) -> Option<u32> {
        progress.repeat.or(self.schedule.repeat())
    }

    pub(super) fn window(&self, progress: &Progress) -> Window {
        Window { start: progress.start.unwrap_or(self.start), end: self.end() }
    }

    /// The first of the fire times from `candidate` on that the calendar includes.
    fn admit(
        &self,
        progress: &Progress,
        candidate: Option<DateTime<Utc>>,
        calendar: Option<&dyn Calendar>,
    ) -> Option<DateTime<Utc>> {
        let mut candidate = candidate?;
        let Some(calendar) = calendar else { return Some(candidate) };
        for _ in 0..MOST_TRIES {
            if calendar.includes(candidate) {
                return Some(candidate);
            }
            // Nothing before the next included time can be right.
            let resume = calendar.next_included(candidate)? - TimeDelta::milliseconds(1);
            candidate = self.time_after(progress, resume.max(candidate))?;
            // The calendar may exclude every time that the schedule has.
            if candidate.year() > LAST_YEAR {
                return None;
            }
        }
        None
    }
}
