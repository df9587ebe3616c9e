//! A run: one piece of work to be done once.
//!
//! A firing of a trigger is a run, and so is an enqueued job. A run has an [id](RunId) that stays the same over its attempts.
//! An *attempt* is one claim of the run by a node. A run that waits, for its first attempt or for the next one, is stored. A
//! run that succeeds leaves no record unless somebody asked to keep it.
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | [waiting](RunState::Waiting) | the run is due now or later | a claim, cancelling, expiry |
//! | [claimed](RunState::Claimed) | a node runs it | the end of the attempt, the loss of the node |
//! | [held](RunState::Held) | the run waits for other runs or for a person | the last of them, a release, cancelling |
//! | [ended](RunState::Ended) | nothing happens any more by itself | a replay |
//!
//! The table of all steps is [`RunState::after`]. The functions of this module are pure: time is an argument, and the same
//! arguments give the same answer on every node and in every store.

mod attempt_error;
mod backoff;
mod batch;
mod cause;
mod delivery;
mod edge;
mod ended;
mod fair;
mod gate;
mod id;
mod invalid;
mod limit;
mod log;
mod notes;
mod progress;
mod rate;
mod retention;
mod retry;
mod sequence;
mod state;
mod unique;

pub use attempt_error::AttemptError;
pub(crate) use attempt_error::cut;
pub use backoff::Backoff;
pub use batch::BatchCounts;
pub use cause::FiringCause;
pub use delivery::Delivery;
pub use edge::{Condition, Edge, Input};
pub use ended::{DeadRun, MAX_CHECKPOINT, MAX_OUTPUT, RunError};
pub use fair::FairKey;
pub(crate) use fair::stored_key;
pub use gate::{Gate, GateId, Gates, Hold, WhenFull};
pub use id::{InvalidRunId, RunId};
pub use invalid::InvalidRetry;
pub use limit::Limit;
pub(crate) use limit::gates_of;
pub use log::{LogLevel, LogLine, MAX_LOG, MAX_LOG_LINE, MAX_LOG_LINES, RunLog};
pub use notes::{AttemptNotes, Noted};
pub use progress::{MAX_PROGRESS_MESSAGE, RunProgress};
pub use rate::{Pace, RateState};
pub use retention::Retention;
pub use retry::{FailureKind, RetryPolicy, Verdict};
pub use scheduler_syntax::{BackoffError, Factor};
pub use sequence::{RunSequence, Sequence};
pub use state::{RunEnd, RunState, RunStep};
pub use unique::{KeyId, Merge, OnConflict, RunKey, Unique};
