//! What keeps a trigger from being one: asked by the builder, by every record, and when a trigger is scheduled.

use chrono::{DateTime, SubsecRound, Utc};

use super::Trigger;
use super::misfire::Misfire;
use super::progress::Progress;

impl Trigger {
    /// Each problem in a sentence.
    pub(super) fn problems(&self) -> Vec<String> {
        let cold = self.cold();
        let names = [("calendar", &cold.calendar), ("queue", &cold.queue)];
        let empty = names.iter().filter(|(_, name)| name.as_deref() == Some(""));
        let empty = empty.map(|(option, _)| format!("`{option}` is empty; name one or leave it out"));
        self.backwards().into_iter().chain(self.schedule.problem()).chain(empty).collect()
    }

    fn backwards(&self) -> Option<String> {
        let (start, end) = (self.start, self.end()?);
        (end < start).then(|| format!("ends at {end} before it starts at {start}"))
    }

    /// Whether its end has passed by `now`: that of the trigger, the `UNTIL` of its rule, or the last year of its cron
    /// expression. A count is no end.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.over_since(now).is_some()
    }

    fn over_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // The end is counted in milliseconds.
        let now = now.trunc_subsecs(3);
        self.end().into_iter().chain(self.schedule.expires()).filter(|end| *end < now).min()
    }

    /// Why a trigger that is scheduled at `now` with its first `progress` would never fire: its schedule has no time in its
    /// window, or all of them are misfires that are dropped because [its end has passed](Self::is_over). None if it fires.
    ///
    /// With [`Misfire::Ignore`] the times of a window that lies in the past are fired.
    pub fn never_fires(&self, progress: &Progress, now: DateTime<Utc>) -> Option<String> {
        let reason = match self.over_since(now) {
            _ if progress.next.is_none() => "its schedule has no time in its window".to_owned(),
            Some(end) if self.misfire != Misfire::Ignore => format!("its end has passed, {end}"),
            _ => return None,
        };
        Some(format!("trigger `{}` ({}) will never fire: {reason}", self.key, self.schedule))
    }
}
