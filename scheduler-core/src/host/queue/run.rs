//! One job of a queue, from its turn to its outcome.

use super::{Item, Shared};
use crate::execute::Ask;
use crate::host::launch::Launch;
use crate::job::{CancelReason, JobError, Launcher, Outcome};

impl Shared {
    pub(super) async fn run(&self, item: &Item) -> Outcome {
        let Some(bound) = self.bound.get() else { return Outcome::Cancelled };
        let (detail, slot) = (item.job.detail().clone(), &item.slot);
        let Some(job) = bound.registry.job(detail.job_type()).cloned() else {
            let problem = bound.registry.unknown(&detail).unwrap_or_default();
            return Outcome::Failed(JobError::new(problem));
        };
        // That of the queue, or else of the scheduler.
        let grace = self.settings.cancel_grace.unwrap_or(bound.core.pipeline.cancel_grace);
        let launch = Launch {
            launcher: Launcher::Queue { name: bound.name.clone() },
            job,
            detail,
            data: item.job.data().cloned().unwrap_or_default(),
            name: slot.number.to_string(),
            scheduled: None,
            fence: None,
            stored: None,
            caller: None,
            grace,
            when_dropped: CancelReason::Shutdown,
        };
        let asked = async { Ask { reason: *slot.wait_for(&slot.cancelled).await, within: Some(grace) } };
        bound.core.launch(launch, asked).await
    }
}
