//! How a run of a job function is carried out, whoever has launched it: veto, scope, middleware, job, outcome, ending.
//!
//! [`Pipeline`] is what is around every run of a scheduler or host: values, middleware, listeners, events, the cancel grace. An
//! [`Execution`] is one run that waits for its turn, and exactly one [`Ended`] comes of it, whatever happens to the future that
//! carries it. What becomes of the end is the business of the [`RunOwner`]: the scheduler writes it to the store, and the host tells
//! whoever has launched the run.
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
