//! How executions end: exactly one ending for each, whatever happens to the future that carries it.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, Span};

use super::middleware::Chain;
use super::pipeline::{Ended, RunOwner};
use crate::job::{CANNOT_SNOOZE, CancelReason, JobContext, JobError, Launcher, Outcome, Run, RunParts};
use crate::log::{Shown, unheard};
use crate::time::Activity;
use crate::watch::{Audience, Event};

/// Ends its execution when dropped: with the outcome that was set, or as aborted.
pub(super) struct Guard {
    end: End,
    outcome: Option<Outcome>,
}

impl Guard {
    pub(super) fn new(
        owner: Arc<dyn RunOwner>,
        run: Arc<Run>,
        audience: Option<Arc<Audience>>,
        activity: Activity,
    ) -> Self {
        let (started, span) = (owner.pipeline().clock.monotonic(), span_of(&run));
        Self { end: End { owner, run, audience, activity, span, started, was_dropped: false }, outcome: None }
    }

    /// The listeners of this execution.
    pub(super) fn audience(&self) -> Option<&Arc<Audience>> {
        self.end.audience.as_ref()
    }

    /// The middleware around every job.
    pub(super) fn chain(&self) -> &Chain {
        &self.end.owner.pipeline().middleware
    }

    /// Whether the job wishes to be run again at once; if so, the next attempt has begun.
    pub(super) fn begin_refire(&self) -> bool {
        let again = self.run().begin_refire();
        if let Some(audience) = self.audience().filter(|_| again) {
            audience.again();
        }
        again
    }

    pub(super) fn run(&self) -> &Arc<Run> {
        &self.end.run
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.end.activity
    }

    /// The span that every poll of the run enters.
    pub(super) fn span(&self) -> &Span {
        &self.end.span
    }

    /// The job has come to this end by itself.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let asked = self.run().cancel_reason();
        let settled = self.run().settled();
        // Neither the job nor anybody else has ended it: its runtime was dropped.
        self.end.was_dropped = settled.is_none() && self.outcome.is_none() && asked.is_none();
        let outcome = settled.unwrap_or_else(|| classify(self.outcome.take(), asked));
        if self.run().scope().is_empty() {
            return self.end.write(outcome);
        }
        // The run was aborted, so this closes its scoped values. The job stays busy until they are closed.
        let closing = Closing { end: self.end.clone(), outcome };
        let closed = closing.close().instrument(self.end.span.clone());
        self.end.owner.spawn(Box::pin(self.end.activity.observe(closed)));
    }
}

/// Writes the ending when dropped: when the values are closed, or when the runtime ends before.
struct Closing {
    end: End,
    outcome: Outcome,
}

impl Closing {
    async fn close(mut self) {
        self.outcome = self.end.run.close(self.outcome.clone()).await;
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.end.write(self.outcome.clone());
    }
}

/// The end of an execution that has nothing open any more.
#[derive(Clone)]
struct End {
    owner: Arc<dyn RunOwner>,
    run: Arc<Run>,
    audience: Option<Arc<Audience>>,
    activity: Activity,
    span: Span,
    started: Duration,
    was_dropped: bool,
}

impl End {
    fn write(&self, outcome: Outcome) {
        let (parts, pipeline, span) = (&self.run.parts, self.owner.pipeline(), self.span.clone());
        let _entered = span.enter();
        let took = pipeline.clock.monotonic().saturating_sub(self.started);
        let overran = overrun(parts.job.timeout(), took);
        log_end(parts, &outcome, took);
        pipeline.bus.send(|| Event::Ended {
            execution: parts.id,
            launcher: parts.launcher.clone(),
            job: parts.job.key().clone(),
            trigger: parts.trigger.key().clone(),
            took,
            outcome: outcome.word(),
            failure: outcome.failure(),
            overran,
        });
        self.run.abort.release();
        let (run, activity, was_dropped) = (&*self.run, &self.activity, self.was_dropped);
        self.owner.ended(Ended { run, outcome: &outcome, overran, was_dropped, activity });
        self.announce(outcome);
    }

    /// Notifies the listeners of a run that was aborted before it could notify them itself.
    fn announce(&self, outcome: Outcome) {
        let audience = self.audience.clone().filter(|audience| !audience.was_told());
        let Some(audience) = audience.filter(|_| !matches!(outcome, Outcome::Vetoed)) else { return };
        let context = JobContext(self.run.clone());
        let telling = async move { audience.ended(&context, &outcome).await };
        let activity = self.owner.pipeline().clock.begin(&"the listeners of an aborted run");
        self.owner.spawn(Box::pin(activity.observe(telling.instrument(self.span.clone()))));
    }
}

#[cfg(feature = "run-log")]
fn span_of(run: &Arc<Run>) -> Span {
    crate::job::span_of(run, || span(&run.parts))
}

#[cfg(not(feature = "run-log"))]
fn span_of(run: &Run) -> Span {
    span(&run.parts)
}

/// What a subscriber sees around everything that happens in a run, the same for every launcher.
fn span(parts: &RunParts) -> Span {
    tracing::info_span!(
        "run",
        job = %parts.job.key(),
        trigger = %parts.trigger.key(),
        launcher = %parts.launcher,
        run = %parts.run_id(),
        attempt = parts.attempt(),
        execution = %parts.id,
    )
}

