//! A job function together with everything its author has declared about it.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "macros")]
use super::context::JobContext;
use super::deriving::{
    DeclaredLimit, Derivations, LimitOf, deriving_methods, fair_key_of, limit_of, sequence_of, unique_of,
};
use super::detail::JobDetail;
use super::extract::ExtractError;
#[cfg(feature = "macros")]
use super::extract::Need;
use super::handler::{AsyncJob, BlockingHandler, BlockingJob, BoxFuture, ErasedJob, Handler, Identity};
#[cfg(feature = "macros")]
use super::handler::{GeneratedJob, Threading};
#[cfg(feature = "macros")]
use super::outcome::Outcome;
use super::outputs::Outputs;
use crate::data::{DataError, JobData};
use crate::key::JobKey;
use crate::run::{DeadRun, Edge, Limit, Sequence, Unique};
use crate::trigger::TriggerBuilder;

/// What hears of the dead runs of a job.
pub(crate) type DeadHook = Arc<dyn Fn(DeadRun) -> BoxFuture<'static, ()> + Send + Sync>;

/// A job function under its name, with the triggers that its author has declared.
///
/// `#[job]` writes one; [`JobDefinition::new`] and [`JobDefinition::blocking`] make one by hand.
#[derive(Clone)]
pub struct JobDefinition {
    detail: Arc<JobDetail>,
    triggers: Vec<TriggerBuilder>,
    job: Arc<dyn ErasedJob>,
    derivations: Derivations,
    on_dead: Option<DeadHook>,
    place: &'static Location<'static>,
}

impl JobDefinition {
    /// An async function as a job.
    #[track_caller]
    pub fn new<H: Handler<M>, M: 'static>(detail: JobDetail, function: H) -> Self {
        Self {
            detail: detail.into(),
            triggers: Vec::new(),
            job: Arc::new(AsyncJob::new(function)),
            derivations: Derivations::default(),
            on_dead: None,
            place: Location::caller(),
        }
    }

    /// A function that may block its thread as a job; it runs on a thread for blocking work.
    #[track_caller]
    pub fn blocking<H: BlockingHandler<M>, M: 'static>(detail: JobDetail, function: H) -> Self {
        Self {
            detail: detail.into(),
            triggers: Vec::new(),
            job: Arc::new(BlockingJob::new(function)),
            derivations: Derivations::default(),
            on_dead: None,
            place: Location::caller(),
        }
    }

    /// A function whose parameters are made by generated code.
    #[cfg(feature = "macros")]
    #[track_caller]
    pub(crate) fn generated(
        detail: JobDetail,
        blocking: bool,
        needs: fn() -> Vec<Need>,
        accepts: fn(&JobData) -> Result<(), ExtractError>,
        run: fn(JobContext) -> BoxFuture<'static, Outcome>,
    ) -> Self {
        let threading = if blocking { Threading::Blocking } else { Threading::Async };
        let job = Arc::new(GeneratedJob { needs, accepts, run, threading });
        let (triggers, derivations, place) = (Vec::new(), Derivations::default(), Location::caller());
        Self { detail: detail.into(), triggers, job, derivations, on_dead: None, place }
    }

    /// With one more trigger of its own, scheduled when the scheduler starts.
    #[must_use]
    pub fn with_trigger(mut self, trigger: TriggerBuilder) -> Self {
        self.triggers.push(trigger);
        self
    }

    /// A function that is called for each run of this job of which no retry is left.
    ///
    /// ```
    /// # use scheduler_core::job::{JobDefinition, JobDetail};
    /// # let detail = JobDetail::builder("sync".parse()?, "sync").build();
    /// let job = JobDefinition::new(detail, || async {}).on_dead(|dead| async move {
    ///     println!("run {} is dead after {} attempts: {}", dead.run, dead.attempts, dead.error);
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// What holds for [`SchedulerBuilder::on_dead`](crate::SchedulerBuilder::on_dead) holds here: one node makes the call, at most once, for at
    /// most 30 seconds, and nothing waits for it. Runs of a stored job that has the same function under another name are left out. A second
    /// call replaces the function of the first one.
    #[must_use]
    pub fn on_dead<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(DeadRun) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.on_dead = Some(Arc::new(move |dead| Box::pin(hook(dead))));
        self
    }

    pub(crate) const fn dead_hook(&self) -> Option<&DeadHook> {
        self.on_dead.as_ref()
    }

    deriving_methods!();

    /// The job as it is stored.
    pub fn detail(&self) -> &JobDetail {
        &self.detail
    }

    pub(crate) fn shared_detail(&self) -> &Arc<JobDetail> {
        &self.detail
    }

    /// The declared triggers.
    pub fn triggers(&self) -> &[TriggerBuilder] {
        &self.triggers
    }

    /// Where in the source the job is defined.
    pub fn place(&self) -> &'static Location<'static> {
        self.place
    }

    pub(crate) fn job(&self) -> &Arc<dyn ErasedJob> {
        &self.job
    }

    /// Whether both run the same function. A closure that captures values is the same as its clones only.
    pub(crate) fn has_same_function(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.job, &other.job)
            || match (self.job.identity(), other.job.identity()) {
                (Identity::Type(own), Identity::Type(others)) => own == others,
                #[cfg(feature = "macros")]
                (Identity::Place, Identity::Place) => self.place == other.place,
                _ => false,
            }
    }

    /// Whether both say the same about the same job.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // Builders of triggers have no equality of their own.
        let triggers = |of: &Self| format!("{:?}", of.triggers);
        self.place == other.place
            && self.detail == other.detail
            && self.has_same_function(other)
            && triggers(self) == triggers(other)
    }
}

