//! What the user asks for, checked before anything starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;

/// The folder of this package.
fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the whole project, two above that of this package.
fn project() -> &'static Path {
    package().ancestors().nth(2).unwrap_or(package())
}

/// Several kinds of background work on real files, and what they did.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// How long to run, such as 20s or 1m
    #[arg(long = "for", default_value = "20s", value_parser = scheduler_syntax::parse_duration)]
    run_for: Duration,
    /// The messages to deliver, one JSON object with `id`, `to`, `subject` and `body` a line
    #[arg(long, default_value_os_t = package().join("data/outbox.jsonl"))]
    outbox: PathBuf,
    /// The folder whose files are indexed
    #[arg(long, default_value_os_t = project().to_path_buf())]
    folder: PathBuf,
    /// Where the results are written
    #[arg(long, default_value_os_t = project().join("target/quickstart"))]
    out: PathBuf,
}

/// Where everything is, known to exist.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) run_for: Duration,
    pub(crate) source: PathBuf,
    pub(crate) folder: PathBuf,
    out: PathBuf,
}

impl Args {
    /// The workspace, or what is wrong with a path.
    pub(crate) fn check(self) -> anyhow::Result<Workspace> {
        ensure!(!self.run_for.is_zero(), "--for 0s leaves no time for anything; give at least 1s");
        let source = existing(&self.outbox, "--outbox", Path::is_file, "a file")?;
        let folder = existing(&self.folder, "--folder", Path::is_dir, "a folder")?;
        fs::create_dir_all(&self.out)
            .with_context(|| format!("--out {}: cannot create this folder", self.out.display()))?;
        let out = existing(&self.out, "--out", Path::is_dir, "a folder")?;
        Ok(Workspace { run_for: self.run_for, source, folder, out })
    }
}

fn existing(path: &Path, option: &str, is_right: fn(&Path) -> bool, kind: &str) -> anyhow::Result<PathBuf> {
    let found =
        path.canonicalize().with_context(|| format!("{option} {}: cannot be opened", path.display()))?;
    ensure!(is_right(&found), "{option} {}: this is not {kind}", path.display());
    Ok(found)
}

impl Workspace {
    /// The messages with the times at which they were sent.
    pub(crate) fn outbox(&self) -> PathBuf {
        self.out.join("outbox.jsonl")
    }

    /// What the socket has received.
    pub(crate) fn inbox(&self) -> PathBuf {
        self.out.join("inbox.jsonl")
    }

    /// One line for each delivery.
    pub(crate) fn receipts(&self) -> PathBuf {
        self.out.join("receipts.jsonl")
    }

    /// What is known about the files of the folder.
    pub(crate) fn index(&self) -> PathBuf {
        self.out.join("index.json")
    }

    /// A table with a mistake in it.
    pub(crate) fn rates(&self) -> PathBuf {
        package().join("data/rates.csv")
    }
}
