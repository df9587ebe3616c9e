//! The store in memory passes what every store has to pass.

use scheduler_core::store::MemoryJobStore;

scheduler_conformance::store_conformance!(memory, || async { MemoryJobStore::keeping_history(1000) });
