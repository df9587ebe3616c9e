//! What core must not contain: a server's client, a web framework, and signals outside the host.

use super::report::Report;
use super::tree::Tree;

const CORE: &str = "scheduler-core/src/";

/// Crates that have another home.
const FOREIGN: &[&str] = &["redis", "hyper", "axum"];

/// The only module that knows about the process it runs in.
const SIGNAL_HOME: &str = "scheduler-core/src/host";

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, source) in tree.sources_in(CORE) {
        for mention in source.mentions() {
            if FOREIGN.contains(&mention.root()) {
                let what =
                    format!("core names the crate `{}`; put this behind a trait of core", mention.root());
                report.violation(path, mention.line, what);
            }
            if is_signal(&mention.path) && !path.starts_with(SIGNAL_HOME) {
                let what = format!("`{}` handles signals outside `host/`; let the host do it", mention.path);
                report.violation(path, mention.line, what);
            }
        }
    }
}

fn is_signal(path: &str) -> bool {
    ["tokio::signal", "signal::unix", "signal::ctrl_c", "signal_hook::", "ctrlc::"]
        .iter()
        .any(|start| path.starts_with(start))
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
    fn core_names_no_foreign_crate() {
        assert_violations("scheduler-core/src/store/mod.rs", "use redis::Client;", 1);
        assert_violations("scheduler-core/src/store/mod.rs", "// redis::Client\nuse crate::axum_like::A;", 0);
        assert_violations("scheduler-redis/src/lib.rs", "use redis::Client;", 0);
    }

    #[test]
    fn signals_belong_to_the_host() {
        assert_violations("scheduler-core/src/host/signals.rs", "use tokio::signal::ctrl_c;", 0);
        assert_violations("scheduler-core/src/scheduler/mod.rs", "use tokio::{signal::ctrl_c, time};", 1);
    }
}
