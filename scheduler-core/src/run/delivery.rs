//! How often a run may begin.

use serde::{Deserialize, Serialize};

/// Whether a run begins again whose attempt was cut off: since its node has died, or was shut down before the attempt has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// The run begins again. Its job may have done its work already, so it should do no harm twice.
    #[default]
    AtLeastOnce,
    /// The run does not begin again: it is dead if its node has died, and cancelled if its node was shut down. Its job may have done nothing of
    /// its work. An attempt that fails is retried as the retry policy says, since its end is known.
    AtMostOnce,
}

impl Delivery {
    /// Whether it is [`AtLeastOnce`](Self::AtLeastOnce).
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
