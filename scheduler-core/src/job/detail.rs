//! The description of a job as it is stored.

use std::sync::Arc;
use std::time::Duration;

use scheduler_syntax::{boost_problem, expiry_problem};
use serde::{Deserialize, Serialize};

use crate::data::JobData;
use crate::key::JobKey;
use crate::run::{Delivery, FailureKind, RetryPolicy};
use crate::stored::Version;

/// A job as it is stored: its name, the function that runs it, its data and its rules.
///
/// Several jobs may share one function, each with data of its own:
///
/// ```
/// use std::time::Duration;
/// use scheduler_core::job::JobDetail;
/// use scheduler_core::{JobData, JobKey};
///
/// let europe = JobDetail::builder(JobKey::in_group("sync", "europe")?, "sync_region")
///     .data(JobData::new().with("region", "eu"))
///     .timeout(Duration::from_secs(900))
///     .disallow_concurrent(true)
///     .build();
/// let asia = JobDetail::builder(JobKey::in_group("sync", "asia")?, "sync_region")
///     .data(JobData::new().with("region", "as"))
///     .build();
/// assert_eq!(europe.job_type(), asia.job_type());
/// # Ok::<(), scheduler_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct JobDetail {
    key: JobKey,
    job_type: Arc<str>,
    durable: bool,
    disallow_concurrent: bool,
    persist_data: bool,
    requests_recovery: bool,
    cold: Option<Box<ColdFields>>,
}

/// What most jobs do not have. There are many jobs, so they do not take memory for it.
#[derive(Debug, Clone, PartialEq)]
struct ColdFields {
    description: Option<Arc<str>>,
    data: JobData,
    timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
    queue: Option<Arc<str>>,
    boost: Option<Duration>,
    expires: Option<Duration>,
    keep: Option<Duration>,
    log: bool,
    delivery: Delivery,
}

impl ColdFields {
    const NOTHING: Self = Self {
        description: None,
        data: JobData::new(),
        timeout: None,
        retry: None,
        queue: None,
        boost: None,
        expires: None,
        keep: None,
        log: false,
        delivery: Delivery::AtLeastOnce,
    };

    fn kept(self) -> Option<Box<Self>> {
        (self != Self::NOTHING).then(|| Box::new(self))
    }
}

/// A job as it is written.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(rename = "v", default)]
    version: Version,
    key: JobKey,
    job_type: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "JobData::is_empty")]
    data: JobData,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<RetryPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boost: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep: Option<Duration>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    log: bool,
    #[serde(default, skip_serializing_if = "Delivery::is_default")]
    delivery: Delivery,
    #[serde(default)]
    durable: bool,
    #[serde(default)]
    disallow_concurrent: bool,
    #[serde(default)]
    persist_data: bool,
    #[serde(default)]
    requests_recovery: bool,
}

impl TryFrom<Record> for JobDetail {
    type Error = String;

    fn try_from(record: Record) -> Result<Self, String> {
        let Record { key, job_type, durable, disallow_concurrent, persist_data, requests_recovery, .. } =
            record;
        let Record { description, data, timeout, retry, queue, boost, expires, keep, log, delivery, .. } =
            record;
        let cold =
            ColdFields { description, data, timeout, retry, queue, boost, expires, keep, log, delivery }
                .kept();
        let job = Self { key, job_type, durable, disallow_concurrent, persist_data, requests_recovery, cold };
        job.problem().map_or(Ok(job), Err)
    }
}

impl From<JobDetail> for Record {
    fn from(detail: JobDetail) -> Self {
        let JobDetail { key, job_type, durable, disallow_concurrent, persist_data, requests_recovery, cold } =
            detail;
        let ColdFields { description, data, timeout, retry, queue, boost, expires, keep, log, delivery } =
            cold.map_or(ColdFields::NOTHING, |cold| *cold);
        Self {
            version: Version,
            key,
            job_type,
            description,
            data,
            timeout,
            retry,
            queue,
            boost,
            expires,
            keep,
            log,
            delivery,
            durable,
            disallow_concurrent,
            persist_data,
            requests_recovery,
        }
    }
}

