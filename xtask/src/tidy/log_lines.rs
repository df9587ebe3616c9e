//! The log lines that the page about clusters quotes are those of the code: at night people search for them.

use super::report::Report;
use super::tree::Tree;

const PAGE: &str = "docs/running-a-cluster.md";

/// What Redis says by itself.
const OF_THE_SERVER: [&str; 2] = ["OOM ", "NOREPLICAS "];

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let Some(page) = tree.text(PAGE) else { return };
    let crates = ["scheduler-core/src/", "scheduler-redis/src/"];
    let sources = tree.texts().filter(|(path, _)| crates.iter().any(|folder| path.starts_with(folder)));
    let code: String = sources.map(|(_, text)| in_one_line(text)).collect();
    for (number, line) in (1..).zip(page.lines()) {
        for quote in quotes(line) {
            // Names and numbers stand between the parts.
            let missing = quote.split('…').map(str::trim).find(|part| !code.contains(part));
            if let Some(part) = missing {
                report.violation(
                    PAGE,
                    number,
                    format!("no log line says `{part}`; quote the line as it is in the code"),
                );
            }
        }
    }
}

/// Text literals without the breaks that Rust leaves out.
fn in_one_line(text: &str) -> String {
    let mut parts = text.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.trim_start())
}

/// The log lines that a row of the tables quotes.
fn quotes(line: &str) -> impl Iterator<Item = &str> {
    let cells: Vec<_> = line.split('|').collect();
    let cell = match cells[..] {
        // What fails, what happens, what the log says, what to do.
        ["", _, _, log, _, ""] => log,
        // What to watch, and how soon.
        ["", what, _, ""] => what,
        _ => "",
    };
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|quote| quote.contains(' ') && !OF_THE_SERVER.iter().any(|begin| quote.starts_with(begin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(page: &str) -> usize {
        let code = "warn!(\"run {id} was lost \\\n         with its node\");";
        let mut report = Report::default();
        check(&Tree::of([(PAGE, page), ("scheduler-redis/src/recover.rs", code)]), &mut report);
        report.violations().len()
    }

    #[test]
    fn a_quoted_line_is_found_in_the_code_and_another_one_is_named() {
        assert_eq!(
            violations("| killed | taken over | of others: `run … was lost with its node` | nothing |"),
            0
        );
        assert_eq!(violations("| `was lost with its node` | at once |"), 0);
        assert_eq!(violations("| killed | taken over | `a run was lost` | nothing |"), 1);
        assert_eq!(violations("| full | waits | `OOM command not allowed` | make room |"), 0);
    }
}
