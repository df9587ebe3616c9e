//! Schedules from files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use scheduler_core::job::{JobContext, JobDefinition, JobDetail};
use scheduler_core::plugin::ScheduleFile;
use scheduler_core::run::{Backoff, FailureKind, RetryPolicy};
use scheduler_core::store::{MemoryJobStore, Selection, TriggerQuery, TriggerState};
use scheduler_core::testing::{TestScheduler, assert_fired};
use scheduler_core::trigger::{Misfire, OverlapPolicy};
use scheduler_core::{Scheduler, SchedulerBuilder, TriggerKey};
use tempfile::TempDir;

const NOW: &str = "2026-03-01T00:00:00Z";

const TOML: &str = r#"
[calendars.weekends]
weekly = ["saturday", "sunday"]

[calendars.closed]
time_zone = "Europe/Berlin"
base = "weekends"
annual = ["12-25", "12-26"]
description = "when nobody works"

[jobs."reports/sales"]
type = "report"
data = { subject = "sales" }
timeout = "5m"
boost = "2m"
expires = "10m"
retry = { max = 3, backoff = "fixed(30s)" }

[triggers.morning]
job = "reports/sales"
cron = "0 30 7 ? * MON-FRI"
time_zone = "Europe/Berlin"
calendar = "closed"
misfire = "skip"
priority = 7

[triggers."polls/often"]
job = "report"
every = "30s"
repeat = 9
overlap = "buffer_one"
queue = "polls"
data = { depth = 3 }
"#;

const YAML: &str = r#"
calendars:
  weekends:
    weekly: [saturday, sunday]
  closed:
    time_zone: Europe/Berlin
    base: weekends
    annual: ["12-25", "12-26"]
    description: when nobody works
jobs:
  reports/sales:
    type: report
    data: { subject: sales }
    timeout: 5m
    boost: 2m
    expires: 10m
    retry: { max: 3, backoff: "fixed(30s)" }
triggers:
  morning:
    job: reports/sales
    cron: 0 30 7 ? * MON-FRI
    time_zone: Europe/Berlin
    calendar: closed
    misfire: skip
    priority: 7
  polls/often:
    job: report
    every: 30s
    repeat: 9
    overlap: buffer_one
    queue: polls
    data: { depth: 3 }
"#;

const JSON: &str = r#"{
  "calendars": {
    "weekends": { "weekly": ["saturday", "sunday"] },
    "closed": {
      "time_zone": "Europe/Berlin", "base": "weekends", "annual": ["12-25", "12-26"],
      "description": "when nobody works"
    }
  },
  "jobs": {
    "reports/sales": {
      "type": "report", "data": { "subject": "sales" }, "timeout": "5m", "boost": "2m", "expires": "10m",
      "retry": { "max": 3, "backoff": "fixed(30s)" }
    }
  },
  "triggers": {
    "morning": {
      "job": "reports/sales", "cron": "0 30 7 ? * MON-FRI", "time_zone": "Europe/Berlin",
      "calendar": "closed", "misfire": "skip", "priority": 7
    },
    "polls/often": {
      "job": "report", "every": "30s", "repeat": 9, "overlap": "buffer_one", "queue": "polls",
      "data": { "depth": 3 }
    }
  }
}"#;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn builder() -> SchedulerBuilder {
    let detail = JobDetail::builder("report".parse().unwrap(), "report").durable(true).build();
    Scheduler::builder().register(JobDefinition::new(detail, async |_: JobContext| {}))
}

async fn started(file: ScheduleFile) -> TestScheduler {
    TestScheduler::start(NOW, builder().plugin(file)).await.unwrap()
}

