//! Keys, groups and jobs as the scripts write them.

use scheduler_core::JobData;
use scheduler_core::Text;
use scheduler_core::job::JobDetail;
use scheduler_core::{JobKey, TriggerKey};
use serde_json::Value;

use super::text;

/// `group.name`
fn parts(key: &Value) -> (&str, &str) {
    key.as_str().unwrap().split_once('.').unwrap()
}

pub(super) fn trigger_key(key: &Value) -> TriggerKey {
    let (group, name) = parts(key);
    TriggerKey::in_group(group, name).unwrap()
}

pub(super) fn job_key(key: &Value) -> JobKey {
    let (group, name) = parts(key);
    JobKey::in_group(group, name).unwrap()
}

pub(super) fn shown(key: &impl scheduler_core::Key) -> String {
    format!("{}.{}", key.group(), key.name())
}

pub(super) fn group(described: &Value) -> Text {
    let value = described["value"].as_str().unwrap_or_default();
    match text(described, "compare") {
        "equals" => Text::is(value),
        "starts_with" => Text::starts_with(value),
        "ends_with" => Text::ends_with(value),
        "contains" => Text::contains(value),
        "anything" => Text::Any,
        other => panic!("unknown comparison `{other}`"),
    }
}

pub(super) fn detail(described: &Value) -> JobDetail {
    let is = |field: &str| described[field] == true;
    let data = described["data"].as_object().cloned().unwrap_or_default();
    JobDetail::builder(job_key(&described["key"]), "work")
        .durable(is("durable"))
        .disallow_concurrent(is("disallow_concurrent"))
        .persist_data(is("persist_data"))
        .data(JobData::from(data))
        .build()
}
