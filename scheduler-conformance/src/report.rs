//! The account of a file: how many cases agree in each category, and the deviations with their reasons.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use super::corpus::{Line, text};

/// Cases that we answer otherwise on purpose.
#[derive(Debug)]
struct Deviation {
    /// The beginning of an id, a category or a difference, ended by `*`, or all of it.
    cases: String,
    reason: String,
    used: usize,
}

/// What was found out about a file.
#[derive(Debug)]
pub struct Report {
    file: &'static str,
    agreeing: BTreeMap<String, (usize, usize)>,
    deviations: Vec<Deviation>,
    failures: Vec<String>,
    complete: bool,
    most_deviations: f64,
}

impl Report {
    /// An empty one; `deviations` is the table of all files, and at most this share of a file may deviate.
    pub fn new(file: &'static str, deviations: &str, most_deviations: f64) -> Self {
        let table: Value = serde_json::from_str(deviations).unwrap();
        let rows = table[file].as_array().cloned().unwrap_or_default();
        let deviations = rows.iter().map(|row| Deviation {
            cases: text(row, "cases").to_owned(),
            reason: text(row, "reason").to_owned(),
            used: 0,
        });
        let complete = std::env::var_os("CONFORMANCE_DIR").is_none();
        Self {
            file,
            agreeing: BTreeMap::new(),
            deviations: deviations.collect(),
            failures: Vec::new(),
            complete,
            most_deviations,
        }
    }

    /// Checks the case of a line: it agrees, or says how it does not. A line that cannot be read is a failure.
    pub fn check(&mut self, line: &Line, check: impl FnOnce(&Value) -> Result<(), String>) {
        self.check_each(line, |case| vec![check(case)]);
    }

    /// As [`check`](Self::check), for a case of several parts.
    pub fn check_each(&mut self, line: &Line, check: impl FnOnce(&Value) -> Vec<Result<(), String>>) {
        match line.read().and_then(|case| Ok((guarded(&case, check)?, case))) {
            Ok((results, case)) => results.into_iter().for_each(|result| self.note(&case, result)),
            Err(problem) => self.cannot_read(line, &problem),
        }
    }

    fn cannot_read(&mut self, line: &Line, problem: &str) {
        self.agreeing.entry("(cannot be read)".to_owned()).or_default().1 += 1;
        self.failures.push(format!("{}.jsonl line {} cannot be read: {problem}", self.file, line.number));
    }

    /// What disagrees without a reason, or cannot be read.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    fn note(&mut self, case: &Value, result: Result<(), String>) {
        let category = text(case, "category");
        let (agreed, all) = self.agreeing.entry(category.to_owned()).or_default();
        *all += 1;
        let Err(difference) = result else {
            *agreed += 1;
            return;
        };
        let id = text(case, "id");
        match self
            .deviations
            .iter_mut()
            .find(|row| [id, category, &difference].iter().any(|name| covers(&row.cases, name)))
        {
            Some(row) => row.used += 1,
            None => self.failures.push(format!("{id} ({category}): {difference}")),
        }
    }

    /// Prints the account; fails if a case disagrees without a reason.
    pub fn finish(self) {
        println!("{}.jsonl", self.file);
        for (category, (agreed, all)) in &self.agreeing {
            println!("  {category:<40} {agreed:>5} of {all:>5} agree");
        }
        for row in &self.deviations {
            println!("  {} deviate ({}): {}", row.used, row.cases, row.reason);
            assert!(
                row.used > 0 || !self.complete,
                "no case needs the deviation `{}`; take it out",
                row.cases
            );
        }
        let all: usize = self.agreeing.values().map(|(_, all)| all).sum();
        let deviating: usize = self.deviations.iter().map(|row| row.used).sum();
        println!(
            "  {} of {all} agree, {deviating} deviate on purpose",
            all - deviating - self.failures.len()
        );
        let shown: Vec<_> = self.failures.iter().take(200).map(String::as_str).collect();
        assert!(self.failures.is_empty(), "{} cases disagree:\n{}", self.failures.len(), shown.join("\n"));
        let share = deviating as f64 / all.max(1) as f64;
        assert!(share < self.most_deviations, "{deviating} of {all} deviate, which is too many");
    }
}

/// A check panics where a case has not what it needs.
fn guarded<T>(case: &Value, check: impl FnOnce(&Value) -> T) -> Result<T, String> {
    let message = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text");
        format!("{}: {text}", self::text(case, "id"))
    };
    catch_unwind(AssertUnwindSafe(|| check(case))).map_err(message)
}

fn covers(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}
