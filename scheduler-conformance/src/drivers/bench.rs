//! A driver under test, with short words for what rules do with it.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::run::RunId;
use scheduler_core::store::rows::*;
pub(super) use scheduler_core::store::rules::each;
use scheduler_core::store::{AcquireDue, Acquired, NewRun, Node, QueueFilter, QueueLimits};
use scheduler_core::trigger::{Progress, Trigger};
use scheduler_core::{JobKey, TriggerKey};

use super::DriverUnderTest;
pub(super) use crate::bench::{ONE, TWO};

/// When all rules begin: so far ahead that a driver which looks at the machine's clock, too, finds nothing that has lapsed.
pub(super) fn t0() -> DateTime<Utc> {
    "2126-03-01T00:00:00Z".parse().expect("a time")
}

/// So many seconds after the begin.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    t0() + TimeDelta::seconds(seconds)
}

/// The name of work: that of a trigger, or the id of a run. Triggers come first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    Trigger(TriggerKey),
    Run(RunId),
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trigger(key) => write!(f, "{key}"),
            Self::Run(id) => write!(f, "run {}", id.count()),
        }
    }
}

/// A trigger or a run, as far as its place depends on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Work {
    pub(super) name: Name,
    pub(super) job: JobKey,
    pub(super) job_type: String,
    pub(super) queue: Option<Arc<str>>,
    pub(super) at: DateTime<Utc>,
    pub(super) priority: i32,
    pub(super) exclusive: bool,
}

/// The trigger of this name, due so many seconds after the begin.
pub(super) fn trigger(name: &str, seconds: i64) -> Work {
    Work::new(Name::Trigger(name.parse().expect("a key")), at(seconds))
}

/// The run of this number, due so many seconds after the begin.
pub(super) fn run(number: u64, seconds: i64) -> Work {
    Work::new(Name::Run(RunId::new(7, number)), at(seconds))
}

impl Work {
    fn new(name: Name, at: DateTime<Utc>) -> Self {
        let job = JobKey::new("job").expect("a key");
        Self { name, job, job_type: "work".to_owned(), queue: None, at, priority: 5, exclusive: false }
    }

    /// Of another job.
    pub(super) fn of(self, job: &str) -> Self {
        Self { job: job.parse().expect("a key"), ..self }
    }

    /// In the lane of this job type; of the job that is called the same.
    pub(super) fn in_lane(self, job_type: &str) -> Self {
        Self { job_type: job_type.to_owned(), ..self.of(job_type) }
    }

    pub(super) fn in_queue(self, queue: &str) -> Self {
        Self { queue: Some(queue.into()), ..self }
    }

    pub(super) fn with_priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// Of a job that allows one run at a time.
    pub(super) fn alone(self) -> Self {
        Self { exclusive: true, ..self }
    }

    pub(super) fn due(self, at: DateTime<Utc>) -> Self {
        Self { at, ..self }
    }

    /// What comes first is taken first.
    pub(super) fn order(&self) -> (DateTime<Utc>, Reverse<i32>, Name) {
        (self.at, Reverse(self.priority), self.name.clone())
    }

    pub(super) fn detail(&self) -> JobDetail {
        let durable = JobDetail::builder(self.job.clone(), &*self.job_type).durable(true);
        durable.disallow_concurrent(self.exclusive).build()
    }

    /// Its trigger, with the progress by which it is due.
    pub(super) fn trigger(&self) -> (Arc<Trigger>, Progress) {
        let Name::Trigger(key) = &self.name else { panic!("{:?} is no trigger", self.name) };
        let mut trigger = Trigger::at(t0()).key(key.clone()).job(self.job.clone()).priority(self.priority);
        if let Some(queue) = &self.queue {
            trigger = trigger.queue(queue.clone());
        }
        let progress = Progress { next: Some(self.at), ..Progress::default() };
        (Arc::new(trigger.build(t0()).expect("a trigger")), progress)
    }

    /// The run, with this number of attempts behind it.
    fn run(&self, id: RunId) -> NewRun {
        let mut run = NewRun::of(id, &self.detail(), self.at);
        (run.priority, run.queue, run.exclusive) = (self.priority, self.queue.clone(), self.exclusive);
        run
    }
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) name: Name,
    pub(super) claim: ExecutionId,
}

