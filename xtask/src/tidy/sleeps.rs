//! Tests do not sleep and hope: they drive a manual clock or wait for a signal.
//!
//! What waits for a signal with a limit (`timeout`, `recv_timeout`, `wait_timeout`) does not sleep.

use super::report::Report;
use super::source::Source;
use super::tree::Tree;

/// The real clock and whatever else lets real time pass, without blanks.
const SLEEPS: &[&str] = &[
    "SystemClock.sleep(",
    "SystemClock.sleep_until(",
    "SystemClock.alarm(",
    "SystemClock::sleep(",
    "::sleep(",
    "::sleep_ms(",
    "::sleep_until(",
    "::park_timeout(",
    "::interval(",
    "::interval_at(",
    "future::pending::<()>())",
];

/// What is imported to be called without a path.
const IMPORTS: &[&str] = &[
    "thread::sleep",
    "thread::sleep_ms",
    "thread::park_timeout",
    "time::sleep",
    "time::sleep_until",
    "time::interval",
    "time::interval_at",
];

/// Test code that lets real time pass, and why. A row is the start of a path.
const ALLOWED: &[(&str, &str)] = &[
    ("tests/src/wait.rs", "the pause between two looks at another process, which sends no signals"),
    ("tests/src/proxy.rs", "plays a slow network"),
    ("tests/src/bin/", "a process of its own, whose jobs take real time"),
    ("tests/src/chaos/", "faults last for real time, beside other processes"),
];

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, source) in tree.sources_in("").filter(|(path, _)| !is_allowed(path)) {
        for (line, name) in sleeps(source).into_iter().filter(|(line, _)| source.is_test(*line)) {
            let what = format!("`{name}` in a test; use `ManualClock` or wait for a signal");
            report.violation(path, line, what);
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

/// The lines that let real time pass, and what does.
fn sleeps(source: &Source) -> Vec<(usize, String)> {
    let imported = source.mentions().into_iter().filter(|mention| {
        let is_whole =
            |import: &&str| mention.path == **import || mention.path.ends_with(&format!("::{import}"));
        IMPORTS.iter().any(is_whole)
    });
    let mut found: Vec<_> = imported.map(|mention| (mention.line, mention.path)).collect();
    found.extend(calls(source));
    // A call by its whole path is both.
    found.sort();
    found.dedup_by_key(|(line, _)| *line);
    found
}

/// Calls, which may be spread over lines.
fn calls(source: &Source) -> Vec<(usize, String)> {
    let (mut code, mut lines) = (String::new(), Vec::new());
    for (number, line) in source.lines() {
        let packed: String = line.split_whitespace().collect();
        lines.extend(packed.bytes().map(|_| number));
        code.push_str(&packed);
    }
    let of_sleep = |sleep: &'static str| {
        let name = sleep.trim_end_matches('(').trim_start_matches(':');
        code.match_indices(sleep).map(move |(start, _)| (start, name.to_owned())).collect::<Vec<_>>()
    };
    SLEEPS.iter().flat_map(|sleep| of_sleep(sleep)).map(|(start, name)| (lines[start], name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_violations(path: &str, text: &str, count: usize) {
        let mut report = Report::default();
        let allowed = ALLOWED.iter().map(|(start, _)| (format!("{start}x.rs"), String::new()));
        let files = allowed.chain([(path.to_owned(), text.to_owned())]);
        check(&Tree::of(files), &mut report);
        assert_eq!(report.violations().len(), count, "{text}: {report:?}");
    }

    #[test]
    fn h09_tests_do_not_sleep_in_any_way() {
        for text in [
            "std::thread::sleep(b);",
            "std::thread::sleep_ms(b);",
            "thread::park_timeout(b);",
            "use tokio::time::{Duration, sleep};",
            "use std::thread::sleep as nap;",
            "tokio::time::sleep_until(b).await;",
            "let mut ticks = tokio::time::interval(b);",
            "SystemClock.sleep(b).await;",
            "SystemClock\n    .sleep(b)\n    .await;",
            "SystemClock.sleep_until(b).await;",
            "Clock::sleep(&SystemClock, b).await;",
            "SystemClock.alarm().wait_until(b);",
            "timeout(b, std::future::pending::<()>()).await;",
        ] {
            assert_violations("scheduler-core/tests/it/a.rs", text, 1);
        }
        assert_violations("core/src/a.rs", "#[cfg(test)]\nmod tests { fn a() { time::sleep(b) } }", 1);
    }

    #[test]
    fn a_clock_may_sleep_and_so_may_code() {
        for text in [
            "context.clock().sleep(a).await;",
            "timeout(LIMIT, signal.notified()).await;",
            "receiver.recv_timeout(LIMIT);",
            "// std::thread::sleep(b)",
        ] {
            assert_violations("scheduler-core/tests/it/a.rs", text, 0);
        }
        assert_violations("scheduler-core/src/time/system.rs", "tokio::time::sleep(a)", 0);
    }

    #[test]
    fn h09_an_exception_is_named_and_exists() {
        assert_violations("tests/src/wait.rs", "SystemClock.sleep(b).await;", 0);
        let mut report = Report::default();
        check(&Tree::of([("tests/src/wait.rs", "")]), &mut report);
        assert_eq!(report.violations().len(), ALLOWED.len() - 1, "{report:?}");
    }
}
