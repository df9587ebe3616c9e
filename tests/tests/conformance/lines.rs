//! The runners read every line of their format; a line that cannot be read is named, counted as failed, and ends nothing.

use scheduler_conformance::corpus::lines;
use scheduler_conformance::scripts;
use scheduler_core::store::MemoryJobStore;
use serde_json::{Value, json};

use crate::{calendars, cron, triggers};

/// 2024-06-03T00:00:00Z
const BEGIN: i64 = 1_717_372_800_000;

fn text(cases: &[Value]) -> Vec<u8> {
    cases.iter().map(|case| format!("{case}\n")).collect::<String>().into_bytes()
}

fn with_name(mut case: Value) -> Value {
    case["id"] = json!("hand-1");
    case["category"] = json!("hand-made");
    case
}

fn script(steps: &Value) -> Value {
    let (kind, threshold) = ("store-script", 5000);
    with_name(json!({ "kind": kind, "misfire_threshold_ms": threshold, "clock": BEGIN, "steps": steps }))
}

fn failures_of_script(steps: &Value) -> Vec<String> {
    let open = || async { MemoryJobStore::new() };
    scripts::report(&open, &lines(&text(&[script(steps)]))).failures().to_vec()
}

fn job(data: &Value) -> Value {
    json!({ "key": "g.j", "durable": false, "disallow_concurrent": false, "persist_data": true, "data": data })
}

fn trigger(name: &str) -> Value {
    let schedule =
        json!({ "type": "simple", "start": BEGIN, "end": null, "repeat_count": -1, "interval_ms": 1000 });
    json!({ "key": format!("g.{name}"), "job": "g.j", "priority": 5, "calendar": null, "schedule": schedule })
}

fn row(name: &str) -> Value {
    json!({ "key": format!("g.{name}"), "job": "g.j", "state": "NORMAL", "internal": "WAITING", "next": BEGIN, "previous": null })
}

#[test]
fn a_job_and_its_trigger_are_stored_at_once() {
    let state = json!({
        "jobs": [{ "key": "g.j", "data": { "a": 1 } }], "triggers": [row("t")], "queue": ["g.t"],
    });
    let store = |name: &str| json!({ "op": "store_job_and_trigger", "job": job(&json!({ "a": 1 })), "trigger": trigger(name) });
    let with = |mut step: Value, field: &str, value: Value| {
        step[field] = value;
        step
    };
    let right = with(with(store("t"), "result", json!("ok")), "state", state.clone());
    assert_eq!(failures_of_script(&json!([right])), [""; 0]);
    let again = with(with(store("u"), "error", json!("ObjectAlreadyExistsException")), "state", state);
    assert_eq!(failures_of_script(&json!([right, again])), [""; 0]);
    let wrong = with(store("t"), "error", json!("JobPersistenceException"));
    assert!(failures_of_script(&json!([wrong]))[0].contains("step 0, store_job_and_trigger: it succeeds"));
    // Quartz stores the job first.
    let mut other = store("t");
    other["job"]["key"] = json!("g.k");
    let both = json!([{ "key": "g.j" }, { "key": "g.k" }]);
    let refused = json!({ "jobs": both, "triggers": [row("t")], "queue": ["g.t"] });
    let refused = with(with(other, "error", json!("ObjectAlreadyExistsException")), "state", refused);
    assert_eq!(failures_of_script(&json!([right, refused])), [""; 0]);
}

#[test]
fn everything_is_cleared_but_the_pauses_of_groups() {
    let empty = json!({ "jobs": [], "triggers": [], "queue": [], "paused_trigger_groups": ["g"] });
    let stored = json!({ "op": "store_job_and_trigger", "job": job(&json!({})), "trigger": trigger("t"), "result": "ok" });
    let group = json!({ "compare": "equals", "value": "g" });
    for result in [json!("ok"), Value::Null] {
        let steps = json!([
            stored,
            { "op": "pause_triggers", "group": group, "result": ["g"] },
            { "op": "clear_all", "result": result, "state": empty },
        ]);
        assert_eq!(failures_of_script(&steps), [""; 0]);
    }
    let wrong = json!([stored, { "op": "clear_all", "state": { "jobs": [{ "key": "g.j" }], "triggers": [], "queue": [] } }]);
    assert!(failures_of_script(&wrong)[0].contains("step 1, clear_all: the jobs"));
}

