//! Faults around runs: how they are stored, changed and counted.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::run::{Condition, Delivery, Gate, GateId, Gates, Hold, Input, RunEnd, RunId, WhenFull};
use scheduler_core::store::batches::NewBatch;
use scheduler_core::store::*;

use crate::broken::{Broken, Bug};

impl Broken {
    /// Whether so many runs wait, and the last node that attached takes from some queues only.
    pub(super) async fn passes_over(&self, many: usize) -> scheduler_core::Result<bool> {
        let takes_some = self.store.nodes().await?.iter().any(|node| !node.queues.only.is_empty());
        Ok(takes_some && self.store.all_runs(RunQuery::default()).await?.len() > many)
    }

    pub(super) fn enqueue(&self, mut runs: Vec<NewRun>) -> StoreFuture<'_, Vec<Enqueued>> {
        if self.bug == Bug::StoresRunsTwice {
            let sender = 1000 + self.acquired.fetch_add(1, Ordering::Relaxed) as u64;
            let again = |run: &NewRun| {
                let mut again = run.clone();
                again.id = RunId::new(sender, run.id.count());
                again
            };
            runs.extend(runs.iter().map(again).collect::<Vec<_>>());
        }
        runs.iter_mut().for_each(|run| self.spoil_limits(run));
        self.spoil_links(&mut runs);
        runs.iter_mut().for_each(|run| self.spoil_options(run));
        runs.iter_mut().filter_map(|run| run.opens.as_mut()).for_each(|opens| self.spoil_batches(opens));
        if self.bug == Bug::StoresBackwards {
            runs.reverse();
        }
        if self.bug == Bug::LetsStrangersIn {
            return Box::pin(async move {
                match self.store.enqueue(runs.clone()).await {
                    Err(error) if error.is_conflict() => {
                        runs.iter_mut().for_each(|run| run.batch = None);
                        self.store.enqueue(runs).await
                    }
                    answer => answer,
                }
            });
        }
        if self.bug == Bug::RepeatsWholeCalls {
            return Box::pin(async move {
                let answer = self.store.enqueue(runs.clone()).await?;
                if runs.iter().any(|run| run.opens.is_some()) && !answer.contains(&Enqueued::Created) {
                    runs.retain(|run| run.opens.is_none());
                    runs.iter_mut().for_each(|run| run.after.clear());
                    self.store.enqueue(runs).await?;
                }
                Ok(answer)
            });
        }
        if self.bug == Bug::StoresOrphans {
            return Box::pin(async move {
                match self.store.enqueue(runs.clone()).await {
                    Err(error) if error.is_not_found() => {
                        runs.iter_mut().for_each(|run| run.after.clear());
                        self.store.enqueue(runs).await
                    }
                    answer => answer,
                }
            });
        }
        if self.bug == Bug::StoresWhatFits {
            return Box::pin(async move {
                let mut stored = Vec::new();
                for run in runs {
                    stored.extend(self.store.enqueue(vec![run]).await?);
                }
                Ok(stored)
            });
        }
        self.store.enqueue(runs)
    }

    pub(super) fn note(&self, mut notes: Vec<RunNote>) -> StoreFuture<'_, Vec<bool>> {
        for RunNote { notes, .. } in &mut notes {
            match self.bug {
                Bug::DropsProgress => notes.progress = None,
                Bug::DropsLogs => notes.lines.clear(),
                Bug::LogsTwice => {
                    notes.first_line += 1_000 * self.acquired.fetch_add(1, Ordering::Relaxed) as u64;
                }
                _ => {}
            }
        }
        self.store.note(notes)
    }

    pub(super) fn count(&self, counts: Vec<EndCount>, now: DateTime<Utc>) -> StoreFuture<'_, ()> {
        match self.bug {
            Bug::CountsNothing => self.store.count(Vec::new(), now),
            Bug::MixesUpQueuesOfCounts => {
                let mut counts = counts;
                counts.iter_mut().for_each(|ends| ends.key.queue = None);
                self.store.count(counts, now)
            }
            _ => self.store.count(counts, now),
        }
    }

    pub(super) fn change_runs(&self, mut request: ChangeRuns) -> StoreFuture<'_, Vec<RunChanged>> {
        let (many, bug, change) = (request.runs.len(), self.bug, &mut request.change);
        match change {
            RunChange::Replay { spacing, .. } if bug == Bug::ReplaysAllAtOnce => *spacing = Duration::ZERO,
            RunChange::Edit(edit) if bug == Bug::ForgetsQueuesOfEdits => edit.queue = None,
            RunChange::Hold if bug == Bug::HoldsNothing => *change = RunChange::edit(RunEdit::new()),
            RunChange::Release if bug == Bug::ReleasesOutOfTurn => *change = RunChange::edit(RunEdit::new()),
            RunChange::Seal if bug == Bug::SealsNothing => *change = RunChange::Hold,
            RunChange::Cancel if bug == Bug::CancelsNoBatch => *change = RunChange::Seal,
            RunChange::Delete if bug == Bug::CancelsWhatIsDeleted => *change = RunChange::Cancel,
            _ => {}
        }
        for terms in request.terms.values_mut() {
            match bug {
                Bug::KeepsOldKeysOfEdits => terms.after.key = None,
                Bug::KeepsOldLimitsOfEdits => terms.after.gates = terms.before.gates.clone(),
                Bug::KeepsOldSequencesOfEdits => terms.after.sequence = None,
                _ => {}
            }
        }
        if bug == Bug::NotesNoAuthors {
            request.author = None;
        }
        if bug == Bug::ChangesWhatIsNotMeant {
            (request.state, request.end) = (None, None);
        }
        let is_replay = matches!(request.change, RunChange::Replay { .. });
        Box::pin(async move {
            if is_replay && bug == Bug::LosesUnmetChildren {
                let cancelled = self.store.all_runs(RunQuery::default().that_are(RunEnd::Cancelled)).await?;
                let unmet = cancelled.iter().filter(|run| !run.parents.is_empty()).map(|run| run.id);
                let lost = ChangeRuns::new(unmet.collect(), RunChange::Delete, request.now);
                self.store.change_runs(lost).await?;
            }
            let changed = self.store.change_runs(request).await?;
            let lies = is_replay && bug == Bug::ReplaysWhatWaits;
            Ok(if lies { vec![RunChanged::Done; many] } else { changed })
        })
    }

    pub(super) fn set_limit(&self, limit: GateId, cap: Option<LimitOverride>) -> StoreFuture<'_, ()> {
        match self.bug {
            Bug::IgnoresCaps => Box::pin(std::future::ready(Ok(()))),
            Bug::NeverRemovesCaps if cap.is_none() => Box::pin(std::future::ready(Ok(()))),
            Bug::SetsCapsOfAllKeys => self.store.set_limit(GateId::of(limit.name(), None), cap),
            _ => self.store.set_limit(limit, cap),
        }
    }

    pub(super) fn spoil_status(&self, limit: &mut LimitStatus) {
        match self.bug {
            Bug::NamesNoHolders => limit.holders.clear(),
            Bug::CountsNoWaiters => limit.waiting = 0,
            _ => {}
        }
    }

    fn spoil_limits(&self, run: &mut NewRun) {
        let changed = run.gates.iter().map(|gate| {
            let mut changed = gate.clone();
            match self.bug {
                Bug::IgnoresWeights => changed = Gate::new(gate.id.clone(), gate.cap, 1),
                Bug::MixesKeysOfLimits => changed.id = GateId::of(gate.id.name(), None),
                Bug::IgnoresRates if gate.pace.is_some() => {
                    changed = Gate::new(gate.id.clone(), u32::MAX, 1);
                }
                Bug::AlwaysWaits => changed.when_full = WhenFull::Wait,
                Bug::KeepsTheOldest if gate.when_full == WhenFull::KeepNewest => {
                    changed.when_full = WhenFull::KeepOldest;
                }
                Bug::FreesBetweenAttempts => changed.hold = Hold::Attempt,
                Bug::SpreadsNothing => changed.pace.iter_mut().for_each(|pace| pace.burst = 0),
                _ => {}
            }
            changed
        });
        let many = match self.bug {
            Bug::IgnoresLimitsOfRuns => 0,
            Bug::KnowsOneLimitOfARun => 1,
            _ => usize::MAX,
        };
        let fair = run.gates.fair().and_then(|key| match self.bug {
            Bug::IgnoresFairKeys => None,
            Bug::MixesFairKeys => Some("".into()),
            Bug::TakesEmptyFairKeysForNone if key.is_empty() => None,
            Bug::TakesStarsForAllFairKeys if **key == *"*" => Some("a".into()),
            Bug::SplitsFairKeysByLanes => Some(format!("{}/{key}", run.job_type).into()),
            _ => Some(key.clone()),
        });
        run.gates = Gates::new(changed.take(many).collect()).with_fair(fair);
    }

    fn spoil_links(&self, runs: &mut [NewRun]) {
        if self.bug == Bug::IgnoresKeys {
            runs.iter_mut().for_each(|run| run.unique = None);
        }
        match self.bug {
            Bug::IgnoresSequences => runs.iter_mut().for_each(|run| run.sequence = None),
            Bug::ReordersSequences if runs.iter().all(|run| run.sequence.is_some()) => runs.reverse(),
            Bug::NeverHalts => {
                runs.iter_mut().filter_map(|run| run.sequence.as_mut()).for_each(|of| of.halts = false);
            }
            _ => {}
        }
        for unique in runs.iter_mut().filter_map(|run| run.unique.as_mut()) {
            match (self.bug, &unique.conflict) {
                (Bug::ReplacesNothing, Conflict::Replace { .. }) => unique.conflict = Conflict::Skip,
                (Bug::ForgetsBounds, _) => unique.key.latest = None,
                (Bug::KeepsKeysTooLong, _) => unique.key.until_started = false,
                _ => {}
            }
        }
    }

    fn spoil_batches(&self, opens: &mut NewBatch) {
        match self.bug {
            Bug::ForgetsDeaths => opens.on_death = None,
            Bug::LeavesWholeBatchesOpen => opens.is_sealed = false,
            Bug::BeginsHeldBatches => opens.start = None,
            Bug::KeepsBatchesOpen => opens.open_until = None,
            Bug::NeverStopsBatches => opens.stops_on_death = false,
            _ => {}
        }
    }

    fn spoil_options(&self, run: &mut NewRun) {
        match self.bug {
            Bug::ForgetsNominalTimes => run.cause = Cause::Enqueued,
            Bug::DeliversAgain => run.delivery = Delivery::AtLeastOnce,
            Bug::DropsBoosts => run.boost = Duration::ZERO,
            Bug::BoostsDueTimes => run.due -= std::mem::take(&mut run.boost),
            Bug::DropsExpiries => run.expires = None,
            Bug::KeepsNothing => run.keep = None,
            Bug::IgnoresMaximums => run.most_waiting = None,
            Bug::IgnoresParents => run.after.clear(),
            Bug::IgnoresBatches => run.batch = None,
            Bug::DropsInputs => run.after.iter_mut().for_each(|edge| edge.input = None),
            Bug::MixesUpInputs => {
                let inputs = run.after.iter_mut().filter_map(|edge| edge.input.as_mut());
                inputs.for_each(|input| *input = Input::Item(0));
            }
            Bug::KnowsOneParent => run.after.truncate(1),
            Bug::IgnoresConditions => run.after.iter_mut().for_each(|edge| edge.on = Condition::Any),
            Bug::CountsDelaysFromTheCall => run.due += std::mem::take(&mut run.delay),
            _ => {}
        }
    }
}
