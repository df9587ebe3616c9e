//! The sequences of runs that are enqueued.

use super::enqueuing::Enqueue;
use super::handle::Client;
use crate::data::JobData;
use crate::error::{Error, Result};
use crate::job::{Invocation, make_sequence, stored_sequence};
use crate::run::{RunSequence, Sequence};

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
        let sequence = match (of_call, job.derivations().sequence.as_ref().or_else(of_registry)) {
            (None, None) => return Ok(None),
            (Some(sequence), _) => stored_sequence(sequence, job_type),
            (None, Some(of)) => make_sequence(of, &job.detail().data().merged(data), job_type),
        };
        sequence.map(Some).map_err(|problem| {
            Error::config(format!("a run of job `{}` cannot be enqueued: {problem}", job.key()))
        })
    }
}