#[test]
fn lists_of_keys_are_removed() {
    let stored = json!({ "op": "store_job_and_trigger", "job": job(&json!({})), "trigger": trigger("t"), "result": "ok" });
    let gone = json!({ "jobs": [], "triggers": [], "queue": [] });
    for (op, keys, found) in [
        ("remove_triggers", json!(["g.t"]), true),
        ("remove_triggers", json!(["g.t", "g.none"]), false),
        ("remove_jobs", json!(["g.j"]), true),
        ("remove_jobs", json!(["g.j", "g.none"]), false),
    ] {
        let step = json!({ "op": op, "keys": keys, "result": found, "state": gone });
        assert_eq!(failures_of_script(&json!([stored, step])), [""; 0], "{op}");
    }
}

#[test]
fn data_that_a_run_writes_is_added_to_that_of_the_job() {
    let stored = json!({ "op": "store_job_and_trigger", "job": job(&json!({ "a": 1, "b": 2 })), "trigger": trigger("t"), "result": "ok" });
    let acquired = json!([{ "key": "g.t", "next": BEGIN }]);
    let fired =
        json!([{ "key": "g.t", "job": "g.j", "scheduled": BEGIN, "previous": null, "next": BEGIN + 1000 }]);
    let data = |b: i64| {
        json!({ "jobs": [{ "key": "g.j", "data": { "a": 1, "b": b }, "persist_data": true }],
        "triggers": [{ "key": "g.t", "job": "g.j", "state": "NORMAL", "internal": "WAITING", "next": BEGIN + 1000, "previous": BEGIN }],
        "queue": ["g.t"] })
    };
    let steps = |b: i64| {
        json!([
            stored,
            { "op": "acquire_next_triggers", "no_later_than": BEGIN, "max_count": 1, "time_window": 0, "result": acquired },
            { "op": "triggers_fired", "keys": ["g.t"], "result": fired },
            { "op": "triggered_job_complete", "key": "g.t", "instruction": "NOOP", "put_data": { "b": 3 }, "state": data(b) },
        ])
    };
    assert_eq!(failures_of_script(&steps(3)), [""; 0]);
    assert!(failures_of_script(&steps(2))[0].contains("step 3, triggered_job_complete: the jobs"));
}

#[test]
fn an_invalid_trigger_with_fields_left_out_is_refused_and_a_valid_one_is_named() {
    let zone = "UTC";
    for trigger in [
        json!({ "type": "simple", "repeat_count": -1 }),
        json!({ "type": "simple", "start": BEGIN, "repeat_count": -2, "interval_ms": 1000 }),
        json!({ "type": "simple", "start": BEGIN, "repeat_count": -1, "interval_ms": null }),
        json!({ "type": "cron", "zone": zone, "start": BEGIN }),
        json!({ "type": "cron", "zone": zone, "expr": null }),
        json!({ "type": "cron", "expr": "0 0 0 * * ?" }),
        json!({ "type": "calendar_interval", "start": BEGIN, "zone": zone, "unit": "DAY" }),
        json!({ "type": "calendar_interval", "start": BEGIN, "zone": zone, "interval": 1 }),
        json!({ "type": "calendar_interval", "zone": zone, "unit": "MILLISECOND", "interval": 1 }),
        json!({ "type": "calendar_interval", "zone": "Nowhere", "unit": "DAY", "interval": 1 }),
        json!({ "type": "daily_time_interval", "zone": zone, "unit": "HOUR", "interval": 1, "days_of_week": [1] }),
        json!({ "type": "daily_time_interval", "zone": zone, "unit": "HOUR", "interval": 1, "start_of_day": "08:00:00" }),
        json!({ "type": "daily_time_interval", "zone": zone, "unit": "HOUR", "interval": 1, "start_of_day": "08:00:00", "days_of_week": [8] }),
        json!({ "type": null }),
        json!({}),
        Value::Null,
    ] {
        let case = |valid: bool| with_name(json!({ "kind": "trigger", "trigger": trigger, "valid": valid }));
        assert_eq!(triggers::account(&lines(&text(&[case(false)]))).failures(), [""; 0], "{trigger}");
        let failures = triggers::account(&lines(&text(&[case(true)]))).failures().to_vec();
        assert_eq!(failures.len(), 1, "{trigger}: {failures:?}");
        assert!(failures[0].contains("hand-1"), "{failures:?}");
        let step = json!({ "op": "store_trigger", "trigger": { "key": "g.t", "job": "g.j", "schedule": trigger }, "error": "SchedulerException" });
        assert_eq!(failures_of_script(&json!([step])), [""; 0], "{trigger}");
    }
}

