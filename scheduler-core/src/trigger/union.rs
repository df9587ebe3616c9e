//! Several schedules in one trigger.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use super::schedule::{Schedule, Window};
use crate::stored::{checked, part};

/// Fires whenever one of its schedules does; once where several do at the same instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct UnionSchedule {
    #[serde(deserialize_with = "numbered")]
    schedules: Box<[Schedule]>,
}

checked!(UnionSchedule);

/// The schedules of a record. The error of one names its place.
fn numbered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[Schedule]>, D::Error> {
    let parts = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let read = parts.into_iter().map(part::read::<Schedule>).enumerate().map(|(index, schedule)| {
        schedule.map_err(|problem| serde::de::Error::custom(in_place(index, &problem)))
    });
    read.collect()
}

fn in_place(index: usize, problem: &str) -> String {
    format!("`schedules[{index}]` of the union: {problem}")
}

impl UnionSchedule {
    /// These schedules together. There must be at least one, and none of them may be limited to a number of firings:
    /// limit the trigger by its end.
    pub fn new(schedules: impl IntoIterator<Item = Schedule>) -> Self {
        Self { schedules: schedules.into_iter().collect() }
    }

    /// The schedules.
    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    pub(super) fn first(&self, window: Window) -> Option<DateTime<Utc>> {
        self.schedules.iter().filter_map(|schedule| schedule.first(window)).min()
    }

    pub(super) fn after(&self, window: Window, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.schedules.iter().filter_map(|schedule| schedule.after(window, schedule.repeat(), after)).min()
    }

    /// A time that no firing passes; none if one of the schedules goes on for ever.
    pub(super) fn ends(&self, window: Window) -> Option<DateTime<Utc>> {
        let ends: Option<Vec<_>> = self.schedules.iter().map(|schedule| schedule.ends(window)).collect();
        ends?.into_iter().max()
    }

    /// The end that its schedules have in common, the latest; none if one of them has none.
    pub(super) fn expires(&self) -> Option<DateTime<Utc>> {
        let ends: Option<Vec<_>> = self.schedules.iter().map(Schedule::expires).collect();
        ends?.into_iter().max()
    }

    /// What keeps it from being a schedule.
    pub(super) fn problem(&self) -> Option<String> {
        if self.schedules.is_empty() {
            return Some("the union has no schedule; give it at least one".to_owned());
        }
        let counted =
            |schedule: &&Schedule| !matches!(schedule, Schedule::Once) && schedule.repeat().is_some();
        let limited = self.schedules.iter().find(counted).map(|schedule| {
            format!(
                "the schedule `{schedule}` of a union is limited to a number of firings; set an end instead"
            )
        });
        let wrong = || {
            let mut parts = self.schedules.iter().enumerate();
            parts.find_map(|(index, schedule)| Some(in_place(index, &schedule.problem()?)))
        };
        limited.or_else(wrong)
    }
}

impl fmt::Display for UnionSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, schedule) in self.schedules.iter().enumerate() {
            let joint = if number == 0 { "" } else { ", and " };
            write!(f, "{joint}{schedule}")?;
        }
        Ok(())
    }
}
