//! What attempts note, on its way to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core::Core;
use crate::job::{Noting, Storing};
use crate::store::{Changes, RunNote};
use crate::watch::SchedulerState;

/// A checkpoint is stored so long after it was noted.
const STORE_WITHIN: Duration = Duration::from_secs(5);

/// What people look at is stored so long after it was noted.
const SHOW_WITHIN: Duration = Duration::from_secs(1);

impl Noting for Core {
    fn noted(self: Arc<Self>, for_people: bool) {
        // At the end of the scheduler, the ends of the attempts bring along what they have noted.
        let is_due = &self.notes_are_due[usize::from(for_people)];
        if self.state() == SchedulerState::Shutdown || is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let within = if for_people { SHOW_WITHIN } else { STORE_WITHIN };
        let (core, activity) = (self.clone(), self.clock.begin(&"notes of attempts"));
        self.spawn(activity.observe(async move {
            let mut phase = core.phase.subscribe();
            tokio::select! {
                () = core.clock.sleep(within) => {}
                _ = phase.wait_for(|state| *state == SchedulerState::Shutdown) => {}
            }
            core.notes_are_due[usize::from(for_people)].store(false, Ordering::Release);
            if let Err(error) = core.clone().store_notes().await {
                core.clone().noted(for_people);
                tracing::warn!(%error, "what runs have noted could not be stored; trying again in {within:?}: {error}");
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
            let (runs, notes): (Vec<_>, Vec<_>) = noted
                .into_iter()
                .map(|(run, (notes, number))| ((run, number), RunNote::new(run.parts.id, notes)))
                .unzip();
            for ((run, number), is_stored) in runs.into_iter().zip(self.store.note(notes).await?) {
                if is_stored {
                    run.notebook.set_stored(number);
                }
            }
            Ok(())
        })
    }
}
