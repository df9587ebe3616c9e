//! Checkpoints: what attempts note while they are under way. They say how far they have got, so that the next attempt goes on from there.

use std::future::{Future, ready};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::JobContext;
use super::extract::{ExtractError, FromContext};
use super::outcome::{JobError, JobResult};
use crate::run::MAX_CHECKPOINT;

fn text_of(cursor: &impl Serialize) -> Result<Arc<str>, JobError> {
    let text = serde_json::to_string(cursor)
        .map_err(|error| JobError::fatal(format!("the checkpoint of the job is no JSON: {error}")))?;
    if text.len() > MAX_CHECKPOINT {
        return Err(JobError::fatal(format!(
            "the checkpoint of the job has {} bytes as JSON, and {MAX_CHECKPOINT} are the most; store it elsewhere and note its address",
            text.len()
        )));
    }
    Ok(text.into())
}

/// Checkpoints.
impl JobContext {
    /// Notes how far this attempt has got. The next attempt of the run finds the latest checkpoint by [`Resume`]. Checkpoints of all runs of
    /// the node are stored together, at most every five seconds, and with the end of an attempt that is not the last. So a checkpoint
    /// costs nothing by itself, and a node that dies loses five seconds of them. [`checkpoint_now`](Self::checkpoint_now) is for the others.
    ///
    /// A run that nobody has stored, as in a queue in memory, notes nothing.
    ///
    /// # Errors
    ///
    /// The cursor cannot be written as JSON, or is longer than [`MAX_CHECKPOINT`](crate::run::MAX_CHECKPOINT). No retry helps, so a job that returns the
    /// error is dead.
    pub fn checkpoint(&self, cursor: &impl Serialize) -> Result<(), JobError> {
        self.0.notebook.write(text_of(cursor)?);
        if let Some(noting) = self.0.noting() {
            noting.noted(false);
        }
        Ok(())
    }

    /// As [`checkpoint`](Self::checkpoint), and stored when this returns: for a step that must not be repeated. Checkpoints of several runs at the
    /// same time are stored by one call.
    ///
    /// # Errors
    ///
    /// As for `checkpoint`. The store has failed. The attempt no longer has its run: others hold its node for dead, or the run was removed. A job
    /// that returns the error is tried again as its policy says.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the checkpoint is stored with the next ones.
    pub async fn checkpoint_now(&self, cursor: &impl Serialize) -> Result<(), JobError> {
        let number = self.0.notebook.write(text_of(cursor)?);
        let Some(noting) = self.0.noting() else {
            return Err(JobError::new("the checkpoint cannot be stored, since no job store has this run"));
        };
        noting.store_notes().await?;
        if self.0.notebook.is_stored(number) {
            return Ok(());
        }
        Err(JobError::new(
            "the checkpoint was not stored, since this attempt no longer has its run: another node may have taken it over, or it was removed",
        ))
    }

    /// The latest checkpoint of earlier attempts of this run; none at first. [`Resume`] is the same as a parameter.
    ///
    /// # Errors
    ///
    /// The checkpoint is no `C`: the program has changed since it was stored.
    pub fn resume<C: DeserializeOwned>(&self) -> Result<Option<C>, ExtractError> {
        let stored = self.0.parts.stored.as_ref().and_then(|run| run.checkpoint.as_deref());
        let Some(checkpoint) = stored else { return Ok(None) };
        serde_json::from_str(checkpoint).map(Some).map_err(|error| {
            let wanted = std::any::type_name::<C>();
            ExtractError::new(format!(
                "the checkpoint `{checkpoint}` of an earlier attempt cannot be read as `{wanted}`: {error}; make the new type read the old form, or enqueue the run anew"
            ))
        })
    }

    /// Calls a function for each item from a cursor on. After each item its cursor is a [checkpoint](Self::checkpoint). When the run is asked to
    /// stop, the item under way is finished, and no further one begins: the result is an error by which the attempt counts as
    /// interrupted, and after a shutdown the next attempt goes on behind that item.
    ///
    /// ```
    /// use scheduler_core::job::Resume;
    /// use scheduler_core::prelude::*;
    ///
    /// #[job]
    /// async fn import(Resume(from): Resume<usize>, context: JobContext) -> JobResult {
    ///     let lines = ["a", "b", "c"];
    ///     let behind = |from: Option<usize>| lines.into_iter().enumerate().skip(from.map_or(0, |last| last + 1));
    ///     context.for_each_from(from, behind, |line| async move { println!("{line}"); Ok(()) }).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the function, after which no further item begins. The run was asked to stop. A cursor is no checkpoint.
    pub async fn for_each_from<C: Serialize, T, I, F>(
        &self,
        from: Option<C>,
        behind: impl FnOnce(Option<C>) -> I,
        mut each: impl FnMut(T) -> F,
    ) -> JobResult
    where
        I: IntoIterator<Item = (C, T)>,
        F: Future<Output = JobResult>,
    {
        let stop = self.cancellation();
        for (cursor, item) in behind(from) {
            if stop.is_cancelled() {
                return Err(JobError::new("it was asked to stop, and the rest is left for another attempt"));
            }
            each(item).await?;
            self.checkpoint(&cursor)?;
        }
        Ok(())
    }
}

/// The latest checkpoint of earlier attempts of the run, as a parameter of a job function; none at first.
///
/// ```
/// use scheduler_core::job::Resume;
/// use scheduler_core::prelude::*;
///
/// #[job]
/// async fn import(Resume(from): Resume<u64>, context: JobContext) -> JobResult {
///     for row in from.map_or(0, |last| last + 1)..1_000 {
///         // … import the row, and then:
///         context.checkpoint(&row)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume<C>(pub Option<C>);

impl<C: DeserializeOwned + Send> FromContext for Resume<C> {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        ready(context.resume().map(Resume))
    }
}
