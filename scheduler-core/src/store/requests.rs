//! The changes and queries of users: one variant for each, with a typed method beside it.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::admin::*;
use super::contract::{JobStore, NamedCalendar, NodeStatus, StoreFuture};
use super::counts::{CountBucket, CountQuery, EndCount};
use super::firing::RunNote;
use super::firings::{FiringCursor, FiringQuery, FiringRecord};
use super::limits::{LimitOverride, LimitQuery, LimitStatus};
use super::page::{MAX_PAGE_SIZE, Page};
use super::run_changes::*;
use super::runs::*;
use crate::calendar::Calendar;
use crate::error::Error;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::run::GateId;

macro_rules! requests {
    ($(#[$of_request:meta])* $request:ident, $(#[$of_answer:meta])* $answer:ident, $verb:ident, $(#[$of_calls:meta])* $calls:ident { $($more:tt)* },
     $(#[$of_handler:meta])* $handler:ident;
     $($(#[$doc:meta])* $name:ident $method:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(#[$of_request])*
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each field is a parameter of the method of the same name")]
        pub enum $request {
            $($(#[$doc])* $name { $($arg: $type),* },)*
        }

        $(#[$of_answer])*
        #[derive(Debug)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is named after its request")]
        pub enum $answer {
            $($name($out),)*
        }

        impl $request {
            /// What is asked for, for logs and errors.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($method),)*
                }
            }

        }

        $(#[$of_handler])*
        pub trait $handler: Send + Sync {
            $($(#[$doc])*
            fn $method(&self, $($arg: $type),*) -> StoreFuture<'_, $out>;)*

            /// Hands the request to the method of its name.
            fn $verb(&self, request: $request) -> StoreFuture<'_, $answer> {
                match request {
                    $($request::$name { $($arg),* } => {
                        let answer = self.$method($($arg),*);
                        Box::pin(async move { Ok($answer::$name(answer.await?)) })
                    })*
                }
            }
        }

        $(#[$of_calls])*
        pub trait $calls: JobStore {
            $($(#[$doc])*
            fn $method(&self, $($arg: $type),*) -> StoreFuture<'_, $out> {
                let asked = self.$verb($request::$name { $($arg),* });
                Box::pin(async move {
                    match asked.await? {
                        $answer::$name(answer) => Ok(answer),
                        other => Err(mixed_up(stringify!($method), &other)),
                    }
                })
            })*

            $($more)*
        }

        impl<S: JobStore + ?Sized> $calls for S {}
    };
}

/// Everything that a query finds, page by page.
macro_rules! all {
    ($store:ident.$method:ident($query:ident) $(, $asked:ident.$keys:ident)?) => {
        Box::pin(async move {
            let (mut query, mut all) = ($query, Vec::new());
            let most = query.limit.take();
            let has_pages = [$(query.$keys.is_empty())?].iter().all(|is_empty: &bool| *is_empty);
            loop {
                if has_pages || most.is_some() {
                    query.limit = Some(most.map_or(MAX_PAGE_SIZE, |most| most.saturating_sub(all.len())));
                }
                let page = $store.$method(query.clone()).await?;
                all.extend(page.items);
                query.after = page.next;
                if query.after.is_none() || most.is_some_and(|most| all.len() >= most) {
                    return Ok(all);
                }
            }
        })
    };
}

fn mixed_up(request: &str, answer: &impl std::fmt::Debug) -> Error {
    let answer: String = format!("{answer:?}").chars().take(80).collect();
    Error::config(format!(
        "the job store has answered the request `{request}` with `{answer}`, which belongs to another one; mend the store"
    ))
}

requests! {
    /// Everything that users write.
    Change,
    /// What has become of a [`Change`].
    Changed,
    change,
    /// The changes of a store, each with the type of its answer. Every store has them.
    Changes {},
    /// A store that carries out each change by a method of its own. Its [`JobStore::change`] is
    /// `ChangeHandler::change(self, change)`.
    ChangeHandler;

    /// Stores jobs and triggers. Nothing is stored if anything is refused.
    ///
    /// Errors: a conflict that names every job and trigger that is there already, or a trigger that is there twice in the call; a
    /// trigger whose job or calendar is nowhere.
    Put put(request: Put) -> ();

    /// Replaces a trigger by another one of the same job, which may have another name. Says whether there was one to
    /// replace, of the revision asked for; if not, nothing changes.
    ///
    /// Errors: a conflict if the new trigger runs another job, or its name is that of a third trigger. Its calendar is nowhere.
    Reschedule reschedule(request: Reschedule) -> bool;

    /// Moves triggers to another progress, each only if it still has the expected one. Says for each whether it did.
    Adjust adjust(adjustments: Vec<Adjustment>) -> Vec<bool>;

    /// Removes triggers, and with the last one a job that is not durable.
    RemoveTriggers remove_triggers(keys: Vec<TriggerKey>) -> Vec<Removed>;

    /// Removes jobs with all their triggers. Says for each whether it was there.
    RemoveJobs remove_jobs(keys: Vec<JobKey>) -> Vec<bool>;

    /// Removes every job, trigger, run, calendar and remembered pause. Executions go on as after the removal of their jobs: until
    /// they have ended they count for their job and their queue. Firing records stay. A store may do this in parts.
    Clear clear() -> ();

    /// Pauses the selected triggers, and remembers groups. Says which triggers changed, in the order of their keys.
    Pause pause(request: Pause) -> Vec<TriggerKey>;

    /// Resumes the selected triggers, and forgets groups. Says which triggers changed, in the order of their keys.
    Resume resume(what: Selection) -> Vec<TriggerKey>;

    /// Pauses a queue, or gives its pause another note: no node takes triggers or runs of the queue. What is claimed already goes on.
    /// Says whether the queue was not paused before.
    PauseQueue pause_queue(queue: Arc<str>, note: PauseNote) -> bool;

    /// Resumes a queue. Says whether it was paused.
    ResumeQueue resume_queue(queue: Arc<str>) -> bool;

    /// Sets a cap that holds in place of those with which runs were enqueued: for one key, or without one for each key of the name that has
    /// none of its own. None removes it. No attempt is stopped; runs for which there is room begin. The removal of everything leaves it.
    SetLimit set_limit(limit: GateId, cap: Option<LimitOverride>) -> ();

    /// Clears the error of triggers. Says for each whether it was in error.
    Reset reset(keys: Vec<TriggerKey>) -> Vec<bool>;

    /// Stores a calendar.
    ///
    /// Errors: a conflict if there is one of this name, and it is not to be replaced.
    PutCalendar put_calendar(name: Arc<str>, calendar: Arc<dyn Calendar>, replace: bool) -> ();

    /// Removes a calendar. Says whether it was there.
    ///
    /// Errors: a conflict if triggers name it.
    RemoveCalendar remove_calendar(name: Arc<str>) -> bool;

    /// Writes a mark, if what is there is still of the revision that was read. Answers the new revision, which is larger than any
    /// before it; none if somebody was faster, and then nothing has changed.
    PutMark put_mark(request: PutMark) -> Option<u64>;

    /// Stores runs, all of them or none. A store may do more than 500 in parts. Says for each whether it is new.
    ///
    /// Errors: more runs would wait in a queue than [may](NewRun::most_waiting). Then nothing is stored.
    Enqueue enqueue(runs: Vec<NewRun>) -> Vec<Enqueued>;

    /// Changes runs. Says for each what has become of it. A store may change more than 500 in parts.
    ChangeRuns change_runs(request: ChangeRuns) -> Vec<RunChanged>;

    /// Adds what a node has counted to the counters of this time. A call that is repeated may count twice.
    Count count(counts: Vec<EndCount>, now: DateTime<Utc>) -> ();

    /// Stores what attempts under way have noted. Says for each whether its claim is still good; nothing is stored otherwise. A store may
    /// do more than 500 in parts.
    Note note(notes: Vec<RunNote>) -> Vec<bool>;

    /// Asks executions to stop, wherever they run; their nodes find them among [`Acquired::cancel`](super::Acquired::cancel). Says
    /// which, in the order of their ids.
    Cancel cancel(what: Executions) -> Vec<ExecutionId>;
}

requests! {
    /// Everything that users read.
    Query,
    /// What a [`Query`] has found.
    Found,
    query,
    /// The queries of a store, each with the type of its answer. Every store has them.
    Queries {
        /// All jobs that match, page by page, in the order of their keys; at most as many as the limit says. A job that is stored or
        /// removed meanwhile may be among them or not.
        fn all_jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>> {
            all!(self.jobs(query), query.keys)
        }

        /// All triggers that match, as [`all_jobs`](Self::all_jobs).
        fn all_triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>> {
            all!(self.triggers(query), query.keys)
        }

        /// All runs that match, as [`all_jobs`](Self::all_jobs): ended runs with the latest first, all others in the order of their ids.
        fn all_runs(&self, query: RunQuery) -> StoreFuture<'_, Vec<RunStatus>> {
            Box::pin(async move {
                let by_end = query.ends().is_some();
                let all: StoreFuture<'_, Vec<RunStatus>> = all!(self.runs(query), query.ids);
                let mut all = all.await?;
                if !by_end {
                    // A store that keeps them in no order may show one twice.
                    all.sort_unstable_by_key(|run| run.id);
                    all.dedup_by_key(|run| run.id);
                }
                Ok(all)
            })
        }

        /// All firing records that match, page by page, the latest first; at most as many as the limit says. Records that are written
        /// meanwhile are not among them.
        fn all_firings(&self, query: FiringQuery) -> StoreFuture<'_, Vec<FiringRecord>> {
            all!(self.firings(query))
        }
    },
    /// A store that answers each query by a method of its own. Its [`JobStore::query`] is `QueryHandler::query(self, query)`.
    QueryHandler;

    /// The nodes that are attached, in the order of their names and sessions.
    Nodes nodes() -> Vec<NodeStatus>;

    /// All calendars, in the order of their names.
    Calendars calendars() -> Vec<NamedCalendar>;

    /// A page of the jobs that match, in the order of their keys.
    Jobs jobs(query: JobQuery) -> Page<Arc<JobDetail>, JobKey>;

    /// A page of the triggers that match, in the order of their keys.
    Triggers triggers(query: TriggerQuery) -> Page<TriggerStatus, TriggerKey>;

    /// A page of the runs that match. [Ended](RunQuery::ends) runs come by their [rank](super::rows::RunRow::rank), the latest first; all
    /// others in the order of their ids. A store that does not keep the others in this order may answer in another one, and may repeat a
    /// run on a later page if many are removed meanwhile.
    Runs runs(query: RunQuery) -> Page<RunStatus, RunCursor>;

    /// The executions under way, in the order of their ids.
    Executions executions(what: Executions) -> Vec<ExecutionStatus>;

    /// The mark of this name, if there is one. Marks belong to the scheduler: no list shows them, and the removal of everything
    /// leaves them.
    Mark mark(name: Arc<str>) -> Option<Mark>;

    /// A page of the firing records that match, the latest first: one for each attempt that has ended, and one for each occurrence that
    /// did not run. Empty where none are kept.
    Firings firings(query: FiringQuery) -> Page<FiringRecord, FiringCursor>;

    /// The groups of jobs or of triggers, in the order of their names: those in use, and those remembered as paused.
    Groups groups(kind: GroupKind) -> Vec<GroupStatus>;

    /// The counters that match, in the order of their buckets, functions, queues and outcomes.
    Counts counts(query: CountQuery, now: DateTime<Utc>) -> Vec<CountBucket>;

    /// A page of the limits that are in use, in the order of names and keys: those that claims hold, for which due runs wait, that are
    /// throttled, or whose cap was set. Of those that the query names, each is answered, in the order of the query.
    Limits limits(query: LimitQuery, now: DateTime<Utc>) -> Page<LimitStatus, GateId>;

    /// The queues that are paused, in the order of their names.
    PausedQueues paused_queues() -> Vec<PausedQueue>;
}
