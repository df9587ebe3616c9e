//! What attempts of a run have failed with.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::FailureKind;

/// What an attempt of a run has failed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptError {
    /// The number of the attempt, from 1. A replay begins to count anew.
    pub attempt: u32,
    /// The kind of failure.
    pub kind: FailureKind,
    /// When the attempt ended.
    pub at: DateTime<Utc>,
    /// The node that made the attempt, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Arc<str>>,
    /// The error in words, at most [`MAX_LENGTH`](Self::MAX_LENGTH) bytes of it.
    pub text: Arc<str>,
}

impl AttemptError {
    /// The number of bytes that are kept of an error. The text is cut between two characters.
    pub const MAX_LENGTH: usize = 2048;

    /// The number of errors that a run keeps. The latest ones stay.
    pub const MOST: usize = 10;

    /// What an attempt has failed with at this time.
    pub fn new(attempt: u32, kind: FailureKind, at: DateTime<Utc>, text: &str) -> Self {
        Self { attempt, kind, at, node: None, text: cut(text, Self::MAX_LENGTH).into() }
    }

    /// The node that made the attempt.
    #[must_use]
    pub fn on_node(self, node: Arc<str>) -> Self {
        Self { node: Some(node), ..self }
    }
}

/// The first `most` bytes of a text, or fewer, so that no character is cut.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let error = |text: &str| AttemptError::new(1, FailureKind::Failed, DateTime::UNIX_EPOCH, text).text;
        let (short, most) = ("ä".repeat(1024), AttemptError::MAX_LENGTH);
        assert_eq!(*error(&short), *short);
        assert_eq!(error(&format!("x{short}")).len(), most - 1);
        assert_eq!(error(&"x".repeat(10 * most)).len(), most);
        assert_eq!(&*error(""), "");
    }
}
