//! The execution of a job function, the same for every launcher: veto, scope, middleware, job, outcome, ending.
//!
//! A [`Pipeline`] holds the surroundings of every run of a scheduler or host: values, middleware, listeners, events and the cancel
//! grace. An [`Execution`] is a run that waits for its turn. Each execution has exactly one [`Ended`], whatever happens to its future.
//! The [`RunOwner`] handles the end: the scheduler writes it to the store, and the host tells the launcher.
//!
//! The scheduler puts executions into a [`Pool`] and watches their deadlines from its loop. The host polls them where it waits for
//! them, by [`run_here`].

mod ending;
mod execution;
mod here;
mod middleware;
mod pipeline;
mod pool;

pub(crate) use execution::Execution;
pub(crate) use here::{Ask, Here, run_here};
pub(crate) use pipeline::{CANCEL_GRACE, Ended, Pipeline, RunOwner, Surroundings};
pub(crate) use pool::Pool;

pub use middleware::{Middleware, Next};
