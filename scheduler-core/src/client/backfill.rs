//! Occurrences of a trigger that are run afterwards.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::enqueue_outcome::EnqueueOutcome;
use super::gates::OwnGates;
use super::handle::Client;
use super::unique::Prepared;
use crate::error::{During, Error, Result};
use crate::job::{BoxFuture, Invocation};
use crate::key::TriggerKey;
use crate::run::RunId;
use crate::store::*;

/// So many occurrences are run unless the call says otherwise.
const AT_MOST: usize = 1_000;

/// So long a run is kept, so that a second call finds it.
const KEPT: Duration = Duration::from_secs(86_400);

/// A backfill that is about to be made; awaiting it stores a run for each occurrence, and says for each, in the order of their times, whether
/// it was stored or was there already.
///
/// # Errors
///
/// There is no such trigger, or its calendar is not stored. There are more occurrences than [`at_most`](Self::at_most). The queue is
/// [full](crate::SchedulerBuilder::max_waiting). The store has failed. Where the client is that of a scheduler: the job's function is not
/// registered there, or cannot read its argument.
///
/// # Cancel safety
///
/// Dropped early, some of the runs may be stored. A second call stores the others.
#[must_use = "nothing is run until this is awaited"]
#[derive(Debug)]
pub struct Backfill<'a> {
    client: &'a Client,
    trigger: TriggerKey,
    times: Range<DateTime<Utc>>,
    at_most: usize,
    queue: Option<Arc<str>>,
    newest_first: bool,
    spacing: Duration,
    keep: Duration,
}

impl Backfill<'_> {
    /// More occurrences than this are an error, and nothing is stored. Default: 1,000.
    pub fn at_most(self, occurrences: usize) -> Self {
        Self { at_most: occurrences, ..self }
    }

    /// The queue of the runs, such as one with a limit, so that they do not get in the way of others. Default: that of the trigger.
    pub fn queue(self, queue: impl Into<Arc<str>>) -> Self {
        Self { queue: Some(queue.into()), ..self }
    }

    /// Begins with the latest occurrence. Default: the oldest comes first.
    pub fn newest_first(self) -> Self {
        Self { newest_first: true, ..self }
    }

    /// The runs are due one after the other, so far apart, in whole milliseconds. Default: all are due at once.
    pub fn every(self, spacing: Duration) -> Self {
        Self { spacing, ..self }
    }

    /// So long each run is kept at least after its end. Until then a second backfill of the same time stores the run no second time. Default:
    /// one day.
    pub fn keep(self, keep: Duration) -> Self {
        Self { keep, ..self }
    }

    async fn store(self) -> Result<Vec<EnqueueOutcome>> {
        let (client, key) = (self.client, self.trigger.clone());
        client.open()?;
        let Some(status) = client.stored(vec![key.clone()]).await?.pop() else {
            return Err(client.no_trigger(&key).await?);
        };
        let trigger = status.trigger;
        let calendars = client.calendars_for(std::iter::once(&*trigger)).await?;
        let times = calendars.occurrences(&trigger, self.times.clone(), self.at_most.saturating_add(1))?;
        if times.len() > self.at_most {
            let (most, Range { start, end }) = (self.at_most, &self.times);
            return Err(Error::config(format!(
                "trigger `{key}` has more than {most} occurrences from {start} to {end}; ask for a shorter time, or allow more with `at_most`"
            )));
        }
        let query = JobQuery { keys: vec![trigger.job().clone()], ..JobQuery::default() };
        let Some(detail) = client.store().all_jobs(query).await?.pop() else {
            return Err(client.no_job(trigger.job()).await?);
        };
        let run = client
            .prepared(Invocation::new(detail), trigger.data().clone(), None, OwnGates::default(), None)
            .await?;
        client.store_runs(self.runs(&run.new, &trigger, &times)).await
    }

    /// A run for each of these times.
    fn runs(
        &self,
        pattern: &NewRun,
        trigger: &crate::trigger::Trigger,
        times: &[DateTime<Utc>],
    ) -> Vec<Prepared> {
        let (key, now, many) = (trigger.key(), pattern.now.unwrap_or(pattern.due), times.len());
        let queue = self.queue.clone().or(trigger.queue().cloned()).or(pattern.queue.clone());
        let run = |(place, time): (usize, &DateTime<Utc>)| {
            let turn = if self.newest_first { many - 1 - place } else { place };
            let turn = u32::try_from(turn).unwrap_or(u32::MAX);
            // All are due, and those of one backfill in their order.
            let order = TimeDelta::milliseconds(i64::from(turn) - i64::try_from(many).unwrap_or(i64::MAX));
            let wait = TimeDelta::from_std(self.spacing.saturating_mul(turn)).unwrap_or(TimeDelta::MAX);
            let shift = if self.spacing.is_zero() { order } else { wait };
            let due = now.checked_add_signed(shift).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let name = format!("backfill {key} {}", time.to_rfc3339_opts(SecondsFormat::Nanos, true));
            let mut new = NewRun { id: RunId::from_key(&name), due, queue: queue.clone(), ..pattern.clone() };
            new.cause = Cause::Backfill { trigger: key.clone(), scheduled: *time };
            new.priority = trigger.priority();
            (new.keep, new.unique) = (Some(self.keep), None);
            new.most_waiting = self.client.most_waiting(new.queue.as_ref());
            Prepared { new, merge: None }
        };
        times.iter().enumerate().map(run).collect()
    }
}

impl<'a> IntoFuture for Backfill<'a> {
    type Output = Result<Vec<EnqueueOutcome>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let key = self.trigger.clone();
        Box::pin(async move { self.store().await.of_trigger(&key).during("backfill") })
    }
}

impl Client {
    /// Runs the job of a trigger for each of its occurrences from a time until before another one, through its calendar: after an outage,
    /// or for the months before a new report existed. Each run shows the time of its occurrence as its
    /// [scheduled time](crate::job::JobContext::scheduled_fire_time), the trigger, and the cause
    /// [`Backfill`](crate::run::FiringCause::Backfill). The trigger itself, and when it fires next, does not change.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # async fn mend(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// let from = "2026-03-01T00:00:00Z".parse().unwrap();
    /// let to = "2026-04-01T00:00:00Z".parse().unwrap();
    /// let runs = scheduler.backfill(&"report".parse()?, from..to).queue("bulk").newest_first().await?;
    /// println!("{} days of March are reported again", runs.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The id of each run follows from the trigger and the time, so a second call stores nothing that is stored already. The runs are kept
    /// for a day after their end for that. A run is retried like an enqueued one. It has no key of its job, and the overlap policy of the
    /// trigger does not concern it; a job that allows one run at a time runs them one after the other.
    ///
    /// A trigger with a cron expression also has occurrences before it was scheduled. All others begin at their start, as their times follow
    /// from it.
    pub fn backfill(&self, trigger: &TriggerKey, times: Range<DateTime<Utc>>) -> Backfill<'_> {
        let (queue, newest_first, spacing) = (None, false, Duration::ZERO);
        let (trigger, at_most, keep) = (trigger.clone(), AT_MOST, KEPT);
        Backfill { client: self, trigger, times, at_most, queue, newest_first, spacing, keep }
    }
}
