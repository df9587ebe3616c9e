//! Words that do not belong into a repository: notes to oneself and paths of one machine.

use super::report::Report;
use super::tree::Tree;

const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/Users/"];

/// This file names what it looks for; recorded data and the lock file are not ours to word.
fn is_exempt(path: &str) -> bool {
    path == "xtask/src/tidy/words.rs"
        || path.ends_with("Cargo.lock")
        || path.split('/').any(|part| part == "corpus")
}

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts().filter(|(path, _)| !is_exempt(path)) {
        for (number, line) in (1..).zip(text.lines()) {
            check_line(path, number, line, report);
        }
    }
}

fn check_line(path: &str, number: usize, line: &str, report: &mut Report) {
    for note in NOTES.iter().filter(|note| contains_word(line, note)) {
        report.violation(path, number, format!("`{note}`: do it now, or open an issue"));
    }
    for machine_path in MACHINE_PATHS.iter().filter(|start| contains_path(line, start)) {
        report.violation(
            path,
            number,
            format!("a path of one machine (`{machine_path}…`); make it relative"),
        );
    }
}

fn contains_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    line.match_indices(word).any(|(index, _)| {
        !line[..index].ends_with(is_word) && !line[index + word.len()..].starts_with(is_word)
    })
}

/// A part of a longer path or an address does not count, `src/home/mod.rs` for one.
fn contains_path(line: &str, start: &str) -> bool {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '}' | '>' | '*');
    line.match_indices(start).any(|(index, _)| !line[..index].ends_with(is_path))
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
    fn notes_to_oneself_are_found() {
        assert_violations("a.rs", "// TODO: later\nfn a() {} // FIXME", 2);
        assert_violations("a.sh", "mktemp /tmp/a.XXXXXX; TODOS=1", 0);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        assert_violations("a.md", "see /home/me/a and `/root/b`", 2);
        assert_violations("a.md", "src/home/mod.rs, https://a.example/home/b", 0);
    }

    #[test]
    fn recorded_data_is_left_alone() {
        assert_violations("tests/corpus/a.jsonl", "/root/a", 0);
        assert_violations("Cargo.lock", "XXX", 0);
    }
}
