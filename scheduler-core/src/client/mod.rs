//! The client of a job store: schedule, enqueue, pause, ask, explain, without functions and without a loop that fires.
//!
//! A [`Client`] is for programs and parts of programs that run no job: a web server that enqueues, a script that pauses a trigger, a
//! test that looks. A [`Scheduler`](crate::Scheduler) is a client that also runs, so everything here is a method of both.
//!
//! ```standalone_crate
//! use scheduler_core::Client;
//! use scheduler_core::prelude::*;
//! use scheduler_core::store::MemoryJobStore;
//!
//! #[job]
//! async fn send(to: String) {
//!     println!("mail to {to}");
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> scheduler_core::Result<()> {
//! let store = MemoryJobStore::new(); // in a real program one that several processes share
//! let client = Client::new(store.clone());
//! client.enqueue(send::with("ada@example.org".into())).await?;
//!
//! // Elsewhere: a scheduler over the same store, which knows the function and runs it.
//! let scheduler = Scheduler::builder().store(store).discover_jobs().build()?;
//! scheduler.start().await?;
//! # scheduler.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A client is no node: it has no session, no heartbeat and no claims, and [`nodes`](Client::nodes) does not list it. It checks a
//! call as far as the store and the types of the arguments go. Whether a function is registered only the scheduler knows that runs
//! it, so a job that no node can run waits, and [`explain`](Client::explain) and [`explain_run`](Client::explain_run) say so.

mod absent;
mod admin;
mod backfill;
mod batches;
mod calendars;
mod caps;
mod dependents;
mod enqueue_outcome;
mod enqueuing;
mod explain;
mod explain_limits;
mod exporting;
mod gates;
mod groups;
mod handle;
mod hooking;
mod hooks;
mod lengths;
mod limiting;
mod limits;
mod queries;
mod results;
mod runs;
mod scheduling;
mod sequences;
mod terms;
mod unique;
mod workflow;

pub(crate) use calendars::{Calendars, anew};
pub(crate) use handle::{Wiring, closed};
pub(crate) use hooks::Hooks;
pub(crate) use lengths::Lengths;
pub(crate) use scheduling::bind;

pub use backfill::Backfill;
pub use batches::{Batch, BatchBuilder};
pub use enqueue_outcome::EnqueueOutcome;
pub use enqueuing::Enqueue;
pub use explain::{Explanation, Obstacle, RunExplanation};
pub use exporting::RunExport;
pub use groups::DeadGroup;
pub use handle::Client;
pub use hooks::Enqueuing;
pub use lengths::WhenFull;
pub use results::RunHandle;
pub use scheduling::Scheduled;
pub use workflow::{OnFailure, Workflow, WorkflowBatch, WorkflowStep};
