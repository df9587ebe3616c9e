//! The kit finds what is wrong with a store: faults of the kind that authors make, each seeded into a store that works.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta};
use scheduler_conformance::checks;
use scheduler_core::TriggerKey;
use scheduler_core::job::ExecutionId;
use scheduler_core::run::RunId;
use scheduler_core::store::decorator::Decorator;
use scheduler_core::store::*;
use scheduler_core::trigger::Trigger;

/// Makes the list of all bugs.
macro_rules! bugs {
    ($($bug:ident,)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Bug {
            $($bug,)*
        }

        const BUGS: &[Bug] = &[$(Bug::$bug),*];
    };
}

bugs! {
    LosesATrigger,
    HandsOutTwice,
    IgnoresTheOrder,
    IgnoresJobTypes,
    IgnoresLimits,
    StarvesThePunctual,
    AsksTooLate,
    ForgetsToWake,
    RunsWhatIsStale,
    DropsInstructions,
    DropsData,
    KeepsReleasedClaims,
    ReplacesWhatIsToBeKept,
    ForgetsPausedGroups,
    MixesUpResults,
    LeavesOrphans,
    CancelsNothing,
    ForgetsRunsWhenCleared,
    OverwritesMarks,
    StoresRunsTwice,
    DropsRetries,
    CountsInterruptions,
    LosesUnheardRuns,
    ReplaysWhatWaits,
    ReplaysAllAtOnce,
    ForgetsQueuesOfEdits,
    HoldsNothing,
    NotesNoAuthors,
    KeepsOldKeysOfEdits,
    KeepsOldLimitsOfEdits,
    KeepsOldSequencesOfEdits,
    ChangesWhatIsNotMeant,
    ForgetsPausedQueues,
    CancelsWhatIsDeleted,
    KeepsForEver,
    ListsTheOldestFirst,
    ForgetsTheDead,
    ForgetsWhoseRetriesTheyAre,
    IgnoresKeys,
    ReplacesNothing,
    ForgetsBounds,
    KeepsKeysTooLong,
    IgnoresShares,
    StopsAtAFullPage,
    WastesShares,
    IgnoresReserves,
    SharesBreakLimits,
    SharesBreakPauses,
    TakesFromAnyQueue,
    DropsBoosts,
    BoostsDueTimes,
    DropsExpiries,
    ForgetsToTellTheExpired,
    ShowsTheExpiredAsWaiting,
    IgnoresMaximums,
    StoresWhatFits,
    IgnoresSequences,
    ReordersSequences,
    NeverHalts,
    ReleasesOutOfTurn,
    CountsNothing,
    MixesUpQueuesOfCounts,
    IgnoresLimitsOfRuns,
    IgnoresWeights,
    MixesKeysOfLimits,
    KnowsOneLimitOfARun,
    AlwaysWaits,
    KeepsTheOldest,
    FreesBetweenAttempts,
    TellsNoFullLimits,
    IgnoresFairKeys,
    MixesFairKeys,
    TakesEmptyFairKeysForNone,
    TakesStarsForAllFairKeys,
    SplitsFairKeysByLanes,
    IgnoresParents,
    KnowsOneParent,
    IgnoresConditions,
    StoresOrphans,
    StoresBackwards,
    CountsDelaysFromTheCall,
    LosesUnmetChildren,
    IgnoresBatches,
    SealsNothing,
    ForgetsDeaths,
    LetsStrangersIn,
    CancelsNoBatch,
    DropsInputs,
    MixesUpInputs,
    LeavesWholeBatchesOpen,
    BeginsHeldBatches,
    KeepsBatchesOpen,
    NeverStopsBatches,
    RepeatsWholeCalls,
    ListsAllAsMembers,
    DropsOutputs,
    KeepsNothing,
    TakesDiscardsForSuccess,
    TellsNobody,
    PromisesWhatIsWithdrawn,
    IgnoresRates,
    SpreadsNothing,
    ThrottlesNobodyElse,
    IgnoresCaps,
    NeverRemovesCaps,
    SetsCapsOfAllKeys,
    NamesNoHolders,
    CountsNoWaiters,
    DropsCheckpoints,
    DropsLastCheckpoints,
    DropsCheckpointsOfFirings,
    TrustsTheFrozen,
    DropsProgress,
    DropsLogs,
    LogsTwice,
    IgnoresResets,
    ForgetsNominalTimes,
    IgnoresInterruptions,
    DeliversAgain,
}

