//! How many crates a user of core compiles.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use super::tree::Tree;
use crate::machine::output_of;

const MANIFEST: &str = "scheduler-core/Cargo.toml";
const FEWER_THAN: usize = 60;

pub(crate) fn check(_: &Tree, report: &mut Report) {
    let question = ["tree", "-p", "scheduler-core", "-e", "normal", "--prefix", "none"];
    match output_of("cargo", &question) {
        Ok(listing) => judge(&crates(&listing), report),
        Err(error) => report.violation(MANIFEST, 1, format!("{error}; mend the manifest")),
    }
}

fn judge(crates: &BTreeSet<(&str, &str)>, report: &mut Report) {
    let count = crates.len();
    report.note(format!(
        "scheduler-core with default features is {count} crates (fewer than {FEWER_THAN} allowed)"
    ));
    if count >= FEWER_THAN {
        let what = format!("{count} crates with default features; drop one, or put it behind a feature");
        report.violation(MANIFEST, 1, what);
    }
    for (name, versions) in duplicates(crates) {
        report.note(format!(
            "scheduler-core builds `{name}` in {} versions: {}",
            versions.len(),
            versions.join(", ")
        ));
    }
}

/// Name and version of every crate in what `cargo tree` prints, once.
fn crates(listing: &str) -> BTreeSet<(&str, &str)> {
    let words = listing.lines().map(str::split_whitespace);
    words.filter_map(|mut words| Some((words.next()?, words.next()?))).collect()
}

fn duplicates<'a>(crates: &BTreeSet<(&'a str, &'a str)>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, version) in crates {
        versions.entry(name).or_default().push(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str =
        "core v0.1.0 (/tmp/core)\nserde v1.0.1\nsyn v2.0.0\nserde v1.0.1 (*)\nsyn v3.0.0 (proc-macro)\n";

    #[test]
    fn each_crate_counts_once() {
        assert_eq!(crates(LISTING).len(), 4);
        assert_eq!(duplicates(&crates(LISTING)), BTreeMap::from([("syn", vec!["v2.0.0", "v3.0.0"])]));
    }

    #[test]
    fn too_many_are_a_violation_and_duplicates_are_not() {
        let mut report = Report::default();
        judge(&crates(LISTING), &mut report);
        assert_eq!(report.violations(), [""; 0]);
        let listing: String = (0..60).map(|number| format!("crate-{number} v1.0.0\n")).collect();
        judge(&crates(&listing), &mut report);
        assert!(report.violations()[0].starts_with("scheduler-core/Cargo.toml:1: 60 crates"));
    }
}
