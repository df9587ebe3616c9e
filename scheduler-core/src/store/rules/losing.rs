//! Claims whose node is gone.

use chrono::{DateTime, Utc};

use super::ending::complete;
use super::firing::release;
use super::putting::add_if_new;
use crate::job::ExecutionId;
use crate::store::admin::RunRecord;
use crate::store::firing::{Completion, Instruction};
use crate::store::rows::*;
use crate::trigger::{LostRun, Trigger};

/// What became of a claim whose node is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// There is no such claim.
    Gone,
    /// It was not fired: others can have it.
    GivenBack,
    /// A run that ended with its node.
    Ended {
        /// It is repeated, as its job asks.
        is_repeated: bool,
        /// Its job asks for that, and it was lost too often.
        is_given_up: bool,
    },
}

/// A claim whose node is gone: given back if it was not fired, otherwise ended, and repeated where its job asks for that.
pub fn lose<R: Rows>(
    rows: &mut R,
    execution: ExecutionId,
    node: &str,
    now: DateTime<Utc>,
) -> Answer<R, Lost> {
    let id = Id::of(execution);
    let known = rows.get(id)?.filter(|claim| claim.session == execution.session()).cloned();
    let Some(claim) = known else { return Ok(Lost::Gone) };
    if !claim.fired {
        release(rows, execution)?;
        return Ok(Lost::GivenBack);
    }
    let trigger = &*claim.trigger;
    let (job, key) = (trigger.job(), trigger.key());
    let lost =
        LostRun { execution, job, key, trigger: Some(trigger), scheduled: claim.due, fired: claim.since };
    let wants = match rows.job(job)? {
        Some(job) => rows.get(job)?.is_some_and(|job| job.detail.requests_recovery()),
        None => false,
    };
    let again = if wants { Trigger::recovering(&lost) } else { None };
    let (is_repeated, is_given_up) = (again.is_some(), wants && again.is_none());
    if let Some(again) = again {
        let progress = again.first(None);
        add_if_new(rows, again.into(), progress)?;
    }
    let instruction = match trigger.declared_by() {
        Some(_) => Instruction::Continue,
        None => Instruction::RemoveTrigger,
    };
    let record = Some(Box::new(RunRecord::lost(&lost, node, now)));
    complete(rows, Completion { instruction, record, ..Completion::of(execution) }, now)?;
    Ok(Lost::Ended { is_repeated, is_given_up })
}
