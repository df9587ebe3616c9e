//! Listeners: code of the user that hears of executions, firings and events.
//!
//! Each call is isolated: a panic is logged and changes nothing for the job, the other listeners or the scheduler.

use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;

use super::event::Event;
use crate::job::{BoxFuture, JobContext, Outcome};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Matcher;
use crate::trigger::Trigger;

/// Hears of the executions of jobs. Its calls are part of the execution: they count to its time, and the job does not
/// begin before [`to_be_executed`](Self::to_be_executed) has ended.
///
/// ```
/// use scheduler_core::job::{JobContext, Outcome};
/// use scheduler_core::scheduler::JobListener;
/// use scheduler_core::{Matcher, Scheduler, Text};
///
/// struct Pager;
///
/// impl JobListener for Pager {
///     async fn was_executed(&self, context: &JobContext, outcome: &Outcome) {
///         if let Some(failure) = outcome.failure() {
///             println!("wake somebody: {} {failure}", context.job_key());
///         }
///     }
/// }
///
/// let builder = Scheduler::builder().job_listener(Matcher::group(Text::is("billing")), Pager);
/// ```
pub trait JobListener: Send + Sync + 'static {
    /// The job is about to run. Called again for each refire.
    fn to_be_executed(&self, context: &JobContext) -> impl Future<Output = ()> + Send {
        let _ = context;
        ready(())
    }

    /// A trigger listener has refused the run.
    fn vetoed(&self, context: &JobContext) -> impl Future<Output = ()> + Send {
        let _ = context;
        ready(())
    }

    /// The run has ended, in whatever way: also one that was aborted.
    fn was_executed(&self, context: &JobContext, outcome: &Outcome) -> impl Future<Output = ()> + Send {
        let _ = (context, outcome);
        ready(())
    }
}

/// Hears of the firings of triggers, and may refuse them.
pub trait TriggerListener: Send + Sync + 'static {
    /// The trigger has fired. Comes before the job listeners.
    fn fired(&self, context: &JobContext) -> impl Future<Output = ()> + Send {
        let _ = context;
        ready(())
    }

    /// Whether the job must not run this time. One listener that says yes is enough.
    fn veto(&self, context: &JobContext) -> impl Future<Output = bool> + Send {
        let _ = context;
        ready(false)
    }

    /// A firing came later than the misfire threshold, and the policy of the trigger was applied.
    fn misfired(
        &self,
        trigger: &Trigger,
        scheduled: DateTime<Utc>,
        next: Option<DateTime<Utc>>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (trigger, scheduled, next);
        ready(())
    }

    /// The run that the trigger has launched has ended. Comes after the job listeners.
    fn completed(&self, context: &JobContext, outcome: &Outcome) -> impl Future<Output = ()> + Send {
        let _ = (context, outcome);
        ready(())
    }
}

/// Hears of everything that happens in a scheduler, one event after the other.
///
/// One that is too slow is told by [`Event::Missed`] how many it has missed.
pub trait SchedulerListener: Send + Sync + 'static {
    /// Something has happened.
    fn on_event(&self, event: &Event) -> impl Future<Output = ()> + Send;
}

/// Takes a listener away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

macro_rules! erased {
    ($erased:ident for $listener:ident { $(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* }) => {
        trait $erased: Send + Sync {
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> BoxFuture<'a, $out>;)*
        }

        impl<L: $listener> $erased for L {
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> BoxFuture<'a, $out> {
                Box::pin($listener::$name(self, $($arg),*))
            })*
        }
    };
}

