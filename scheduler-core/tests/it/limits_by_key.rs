//! Limits of runs: so many of a key are under way at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use scheduler_core::client::{Enqueue, Obstacle};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobError};
use scheduler_core::run::{Limit, RunState};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{LimitOverride, LimitQuery, MemoryJobStore, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobData, Scheduler};

use crate::retrying::{NOW, detail, told};

/// How many runs of each key are under way, and the most of each that were.
pub(crate) type Counts = Arc<Mutex<BTreeMap<String, (usize, usize)>>>;

fn key_of(data: &JobData) -> String {
    data.get("key").unwrap().unwrap_or_default()
}

/// A job that takes a minute, of which two runs of each key may be under way.
pub(crate) fn counting() -> (JobDefinition, Counts) {
    let counts = Counts::default();
    let job = JobDefinition::new(detail("work"), {
        let counts = counts.clone();
        move |context: JobContext| {
            let (counts, key) = (counts.clone(), key_of(context.data()));
            async move {
                let add = |many: isize| {
                    let mut counts = counts.lock();
                    let (now, most) = counts.entry(key.clone()).or_default();
                    *now = now.saturating_add_signed(many);
                    *most = (*now).max(*most);
                };
                add(1);
                context.clock().sleep(Duration::from_secs(60)).await;
                add(-1);
            }
        }
    });
    (job.limit_by(|data| Limit::new("work", 2).key(key_of(data))), counts)
}

pub(crate) async fn start() -> (TestScheduler, Counts) {
    let (job, counts) = counting();
    let builder = Scheduler::builder().store(MemoryJobStore::keeping_history(1000)).register(job);
    (TestScheduler::start(NOW, builder).await.unwrap(), counts)
}

pub(crate) fn call(key: &str) -> Invocation {
    let with_data = detail("work").to_builder().data(JobData::new().with("key", key)).build();
    Invocation::new(with_data)
}

pub(crate) async fn running(test: &TestScheduler) -> usize {
    let query = RunQuery::default().in_state(RunState::Claimed);
    test.scheduler().runs(query).await.unwrap().items.len()
}

#[tokio::test]
async fn so_many_runs_of_a_key_are_under_way_as_its_job_allows() {
    let (test, counts) = start().await;
    for key in ["a", "a", "a", "a", "a", "b", "b", "b"] {
        test.scheduler().enqueue(call(key)).await.unwrap();
    }
    test.run_due().await;
    assert_eq!(running(&test).await, 4);
    test.advance(Duration::from_secs(61)).await;
    assert_eq!(running(&test).await, 3, "the next ones began at once");
    test.drain().await;
    let counts: Vec<_> = counts.lock().values().copied().collect();
    assert_eq!(counts, [(0, 2), (0, 2)]);
}

#[tokio::test]
async fn a_call_brings_further_limits_and_takes_the_place_of_one_of_the_job() {
    let (test, counts) = start().await;
    let enqueue = async |key: &str, limit: Limit| {
        test.scheduler().enqueue(call(key)).limit(limit).await.unwrap();
    };
    for key in ["a", "b", "c"] {
        enqueue(key, Limit::new("all", 3).weight(2)).await;
    }
    test.run_due().await;
    assert_eq!(running(&test).await, 1, "the limit of the call");
    test.drain().await;
    for _ in 0..4 {
        enqueue("d", Limit::new("work", 3).key("d")).await;
    }
    test.drain().await;
    assert_eq!(counts.lock()["d"], (0, 3), "three in place of two");
}

