//! Schedule files at their edges: what has no effect is refused, and local times, unions and hashes mean one thing.

use std::fs;

use scheduler_core::job::{JobContext, JobDefinition, JobDetail};
use scheduler_core::plugin::ScheduleFile;
use scheduler_core::store::{MemoryJobStore, Selection};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Error, Scheduler, SchedulerBuilder, TriggerKey};

const NOW: &str = "2026-03-01T00:00:00Z";

fn builder(store: &MemoryJobStore) -> SchedulerBuilder {
    let detail = JobDetail::builder("report".parse().unwrap(), "report").durable(true).build();
    let report = JobDefinition::new(detail, async |_: JobContext| {});
    Scheduler::builder().store(store.clone()).register(report)
}

/// A scheduler with a file of this ending and text.
async fn start(now: &str, store: &MemoryJobStore, ending: &str, text: &str) -> Result<TestScheduler, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("s.{ending}"));
    fs::write(&path, text).unwrap();
    // It has been read when the scheduler has started.
    TestScheduler::start(now, builder(store).plugin(ScheduleFile::new(&path))).await
}

async fn stored(text: &str, ending: &str, name: &str) -> Trigger {
    let test = start(NOW, &MemoryJobStore::new(), ending, text)
        .await
        .unwrap_or_else(|error| panic!("{text}\n{error}"));
    let key: TriggerKey = name.parse().unwrap();
    (*test.scheduler().trigger(&key).await.unwrap().unwrap().trigger).clone()
}

/// The trigger `t` with these lines, in TOML.
fn toml(lines: &str) -> String {
    format!("[triggers.t]\njob = \"report\"\n{lines}\n")
}

#[track_caller]
fn assert_names(shown: &str, text: &str, expected: &str) {
    let found = shown.lines().any(|line| line.contains("s.") && line.contains(expected));
    assert!(found, "missing: {expected}\n{text}\n{shown}");
}

