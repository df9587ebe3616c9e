//! Pages of the store in memory: what they hold up, and how much they look at.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::TriggerKey;
use scheduler_core::job::JobDetail;
use scheduler_core::run::RunId;
use scheduler_core::store::*;
use scheduler_core::trigger::Trigger;

fn begin() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn work() -> JobDetail {
    JobDetail::builder("work".parse().unwrap(), "work").build()
}

/// Polls a query to its end.
fn run<T>(query: impl Future<Output = scheduler_core::Result<T>>) -> T {
    let mut query = std::pin::pin!(query);
    loop {
        if let Poll::Ready(answer) = query.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return answer.unwrap();
        }
    }
}

/// A store with so many triggers of one job that are due in an hour.
fn filled(count: usize) -> MemoryJobStore {
    let store = MemoryJobStore::new();
    let (wake, stop) = (Arc::new(|| {}), Arc::new(|_, _| {}));
    run(store.attach(Node {
        session: 1,
        name: "node".into(),
        types: None,
        queues: QueueFilter::default(),
        wake,
        stop,
    }));
    let later = (0..count).map(|number| (format!("t{number:06}"), begin() + TimeDelta::hours(1)));
    put(&store, later);
    store
}

fn put(store: &MemoryJobStore, triggers: impl Iterator<Item = (String, DateTime<Utc>)>) {
    let built = |(name, at): (String, _)| {
        let trigger = Trigger::at(at).name(&name).for_job("work").build(begin()).unwrap();
        let progress = trigger.first(None);
        (Arc::new(trigger), progress)
    };
    let (existing_jobs, existing_triggers) = (Existing::Keep, Existing::Refuse);
    let triggers = triggers.map(built).collect();
    run(store.put(Put { jobs: vec![Arc::new(work())], existing_jobs, triggers, existing_triggers }));
}

fn acquire(store: &MemoryJobStore, now: DateTime<Utc>) -> Acquired {
    let limits = QueueLimits::default();
    run(store.acquire_due(AcquireDue {
        session: 1,
        now,
        until: now,
        max: 10,
        limits,
        shares: Vec::new(),
        late: None,
        heard: None,
    }))
}

fn key(name: &str) -> TriggerKey {
    name.parse().unwrap()
}

fn paused() -> TriggerQuery {
    TriggerQuery { state: Some(TriggerState::Paused), ..TriggerQuery::default() }
}

#[test]
fn a_trigger_fires_between_two_parts_of_a_long_walk() {
    let store = filled(20_000);
    // Once while the listing is made, and once while the rows are looked at.
    for listing in ["new", "old"] {
        put(&store, [(format!("due/{listing}"), begin())].into_iter());
        let mut walk = store.triggers(paused());
        let mut context = Context::from_waker(Waker::noop());
        assert!(walk.as_mut().poll(&mut context).is_pending(), "{listing} listing: a part is not all");
        let mut acquired = acquire(&store, begin());
        assert_eq!(acquired.triggers.len(), 1, "{listing} listing");
        let due = acquired.triggers.remove(0);
        let progress = due.trigger.fired(&due.progress, None);
        let firings = vec![Firing { claim: due.claim, progress, dropped: None }];
        let fired = run(store.fire(Fire { now: begin(), firings })).remove(0);
        assert!(matches!(fired, FireResult::Run { .. }), "{listing} listing: {fired:?}");
        let executions = vec![Completion::of(due.claim)];
        run(store.complete(Complete { now: begin(), executions }));
        assert!(walk.as_mut().poll(&mut context).is_pending(), "{listing} listing: the walk goes on");
        assert!(run(walk).items.is_empty());
    }
}

#[test]
fn a_rare_filter_looks_at_so_many_rows_for_a_page() {
    let store = filled(150_000);
    let what = Selection::Trigger(key("t149999"));
    run(store.pause(Pause { what, note: PauseNote::at(begin()) }));
    let (mut query, mut pages) = (paused(), Vec::new());
    loop {
        let page = run(store.triggers(query.clone()));
        assert!(page.looked_at <= 20 * 4_096, "{}", page.looked_at);
        pages.push((page.items.len(), page.complete));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(pages, [(0, false), (0, false), (1, true)]);
}

#[test]
fn a_page_without_a_filter_looks_at_no_more_than_it_shows() {
    let store = filled(20_000);
    let page = run(store.triggers(TriggerQuery { after: Some(key("t010000")), ..TriggerQuery::default() }));
    assert_eq!((page.items.len(), page.looked_at, page.next), (100, 100, Some(key("t010100"))));
}

#[test]
fn pages_follow_what_is_added_and_removed() {
    let store = MemoryJobStore::new();
    let (mut stored, mut chance) = (BTreeSet::new(), 1_u64);
    let mut random = move |below: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % below
    };
    for round in 0..60 {
        let numbers: BTreeSet<_> = (0..random(400)).map(|_| random(50_000)).collect();
        let (work, before) = (work(), round % 3 == 2);
        let runs = |numbers: &BTreeSet<u64>| numbers.iter().map(|number| RunId::new(1, *number)).collect();
        if before {
            let gone = stored.iter().copied().filter(|_| random(3) == 0).collect();
            run(store.change_runs(ChangeRuns::new(runs(&gone), RunChange::Delete, begin())));
            stored.retain(|number| !gone.contains(number));
        }
        run(store.enqueue(
            runs(&numbers).into_iter().map(|id| NewRun::of(id, &work, begin())).collect::<Vec<_>>(),
        ));
        stored.extend(numbers);
        let (mut query, mut shown) = (RunQuery::default(), Vec::new());
        query.limit = Some(97);
        loop {
            let page = run(store.runs(query.clone()));
            shown.extend(page.items.iter().map(|run| run.id.count()));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert!(shown.iter().eq(&stored), "round {round}: each once and in order");
    }
}
