//! What a client does with the hooks around its calls.

use std::sync::Arc;

use super::handle::Client;
use super::hooks::Enqueuing;
use super::unique::Prepared;
use crate::error::{During, Result};

impl Client {
    /// The same client, which calls this hook for each run that it enqueues, after those that it has.
    #[must_use]
    pub fn enqueuing(&self, hook: impl Enqueuing) -> Self {
        let mut client = self.clone();
        Arc::make_mut(&mut client.hooks).add(hook);
        client
    }

    /// Hands runs to the hooks. A batch is no work, so nobody sees it.
    pub(super) fn call_hooks(&self, runs: &mut [Prepared]) -> Result<()> {
        if self.hooks.is_empty() {
            return Ok(());
        }
        for Prepared { new, .. } in runs.iter_mut().filter(|run| run.new.opens.is_none()) {
            self.hooks.call(new).of_job(&new.job)?;
            new.most_waiting = self.most_waiting(new.queue.as_ref());
        }
        Ok(())
    }
}
