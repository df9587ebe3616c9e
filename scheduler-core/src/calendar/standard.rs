//! The calendars of Quartz: an exclusion in a zone, perhaps on top of another calendar.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Calendar;
use super::exclusion::Exclusion;
use crate::stored::Version;

/// How often the calendars of a chain are asked in turn before the search gives up: a decade of daily disagreement.
const MOST_ROUNDS: usize = 4_000;

/// An exclusion in a zone, perhaps on top of another calendar: a time is included if both include it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StandardCalendar {
    #[serde(rename = "v", default)]
    version: Version,
    exclusion: Exclusion,
    #[serde(with = "crate::stored::zone")]
    zone: Tz,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Arc<dyn Calendar>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Arc<str>>,
}

impl StandardCalendar {
    /// Leaves out what `exclusion` says, by the wall clock of `zone`.
    pub fn new(exclusion: Exclusion, zone: Tz) -> Self {
        Self { version: Version, exclusion, zone, base: None, description: None }
    }

    /// On top of another calendar, of any type, which must include a time as well.
    #[must_use]
    pub fn based_on(self, base: impl Calendar) -> Self {
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
        self.zone
    }

    /// The calendar below this one.
    pub fn base(&self) -> Option<&dyn Calendar> {
        self.base.as_deref()
    }

    /// The sentence for people.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

#[typetag::serde(name = "standard")]
impl Calendar for StandardCalendar {
    fn includes(&self, time: DateTime<Utc>) -> bool {
        self.base.as_ref().is_none_or(|base| base.includes(time)) && self.exclusion.includes(time, self.zone)
    }

    /// Asks the chain in turn until all agree, so the answer is included by the whole of it.
    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut candidate = time;
        for _ in 0..MOST_ROUNDS {
            let own = self.exclusion.next_included(candidate, self.zone)?;
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

    fn problem(&self) -> Option<String> {
        self.exclusion.problem().or_else(|| self.base.as_ref()?.problem())
    }
}