#[tokio::test]
async fn what_could_never_begin_is_refused() {
    let (test, _) = start().await;
    let limit = || Limit::new("api", 5);
    for (limits, expected) in [
        (vec![limit().weight(6)], "limit `api` allows 5 and the weight of the run is 6"),
        (vec![Limit::new("api", 0)], "limit `api` allows 0"),
        (vec![limit().weight(0)], "the weight of limit `api` is 0"),
        (vec![Limit::new("", 1)], "the name `` of a limit is empty"),
        (vec![Limit::new("a\0b", 1)], "the name `a\\0b` of a limit"),
        (vec![limit(), limit()], "has the limit `api` twice"),
        (vec![limit().key(1), limit().key(2), limit().key(3), limit()], "has 5 limits; use at most 4"),
    ] {
        let call = limits.into_iter().fold(test.scheduler().enqueue(call("a")), Enqueue::limit);
        let error = call.await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains(expected), "{error}");
    }
    assert!(test.scheduler().runs(RunQuery::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_function_that_panics_fails_its_own_call() {
    let job = JobDefinition::new(detail("work"), || async {});
    let job = job.limit_by(|data| match &*key_of(data) {
        "bad" => panic!("no such customer"),
        key => Limit::new("work", 1).key(key),
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let error = test.scheduler().enqueue(call("bad")).await.unwrap_err();
    assert!(error.to_string().contains("the function that makes its limit"), "{error}");
    assert!(error.to_string().contains("no such customer"), "{error}");
    test.scheduler().enqueue(call("good")).await.unwrap();
    test.drain().await;
}

#[tokio::test]
async fn a_long_key_is_one_key() {
    let (test, counts) = start().await;
    let (long, other) = ("ä".repeat(500), "ä".repeat(501));
    for key in [&long, &long, &long, &other] {
        test.scheduler().enqueue(call(key)).await.unwrap();
    }
    test.run_due().await;
    assert_eq!(running(&test).await, 3);
    test.drain().await;
    assert_eq!(counts.lock()[&long], (0, 2));
}

#[tokio::test]
async fn a_job_that_is_asked_for_a_pause_stops_all_runs_of_its_limit_and_key() {
    let (key, pause) = (|data: &JobData| Limit::new("api", 9).key(key_of(data)), Duration::from_secs(60));
    let begun = Arc::new(Mutex::new(Vec::new()));
    let job = JobDefinition::new(detail("work"), {
        let begun = begun.clone();
        move |context: JobContext| {
            let mut begun = begun.lock();
            begun.push((key_of(context.data()), context.attempt()));
            let is_first = begun.len() == 1;
            async move { if is_first { Err(JobError::throttled("api", pause)) } else { Ok(()) } }
        }
    });
    let builder = Scheduler::builder().register(job.limit_by(key)).concurrency(1);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let mut events = test.scheduler().events();
    let runs = test.scheduler().enqueue_all(["a", "a", "b"].map(call)).await.unwrap();
    test.run_due().await;
    let text =
        |of: &[(&str, u32)]| of.iter().map(|(key, number)| ((*key).to_owned(), *number)).collect::<Vec<_>>();
    assert_eq!(*begun.lock(), text(&[("a", 1), ("b", 1)]), "the other run of this key waits, too");
    test.advance(pause).await;
    assert_eq!(*begun.lock(), text(&[("a", 1), ("b", 1), ("a", 1), ("a", 1)]), "the attempt did not count");
    let mut paused = Vec::new();
    while let Some(event) = told(&mut events).await {
        if let Event::Throttled { run, limit, until, .. } = event {
            paused.push((run, limit.to_string(), until));
        }
    }
    let until = NOW.parse::<DateTime<Utc>>().unwrap() + pause;
    assert_eq!(paused, [(runs[0], "api".to_owned(), until)]);
}

#[tokio::test]
async fn an_occurrence_that_is_asked_for_a_pause_waits_alone() {
    let begun = Arc::new(AtomicUsize::new(0));
    let job = JobDefinition::new(detail("work"), {
        let begun = begun.clone();
        move || {
            let is_first = begun.fetch_add(1, Ordering::SeqCst) == 0;
            let pause = Duration::from_secs(60);
            async move { if is_first { Err(JobError::throttled("api", pause)) } else { Ok(()) } }
        }
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.scheduler().schedule(call("a"), Trigger::now()).await.unwrap();
    test.run_due().await;
    let waiting = test.scheduler().all_runs(RunQuery::default()).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].attempts, waiting[0].state), (1, 0, RunState::Waiting));
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_cap_that_is_set_while_runs_wait_holds_at_once_and_is_told() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let mut events = scheduler.events();
    let runs = scheduler.enqueue_all((0..6).map(|_| call("a"))).await.unwrap();
    test.run_due().await;
    assert_eq!(running(&test).await, 2);
    let cap = LimitOverride::of(4).because("more machines").by("ada");
    scheduler.set_limit("work", Some("a"), cap).await.unwrap();
    test.run_due().await;
    assert_eq!(running(&test).await, 4);
    let limit = scheduler.limits(LimitQuery::of("work")).await.unwrap().items.remove(0);
    assert_eq!((limit.key.as_deref(), limit.cap, limit.declared), (Some("a"), Some(4), Some(2)));
    assert_eq!((limit.used, limit.waiting, limit.holders.len()), (4, 2, 4));
    let set = limit.overridden.unwrap();
    let text = "4 since 2026-03-01 00:00:00 UTC by ada: more machines";
    assert_eq!((set.author.as_deref(), set.to_string()), (Some("ada"), text.to_owned()));

    scheduler.set_limit("work", None, LimitOverride::of(0)).await.unwrap();
    scheduler.reset_limit("work", Some("a")).await.unwrap();
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(running(&test).await, 0, "the cap of all keys holds");
    let why = scheduler.explain_run(runs[5]).await.unwrap().unwrap().to_string();
    assert!(why.contains("limit `work/a` has no room: 0 of 0 are used; the cap was set to 0 since"), "{why}");
    scheduler.reset_limit("work", None).await.unwrap();
    test.run_due().await;
    assert_eq!(running(&test).await, 2);

    let mut changes = Vec::new();
    while let Some(event) = told(&mut events).await {
        if let Event::LimitChanged { name, key, cap } = event {
            changes.push((name.to_string(), key.map(|key| key.to_string()), cap));
        }
    }
    let (name, key) = (|| "work".to_owned(), || Some("a".to_owned()));
    assert_eq!(
        changes,
        [(name(), key(), Some(4)), (name(), None, Some(0)), (name(), key(), None), (name(), None, None)]
    );
    let refused = scheduler.set_limit("", None, LimitOverride::of(1)).await.unwrap_err();
    assert!(refused.to_string().contains("the name `` of a limit is empty"), "{refused}");
}

#[tokio::test]
async fn a_run_that_waits_for_its_limits_says_for_which_and_until_when() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let rate = || Limit::rate("api", 1, Duration::from_secs(600));
    let runs = [
        scheduler.enqueue(call("a")).limit(Limit::new("work", 1).key("a")).limit(rate()).await.unwrap(),
        scheduler.enqueue(call("b")).limit(rate()).await.unwrap(),
        scheduler.enqueue(call("a")).limit(Limit::new("work", 2).key("a").weight(2)).await.unwrap(),
        scheduler.enqueue(call("c")).delay(Duration::from_secs(60)).await.unwrap(),
    ];
    test.run_due().await;
    let why = async |run| scheduler.explain_run(run).await.unwrap().unwrap();
    assert!(why(runs[0]).await.reasons.is_empty(), "it is under way");
    let of_rate = why(runs[1]).await.to_string();
    assert!(
        of_rate.contains("limit `api` has no room: 1 of 1 are used; it opens at 2026-03-01 00:10:00 UTC"),
        "{of_rate}"
    );
    let of_key = why(runs[2]).await;
    let Obstacle::Limited { limit, weight } = &of_key.reasons[0] else { panic!("{of_key}") };
    assert_eq!((limit.name.as_ref(), limit.used, limit.holders[0].run, *weight), ("work", 1, runs[0], 2));
    assert!(of_key.to_string().contains("1 of 2 are used, and the run needs 2;"), "{of_key}");
    let later = why(runs[3]).await;
    assert!(matches!(&*later.reasons, [Obstacle::NotYetDue { .. }]), "{later}");
}