#[derive(Debug)]
pub(super) struct Broken {
    pub(super) store: MemoryJobStore,
    pub(super) bug: Bug,
    pub(super) acquired: AtomicUsize,
}

impl Decorator for Broken {
    fn inner(&self) -> &dyn JobStore {
        &self.store
    }

    fn attach(&self, mut node: Node) -> StoreFuture<'_, Attached> {
        match self.bug {
            Bug::ForgetsToWake => node.wake = Arc::new(|| {}),
            Bug::IgnoresJobTypes => node.types = None,
            Bug::TakesFromAnyQueue => node.queues = QueueFilter::default(),
            _ => {}
        }
        self.store.attach(node)
    }

    fn acquire_due(&self, mut request: AcquireDue) -> StoreFuture<'_, Acquired> {
        Box::pin(async move {
            match self.bug {
                Bug::IgnoresLimits => request.limits = QueueLimits::default(),
                Bug::StarvesThePunctual => request.late = None,
                Bug::LosesUnheardRuns => request.heard = None,
                Bug::IgnoresShares => request.shares.clear(),
                Bug::IgnoresReserves => {
                    request.shares.retain(|share| matches!(share.queues, QueueSet::Named(_)));
                }
                Bug::SharesBreakLimits if !request.shares.is_empty() => {
                    request.limits = QueueLimits::default();
                }
                Bug::KeepsForEver => {
                    request.now = request.now.min("2026-03-01T12:00:00Z".parse().expect("a time"));
                }
                _ => {}
            }
            let mut acquired = match self.bug {
                Bug::WastesShares if !request.shares.is_empty() => self.without_the_rest(request).await?,
                Bug::StopsAtAFullPage if self.passes_over(500).await? => Acquired::default(),
                Bug::SharesBreakPauses if !request.shares.is_empty() => self.without_pauses(request).await?,
                _ => self.store.acquire_due(request).await?,
            };
            let before = self.acquired.fetch_add(acquired.triggers.len(), Ordering::Relaxed);
            let third = (acquired.triggers.len() + before) / 3 > before / 3;
            match self.bug {
                Bug::LosesATrigger if third => drop(acquired.triggers.pop()),
                Bug::HandsOutTwice if third => acquired.triggers.extend(acquired.triggers.first().cloned()),
                Bug::IgnoresTheOrder => acquired.triggers.reverse(),
                Bug::AsksTooLate => {
                    acquired.next_due = acquired.next_due.map(|due| due + TimeDelta::seconds(1));
                }
                Bug::CancelsNothing => acquired.cancel.clear(),
                Bug::ForgetsToTellTheExpired => acquired.expired.clear(),
                Bug::TellsNoFullLimits => acquired.limited.clear(),
                _ => {}
            }
            Ok(acquired)
        })
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        Box::pin(async move {
            let mut results = self.store.fire(request).await?;
            let job = self.store.all_jobs(JobQuery::default()).await?.pop();
            if let (Bug::RunsWhatIsStale, Some(job)) = (self.bug, job) {
                for result in &mut results {
                    if matches!(result, FireResult::Stale) {
                        *result = FireResult::Run { fence: 0, job: job.clone() };
                    }
                }
            }
            Ok(results)
        })
    }

    fn complete(&self, mut request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        for completion in &mut request.executions {
            match self.bug {
                Bug::DropsInstructions => completion.instruction = Instruction::Continue,
                Bug::DropsData => completion.data = None,
                Bug::DropsOutputs => completion.output = None,
                Bug::ThrottlesNobodyElse => completion.throttles = None,
                Bug::DropsLastCheckpoints => completion.noted = None,
                Bug::IgnoresInterruptions => completion.interrupted = false,
                Bug::IgnoresResets => completion.resets = false,
                Bug::DropsCheckpointsOfFirings => {
                    completion.noted = completion.noted.take().filter(|_| completion.promise.is_none());
                }
                Bug::ForgetsWhoseRetriesTheyAre => {
                    completion.promise.iter_mut().for_each(|run| run.cause = Cause::Enqueued);
                }
                _ => {}
            }
            completion.fate = match (self.bug, std::mem::take(&mut completion.fate)) {
                (Bug::DropsRetries, Fate::Again { .. }) | (Bug::ForgetsTheDead, Fate::Dead { .. }) => {
                    Fate::Over
                }
                (Bug::CountsInterruptions, Fate::Again { at, error, .. }) => {
                    Fate::Again { at, counts: true, error }
                }
                (Bug::TakesDiscardsForSuccess, Fate::Discarded) => Fate::Over,
                (_, fate) => fate,
            };
        }
        if self.bug == Bug::PromisesWhatIsWithdrawn {
            let done = CompleteResult::Done { trigger_removed: false, job_removed: false };
            return Box::pin(async move {
                let results = self.store.complete(request).await?;
                let told = |result| if result == CompleteResult::Withdrawn { done } else { result };
                Ok(results.into_iter().map(told).collect())
            });
        }
        self.store.complete(request)
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.store.release(if self.bug == Bug::KeepsReleasedClaims { Vec::new() } else { claims })
    }

    fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
        match change {
            Change::Put { request } => reply(self.put(request), Changed::Put),
            Change::Clear {} => reply(self.clear(), Changed::Clear),
            Change::Pause { request } => reply(self.pause(request), Changed::Pause),
            Change::RemoveTriggers { keys } => reply(self.remove_triggers(keys), Changed::RemoveTriggers),
            Change::PauseQueue { .. } if self.bug == Bug::ForgetsPausedQueues => {
                Box::pin(std::future::ready(Ok(Changed::PauseQueue(true))))
            }
            Change::SetLimit { limit, cap } => reply(self.set_limit(limit, cap), Changed::SetLimit),
            Change::PutMark { request } => reply(self.put_mark(request), Changed::PutMark),
            Change::Enqueue { runs } => reply(self.enqueue(runs), Changed::Enqueue),
            Change::Count { counts, now } => reply(self.count(counts, now), Changed::Count),
            Change::ChangeRuns { request } => reply(self.change_runs(request), Changed::ChangeRuns),
            Change::Note { notes } if self.bug == Bug::DropsCheckpoints => {
                Box::pin(std::future::ready(Ok(Changed::Note(vec![true; notes.len()]))))
            }
            Change::Note { notes } if self.bug == Bug::TrustsTheFrozen => Box::pin(async move {
                let many = notes.len();
                self.store.note(notes).await?;
                Ok(Changed::Note(vec![true; many]))
            }),
            Change::Note { notes } => reply(self.note(notes), Changed::Note),
            other => self.store.change(other),
        }
    }

    fn listen(&self, run: RunId) -> EndSignal {
        if self.bug == Bug::TellsNobody { EndSignal::never() } else { self.store.listen(run) }
    }

    fn query(&self, mut query: Query) -> StoreFuture<'_, Found> {
        match &mut query {
            Query::Runs { query } if self.bug == Bug::ListsAllAsMembers => query.batch = None,
            Query::Runs { query } if self.bug == Bug::ShowsTheExpiredAsWaiting => query.now = None,
            _ => {}
        }
        let asked = self.store.query(query);
        let turns = self.bug == Bug::ListsTheOldestFirst;
        Box::pin(async move {
            let mut found = asked.await?;
            match &mut found {
                Found::Runs(page) if turns => page.items.reverse(),
                Found::Limits(page) => page.items.iter_mut().for_each(|limit| self.spoil_status(limit)),
                _ => {}
            }
            Ok(found)
        })
    }
}

