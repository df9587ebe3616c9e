//! What becomes of a firing that came too late.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Trigger;
use super::progress::Progress;
use super::schedule::Schedule;
use crate::calendar::Calendar;

/// What becomes of a firing that is later than the scheduler's misfire threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Misfire {
    /// What suits the schedule: once and cron fire at once, intervals go on with their next regular time.
    #[default]
    Smart,
    /// Lateness does not matter: every missed time is fired, one after the other.
    Ignore,
    /// All missed times become one firing now.
    FireNow,
    /// Missed times are dropped.
    Skip,
}

impl Trigger {
    /// Whether the firing that `progress` is due for came later than `threshold`.
    pub fn is_misfired(&self, progress: &Progress, now: DateTime<Utc>, threshold: TimeDelta) -> bool {
        self.misfire != Misfire::Ignore
            && progress.scheduled.is_none()
            && progress.next.is_some_and(|due| due < now - threshold)
    }

    /// The progress of a misfired trigger by its policy.
    pub fn misfired(
        &self,
        progress: &Progress,
        now: DateTime<Utc>,
        calendar: Option<&dyn Calendar>,
    ) -> Progress {
        match self.resolve() {
            Misfire::Skip => {
                Progress { next: self.following(now, progress.fired, calendar), ..progress.clone() }
            }
            _ => Progress { next: Some(now), scheduled: progress.scheduled(), ..progress.clone() },
        }
    }

    fn resolve(&self) -> Misfire {
        match (self.misfire, &self.schedule) {
            (Misfire::Smart, Schedule::Interval(_)) => Misfire::Skip,
            (Misfire::Smart, _) => Misfire::FireNow,
            (chosen, _) => chosen,
        }
    }
}
