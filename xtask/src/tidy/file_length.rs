//! A Rust file has at most 500 lines, with its comments and tests, so that a reader can hold it in mind.
//!
//! A longer file is split along its meaning. No file is exempt.

use super::report::Report;
use super::tree::Tree;

const MOST_LINES: usize = 500;

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".rs")) {
        let lines = text.lines().count();
        if lines > MOST_LINES {
            let what = format!("{lines} lines, {MOST_LINES} are allowed; split the file along its meaning");
            report.violation(path, MOST_LINES + 1, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn violations(path: &str, text: String) -> usize {
        let mut report = Report::default();
        check(&Tree::of([(path, text)]), &mut report);
        report.violations().len()
    }

    #[test]
    fn a_file_with_more_than_500_lines_is_reported_wherever_it_is() {
        for path in ["scheduler-core/src/a.rs", "tests/tests/a/b.rs", "examples/src/bin/a.rs", "fuzz/a.rs"] {
            assert_eq!(violations(path, "a();\n".repeat(501)), 1, "{path}");
            assert_eq!(violations(path, "a();\n".repeat(500)), 0, "{path}");
        }
    }

    #[test]
    fn comments_blank_lines_and_a_last_line_without_an_end_count() {
        for line in ["\n", "// why\n", "a();\r\n"] {
            assert_eq!(violations("a.rs", line.repeat(500)), 0, "{line:?}");
            assert_eq!(violations("a.rs", line.repeat(500) + "b();"), 1, "{line:?}");
        }
    }

    #[test]
    fn files_in_other_languages_are_not_counted() {
        assert_eq!(violations("a.md", "\n".repeat(501)), 0);
        assert_eq!(violations("a.lua", "\n".repeat(501)), 0);
    }
}
