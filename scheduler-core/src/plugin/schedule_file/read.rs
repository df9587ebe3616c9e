//! What the fields of a schedule file mean.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use scheduler_syntax::cron::{CronExpr, Gap, Overlap};
use scheduler_syntax::nearest;
use scheduler_syntax::rrule::RecurrenceRule;

use super::fields::{Fields, Notes};
use super::tree::{Node, Value};
use crate::calendar::{Exclusion, StandardCalendar};
use crate::job::{JobDetail, Registry};
use crate::key::{JobKey, TriggerKey};
use crate::store::Existing;
use crate::trigger::{
    CalendarIntervalSchedule, CronSchedule, DailySchedule, DstPolicy, Misfire, OverlapPolicy,
    RecurrenceSchedule, Schedule, Trigger, TriggerBuilder, Unit,
};

/// What a file declares.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) existing: Existing,
    pub(crate) prune: bool,
    pub(crate) remove: Removals,
    pub(crate) calendars: Vec<(Arc<str>, StandardCalendar)>,
    pub(crate) jobs: Vec<Arc<JobDetail>>,
    /// Each with whether it starts at a moment of its own.
    pub(crate) triggers: Vec<(Trigger, bool)>,
}

/// What a file wants to be removed first.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    pub(crate) jobs: Vec<JobKey>,
    pub(crate) triggers: Vec<TriggerKey>,
    pub(crate) job_groups: Vec<Arc<str>>,
    pub(crate) trigger_groups: Vec<Arc<str>>,
}

const EXISTING: [(&str, Existing); 4] = [
    ("update", Existing::Update),
    ("replace", Existing::Replace),
    ("keep", Existing::Keep),
    ("refuse", Existing::Refuse),
];

const MISFIRE: [(&str, Misfire); 7] = [
    ("smart", Misfire::Smart),
    ("ignore", Misfire::Ignore),
    ("fire_now", Misfire::FireNow),
    ("skip", Misfire::Skip),
    ("now_with_existing_count", Misfire::NowWithExistingCount),
    ("now_with_remaining_count", Misfire::NowWithRemainingCount),
    ("next_with_remaining_count", Misfire::NextWithRemainingCount),
];

const OVERLAP: [(&str, OverlapPolicy); 4] = [
    ("allow_all", OverlapPolicy::AllowAll),
    ("skip", OverlapPolicy::Skip),
    ("buffer_one", OverlapPolicy::BufferOne),
    ("cancel_previous", OverlapPolicy::CancelPrevious),
];

const UNITS: [(&str, Unit); 7] = [
    ("second", Unit::Second),
    ("minute", Unit::Minute),
    ("hour", Unit::Hour),
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Month),
    ("year", Unit::Year),
];

/// Where the meaning of a file is looked up.
pub(super) struct Around<'a> {
    pub(super) registry: &'a Registry,
    pub(super) declarer: Arc<str>,
    pub(super) misfire: Misfire,
    pub(super) now: DateTime<Utc>,
}

pub(super) fn contents(notes: &Notes, root: &Node, around: &Around<'_>) -> Contents {
    let fields = Fields::new(notes, "", root);
    let jobs = fields.table("jobs").map(|all| jobs(&all, around)).unwrap_or_default();
    let contents = Contents {
        existing: fields.word("existing", &EXISTING).unwrap_or(Existing::Update),
        prune: fields.flag("prune").unwrap_or(true),
        remove: fields.table("remove").map(removals).unwrap_or_default(),
        calendars: fields.table("calendars").map(|all| calendars(&all)).unwrap_or_default(),
        triggers: fields.table("triggers").map(|all| triggers(&all, &jobs, around)).unwrap_or_default(),
        jobs,
    };
    fields.finish();
    contents
}

fn removals(fields: Fields<'_>) -> Removals {
    let groups = |key| fields.texts(key, "name", |text| Some(Arc::from(text))).unwrap_or_default();
    let removals = Removals {
        jobs: fields.texts("jobs", "name of a job", |text| text.parse().ok()).unwrap_or_default(),
        triggers: fields.texts("triggers", "name of a trigger", |text| text.parse().ok()).unwrap_or_default(),
        job_groups: groups("job_groups"),
        trigger_groups: groups("trigger_groups"),
    };
    fields.finish();
    removals
}

fn jobs(all: &Fields<'_>, around: &Around<'_>) -> Vec<Arc<JobDetail>> {
    all.named().filter_map(|(name, fields)| job(name, fields, around)).map(Arc::new).collect()
}