/// The only place that turns what a job did, and why it was told to stop, into an outcome.
///
/// Work that was finished counts as finished, also after the request to stop.
pub(super) fn classify(own: Option<Outcome>, asked: Option<CancelReason>) -> Outcome {
    // A middleware may have given the error another meaning.
    let own = own.map(|own| if let Outcome::Failed(error) = own { error.into() } else { own });
    match (own, asked) {
        (Some(Outcome::Succeeded), _) => Outcome::Succeeded,
        (Some(Outcome::Panicked(message)), _) => Outcome::Panicked(message),
        (Some(Outcome::Vetoed), _) => Outcome::Vetoed,
        // The run would be attempted again anyway, and the job knows when.
        (
            Some(own @ (Outcome::Snoozed(_) | Outcome::Throttled { .. })),
            Some(CancelReason::Shutdown | CancelReason::ClaimLost),
        ) => own,
        (_, Some(CancelReason::Timeout)) => Outcome::TimedOut,
        (_, Some(_)) => Outcome::Cancelled,
        (Some(own), None) => own,
        (None, None) => Outcome::Failed(JobError::new("the runtime was shut down while the job ran")),
    }
}

/// By how much a run has exceeded its timeout; none if it was in time.
fn overrun(timeout: Option<Duration>, took: Duration) -> Option<Duration> {
    took.checked_sub(timeout?).filter(|overran| !overran.is_zero())
}

/// Logs how a run has ended, in a sentence.
fn log_end(parts: &RunParts, outcome: &Outcome, took: Duration) {
    let (job, trigger, execution, took) = (parts.job.key(), parts.trigger.key(), parts.id, Shown(took));
    if let Outcome::Discarded(error) = outcome {
        return tracing::info!(%job, %trigger, %execution, "job `{job}` was discarded after {took}: {error}");
    }
    let Some(sentence) = trouble(parts, outcome, took.0) else {
        return tracing::debug!(%job, %trigger, %execution, "job `{job}` {} after {took}", outcome.word());
    };
    if !outcome.is_success() {
        unheard(&sentence);
    }
    tracing::warn!(%job, %trigger, %execution, "{sentence}");
}

/// What an operator should know of a run that has ended; none if all went well.
fn trouble(parts: &RunParts, outcome: &Outcome, took: Duration) -> Option<String> {
    let (job, after) = (parts.job.key(), Shown(took));
    let timeout = Shown(parts.job.timeout().unwrap_or(Duration::MAX));
    Some(match outcome {
        Outcome::Failed(error) => format!("job `{job}` failed after {after}: {error}"),
        Outcome::Panicked(message) => format!("job `{job}` panicked after {after}: {message}"),
        Outcome::TimedOut => {
            format!("job `{job}` timed out: its timeout is {timeout}, and it was stopped after {after}")
        }
        Outcome::Cancelled => format!("job `{job}` was cancelled and has stopped after {after}"),
        Outcome::Snoozed(_) | Outcome::Throttled { .. }
            if !matches!(parts.launcher, Launcher::Trigger | Launcher::Run) =>
        {
            format!("job `{job}` is over after {after}: {CANNOT_SNOOZE}; enqueue the job instead")
        }
        Outcome::Vetoed | Outcome::Discarded(_) => return None,
        Outcome::Snoozed(_) | Outcome::Throttled { .. } => return None,
        Outcome::Succeeded => {
            let late = Shown(overrun(parts.job.timeout(), took)?);
            format!(
                "job `{job}` succeeded after {after}, {late} later than its timeout of {timeout} allows; raise the timeout, or \
                 let the job watch its cancellation token"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_work_counts_and_the_reason_names_the_rest() {
        let failed = || Some(Outcome::Failed(JobError::new("x")));
        let cases = [
            (Some(Outcome::Succeeded), Some(CancelReason::Timeout), "succeeded"),
            (failed(), Some(CancelReason::Timeout), "timed out"),
            (None, Some(CancelReason::Timeout), "timed out"),
            (failed(), Some(CancelReason::Shutdown), "cancelled"),
            (None, Some(CancelReason::Requested), "cancelled"),
            (failed(), None, "failed"),
            (Some(Outcome::Panicked("p".into())), Some(CancelReason::Timeout), "panicked"),
            (None, None, "failed"),
            (Some(Outcome::Failed(JobError::discard("x"))), None, "discarded"),
            (Some(JobError::discard("x").into()), Some(CancelReason::Shutdown), "cancelled"),
            (Some(JobError::discard("x").into()), Some(CancelReason::Timeout), "timed out"),
            (Some(JobError::snooze(Duration::ZERO).into()), None, "snoozed"),
            (Some(JobError::snooze(Duration::ZERO).into()), Some(CancelReason::Shutdown), "snoozed"),
            (Some(JobError::snooze(Duration::ZERO).into()), Some(CancelReason::Superseded), "cancelled"),
            (Some(JobError::snooze(Duration::ZERO).into()), Some(CancelReason::Requested), "cancelled"),
        ];
        for (own, asked, expected) in cases {
            assert_eq!(classify(own, asked).word(), expected);
        }
    }
}
