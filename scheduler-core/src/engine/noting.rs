//! What attempts note, on its way to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core::Core;
use crate::job::{Noting, Run, Storing};
use crate::store::{Changes, RunNote};
use crate::watch::SchedulerState;

/// What has been noted is stored so long after.
const STORE_WITHIN: Duration = Duration::from_secs(5);

impl Noting for Core {
    fn noted(self: Arc<Self>) {
        // At the end of the scheduler, the ends of the attempts bring along what they have noted.
        if self.state() == SchedulerState::Shutdown || self.notes_are_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let (core, activity) = (self.clone(), self.clock.begin(&"notes of attempts"));
        self.spawn(activity.observe(async move {
            let mut phase = core.phase.subscribe();
            tokio::select! {
                () = core.clock.sleep(STORE_WITHIN) => {}
                _ = phase.wait_for(|state| *state == SchedulerState::Shutdown) => {}
            }
            core.notes_are_due.store(false, Ordering::Release);
            if let Err(error) = core.clone().store_notes().await {
                core.clone().noted();
                tracing::warn!(%error, "checkpoints of runs could not be stored; trying again in five seconds: {error}");
            }
        }));
    }

    fn store_notes(self: Arc<Self>) -> Storing {
        Box::pin(async move {
            // One call at a time, so that an older note never follows a newer one.
            let _one_at_a_time = self.noting.lock().await;
            let open = self.running.with_notes();
            let noted: Vec<_> = open.iter().filter_map(|run| Some((run, run.notebook.unstored()?))).collect();
            if noted.is_empty() {
                return Ok(());
            }
            let of_run = |(run, (text, _)): &(&Arc<Run>, (Arc<str>, u64))| {
                RunNote::checkpoint(run.parts.id, text.clone())
            };
            let answers = self.store.note(noted.iter().map(of_run).collect()).await?;
            for ((run, (_, number)), is_stored) in noted.iter().zip(answers) {
                if is_stored {
                    run.notebook.set_stored(*number);
                }
            }
            Ok(())
        })
    }
}
