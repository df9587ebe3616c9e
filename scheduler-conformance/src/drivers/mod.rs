//! What every driver of [rows](scheduler_core::store::rows) has to pass: the seam below the rules of a job store, one rule at a time.
//!
//! The kit of job stores says that a store does what its users expect. This kit says that a driver keeps what the seam promises, so
//! a fault is found where it was made, and before there is a verb. A driver that passes both is ready.
//!
//! ```
//! // In a test file of the driver's crate:
//! # mod tests {
//! use scheduler_conformance::drivers::DriverUnderTest;
//! use scheduler_core::Result;
//! use scheduler_core::store::rows::Answer;
//! use scheduler_core::store::{AcquireDue, Acquired, FiringQuery, FiringRecord, JobStore, MemoryJobStore, MemoryRows, Node, Queries};
//!
//! struct Memory(MemoryJobStore);
//!
//! impl DriverUnderTest for Memory {
//!     type Rows = MemoryRows;
//!
//!     fn run<T>(&self, rule: impl Fn(&mut MemoryRows) -> Answer<MemoryRows, T>) -> Result<T> {
//!         Ok(self.0.transact(rule))
//!     }
//!
//!     fn attach(&self, node: Node) -> Result<()> {
//!         scheduler_conformance::run(self.0.attach(node)).map(drop)
//!     }
//!
//!     fn take(&self, request: AcquireDue) -> Result<Acquired> {
//!         scheduler_conformance::run(self.0.acquire_due(request))
//!     }
//!
//!     fn firings(&self) -> Result<Vec<FiringRecord>> {
//!         scheduler_conformance::run(self.0.all_firings(FiringQuery::default()))
//!     }
//! }
//!
//! scheduler_conformance::driver_conformance!(memory, || Memory(MemoryJobStore::keeping_history(1_000)));
//! # }
//! ```
//!
//! The calls of the kit block. An asynchronous driver blocks on a runtime of its own; several threads call it at once. What a driver
//! cannot do, as to crash, is left out, and the output of the test says so.
//!
//! Random operations and concurrent transactions follow from a seed, which a failure prints; `CONFORMANCE_SEED=<number>` sets it.
#![allow(missing_docs, reason = "the name of a rule says what it checks")]

use scheduler_core::Result;
use scheduler_core::store::rows::{Answer, Rows};
use scheduler_core::store::{AcquireDue, Acquired, FiringRecord, Node};

/// A driver as the kit sees it: one empty place, in which rules run and from which nodes take.
pub trait DriverUnderTest: Send + Sync {
    /// An open transaction.
    type Rows: Rows;

    /// Runs a rule until nothing that it needs is missing and its commit is not refused. Answers what the rule has answered last.
    ///
    /// # Errors
    ///
    /// It is not known whether the commit took effect.
    fn run<T>(&self, rule: impl Fn(&mut Self::Rows) -> Answer<Self::Rows, T>) -> Result<T>;

    /// Makes a node known, before anything is taken for its session.
    ///
    /// # Errors
    ///
    /// The driver could not do it.
    fn attach(&self, node: Node) -> Result<()>;

    /// Takes due work, as [`acquire_due`](scheduler_core::store::JobStore::acquire_due) does. A session asks for one batch after the
    /// other.
    ///
    /// # Errors
    ///
    /// The driver could not do it.
    fn take(&self, request: AcquireDue) -> Result<Acquired>;

    /// All firing records, the latest first. The driver keeps 1,000 of them at least.
    ///
    /// # Errors
    ///
    /// The driver could not do it.
    fn firings(&self) -> Result<Vec<FiringRecord>>;

    /// Arranges that this happens to the next commit that writes. Says whether the driver can do that; by default it cannot.
    fn inject(&self, fault: Fault) -> bool {
        let _ = fault;
        false
    }

    /// Ends whatever keeps the rows at once, as `kill -9` does, and starts it again. Says whether the driver can do that; by default
    /// it cannot.
    fn crash(&self) -> bool {
        false
    }
}

/// What happens to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Somebody else changes a row that the transaction has read, just before its commit.
    Refused,
    /// The commit is carried out, and its answer is lost.
    AnswerLost,
    /// The commit arrives twice.
    Doubled,
}

/// A rule by name: it panics if the driver breaks it. It is given what opens a new, empty place.
pub type Rule<D> = (&'static str, fn(&dyn Fn() -> D));

/// Makes a public function of each rule, and a macro that makes a test of each.
macro_rules! rules {
    (($d:tt) $module:ident, $macro:ident; $($(#[$doc:meta])* fn $name:ident($bench:ident) $body:block)*) => {
        $(
            $(#[$doc])*
            pub fn $name<D: $crate::drivers::DriverUnderTest>(open: &dyn Fn() -> D) {
                let $bench = $crate::drivers::bench::Bench::new(open());
                $body
            }
        )*

        /// All of these, by name.
        pub fn all<D: $crate::drivers::DriverUnderTest>() -> Vec<$crate::drivers::Rule<D>> {
            vec![$((stringify!($name), $name::<D>)),*]
        }

        #[doc(hidden)]
        #[macro_export]
        macro_rules! $macro {
            ($d open:expr) => {
                $(
                    #[test]
                    fn $name() {
                        $crate::drivers::$module::$name(&$d open);
                    }
                )*
            };
        }
    };
}

pub mod batches;
mod bench;
pub mod beside;
pub mod claims;
pub mod concurrent;
pub mod contents;
pub mod exclusive;
pub mod gates;
pub mod lanes;
pub mod names;
pub mod random;
pub mod records;
pub mod tags;
pub mod transactions;

/// All rules, for a test runner of your own; [`driver_conformance!`](crate::driver_conformance) makes a test of each.
pub fn all<D: DriverUnderTest>() -> Vec<Rule<D>> {
    let themes = [
        names::all(),
        transactions::all(),
        lanes::all(),
        claims::all(),
        exclusive::all(),
        beside::all(),
        contents::all(),
        records::all(),
        batches::all(),
        tags::all(),
        gates::all(),
        concurrent::all(),
    ];
    let mut all: Vec<Rule<D>> = themes.into_iter().flatten().collect();
    all.push(("random_operations_agree_with_a_plain_model", random::check));
    all
}

/// Makes a module of tests that a driver has to pass: its name, and a function that opens a new, empty place.
///
/// See [`drivers`](crate::drivers).
#[macro_export]
macro_rules! driver_conformance {
    ($module:ident, $open:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "the expression may need nothing from outside")]
            use super::*;

            $crate::__driver_rules_of_names!($open);
            $crate::__driver_rules_of_transactions!($open);
            $crate::__driver_rules_of_lanes!($open);
            $crate::__driver_rules_of_claims!($open);
            $crate::__driver_rules_of_exclusive!($open);
            $crate::__driver_rules_of_beside!($open);
            $crate::__driver_rules_of_contents!($open);
            $crate::__driver_rules_of_records!($open);
            $crate::__driver_rules_of_batches!($open);
            $crate::__driver_rules_of_tags!($open);
            $crate::__driver_rules_of_gates!($open);
            $crate::__driver_rules_of_concurrent!($open);

            #[test]
            fn random_operations_agree_with_a_plain_model() {
                $crate::drivers::random::check(&$open);
            }
        }
    };
}
