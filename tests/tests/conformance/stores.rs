//! The store in memory passes what every store has to pass, and its rows what those of every driver have to.

use scheduler_conformance::drivers::DriverUnderTest;
use scheduler_core::Result;
use scheduler_core::store::rows::Answer;
use scheduler_core::store::{
    AcquireDue, Acquired, FiringQuery, FiringRecord, JobStore, MemoryJobStore, MemoryRows, Node, Queries,
};

scheduler_conformance::store_conformance!(memory, || async { MemoryJobStore::keeping_history(100) });

struct Memory(MemoryJobStore);

impl DriverUnderTest for Memory {
    type Rows = MemoryRows;

    fn run<T>(&self, rule: impl Fn(&mut MemoryRows) -> Answer<MemoryRows, T>) -> Result<T> {
        Ok(self.0.transact(rule))
    }

    fn attach(&self, node: Node) -> Result<()> {
        scheduler_conformance::run(self.0.attach(node)).map(drop)
    }

    fn take(&self, request: AcquireDue) -> Result<Acquired> {
        scheduler_conformance::run(self.0.acquire_due(request))
    }

    fn firings(&self) -> Result<Vec<FiringRecord>> {
        scheduler_conformance::run(self.0.all_firings(FiringQuery::default()))
    }
}

scheduler_conformance::driver_conformance!(memory_rows, || Memory(MemoryJobStore::keeping_history(1_000)));
