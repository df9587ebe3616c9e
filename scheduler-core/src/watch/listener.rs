//! Listeners: code of the user that hears of executions, firings and events.
//!
//! Each call is isolated: a panic is logged and changes nothing for the job, the other listeners or the scheduler.

use std::any::type_name;
use std::future::{Future, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;

use super::event::Event;
use crate::job::{BoxFuture, JobContext, Outcome};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Matcher;
use crate::time::{Clock, by};
use crate::trigger::Trigger;
use crate::user::{self, Panic};

/// Hears of the executions of jobs. Its calls are part of the execution: they count to its time, and the job does not
/// begin before [`to_be_executed`](Self::to_be_executed) has ended.
///
/// A call that panics is logged. A call at the end of a run that was asked to stop has the
/// [cancel grace](crate::scheduler::SchedulerBuilder::cancel_grace) and is dropped after that. The other listeners hear in
/// either case.
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

/// Hears of the firings of triggers, and may refuse them. Panics and calls that hang are treated as those of a
/// [`JobListener`].
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

    /// A firing came later than the misfire threshold, and the policy of the trigger was applied. The call may take as long
    /// as the cancel grace.
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
    ($vis:vis $erased:ident for $listener:ident { $(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* }) => {
        $vis trait $erased: Send + Sync {
            fn type_name(&self) -> &'static str;
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> BoxFuture<'a, $out>;)*
        }

        impl<L: $listener> $erased for L {
            fn type_name(&self) -> &'static str {
                type_name::<L>()
            }

            $(fn $name<'a>(&'a self, $($arg: $type),*) -> BoxFuture<'a, $out> {
                Box::pin($listener::$name(self, $($arg),*))
            })*
        }
    };
}

