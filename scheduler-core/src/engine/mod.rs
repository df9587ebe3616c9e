//! What fires: the loop, on a thread of its own, and what it shares with the pool and the handle.
//!
//! One direction: the loop takes what is due from the store and hands it to the [pool](crate::execute); the pool runs jobs and
//! hands endings back to the loop, which writes them to the store. An execution never touches the store, and nothing of a job can
//! keep the loop from its work.
//!
//! * `core`: what loop, pool and handle share. `running`: the executions under way.
//! * `thread`: takes turns and waits between them. `turn`: one turn, as a function of the time. `calls`: what the store was asked
//!   and has not answered.
//! * `decision`: what becomes of a trigger that is due. `deadlines`: runs that take too long. `queues`: how many of each queue are
//!   under way. `store_failures`: how long to wait when the store fails.
//! * `beginning`: what the store lets run, as an execution. `completing`: the execution is made, and its ending is handed over. `ending`: an ending on its way to the store. `reporting`: what users hear.

mod beginning;
mod calls;
mod completing;
mod core;
mod deadlines;
mod decision;
mod ending;
mod queues;
mod reporting;
mod running;
mod store_failures;
mod thread;
mod turn;

pub(crate) use self::core::{Core, Settings};
pub(crate) use store_failures::StoreFailures;
pub(crate) use thread::start;
pub(crate) use turn::Engine;

pub use running::RunningExecution;
