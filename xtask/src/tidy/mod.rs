//! Checks the rules of the house that no compiler checks.
//!
//! Each rule is one file with one `check`, which reads the [`Tree`] and writes to the [`Report`]. The rules know
//! nothing of each other. They are text scans: they do not understand Rust, they only skip its comments and strings.

mod arrows;
mod circles;
mod clocks;
mod crate_pages;
mod dependencies;
mod examples;
mod file_length;
mod leftovers;
mod licences;
mod log_lines;
mod manifest;
mod manifests;
mod paths;
mod report;
mod sleeps;
mod source;
mod tree;
mod walls;
mod words;

use report::Report;
use tree::Tree;

/// Checks every rule and prints all violations, not only the first.
///
/// # Errors
///
/// There is at least one violation.
pub(crate) fn run() -> Result<(), String> {
    let tree = Tree::read()?;
    let mut report = Report::default();
    for check in [
        walls::check,
        arrows::check,
        circles::check,
        clocks::check,
        leftovers::check,
        sleeps::check,
        words::check,
        crate_pages::check,
        examples::check,
        file_length::check,
        manifests::check,
        dependencies::check,
        licences::check,
        log_lines::check,
    ] {
        check(&tree, &mut report);
    }
    report.print();
    match report.violations().len() {
        0 => Ok(()),
        count => Err(format!(
            "tidy found {count} violation(s), listed above as `path:line: what is wrong; what to do`"
        )),
    }
}
