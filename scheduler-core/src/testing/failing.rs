//! Attempts that fail because a test says so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::job::{IntoOutcome, JobContext, JobError, Outcome};
use crate::key::JobKey;
use crate::scheduler::{Middleware, Next};

/// The errors with which the next attempts of jobs end.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing(Arc<Mutex<HashMap<JobKey, VecDeque<JobError>>>>);

impl Failing {
    pub(super) fn add(&self, job: JobKey, error: JobError) {
        self.0.lock().entry(job).or_default().push_back(error);
    }
}

impl Middleware for Failing {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        let error = self.0.lock().get_mut(context.job_key()).and_then(VecDeque::pop_front);
        match error {
            Some(error) => Err::<(), _>(error).into_outcome(),
            None => next.run(context).await,
        }
    }
}
