//! Keys, limits and sequences that are made of the argument of a run.

use std::fmt::Display;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::extract::{ExtractError, argument_of};
use crate::data::JobData;
use crate::run::{Limit, Sequence, Unique, stored_key};

/// The functions that make the keys, the limits and the sequence of a run.
#[derive(Clone, Default)]
pub(crate) struct Derivations {
    pub(crate) unique: Option<UniqueOf>,
    pub(crate) limits: Vec<LimitOf>,
    pub(crate) sequence: Option<SequenceOf>,
    pub(crate) fair: Option<FairKeyOf>,
}

/// The argument in this data, of which a key or a limit is made.
fn known_argument<T: DeserializeOwned + 'static>(data: &JobData) -> Result<T, ExtractError> {
    match data.awaits_outputs() {
        false => argument_of(data),
        true => Err(ExtractError::new(
            "its argument is the output of a run that has not ended; give the call a key, a limit or a sequence of its own",
        )),
    }
}

/// Makes the key of a run of the data that its function gets.
pub(crate) type UniqueOf = Arc<dyn Fn(&JobData) -> Result<Unique, ExtractError> + Send + Sync>;

pub(super) fn unique_of<T: DeserializeOwned + 'static>(
    key: impl Fn(&T) -> Unique + Send + Sync + 'static,
) -> UniqueOf {
    Arc::new(move |data| known_argument(data).map(|args| key(&args)))
}

type MakeLimit = dyn Fn(&JobData) -> Result<Limit, ExtractError> + Send + Sync;

/// Makes a limit of a run of the data that its function gets.
#[derive(Clone)]
pub(crate) struct LimitOf {
    /// Its name, if that is known before.
    pub(crate) name: Option<&'static str>,
    pub(crate) make: Arc<MakeLimit>,
}

impl LimitOf {
    pub(super) fn new(
        make: impl Fn(&JobData) -> Result<Limit, ExtractError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: None, make: Arc::new(make) }
    }
}

pub(super) fn limit_of<T: DeserializeOwned + 'static>(
    limit: impl Fn(&T) -> Limit + Send + Sync + 'static,
) -> LimitOf {
    LimitOf::new(move |data| known_argument(data).map(|args| limit(&args)))
}

/// Makes the sequence of a run of the data that its function gets.
pub(crate) type SequenceOf = Arc<dyn Fn(&JobData) -> Result<Sequence, ExtractError> + Send + Sync>;

pub(super) fn sequence_of<T: DeserializeOwned + 'static>(
    sequence: impl Fn(&T) -> Sequence + Send + Sync + 'static,
) -> SequenceOf {
    Arc::new(move |data| known_argument(data).map(|args| sequence(&args)))
}

/// Makes the key by which a run takes turns of the data that its function gets.
pub(crate) type FairKeyOf = Arc<dyn Fn(&JobData) -> Result<Arc<str>, ExtractError> + Send + Sync>;

pub(super) fn fair_key_of<T: DeserializeOwned + 'static, K: Display>(
    key: impl Fn(&T) -> K + Send + Sync + 'static,
) -> FairKeyOf {
    Arc::new(move |data| known_argument(data).map(|args| stored_key(&key(&args))))
}

