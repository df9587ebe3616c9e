//! The arrows between the modules of core: a module names its own layer and those below, never one above.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use super::source::Source;
use super::tree::Tree;

pub(super) const CORE: &str = "scheduler-core/src/";

/// The layers of core, the highest first, as ARCHITECTURE.md draws them. Modules of one row may name each other: a plugin
/// extends the builder of the scheduler, and `declare` names the plugin that reads schedule files.
const LAYERS: &[&[&str]] = &[
    &["testing"],
    &["prelude", "private", "__private"],
    &["host"],
    &["declare", "plugin", "scheduler"],
    &["engine"],
    &["execute"],
    &["client"],
    &["watch"],
    &["store"],
    &["job"],
    &["run"],
    &["trigger"],
    &["calendar"],
    &["time"],
];

/// The words that every layer speaks. They name each other and no layer.
const SHARED: &[&str] = &["data", "error", "execution_id", "key", "log", "matcher", "stored", "sync", "user"];

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let root_names = tree.source(&format!("{CORE}lib.rs")).map(root_names).unwrap_or_default();
    let mut homeless = BTreeSet::new();
    for (path, source) in tree.sources_in(CORE) {
        let module = module_of(path);
        let Some(top) = module.first() else { continue };
        if layer(top).is_none() && !SHARED.contains(top) {
            if homeless.insert(top.to_string()) {
                report.violation(path, 1, format!("module `{top}` has no layer; give it a row in xtask/src/tidy/arrows.rs and a line in ARCHITECTURE.md"));
            }
            continue;
        }
        check_file(path, source, &module, &root_names, report);
    }
}

fn check_file(
    path: &str,
    source: &Source,
    module: &[&str],
    root_names: &BTreeMap<String, String>,
    report: &mut Report,
) {
    for mention in source.mentions().iter().filter(|mention| !source.is_test(mention.line)) {
        let Some(name) = name_at_root(&mention.path, module.len()) else { continue };
        let target = root_names.get(name).map_or(name, String::as_str);
        if target == "*" {
            report.violation(path, mention.line, format!("`{}` hides what is used; name it", mention.path));
        } else if !may_name(module[0], target) {
            let what = format!("`{}` names `{}` of the higher layer `{target}`", module[0], mention.path);
            report.violation(
                path,
                mention.line,
                format!("{what}; move it down or pass it in ({})", drawing()),
            );
        }
    }
}

fn may_name(from: &str, to: &str) -> bool {
    layer(to).is_none_or(|to| layer(from).is_some_and(|from| from <= to))
}

/// The row of a module; none for a shared one and for what is not a module.
fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn drawing() -> String {
    LAYERS.iter().map(|row| row.join(", ")).collect::<Vec<_>>().join(" -> ")
}

/// `scheduler-core/src/store/memory/mod.rs` is the module `store::memory`; `lib.rs` is the empty one.
pub(super) fn module_of(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches(CORE).trim_end_matches(".rs");
    path.split('/').filter(|part| !matches!(*part, "mod" | "lib")).collect()
}

/// The name that a path looks up at the root of the crate; none for a path that stays below the root.
fn name_at_root(path: &str, depth: usize) -> Option<&str> {
    let supers = path.split("::").take_while(|name| *name == "super").count();
    let mut names = path.split("::");
    match names.next()? {
        "crate" | "scheduler_core" => names.next(),
        "super" if supers >= depth => path.split("::").nth(supers),
        _ => None,
    }
}

/// Which module each re-exported name of the crate page comes from.
fn root_names(lib: &Source) -> BTreeMap<String, String> {
    let mentions = lib.mentions();
    let exports = mentions.iter().filter(|mention| layer(mention.root()).is_some());
    let name = |path: &str| path.rsplit("::").next().unwrap_or_default().to_owned();
    exports
        .map(|mention| (name(&mention.path), mention.root().to_owned()))
        .filter(|(name, _)| !matches!(name.as_str(), "self" | "*"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(path: &str, text: &str) -> Vec<String> {
        let lib = "pub mod store;\npub use scheduler::{Scheduler, Handle};\npub use time::Clock;";
        let path = format!("{CORE}{path}");
        let mut report = Report::default();
        check(&Tree::of([(format!("{CORE}lib.rs"), lib), (path, text)]), &mut report);
        report.violations().to_vec()
    }

    #[track_caller]
    fn assert_allowed(path: &str, text: &str) {
        assert_eq!(violations(path, text), Vec::<String>::new());
    }

    #[track_caller]
    fn assert_refused(path: &str, text: &str, start: &str) {
        let found = violations(path, text);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{CORE}{path}:{start}")), "{found:?}");
    }

    #[test]
    fn arrows_point_down() {
        assert_allowed("scheduler/handle.rs", "use crate::{store::JobStore, time::Clock, Error};");
        assert_allowed("host/launch.rs", "use crate::execute::run_here;");
        assert_allowed("execute/ending.rs", "use crate::{watch::Event, job::Run};");
        assert_allowed("trigger/mod.rs", "use crate::calendar::Calendar;");
        assert_allowed("testing/mod.rs", "use crate::scheduler::Scheduler;");
        assert_allowed("job/mod.rs", "use crate::{error::Error, trigger::Trigger};");
        assert_allowed("error.rs", "use crate::key::JobKey;");
        assert_allowed("store/memory/mod.rs", "use super::Verb; use super::super::time::Clock;");
    }

    #[test]
    fn no_arrow_points_up() {
        assert_refused(
            "store/state.rs",
            "use crate::time::Clock;\nuse crate::scheduler::Pool;",
            "2: `store` names",
        );
        assert_refused(
            "job/mod.rs",
            "use crate::{key::JobKey, host::Host};",
            "1: `job` names `crate::host::Host`",
        );
        assert_refused("execute/pool.rs", "use crate::scheduler::Scheduler;", "1: `execute` names");
        assert_refused("watch/event.rs", "use crate::execute::Next;", "1: `watch` names");
        assert_refused("time/mod.rs", "fn a() { super::job::b() }", "1: `time` names `super::job::b`");
        assert_refused("host/mod.rs", "use crate::testing::ManualClock;", "1: `host` names");
        assert_refused("trigger/mod.rs", "use crate::job::ExecutionId;", "1: `trigger` names");
        assert_refused("calendar/mod.rs", "use crate::trigger::Trigger;", "1: `calendar` names");
        assert_refused("error.rs", "use crate::job::BoxError;", "1: `error` names");
    }

    #[test]
    fn a_name_of_the_crate_page_counts_as_its_module() {
        assert_refused(
            "job/mod.rs",
            "use crate::Scheduler;",
            "1: `job` names `crate::Scheduler` of the higher layer `scheduler`",
        );
        assert_refused("job/mod.rs", "use crate::*;", "1: `crate::*` hides");
        assert_allowed("job/mod.rs", "use crate::Clock;");
    }

    #[test]
    fn comments_and_test_modules_may_name_anything() {
        assert_allowed(
            "job/mod.rs",
            "//! See [`x`](crate::scheduler).\n#[cfg(test)]\nmod tests { use crate::testing::A; }",
        );
    }

    #[test]
    fn a_new_module_needs_a_layer() {
        assert_refused("metrics/mod.rs", "", "1: module `metrics` has no layer");
    }
}
