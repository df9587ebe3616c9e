//! Keys, limits and sequences that are made of the argument of a run.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::extract::{ExtractError, argument_of};
use crate::data::JobData;
use crate::run::{Limit, Sequence, Unique};

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
