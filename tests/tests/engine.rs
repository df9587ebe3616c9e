//! Two nodes on one store whose every call is held up at random, while triggers are paused, nodes rest and one shuts down:
//! each firing runs exactly once.
//!
//! The seeds decide what is done and how long each call takes, in turns of the executors; which thread wins is left to
//! the machine. `ENGINE_SEEDS=from..to` plays others.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use scheduler_core::job::{ExecutionId, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::decorator::Decorator;
use scheduler_core::store::*;
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_core::{JobKey, Scheduler, TriggerKey};

const NOW: &str = "2026-03-01T00:00:00Z";

/// xorshift: enough to scatter.
#[derive(Debug, Clone)]
struct Chance(Arc<Mutex<u64>>);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)))
    }

    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.lock();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % limit
    }

    async fn dawdle(&self) {
        for _ in 0..self.below(4) {
            tokio::task::yield_now().await;
        }
    }
}

/// Holds every call up, before and after it takes effect.
#[derive(Debug, Clone)]
struct Slow {
    store: MemoryJobStore,
    chance: Chance,
}

impl Slow {
    fn later<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            self.chance.dawdle().await;
            let result = call().await;
            self.chance.dawdle().await;
            result
        })
    }
}

impl Decorator for Slow {
    fn inner(&self) -> &dyn JobStore {
        &self.store
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        self.later(|| self.inner().attach(node))
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        self.later(move || self.inner().detach(session))
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        self.later(|| self.inner().acquire_due(request))
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.later(|| self.inner().fire(request))
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.later(|| self.inner().complete(request))
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.later(|| self.inner().release(claims))
    }

    fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
        self.later(|| self.inner().change(change))
    }

    fn query(&self, query: Query) -> StoreFuture<'_, Found> {
        self.later(|| self.inner().query(query))
    }
}

/// What has run, and how many runs of a job there are at once.
#[derive(Default)]
struct Log {
    runs: BTreeMap<(TriggerKey, DateTime<Utc>), usize>,
    running: BTreeMap<JobKey, usize>,
    overlapped: bool,
}

/// Triggers with their interval and how often they fire.
const TRIGGERS: [(&str, &str, u64, u32); 4] =
    [("one", "a", 10, 20), ("one", "b", 15, 12), ("many", "c", 7, 30), ("many", "d", 40, 5)];

fn node(clock: &ManualClock, store: &Slow, log: &Arc<Mutex<Log>>) -> Scheduler {
    let mut builder = Scheduler::builder().clock(clock.clone()).store(store.clone()).misfire(Misfire::Ignore);
    for name in ["one", "many"] {
        let log = log.clone();
        let body = move |context: JobContext| {
            let log = log.clone();
            async move {
                let job = context.job_key().clone();
                {
                    let mut log = log.lock();
                    let key = (context.trigger_key().clone(), context.scheduled_fire_time());
                    *log.runs.entry(key).or_default() += 1;
                    let running = log.running.entry(job.clone()).or_default();
                    *running += 1;
                    let overlaps = *running > 1 && context.job().disallow_concurrent();
                    log.overlapped |= overlaps;
                }
                context.clock().sleep(Duration::from_secs(3)).await;
                *log.lock().running.get_mut(&job).unwrap() -= 1;
            }
        };
        let detail = JobDetail::builder(name.parse().unwrap(), name)
            .disallow_concurrent(name == "one")
            .durable(true)
            .build();
        builder = builder.register(JobDefinition::new(detail, body));
    }
    builder.build().unwrap()
}

async fn play(seed: u64) {
    let (clock, chance, log) =
        (ManualClock::at(NOW), Chance::new(seed), Arc::new(Mutex::new(Log::default())));
    let store = Slow { store: MemoryJobStore::new(), chance: chance.clone() };
    let (first, second) = (node(&clock, &store, &log), node(&clock, &store, &log));
    first.start().await.unwrap();
    second.start().await.unwrap();
    for (job, name, seconds, times) in TRIGGERS {
        let job = first.job(&job.parse().unwrap()).await.unwrap();
        let detail = job.unwrap_or_else(|| {
            let name = TRIGGERS.iter().find(|row| row.1 == name).unwrap().0;
            Arc::new(
                JobDetail::builder(name.parse().unwrap(), name)
                    .disallow_concurrent(name == "one")
                    .durable(true)
                    .build(),
            )
        });
        let trigger = Trigger::every(Duration::from_secs(seconds)).repeat(times - 1).name(name);
        let begin: DateTime<Utc> = NOW.parse().unwrap();
        let invocation = scheduler_core::job::Invocation::new(detail);
        first.schedule(invocation, trigger.start_at(begin + TimeDelta::seconds(1))).await.unwrap();
    }
    let leaves = chance.below(60);
    for turn in 0..60 {
        disturb(&chance, &first, &second).await;
        if turn == leaves {
            let report = second.shutdown(Duration::from_secs(30));
            let advance = clock.advance(Duration::from_secs(31));
            tokio::join!(report, advance);
        }
        clock.advance(Duration::from_secs(chance.below(12))).await;
    }
    first.resume(Selection::All).await.unwrap();
    first.start().await.unwrap();
    clock.advance(Duration::from_secs(900)).await;
    let log = log.lock();
    assert!(!log.overlapped, "seed {seed}: two runs of `one` at once");
    let begin: DateTime<Utc> = NOW.parse().unwrap();
    for (_, name, seconds, times) in TRIGGERS {
        let key: TriggerKey = name.parse().unwrap();
        for number in 0..times {
            let due = begin + TimeDelta::seconds(1 + i64::from(number) * i64::try_from(seconds).unwrap());
            let runs = log.runs.get(&(key.clone(), due)).copied().unwrap_or_default();
            assert_eq!(runs, 1, "seed {seed}: runs of `{name}` due at {due}");
        }
    }
    let expected: u32 = TRIGGERS.iter().map(|row| row.3).sum();
    assert_eq!(log.runs.len(), expected as usize, "seed {seed}");
}

/// A trigger that has fired for the last time is gone, and cannot be paused or resumed.
fn unless_over(result: scheduler_core::Result<Vec<TriggerKey>>) {
    result.map(drop).or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) }).unwrap();
}

/// Something that must neither lose nor double a firing.
async fn disturb(chance: &Chance, first: &Scheduler, second: &Scheduler) {
    let trigger = || Selection::Trigger(TRIGGERS[chance.below(4) as usize].1.parse().unwrap());
    match chance.below(8) {
        0 => {
            let what = trigger();
            unless_over(first.pause(what.clone()).await);
            chance.dawdle().await;
            unless_over(first.resume(what).await);
        }
        1 => drop(first.pause(Selection::All).await.unwrap()),
        2 | 3 => drop(first.resume(Selection::All).await.unwrap()),
        4 => first.standby().unwrap(),
        5 | 6 => first.start().await.unwrap(),
        // It may have shut down.
        _ => drop(second.standby().and(second.start().await)),
    }
}

#[tokio::test]
async fn every_firing_runs_once_whatever_happens_beside_it() {
    let seeds = std::env::var("ENGINE_SEEDS").unwrap_or("0..200".to_owned());
    let (from, to) = seeds.split_once("..").expect("`from..to`");
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        play(seed).await;
    }
}
