//! Tests do not sleep and hope: they drive a manual clock or wait for a signal.

use super::report::Report;
use super::tree::Tree;

const SLEEPS: &[&str] = &["thread::sleep", "time::sleep", "time::sleep_until"];

/// Test code that has to wait for the world, and why. A row is the start of a path.
const ALLOWED: &[(&str, &str)] = &[];

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, source) in tree.sources_in("").filter(|(path, _)| !is_allowed(path)) {
        for mention in source.mentions() {
            let sleeps = SLEEPS.iter().any(|sleep| mention.ends_with(sleep));
            if sleeps && source.is_test(mention.line) {
                let what = format!("`{}` in a test; use `ManualClock` or wait for a signal", mention.path);
                report.violation(path, mention.line, what);
            }
        }
    }
    for (start, _) in ALLOWED.iter().filter(|(start, _)| tree.sources_in(start).next().is_none()) {
        report.violation(
            "xtask/src/tidy/sleeps.rs",
            1,
            format!("`{start}` is allowed and does not exist; remove its row"),
        );
    }
}

fn is_allowed(path: &str) -> bool {
    ALLOWED.iter().any(|(start, _)| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_violations(path: &str, text: &str, count: usize) {
        let mut report = Report::default();
        check(&Tree::of([(path, text)]), &mut report);
        assert_eq!(report.violations().len(), count, "{report:?}");
    }

    #[test]
    fn tests_do_not_sleep() {
        assert_violations("scheduler-core/tests/it/a.rs", "std::thread::sleep(b);", 1);
        assert_violations("tests/src/a.rs", "use tokio::time::{Duration, sleep};", 1);
        assert_violations("core/src/a.rs", "#[cfg(test)]\nmod tests { fn a() { time::sleep(b) } }", 1);
    }

    #[test]
    fn a_clock_may_sleep_and_so_may_code() {
        assert_violations("scheduler-core/tests/it/a.rs", "context.clock().sleep(a).await;", 0);
        assert_violations("scheduler-core/src/time/system.rs", "tokio::time::sleep(a)", 0);
    }
}