fn job(name: &str, fields: Fields<'_>, around: &Around<'_>) -> Option<JobDetail> {
    let key: JobKey = name.parse().map_err(|problem| fields.note(problem)).ok()?;
    let job_type = fields.text("type").or_else(|| {
        if !fields.has("type") {
            fields.note("has no `type`; name a registered job");
        }
        None
    });
    let registered = job_type.and_then(|name| {
        let found = around.registry.of_type(name);
        if found.is_none() {
            let known = around.registry.in_order();
            let near = nearest(name, known.iter().map(|definition| definition.detail().job_type()));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            fields.note_at("type", format_args!("no job `{name}` is registered{hint}"));
        }
        found.map(|definition| definition.detail().clone())
    });
    let sound = registered.is_some();
    // What the file does not say is as the code says.
    let base = registered.unwrap_or_else(|| JobDetail::builder(key.clone(), "unknown").build());
    let mut builder = JobDetail::builder(key, base.job_type());
    builder = builder.durable(fields.flag("durable").unwrap_or(base.durable()));
    builder =
        builder.disallow_concurrent(fields.flag("disallow_concurrent").unwrap_or(base.disallow_concurrent()));
    builder = builder.persist_data(fields.flag("persist_data").unwrap_or(base.persist_data()));
    builder = builder.requests_recovery(fields.flag("requests_recovery").unwrap_or(base.requests_recovery()));
    builder = builder.data(base.data().merged(&fields.data().unwrap_or_default()));
    if let Some(text) = fields.text("description").or(base.description()) {
        builder = builder.description(text);
    }
    if let Some(timeout) = fields.duration("timeout").or(base.timeout()) {
        builder = builder.timeout(timeout);
    }
    fields.finish();
    sound.then(|| builder.build())
}

fn triggers(all: &Fields<'_>, jobs: &[Arc<JobDetail>], around: &Around<'_>) -> Vec<(Trigger, bool)> {
    let of_code = around.registry.in_order().into_iter().map(|definition| definition.detail().key());
    let jobs = jobs.iter().map(|job| job.key()).chain(of_code).collect();
    let (mut read, mut names) = (Vec::new(), HashSet::new());
    for (name, fields) in all.named() {
        let (line, path) = (fields.line, fields.path.clone());
        let Some(trigger) = trigger(name, fields, &jobs, around) else { continue };
        let key = trigger.0.key();
        if !names.insert(key.clone()) {
            all.notes.note(
                line,
                &path,
                format_args!("the trigger `{key}` is there already; give it another name"),
            );
        }
        read.push(trigger);
    }
    read
}

fn trigger(
    name: &str,
    fields: Fields<'_>,
    jobs: &BTreeSet<&JobKey>,
    around: &Around<'_>,
) -> Option<(Trigger, bool)> {
    let key = name.parse::<TriggerKey>().map_err(|problem| fields.note(problem)).ok();
    let job = job_of(&fields, jobs);
    let scheduled = schedule(name, &fields);
    let own_start = fields.has("start") || fields.has("at");
    // Also without a schedule, so that what is wrong with the options is noted.
    let sound = scheduled.is_some();
    let builder = with_options(scheduled.unwrap_or_else(Trigger::now), &fields);
    let (line, path, notes) = (fields.line, fields.path.clone(), fields.notes);
    fields.finish();
    let builder = builder.key(key?).job(job?).or_misfire(around.misfire).declared_by(&around.declarer);
    match builder.build(around.now) {
        _ if !sound => None,
        Ok(trigger) => Some((trigger, own_start)),
        Err(error) => {
            for problem in error.problems() {
                notes.note(line, &path, problem);
            }
            None
        }
    }
}

/// The job that a trigger runs: one of the file, or a registered one; those are the `jobs`.
fn job_of(fields: &Fields<'_>, jobs: &BTreeSet<&JobKey>) -> Option<JobKey> {
    if !fields.has("job") {
        fields.note("has no `job`; name one of this file or a registered one");
    }
    let key: JobKey = fields.parsed("job", str::parse)?;
    if jobs.contains(&key) {
        return Some(key);
    }
    let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    let near = nearest(&key.to_string(), names.iter().map(String::as_str));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    fields.note_at("job", format_args!("there is no job `{key}` in this file or in the code{hint}"));
    None
}

const KINDS: [&str; 6] = ["cron", "every", "at", "rrule", "calendar_interval", "daily"];

/// The schedule; exactly one is written.
fn schedule(name: &str, fields: &Fields<'_>) -> Option<TriggerBuilder> {
    let kinds: Vec<_> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
    let zone = fields.zone("time_zone").unwrap_or(Tz::UTC);
    match kinds[..] {
        [] => {
            fields.note(format_args!("has no schedule; use one of {}", KINDS.join(", ")));
            None
        }
        ["cron"] => fields.parsed("cron", |text| {
            let expression = CronExpr::parse_hashed(text, name)?;
            Ok::<_, scheduler_syntax::cron::CronError>(Trigger::scheduled(CronSchedule::new(
                expression, zone,
            )))
        }),
        ["every"] => fields.duration("every").map(Trigger::every),
        ["at"] => fields.time("at").map(Trigger::at),
        ["rrule"] => fields.parsed("rrule", |text| {
            RecurrenceRule::parse(text).map(|rule| Trigger::scheduled(RecurrenceSchedule::new(rule, zone)))
        }),
        ["calendar_interval"] => {
            fields.table("calendar_interval").and_then(|interval| calendar_interval(interval, zone))
        }
        ["daily"] => fields.table("daily").and_then(|window| daily(window, zone)),
        [_, second, ..] => {
            fields.note_at(second, "a trigger has one schedule; make another trigger of this");
            None
        }
        [_] => None,
    }
}