pub(super) fn names(taken: &[Taken]) -> Vec<String> {
    taken.iter().map(|taken| format!("{:?}", taken.name)).collect()
}

/// Adds work, with its job if that is not there.
pub(super) fn add<R: Rows>(rows: &mut R, work: &Work) -> Answer<R, ()> {
    let lane = rows.lane(work.queue.as_ref(), &Arc::from(&*work.job_type));
    match &work.name {
        Name::Run(id) => drop(rows.add_run(RunRow::new(work.run(*id), lane))),
        Name::Trigger(_) => {
            let job = match rows.job(&work.job)? {
                Some(job) => job,
                None => rows.add_job(JobRow { detail: Arc::new(work.detail()) }),
            };
            let ((trigger, progress), birth) = (work.trigger(), rows.number());
            rows.add_trigger(TriggerRow::new(trigger, progress, (job, work.exclusive, lane), birth));
        }
    }
    Ok(())
}

/// Makes the row of this name what the work says; the lane of a run stays.
pub(super) fn change<R: Rows>(rows: &mut R, work: &Work) -> Answer<R, ()> {
    match &work.name {
        Name::Run(id) => {
            let Some(run) = rows.run(*id)? else { return Ok(()) };
            rows.edit(run, |row| {
                (row.due, row.priority, row.exclusive) = (work.at, work.priority, work.exclusive);
            })?;
        }
        Name::Trigger(key) => {
            let Some(id) = rows.trigger(key)? else { return Ok(()) };
            let job = match rows.job(&work.job)? {
                Some(job) => job,
                None => rows.add_job(JobRow { detail: Arc::new(work.detail()) }),
            };
            let lane = rows.lane(work.queue.as_ref(), &Arc::from(&*work.job_type));
            let (trigger, progress) = work.trigger();
            rows.edit(id, |row| {
                row.set_progress(progress);
                (row.trigger, row.job, row.exclusive, row.lane) = (trigger, job, work.exclusive, lane);
            })?;
        }
    }
    Ok(())
}

pub(super) fn remove<R: Rows>(rows: &mut R, name: &Name) -> Answer<R, ()> {
    match name {
        Name::Run(id) => rows.run(*id)?.map_or(Ok(()), |run| rows.remove(run)),
        Name::Trigger(key) => rows.trigger(key)?.map_or(Ok(()), |trigger| rows.remove(trigger)),
    }
}

pub(super) fn show<R: Rows>(rows: &mut R, name: &Name) -> Answer<R, ()> {
    match name {
        Name::Run(id) => rows.run(*id)?.map_or(Ok(()), |run| rows.show_run(run)),
        Name::Trigger(key) => rows.trigger(key)?.map_or(Ok(()), |trigger| rows.show(trigger)),
    }
}

/// Ends a claim; its job is free, if it held that. Where it stands is not said by that.
pub(super) fn end_claim<R: Rows>(rows: &mut R, claim: ExecutionId) -> Answer<R, ()> {
    let id = Id::of(claim);
    let Some(row) = rows.get(id)? else { return Ok(()) };
    let job = row.exclusive.then(|| row.trigger.job().clone());
    rows.remove(id)?;
    job.map_or(Ok(()), |job| rows.free(&job))
}

/// The claim is over, and so is its work.
pub(super) fn finish<R: Rows>(rows: &mut R, taken: &Taken) -> Answer<R, ()> {
    end_claim(rows, taken.claim)?;
    match &taken.name {
        Name::Run(run) => rows.drop_run(*run),
        trigger @ Name::Trigger(_) => remove(rows, trigger),
    }
}

/// A driver with two nodes: the first runs everything, the second only the job type `work`.
pub(super) struct Bench<D> {
    pub(super) driver: D,
}

impl<D: DriverUnderTest> Bench<D> {
    pub(super) fn new(driver: D) -> Self {
        for (session, types) in [(ONE, None), (TWO, Some(["work".into()].into()))] {
            let (wake, stop) = (Arc::new(|| {}), Arc::new(|_, _| {}));
            let (name, queues) = (format!("node {session}").into(), QueueFilter::default());
            let node = Node { session, name, types, queues, wake, stop };
            driver.attach(node).expect("a node is attached");
        }
        Self { driver }
    }

