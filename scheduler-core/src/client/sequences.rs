//! The sequences of runs that are enqueued.

use std::fmt::Display;

use super::enqueuing::Enqueue;
use super::handle::Client;
use crate::data::JobData;
use crate::error::{Error, Result};
use crate::job::Invocation;
use crate::run::{RunSequence, Sequence};
use crate::user;

impl<T> Enqueue<'_, T> {
    /// The run begins when all runs of this sequence that were enqueued before are over. Default: the sequence of the job, if it has one.
    pub fn sequence(mut self, sequence: Sequence) -> Self {
        self.options.sequence = Some(sequence);
        self
    }
}

impl Client {
    /// The sequence of a run: that of the call, or else the one that its job makes of its data.
    pub(super) fn sequence_of(
        &self,
        job: &Invocation,
        data: &JobData,
        of_call: Option<Sequence>,
    ) -> Result<Option<Box<RunSequence>>> {
        let job_type = job.detail().job_type();
        let of_registry = || self.registry()?.derivations(job_type)?.sequence.as_ref();
        let problem = |problem: &dyn Display| {
            Error::config(format!("a run of job `{}` cannot be enqueued: {problem}", job.key()))
        };
        let sequence = match (of_call, job.derivations().sequence.as_ref().or_else(of_registry)) {
            (Some(sequence), _) => sequence,
            (None, None) => return Ok(None),
            (None, Some(of)) => match user::call(|| of(&job.detail().data().merged(data))) {
                Ok(Ok(sequence)) => sequence,
                Ok(Err(error)) => return Err(problem(&format_args!("its sequence cannot be made: {error}"))),
                Err(panic) => {
                    return Err(problem(&format_args!("the function that makes its sequence {panic}")));
                }
            },
        };
        match sequence.problem() {
            Some(fault) => Err(problem(&fault)),
            None => Ok(Some(Box::new(sequence.stored(job_type)))),
        }
    }
}
