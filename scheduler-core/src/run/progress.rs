//! How far an attempt has got, for people who look.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest message about progress, in bytes: 250. The rest of a longer one is cut off.
pub const MAX_PROGRESS_MESSAGE: usize = 250;

/// How far an attempt has got, as its job has [said](crate::job::JobContext::progress). Nothing depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RunProgress {
    /// So much is done, in units of the job.
    pub done: u64,
    /// Of so much; 0 if that is not known.
    pub total: u64,
    /// A sentence for people; at most [`MAX_PROGRESS_MESSAGE`] bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Arc<str>>,
}

impl RunProgress {
    /// The share that is done, in percent from 0 to 100; none if the total is not known.
    ///
    /// ```
    /// # use scheduler_core::run::RunProgress;
    /// let mut progress = RunProgress::default();
    /// (progress.done, progress.total) = (320, 1_000);
    /// assert_eq!(progress.percent(), Some(32));
    /// ```
    pub fn percent(&self) -> Option<u8> {
        let share = u128::from(self.done.min(self.total)) * 100;
        share.checked_div(u128::from(self.total)).and_then(|percent| u8::try_from(percent).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_are_between_none_and_all() {
        for (done, total, expected) in [
            (0, 0, None),
            (7, 0, None),
            (0, 7, Some(0)),
            (999, 1_000, Some(99)),
            (9, 7, Some(100)),
            (u64::MAX, u64::MAX, Some(100)),
        ] {
            assert_eq!(RunProgress { done, total, message: None }.percent(), expected, "{done} of {total}");
        }
    }
}