impl JobDetail {
    /// A job named `key` that runs the function registered as `job_type`.
    pub fn builder(key: JobKey, job_type: impl Into<Arc<str>>) -> JobDetailBuilder {
        JobDetailBuilder(Self {
            key,
            job_type: job_type.into(),
            durable: false,
            disallow_concurrent: false,
            persist_data: false,
            requests_recovery: false,
            cold: None,
        })
    }

    /// What keeps it from being a job.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem_of(|_| true).map(|(_, problem)| format!("job `{}`: {problem}", self.key))
    }

    /// The first of these options that makes no sense, and why.
    pub(crate) fn problem_of(
        &self,
        is_meant: impl Fn(&'static str) -> bool,
    ) -> Option<(&'static str, String)> {
        let hasty = self.timeout().filter(|timeout| *timeout < Duration::from_millis(1));
        let timeout = hasty.map(|timeout| {
            let shown = scheduler_syntax::format_duration(timeout);
            format!("the timeout is {shown}; use at least 1ms or leave it out")
        });
        let retry = || Some(self.retry()?.checked().err()?.to_string());
        let boost = || boost_problem(self.boost()?);
        let expires = || expiry_problem(self.expires()?);
        let all = [("timeout", timeout), ("retry", retry()), ("boost", boost()), ("expires", expires())];
        let mut problems = all.into_iter().filter(|(option, _)| is_meant(option));
        problems.find_map(|(option, problem)| Some((option, problem?)))
    }

    fn cold(&self) -> &ColdFields {
        const NOTHING: &ColdFields = &ColdFields::NOTHING;
        self.cold.as_deref().unwrap_or(NOTHING)
    }

    fn edit_rare(&mut self, edit: impl FnOnce(&mut ColdFields)) {
        let mut cold = self.cold.take().map_or(ColdFields::NOTHING, |cold| *cold);
        edit(&mut cold);
        self.cold = cold.kept();
    }

    /// A builder that starts from this detail.
    pub fn to_builder(&self) -> JobDetailBuilder {
        JobDetailBuilder(self.clone())
    }

    /// The unique name.
    pub fn key(&self) -> &JobKey {
        &self.key
    }

    /// The name under which the function is registered on the nodes that can run it.
    pub fn job_type(&self) -> &str {
        &self.job_type
    }

    /// A sentence for people.
    pub fn description(&self) -> Option<&str> {
        self.cold().description.as_deref()
    }

    /// The job's own data, seen by every run and overlaid by the trigger's.
    pub fn data(&self) -> &JobData {
        &self.cold().data
    }

    /// How long one run may take; unlimited unless set.
    pub fn timeout(&self) -> Option<Duration> {
        self.cold().timeout
    }

    /// How often a failed run is tried again, and when; never unless set.
    pub fn retry(&self) -> Option<&RetryPolicy> {
        self.cold().retry.as_ref()
    }

    /// Whether an occurrence of a trigger whose node died in its first attempt is repeated.
    pub(crate) fn is_repeated_when_lost(&self) -> bool {
        self.requests_recovery || self.retry().is_some_and(|policy| policy.retries(FailureKind::Lost))
    }

    /// The policy of the job, if a run of the job is not attempted again after its node has died.
    ///
    /// Such a run brings its policy along, since the store that finds the run lost need not know the job.
    pub(crate) fn ends_when_lost(&self) -> Option<&RetryPolicy> {
        self.retry().filter(|policy| !self.requests_recovery && !policy.retries(FailureKind::Lost))
    }

    /// The [queue](JobDetailBuilder::queue) of its runs.
    pub fn queue(&self) -> Option<&Arc<str>> {
        self.cold().queue.as_ref()
    }

    /// By how much its enqueued runs go before others.
    pub fn boost(&self) -> Option<Duration> {
        self.cold().boost
    }

    /// How long after their due time its enqueued runs expire that have not begun; never unless set.
    pub fn expires(&self) -> Option<Duration> {
        self.cold().expires
    }

    /// How long its enqueued runs are kept at least after their end, with what they return; unless set, as long as their kind of end.
    pub fn keep(&self) -> Option<Duration> {
        self.cold().keep
    }

    /// Whether its enqueued runs begin again after an attempt that was cut off.
    pub fn delivery(&self) -> Delivery {
        self.cold().delivery
    }

    /// Whether what its runs log is kept with them.
    pub fn log(&self) -> bool {
        self.cold().log
    }

    /// Whether the job stays when its last trigger is gone.
    pub fn durable(&self) -> bool {
        self.durable
    }

    /// Whether at most one run of this job may be active at any time, over all its triggers.
    pub fn disallow_concurrent(&self) -> bool {
        self.disallow_concurrent
    }

    /// Whether the data that a run [sets](crate::job::JobContext::set_job_data) is kept for the next one.
    pub fn persist_data(&self) -> bool {
        self.persist_data
    }

    /// Whether a run that was lost with its node is run again by another one.
    pub fn requests_recovery(&self) -> bool {
        self.requests_recovery
    }

    /// The rules by which this job is run that `declared` has otherwise, each in words.
    pub(crate) fn rules_that_differ(&self, declared: &Self) -> Vec<String> {
        let timeout = |detail: &Self| detail.timeout().map_or("none".to_owned(), |time| format!("{time:?}"));
        let retry = |detail: &Self| detail.retry().map_or("none".to_owned(), ToString::to_string);
        let rules = [
            ("timeout", timeout(self), timeout(declared)),
            ("retry", retry(self), retry(declared)),
            ("log", self.log().to_string(), declared.log().to_string()),
            ("job_type", self.job_type.to_string(), declared.job_type.to_string()),
            (
                "disallow_concurrent",
                self.disallow_concurrent.to_string(),
                declared.disallow_concurrent.to_string(),
            ),
            ("persist_data", self.persist_data.to_string(), declared.persist_data.to_string()),
            ("requests_recovery", self.requests_recovery.to_string(), declared.requests_recovery.to_string()),
        ];
        let differ = rules.into_iter().filter(|(_, own, declared)| own != declared);
        differ.map(|(rule, own, declared)| format!("{rule}: {declared}, stored: {own}")).collect()
    }

    /// This job, run by the rules of `declared`.
    pub(crate) fn with_rules_of(&self, declared: &Self) -> Self {
        let mut detail = Self {
            key: self.key.clone(),
            durable: self.durable,
            cold: self.cold.clone(),
            ..declared.clone()
        };
        detail.edit_rare(|cold| {
            (cold.timeout, cold.retry) = (declared.timeout(), declared.retry().cloned());
            cold.log = declared.log();
        });
        detail
    }

    /// Which is the one that it has.
    pub(crate) fn share_job_type(&mut self, job_type: &Arc<str>) {
        debug_assert_eq!(self.job_type, *job_type);
        self.job_type = job_type.clone();
    }

    pub(crate) fn shared_job_type(&self) -> &Arc<str> {
        &self.job_type
    }
}

