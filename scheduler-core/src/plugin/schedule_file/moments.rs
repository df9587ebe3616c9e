//! When a trigger starts and ends, by instants or by the wall clock of its zone.

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::fields::Fields;
use crate::trigger::TriggerBuilder;

/// A time as it is written.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Instant(DateTime<Utc>),
    Local(NaiveDateTime),
}

/// The zone of a trigger, and the times that may be read on its clock.
pub(super) struct Moments {
    pub(super) zone: Option<Tz>,
    start: Option<Moment>,
    end: Option<Moment>,
    after: Option<std::time::Duration>,
}

impl Moments {
    pub(super) fn of(fields: &Fields<'_>) -> Self {
        let has_at = fields.has("at");
        for key in ["start", "start_after"].into_iter().filter(|key| has_at && fields.has(key)) {
            fields.note_at(key, "has no effect: the trigger starts at its `at`; leave it out");
        }
        if fields.has("start") && fields.has("start_after") {
            fields.note_at("start_after", "has no effect beside `start`; leave one of them out");
        }
        let (at, start) = (moment(fields, "at"), moment(fields, "start"));
        let (end, after) = (moment(fields, "end"), fields.duration("start_after"));
        Self { zone: fields.zone("time_zone"), start: at.or(start), end, after }
    }

    /// Whether one of them is read on the clock of the zone.
    pub(super) fn are_local(&self) -> bool {
        [self.start, self.end].iter().any(|moment| matches!(moment, Some(Moment::Local(_))))
    }

    pub(super) fn set(&self, mut builder: TriggerBuilder) -> TriggerBuilder {
        if let Some(zone) = self.zone.filter(|_| self.are_local()) {
            builder = builder.in_zone(zone);
        }
        if let Some(delay) = self.after {
            builder = builder.start_after(delay);
        }
        builder = match self.start {
            Some(Moment::Instant(time)) => builder.start_at(time),
            Some(Moment::Local(time)) => builder.start_at_local(time),
            None => builder,
        };
        match self.end {
            Some(Moment::Instant(time)) => builder.end_at(time),
            Some(Moment::Local(time)) => builder.end_at_local(time),
            None => builder,
        }
    }
}

fn moment(fields: &Fields<'_>, key: &'static str) -> Option<Moment> {
    let moment = fields.parsed(key, parse)?;
    if matches!(moment, Moment::Local(_)) && !fields.has("time_zone") {
        fields.note_at(
            key,
            "is a local time; set `time_zone` to the zone it is of, or add an offset such as `Z`",
        );
        return None;
    }
    Some(moment)
}

fn parse(text: &str) -> Result<Moment, String> {
    if let Ok(time) = text.parse::<DateTime<Utc>>() {
        return Ok(Moment::Instant(time));
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let local = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    local.map(Moment::Local).ok_or_else(|| {
        format!("`{text}` is no time; write 2026-03-01T02:30:00Z, or 2026-03-01T02:30:00 for a local time of the `time_zone`")
    })
}
