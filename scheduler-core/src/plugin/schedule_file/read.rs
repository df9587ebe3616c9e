//! What the fields of a schedule file mean.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_syntax::nearest;

use super::calendars::calendars;
use super::fields::{Fields, Notes};
use super::moments::Moments;
use super::options::with_options;
use super::retries;
use super::schedules;
use super::tree::Node;
use crate::calendar::StandardCalendar;
use crate::job::{JobDetail, Registry};
use crate::key::{JobKey, TriggerKey};
use crate::store::{Existing, NamedCalendar};
use crate::trigger::{Misfire, Trigger};

/// What a file declares.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) existing: Existing,
    pub(crate) prune: bool,
    pub(crate) remove: Removals,
    pub(crate) calendars: Vec<(Arc<str>, StandardCalendar)>,
    pub(crate) jobs: Vec<Arc<JobDetail>>,
    pub(crate) triggers: Vec<FileTrigger>,
}

impl Contents {
    pub(crate) fn named_calendars(&self) -> impl Iterator<Item = NamedCalendar> {
        self.calendars.iter().map(|(name, calendar)| (name.clone(), Arc::new(calendar.clone()) as _))
    }
}

/// A trigger that a file declares.
#[derive(Debug)]
pub(crate) struct FileTrigger {
    pub(crate) trigger: Trigger,
    /// It starts at a moment of its own.
    pub(crate) own_start: bool,
    /// The file, line and key of its schedule.
    pub(crate) place: Arc<str>,
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
    let mut builder = JobDetail::builder(key.clone(), base.job_type());
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
    if let Some(boost) = fields.duration("boost").or(base.boost()) {
        builder = builder.boost(boost);
    }
    if let Some(expires) = fields.duration("expires").or(base.expires()) {
        builder = builder.expires(expires);
    }
    let of_code = base.retry().cloned();
    if let Some(policy) = retries::policy(&fields, of_code.as_ref()).or(of_code) {
        builder = builder.retry(policy);
    }
    let queue = fields.text("queue").or(base.queue().map(|queue| &**queue));
    if let Some(queue) = queue {
        builder = builder.queue(queue);
    }
    let job = builder.build();
    if let Some((field, problem)) = job.problem_of(|field| fields.has(field)) {
        fields.note_at(field, format_args!("job `{key}`: {problem}"));
    }
    fields.finish();
    sound.then_some(job)
}

fn triggers(all: &Fields<'_>, jobs: &[Arc<JobDetail>], around: &Around<'_>) -> Vec<FileTrigger> {
    let of_code = around.registry.in_order().into_iter().map(|definition| definition.detail().key());
    let jobs = jobs.iter().map(|job| job.key()).chain(of_code).collect();
    let (mut read, mut names) = (Vec::new(), HashSet::new());
    for (name, fields) in all.named() {
        let (line, path) = (fields.line, fields.path.clone());
        let Some(found) = trigger(name, fields, &jobs, around) else { continue };
        let key = found.trigger.key();
        if !names.insert(key.clone()) {
            all.notes.note(
                line,
                &path,
                format_args!("the trigger `{key}` is there already; give it another name"),
            );
        }
        read.push(found);
    }
    read
}

fn trigger(
    name: &str,
    fields: Fields<'_>,
    jobs: &BTreeSet<&JobKey>,
    around: &Around<'_>,
) -> Option<FileTrigger> {
    let key = name.parse::<TriggerKey>().map_err(|problem| fields.note(problem)).ok();
    let job = job_of(&fields, jobs);
    let moments = Moments::of(&fields);
    let scheduled = schedules::of_trigger(key.as_ref(), &fields, &moments);
    let place = schedules::place(&fields).into();
    // Also without a schedule, so that what is wrong with the options is noted.
    let sound = scheduled.is_some();
    let builder = with_options(moments.set(scheduled.unwrap_or_else(Trigger::now)), &fields);
    let own_start = builder.has_start();
    let (line, path, notes) = (fields.line, fields.path.clone(), fields.notes);
    fields.finish();
    let builder = builder.key(key?).job(job?).or_misfire(around.misfire).declared_by(&around.declarer);
    match builder.build(around.now) {
        _ if !sound => None,
        Ok(trigger) => Some(FileTrigger { trigger, own_start, place }),
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
