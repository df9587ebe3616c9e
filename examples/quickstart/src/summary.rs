//! The account at the end, from the files themselves.

use std::fs;
use std::path::Path;

use anyhow::Context;
use scheduler_core::host::HostReport;

use crate::args::Workspace;
use crate::view::{self, Counts};
use crate::{index, out, outbox};

/// Prints what was done and where it can be checked.
pub(crate) fn print(workspace: &Workspace, counts: &Counts, report: &HostReport) -> anyhow::Result<()> {
    let messages = outbox::read(&workspace.outbox())?;
    let sent = messages.iter().filter(|message| message.sent.is_some()).count();
    let files = index::load(&workspace.index())?;
    let text: usize = files.values().map(|entry| entry.lines).sum();
    out::line("\nDone. Check it against the files:");
    row("messages", &format!("{} ({sent} marked as sent)", messages.len()), &workspace.outbox());
    row("received", &lines(&workspace.inbox())?.to_string(), &workspace.inbox());
    row("receipts", &lines(&workspace.receipts())?.to_string(), &workspace.receipts());
    row("indexed", &format!("{} files, {text} lines", files.len()), &workspace.index());
    out::line(&format!("  runs       {counts}"));
    for (job, reason) in view::ON_PURPOSE {
        out::line(&format!("             {job} {reason}, on purpose"));
    }
    out::line(&format!("  stopped    within {:.1?}: {}", report.took, report.reason));
    Ok(())
}

fn row(what: &str, count: &str, file: &Path) {
    out::line(&format!("  {what:<10} {count:<32} {}", file.display()));
}

/// How many lines a file has; none if there is no file.
fn lines(path: &Path) -> anyhow::Result<usize> {
    if !path.exists() {
        return Ok(0);
    }
    Ok(fs::read_to_string(path).with_context(|| format!("{}", path.display()))?.lines().count())
}