fn calendar_interval(fields: Fields<'_>, zone: Tz) -> Option<TriggerBuilder> {
    let unit = fields.word("unit", &UNITS);
    if !fields.has("unit") {
        fields.note("has no `unit`; use one such as `month`");
    }
    let every = fields.number("every").unwrap_or(1);
    let keep = fields.flag("preserve_hour").unwrap_or_default();
    let skip = fields.flag("skip_missing_hour").unwrap_or_default();
    let as_quartz = fields.flag("as_quartz").unwrap_or_default();
    fields.finish();
    let schedule = CalendarIntervalSchedule::new(every, unit?, zone);
    Some(Trigger::scheduled(schedule.preserve_hour(keep).skip_missing_hour(skip).as_quartz(as_quartz)))
}

fn daily(fields: Fields<'_>, zone: Tz) -> Option<TriggerBuilder> {
    let every = fields.duration("every");
    if !fields.has("every") {
        fields.note("has no `every`; use a duration such as `30m`");
    }
    let mut schedule = DailySchedule::new(every?, zone);
    if let Some(from) = fields.time_of_day("from") {
        schedule = schedule.from(from);
    }
    if let Some(to) = fields.time_of_day("to") {
        schedule = schedule.to(to);
    }
    if let Some(days) = fields.weekdays("days") {
        schedule = schedule.on(&days);
    }
    if let Some(count) = fields.number("repeat_per_day") {
        schedule = schedule.repeat_per_day(count);
    }
    schedule = schedule.as_quartz(fields.flag("as_quartz").unwrap_or_default());
    fields.finish();
    Some(Trigger::scheduled(Schedule::Daily(schedule)))
}

fn with_options(mut builder: TriggerBuilder, fields: &Fields<'_>) -> TriggerBuilder {
    if let Some(time) = fields.time("start") {
        builder = builder.start_at(time);
    }
    if let Some(delay) = fields.duration("start_after") {
        builder = builder.start_after(delay);
    }
    if let Some(time) = fields.time("end") {
        builder = builder.end_at(time);
    }
    if let Some(count) = fields.number("repeat") {
        builder = builder.repeat(count);
    }
    if let Some(name) = fields.text("calendar") {
        builder = builder.calendar(name);
    }
    if let Some(priority) = fields.number("priority") {
        builder = builder.priority(priority);
    }
    if let Some(misfire) = fields.word("misfire", &MISFIRE) {
        builder = builder.misfire(misfire);
    }
    if let Some(overlap) = fields.word("overlap", &OVERLAP) {
        builder = builder.overlap(overlap);
    }
    if let Some(group) = fields.text("execution_group") {
        builder = builder.execution_group(group);
    }
    if let Some(text) = fields.text("description") {
        builder = builder.description(text);
    }
    if let Some(data) = fields.data() {
        builder = builder.data(data);
    }
    if let Some(changes) = fields.table("dst") {
        let gap = [("run_after", Gap::RunAfter), ("shift", Gap::Shift), ("skip", Gap::Skip)];
        let overlap = [("first", Overlap::First), ("second", Overlap::Second), ("both", Overlap::Both)];
        let default = DstPolicy::default();
        let policy = DstPolicy {
            gap: changes.word("gap", &gap).unwrap_or(default.gap),
            overlap: changes.word("overlap", &overlap).unwrap_or(default.overlap),
        };
        changes.finish();
        builder = builder.dst(policy);
    }
    builder
}

fn calendars(all: &Fields<'_>) -> Vec<(Arc<str>, StandardCalendar)> {
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
        [] => Some(Exclusion::Nothing),
        [kind] => exclusion(kind, &fields),
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
    let mut calendar = StandardCalendar::new(exclusion?, zone);
    if let Some(base) = base {
        calendar = calendar.based_on(base);
    }
    Some(match description {
        Some(text) => calendar.described(text),
        None => calendar,
    })
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
            let days = fields.texts("annual", "day of the year such as `12-25`", |text| {
                let date = NaiveDate::parse_from_str(&format!("2024-{text}"), "%Y-%m-%d").ok()?;
                Some((chrono::Datelike::month(&date), chrono::Datelike::day(&date)))
            });
            days.map(Exclusion::annual)
        }
        "holidays" => fields
            .texts("holidays", "date such as `2026-12-25`", |text| text.parse().ok())
            .map(Exclusion::holidays),
        "monthly" => {
            let day = |node: &Node| match node.value {
                Value::Integer(day) => u32::try_from(day).ok().filter(|day| (1..=31).contains(day)),
                _ => None,
            };
            fields.list("monthly", "day of the month, 1-31", day).map(Exclusion::monthly)
        }
        "weekly" => fields.weekdays("weekly").map(|days| Exclusion::weekly(&days)),
        "daily" => range("daily").map(|(from, to)| Exclusion::daily(from, to)),
        "all_but" => range("all_but").map(|(from, to)| Exclusion::all_but(from, to)),
        _ => fields.parsed("cron", Exclusion::cron),
    }
}
