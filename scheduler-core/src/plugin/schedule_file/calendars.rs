//! The calendars of a schedule file.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;

use super::fields::Fields;
use super::tree::{Node, Value};
use crate::calendar::{Exclusion, StandardCalendar};

pub(super) fn calendars(all: &Fields<'_>) -> Vec<(Arc<str>, StandardCalendar)> {
    let mut read: HashMap<&str, StandardCalendar> = HashMap::new();
    let mut ordered = Vec::new();
    for (name, fields) in all.named() {
        let Some(calendar) = calendar(fields, &read) else { continue };
        read.insert(name, calendar.clone());
        ordered.push((Arc::from(name), calendar));
    }
    ordered
}

const EXCLUSIONS: [&str; 7] = ["annual", "holidays", "monthly", "weekly", "daily", "all_but", "cron"];

/// A calendar leaves one kind of time out; several are put on top of each other by `base`, which stands before it.
fn calendar(fields: Fields<'_>, known: &HashMap<&str, StandardCalendar>) -> Option<StandardCalendar> {
    let kinds: Vec<_> = EXCLUSIONS.into_iter().filter(|kind| fields.has(kind)).collect();
    let exclusion = match kinds[..] {
        [] => nothing(&fields),
        [kind] => exclusion(kind, &fields).filter(|exclusion| is_sound(kind, exclusion, &fields)),
        [_, second, ..] => {
            fields.note_at(
                second,
                "a calendar leaves one kind of time out; make another one with this as `base`",
            );
            None
        }
    };
    let zone = fields.zone("time_zone").unwrap_or(Tz::UTC);
    let base = fields.parsed("base", |name| {
        known.get(name).cloned().ok_or_else(|| format!("there is no calendar `{name}` before this one"))
    });
    let description = fields.text("description");
    fields.finish();
    let exclusion = exclusion?;
    let mut calendar = StandardCalendar::new(exclusion, zone);
    if let Some(base) = base {
        calendar = calendar.based_on(base);
    }
    Some(match description {
        Some(text) => calendar.described(text),
        None => calendar,
    })
}

/// A calendar that leaves nothing out by itself needs a base.
fn nothing(fields: &Fields<'_>) -> Option<Exclusion> {
    if !fields.has("base") {
        fields.note(format_args!("leaves nothing out; use one of {}", EXCLUSIONS.join(", ")));
    }
    if fields.has("time_zone") {
        fields
            .note_at("time_zone", "has no effect: this calendar leaves nothing out by itself; leave it out");
    }
    Some(Exclusion::Nothing)
}

fn is_sound(kind: &str, exclusion: &Exclusion, fields: &Fields<'_>) -> bool {
    let problem = exclusion.problem();
    if let Some(problem) = &problem {
        fields.note_at(kind, problem);
    }
    problem.is_none()
}

fn exclusion(kind: &'static str, fields: &Fields<'_>) -> Option<Exclusion> {
    let range = |key| {
        let range = fields.table(key)?;
        let (from, to) = (range.time_of_day("from"), range.time_of_day("to"));
        if !range.has("from") || !range.has("to") {
            range.note("needs `from` and `to`");
        }
        range.finish();
        Some((from?, to?))
    };
    match kind {
        "annual" => {
            let days = fields.some_texts("annual", "day of the year such as `12-25`", |text| {
                let date = NaiveDate::parse_from_str(&format!("2024-{text}"), "%Y-%m-%d").ok()?;
                Some((date.month(), date.day()))
            });
            days.map(Exclusion::annual)
        }
        "holidays" => fields
            .some_texts("holidays", "date such as `2026-12-25`", |text| text.parse().ok())
            .map(Exclusion::holidays),
        "monthly" => {
            let day = |node: &Node| match node.value {
                Value::Integer(day) => u32::try_from(day).ok().filter(|day| (1..=31).contains(day)),
                _ => None,
            };
            fields.some("monthly", "day of the month, 1-31", day).map(Exclusion::monthly)
        }
        "weekly" => fields.weekdays("weekly").map(|days| Exclusion::weekly(&days)),
        "daily" => range("daily").map(|(from, to)| Exclusion::daily(from, to)),
        "all_but" => range("all_but").map(|(from, to)| Exclusion::all_but(from, to)),
        _ => fields.parsed("cron", Exclusion::cron),
    }
}
