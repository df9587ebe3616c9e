//! Occurrences of triggers that are run afterwards.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use parking_lot::Mutex;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::client::EnqueueOutcome;
use scheduler_core::job::{JobContext, JobDefinition};
use scheduler_core::run::FiringCause;
use scheduler_core::store::{Cause, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{JobData, Scheduler, TriggerKey};

use crate::retrying::{NOW, detail};

/// What each run has seen: its nominal time, its cause, its trigger, and the data of that.
type Seen = Arc<Mutex<Vec<(String, FiringCause, String, String)>>>;

fn reports() -> (JobDefinition, Seen) {
    let seen = Seen::default();
    let job = JobDefinition::new(detail("report"), {
        let seen = seen.clone();
        move |context: JobContext| {
            let day = context.scheduled_fire_time().date_naive().to_string();
            let of = context.data().get::<String>("of").unwrap_or_default();
            seen.lock().push((
                day,
                context.cause(),
                context.trigger_key().to_string(),
                of.unwrap_or_default(),
            ));
            async {}
        }
    });
    (job, seen)
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn february(from: u32, to: u32) -> Range<DateTime<Utc>> {
    let day = |day: u32| time(&format!("2026-02-{day:02}T00:00:00Z"));
    day(from)..day(to)
}

fn daily() -> TriggerBuilder {
    let data = JobData::new().with("of", "shop");
    Trigger::cron("0 0 9 * * ?").name("daily").data(data).calendar("feasts").queue("reports")
}

async fn started(trigger: TriggerBuilder) -> (TestScheduler, Seen, TriggerKey) {
    let (job, seen) = reports();
    let feasts = StandardCalendar::new(Exclusion::annual([(2, 12)]), Tz::UTC);
    let builder = Scheduler::builder().calendar("feasts", feasts).register(job.with_trigger(trigger));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    (test, seen, "daily".parse().unwrap())
}

fn days(seen: &Seen) -> Vec<String> {
    seen.lock().iter().map(|(day, ..)| day.clone()).collect()
}

/// NOW is the first of March, so the trigger was scheduled after all of them.
#[tokio::test]
async fn each_occurrence_is_run_once_through_the_calendar() {
    let (test, seen, key) = started(daily()).await;
    let next = test.scheduler().trigger(&key).await.unwrap().unwrap().progress.next;
    let runs = test.scheduler().backfill(&key, february(10, 14)).await.unwrap();
    let stored = test.scheduler().all_runs(RunQuery::default()).await.unwrap();
    assert!(stored.iter().all(|run| run.queue.as_deref() == Some("reports")));
    assert!(
        stored.iter().all(|run| matches!(&run.cause, Cause::Backfill { trigger, .. } if *trigger == key))
    );
    test.run_due().await;
    let expected = ["2026-02-10", "2026-02-11", "2026-02-13"];
    assert_eq!(days(&seen), expected);
    let (_, cause, trigger, of) = seen.lock()[0].clone();
    assert_eq!((cause, &*trigger, &*of), (FiringCause::Backfill, "daily", "shop"));
    let after = test.scheduler().trigger(&key).await.unwrap().unwrap().progress.next;
    assert_eq!(after, next, "the trigger is where it was");

    let again = test.scheduler().backfill(&key, february(9, 14)).await.unwrap();
    assert!(matches!(again[0], EnqueueOutcome::Created(_)));
    let known: Vec<_> = again[1..].iter().map(|outcome| outcome.run()).collect();
    assert_eq!(known, runs.iter().map(|outcome| outcome.run()).collect::<Vec<_>>());
    assert!(again[1..].iter().all(|outcome| matches!(outcome, EnqueueOutcome::Existing(_))));
    test.run_due().await;
    assert_eq!(seen.lock().len(), 4);
}

#[tokio::test]
async fn the_newest_may_come_first_one_after_the_other() {
    let (test, seen, key) = started(daily()).await;
    let minute = Duration::from_secs(60);
    let call = test.scheduler().backfill(&key, february(1, 4)).newest_first().every(minute).queue("bulk");
    call.await.unwrap();
    let stored = test.scheduler().all_runs(RunQuery::default()).await.unwrap();
    assert!(stored.iter().all(|run| run.queue.as_deref() == Some("bulk")));
    test.run_due().await;
    assert_eq!(days(&seen), ["2026-02-03"]);
    test.advance(2 * minute).await;
    assert_eq!(days(&seen), ["2026-02-03", "2026-02-02", "2026-02-01"]);
}

#[tokio::test]
async fn more_than_was_meant_is_refused() {
    let (test, seen, key) = started(daily()).await;
    let error = test.scheduler().backfill(&key, february(1, 20)).at_most(17).await.unwrap_err().to_string();
    assert!(error.contains("trigger `daily` has more than 17 occurrences from 2026-02-01"), "{error}");
    assert_eq!(test.scheduler().backfill(&key, february(1, 20)).at_most(18).await.unwrap().len(), 18);
    test.run_due().await;
    assert_eq!(seen.lock().len(), 18);
    assert_eq!(test.scheduler().backfill(&key, february(20, 1)).await.unwrap(), []);
    let unknown = test.scheduler().backfill(&"dayly".parse().unwrap(), february(1, 2)).await.unwrap_err();
    assert!(unknown.to_string().contains("did you mean `daily`?"), "{unknown}");
}

/// Its times follow from its start, and a count ends them.
#[tokio::test]
async fn an_interval_has_no_occurrences_before_its_start() {
    let start = time("2026-02-03T06:00:00Z");
    let every = Trigger::every(Duration::from_secs(86_400)).start_at(start).repeat(4).name("daily");
    let (test, seen, key) = started(every).await;
    test.drain().await;
    seen.lock().clear();
    let (job, _) = reports();
    let trigger = Trigger::every(Duration::from_secs(86_400)).start_at(start).repeat(4).name("kept");
    test.scheduler()
        .schedule(job.detail().clone(), trigger.end_at(time("2027-01-01T00:00:00Z")))
        .await
        .unwrap();
    let kept = key.to_string().replace("daily", "kept").parse().unwrap();
    test.scheduler().backfill(&kept, february(1, 5)).await.unwrap();
    let all: Vec<_> = test.scheduler().all_runs(RunQuery::default()).await.unwrap();
    assert_eq!(all.len(), 2, "the third and the fourth of February");
    test.scheduler().backfill(&kept, february(5, 28)).await.unwrap();
    let all: Vec<_> = test.scheduler().all_runs(RunQuery::default()).await.unwrap();
    assert_eq!(all.len(), 5, "five in all");
}