/// Builds a [`JobDetail`].
#[derive(Debug, Clone)]
#[must_use]
pub struct JobDetailBuilder(JobDetail);

impl JobDetailBuilder {
    /// A sentence for people. Default: none.
    pub fn description(mut self, text: impl Into<Arc<str>>) -> Self {
        self.0.edit_rare(|cold| cold.description = Some(text.into()));
        self
    }

    /// The job's own data. Default: empty.
    pub fn data(mut self, data: JobData) -> Self {
        self.0.edit_rare(|cold| cold.data = data);
        self
    }

    /// How long a run may take, from its firing on: time for which it waits for a thread counts. Then it is asked to stop, and
    /// taken away if it does not listen. Default: for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.edit_rare(|cold| cold.timeout = Some(timeout));
        self
    }

    /// How often a failed run is tried again, and when. A run whose attempt fails, panics or exceeds its timeout is stored and
    /// tried again after the [backoff](crate::run::Backoff). When no retry is left, the run is dead: it stays stored and can be
    /// replayed. Default: none. An enqueued run then has the policy of the [scheduler](crate::scheduler::SchedulerBuilder::retry_enqueued),
    /// and an occurrence of a trigger is over when it fails.
    ///
    /// ```
    /// use scheduler_core::JobKey;
    /// use scheduler_core::job::JobDetail;
    /// use scheduler_core::run::RetryPolicy;
    ///
    /// let bill = JobDetail::builder(JobKey::new("bill")?, "bill")
    ///     .retry(RetryPolicy::new(3, "exponential(15s, 1h)".parse()?))
    ///     .build();
    /// assert_eq!(bill.retry().unwrap().max(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.0.edit_rare(|cold| cold.retry = Some(policy));
        self
    }

    /// The queue whose [limit](crate::scheduler::SchedulerBuilder::limit_queue) the runs of this job count towards,
    /// whatever starts them: a schedule, `enqueue`, `trigger_job`. A trigger with a
    /// [queue of its own](crate::trigger::TriggerBuilder::queue) keeps that. A trigger takes the queue over when it is
    /// scheduled. Default: none.
    ///
    /// Two kinds of runs do not count: jobs [before the start](crate::SchedulerBuilder::before_start), since they run one after
    /// the other while the node takes no other work, and jobs in a queue in memory, a [`JobQueue`](crate::host::JobQueue), which has a
    /// concurrency of its own.
    pub fn queue(mut self, queue: impl Into<Arc<str>>) -> Self {
        self.0.edit_rare(|cold| cold.queue = Some(queue.into()));
        self
    }

    /// By how much the enqueued runs of this job go before others: before what became due up to so much earlier. From 1 ms to one day.
    /// Default: no boost. See [`Enqueue::boost`](crate::client::Enqueue::boost).
    pub fn boost(mut self, boost: Duration) -> Self {
        self.0.edit_rare(|cold| cold.boost = Some(boost));
        self
    }

    /// How long after their due time enqueued runs of this job expire whose first attempt has not begun. At least 1 ms. Default: never.
    /// See [`Enqueue::expires`](crate::client::Enqueue::expires).
    pub fn expires(mut self, expires: Duration) -> Self {
        self.0.edit_rare(|cold| cold.expires = Some(expires));
        self
    }

    /// How long the enqueued runs of this job are kept at least after their end, however they end, with their
    /// [output](crate::job::JobContext::set_output). Zero keeps nothing. Default: a run that succeeds leaves nothing. See
    /// [`Enqueue::keep`](crate::client::Enqueue::keep).
    pub fn keep(mut self, keep: Duration) -> Self {
        self.0.edit_rare(|cold| cold.keep = Some(keep));
        self
    }

    /// Whether an enqueued run of this job begins again whose attempt was cut off, since its node has died or was shut down. It concerns no
    /// occurrence of a trigger: that is repeated only if the job says [`requests_recovery`](Self::requests_recovery) or
    /// [`retry`](Self::retry). Default: [at least once](Delivery::AtLeastOnce), so the run begins again.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.0.edit_rare(|cold| cold.delivery = delivery);
        self
    }

    /// Keeps the last lines that each run of this job logs by `tracing`, so that [`Client::run_log`](crate::Client::run_log) shows them:
    /// at most [200 lines](crate::run::MAX_LOG_LINES) of [1 KiB](crate::run::MAX_LOG_LINE) each, and [64 KiB](crate::run::MAX_LOG) in
    /// all. The program needs the feature `run-log` and a `RunLogLayer` in its subscriber. Lines are stored once a second with the run,
    /// so a run that logs much is written often. Default: false.
    pub fn log(mut self, log: bool) -> Self {
        self.0.edit_rare(|cold| cold.log = log);
        self
    }

    /// Keeps the job when its last trigger is gone. Default: false.
    pub fn durable(mut self, durable: bool) -> Self {
        self.0.durable = durable;
        self
    }

    /// Allows at most one active run of this job, over all its triggers. Default: false.
    pub fn disallow_concurrent(mut self, disallow: bool) -> Self {
        self.0.disallow_concurrent = disallow;
        self
    }

    /// Keeps the data that a run sets for the next one. Such a job should disallow concurrent runs, or the last one to
    /// end wins. Default: false.
    pub fn persist_data(mut self, persist: bool) -> Self {
        self.0.persist_data = persist;
        self
    }

    /// Runs a firing again whose run was lost with its node. Default: false.
    pub fn requests_recovery(mut self, requests: bool) -> Self {
        self.0.requests_recovery = requests;
        self
    }

    /// The finished detail.
    pub fn build(self) -> JobDetail {
        self.0
    }
}