    #[track_caller]
    pub(super) fn run<T>(&self, rule: impl Fn(&mut D::Rows) -> Answer<D::Rows, T>) -> T {
        self.driver.run(rule).expect("the rule finishes")
    }

    /// Adds all in one transaction.
    pub(super) fn put(&self, all: &[Work]) {
        self.run(|rows| each(rows, all, add));
    }

    pub(super) fn change(&self, work: &Work) {
        self.run(|rows| change(rows, work));
    }

    pub(super) fn remove(&self, name: &Name) {
        self.run(|rows| remove(rows, name));
    }

    pub(super) fn show(&self, name: &Name) {
        self.run(|rows| show(rows, name));
    }

    /// Takes what is due by then, at most so many, in the order in which it was taken.
    pub(super) fn take(&self, session: u64, until: i64, max: usize) -> Vec<Taken> {
        self.ask(session, at(until), max, QueueLimits::default()).0
    }

    /// Also says when to ask again.
    pub(super) fn ask(
        &self,
        session: u64,
        until: DateTime<Utc>,
        max: usize,
        limits: QueueLimits,
    ) -> (Vec<Taken>, Option<DateTime<Utc>>) {
        let request = AcquireDue {
            session,
            now: t0(),
            until,
            max,
            limits,
            shares: Vec::new(),
            late: None,
            heard: None,
        };
        let Acquired { triggers, runs, next_due, .. } = self.driver.take(request).expect("it can be taken");
        let triggers = triggers
            .into_iter()
            .map(|one| Taken { name: Name::Trigger(one.trigger.key().clone()), claim: one.claim });
        let runs = runs.into_iter().map(|one| Taken { name: Name::Run(one.run), claim: one.claim });
        let mut taken: Vec<_> = triggers.chain(runs).collect();
        taken.sort_unstable_by_key(|taken| taken.claim.count());
        (taken, next_due)
    }

    /// Takes the one that is due by then.
    #[track_caller]
    pub(super) fn take_one(&self, until: i64) -> Taken {
        let mut taken = self.take(ONE, until, 10);
        assert_eq!(taken.len(), 1, "one is due: {taken:?}");
        taken.remove(0)
    }

    /// What the first node can take by then, in this order; it is given back at once.
    pub(super) fn due(&self, until: i64) -> Vec<String> {
        let taken = self.take(ONE, until, 1000);
        taken.iter().for_each(|taken| self.give_back(taken));
        names(&taken)
    }

    /// The claim is over, and its work waits again.
    pub(super) fn give_back(&self, taken: &Taken) {
        self.run(|rows| {
            end_claim(rows, taken.claim)?;
            show(rows, &taken.name)
        });
    }

    /// A trigger that was taken runs from now on, and is due again so many seconds after the begin.
    pub(super) fn fire(&self, taken: &Taken, next: i64) {
        let Name::Trigger(key) = &taken.name else { panic!("{taken:?} is no trigger") };
        self.run(|rows| {
            rows.edit(Id::of(taken.claim), |claim| claim.fired = true)?;
            let Some(trigger) = rows.trigger(key)? else { return Ok(()) };
            rows.edit(trigger, |row| {
                let progress = row.progress();
                row.set_progress(Progress { next: Some(at(next)), ..progress });
            })?;
            rows.show(trigger)
        });
    }

    /// The claim is over, and so is its work.
    pub(super) fn finish(&self, taken: &Taken) {
        self.run(|rows| finish(rows, taken));
    }

    /// The claims of a session, by number.
    pub(super) fn claims_of(&self, session: u64) -> Vec<u64> {
        let mut claims: Vec<_> = self.run(|rows| rows.claims_of(session)).iter().map(|id| id.0).collect();
        claims.sort_unstable();
        claims
    }

    pub(super) fn members(&self, job: &str) -> usize {
        let key = job.parse().expect("a key");
        self.run(|rows| rows.job(&key)?.map_or(Ok(0), |job| rows.members(job)))
    }
}
