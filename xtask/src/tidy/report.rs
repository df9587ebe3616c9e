//! What the rules found.

/// Violations, which fail the command, and notes, which do not.
#[derive(Debug, Default)]
pub(crate) struct Report {
    violations: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    /// `what` says what is wrong and what to do. Lines count from 1.
    pub(crate) fn violation(&mut self, path: &str, line: usize, what: impl AsRef<str>) {
        self.violations.push(format!("{path}:{line}: {}", what.as_ref()));
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn print(&self) {
        for note in &self.notes {
            println!("note: {note}");
        }
        for violation in &self.violations {
            println!("{violation}");
        }
    }
}
