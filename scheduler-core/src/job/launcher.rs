//! Launchers of runs.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// The launcher of a run. Scope, middleware, listeners, events, spans and the cancel grace are the same for every launcher.
///
/// ```
/// use scheduler_core::job::{JobContext, Launcher};
///
/// async fn sync(context: JobContext) {
///     if let Launcher::Queue { name } = context.launcher() {
///         println!("somebody has put this into the queue `{name}`");
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Launcher {
    /// A trigger of the scheduler.
    Trigger,
    /// A stored run of the scheduler: enqueued, started by hand, or a further attempt.
    Run,
    /// The start of the scheduler or of the host: a start-up job or task.
    Start,
    /// A [queue](crate::host::JobQueue) of the host.
    Queue {
        /// Its name.
        name: Arc<str>,
    },
    /// A [background service](crate::host::background()) of the host, for each call of its function.
    Service {
        /// Its name.
        name: Arc<str>,
    },
    /// A [timer](crate::host::every) of the host, for each tick.
    Timer {
        /// Its name.
        name: Arc<str>,
    },
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trigger => f.write_str("trigger"),
            Self::Run => f.write_str("run"),
            Self::Start => f.write_str("start-up"),
            Self::Queue { name } => write!(f, "queue {name}"),
            Self::Service { name } => write!(f, "service {name}"),
            Self::Timer { name } => write!(f, "timer {name}"),
        }
    }
}
