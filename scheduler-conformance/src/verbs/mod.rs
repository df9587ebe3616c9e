//! The contract of a job store, one rule at a time.
#![allow(missing_docs, reason = "the name of a check says what it checks")]

/// Makes a public function of each check, and a macro that makes a test of each.
macro_rules! checks {
    (($d:tt) $module:ident, $macro:ident; $($(#[$doc:meta])* async fn $name:ident($bench:ident) $body:block)*) => {
        $(
            $(#[$doc])*
            pub async fn $name(open: &impl $crate::Open) {
                let $bench = $crate::bench::Bench::new(open).await;
                $body
            }
        )*

        /// All of these, by name.
        pub fn all<O: $crate::Open>() -> Vec<$crate::Check<O>> {
            vec![$((stringify!($name), |open: &O| $crate::run($name(open)))),*]
        }

        #[doc(hidden)]
        #[macro_export]
        macro_rules! $macro {
            ($d open:expr) => {
                $(
                    #[test]
                    fn $name() {
                        let check = $crate::verbs::$module::$name(&$d open);
                        $crate::run(check);
                    }
                )*
            };
        }
    };
}

pub mod admin;
pub mod batches;
pub mod caps;
pub mod changing;
pub mod counting;
pub mod edges;
pub mod ending;
pub mod fair;
pub mod filling;
pub mod firing;
pub mod firings;
pub mod flows;
pub mod keys;
pub mod lateness;
pub mod lengths;
pub mod limits;
pub mod notes;
pub mod overlap;
pub mod paging;
pub mod pausing;
pub mod queues;
pub mod rates;
pub mod retrying;
pub mod running;
pub mod sequences;
pub mod terms;
