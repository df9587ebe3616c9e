//! What people see of a run while it runs: its progress and its log.

use std::time::Duration;

use scheduler_core::job::{JobContext, JobDefinition, JobError};
use scheduler_core::run::{Backoff, LogLevel, MAX_PROGRESS_MESSAGE, RetryPolicy, RunEnd, RunId, RunProgress};
use scheduler_core::store::{Executions, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, Scheduler};

use crate::logged;
use crate::retrying::{MINUTE, NOW, detail};

const SECOND: Duration = Duration::from_secs(1);

/// A job that does ten items, one in 400 ms, and says so.
fn counting(name: &str) -> JobDefinition {
    JobDefinition::new(detail(name), |context: JobContext| async move {
        context.progress_message("items");
        for done in 1..=10 {
            context.clock().sleep(Duration::from_millis(400)).await;
            context.progress(done, 10);
        }
    })
}

fn items(progress: Option<RunProgress>) -> Option<(u64, u64, Option<u8>, String)> {
    progress.map(|seen| (seen.done, seen.total, seen.percent(), seen.message.unwrap_or_default().to_string()))
}

fn shown(done: u64, percent: u8) -> Option<(u64, u64, Option<u8>, String)> {
    Some((done, 10, Some(percent), "items".to_owned()))
}

#[tokio::test]
async fn progress_is_shown_once_a_second_and_at_the_end() {
    let builder = Scheduler::builder().register(counting("work"));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let run = test.scheduler().enqueue(detail("work")).handle().await.unwrap();
    test.run_due().await;
    let seen = async || items(run.progress().await.unwrap());
    assert_eq!(seen().await, None);
    test.advance(SECOND).await;
    assert_eq!(seen().await, shown(2, 20));
    test.advance(Duration::from_millis(700)).await;
    assert_eq!(seen().await, shown(2, 20), "a second has not passed since");
    test.advance(SECOND).await;
    assert_eq!(seen().await, shown(5, 50));
    let executions = test.scheduler().executions(Executions::All).await.unwrap();
    assert_eq!(items(executions[0].progress.clone()), shown(5, 50));
    test.drain().await;
    assert_eq!(seen().await, shown(10, 100), "the run is kept for its handle");
}

#[tokio::test]
async fn the_first_attempt_of_an_occurrence_shows_its_progress() {
    let job = counting("work").with_trigger(Trigger::now().name("once"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.advance(SECOND + SECOND / 2).await;
    let executions = test.scheduler().executions(Executions::All).await.unwrap();
    assert_eq!(items(executions[0].progress.clone()), shown(2, 20));
    test.drain().await;
}

#[tokio::test]
async fn a_message_is_cut_at_a_character() {
    let job = JobDefinition::new(detail("work"), |context: JobContext| async move {
        context.progress_message(&"ä".repeat(MAX_PROGRESS_MESSAGE));
        Err::<(), _>(JobError::fatal("no"))
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let run = test.scheduler().enqueue(detail("work")).handle().await.unwrap();
    test.drain().await;
    let progress = run.progress().await.unwrap().unwrap();
    assert_eq!((progress.percent(), progress.message.unwrap().len()), (None, MAX_PROGRESS_MESSAGE));
}

/// Three attempts in all, unless one gets further than those before.
#[tokio::test]
async fn attempts_count_anew_after_one_that_got_further() {
    let policy = RetryPolicy::new(2, Backoff::fixed(MINUTE).unwrap()).reset_by_progress();
    let key = JobKey::new("work").unwrap();
    let job = detail("work").to_builder().retry(policy).build();
    let body = |context: JobContext| async move {
        let before = context.resume::<u32>().map_err(JobError::from)?.unwrap_or_default();
        // Five attempts get further, and then none does.
        context.checkpoint(&(before + 1).min(5))?;
        Err::<(), _>(JobError::new(format!("attempt {} at {before}", context.attempt())))
    };
    let builder = Scheduler::builder().register(JobDefinition::new(job.clone(), body));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().enqueue(job).await.unwrap();
    test.drain().await;
    let dead = test.scheduler().all_runs(RunQuery::dead().of_job(key)).await.unwrap().remove(0);
    assert_eq!((dead.end, dead.checkpoint.as_deref()), (Some(RunEnd::Dead), Some("5")));
    let texts: Vec<_> = dead.errors.iter().map(|error| &*error.text).collect();
    let expected = [
        "attempt 1 at 0",
        "attempt 2 at 1",
        "attempt 2 at 2",
        "attempt 2 at 3",
        "attempt 2 at 4",
        "attempt 2 at 5",
        "attempt 3 at 5",
    ];
    assert_eq!(texts, expected);
}

/// A job that fails after three seconds and has something to say.
fn talking(name: &str, log: bool) -> JobDefinition {
    let policy = RetryPolicy::new(1, Backoff::fixed(MINUTE).unwrap());
    let detail = detail(name).to_builder().log(log).retry(policy).build();
    JobDefinition::new(detail, |context: JobContext| async move {
        tracing::info!(attempt = context.attempt(), name = "ä", "it begins");
        context.clock().sleep(3 * SECOND).await;
        let span = tracing::info_span!("part");
        span.in_scope(|| tracing::warn!("in a part"));
        tracing::debug!("for developers");
        tracing::info!(rows = 3);
        Err::<(), _>(JobError::new("no"))
    })
}

#[tokio::test]
async fn the_log_of_a_run_is_kept_over_its_attempts() {
    logged::listen();
    let builder = Scheduler::builder().register(talking("work", true)).register(talking("quiet", false));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let run = test.scheduler().enqueue(talking("work", true).detail().clone()).await.unwrap();
    let quiet = test.scheduler().enqueue(talking("quiet", false).detail().clone()).await.unwrap();
    test.run_due().await;
    let log = async || test.scheduler().run_log(run).await.unwrap();
    assert_eq!(log().await, None);
    test.advance(SECOND).await;
    assert_eq!(log().await.unwrap().lines.len(), 1, "while it runs");
    test.drain().await;
    let log = log().await.unwrap();
    let of = |attempt| log.lines.iter().filter(move |line| line.attempt == attempt);
    let texts: Vec<_> = of(2).map(|line| (line.level, &*line.text)).collect();
    assert_eq!(
        texts[..3],
        [
            (LogLevel::Info, "it begins attempt=2 name=\"ä\""),
            (LogLevel::Warn, "in a part"),
            (LogLevel::Info, "rows=3"),
        ]
    );
    assert!(texts[3].1.starts_with("job `work` failed after 3s: no"), "{texts:?}");
    assert_eq!((of(1).count(), of(2).count(), log.dropped), (4, 4, 0));
    assert_eq!(test.scheduler().run_log(quiet).await.unwrap(), None);
}

#[tokio::test]
async fn the_first_attempt_of_an_occurrence_shows_its_log() {
    logged::listen();
    let job = talking("work", true).with_trigger(Trigger::now().name("once"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.advance(2 * SECOND).await;
    let execution = test.scheduler().executions(Executions::All).await.unwrap()[0].id;
    let run = RunId::new(execution.session(), execution.count());
    assert_eq!(test.scheduler().run_log(run).await.unwrap().unwrap().lines.len(), 1);
    test.drain().await;
    assert_eq!(test.scheduler().run_log(run).await.unwrap().unwrap().lines.len(), 8);
}