/// The methods of whoever has [`Derivations`] in the field `derivations`.
macro_rules! deriving_methods {
    () => {
        /// Enqueued runs of the job are unique: the function makes the key of a run of its argument. A call may bring
        /// [another key](crate::client::Enqueue::unique). Occurrences of triggers have no key.
        ///
        /// ```
        /// # use scheduler_core::job::{JobDefinition, JobDetail};
        /// # use scheduler_core::run::Unique;
        /// # let detail = JobDetail::builder("sync".parse()?, "sync").build();
        /// let job = JobDefinition::new(detail, || async {}).unique(|customer: &u64| Unique::key(customer));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[must_use]
        pub fn unique<A: DeserializeOwned + 'static>(
            mut self,
            key: impl Fn(&A) -> Unique + Send + Sync + 'static,
        ) -> Self {
            self.derivations.unique = Some(unique_of(key));
            self
        }

        /// As [`unique`](Self::unique), with a key that is made of the data of a run.
        #[must_use]
        pub fn unique_by(mut self, key: impl Fn(&JobData) -> Unique + Send + Sync + 'static) -> Self {
            self.derivations.unique = Some(Arc::new(move |data| Ok(key(data))));
            self
        }

        /// Enqueued runs of the job have one limit more: the function makes it of the argument of a run. A call may bring
        /// [further ones](crate::client::Enqueue::limit).
        ///
        /// ```
        /// # use scheduler_core::job::{JobDefinition, JobDetail};
        /// # use scheduler_core::run::Limit;
        /// # let detail = JobDetail::builder("sync".parse()?, "sync").build();
        /// // Two runs of each customer at a time.
        /// let job = JobDefinition::new(detail, || async {}).limit(|customer: &u64| Limit::new("sync", 2).key(customer));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[must_use]
        pub fn limit<A: DeserializeOwned + 'static>(
            mut self,
            limit: impl Fn(&A) -> Limit + Send + Sync + 'static,
        ) -> Self {
            self.derivations.limits.push(limit_of(limit));
            self
        }

        /// As [`limit`](Self::limit), with a limit that is made of the data of a run.
        #[must_use]
        pub fn limit_by(mut self, limit: impl Fn(&JobData) -> Limit + Send + Sync + 'static) -> Self {
            self.derivations.limits.push(LimitOf::new(move |data| Ok(limit(data))));
            self
        }

        /// The limit that was given last has this name, whatever the argument is.
        #[doc(hidden)]
        #[must_use]
        pub fn limit_named(mut self, name: &'static str) -> Self {
            self.derivations.limits.last_mut().into_iter().for_each(|limit| limit.name = Some(name));
            self
        }

        /// Enqueued runs of the job belong to a sequence: the function makes it of the argument of a run. A call may name
        /// [another one](crate::client::Enqueue::sequence). Occurrences of triggers belong to no sequence.
        ///
        /// ```
        /// # use scheduler_core::job::{JobDefinition, JobDetail};
        /// # use scheduler_core::run::Sequence;
        /// # let detail = JobDetail::builder("book".parse()?, "book").build();
        /// // The bookings of each account run one after the other.
        /// let job = JobDefinition::new(detail, || async {}).sequence(|account: &u64| Sequence::of(account));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[must_use]
        pub fn sequence<A: DeserializeOwned + 'static>(
            mut self,
            sequence: impl Fn(&A) -> Sequence + Send + Sync + 'static,
        ) -> Self {
            self.derivations.sequence = Some(sequence_of(sequence));
            self
        }

        /// As [`sequence`](Self::sequence), with a sequence that is made of the data of a run.
        #[must_use]
        pub fn sequence_by(
            mut self,
            sequence: impl Fn(&JobData) -> Sequence + Send + Sync + 'static,
        ) -> Self {
            self.derivations.sequence = Some(Arc::new(move |data| Ok(sequence(data))));
            self
        }

        /// Enqueued runs of the job take turns with others of their queue: the function makes the key of a run of its argument. A call may
        /// bring [another key](crate::client::Enqueue::fair). Occurrences of triggers have no key.
        ///
        /// ```
        /// # use scheduler_core::job::{JobDefinition, JobDetail};
        /// # let detail = JobDetail::builder("import".parse()?, "import").build();
        /// // One tenant with a thousand imports does not keep the others waiting.
        /// let job = JobDefinition::new(detail, || async {}).fair(|tenant: &u64| *tenant);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[must_use]
        pub fn fair<A: DeserializeOwned + 'static, K: fmt::Display>(
            mut self,
            key: impl Fn(&A) -> K + Send + Sync + 'static,
        ) -> Self {
            self.derivations.fair = Some(fair_key_of(key));
            self
        }

        /// As [`fair`](Self::fair), with a key that is made of the data of a run.
        #[must_use]
        pub fn fair_by<K: fmt::Display>(
            mut self,
            key: impl Fn(&JobData) -> K + Send + Sync + 'static,
        ) -> Self {
            self.derivations.fair = Some(Arc::new(move |data| Ok(crate::run::stored_key(&key(data)))));
            self
        }

        pub(crate) const fn derivations(&self) -> &Derivations {
            &self.derivations
        }
    };
}

pub(super) use deriving_methods;
