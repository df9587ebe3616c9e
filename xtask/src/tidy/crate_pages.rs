//! `lib.rs` is the crate page: documentation, `mod` and `pub use`.

use super::manifest::Manifest;
use super::report::Report;
use super::tree::Tree;

const MOST_LINES: usize = 150;

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for package in tree.manifests().filter(Manifest::is_published) {
        let path = format!("{}src/lib.rs", package.folder());
        let lines = tree.source(&path).map_or(0, |source| source.lines().count());
        if lines > MOST_LINES {
            let what =
                format!("{lines} lines of code on a crate page, at most {MOST_LINES}; move them to a module");
            report.violation(&path, 1, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_counts_and_only_in_published_crates() {
        let long = "pub mod a;\n".repeat(151);
        let documented = format!("{}pub mod a;\n", "//! Words.\n\n".repeat(200));
        let tree = Tree::of([
            ("a/Cargo.toml", "[package]\nname = \"a\""),
            ("a/src/lib.rs", &long),
            ("b/Cargo.toml", "[package]\nname = \"b\"\npublish = false"),
            ("b/src/lib.rs", &long),
            ("c/Cargo.toml", "[package]\nname = \"c\""),
            ("c/src/lib.rs", &documented),
        ]);
        let mut report = Report::default();
        check(&tree, &mut report);
        assert!(
            report.violations().len() == 1 && report.violations()[0].starts_with("a/src/lib.rs:1: 151 lines")
        );
    }
}
