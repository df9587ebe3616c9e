//! What a call says of limits and of turns.

use std::sync::Arc;

use crate::run::Limit;

/// The limits and the fair key of a call.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnGates {
    pub(super) limits: Vec<Limit>,
    pub(super) fair: Option<Arc<str>>,
}
