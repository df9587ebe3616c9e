//! A job that fails, to show what an operator reads then.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, ensure};
use scheduler_core::prelude::*;

use crate::args::Workspace;

/// Reads a table of exchange rates; one of its lines has a comma where a point belongs.
#[job(every = "7s")]
pub(crate) async fn load_rates(State(workspace): State<Arc<Workspace>>) -> anyhow::Result<()> {
    let path = workspace.rates();
    let text = fs::read_to_string(&path)?;
    let name = path.file_name().unwrap_or_default().display().to_string();
    for (number, line) in text.lines().enumerate().skip(1) {
        let place = || format!("{name} line {}: `{line}`", number + 1);
        let fields: Vec<_> = line.split(',').collect();
        ensure!(
            fields.len() == 2,
            "{} has {} fields; write the currency and its rate",
            place(),
            fields.len()
        );
        fields[1].parse::<f64>().with_context(|| format!("{}: the rate", place()))?;
    }
    Ok(())
}
