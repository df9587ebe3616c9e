//! The account of a file: how many cases agree in each category, and the deviations with their reasons.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::corpus::text;

/// At most this share of a file may deviate.
const MOST_DEVIATIONS: f64 = 0.02;

/// Cases that we answer otherwise on purpose.
struct Deviation {
    /// The beginning of an id, a category or a difference, ended by `*`, or all of it.
    cases: String,
    reason: String,
    used: usize,
}

/// What was found out about a file.
pub(crate) struct Report {
    file: &'static str,
    agreeing: BTreeMap<String, (usize, usize)>,
    deviations: Vec<Deviation>,
    failures: Vec<String>,
    complete: bool,
}

impl Report {
    pub(crate) fn new(file: &'static str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/deviations.json");
        let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
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
        }
    }

    /// Notes one case: it agrees, or says how it does not.
    pub(crate) fn note(&mut self, case: &Value, result: Result<(), String>) {
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
    pub(crate) fn finish(self) {
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
        assert!(share < MOST_DEVIATIONS, "{deviating} of {all} deviate, which is too many");
    }
}

fn covers(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}
