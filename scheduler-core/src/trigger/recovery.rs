//! Runs that take the place of one whose node died.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Misfire, Trigger};
use crate::execution_id::ExecutionId;
use crate::key::{JobKey, TriggerKey};

/// The group of the triggers that repeat lost runs, as in Quartz.
pub const RECOVERING_JOBS: &str = "RECOVERING_JOBS";

/// A firing is recovered so many times. One that kills every node it comes to must end some day.
pub const MOST_RECOVERIES: u32 = 5;

/// Which lost run a trigger repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recovery {
    /// The trigger that had fired.
    pub trigger: TriggerKey,
    /// When that firing was due.
    pub scheduled: DateTime<Utc>,
    /// When it fired.
    pub fired: DateTime<Utc>,
    /// How often this firing has been recovered, this time included.
    pub count: u32,
}

/// A run whose node died.
#[derive(Debug, Clone)]
pub struct LostRun<'a> {
    /// The execution.
    pub execution: ExecutionId,
    /// Its job.
    pub job: &'a JobKey,
    /// Its trigger.
    pub key: &'a TriggerKey,
    /// What is stored of the trigger; none if it is gone.
    pub trigger: Option<&'a Trigger>,
    /// When the firing was due.
    pub scheduled: DateTime<Utc>,
    /// When it fired.
    pub fired: DateTime<Utc>,
}

impl Trigger {
    /// The trigger that repeats a lost run of a job that [requests recovery](crate::job::JobDetail::requests_recovery): at
    /// once, with the data of the trigger that had fired. The same run gives the same name. None if it was recovered
    /// [too often](MOST_RECOVERIES).
    pub fn recovering(lost: &LostRun<'_>) -> Option<Self> {
        let before = lost.trigger.and_then(Self::recovery);
        let recovery = match before {
            Some(before) => Recovery { count: before.count.saturating_add(1), ..before.clone() },
            None => {
                Recovery { trigger: lost.key.clone(), scheduled: lost.scheduled, fired: lost.fired, count: 1 }
            }
        };
        if recovery.count > MOST_RECOVERIES {
            return None;
        }
        let (session, count) = (lost.execution.session(), lost.execution.count());
        let key = TriggerKey::in_group(RECOVERING_JOBS, &format!("recover_{session:x}_{count}")).ok()?;
        let builder = match lost.trigger {
            Some(trigger) => {
                let builder =
                    Self::at(lost.scheduled).data(trigger.data().clone()).priority(trigger.priority());
                match trigger.execution_group() {
                    Some(group) => builder.execution_group(group.clone()),
                    None => builder,
                }
            }
            None => Self::at(lost.scheduled),
        };
        let builder = builder.key(key).job(lost.job.clone()).misfire(Misfire::Ignore);
        let mut trigger = builder.build(lost.scheduled).ok()?;
        trigger.cold.get_or_insert_with(|| Box::new(super::ColdFields::NOTHING)).recovery =
            Some(Box::new(recovery));
        Some(trigger)
    }
}
