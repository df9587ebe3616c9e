//! What a trigger has beside its schedule.

use super::fields::Fields;
use crate::trigger::{Misfire, OverlapPolicy, TriggerBuilder};

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

pub(super) fn with_options(mut builder: TriggerBuilder, fields: &Fields<'_>) -> TriggerBuilder {
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
    if let Some(queue) = fields.text("queue") {
        builder = builder.queue(queue);
    }
    if let Some(text) = fields.text("description") {
        builder = builder.description(text);
    }
    if let Some(data) = fields.data() {
        builder = builder.data(data);
    }
    builder
}
