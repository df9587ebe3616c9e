//! The schedule of a trigger: of one kind, or a union of several.

use chrono_tz::Tz;
use scheduler_syntax::cron::{CronError, CronExpr, Gap, Overlap};
use scheduler_syntax::rrule::{RecurrenceRule, RuleError};

use super::fields::Fields;
use super::moments::Moments;
use crate::key::TriggerKey;
use crate::trigger::{
    CalendarIntervalSchedule, CronSchedule, DailySchedule, DstPolicy, IntervalSchedule, RecurrenceSchedule,
    Schedule, Trigger, TriggerBuilder, UnionSchedule, Unit,
};

/// The kinds of schedule that stand for themselves, also as part of a union.
const PARTS: [&str; 5] = ["cron", "every", "rrule", "calendar_interval", "daily"];
const KINDS: [&str; 7] = ["cron", "every", "at", "rrule", "calendar_interval", "daily", "union"];

const UNITS: [(&str, Unit); 7] = [
    ("second", Unit::Second),
    ("minute", Unit::Minute),
    ("hour", Unit::Hour),
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Month),
    ("year", Unit::Year),
];

/// The file, line and key of the schedule.
pub(super) fn place(fields: &Fields<'_>) -> String {
    fields.place(KINDS.into_iter().find(|kind| fields.has(kind)).unwrap_or_default())
}

/// The schedule of a trigger with what depends on its kind; exactly one is written.
pub(super) fn of_trigger(
    key: Option<&TriggerKey>,
    fields: &Fields<'_>,
    moments: &Moments,
) -> Option<TriggerBuilder> {
    let kind = the_kind(fields, &KINDS);
    let dst = dst(fields, kind);
    let repeat = repeat(fields, kind);
    let seed = key.map(ToString::to_string).unwrap_or_default();
    let zone = moments.zone;
    let builder = match kind? {
        "at" => Trigger::now(),
        "union" => Trigger::scheduled(union(fields, &seed, zone)?),
        kind => Trigger::scheduled(part(kind, fields, &seed, zone, dst)?),
    };
    if kind.is_some_and(|kind| !reads_zone(kind, fields)) && !moments.are_local() && fields.has("time_zone") {
        fields.note_at("time_zone", "has no effect: nothing here reads the clock of a zone; leave it out");
    }
    Some(match repeat {
        Some(count) => builder.repeat(count),
        None => builder,
    })
}

/// The only one of `kinds` that is written.
fn the_kind(fields: &Fields<'_>, kinds: &[&'static str]) -> Option<&'static str> {
    let written: Vec<_> = kinds.iter().copied().filter(|kind| fields.has(kind)).collect();
    match written[..] {
        [kind] => Some(kind),
        [] => {
            fields.note(format_args!("has no schedule; use one of {}", kinds.join(", ")));
            None
        }
        [_, second, ..] => {
            fields.note_at(second, "a trigger has one schedule; make another trigger of this");
            None
        }
    }
}

fn reads_zone(kind: &str, fields: &Fields<'_>) -> bool {
    match kind {
        "at" | "every" => false,
        "union" => fields.tables("union").iter().flatten().any(|part| {
            !part.has("time_zone") && PARTS.into_iter().any(|kind| part.has(kind) && reads_zone(kind, part))
        }),
        _ => true,
    }
}

fn union(fields: &Fields<'_>, seed: &str, zone: Option<Tz>) -> Option<Schedule> {
    let parts = fields.tables("union")?;
    let read: Vec<_> = parts.into_iter().map(|part| of_union(part, seed, zone)).collect();
    let union = UnionSchedule::new(read.into_iter().collect::<Option<Vec<_>>>()?);
    sound("union", fields, union.into())
}

/// One schedule of a union.
fn of_union(fields: Fields<'_>, seed: &str, zone: Option<Tz>) -> Option<Schedule> {
    let kind = the_kind(&fields, &PARTS);
    let dst = dst(&fields, kind);
    let own = fields.zone("time_zone");
    let schedule = kind.and_then(|kind| part(kind, &fields, seed, own.or(zone), dst));
    if kind == Some("every") && fields.has("time_zone") {
        fields.note_at("time_zone", "has no effect: an interval reads no clock; leave it out");
    }
    fields.finish();
    schedule
}

/// A schedule of a kind that stands for itself.
fn part(
    kind: &'static str,
    fields: &Fields<'_>,
    seed: &str,
    zone: Option<Tz>,
    dst: Option<DstPolicy>,
) -> Option<Schedule> {
    let zone = zone.unwrap_or(Tz::UTC);
    let schedule = match kind {
        "cron" => fields.parsed(kind, |text| cron(text, seed, zone, dst))?,
        "rrule" => fields.parsed(kind, |text| rule(text, zone, dst))?,
        "every" => {
            let every = fields.duration(kind)?;
            IntervalSchedule::new(every).map_err(|problem| fields.note_at(kind, problem)).ok()?.into()
        }
        "daily" => daily(fields.table(kind)?, zone)?,
        _ => calendar_interval(fields.table(kind)?, zone)?,
    };
    sound(kind, fields, schedule)
}

