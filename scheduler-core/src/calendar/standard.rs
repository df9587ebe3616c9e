//! The calendars of Quartz: an exclusion in a zone, perhaps on top of another calendar.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Calendar;
use super::exclusion::Exclusion;

/// How often the calendars of a chain are asked in turn before the search gives up: a decade of daily disagreement.
const MOST_ROUNDS: usize = 4_000;

/// An exclusion in a zone, perhaps on top of another one: a time is included if all of them include it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandardCalendar {
    exclusion: Exclusion,
    zone: Box<str>,
    #[serde(skip)]
    parsed: Option<Tz>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Arc<StandardCalendar>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Arc<str>>,
}

impl StandardCalendar {
    /// Leaves out what `exclusion` says, by the wall clock of `zone`.
    pub fn new(exclusion: Exclusion, zone: Tz) -> Self {
        Self { exclusion, zone: zone.name().into(), parsed: Some(zone), base: None, description: None }
    }

    /// On top of another calendar, which must include a time as well.
    #[must_use]
    pub fn based_on(self, base: Self) -> Self {
        Self { base: Some(Arc::new(base)), ..self }
    }

    /// A sentence for people.
    #[must_use]
    pub fn described(self, text: impl Into<Arc<str>>) -> Self {
        Self { description: Some(text.into()), ..self }
    }

    /// What is left out, without the base.
    pub fn exclusion(&self) -> &Exclusion {
        &self.exclusion
    }

    /// The zone of the wall clock.
    pub fn zone(&self) -> Tz {
        // A stored name is looked up once it is asked for; an unknown one is read as UTC rather than lost.
        self.parsed.or_else(|| self.zone.parse().ok()).unwrap_or(Tz::UTC)
    }

    /// The sentence for people.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

impl Calendar for StandardCalendar {
    fn includes(&self, time: DateTime<Utc>) -> bool {
        self.base.as_ref().is_none_or(|base| base.includes(time))
            && self.exclusion.includes(time, self.zone())
    }

    /// Asks the chain in turn until all agree, so the answer is included by the whole of it.
    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut candidate = time;
        for _ in 0..MOST_ROUNDS {
            let own = self.exclusion.next_included(candidate, self.zone())?;
            let agreed = match &self.base {
                Some(base) => base.next_included(own)?,
                None => own,
            };
            if agreed == own {
                return Some(own);
            }
            candidate = agreed;
        }
        None
    }
}