#[tokio::test]
async fn t22_nothing_in_a_trigger_is_dropped_silently() {
    let cases = [
        ("every = \"1h\"\ntime_zone = \"Europe/Berlin\"", ":4: triggers.t.time_zone: has no effect"),
        (
            "at = \"2026-03-02T00:00:00Z\"\ntime_zone = \"Europe/Berlin\"",
            ":4: triggers.t.time_zone: has no effect",
        ),
        (
            "at = \"2026-03-02T00:00:00Z\"\nstart = \"2026-03-03T00:00:00Z\"",
            ":4: triggers.t.start: has no effect",
        ),
        ("at = \"2026-03-02T00:00:00Z\"\nstart_after = \"1h\"", ":4: triggers.t.start_after: has no effect"),
        (
            "every = \"1h\"\nstart = \"2026-03-03T00:00:00Z\"\nstart_after = \"1h\"",
            ":5: triggers.t.start_after: has no effect",
        ),
        ("at = \"2026-03-02T00:00:00Z\"\nrepeat = 3", ":4: triggers.t.repeat: is for `every` and `daily`"),
        ("cron = \"0 0 2 * * ?\"\nrepeat = 3", ":4: triggers.t.repeat: is for `every` and `daily`"),
        (
            "rrule = \"FREQ=DAILY\"\nrepeat = 3",
            ":4: triggers.t.repeat: has no effect on a rule; write `COUNT`",
        ),
        (
            "daily = { every = \"1h\", repeat_per_day = 1 }\nrepeat = 3",
            ":4: triggers.t.repeat: a window has one count",
        ),
        ("calendar_interval = { unit = \"day\" }\nrepeat = 3", ":4: triggers.t.repeat: is for"),
        ("every = \"1h\"\ndst = { gap = \"skip\" }", ":4: triggers.t.dst: is for `cron` and `rrule`"),
        (
            "daily = { every = \"1h\" }\ndst = { gap = \"skip\" }",
            ":4: triggers.t.dst: is for `cron` and `rrule`",
        ),
        ("cron = \"0 0 2 * * ?\"\ndst = {}", ":4: triggers.t.dst: has no effect"),
        (
            "daily = { every = \"1500ms\" }",
            ":3: triggers.t.daily: the interval of a day is 1s500ms; use whole seconds",
        ),
        (
            "daily = { every = \"500ms\" }",
            ":3: triggers.t.daily: the interval of a day is 500ms; use at least 1s",
        ),
        ("daily = { every = \"2d\" }", ":3: triggers.t.daily: the interval of a day is 2d; use at most 24h"),
        (
            "daily = { every = \"1h\", from = \"08:00:00.5\" }",
            ":3: triggers.t.daily: the window begins at 08:00:00.500",
        ),
        ("daily = { every = \"1h\", days = [] }", ":3: triggers.t.daily.days: is empty"),
        ("every = \"1500us\"", ":3: triggers.t.every: the interval 1ms500us has a fraction of a millisecond"),
        ("every = \"0s\"", ":3: triggers.t.every: the interval is 0s; use at least 1ms"),
        (
            "every = \"90000000000w\"",
            ":3: triggers.t.every: the interval 90000000000w is longer than can be counted",
        ),
        ("every = 30", ":3: triggers.t.every: 30 has no unit; write \"30s\""),
        (
            "calendar_interval = { unit = \"day\", every = 0 }",
            ":3: triggers.t.calendar_interval: the calendar interval is 0",
        ),
        (
            "calendar_interval = { unit = \"day\", preserve_hour = true }",
            ":3: triggers.t.calendar_interval.preserve_hour: has no effect",
        ),
        (
            "calendar_interval = { unit = \"day\", skip_missing_hour = true, as_quartz = true }",
            ".skip_missing_hour: has no effect",
        ),
        (
            "calendar_interval = { unit = \"hour\", as_quartz = true }",
            ":3: triggers.t.calendar_interval.as_quartz: has no effect",
        ),
        ("cron = \"0 0 2 * * ?\"\ncalendar = \"\"", "triggers.t: `calendar` is empty"),
        ("cron = \"0 0 2 * * ?\"\nqueue = \"\"", "triggers.t: `queue` is empty"),
        ("at = \"2026-03-02T00:00:00\"", ":3: triggers.t.at: is a local time; set `time_zone`"),
        (
            "cron = \"0 0 2 * * ?\"\nend = \"2026-03-02T00:00:00\"",
            ":4: triggers.t.end: is a local time; set `time_zone`",
        ),
        ("union = []", ":3: triggers.t.union: the union has no schedule"),
        (
            "union = [{ every = \"1h\", time_zone = \"UTC\" }]",
            ":3: triggers.t.union[0].time_zone: has no effect",
        ),
        (
            "union = [{ at = \"2026-03-02T00:00:00Z\" }]",
            ":3: triggers.t.union[0]: has no schedule; use one of cron, every",
        ),
        ("union = [{ rrule = \"FREQ=DAILY;COUNT=3\" }]", ":3: triggers.t.union: the schedule"),
        (
            "union = [{ cron = \"0 0 2 * * ?\", dst = { gap = \"skip\" }, repeat = 3 }]",
            ":3: triggers.t.union[0].repeat: unknown",
        ),
        (
            "union = [{ every = \"1h\" }]\ntime_zone = \"Europe/Berlin\"",
            ":4: triggers.t.time_zone: has no effect",
        ),
        (
            "union = [{ cron = \"0 0 2 * * ?\", time_zone = \"UTC\" }]\ntime_zone = \"Europe/Berlin\"",
            ":4: triggers.t.time_zone: has no effect",
        ),
    ];
    for (lines, expected) in cases {
        let text = toml(lines);
        let shown = start(NOW, &MemoryJobStore::new(), "toml", &text).await.expect_err(&text).to_string();
        assert_names(&shown, &text, expected);
    }
}

