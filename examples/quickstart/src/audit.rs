//! A job that takes on too much and is stopped by its timeout.

use std::hash::{DefaultHasher, Hash};
use std::sync::Arc;

use scheduler_core::prelude::*;

use crate::args::Workspace;
use crate::index;

/// Checks every indexed file a hundred thousand times, which is more than its timeout allows.
#[job(every = "6s", timeout = "1500ms", disallow_concurrent)]
pub(crate) async fn audit(
    State(workspace): State<Arc<Workspace>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let files = index::load(&workspace.index())?;
    let mut digest = DefaultHasher::new();
    for round in 0..100_000 {
        for name in files.keys() {
            if stop.is_cancelled() {
                anyhow::bail!("stopped in round {round}");
            }
            if let Ok(content) = tokio::fs::read(workspace.folder.join(name)).await {
                content.hash(&mut digest);
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}