async fn names(test: &TestScheduler) -> Vec<String> {
    let all = test.scheduler().all_triggers(TriggerQuery::default()).await.unwrap();
    all.iter().map(|status| status.trigger.key().to_string()).collect()
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn what_a_file_does_not_say_of_retries_is_as_the_code_says() {
    let policy = |max, backoff: &str| RetryPolicy::new(max, backoff.parse().unwrap());
    let minutely = || policy(5, "fixed(1m)");
    let rare = || minutely().jitter(0.0).unwrap().within(Duration::from_secs(3_600)).on([FailureKind::Lost]);
    for (of_code, of_file, expected) in [
        (None, "", None),
        (None, "retry = 3", Some(RetryPolicy::new(3, Backoff::default()))),
        (None, "retry = {}", Some(RetryPolicy::default())),
        (Some(minutely()), "", Some(minutely())),
        (Some(minutely()), "retry = 0", Some(policy(0, "fixed(1m)"))),
        (Some(minutely()), "retry.backoff = \"exponential(1s, 2s)\"", Some(policy(5, "exponential(1s, 2s)"))),
        (Some(rare()), "retry = 5", Some(rare())),
        (Some(rare()), "retry = { jitter = 1 }", Some(rare().jitter(1.0).unwrap())),
        (Some(rare()), "retry = { within = \"3d\" }", Some(rare().within(3 * DAY))),
        (
            None,
            "retry = { max = 2, backoff = \"sidekiq\", jitter = 0.3, within = \"3d\", on = \"lost, failed\" }",
            Some(
                RetryPolicy::new(2, Backoff::sidekiq())
                    .jitter(0.3)
                    .unwrap()
                    .within(3 * DAY)
                    .on([FailureKind::Failed, FailureKind::Lost]),
            ),
        ),
    ] {
        let mut detail = JobDetail::builder("bill".parse().unwrap(), "bill").durable(true);
        if let Some(policy) = of_code {
            detail = detail.retry(policy);
        }
        let folder = Folder::new();
        let text = format!("[jobs.eu]\ntype = \"bill\"\n{of_file}");
        let file = ScheduleFile::new(folder.write("s.toml", &text));
        let definition = JobDefinition::new(detail.build(), async |_: JobContext| {});
        let test = TestScheduler::start(NOW, Scheduler::builder().register(definition).plugin(file));
        let job = test.await.unwrap().scheduler().job(&"eu".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(job.retry(), expected.as_ref(), "{text}");
    }
}

#[tokio::test]
async fn the_three_formats_say_the_same() {
    let folder = Folder::new();
    let mut seen = Vec::new();
    for (name, text) in [("s.toml", TOML), ("s.yaml", YAML), ("s.json", JSON)] {
        let test = started(ScheduleFile::new(folder.write(name, text))).await;
        test.run_due().await;
        let scheduler = test.scheduler();
        let morning = scheduler.trigger(&"morning".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(morning.progress.next.unwrap().to_rfc3339(), "2026-03-02T06:30:00+00:00", "{name}");
        assert_eq!((morning.trigger.priority(), morning.trigger.misfire()), (7, Misfire::Skip));
        let often = scheduler.trigger(&"polls/often".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(often.trigger.overlap(), OverlapPolicy::BufferOne);
        assert_eq!(often.trigger.queue().map(|queue| &**queue), Some("polls"));
        assert_eq!(often.trigger.data().get::<u32>("depth").unwrap(), Some(3));
        let job = scheduler.job(&"reports/sales".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((job.job_type(), job.timeout()), ("report", Some(Duration::from_secs(300))));
        let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        assert_eq!((job.boost(), job.expires()), (minutes(2), minutes(10)));
        let backoff = Backoff::Fixed(Duration::from_secs(30));
        assert_eq!(job.retry(), Some(&RetryPolicy::new(3, backoff)));
        assert!(job.durable(), "as the code says");
        assert_eq!(scheduler.calendars().await.unwrap().len(), 2);
        test.advance(Duration::from_secs(600)).await;
        assert_fired!(test, "report", 10);
        let of_file: Vec<_> = [&morning.trigger, &often.trigger]
            .map(|trigger| {
                let mut shown = serde_json::to_value(&**trigger).unwrap();
                shown["declared_by"].take();
                shown
            })
            .into();
        seen.push(of_file);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1], seen[2]);
}

#[tokio::test]
async fn windows_and_calendar_intervals() {
    let folder = Folder::new();
    let text = r#"
[triggers.night]
job = "report"
daily = { every = "2h", from = "22:00", to = "02:00" }
start = "2026-03-01T01:00:00Z"

[triggers.monthly]
job = "report"
calendar_interval = { every = 1, unit = "month" }
start = "2026-01-31T00:00:00Z"

[triggers.drifting]
job = "report"
calendar_interval = { every = 1, unit = "month", as_quartz = true }
start = "2026-01-31T00:00:00Z"
"#;
    let test = started(ScheduleFile::new(folder.write("s.toml", text))).await;
    let after = "2026-03-20T00:00:00Z".parse().unwrap();
    for (name, next) in [
        ("night", "2026-03-20T02:00:00+00:00"),
        ("monthly", "2026-03-31T00:00:00+00:00"),
        ("drifting", "2026-03-28T00:00:00+00:00"),
    ] {
        let stored = test.scheduler().trigger(&name.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(stored.trigger.fire_time_after(after).unwrap().to_rfc3339(), next, "{name}");
    }
}

#[tokio::test]
async fn every_mistake_is_named_with_file_line_and_key() {
    let folder = Folder::new();
    let text = r#"exsting = "keep"
[calendars.odd]
base = "nowhere"
monthly = [1, 32]
[jobs.one]
type = "reprot"
[jobs.two]
durable = "yes"
[triggers.a]
job = "report"
cron = "0 0 25 * * ?"
[triggers.b]
job = "raport"
every = "0 30 7 * * ?"
[triggers.c]
job = "report"
every = "1h"
at = "2026-03-01T00:00:00Z"
[triggers.d]
cron = "0 0 2 * * ?"
time_zone = "Europe/Berlim"
[triggers.e]
job = "report"
at = "tomorrow"
misfire = "skipp"
[triggers.f]
job = "report"
every = "1h"
end = "2020-01-01T00:00:00Z"
"#;
    let path = folder.write("faulty.toml", text);
    let error = TestScheduler::start(NOW, builder().plugin(ScheduleFile::new(&path))).await.unwrap_err();
    let shown = error.to_string();
    let lines: Vec<_> =
        shown.lines().map(|line| line[line.find("faulty.toml").unwrap()..].to_owned()).collect();
    let expected = [
        "faulty.toml:1: exsting: unknown; did you mean `existing`?",
        "faulty.toml:3: calendars.odd.base: there is no calendar `nowhere` before this one",
        "faulty.toml:4: calendars.odd.monthly: 32 is no day of the month, 1-31",
        "faulty.toml:6: jobs.one.type: no job `reprot` is registered; did you mean `report`?",
        "faulty.toml:7: jobs.two: has no `type`; name a registered job",
        "faulty.toml:8: jobs.two.durable: expected is true or false, not a text",
        "faulty.toml:11: triggers.a.cron: hour field has `25` at column 5; use 0-23",
        "faulty.toml:13: triggers.b.job: there is no job `raport` in this file or in the code; did you mean `report`?",
        "faulty.toml:18: triggers.c.at: a trigger has one schedule; make another trigger of this",
        "faulty.toml:19: triggers.d: has no `job`; name one of this file or a registered one",
    ];
    for line in expected {
        assert!(lines.iter().any(|ours| ours == line), "`{line}` is not among:\n{shown}");
    }
    for start in [
        "faulty.toml:14: triggers.b.every: ",
        "faulty.toml:21: triggers.d.time_zone: ",
        "faulty.toml:24: triggers.e.at: ",
        "faulty.toml:25: triggers.e.misfire: `skipp` is unknown; did you mean `skip`?",
        "faulty.toml:26: triggers.f: ends at 2020",
    ] {
        assert!(lines.iter().any(|ours| ours.starts_with(start)), "`{start}` is not among:\n{shown}");
    }
    assert_eq!(lines.len(), 15, "{shown}");
}

#[tokio::test]
async fn files_that_cannot_be_read_say_why() {
    let folder = Folder::new();
    let rows = [
        ("broken.toml", "[triggers", "broken.toml:1: "),
        ("broken.yaml", "triggers:\n  a: [1, 2\n", "broken.yaml:"),
        ("broken.json", "{\"triggers\": ", "broken.json:"),
        ("schedules.ini", "", "its ending is none of .toml, .yaml, .yml and .json"),
        ("list.yaml", "- 1\n", "list.yaml:1: expected is a table, not a list"),
    ];
    for (name, text, expected) in rows {
        let file = ScheduleFile::new(folder.write(name, text));
        let error = TestScheduler::start(NOW, builder().plugin(file)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let missing = ScheduleFile::new(folder.0.path().join("missing.toml"));
    let error = TestScheduler::start(NOW, builder().plugin(missing)).await.unwrap_err();
    assert!(error.to_string().contains("missing.toml cannot be read"), "{error}");
    for name in ["empty.toml", "empty.yaml"] {
        let test = started(ScheduleFile::new(folder.write(name, "# nothing yet\n"))).await;
        assert_eq!(names(&test).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_changed_file_is_put_in_place_and_a_faulty_one_left_aside() {
    let folder = Folder::new();
    let hourly = |name: &str| format!("[triggers.{name}]\njob = \"report\"\nevery = \"1h\"\n");
    let path = folder.write("s.toml", &(hourly("same") + &hourly("gone")));
    let test = started(ScheduleFile::new(&path).watch(Duration::from_secs(10))).await;
    test.scheduler().pause(Selection::Trigger("same".parse().unwrap())).await.unwrap();
    folder.write("s.toml", &(hourly("same") + &hourly("new")));
    assert_eq!(names(&test).await, ["gone", "same"]);
    test.advance(Duration::from_secs(20)).await;
    assert_eq!(names(&test).await, ["new", "same"]);
    let key: TriggerKey = "same".parse().unwrap();
    let same = test.scheduler().trigger(&key).await.unwrap().unwrap();
    assert_eq!(same.state, TriggerState::Paused, "what is unchanged stays as it is");
    folder.write("s.toml", "[triggers.same]\njob = \"nobody\"\nevery = \"1h\"\n");
    test.advance(Duration::from_secs(20)).await;
    assert_eq!(names(&test).await, ["new", "same"]);
    folder.write("s.toml", &hourly("last"));
    test.advance(Duration::from_secs(20)).await;
    assert_eq!(names(&test).await, ["last"]);
    test.scheduler().shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_is_stored_already_is_treated_as_the_file_says() {
    let folder = Folder::new();
    let every = |existing: &str, every: &str| {
        format!(
            "existing = \"{existing}\"\nprune = false\n[triggers.t]\njob = \"report\"\nevery = \"{every}\"\n"
        )
    };
    let store = MemoryJobStore::new();
    let start = async |existing: &str, interval: &str| {
        let file = ScheduleFile::new(folder.write("s.toml", &every(existing, interval)));
        let builder = builder().store(store.clone()).plugin(file);
        let test = TestScheduler::start(NOW, builder).await?;
        let stored = test.scheduler().trigger(&"t".parse().unwrap()).await?.unwrap();
        test.scheduler().shutdown(Duration::ZERO).await;
        Ok::<_, scheduler_core::Error>(stored.trigger.schedule().to_string())
    };
    let first = start("refuse", "1h").await.unwrap();
    assert_eq!(start("keep", "2h").await.unwrap(), first);
    let replaced = start("replace", "3h").await.unwrap();
    assert_ne!(replaced, first);
    assert!(start("refuse", "4h").await.unwrap_err().is_conflict());
    assert_ne!(start("update", "5h").await.unwrap(), replaced);
}

#[tokio::test]
async fn a_file_removes_first_what_it_names() {
    let folder = Folder::new();
    let store = MemoryJobStore::new();
    let first = "[triggers.\"old/a\"]\njob = \"report\"\nevery = \"1h\"\n[triggers.b]\njob = \"report\"\nevery = \"1h\"\n";
    let file = ScheduleFile::new(folder.write("first.toml", first));
    let test = TestScheduler::start(NOW, builder().store(store.clone()).plugin(file)).await.unwrap();
    assert_eq!(names(&test).await, ["b", "old/a"]);
    test.scheduler().shutdown(Duration::ZERO).await;
    let second = "[remove]\ntrigger_groups = [\"old\"]\n[triggers.c]\njob = \"report\"\nevery = \"1h\"\n";
    let file = ScheduleFile::new(folder.write("second.toml", second));
    let test = TestScheduler::start(NOW, builder().store(store.clone()).plugin(file)).await.unwrap();
    assert_eq!(names(&test).await, ["b", "c"], "another file prunes only its own");
}