erased!(ErasedJobListener for JobListener {
    fn to_be_executed(context: &'a JobContext) -> ();
    fn vetoed(context: &'a JobContext) -> ();
    fn was_executed(context: &'a JobContext, outcome: &'a Outcome) -> ();
});
erased!(ErasedTriggerListener for TriggerListener {
    fn fired(context: &'a JobContext) -> ();
    fn veto(context: &'a JobContext) -> bool;
    fn misfired(trigger: &'a Trigger, scheduled: DateTime<Utc>, next: Option<DateTime<Utc>>) -> ();
    fn completed(context: &'a JobContext, outcome: &'a Outcome) -> ();
});

/// A scheduler listener with its type erased.
pub(super) trait ErasedSchedulerListener: Send + Sync {
    fn on_event<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, ()>;
}

impl<L: SchedulerListener> ErasedSchedulerListener for L {
    fn on_event<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, ()> {
        Box::pin(SchedulerListener::on_event(self, event))
    }
}

struct Entry<K, L: ?Sized> {
    id: ListenerId,
    matcher: Matcher<K>,
    listener: Arc<L>,
}

#[derive(Default)]
struct Entries {
    jobs: Vec<Entry<JobKey, dyn ErasedJobListener>>,
    triggers: Vec<Entry<TriggerKey, dyn ErasedTriggerListener>>,
}

/// The listeners of a scheduler. While there are none, asking costs one load.
#[derive(Default)]
pub(super) struct Listeners {
    any: AtomicBool,
    last: AtomicU64,
    entries: RwLock<Entries>,
}

impl Listeners {
    pub(super) fn add_job(&self, matcher: Matcher<JobKey>, listener: impl JobListener) -> ListenerId {
        let id = self.next_id();
        self.entries.write().jobs.push(Entry { id, matcher, listener: Arc::new(listener) });
        self.any.store(true, Ordering::Release);
        id
    }

    pub(super) fn add_trigger(
        &self,
        matcher: Matcher<TriggerKey>,
        listener: impl TriggerListener,
    ) -> ListenerId {
        let id = self.next_id();
        self.entries.write().triggers.push(Entry { id, matcher, listener: Arc::new(listener) });
        self.any.store(true, Ordering::Release);
        id
    }

    pub(super) fn remove(&self, id: ListenerId) -> bool {
        let mut entries = self.entries.write();
        let count = |entries: &Entries| entries.jobs.len() + entries.triggers.len();
        let before = count(&entries);
        entries.jobs.retain(|entry| entry.id != id);
        entries.triggers.retain(|entry| entry.id != id);
        let after = count(&entries);
        self.any.store(after > 0, Ordering::Release);
        after < before
    }

    fn next_id(&self) -> ListenerId {
        ListenerId(self.last.fetch_add(1, Ordering::Relaxed))
    }

    /// Those that hear of this trigger and its job; none if nobody does.
    pub(super) fn of(&self, job: &JobKey, trigger: &TriggerKey) -> Option<Arc<Audience>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let entries = self.entries.read();
        let jobs: Vec<_> = matching(&entries.jobs, job);
        let triggers: Vec<_> = matching(&entries.triggers, trigger);
        let somebody = !jobs.is_empty() || !triggers.is_empty();
        somebody.then(|| Arc::new(Audience { jobs, triggers, told: AtomicBool::new(false) }))
    }
}

fn matching<K: crate::matcher::Key, L: ?Sized>(entries: &[Entry<K, L>], key: &K) -> Vec<Arc<L>> {
    entries.iter().filter(|entry| entry.matcher.matches(key)).map(|entry| entry.listener.clone()).collect()
}

/// Those that hear of one execution, in the order in which they were added.
pub(super) struct Audience {
    jobs: Vec<Arc<dyn ErasedJobListener>>,
    triggers: Vec<Arc<dyn ErasedTriggerListener>>,
    /// The end was announced.
    told: AtomicBool,
}

impl Audience {
    /// Announces the begin of an attempt; says whether the job may run.
    pub(super) async fn may_run(&self, context: &JobContext) -> bool {
        let mut veto = false;
        if context.attempt() == 1 {
            for listener in &self.triggers {
                isolated(listener.fired(context)).await;
                veto |= isolated(listener.veto(context)).await.unwrap_or(false);
            }
        }
        for listener in &self.jobs {
            let call = if veto { listener.vetoed(context) } else { listener.to_be_executed(context) };
            isolated(call).await;
        }
        !veto
    }

    /// Announces the end of an attempt; once for each.
    pub(super) async fn ended(&self, context: &JobContext, outcome: &Outcome) {
        if self.told.swap(true, Ordering::AcqRel) {
            return;
        }
        for listener in &self.jobs {
            isolated(listener.was_executed(context, outcome)).await;
        }
        for listener in &self.triggers {
            isolated(listener.completed(context, outcome)).await;
        }
    }

    /// A further attempt follows.
    pub(super) fn again(&self) {
        self.told.store(false, Ordering::Release);
    }

    pub(super) fn was_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Announces a misfire.
    pub(super) async fn misfired(
        &self,
        trigger: &Trigger,
        scheduled: DateTime<Utc>,
        next: Option<DateTime<Utc>>,
    ) {
        for listener in &self.triggers {
            isolated(listener.misfired(trigger, scheduled, next)).await;
        }
    }
}

/// The output of a call of a listener; none if it panics, which is logged.
pub(super) async fn isolated<T>(mut call: BoxFuture<'_, T>) -> Option<T> {
    let output = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Err(_) => Poll::Ready(None),
    });
    let output = output.await;
    if output.is_none() {
        tracing::error!("a listener has panicked; the others and the job are not concerned");
    }
    output
}
