//! What every job store has to pass: a kit to be run against any store by one macro.
//!
//! ```
//! // In a test file of the store's crate:
//! # mod tests {
//! use scheduler_core::store::MemoryJobStore;
//!
//! scheduler_conformance::store_conformance!(memory, || async { MemoryJobStore::new() });
//! # }
//! ```
//!
//! The macro takes the name of a module to make and a function that opens a new, empty store. It makes tests of three
//! kinds, all deterministic and on times that the tests bring themselves:
//!
//! * each verb of the contract, one rule at a time ([`verbs`]);
//! * about 130 scripts with the answers of the real Quartz ([`scripts`]). `CONFORMANCE_DIR=<folder>` has the scripts
//!   read from a `store-scripts.jsonl` there. Where a store may answer otherwise, the table `deviations.json` beside the
//!   scripts says why;
//! * random operations, whose observable results have to equal those of a simple model ([`model`]). A failure prints
//!   the shortest sequence of operations that shows it. A second model plays random lives of runs ([`model_runs`]).
//!
//! [`drivers`] is the second kit: what is below the rules of a store, for whoever writes a driver of rows.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test kit says what is wrong by panicking"
)]

mod bench;
#[doc(hidden)]
pub mod build;
#[doc(hidden)]
pub mod corpus;
pub mod drivers;
pub mod model;
pub mod model_runs;
#[doc(hidden)]
pub mod report;
pub mod scripts;
mod seeded;
pub mod verbs;

pub use bench::{Open, run};

/// A check by name: it panics if the store does not pass.
pub type Check<O> = (&'static str, fn(&O));

/// All checks, for a test runner of your own; [`store_conformance!`](crate::store_conformance) makes a test of each.
pub fn checks<O: Open>() -> Vec<Check<O>> {
    let rules = [
        verbs::admin::all(),
        verbs::batches::all(),
        verbs::changing::all(),
        verbs::edges::all(),
        verbs::ending::all(),
        verbs::fair::all(),
        verbs::firings::all(),
        verbs::flows::all(),
        verbs::firing::all(),
        verbs::counting::all(),
        verbs::keys::all(),
        verbs::sequences::all(),
        verbs::terms::all(),
        verbs::lateness::all(),
        verbs::notes::all(),
        verbs::lengths::all(),
        verbs::filling::all(),
        verbs::limits::all(),
        verbs::rates::all(),
        verbs::caps::all(),
        verbs::overlap::all(),
        verbs::paging::all(),
        verbs::pausing::all(),
        verbs::retrying::all(),
        verbs::queues::all(),
        verbs::running::all(),
    ];
    let mut all: Vec<Check<O>> = rules.into_iter().flatten().collect();
    all.push(("conformance_scripts_of_quartz", scripts::check));
    all.push(("conformance_random_operations", model::check));
    all.push(("conformance_random_runs", model_runs::check));
    all
}

/// Makes a module of tests that a job store has to pass: its name, and a function that opens a new, empty store.
///
/// See [the crate](crate).
#[macro_export]
macro_rules! store_conformance {
    ($module:ident, $open:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "the expression may need nothing from outside")]
            use super::*;

            $crate::__store_checks_of_admin!($open);
            $crate::__store_checks_of_batches!($open);
            $crate::__store_checks_of_changing!($open);
            $crate::__store_checks_of_edges!($open);
            $crate::__store_checks_of_ending!($open);
            $crate::__store_checks_of_fair!($open);
            $crate::__store_checks_of_firings!($open);
            $crate::__store_checks_of_flows!($open);
            $crate::__store_checks_of_firing!($open);
            $crate::__store_checks_of_counting!($open);
            $crate::__store_checks_of_keys!($open);
            $crate::__store_checks_of_sequences!($open);
            $crate::__store_checks_of_terms!($open);
            $crate::__store_checks_of_lateness!($open);
            $crate::__store_checks_of_notes!($open);
            $crate::__store_checks_of_lengths!($open);
            $crate::__store_checks_of_filling!($open);
            $crate::__store_checks_of_limits!($open);
            $crate::__store_checks_of_rates!($open);
            $crate::__store_checks_of_caps!($open);
            $crate::__store_checks_of_overlap!($open);
            $crate::__store_checks_of_paging!($open);
            $crate::__store_checks_of_pausing!($open);
            $crate::__store_checks_of_retrying!($open);
            $crate::__store_checks_of_queues!($open);
            $crate::__store_checks_of_running!($open);

            #[test]
            fn conformance_scripts_of_quartz() {
                $crate::scripts::check(&$open);
            }

            #[test]
            fn conformance_random_operations() {
                $crate::model::check(&$open);
            }

            #[test]
            fn conformance_random_runs() {
                $crate::model_runs::check(&$open);
            }
        }
    };
}

/// The examples of the guide compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/write-a-store.md")]
struct WriteAStore;
