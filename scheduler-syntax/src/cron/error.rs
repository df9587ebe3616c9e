//! What is wrong with an expression, where, and what to write instead.

use std::fmt;
use std::ops::Range;

use super::field::Field;

/// A text that is no cron expression.
///
/// Prints on one line: the field, the value, the column and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    field: Option<Field>,
    span: Range<usize>,
    column: usize,
    problem: String,
    hint: String,
    /// What to write in place of the guilty bytes, if there is no doubt.
    instead: Option<String>,
}

impl CronError {
    pub(super) fn new(
        text: &str,
        field: Option<Field>,
        span: Range<usize>,
        problem: String,
        hint: String,
    ) -> Self {
        let column = text.get(..span.start).map_or(1, |before| before.chars().count() + 1);
        Self { field, span, column, problem, hint, instead: None }
    }

    /// The same error with what to write in place of the guilty bytes.
    pub(super) fn instead(self, instead: Option<String>) -> Self {
        Self { instead, ..self }
    }

    /// The text without the mistake, if there is no doubt about what was meant.
    pub(super) fn mended(&self, text: &str) -> Option<String> {
        let (before, after) = (text.get(..self.span.start)?, text.get(self.span.end..)?);
        self.instead.as_ref().map(|instead| format!("{before}{instead}{after}"))
    }

    /// The field with the mistake; none if it is about the text as a whole.
    pub fn field(&self) -> Option<Field> {
        self.field
    }

    /// The guilty bytes of the text.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The column of the mistake, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What to write instead.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => {
                write!(f, "{field} field {} at column {}; {}", self.problem, self.column, self.hint)
            }
            None => write!(f, "{}; {}", self.problem, self.hint),
        }
    }
}

impl std::error::Error for CronError {}
