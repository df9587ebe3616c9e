//! What is wrong with a rule.

use std::fmt;

/// A text that is no recurrence rule.
///
/// Prints on one line: the part, its value, the column and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    column: usize,
    problem: String,
}

impl RuleError {
    pub(super) fn new(column: usize, problem: String) -> Self {
        Self { column, problem }
    }

    /// The column of the guilty part, from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (column {})", self.problem, self.column)
    }
}

impl std::error::Error for RuleError {}
