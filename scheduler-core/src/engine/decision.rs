//! What becomes of an acquired trigger that is due.

use chrono::{DateTime, TimeDelta, Utc};

use crate::store::*;
use crate::user;

/// The decision about an acquired trigger: whether it runs, and how far it moves on.
pub(super) struct Decision {
    pub(super) firing: Firing,
    pub(super) misfired: bool,
    /// Its schedule or calendar has panicked: instead of a run it gets into the error state.
    pub(super) broken: bool,
}

/// Decisions, and when they were made. A call that is repeated says the same again: what was decided anew could differ from what
/// the store has carried out.
pub(super) struct Decided {
    pub(super) now: DateTime<Utc>,
    pub(super) decisions: Vec<Decision>,
}

/// Whether an acquired trigger that is due runs, or is moved on by its misfire policy or its calendar.
pub(super) fn decide(acquired: &AcquiredTrigger, now: DateTime<Utc>, threshold: TimeDelta) -> Decision {
    let AcquiredTrigger { claim, trigger, progress, calendar, freed, .. } = acquired;
    let calendar = calendar.as_deref();
    // What its own run has kept waiting is late from then on only.
    let in_time = freed.is_some_and(|freed| freed.checked_add_signed(threshold).is_none_or(|end| now <= end));
    let claim = *claim;
    // A calendar is code of the user.
    let decided = user::call(|| {
        let excluded = progress.next.filter(|_| progress.scheduled.is_none());
        if let (Some(calendar), Some(due)) = (calendar, excluded)
            && !calendar.includes(due)
        {
            // It was moved on by the calendar before, while this one was put in its place.
            let progress = trigger.with_calendar(progress, now, threshold, Some(calendar));
            return (progress, Some(FiringReason::Excluded), false);
        }
        if in_time || !trigger.is_misfired(progress, now, threshold) {
            return (trigger.fired_at(progress, now, calendar), None, false);
        }
        let moved = trigger.misfired(progress, now, calendar);
        let run = moved.next.is_some_and(|due| due <= now);
        let progress = if run { trigger.fired_at(&moved, now, calendar) } else { moved };
        (progress, (!run).then_some(FiringReason::Misfired), true)
    });
    match decided {
        Ok((progress, dropped, misfired)) => {
            Decision { firing: Firing { claim, progress, dropped }, misfired, broken: false }
        }
        Err(panic) => {
            let trigger = trigger.key();
            tracing::error!(%trigger, %panic, "the calendar of a trigger has panicked; the trigger is put into the error state");
            let firing = Firing { claim, progress: progress.clone(), dropped: None };
            Decision { firing, misfired: false, broken: true }
        }
    }
}
