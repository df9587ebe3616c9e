//! How many runs wait in queues that have a maximum length.

use std::collections::BTreeSet;
use std::sync::Arc;

use scheduler_core::Result;

use crate::codec;
use crate::commit::{operation, text};
use crate::load::Loader;
use crate::script::number;

/// The names of the runs that wait in a queue, with the mark that says since when they are counted.
pub(crate) fn waiting_in(queue: &str) -> String {
    format!("wait:{queue}")
}

impl Loader<'_> {
    /// The lengths of these queues. A queue that nobody has counted before is counted.
    pub(crate) async fn lengths(&mut self, queues: BTreeSet<Arc<str>>) -> Result<()> {
        for queue in queues {
            let name = codec::queue(&queue);
            let any = operation("room", &name, &[text(i64::MAX.to_string())]);
            self.shared.commit_plain("measure", any).await?;
            let members = self.one(&self.get("SCARD", &waiting_in(&name))).await?;
            let members = number(Some(&members)).and_then(|members| usize::try_from(members).ok());
            // One of them is the mark.
            self.view.load_length(queue, members.unwrap_or_default().saturating_sub(1));
        }
        Ok(())
    }
}