impl fmt::Debug for JobDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobDefinition")
            .field("detail", &self.detail)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// A job that is known at compile time: what `#[job]` and `#[derive(Job)]` implement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    note = "annotate the function with `#[job]`, or the struct with `#[derive(Job)]`"
)]
pub trait JobFn {
    /// The function, its rules and its declared triggers.
    fn definition() -> JobDefinition;
}

/// A job together with the arguments of one run or one schedule. `T` is what its runs return.
pub struct Invocation<T = ()> {
    detail: Arc<JobDetail>,
    data: Result<JobData, Arc<DataError>>,
    derivations: Derivations,
    /// The runs whose outputs are the argument, or parts of it.
    inputs: Vec<Edge>,
    output: PhantomData<fn() -> T>,
}

impl<T> Clone for Invocation<T> {
    fn clone(&self) -> Self {
        let (detail, data, derivations) = (self.detail.clone(), self.data.clone(), self.derivations.clone());
        Self { detail, data, derivations, inputs: self.inputs.clone(), output: PhantomData }
    }
}

impl<T> fmt::Debug for Invocation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("detail", &self.detail)
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl Invocation {
    /// The job without arguments.
    pub fn new(detail: impl Into<Arc<JobDetail>>) -> Self {
        Self::of(detail.into(), Ok(JobData::new()), Vec::new())
    }

    fn of(detail: Arc<JobDetail>, data: Result<JobData, Arc<DataError>>, inputs: Vec<Edge>) -> Self {
        Self { detail, data, derivations: Derivations::default(), inputs, output: PhantomData }
    }

    /// The job with these arguments, laid over its own data. Arguments that do not serialise to JSON are reported
    /// when it is scheduled.
    pub fn with_args<T: Serialize>(detail: impl Into<Arc<JobDetail>>, args: &T) -> Self {
        Self::of(detail.into(), JobData::from_args(args).map_err(Arc::new), Vec::new())
    }

    /// The job with the outputs of other runs as its argument `A`. It can only be enqueued, and waits until these runs have succeeded.
    pub fn with_outputs<A>(detail: impl Into<Arc<JobDetail>>, outputs: impl Outputs<A>) -> Self {
        let argument = outputs.argument();
        Self::of(detail.into(), argument.data, argument.inputs)
    }

    /// Many jobs of one function share its name in memory, if nobody else has this one yet.
    pub(crate) fn share_job_type(&mut self, job_type: &Arc<str>) {
        if let Some(detail) = Arc::get_mut(&mut self.detail) {
            detail.share_job_type(job_type);
        }
    }
}

impl<T> Invocation<T> {
    /// The same job, whose runs return a `U`.
    #[must_use]
    pub fn returns<U>(self) -> Invocation<U> {
        let Self { detail, data, derivations, inputs, .. } = self;
        Invocation { detail, data, derivations, inputs, output: PhantomData }
    }

    deriving_methods!();

    /// The job.
    pub fn detail(&self) -> &Arc<JobDetail> {
        &self.detail
    }

    pub(crate) fn into_detail(self) -> Arc<JobDetail> {
        self.detail
    }

    /// The name of the job.
    pub fn key(&self) -> &JobKey {
        self.detail.key()
    }

    /// The arguments as data.
    ///
    /// # Errors
    ///
    /// They do not serialise to JSON, or consist of the outputs of other runs.
    pub fn data(&self) -> Result<&JobData, Arc<DataError>> {
        match self.inputs.is_empty() {
            true => self.known_data(),
            false => Err(Arc::new(DataError::not_known())),
        }
    }

    /// The known part of the arguments as data.
    pub(crate) fn known_data(&self) -> Result<&JobData, Arc<DataError>> {
        self.data.as_ref().map_err(Clone::clone)
    }

    /// The runs whose outputs are the argument, or parts of it.
    pub(crate) fn inputs(&self) -> &[Edge] {
        &self.inputs
    }
}

/// A job with its arguments, ready to be scheduled or enqueued.
///
/// Implemented for what `with(…)` of an annotated function returns, for a value of a struct with `#[derive(Job)]`, and for
/// a [`JobDetail`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job with its arguments",
    label = "write `job::with(…)`, where `job` is the name of the annotated function",
    note = "a function with `#[job]` is scheduled by `job::with(argument)`, or by `job::with()` if it takes no argument; `job` or `job(…)` alone is the plain function or its future",
    note = "a struct with `#[derive(Job)]` is scheduled by its value"
)]
pub trait IntoInvocation {
    /// What a run returns; `()` for a job without an output.
    type Output: DeserializeOwned;

    /// The job with its arguments.
    fn into_invocation(self) -> Invocation;
}

impl<T: DeserializeOwned> IntoInvocation for Invocation<T> {
    type Output = T;

    fn into_invocation(self) -> Invocation {
        self.returns()
    }
}

impl IntoInvocation for JobDetail {
    type Output = ();

    fn into_invocation(self) -> Invocation {
        Invocation::new(self)
    }
}