erased!(pub(crate) ErasedJobListener for JobListener {
    fn to_be_executed(context: &'a JobContext) -> ();
    fn vetoed(context: &'a JobContext) -> ();
    fn was_executed(context: &'a JobContext, outcome: &'a Outcome) -> ();
});
erased!(pub(crate) ErasedTriggerListener for TriggerListener {
    fn fired(context: &'a JobContext) -> ();
    fn veto(context: &'a JobContext) -> bool;
    fn misfired(trigger: &'a Trigger, scheduled: DateTime<Utc>, next: Option<DateTime<Utc>>) -> ();
    fn completed(context: &'a JobContext, outcome: &'a Outcome) -> ();
});
erased!(pub(crate) ErasedSchedulerListener for SchedulerListener {
    fn on_event(event: &'a Event) -> ();
});

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

/// The listeners of a scheduler or host. While there are none, asking costs one load.
#[derive(Default)]
pub(crate) struct Listeners {
    any: AtomicBool,
    last: AtomicU64,
    entries: RwLock<Entries>,
}

impl Listeners {
    pub(crate) fn add_job(&self, matcher: Matcher<JobKey>, listener: impl JobListener) -> ListenerId {
        let id = self.next_id();
        self.entries.write().jobs.push(Entry { id, matcher, listener: Arc::new(listener) });
        self.any.store(true, Ordering::Release);
        id
    }

    pub(crate) fn add_trigger(
        &self,
        matcher: Matcher<TriggerKey>,
        listener: impl TriggerListener,
    ) -> ListenerId {
        let id = self.next_id();
        self.entries.write().triggers.push(Entry { id, matcher, listener: Arc::new(listener) });
        self.any.store(true, Ordering::Release);
        id
    }

    pub(crate) fn remove(&self, id: ListenerId) -> bool {
        let mut entries = self.entries.write();
        let count = |entries: &Entries| entries.jobs.len() + entries.triggers.len();
        let before = count(&entries);
        entries.jobs.retain(|entry| entry.id != id);
        entries.triggers.retain(|entry| entry.id != id);
        let after = count(&entries);
        self.any.store(after > 0, Ordering::Release);
        after < before
    }

    /// Adds those of something that surrounds this, before its own.
    pub(crate) fn adopt(&mut self, outer: Self) {
        let Entries { jobs, triggers } = outer.entries.into_inner();
        let jobs: Vec<_> = jobs.into_iter().map(|entry| Entry { id: self.next_id(), ..entry }).collect();
        let triggers: Vec<_> =
            triggers.into_iter().map(|entry| Entry { id: self.next_id(), ..entry }).collect();
        let own = self.entries.get_mut();
        own.jobs.splice(0..0, jobs);
        own.triggers.splice(0..0, triggers);
        *self.any.get_mut() = !own.jobs.is_empty() || !own.triggers.is_empty();
    }

    fn next_id(&self) -> ListenerId {
        ListenerId(self.last.fetch_add(1, Ordering::Relaxed))
    }

    /// Those that hear of this trigger and its job; none if nobody does.
    pub(crate) fn of(&self, job: &JobKey, trigger: &TriggerKey) -> Option<Arc<Audience>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let entries = self.entries.read();
        let jobs: Vec<_> = matching(&entries.jobs, job);
        let triggers: Vec<_> = matching(&entries.triggers, trigger);
        let somebody = !jobs.is_empty() || !triggers.is_empty();
        somebody.then(|| Arc::new(Audience { jobs, triggers, told: AtomicUsize::new(0) }))
    }
}

fn matching<K: crate::matcher::Key, L: ?Sized>(entries: &[Entry<K, L>], key: &K) -> Vec<Arc<L>> {
    entries.iter().filter(|entry| entry.matcher.matches(key)).map(|entry| entry.listener.clone()).collect()
}

/// What the log calls a listener.
const LISTENER: &str = "listener";

/// Those that hear of one execution, in the order in which they were added.
pub(crate) struct Audience {
    jobs: Vec<Arc<dyn ErasedJobListener>>,
    triggers: Vec<Arc<dyn ErasedTriggerListener>>,
    /// How many were told of the end, the job listeners first. Counted before the call, so that one that hangs is not told
    /// again when the run is aborted, and those after it are.
    told: AtomicUsize,
}

impl Audience {
    /// Announces the begin of a call; says whether the job may run.
    pub(crate) async fn may_run(&self, context: &JobContext) -> bool {
        let mut veto = false;
        if context.refire_count() == 0 {
            for listener in &self.triggers {
                let who = listener.type_name();
                heard(who, user::run_named(LISTENER, who, || listener.fired(context)).await);
                veto |= heard(who, user::run_named(LISTENER, who, || listener.veto(context)).await)
                    .unwrap_or(false);
            }
        }
        for listener in &self.jobs {
            let call = || if veto { listener.vetoed(context) } else { listener.to_be_executed(context) };
            heard(listener.type_name(), user::run_named(LISTENER, listener.type_name(), call).await);
        }
        !veto
    }

    /// Announces the end of a call to those that were not told of it yet.
    pub(crate) async fn ended(&self, context: &JobContext, outcome: &Outcome) {
        loop {
            let next = self.told.fetch_add(1, Ordering::AcqRel);
            if let Some(listener) = self.jobs.get(next) {
                let who = listener.type_name();
                let call = user::run_named(LISTENER, who, || listener.was_executed(context, outcome));
                context.0.in_time(call).await.and_then(|result| heard(who, result));
            } else if let Some(listener) = self.triggers.get(next - self.jobs.len()) {
                let who = listener.type_name();
                let call = user::run_named(LISTENER, who, || listener.completed(context, outcome));
                context.0.in_time(call).await.and_then(|result| heard(who, result));
            } else {
                return;
            }
        }
    }

    /// A further call follows.
    pub(crate) fn again(&self) {
        self.told.store(0, Ordering::Release);
    }

    /// Whether everybody was told of the end.
    pub(crate) fn was_told(&self) -> bool {
        self.told.load(Ordering::Acquire) >= self.jobs.len() + self.triggers.len()
    }

    /// Announces a misfire. Each listener may take as long as `grace`.
    pub(crate) async fn misfired(&self, misfire: &Misfired, clock: &dyn Clock, grace: Duration) {
        let Misfired { trigger, scheduled, next } = misfire;
        for listener in &self.triggers {
            let who = listener.type_name();
            let call = user::run_named(LISTENER, who, || listener.misfired(trigger, *scheduled, *next));
            let late = clock.monotonic().saturating_add(grace);
            by(clock, late, call).await.and_then(|result| heard(who, result));
        }
    }
}

/// A firing that came too late.
pub(crate) struct Misfired {
    pub(crate) trigger: Arc<Trigger>,
    pub(crate) scheduled: DateTime<Utc>,
    pub(crate) next: Option<DateTime<Utc>>,
}

/// The output of a call of a listener; none if the listener has panicked, which is logged.
pub(crate) fn heard<T>(listener: &'static str, result: Result<T, Panic>) -> Option<T> {
    let log = |panic| tracing::error!(listener, %panic, "a listener has panicked; the others and the job are not concerned");
    result.map_err(log).ok()
}