#[tokio::test]
async fn t22_nothing_in_a_calendar_or_job_is_dropped_silently() {
    let cases = [
        ("[calendars.c]\nweekly = []", ":2: calendars.c.weekly: is empty"),
        ("[calendars.c]\nannual = []", ":2: calendars.c.annual: is empty"),
        ("[calendars.c]\nmonthly = []", ":2: calendars.c.monthly: is empty"),
        ("[calendars.c]\nholidays = []", ":2: calendars.c.holidays: is empty"),
        ("[calendars.c]\ndescription = \"x\"", ":1: calendars.c: leaves nothing out"),
        (
            "[calendars.b]\nmonthly = [1]\n[calendars.c]\nbase = \"b\"\ntime_zone = \"Europe/Berlin\"",
            ":5: calendars.c.time_zone: has no effect",
        ),
        (
            "[calendars.c]\nweekly = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]",
            ":2: calendars.c.weekly: leaves out all time",
        ),
        ("[calendars.c]\ncron = \"* * * * * ?\"", ":2: calendars.c.cron: leaves out all time"),
        ("[jobs.j]\ntype = \"report\"\ntimeout = \"0s\"", ":3: jobs.j.timeout: job `j`: the timeout is 0s"),
        (
            "[jobs.j]\ntype = \"report\"\nboost = \"2d\"",
            ":3: jobs.j.boost: job `j`: the boost is 2d; use at most `1d`",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nexpires = \"0s\"",
            ":3: jobs.j.expires: job `j`: a run would expire after 0s; use at least `1ms`",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { backoff = \"exponental(1s, 2s)\" }",
            ":3: jobs.j.retry.backoff: backoff `exponental(1s, 2s)`, column 1: there is no backoff `exponental`; did you mean `exponential`?",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { maxx = 1 }",
            ":3: jobs.j.retry.maxx: unknown; did you mean `max`?",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { jitter = 1.5 }",
            ":3: jobs.j.retry.jitter: a jitter of 1.5 is not between 0 and 1; write 0.2 for a fifth of the delay",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { jitter = \"0.5\" }",
            ":3: jobs.j.retry.jitter: expected is a number, not a text",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { within = \"0s\" }",
            ":3: jobs.j.retry.within: is shorter than a millisecond; write `max = 0` for no retries",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { within = 3 }",
            ":3: jobs.j.retry.within: 3 has no unit; write \"3s\" for seconds",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { on = \"timeout\" }",
            ":3: jobs.j.retry.on: `timeout` is no kind of failure; did you mean `timed_out`?",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { on = \"\" }",
            ":3: jobs.j.retry.on: no kind of failure is named; use one or more of failed, panicked, timed_out, lost",
        ),
        (
            "[jobs.j]\ntype = \"report\"\nretry = { when = \"is_transient\" }",
            ":3: jobs.j.retry.when: unknown; use one of backoff, jitter, max, on, progress, within",
        ),
        ("[jobs.j]\ntype = \"report\"\nretry = -1", ":3: jobs.j.retry: -1 is out of range"),
        (
            "[jobs.j]\ntype = \"report\"\nretry = \"3\"",
            ":3: jobs.j.retry: expected is a whole number or a table, not a text",
        ),
    ];
    for (text, expected) in cases {
        let shown = start(NOW, &MemoryJobStore::new(), "toml", text).await.expect_err(text).to_string();
        assert_names(&shown, text, expected);
    }
}

#[tokio::test]
async fn t22_a_key_without_a_value_is_a_mistake_and_an_empty_heading_is_none() {
    let text = "jobs:\ntriggers:\n  t:\n    job: report\n    every: 1h\n    end:\n";
    let shown = start(NOW, &MemoryJobStore::new(), "yaml", text).await.unwrap_err().to_string();
    assert_names(&shown, text, ":6: triggers.t.end: has no value");
    start(NOW, &MemoryJobStore::new(), "yaml", "jobs:\ntriggers:\n").await.unwrap();
}

#[tokio::test]
async fn t22_a_key_that_stands_twice_is_a_mistake() {
    let yaml = "triggers:\n  t:\n    job: report\n    every: 1h\n    every: 2h\n";
    let json = r#"{"triggers": {"t": {"job": "report", "every": "1h", "every": "2h"}}}"#;
    for (ending, text) in [("yaml", yaml), ("json", json)] {
        let shown = start(NOW, &MemoryJobStore::new(), ending, text).await.expect_err(text).to_string();
        assert_names(&shown, text, "duplicated key");
    }
}

#[tokio::test]
async fn values_that_yaml_reads_as_signs_ask_for_quotes() {
    for value in ["*/5 * * * * ?", "@daily", "*", "%x"] {
        let text = format!("triggers:\n  t:\n    job: report\n    cron: {value}\n");
        let shown = start(NOW, &MemoryJobStore::new(), "yaml", &text).await.expect_err(&text).to_string();
        assert_names(
            &shown,
            &text,
            &format!(":4: cron: a value that begins with `{}` needs quotes", &value[..1]),
        );
    }
}

#[tokio::test]
async fn t21_a_schedule_that_never_fires_is_refused_with_line_and_key() {
    let cases = [
        ("cron = \"0 0 12 30 2 ?\"", ":3: triggers.t.cron: trigger `t`"),
        ("rrule = \"FREQ=DAILY;UNTIL=20250101\"", ":3: triggers.t.rrule: trigger `t`"),
        (
            "rrule = \"FREQ=DAILY;UNTIL=20250101\"\nstart = \"2024-01-01T00:00:00Z\"",
            ":3: triggers.t.rrule: trigger `t`",
        ),
        ("cron = \"0 0 12 1 1 ? 2020\"", ":3: triggers.t.cron: trigger `t`"),
        (
            "every = \"1h\"\nstart = \"2022-01-01T00:00:00Z\"\nend = \"2023-01-01T00:00:00Z\"",
            ":3: triggers.t.every: trigger `t`",
        ),
        ("at = \"2022-01-01T00:00:00Z\"\nend = \"2023-01-01T00:00:00Z\"", ":3: triggers.t.at: trigger `t`"),
    ];
    for (lines, expected) in cases {
        for existing in ["update", "replace", "keep", "refuse"] {
            let text = format!("existing = \"{existing}\"\n{}", toml(lines));
            let shown = start(NOW, &MemoryJobStore::new(), "toml", &text).await.expect_err(&text).to_string();
            let expected = expected.replace(":3:", ":4:");
            assert_names(&shown, &text, &expected);
            assert!(shown.contains("will never fire"), "{shown}");
        }
    }
}

/// A file is read again at every start, also when its triggers have done their work.
#[tokio::test]
async fn a_stored_trigger_whose_end_has_passed_does_not_keep_a_scheduler_from_starting() {
    let store = MemoryJobStore::new();
    let text =
        toml("cron = \"0 0 2 * * ?\"\nstart = \"2026-03-01T00:00:00Z\"\nend = \"2026-03-05T00:00:00Z\"");
    let first = start(NOW, &store, "toml", &text).await.unwrap();
    first.scheduler().pause(Selection::Trigger("t".parse().unwrap())).await.unwrap();
    first.scheduler().shutdown(std::time::Duration::ZERO).await;
    start("2026-03-06T00:00:00Z", &store, "toml", &text).await.unwrap();
    let fresh = start("2026-03-06T00:00:00Z", &MemoryJobStore::new(), "toml", &text).await;
    assert!(fresh.unwrap_err().to_string().contains("will never fire"));
}

#[tokio::test]
async fn t23_both_spellings_of_a_name_give_the_same_hash() {
    for schedule in ["cron = \"0 H H * * ?\"", "union = [{ cron = \"0 H H * * ?\" }]"] {
        let text = |name: &str| format!("[triggers.{name}]\njob = \"report\"\n{schedule}\n");
        let short = stored(&text("j"), "toml", "j").await;
        let full = stored(&text("\"DEFAULT/j\""), "toml", "j").await;
        assert_eq!(short.schedule(), full.schedule());
    }
    let in_code =
        Trigger::cron("0 H H * * ?").name("DEFAULT/j").for_job("report").build(NOW.parse().unwrap()).unwrap();
    let in_file = stored("[triggers.j]\njob = \"report\"\ncron = \"0 H H * * ?\"\n", "toml", "j").await;
    assert_eq!(in_code.schedule(), in_file.schedule());
}

/// Berlin, 29 March 2026: 02:00 to 03:00 does not exist. 25 October: 02:00 to 03:00 exists twice.
#[tokio::test]
async fn m1_local_times_in_a_file() {
    let cases = [
        ("at = \"2026-07-01T12:00:00\"", Some("2026-07-01T10:00:00+00:00"), None),
        ("at = 2026-07-01T12:00:00", Some("2026-07-01T10:00:00+00:00"), None),
        ("at = \"2026-07-01 12:00\"", Some("2026-07-01T10:00:00+00:00"), None),
        ("at = \"2026-03-29T02:30:00\"", Some("2026-03-29T01:30:00+00:00"), None),
        ("at = \"2026-10-25T02:30:00\"", Some("2026-10-25T00:30:00+00:00"), None),
        ("every = \"1h\"\nstart = \"2026-03-29T02:30:00\"", Some("2026-03-29T01:30:00+00:00"), None),
        ("every = \"1h\"\nend = \"2026-10-25T02:30:00\"", None, Some("2026-10-25T00:30:00+00:00")),
        ("cron = \"0 0 2 * * ?\"\nstart = \"2026-07-01T12:00:00\"", Some("2026-07-01T10:00:00+00:00"), None),
        (
            "union = [{ every = \"1h\" }]\nstart = \"2026-07-01T12:00:00\"\nend = \"2026-07-02T12:00:00Z\"",
            Some("2026-07-01T10:00:00+00:00"),
            Some("2026-07-02T12:00:00+00:00"),
        ),
    ];
    for (lines, start, end) in cases {
        let trigger = stored(&toml(&format!("{lines}\ntime_zone = \"Europe/Berlin\"")), "toml", "t").await;
        assert_eq!(trigger.start().to_rfc3339(), start.unwrap_or("2026-03-01T00:00:00+00:00"), "{lines}");
        assert_eq!(trigger.end().map(|end| end.to_rfc3339()).as_deref(), end, "{lines}");
    }
}

#[tokio::test]
async fn m3_a_union_in_each_format() {
    let toml = r#"
[triggers.t]
job = "report"
time_zone = "Europe/Berlin"
end = "2026-12-01T00:00:00Z"
[[triggers.t.union]]
cron = "0 0 9 ? * MON-FRI"
[[triggers.t.union]]
daily = { every = "2h", from = "10:00", to = "14:00", days = ["sat"] }
time_zone = "America/New_York"
[[triggers.t.union]]
rrule = "FREQ=MONTHLY;BYMONTHDAY=1"
dst = { gap = "skip" }
"#;
    let yaml = r#"
triggers:
  t:
    job: report
    time_zone: Europe/Berlin
    end: 2026-12-01T00:00:00Z
    union:
      - cron: 0 0 9 ? * MON-FRI
      - daily: { every: 2h, from: "10:00", to: "14:00", days: [sat] }
        time_zone: America/New_York
      - rrule: FREQ=MONTHLY;BYMONTHDAY=1
        dst: { gap: skip }
"#;
    let json = r#"{"triggers": {"t": {"job": "report", "time_zone": "Europe/Berlin", "end": "2026-12-01T00:00:00Z", "union": [
        {"cron": "0 0 9 ? * MON-FRI"},
        {"daily": {"every": "2h", "from": "10:00", "to": "14:00", "days": ["sat"]}, "time_zone": "America/New_York"},
        {"rrule": "FREQ=MONTHLY;BYMONTHDAY=1", "dst": {"gap": "skip"}}
    ]}}}"#;
    for (ending, text) in [("toml", toml), ("yaml", yaml), ("json", json)] {
        let trigger = stored(text, ending, "t").await;
        let progress = trigger.first(None);
        let times: Vec<_> =
            trigger.upcoming(&progress, None).skip(4).take(5).map(|time| time.to_rfc3339()).collect();
        let expected = [
            "2026-03-05T08:00:00+00:00",
            "2026-03-06T08:00:00+00:00",
            "2026-03-07T15:00:00+00:00",
            "2026-03-07T17:00:00+00:00",
            "2026-03-07T19:00:00+00:00",
        ];
        assert_eq!(times, expected, "{ending}");
    }
}
