//! Every example says how to run it and is found from the README.

use super::report::Report;
use super::tree::Tree;

const FOLDER: &str = "examples/src/bin/";

/// An example with a package of its own is a folder here.
const PACKAGES: &str = "examples/";

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let readme = tree.text("README.md").unwrap_or_default();
    for (path, text) in tree.texts() {
        let Some(name) = name_of(path) else { continue };
        if let Some(what) = problem_of_header(name, text) {
            report.violation(path, 1, what);
        }
        if !contains_name(readme, name) {
            report.violation(
                path,
                1,
                format!("README.md does not mention the example `{name}`; add a line to it"),
            );
        }
    }
}

/// An example is a file, a folder with a `main.rs`, or a package.
fn name_of(path: &str) -> Option<&str> {
    let Some(name) = path.strip_prefix(FOLDER) else {
        let package = path.strip_prefix(PACKAGES)?.strip_suffix("/src/main.rs")?;
        return (!package.contains('/')).then_some(package);
    };
    let name = name.strip_suffix("/main.rs").or_else(|| name.strip_suffix(".rs"))?;
    (!name.contains('/')).then_some(name)
}

fn problem_of_header(name: &str, text: &str) -> Option<String> {
    let header = text.lines().map_while(|line| line.strip_prefix("//!"));
    let Some(run) = header.clone().find(|line| line.contains("cargo run")) else {
        let problem =
            if header.count() == 0 { "there is no `//!` header" } else { "the header has no `cargo run`" };
        return Some(format!(
            "{problem}; begin with what it shows and how to run it (`cargo run --bin {name}`)"
        ));
    };
    let bin = run.split_once("--bin ").or_else(|| run.split_once("-p "));
    let bin = bin.and_then(|(_, bin)| bin.split_whitespace().next()).map(|bin| bin.trim_matches('`'));
    bin.filter(|bin| *bin != name).map(|bin| format!("the header runs `{bin}`; write `--bin {name}`"))
}

fn contains_name(text: &str, name: &str) -> bool {
    text.split(|c: char| !(c == '_' || c == '-' || c.is_alphanumeric())).any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_problem(header: &str, expected: Option<&str>) {
        let mut report = Report::default();
        let path = "examples/src/bin/report.rs";
        check(&Tree::of([("README.md", "| `report` | a daily report |"), (path, header)]), &mut report);
        match expected {
            None => assert_eq!(report.violations(), [""; 0]),
            Some(start) => {
                assert!(report.violations()[0].starts_with(&format!("{path}:1: {start}")), "{report:?}");
            }
        }
    }

    #[test]
    fn the_header_says_how_to_run_it() {
        assert_problem("//! Reports.\n//!\n//! `cargo run --bin report`", None);
        assert_problem("//! cargo run --release --bin report -- --now", None);
        assert_problem("fn main() {}", Some("there is no `//!` header"));
        assert_problem("//! Reports.\nfn main() {} // cargo run", Some("the header has no `cargo run`"));
        assert_problem("//! cargo run --bin other", Some("the header runs `other`"));
    }

    #[test]
    fn the_readme_mentions_it() {
        let mut report = Report::default();
        let examples = [
            ("examples/src/bin/fleet/main.rs", "//! cargo run --bin fleet"),
            ("examples/src/bin/fleet/node.rs", ""),
        ];
        check(&Tree::of(examples), &mut report);
        assert_eq!(report.violations().len(), 1);
        assert!(report.violations()[0].contains("README.md does not mention the example `fleet`"));
        let mut report = Report::default();
        check(&Tree::of([("examples/fleet/src/main.rs", "//! cargo run -p ship")]), &mut report);
        let [header, readme] = report.violations() else { panic!("{report:?}") };
        assert!(header.contains("the header runs `ship`") && readme.contains("the example `fleet`"));
    }
}
