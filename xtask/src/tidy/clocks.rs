//! The machine's clocks are read in `time/` only, so that a test can drive every decision.
//!
//! Clippy forbids the same calls; this rule also sees code that is not compiled here, and `allow` attributes.

use super::report::Report;
use super::tree::Tree;

const CORE: &str = "scheduler-core/src/";
const CLOCK_HOME: &str = "scheduler-core/src/time/";
const READINGS: &[&str] = &["Utc::now", "Local::now", "Instant::now", "SystemTime::now"];

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, source) in tree.sources_in(CORE).filter(|(path, _)| !path.starts_with(CLOCK_HOME)) {
        for mention in source.mentions() {
            if READINGS.iter().any(|reading| mention.ends_with(reading)) {
                let what =
                    format!("`{}` reads the machine's clock outside `time/`; take a `Clock`", mention.path);
                report.violation(path, mention.line, what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_read_in_one_place() {
        let text = "let a = chrono::Utc::now();\nlet b = Instant::now;\nlet c = clock.now(); // Utc::now()";
        let paths =
            ["scheduler-core/src/job/mod.rs", "scheduler-core/src/time/system.rs", "xtask/src/steps.rs"];
        let mut report = Report::default();
        check(&Tree::of(paths.map(|path| (path, text))), &mut report);
        let starts: Vec<&str> =
            report.violations().iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(starts, ["scheduler-core/src/job/mod.rs:1:", "scheduler-core/src/job/mod.rs:2:"]);
    }
}
