//! The rules of a job store, once, for every driver: plain functions on [rows](super::rows), with the present passed in.
//!
//! * `firing`: claims that are made, fired, given back, and what the clock brings;
//! * `ending`: runs that end;
//! * `losing`: runs whose node is gone, and runs that a server has forgotten;
//! * `mending`: what does not fit together any more;
//! * `putting`: jobs and triggers that are stored, replaced, moved on, removed; calendars and marks;
//! * `pausing`: pauses, resets, and the steps of the table of states;
//! * `filling`: runs that are due and find a limit full;
//! * `lengths`: what stands against a call that enqueues, such as the maximum length of a queue;
//! * `running`: runs that are stored: enqueued, ended, lost;
//! * `holding`: retries that are held while their triggers are paused;
//! * `keying`: unique runs;
//! * `stored`: runs that are stored already when somebody enqueues one;
//! * `sequencing`: runs that run one after the other;
//! * `retrying`: occurrences of triggers that are tried again, and their triggers;
//! * `changing`: stored runs that users change;
//! * `finishing`: what an alarm of a run asks for, such as runs that are due or expire, and ended ones that are no longer kept;
//! * `batching`: batches, and the runs in them;
//! * `settling`: runs that end without an attempt, and runs that wait for the ends of others;
//! * `reviving`: runs that are held again with a run that is replayed;
//! * `recording`: firing records of what no node tells;
//! * `asking`: lists.
//!
//! A rule may run again from its begin when something was not loaded: what it has written by then is discarded.
#![expect(clippy::missing_errors_doc, reason = "the error of a rule is a row that was not loaded")]

mod asking;
mod attempts;
mod batching;
mod changing;
mod ending;
mod filling;
mod finishing;
mod firing;
mod holding;
mod keying;
mod lengths;
mod limiting;
mod losing;
mod mending;
mod noting;
mod once;
mod pausing;
mod putting;
mod recording;
mod retrying;
mod reviving;
mod running;
mod sequencing;
mod settling;
mod steps;
mod stored;
mod tallying;

pub(crate) use asking::Running;
pub use asking::{cancel, executions, groups, jobs, runs_by_session, triggers};
pub use changing::change_run;
pub use ending::{complete, detach, end_job};
pub use filling::meet_full_limit;
pub use firing::{Rung, claimed, fire, release, ring, spoil};
pub use holding::{hold_if_paused, is_paused};
pub use lengths::enqueue_all;
pub use limiting::{limits, set_limit};
pub use losing::{Lost, Reasserted, abandon, lose, reassert, reassert_ended_run, reassert_run};
pub use mending::{Unsound, drop_unused, examine};
pub use noting::note;
pub use once::release_at_end;
pub use pausing::{
    forget, pause, pause_queue, pause_selected, paused_queues, remember, reset, resume, resume_queue,
    resume_selected,
};
pub use putting::{
    adjust, check_put, clear, move_triggers, put, put_calendar, put_mark, remove_calendar, remove_job,
    remove_trigger, reschedule,
};
pub use retrying::hold_claimed;
pub(crate) use running::is_meant;
pub use running::{MOST_LOSSES, claimed_run, clear_run, enqueue, give_back_unheard, resettle, runs};
pub(crate) use settling::end_expired;
pub use steps::each;
