//! Turns of runs that do not wait for them.

use scheduler_core::Result;

use super::named::Named;
use super::question::Question;
use super::{Audit, PAGE};
use crate::commit::{Step, text};
use crate::script::{bytes, list};

/// The bytes of the name of a run.
const NAME: usize = 26;

impl Audit<'_> {
    /// Runs that have turns and are not there, or have another key. Those that are there are looked at with their places.
    pub(super) async fn turns(&mut self) -> Result<()> {
        for queue in self.list("HKEYS", "fv", &[]).await? {
            let entries = self.list("ZRANGE", &format!("fd:{queue}"), &["0", "-1"]).await?;
            for page in entries.chunks(PAGE) {
                self.turns_of(&queue, page).await?;
            }
        }
        Ok(())
    }

    async fn turns_of(&mut self, queue: &str, page: &[String]) -> Result<()> {
        let parts: Vec<_> =
            page.iter().map(|entry| entry.split_at_checked(NAME).unwrap_or((entry, ""))).collect();
        let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
        let records = list(Some(self.ask("HMGET", "runs", &names).await?));
        let mut questions = Vec::new();
        for ((name, key), record) in parts.iter().zip(&records) {
            let whole = bytes(record);
            let (mut view, row) = self.read(Named::Run, name, whole);
            let is_of = row.is_some_and(|row| {
                let of_queue = format!("{queue}\0");
                row.fair() == text(format!("f{key}")) && row.lane(view.names()).0.starts_with(&of_queue)
            });
            if !is_of {
                let mends = vec![(Step::LoseTurn, queue.to_owned(), vec![text(format!("{name}{key}"))])];
                let question = Question::about("run", "runs", name, whole.unwrap_or_default());
                questions.push(question.certain("it has a turn, and is not there", mends));
            }
        }
        self.settle(questions).await
    }
}
