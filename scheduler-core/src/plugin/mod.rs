//! Ready-made additions to a scheduler: a history log, and schedules from a file.
//!
//! A plugin is anything that adds to a builder: listeners, middleware, values, schedules. To follow the life of the
//! scheduler, it adds a [`SchedulerListener`](crate::scheduler::SchedulerListener) and looks at
//! [`Event::State`](crate::scheduler::Event::State).

mod history;
#[cfg(feature = "schedule-file")]
mod schedule_file;

pub use history::HistoryLog;
#[cfg(feature = "schedule-file")]
pub use schedule_file::ScheduleFile;
#[cfg(feature = "schedule-file")]
pub(crate) use schedule_file::{Contents, FileTrigger, Removals};

use crate::scheduler::SchedulerBuilder;

/// Something to add to a scheduler by [`SchedulerBuilder::plugin`].
///
/// ```
/// use scheduler_core::plugin::{HistoryLog, Plugin};
/// use scheduler_core::{Scheduler, SchedulerBuilder};
///
/// /// What every service of ours wants.
/// struct House;
///
/// impl Plugin for House {
///     fn install(self, builder: SchedulerBuilder) -> SchedulerBuilder {
///         builder.concurrency(20).plugin(HistoryLog::new())
///     }
/// }
///
/// let builder = Scheduler::builder().plugin(House);
/// ```
pub trait Plugin {
    /// Adds what it has to the builder.
    fn install(self, builder: SchedulerBuilder) -> SchedulerBuilder;
}
