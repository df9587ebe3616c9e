//! Stored runs as lines of JSON.

use std::collections::VecDeque;

use super::handle::Client;
use crate::error::{During, Error, Result};
use crate::store::*;

/// Stored runs as lines of JSON, one after the other. The store is asked for a page at a time, so the export takes no more memory however
/// many runs there are.
#[derive(Debug)]
#[must_use = "nothing is exported until a line is asked for"]
pub struct RunExport<'a> {
    client: &'a Client,
    /// The next page; none after the last one.
    query: Option<RunQuery>,
    lines: VecDeque<RunStatus>,
}

impl RunExport<'_> {
    /// The next line, without a line break; none after the last one. A line is a [`RunStatus`] as JSON.
    ///
    /// # Errors
    ///
    /// The store has failed. The next call asks again.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, no line is lost.
    pub async fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(run) = self.lines.pop_front() {
                let line = serde_json::to_string(&run).map_err(|error| {
                    Error::config(format!("run {} cannot be written as JSON: {error}", run.id))
                        .caused_by(error)
                })?;
                return Ok(Some(line));
            }
            let Some(query) = &self.query else { return Ok(None) };
            let page = self.client.runs(query.clone()).await.during("export_runs")?;
            self.lines.extend(page.items);
            let next = |after| RunQuery { after: Some(after), ..query.clone() };
            self.query = page.next.map(next);
        }
    }
}

impl Client {
    /// The runs that match as lines of JSON, with their arguments, their errors and their outputs: to keep dead runs, or to look at them
    /// elsewhere. The limit of the query is that of a page.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// use std::io::Write as _;
    ///
    /// use scheduler_core::store::RunQuery;
    ///
    /// # async fn export(scheduler: Scheduler) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut file = std::fs::File::create("dead.jsonl")?;
    /// let mut dead = scheduler.export_runs(RunQuery::dead());
    /// while let Some(line) = dead.next().await? {
    ///     writeln!(file, "{line}")?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn export_runs(&self, query: RunQuery) -> RunExport<'_> {
        RunExport { client: self, query: Some(query.with_output().with_log()), lines: VecDeque::new() }
    }
}