fn sound(kind: &str, fields: &Fields<'_>, schedule: Schedule) -> Option<Schedule> {
    let Some(problem) = schedule.problem() else { return Some(schedule) };
    fields.note_at(kind, problem);
    None
}

fn cron(text: &str, seed: &str, zone: Tz, dst: Option<DstPolicy>) -> Result<Schedule, CronError> {
    let schedule = CronSchedule::new(CronExpr::parse_hashed(text, seed)?, zone);
    let default = schedule.dst();
    Ok(schedule.with_dst(dst.unwrap_or(default)).into())
}

fn rule(text: &str, zone: Tz, dst: Option<DstPolicy>) -> Result<Schedule, RuleError> {
    let schedule = RecurrenceSchedule::new(RecurrenceRule::parse(text)?, zone);
    Ok(match dst {
        Some(dst) => schedule.with_dst(dst).into(),
        None => schedule.into(),
    })
}

fn calendar_interval(fields: Fields<'_>, zone: Tz) -> Option<Schedule> {
    let unit = fields.word("unit", &UNITS);
    if !fields.has("unit") {
        fields.note("has no `unit`; use one such as `month`");
    }
    let every = fields.number("every").unwrap_or(1);
    let keep = fields.flag("preserve_hour").unwrap_or_default();
    let skip = fields.flag("skip_missing_hour").unwrap_or_default();
    let as_quartz = fields.flag("as_quartz").unwrap_or_default();
    if keep && !as_quartz {
        fields.note_at(
            "preserve_hour",
            "has no effect without `as_quartz`: the hour is kept in any case; leave it out",
        );
    }
    if skip && as_quartz && !keep {
        fields.note_at(
            "skip_missing_hour",
            "has no effect with `as_quartz` unless `preserve_hour` is set as well",
        );
    }
    if matches!(unit, Some(Unit::Second | Unit::Minute | Unit::Hour)) {
        for key in ["skip_missing_hour", "as_quartz"].into_iter().filter(|key| fields.has(key)) {
            fields.note_at(
                key,
                "has no effect on seconds, minutes and hours, which are elapsed time; leave it out",
            );
        }
    }
    fields.finish();
    let schedule = CalendarIntervalSchedule::new(every, unit?, zone);
    Some(schedule.preserve_hour(keep).skip_missing_hour(skip).as_quartz(as_quartz).into())
}

fn daily(fields: Fields<'_>, zone: Tz) -> Option<Schedule> {
    let every = fields.duration("every");
    if !fields.has("every") {
        fields.note("has no `every`; use a duration such as `30m`");
    }
    let (from, to) = (fields.time_of_day("from"), fields.time_of_day("to"));
    let (days, count) = (fields.weekdays("days"), fields.number("repeat_per_day"));
    let as_quartz = fields.flag("as_quartz").unwrap_or_default();
    fields.finish();
    let mut schedule = DailySchedule::new(every?, zone).as_quartz(as_quartz);
    if let Some(from) = from {
        schedule = schedule.from(from);
    }
    if let Some(to) = to {
        schedule = schedule.to(to);
    }
    if let Some(days) = days {
        schedule = schedule.on(&days);
    }
    if let Some(count) = count {
        schedule = schedule.repeat_per_day(count);
    }
    Some(schedule.into())
}

fn repeat(fields: &Fields<'_>, kind: Option<&str>) -> Option<u32> {
    let count = fields.number("repeat")?;
    let per_day =
        kind == Some("daily") && fields.table("daily").is_some_and(|daily| daily.has("repeat_per_day"));
    let problem = match kind {
        Some("daily") if per_day => "a window has one count; leave out this or `repeat_per_day`",
        Some("every" | "daily") | None => return Some(count),
        Some("rrule") => "has no effect on a rule; write `COUNT` into it",
        Some(_) => "is for `every` and `daily`; leave it out, or set `end`",
    };
    fields.note_at("repeat", problem);
    None
}

/// What a fixed time does where clocks change.
fn dst(fields: &Fields<'_>, kind: Option<&str>) -> Option<DstPolicy> {
    let changes = fields.table("dst")?;
    if !matches!(kind, Some("cron" | "rrule") | None) {
        fields
            .note_at("dst", "is for `cron` and `rrule`, in a union for the part that has one; leave it out");
    }
    let gap = [("run_after", Gap::RunAfter), ("shift", Gap::Shift), ("skip", Gap::Skip)];
    let overlap = [("first", Overlap::First), ("second", Overlap::Second), ("both", Overlap::Both)];
    let default = if kind == Some("rrule") { DstPolicy::RFC_5545 } else { DstPolicy::default() };
    if !changes.has("gap") && !changes.has("overlap") {
        changes.note("has no effect; set `gap`, `overlap` or both");
    }
    let policy = DstPolicy {
        gap: changes.word("gap", &gap).unwrap_or(default.gap),
        overlap: changes.word("overlap", &overlap).unwrap_or(default.overlap),
    };
    changes.finish();
    Some(policy)
}
