//! The hook for dead runs: who calls it, and that it holds up nothing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::job::{JobContext, JobDefinition, JobError};
use scheduler_core::run::{DeadRun, RunEnd};
use scheduler_core::scheduler::{Event, SchedulerListener};
use scheduler_core::store::RunQuery;
use scheduler_core::testing::TestScheduler;

use crate::retrying::{NOW, detail, retried};

fn refused(name: &str) -> JobDefinition {
    JobDefinition::new(retried(name, 1), || async { Err::<(), _>(JobError::new("refused")) })
}

type Heard = Arc<Mutex<Vec<DeadRun>>>;

#[tokio::test]
async fn each_dead_run_is_one_call() {
    let heard = Heard::default();
    let hook = {
        let heard = heard.clone();
        move |dead| {
            heard.lock().push(dead);
            async {}
        }
    };
    let fine = JobDefinition::new(detail("fine"), || async {});
    let builder = Scheduler::builder().register(refused("work")).register(fine).on_dead(hook);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let run = test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    test.scheduler().enqueue(detail("fine")).await.unwrap();
    test.run_due().await;
    assert!(heard.lock().is_empty(), "a retry is left");
    test.drain().await;
    let expected = DeadRun::new(run, "work".parse().unwrap(), 2, "refused");
    assert_eq!(*heard.lock(), std::slice::from_ref(&expected));
    assert!(test.scheduler().replay(run).await.unwrap());
    test.drain().await;
    assert_eq!(*heard.lock(), [expected.clone(), expected], "it is dead once more");
}

/// A job that panics has not heard that it is to stop.
#[tokio::test]
async fn a_run_that_was_cancelled_during_its_last_attempt_is_not_told_as_dead() {
    let heard = Heard::default();
    let hook = {
        let heard = heard.clone();
        move |dead| {
            heard.lock().push(dead);
            async {}
        }
    };
    let job =
        JobDefinition::new(retried("work", 0), |scheduler: Scheduler, context: JobContext| async move {
            let is_asked = scheduler.cancel_run(context.run_id()).await.unwrap();
            assert!(!is_asked, "it panics");
        });
    let builder = Scheduler::builder().register(job).on_dead(hook);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let run = test.scheduler().enqueue(retried("work", 0)).await.unwrap();
    test.drain().await;
    let end = test.scheduler().all_runs(RunQuery::one(run)).await.unwrap()[0].end;
    assert_eq!((end, heard.lock().len()), (Some(RunEnd::Cancelled), 0));
}

/// The first call panics, the second one never ends.
#[tokio::test]
async fn a_hook_that_panics_or_hangs_harms_nothing() {
    let heard = Heard::default();
    let hook = {
        let heard = heard.clone();
        move |dead| {
            let mut heard = heard.lock();
            heard.push(dead);
            let calls = heard.len();
            async move {
                match calls {
                    1 => panic!("no pager"),
                    2 => std::future::pending().await,
                    _ => {}
                }
            }
        }
    };
    let builder = Scheduler::builder().register(refused("work")).on_dead(hook);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    for _ in 0..2 {
        test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    }
    test.drain().await;
    assert_eq!(heard.lock().len(), 2, "the first one has harmed nobody");
    test.advance(Duration::from_secs(31)).await;
    test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    test.drain().await;
    assert_eq!(heard.lock().len(), 3, "the one that hangs was dropped");
}

struct Names(Arc<Mutex<Vec<String>>>);

impl SchedulerListener for Names {
    async fn on_event(&self, event: &Event) {
        self.0.lock().push(format!("{event:?}").split([' ', '{']).next().unwrap_or_default().to_owned());
    }
}

#[tokio::test]
async fn a_listener_whose_filter_panics_harms_nobody() {
    let names = Arc::<Mutex<Vec<String>>>::default();
    let wants = |event: &Event| match event {
        Event::Ended { .. } => panic!("a mistake in the filter"),
        event => matches!(event, Event::Dead { .. }),
    };
    let builder = Scheduler::builder()
        .concurrency(1)
        .register(refused("work"))
        .listener_to(wants, Names(names.clone()));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    for _ in 0..2 {
        test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    }
    test.drain().await;
    assert_eq!(*names.lock(), ["Dead", "Dead"], "the slot is free again");
}

#[tokio::test]
async fn a_listener_hears_only_of_what_it_wants() {
    let names = Arc::<Mutex<Vec<String>>>::default();
    let wants = |event: &Event| matches!(event, Event::Enqueued { .. } | Event::Dead { .. });
    let builder = Scheduler::builder().register(refused("work")).listener_to(wants, Names(names.clone()));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    test.drain().await;
    assert_eq!(*names.lock(), ["Enqueued", "Dead"]);
}

#[tokio::test]
async fn the_hook_of_a_job_hears_of_its_own_dead_runs() {
    let (of_job, of_all) = (Heard::default(), Heard::default());
    let noting = |heard: &Heard| {
        let heard = heard.clone();
        move |dead| {
            heard.lock().push(dead);
            async {}
        }
    };
    let builder = Scheduler::builder()
        .register(refused("work").on_dead(noting(&of_job)))
        .register(refused("other"))
        .on_dead(noting(&of_all));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let run = test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    test.scheduler().enqueue(retried("other", 1)).await.unwrap();
    test.drain().await;
    assert_eq!(*of_job.lock(), [DeadRun::new(run, "work".parse().unwrap(), 2, "refused")]);
    assert_eq!(of_all.lock().len(), 2, "the hook of the scheduler hears of all");
}
