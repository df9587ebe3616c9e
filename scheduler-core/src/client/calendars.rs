//! Calendars: stored, removed, and asked for the times that they leave out.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::handle::Client;
use crate::calendar::Calendar;
use crate::error::{During, Error, Result};
use crate::store::*;
use crate::trigger::{Progress, Trigger};
use crate::user::{self, Panic};
use crate::watch::Event;

/// Calendars.
impl Client {
    /// Stores a calendar. Triggers that name it move to the times that it includes.
    ///
    /// # Errors
    ///
    /// A conflict: there is one of this name, and it is not to be replaced. The calendar has a
    /// [problem](Calendar::problem).
    pub async fn put_calendar(&self, name: &str, calendar: impl Calendar, replace: bool) -> Result<()> {
        let name: Arc<str> = name.into();
        self.open().during("put_calendar")?;
        self.store_calendar(&name, Arc::new(calendar), replace).await.during("put_calendar")?;
        self.tell(|| Event::CalendarChanged { name });
        Ok(())
    }

    /// Removes a calendar. Says whether it was there.
    ///
    /// # Errors
    ///
    /// A conflict: triggers name it.
    pub async fn remove_calendar(&self, name: &str) -> Result<bool> {
        let store = self.open().during("remove_calendar")?;
        let found = store.remove_calendar(name.into()).await.during("remove_calendar")?;
        if found {
            self.tell(|| Event::CalendarChanged { name: name.into() });
        }
        Ok(found)
    }

    /// The calendars, in the order of their names.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn calendars(&self) -> Result<Vec<NamedCalendar>> {
        self.store().calendars().await.during("calendars")
    }

    /// Stores a calendar and moves the triggers that name it to times that it includes.
    pub(crate) async fn store_calendar(
        &self,
        name: &Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> Result<()> {
        if let Some(problem) = calendar.problem() {
            return Err(Error::config(format!("calendar `{name}`: {problem}")));
        }
        self.store().put_calendar(name.clone(), calendar.clone(), replace).await?;
        let mut query = TriggerQuery { calendar: Some(name.clone()), ..TriggerQuery::default() };
        loop {
            let users = self.store().all_triggers(query.clone()).await?;
            let moved: Vec<_> = users
                .iter()
                .filter_map(|user| self.moved(user, &*calendar).transpose())
                .collect::<Result<_>>()?;
            let keys: Vec<_> = moved.iter().map(|adjustment| adjustment.trigger.clone()).collect();
            let done = if moved.is_empty() { Vec::new() } else { self.store().adjust(moved).await? };
            // What fired meanwhile has moved by the calendar that it had; once more for those.
            query.keys = keys.into_iter().zip(done).filter(|(_, done)| !done).map(|(key, _)| key).collect();
            if query.keys.is_empty() {
                return Ok(());
            }
        }
    }

    fn moved(&self, user: &TriggerStatus, calendar: &dyn Calendar) -> Result<Option<Adjustment>> {
        let (trigger, from) = (&user.trigger, user.progress.clone());
        if from.next.is_none() {
            return Ok(None);
        }
        let (now, threshold) = (self.now(), self.misfire_threshold());
        let to = user::call(|| trigger.with_calendar(&from, now, threshold, Some(calendar)))
            .map_err(|panic| broken_calendar(trigger, &panic))?;
        Ok((from != to).then(|| Adjustment { trigger: trigger.key().clone(), from, to }))
    }

    /// The calendars that these triggers name.
    pub(crate) async fn calendars_for(&self, triggers: impl Iterator<Item = &Trigger>) -> Result<Calendars> {
        if triggers.into_iter().all(|trigger| trigger.calendar().is_none()) {
            return Ok(Calendars::default());
        }
        Ok(Calendars(self.store().calendars().await?))
    }
}

/// The first progress of a trigger that takes the place of another one, whose last firing is kept in mind.
pub(crate) fn anew(trigger: &Trigger, before: &Progress, calendars: &Calendars) -> Result<Progress> {
    let first = calendars.first(trigger)?;
    Ok(Progress { previous: before.previous, ..first })
}

fn broken_calendar(trigger: &Trigger, panic: &Panic) -> Error {
    let calendar = trigger.calendar().unwrap_or_default();
    Error::config(format!("the calendar `{calendar}` of trigger `{}` has {panic}", trigger.key()))
}

/// The calendars of a store, as far as they were needed.
#[derive(Debug, Default)]
pub(crate) struct Calendars(Vec<NamedCalendar>);

impl Calendars {
    /// The first progress of a trigger, by the calendar that it names.
    pub(crate) fn first(&self, trigger: &Trigger) -> Result<Progress> {
        let calendar = self.of(trigger)?;
        user::call(|| trigger.first(calendar)).map_err(|panic| broken_calendar(trigger, &panic))
    }

    /// The next fire times of a trigger, by the calendar that it names.
    pub(crate) fn upcoming(
        &self,
        trigger: &Trigger,
        progress: &Progress,
        most: usize,
    ) -> Result<Vec<DateTime<Utc>>> {
        let calendar = self.of(trigger)?;
        user::call(|| trigger.upcoming(progress, calendar).take(most).collect())
            .map_err(|panic| broken_calendar(trigger, &panic))
    }

    /// At most so many fire times of a trigger in a range, by the calendar that it names.
    pub(super) fn occurrences(
        &self,
        trigger: &Trigger,
        times: Range<DateTime<Utc>>,
        most: usize,
    ) -> Result<Vec<DateTime<Utc>>> {
        let calendar = self.of(trigger)?;
        user::call(|| trigger.occurrences(times, calendar).take(most).collect())
            .map_err(|panic| broken_calendar(trigger, &panic))
    }

    /// These, with some put in their place or beside them.
    #[cfg(feature = "schedule-file")]
    pub(crate) fn with(mut self, put: impl IntoIterator<Item = NamedCalendar>) -> Self {
        for (name, calendar) in put {
            self.0.retain(|(known, _)| *known != name);
            self.0.push((name, calendar));
        }
        self
    }

    /// The calendar that a trigger names.
    fn of(&self, trigger: &Trigger) -> Result<Option<&dyn Calendar>> {
        let Some(name) = trigger.calendar() else { return Ok(None) };
        let found = self.0.iter().find(|(known, _)| &**known == name);
        let calendar = found.map(|(_, calendar)| &**calendar);
        calendar.map(Some).ok_or_else(|| {
            let near = scheduler_syntax::nearest(name, self.0.iter().map(|(known, _)| &**known));
            let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            Error::not_found(format!(
                "trigger `{}` names the calendar `{name}`, which is not stored{hint}; add it to the builder with `.calendar(\"{name}\", …)`, or store it with `put_calendar`",
                trigger.key()
            ))
            .for_trigger(trigger.key())
            .for_job(trigger.job())
        })
    }
}
