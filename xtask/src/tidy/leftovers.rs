//! Code that was meant to be finished: placeholders, debug prints and tests that do not run.

use super::report::Report;
use super::tree::Tree;

/// What must not be found in any Rust file, and the way out.
const LEFTOVERS: &[(&str, &str)] = &[
    ("todo!", "write it, or leave it out"),
    ("unimplemented!", "write it, or return an error"),
    ("dbg!", "remove it, or use `tracing`"),
    ("#[ignore", "make the test run, or delete it"),
];

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, source) in tree.sources_in("") {
        for (number, line) in source.lines() {
            for (leftover, way_out) in LEFTOVERS.iter().filter(|(leftover, _)| contains_name(line, leftover))
            {
                report.violation(path, number, format!("`{leftover}` was left over; {way_out}"));
            }
        }
    }
}

/// Whether the line holds `name` and not only a longer name that ends like it.
fn contains_name(line: &str, name: &str) -> bool {
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    line.match_indices(name).any(|(index, _)| !line[..index].ends_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_found_in_code_only() {
        let text = "fn a() { todo!() }\n// todo!()\nfn b() { c(\"dbg!\"); my_dbg!(d) }\n#[ignore = \"slow\"]\nfn e() {}";
        let mut report = Report::default();
        check(&Tree::of([("tests/src/a.rs", text)]), &mut report);
        assert_eq!(
            report.violations(),
            [
                "tests/src/a.rs:1: `todo!` was left over; write it, or leave it out",
                "tests/src/a.rs:4: `#[ignore` was left over; make the test run, or delete it",
            ]
        );
    }
}
