//! The batch of a run, as a parameter of its job.

use crate::client::{Batch, Client};
use crate::job::{ExtractError, FromContext, JobContext, Need};

/// The batch that a run is in, or of whose end it tells. A job that takes it can add runs, also to a batch that is sealed.
///
/// ```
/// # use scheduler_core::prelude::*;
/// use scheduler_core::scheduler::ThisBatch;
///
/// #[job]
/// async fn unpack(archive: String, ThisBatch(batch): ThisBatch) -> JobResult {
///     for name in [format!("{archive}/a"), format!("{archive}/b")] {
///         batch.add(import::with(name)).await?;
///     }
///     Ok(())
/// }
///
/// #[job]
/// async fn import(name: String) {}
/// ```
#[derive(Debug, Clone)]
pub struct ThisBatch(pub Batch);

impl FromContext for ThisBatch {
    async fn from_context(context: &JobContext) -> Result<Self, ExtractError> {
        let client = Client::from_context(context).await?;
        let of_run = context.0.parts.stored.as_deref().and_then(|run| Some((run.batch?, run.id)));
        let (batch, run) = of_run.ok_or_else(|| {
            ExtractError::new("the run is in no batch; add it by `Batch::add`, or take no `ThisBatch`")
        })?;
        Ok(Self(Batch::of_run(client, batch, run)))
    }

    fn needs() -> Vec<Need> {
        Client::needs()
    }
}