/// The answer of a method as that of a request.
fn reply<'a, T: 'a>(
    answer: StoreFuture<'a, T>,
    wrap: impl FnOnce(T) -> Changed + Send + 'a,
) -> StoreFuture<'a, Changed> {
    Box::pin(async move { Ok(wrap(answer.await?)) })
}

impl Broken {
    fn put(&self, mut request: Put) -> StoreFuture<'_, ()> {
        if self.bug == Bug::ReplacesWhatIsToBeKept && request.existing_triggers == Existing::Keep {
            request.existing_triggers = Existing::Replace;
        }
        self.store.put(request)
    }

    /// Takes the shares of a request, and nothing in place of what they leave over.
    async fn without_the_rest(&self, mut request: AcquireDue) -> scheduler_core::Result<Acquired> {
        let mut acquired = self.store.acquire_due(request.clone()).await?;
        let mut unmeant = Vec::new();
        let mut is_meant = |trigger: &Trigger, claim| {
            let is_open = |share: &QueueShare| share.most > 0 && share.queues.contains(trigger.queue());
            let is_meant = request.shares.iter().any(is_open);
            request.took(trigger.queue(), None);
            unmeant.extend((!is_meant).then_some(claim));
            is_meant
        };
        acquired.triggers.retain(|one| is_meant(&one.trigger, one.claim));
        acquired.runs.retain(|one| is_meant(&one.trigger, one.claim));
        self.store.release(unmeant).await?;
        Ok(acquired)
    }

    async fn without_pauses(&self, request: AcquireDue) -> scheduler_core::Result<Acquired> {
        let paused = self.store.paused_queues().await?;
        for queue in &paused {
            self.store.resume_queue(queue.name.clone()).await?;
        }
        let acquired = self.store.acquire_due(request).await?;
        for queue in paused {
            self.store.pause_queue(queue.name, queue.note).await?;
        }
        Ok(acquired)
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            if self.bug == Bug::ForgetsRunsWhenCleared {
                let runs = self.store.executions(Executions::All).await?;
                let executions = runs.iter().map(|run| Completion::of(run.id)).collect();
                self.store.complete(Complete { now: DateTime::UNIX_EPOCH, executions }).await?;
            }
            self.store.clear().await
        })
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        let Selection::TriggerGroup(group) = &request.what else { return self.store.pause(request) };
        if self.bug != Bug::ForgetsPausedGroups {
            return self.store.pause(request);
        }
        let (group, note) = (group.clone(), request.note);
        Box::pin(async move {
            let mut paused = Vec::new();
            for status in self.store.all_triggers(TriggerQuery { group, ..TriggerQuery::default() }).await? {
                let what = Selection::Trigger(status.trigger.key().clone());
                paused.extend(self.store.pause(Pause { what, note: note.clone() }).await?);
            }
            Ok(paused)
        })
    }

    fn remove_triggers(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        Box::pin(async move {
            if self.bug == Bug::LeavesOrphans {
                for job in self.store.all_jobs(JobQuery::default()).await? {
                    let jobs = vec![Arc::new(job.to_builder().durable(true).build())];
                    let (existing_jobs, existing_triggers) = (Existing::Update, Existing::Refuse);
                    let triggers = Vec::new();
                    self.store.put(Put { jobs, existing_jobs, triggers, existing_triggers }).await?;
                }
            }
            let mut removed = self.store.remove_triggers(keys).await?;
            if self.bug == Bug::MixesUpResults {
                removed.reverse();
            }
            Ok(removed)
        })
    }

    fn put_mark(&self, mut request: PutMark) -> StoreFuture<'_, Option<u64>> {
        Box::pin(async move {
            if self.bug == Bug::OverwritesMarks {
                request.revision = self.store.mark(request.name.clone()).await?.map(|mark| mark.revision);
            }
            self.store.put_mark(request).await
        })
    }
}

#[test]
fn each_seeded_bug_is_caught() {
    // The failures are what is wanted; their messages are not.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut account = Vec::new();
    for bug in BUGS.iter().copied() {
        let open = move || async move {
            Broken { store: MemoryJobStore::new(), bug, acquired: AtomicUsize::new(0) }
        };
        // Random lives of runs have a test of their own.
        let all: Vec<_> =
            checks().into_iter().filter(|(name, _)| *name != "conformance_random_runs").collect();
        let fails = |check: &fn(&_)| catch_unwind(AssertUnwindSafe(|| check(&open))).is_err();
        let caught: Vec<_> = all.iter().filter(|(_, check)| fails(check)).map(|(name, _)| *name).collect();
        account.push((bug, caught));
    }
    std::panic::set_hook(hook);
    for (bug, caught) in &account {
        println!("{bug:?}: {}", caught.join(", "));
    }
    let missed: Vec<_> = account.iter().filter(|(_, caught)| caught.is_empty()).map(|(bug, _)| bug).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
    let by_chance = account.iter().filter(|(_, caught)| caught.contains(&"conformance_random_operations"));
    assert!(by_chance.count() >= 10, "random operations find most of them too");
}