#[test]
fn lines_that_cannot_be_read_are_named_and_the_others_count() {
    let good = with_name(json!({ "kind": "cron", "expr": "no cron", "valid": false }));
    let mut file = b"{ broken\n\n\xff\n17\n{\"id\":\"a\"}\n".to_vec();
    file.extend(text(&[
        good,
        with_name(json!({ "kind": "unheard of" })),
        with_name(json!({ "kind": "cron", "valid": true })),
    ]));
    let failures = cron::account(&lines(&file)).failures().to_vec();
    let starts = [
        "cron.jsonl line 1 cannot be read: ",
        "cron.jsonl line 3 cannot be read: ",
        "cron.jsonl line 4 cannot be read: `id` is no text",
        "cron.jsonl line 5 cannot be read: `category` is no text",
        "cron.jsonl line 7 cannot be read: hand-1: unknown kind `unheard of`",
        "cron.jsonl line 8 cannot be read: hand-1: ",
    ];
    assert_eq!(failures.len(), starts.len(), "{failures:#?}");
    for (failure, start) in failures.iter().zip(starts) {
        assert!(failure.starts_with(start), "{failure}");
    }
}

#[test]
fn what_no_runner_knows_is_named_in_each_file() {
    let unknown_step = json!([{ "op": "teleport", "result": null }]);
    assert!(failures_of_script(&unknown_step)[0].ends_with("unknown step `teleport`"));
    let unknown_event = json!([{ "op": "clear_all", "events": ["exploded g.t"] }]);
    assert!(failures_of_script(&unknown_event)[0].contains("unknown event"));
    let no_op = json!([{ "result": null }]);
    assert!(failures_of_script(&no_op)[0].contains("cannot be read"));
    let group = json!([{ "op": "pause_jobs", "group": { "compare": "sounds_like", "value": "g" } }]);
    assert!(failures_of_script(&group)[0].contains("unknown comparison `sounds_like`"));
    let calendar = with_name(
        json!({ "kind": "calendar", "calendar": { "type": "lunar", "zone": "UTC" }, "checks": [] }),
    );
    let failures = calendars::account(&lines(&text(&[calendar, with_name(json!({ "kind": "calendar" }))])))
        .failures()
        .to_vec();
    assert_eq!(failures.len(), 2);
    assert!(failures[0].contains("unknown type of calendar `lunar`"), "{failures:?}");
    let late = with_name(
        json!({ "kind": "misfire", "trigger": { "type": "simple", "interval_ms": 1, "misfire": "WHATEVER" } }),
    );
    let failures = triggers::account_of_misfire(&lines(&text(&[late]))).failures().to_vec();
    assert!(failures[0].contains("unknown misfire instruction `WHATEVER`"), "{failures:?}");
}
