//! Keys, limits and sequences that are made of the argument of a run.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::extract::{ExtractError, argument_of};
use crate::data::JobData;
use crate::run::{Gates, Limit, RunSequence, Sequence, Unique, gates_of, stored_key};
use crate::user;

/// The functions that make the keys, the limits and the sequence of a run.
#[derive(Clone, Default)]
pub(crate) struct Derivations {
    pub(crate) unique: Option<UniqueOf>,
    pub(crate) limits: Vec<LimitOf>,
    pub(crate) sequence: Option<SequenceOf>,
    pub(crate) fair: Option<FairKeyOf>,
}

impl Derivations {
    /// Whether nothing is made of the argument.
    pub(crate) fn is_empty(&self) -> bool {
        self.unique.is_none() && self.fair.is_none() && !self.has_waits()
    }

    /// Whether runs of the job wait for others, so that its occurrences have to wait, too.
    pub(crate) fn has_waits(&self) -> bool {
        !self.limits.is_empty() || self.sequence.is_some()
    }
}

/// The gates of a run: the limits that its job makes of its data, and those of the call, which take the place of others of the same name.
///
/// # Errors
///
/// What is wrong with a limit, or with the function that makes it.
pub(crate) fn make_gates(of_job: &[LimitOf], data: &JobData, of_call: Vec<Limit>) -> Result<Gates, String> {
    let mut limits = Vec::new();
    for of in of_job {
        match user::call(|| (of.make)(data)) {
            Ok(Ok(limit)) => limits.push(limit),
            Ok(Err(_)) if of_call.iter().any(|limit| of.is_named(limit.name())) => {}
            Ok(Err(error)) => return Err(format!("its limit cannot be made: {error}")),
            Err(panic) => return Err(format!("the function that makes its limit {panic}")),
        }
    }
    limits.retain(|limit| of_call.iter().all(|other| other.name() != limit.name()));
    limits.extend(of_call);
    gates_of(&limits)
}

/// The sequence that a job makes of the data of a run.
///
/// # Errors
///
/// What is wrong with the sequence, or with the function that makes it.
pub(crate) fn make_sequence(
    of: &SequenceOf,
    data: &JobData,
    job_type: &str,
) -> Result<Box<RunSequence>, String> {
    let made =
        user::call(|| of(data)).map_err(|panic| format!("the function that makes its sequence {panic}"))?;
    stored_sequence(made.map_err(|error| format!("its sequence cannot be made: {error}"))?, job_type)
}

/// A sequence as it is stored.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn stored_sequence(sequence: Sequence, job_type: &str) -> Result<Box<RunSequence>, String> {
    match sequence.problem() {
        Some(fault) => Err(fault),
        None => Ok(Box::new(sequence.stored(job_type))),
    }
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

/// What the code says of a limit, whatever the argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeclaredLimit {
    pub(crate) name: &'static str,
    cap: u32,
    /// The window of a rate in milliseconds; 0 for a limit of what is under way.
    window: u64,
}

impl DeclaredLimit {
    pub(crate) const fn new(name: &'static str, cap: u32, window: u64) -> Self {
        Self { name, cap, window }
    }
}

impl Display for DeclaredLimit {
    /// How much it allows, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.window {
            0 => write!(f, "{} at a time", self.cap),
            window => write!(f, "{} in {:?}", self.cap, Duration::from_millis(window)),
        }
    }
}

/// Makes a limit of a run of the data that its function gets.
#[derive(Clone)]
pub(crate) struct LimitOf {
    /// What is known of it before.
    pub(crate) declared: Option<DeclaredLimit>,
    pub(crate) make: Arc<MakeLimit>,
}

impl LimitOf {
    fn is_named(&self, name: &str) -> bool {
        self.declared.is_some_and(|declared| declared.name == name)
    }

    pub(super) fn new(
        make: impl Fn(&JobData) -> Result<Limit, ExtractError> + Send + Sync + 'static,
    ) -> Self {
        Self { declared: None, make: Arc::new(make) }
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

        /// Runs of the job have one limit more: the function makes it of the argument of a run. A call may bring
        /// [further ones](crate::client::Enqueue::limit). Occurrences of triggers have it, too: one that is due is put into its queue as a
        /// run, and begins when there is room.
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

        /// The limit that was given last is this one, whatever the argument is.
        #[doc(hidden)]
        #[must_use]
        pub fn limit_declared(mut self, name: &'static str, cap: u32, window: u64) -> Self {
            let declared = Some(DeclaredLimit::new(name, cap, window));
            self.derivations.limits.last_mut().into_iter().for_each(|limit| limit.declared = declared);
            self
        }

        /// Runs of the job belong to a sequence, occurrences of triggers too: the function makes it of the argument of a run. A call may name
        /// [another one](crate::client::Enqueue::sequence).
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
