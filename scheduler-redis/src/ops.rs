//! The operations of the script `commit.lua`.

use std::collections::BTreeMap;
use std::sync::Arc;

use scheduler_core::store::view::Version;

use crate::codec;
use crate::names::LaneOf;

pub(crate) type Words = Vec<Vec<u8>>;

/// Operations, put together by what they do and to which key.
#[derive(Debug, Default)]
pub(crate) struct Ops(BTreeMap<(Step, Arc<str>), Words>);

/// What the script can do, in the order in which it does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Rows none of which exists yet; compared before anything is written, after the checks.
    Add,
    HSet,
    HDel,
    Set,
    ZAdd,
    ZRem,
    SAdd,
    SRem,
    Alarm,
    Tally,
    Arrive,
    Later,
    Firings,
    Unname,
    Over,
    Hold,
    Unpark,
    Leave,
    LeaveAlone,
    Free,
    Queue,
    Gate,
    Unbegin,
    Shut,
    Cap,
    Stand,
    Shift,
    StandAlone,
    LineUp,
    LoseTurn,
    Wake,
    Cry,
    Ended,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::HSet => "HSET",
            Self::HDel => "HDEL",
            Self::Set => "SET",
            Self::ZAdd => "ZADD",
            Self::ZRem => "ZREM",
            Self::SAdd => "SADD",
            Self::SRem => "SREM",
            Self::Alarm => "alarm",
            Self::Tally => "tally",
            Self::Arrive => "arrive",
            Self::Later => "later",
            Self::Firings => "firings",
            Self::Unname => "unname",
            Self::Over => "over",
            Self::Hold => "hold",
            Self::Unpark => "unpark",
            Self::Leave => "leave",
            Self::LeaveAlone => "leave_alone",
            Self::Free => "free",
            Self::Queue => "queue",
            Self::Gate => "gate",
            Self::Unbegin => "unbegin",
            Self::Shut => "shut",
            Self::Cap => "cap",
            Self::Stand => "stand",
            Self::Shift => "shift",
            Self::StandAlone => "stand_alone",
            Self::LineUp => "line_up",
            Self::LoseTurn => "lose_turn",
            Self::Wake => "wake",
            Self::Cry => "cry",
            Self::Ended => "ended",
        }
    }
}

impl Ops {
    pub(crate) fn add(
        &mut self,
        step: Step,
        key: impl Into<Arc<str>>,
        words: impl IntoIterator<Item = Vec<u8>>,
    ) {
        self.0.entry((step, key.into())).or_default().extend(words);
    }
}

impl Ops {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn words(self) -> Words {
        let mut words = Words::new();
        for ((step, key), of_step) in self.0 {
            words.extend([text(step.name()), text(&*key), text(of_step.len().to_string())]);
            words.extend(of_step);
        }
        words
    }
}

/// One operation or check of the script.
pub(crate) fn operation(name: &str, key: &str, of: &[Vec<u8>]) -> Words {
    let mut words = vec![text(name), text(key), text(of.len().to_string())];
    words.extend_from_slice(of);
    words
}

/// A lane as a key has it.
pub(crate) fn lane_name((queue, job_type): &LaneOf) -> String {
    match queue {
        Some(queue) => format!("1{}\0{job_type}", codec::queue(queue)),
        None => format!("0\0{job_type}"),
    }
}

pub(crate) fn text(text: impl Into<String>) -> Vec<u8> {
    text.into().into_bytes()
}

pub(crate) fn record(version: Version, record: Vec<u8>) -> Vec<u8> {
    let mut whole = Vec::with_capacity(record.len() + 8);
    whole.extend(version.to_be_bytes());
    whole.extend(record);
    whole
}

/// A version as a check has it: nothing for a row that is not there.
pub(crate) fn known(version: Version) -> Vec<u8> {
    if version == 0 { Vec::new() } else { version.to_be_bytes().to_vec() }
}
