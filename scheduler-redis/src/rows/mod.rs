//! A driver of rows: the rules of the store are those of `scheduler_core::store::rules`, and the server compares and writes.

mod cache;
mod commit;
mod firing;
mod hands;
mod load;
mod names;
mod rest;
mod run;
mod server;
mod store;
mod take;

pub(crate) use run::Core;
pub use store::RowsJobStore;
