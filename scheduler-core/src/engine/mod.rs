//! The firing loop, on a thread of its own, and the state that it shares with the pool and the handle.
//!
//! Work flows in one direction: the loop takes due work from the store and hands it to the [pool](crate::execute); the pool runs
//! jobs and hands endings back to the loop, which writes them to the store. An execution never touches the store, and no job can
//! block the loop.
//!
//! | file | content |
//! |---|---|
//! | `core` | the state that loop, pool and handle share |
//! | `running` | the executions under way |
//! | `thread` | the thread of the loop: takes turns and waits between them |
//! | `turn` | one turn, as a function of the time |
//! | `calls` | calls to the store that are not answered yet |
//! | `decision` | the firing of a due trigger, or its misfire |
//! | `deadlines` | when runs exceed their timeouts |
//! | `queues` | how many runs of each queue are under way |
//! | `draw` | which queues the next starts belong to, by weights or tiers |
//! | `store_failures` | backoff while the store fails |
//! | `beginning` | executions of the firings and runs that the store hands out |
//! | `queueing` | occurrences that are put into the queue, since their jobs have limits or a sequence |
//! | `completing` | how an execution is created, and how its ending reaches the loop |
//! | `ending` | an ending on its way to the store |
//! | `reporting` | events and logs |

mod beginning;
mod calls;
mod completing;
mod core;
mod counting;
mod deadlines;
mod decision;
mod draw;
mod ending;
mod noting;
mod queueing;
mod queues;
mod reporting;
mod running;
mod store_failures;
mod thread;
mod turn;

pub(crate) use self::core::{Core, Settings};
pub(crate) use draw::QueueOrder;
pub(crate) use store_failures::StoreFailures;
pub(crate) use thread::start;
pub(crate) use turn::Engine;

pub use running::RunningExecution;
