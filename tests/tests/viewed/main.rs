//! The rules over rows that stand elsewhere: a view that knows nothing at first, and a server that compares and writes.
//!
//! The server is a few maps. It derives every place when it is asked, so nothing of it can be out of line; and it says of
//! every fourth commit that something has changed meanwhile, or lets another node work, by a number that follows from the seed of
//! the run.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod batches;
mod bugs;
mod interrupting;
mod limits;
mod meetings;
mod other;
mod server;
mod store;
mod taking;
mod turns;

use store::Viewed;

scheduler_conformance::store_conformance!(viewed, || async { Viewed::beside_another_node() });
scheduler_conformance::driver_conformance!(viewed_rows, Viewed::new);
