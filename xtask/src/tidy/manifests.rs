//! Facts of the manifests: who may depend on whom, and the licence.

use super::manifest::Manifest;
use super::report::Report;
use super::tree::Tree;

/// Our crates and which of ours they may build on, as ARCHITECTURE.md draws them.
const BUILDS_ON: &[(&str, &[&str])] = &[
    ("scheduler-syntax", &[]),
    ("scheduler-macros", &["scheduler-syntax"]),
    ("scheduler-core", &["scheduler-syntax", "scheduler-macros"]),
    ("scheduler-redis", &["scheduler-syntax", "scheduler-core"]),
    ("scheduler-webhook", &["scheduler-core"]),
    ("scheduler-conformance", &["scheduler-syntax", "scheduler-core"]),
];

/// Foreign crates and the packages that may ask for them.
const HOMES: &[(&str, &[&str])] = &[
    ("redis", &["scheduler-redis", "tests", "benches", "examples", "xtask"]),
    ("hyper", &["tests", "benches", "examples"]),
    ("axum", &["tests", "benches", "examples"]),
];

const LICENCES: &[&str] = &["LICENSE-MIT", "LICENSE-APACHE"];

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for package in tree.manifests() {
        check_dependencies(&package, report);
        if package.is_published() && !package.has("license") {
            report.violation(
                &package.path,
                1,
                "a published crate without `license`; add `license.workspace = true`",
            );
        }
    }
    for licence in LICENCES.iter().filter(|licence| tree.text(licence).is_none()) {
        report.violation(licence, 1, "the licence's text is missing; every published crate names it");
    }
}

fn check_dependencies(package: &Manifest, report: &mut Report) {
    for dependency in package.dependencies() {
        let name = dependency.name;
        if !dependency.is_dev && !may_build_on(&package.name, name) {
            let what = format!(
                "`{}` may not build on `{name}`; see ARCHITECTURE.md for who knows whom",
                package.name
            );
            report.violation(&package.path, dependency.line, what);
        }
        if let Some((_, homes)) =
            HOMES.iter().find(|(foreign, homes)| *foreign == name && !homes.contains(&&*package.name))
        {
            let what =
                format!("`{}` may not name `{name}`; it belongs to {}", package.name, homes.join(", "));
            report.violation(&package.path, dependency.line, what);
        }
    }
}

/// Only arrows between published crates are ruled; tests, examples and tools may use all of them.
fn may_build_on(package: &str, other: &str) -> bool {
    let is_ours = BUILDS_ON.iter().any(|(name, _)| *name == other);
    let row = BUILDS_ON.iter().find(|(name, _)| *name == package);
    !is_ours || row.is_none_or(|(_, below)| below.contains(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_violation(name: &str, dependencies: &str, expected: Option<&str>) {
        let manifest = format!("[package]\nname = \"{name}\"\nlicense.workspace = true\n{dependencies}");
        let mut report = Report::default();
        check(
            &Tree::of([("Cargo.toml", &*manifest), ("LICENSE-MIT", ""), ("LICENSE-APACHE", "")]),
            &mut report,
        );
        match expected {
            None => assert_eq!(report.violations(), [""; 0]),
            Some(part) => {
                assert!(report.violations()[0].contains(part), "{report:?}");
            }
        }
    }

    #[test]
    fn crates_build_on_those_below() {
        assert_violation("scheduler-redis", "[dependencies]\nscheduler-core.workspace = true", None);
        assert_violation("scheduler-macros", "[dev-dependencies]\nscheduler-core.workspace = true", None);
        let upward = "[dependencies]\nscheduler-redis.workspace = true";
        assert_violation("scheduler-core", upward, Some("Cargo.toml:5: `scheduler-core` may not build on"));
    }

    #[test]
    fn foreign_crates_have_a_home() {
        assert_violation("scheduler-redis", "[dependencies]\nredis = \"1\"", None);
        assert_violation("tests", "[dependencies]\nredis = \"1\"", None);
        assert_violation("scheduler-core", "[dev-dependencies]\nredis = \"1\"", Some("may not name `redis`"));
    }

    #[test]
    fn a_licence_is_set_and_its_text_is_there() {
        let mut report = Report::default();
        check(&Tree::of([("a/Cargo.toml", "[package]\nname = \"a\""), ("LICENSE-MIT", "")]), &mut report);
        assert!(report.violations()[0].starts_with("a/Cargo.toml:1: a published crate without `license`"));
        assert!(report.violations()[1].starts_with("LICENSE-APACHE:1: "));
    }
}
