//! Code around every call that enqueues.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::store::NewRun;
use crate::user;

/// Code that sees, and may change, each run that a client is about to enqueue: to note the tenant or the trace of the request, to choose a
/// queue, to set defaults, or to refuse a run.
///
/// ```
/// use scheduler_core::client::Enqueuing;
/// use scheduler_core::store::NewRun;
/// use scheduler_core::{Result, Scheduler};
///
/// /// Notes in whose name a run was enqueued. The job reads it from `context.data()`.
/// struct Tenant(&'static str);
///
/// impl Enqueuing for Tenant {
///     fn enqueuing(&self, run: &mut NewRun) -> Result<()> {
///         run.data = run.data.clone().with("tenant", self.0);
///         Ok(())
///     }
/// }
///
/// let builder = Scheduler::builder().enqueuing(Tenant("acme"));
/// ```
///
/// It is called for [`enqueue`](crate::Client::enqueue), [`enqueue_all`](crate::Client::enqueue_all), [`trigger_job`](crate::Client::trigger_job),
/// [`backfill`](crate::Client::backfill), for the runs and callbacks of [batches](crate::Client::batch) and for runs that wait for others; once for each
/// run, just before it is stored. Occurrences of triggers, retries and replays are not enqueued. The key, the limits and the sequence of a
/// run are made before, of the argument as the caller gave it, and that argument was checked.
pub trait Enqueuing: Send + Sync + 'static {
    /// A run is about to be stored. It must stay the same run: a changed id is another run, for which nobody has a handle.
    ///
    /// # Errors
    ///
    /// An error refuses the whole call, and nothing of it is stored.
    fn enqueuing(&self, run: &mut NewRun) -> Result<()>;
}

/// The hooks of a client, in the order in which they are called.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Vec<Arc<dyn Enqueuing>>);

impl Hooks {
    pub(crate) fn add(&mut self, hook: impl Enqueuing) {
        self.0.push(Arc::new(hook));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands a run to each hook.
    pub(super) fn call(&self, run: &mut NewRun) -> Result<()> {
        self.0.iter().try_for_each(|hook| {
            user::call(|| hook.enqueuing(run))
                .unwrap_or_else(|panic| Err(Error::config(format!("a hook around enqueue {panic}"))))
        })
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooks").field(&self.0.len()).finish()
    }
}
