//! What a page of a large list costs in the store in memory, and how long others wait for it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::TriggerKey;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::run::{FiringCause, RunId};
use scheduler_core::store::rows::Rows;
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::measure::Task;
use crate::steps::{begin, filled, now};

/// So many runs are stored by one call.
const BULK: usize = 1_000;

/// So many pages are timed.
const PAGES: usize = 1_000;

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Polls a query to its end, and notes how long each poll takes. A query holds the lock during a part of a poll.
fn answer<T>(
    query: impl Future<Output = scheduler_core::Result<T>>,
    polls: &mut Vec<Duration>,
) -> (T, Duration) {
    let (mut query, begin) = (pin!(query), SystemClock.monotonic());
    loop {
        let since = SystemClock.monotonic();
        let answer = query.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        polls.push(SystemClock.monotonic() - since);
        if let Poll::Ready(answer) = answer {
            return (answer.expect("the store answers"), SystemClock.monotonic() - begin);
        }
        std::thread::yield_now();
    }
}

/// Does something, while another thread asks the store for next to nothing; says how long its longest call took.
fn beside<T>(store: &MemoryJobStore, work: impl FnOnce() -> T) -> (T, Duration) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| {
            let (name, mut longest): (Arc<str>, _) = ("none".into(), Duration::ZERO);
            while !is_over.load(Ordering::Relaxed) {
                let begin = SystemClock.monotonic();
                now(store.mark(name.clone()));
                longest = longest.max(SystemClock.monotonic() - begin);
                std::thread::sleep(Duration::from_micros(20));
            }
            longest
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        (done, probe.join().expect("it asks"))
    })
}

/// Asks for page after page; says how many there were, what was found, and how long each took.
fn walk<T, C>(
    most: usize,
    mut page: impl FnMut(Option<C>) -> (Page<T, C>, Duration),
) -> (usize, Vec<Duration>) {
    let (mut found, mut times, mut after) = (0, Vec::new(), None);
    loop {
        let (page, time) = page(after.take());
        found += page.items.len();
        times.push(time);
        after = page.next;
        if after.is_none() || times.len() == most {
            times.sort_unstable();
            return (found, times);
        }
    }
}

struct Times {
    first: Duration,
    pages: Vec<Duration>,
    walk: Vec<Duration>,
    /// Those of the walk.
    polls: Vec<Duration>,
}

fn figures(name: &str, times: &mut Times, longest: Duration) -> Value {
    times.polls.sort_unstable();
    let Times { first, pages, walk, polls } = times;
    json!({
        format!("{name}_part_ms"): ms(polls[polls.len() / 2]),
        format!("{name}_part_99_ms"): ms(polls[polls.len() * 99 / 100]),
        format!("{name}_longest_part_ms"): ms(polls[polls.len() - 1]),
        format!("{name}_listing_ms"): ms(*first),
        format!("{name}_page_ms"): ms(pages[pages.len() / 2]),
        format!("{name}_longest_page_ms"): ms(pages[pages.len() - 1]),
        format!("{name}_walk_ms"): ms(walk.iter().sum()),
        format!("{name}_longest_wait_ms"): ms(longest),
    })
}

/// A store that keeps so many firing records, of a thousand triggers; every thousandth has failed.
fn recorded(count: usize) -> (MemoryJobStore, Duration) {
    let store = MemoryJobStore::keeping_history(count);
    let job = "work".parse::<scheduler_core::JobKey>().expect("a key");
    let triggers: Vec<TriggerKey> =
        (0..1000).map(|number| format!("t{number}").parse().expect("a key")).collect();
    let record = |number: u64| {
        let outcome =
            if number.is_multiple_of(1000) { FiringOutcome::Failed } else { FiringOutcome::Succeeded };
        let mut record =
            FiringRecord::new(job.clone(), 1, FiringCause::Schedule, (begin(), begin()), outcome);
        record.trigger = Some(triggers[number as usize * 7 % triggers.len()].clone());
        (record.run, record.execution) = (Some(RunId::new(1, number)), Some(ExecutionId::new(1, number)));
        Box::new(record)
    };
    let mut writing = Duration::ZERO;
    // Twice as many as are kept: the first half is evicted.
    for part in (0..2 * count as u64).collect::<Vec<_>>().chunks(BULK) {
        let records: Vec<_> = part.iter().map(|number| record(*number)).collect();
        let begin = SystemClock.monotonic();
        store.transact(|rows| {
            records.into_iter().for_each(|record| Rows::record(rows, record));
            Ok(())
        });
        writing += SystemClock.monotonic() - begin;
    }
    (store, writing)
}

