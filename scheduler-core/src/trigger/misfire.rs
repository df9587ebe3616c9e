//! What becomes of a firing that came too late.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Trigger;
use super::progress::Progress;
use super::schedule::Schedule;
use crate::calendar::Calendar;

/// What becomes of a firing that is later than the scheduler's misfire threshold.
///
/// A misfire of a trigger [whose end has passed](Trigger::is_over) is dropped, whatever the schedule and the policy: no late
/// run starts after the end. Only [`Ignore`](Self::Ignore), which knows no misfires, fires every missed time. (Quartz drops it
/// for some of its policies and fires it for others.)
///
/// The names in brackets are Quartz's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Misfire {
    /// What suits the schedule: one that fires once, and those by clock or calendar, fire at once; an interval
    /// without a count goes on with its next regular time; one with a count starts anew with what is left of it.
    #[default]
    Smart,
    /// Lateness does not matter: every missed time is fired, one after the other (`IGNORE_MISFIRE_POLICY`).
    Ignore,
    /// All missed times become one firing now; then on with the schedule (`FIRE_NOW`, `FIRE_ONCE_NOW`). For an interval
    /// with a count this is [`NowWithRemainingCount`](Self::NowWithRemainingCount).
    FireNow,
    /// Missed times are dropped (`DO_NOTHING`, `RESCHEDULE_NEXT_WITH_EXISTING_COUNT`).
    Skip,
    /// For intervals: start anew now, with the firings that were left, missed ones included
    /// (`RESCHEDULE_NOW_WITH_EXISTING_REPEAT_COUNT`).
    NowWithExistingCount,
    /// For intervals: start anew now, with the firings that were left, missed ones taken off
    /// (`RESCHEDULE_NOW_WITH_REMAINING_REPEAT_COUNT`).
    NowWithRemainingCount,
    /// For intervals: go on with the next regular time, missed ones counted as fired
    /// (`RESCHEDULE_NEXT_WITH_REMAINING_COUNT`).
    NextWithRemainingCount,
}

impl Trigger {
    /// Whether the firing that `progress` is due for came later than `threshold`.
    pub fn is_misfired(&self, progress: &Progress, now: DateTime<Utc>, threshold: TimeDelta) -> bool {
        let latest = now.checked_sub_signed(threshold).unwrap_or(DateTime::<Utc>::MIN_UTC);
        self.misfire != Misfire::Ignore && progress.next.is_some_and(|due| due < latest)
    }

    /// The progress of a misfired trigger by its policy. The time at which it was due is kept in
    /// [`scheduled`](Progress::scheduled).
    pub fn misfired(
        &self,
        progress: &Progress,
        now: DateTime<Utc>,
        calendar: Option<&dyn Calendar>,
    ) -> Progress {
        if self.misfire != Misfire::Ignore && self.is_over(now) {
            return Progress { next: None, scheduled: None, ..progress.clone() };
        }
        let at_once = |progress: &Progress| Progress {
            next: Some(now),
            scheduled: progress.scheduled(),
            ..progress.clone()
        };
        let next = |progress: &Progress| self.following(progress, now, calendar);
        match self.resolved_misfire(progress) {
            Misfire::Ignore | Misfire::Smart => progress.clone(),
            Misfire::FireNow => at_once(progress),
            Misfire::Skip => Progress { next: next(progress), ..progress.clone() },
            Misfire::NextWithRemainingCount => {
                let next = next(progress);
                let missed = next.map_or(0, |next| self.times_between(progress.next, next));
                Progress { next, fired: progress.fired.saturating_add(missed), ..progress.clone() }
            }
            Misfire::NowWithExistingCount => self.anew(&at_once(progress), now, progress.fired),
            Misfire::NowWithRemainingCount => {
                let missed = self.times_between(progress.next, now);
                self.anew(&at_once(progress), now, progress.fired.saturating_add(missed))
            }
        }
    }

    /// What [`Misfire::Smart`] means for this trigger, and what the others come down to.
    pub fn resolved_misfire(&self, progress: &Progress) -> Misfire {
        let repeat = self.repeat(progress);
        match (&self.schedule, self.misfire) {
            (Schedule::Interval(_) | Schedule::Once, policy) => match (policy, repeat) {
                (Misfire::Smart | Misfire::FireNow, Some(0)) => Misfire::FireNow,
                (Misfire::Smart, None) => Misfire::NextWithRemainingCount,
                (Misfire::Smart, Some(_)) => Misfire::NowWithExistingCount,
                (Misfire::FireNow, _) => Misfire::NowWithRemainingCount,
                (policy, _) => policy,
            },
            (_, Misfire::Ignore) => Misfire::Ignore,
            (_, Misfire::Skip | Misfire::NextWithRemainingCount) => Misfire::Skip,
            _ => Misfire::FireNow,
        }
    }

    /// The decision about a late firing in words, with its numbers: what an operator wants to read at night.
    pub fn explain_misfire(
        &self,
        progress: &Progress,
        now: DateTime<Utc>,
        threshold: TimeDelta,
        calendar: Option<&dyn Calendar>,
    ) -> String {
        let Some(due) = progress.next else {
            return format!("trigger `{}` has no further fire time", self.key);
        };
        let late = scheduler_syntax::format_duration((now - due).to_std().unwrap_or_default());
        let limit = scheduler_syntax::format_duration(threshold.to_std().unwrap_or_default());
        let head = format!("trigger `{}` was due at {due} and is {late} late", self.key);
        if !self.is_misfired(progress, now, threshold) {
            return format!(
                "{head}, which is no misfire: the threshold is {limit}, the policy {:?}; it fires",
                self.misfire
            );
        }
        let after = self.misfired(progress, now, calendar);
        let policy = self.resolved_misfire(progress);
        let end = match after.next {
            None if self.is_over(now) => "its end has passed, so the missed time is dropped".to_owned(),
            Some(next) if next <= now => "it fires now".to_owned(),
            Some(next) => format!("the missed time is dropped and it fires next at {next}"),
            None => "it never fires again".to_owned(),
        };
        format!(
            "{head}, more than the threshold of {limit}; its policy {:?} means {policy:?} here: {end}",
            self.misfire
        )
    }

    /// How many regular times of an interval lie between two of them.
    fn times_between(&self, from: Option<DateTime<Utc>>, to: DateTime<Utc>) -> u64 {
        let Schedule::Interval(interval) = &self.schedule else { return 0 };
        let every = i64::try_from(interval.every().as_millis()).unwrap_or(i64::MAX).max(1);
        from.map_or(0, |from| u64::try_from((to - from).num_milliseconds() / every).unwrap_or(0))
    }

    /// A new start now, with the firings that are left when `used` are taken off.
    fn anew(&self, due_now: &Progress, now: DateTime<Utc>, used: u64) -> Progress {
        let mut progress = due_now.clone();
        if let Some(repeat) = self.repeat(&progress).filter(|repeat| *repeat > 0) {
            progress.repeat = Some(u32::try_from(u64::from(repeat).saturating_sub(used)).unwrap_or(0));
            progress.fired = 0;
        }
        Progress { start: Some(now), ..progress }
    }
}
