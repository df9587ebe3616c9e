//! An index of the files below a folder, brought up to date at every run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use scheduler_core::prelude::*;
use serde::{Deserialize, Serialize};
use walkdir::{DirEntry, WalkDir};

use crate::args::Workspace;

/// What is known about a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    modified: SystemTime,
    bytes: u64,
    pub(crate) lines: usize,
}

/// By path below the folder.
pub(crate) type Index = BTreeMap<String, Entry>;

/// Reads the files that are new or have changed, forgets those that are gone. Blocking, as file systems are.
#[job(cron = "0/5 * * * * ?", blocking, disallow_concurrent)]
pub(crate) fn index(State(workspace): State<Arc<Workspace>>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut known = load(&workspace.index())?;
    let mut fresh = Index::new();
    for file in WalkDir::new(&workspace.folder).into_iter().filter_entry(is_of_interest) {
        if stop.is_cancelled() {
            anyhow::bail!("stopped after {} files", fresh.len());
        }
        let Some(file) = file.ok().filter(|file| file.file_type().is_file()) else { continue };
        let name = file.path().strip_prefix(&workspace.folder)?.display().to_string();
        let old = known.remove(&name);
        fresh.extend(look(&file, old).map(|entry| (name, entry)));
    }
    fs::write(workspace.index(), serde_json::to_vec_pretty(&fresh)?)?;
    Ok(())
}

/// The entry of a file: the known one if the file has not changed, none if it cannot be read.
fn look(file: &DirEntry, known: Option<Entry>) -> Option<Entry> {
    let metadata = file.metadata().ok()?;
    let (modified, bytes) = (metadata.modified().ok()?, metadata.len());
    if known.as_ref().is_some_and(|entry| entry.modified == modified && entry.bytes == bytes) {
        return known;
    }
    let lines = fs::read(file.path()).ok()?.iter().filter(|byte| **byte == b'\n').count();
    Some(Entry { modified, bytes, lines })
}

fn is_of_interest(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !matches!(entry.file_name().to_str(), Some("target" | ".git" | "node_modules"))
}

/// The index as the last run has left it.
pub(crate) fn load(path: &Path) -> anyhow::Result<Index> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Index::new()),
        Err(error) => Err(error).with_context(|| format!("{}", path.display())),
    }
}