/// `firings n=1000000`: what it costs to write so many firing records, and to list them by several filters.
#[must_use]
pub fn firings(task: &Task) -> Value {
    let count = task.get("n", 1_000_000);
    let (store, writing) = recorded(count);
    let nothing = {
        let mut query = FiringQuery::default();
        query.from = Some(begin() + TimeDelta::days(1));
        query
    };
    let filters = [
        ("all", FiringQuery::default()),
        ("trigger", FiringQuery::default().of_trigger("t7".parse().expect("a key"))),
        ("outcome", FiringQuery::default().with_outcomes([FiringOutcome::Failed, FiringOutcome::Lost])),
        ("run", FiringQuery::default().of_run(RunId::new(1, 2 * count as u64 - 7))),
        ("nothing", nothing),
    ];
    let mut all = serde_json::Map::new();
    all.insert("write_ns".to_owned(), json!(writing.as_nanos() as f64 / (2 * count) as f64));
    for (name, query) in filters {
        let mut polls = Vec::new();
        let ((found, pages), longest) = beside(&store, || {
            walk(PAGES, |after| {
                let mut query = query.clone();
                query.after = after;
                answer(store.firings(query), &mut polls)
            })
        });
        polls.sort_unstable();
        all.insert(format!("{name}_found"), json!(found));
        all.insert(format!("{name}_pages"), json!(pages.len()));
        all.insert(format!("{name}_page_ms"), json!(ms(pages[pages.len() / 2])));
        all.insert(format!("{name}_longest_page_ms"), json!(ms(pages[pages.len() - 1])));
        all.insert(format!("{name}_part_99_ms"), json!(ms(polls[polls.len() * 99 / 100])));
        all.insert(format!("{name}_longest_wait_ms"), json!(ms(longest)));
    }
    Value::Object(all)
}

/// `lists n=1000000`: so many triggers, and then so many runs.
#[must_use]
pub fn lists(task: &Task) -> Value {
    let count = task.get("n", 1_000_000);
    let store = filled(count);
    let idle = beside(&store, || std::thread::sleep(Duration::from_secs(1))).1;
    let (mut times, longest) = beside(&store, || {
        let mut polls = Vec::new();
        let triggers = |query: TriggerQuery, polls: &mut _| answer(store.triggers(query), polls);
        let first = triggers(TriggerQuery::default(), &mut polls).1;
        let pages =
            walk(PAGES, |after| triggers(TriggerQuery { after, ..TriggerQuery::default() }, &mut polls)).1;
        polls.clear();
        let state = Some(TriggerState::Error);
        let (found, walk) = walk(usize::MAX, |after| {
            triggers(TriggerQuery { after, state, ..TriggerQuery::default() }, &mut polls)
        });
        assert_eq!(found, 0, "no trigger is in error");
        Times { first, pages, walk, polls }
    });
    let mut all = figures("triggers", &mut times, longest);
    let store = MemoryJobStore::new();
    let job = JobDetail::builder("work".parse().expect("a key"), "work").build();
    for part in (0..count as u64).collect::<Vec<_>>().chunks(BULK) {
        let runs = part.iter().map(|number| NewRun::of(RunId::new(number % 10, *number), &job, begin()));
        now(store.enqueue(runs.collect()));
    }
    let query = |after| {
        let mut query = RunQuery::default();
        query.after = after;
        query
    };
    let (mut times, longest) = beside(&store, || {
        let mut polls = Vec::new();
        let runs = |query: RunQuery, polls: &mut _| answer(store.runs(query), polls);
        let first = runs(query(None), &mut polls).1;
        let pages = walk(PAGES, |after| runs(query(after), &mut polls)).1;
        polls.clear();
        let other = "other".parse::<scheduler_core::JobKey>().expect("a key");
        let walk = walk(usize::MAX, |after| runs(query(after).of_job(other.clone()), &mut polls)).1;
        Times { first, pages, walk, polls }
    });
    let of_runs = figures("runs", &mut times, longest);
    if let (Some(all), Value::Object(of_runs)) = (all.as_object_mut(), of_runs) {
        all.extend(of_runs);
        all.insert("idle_longest_wait_ms".to_owned(), json!(ms(idle)));
    }
    all
}
