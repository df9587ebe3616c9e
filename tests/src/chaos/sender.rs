//! A client that enqueues runs while everything goes wrong, and keeps what it has promised outside of the store.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use scheduler_core::run::{Condition, Edge, RunId};
use scheduler_core::store::batches::InBatch;
use scheduler_core::store::{ChangeRuns, Changes as _, NewRun, RunChange};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_redis::RedisJobStore;

use super::{CALM, now};
use crate::history::{Promise, Window};
use crate::workload::{self, CALLBACK, MEMBERS, RUNS};

/// The pause between two calls.
const PAUSE: Duration = Duration::from_millis(40);

/// No call stores more.
const MOST: u64 = 3;

/// Of so many runs, one is cancelled at once and one after a while, and of those that wait one is enqueued twice.
const CANCELLED: u64 = 12;
const TWICE: u64 = 3;

/// How many calls later a run is cancelled.
const A_WHILE: u64 = 12;

/// The thread of the sender.
pub(super) struct Sender {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Promise>>,
}

impl Sender {
    pub(super) fn start(url: String, seed: u64) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let of_thread = is_over.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let thread = std::thread::spawn(move || runtime.block_on(send(&url, seed, of_thread)));
        Self { is_over, thread }
    }

    /// Ends once everything that was promised is stored.
    pub(super) fn end(self) -> Vec<Promise> {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.join().expect("it ends")
    }
}

async fn send(url: &str, seed: u64, is_over: Arc<AtomicBool>) -> Vec<Promise> {
    let builder = RedisJobStore::builder(url).name("chaos").answer_within(Duration::from_millis(500));
    let store = builder.start_within(CALM).connect().await.expect("the server comes back");
    let mut client = Client { store, chance: seed | 1, is_over, over_since: None, promises: Vec::new() };
    let mut later = Vec::new();
    for call in 0.. {
        if client.is_over() {
            break;
        }
        let first = client.promises.len();
        let runs = client.promise();
        let promised = first..client.promises.len();
        client.enqueue(promised.clone(), &runs).await;
        let waits = runs.iter().all(|run| (run.due - SystemClock.now()).num_milliseconds() > 500);
        if waits && client.below(TWICE) == 0 {
            client.enqueue(promised, &runs).await;
        }
        let chance = client.below(CANCELLED);
        match chance {
            0 => client.cancel(first).await,
            1 => later.push((call + A_WHILE, first)),
            _ => {}
        }
        if let Some(index) = later.iter().position(|(at, _)| *at == call) {
            client.cancel(later.swap_remove(index).1).await;
        }
        SystemClock.sleep(PAUSE).await;
    }
    client.promises
}

struct Client {
    store: RedisJobStore,
    chance: u64,
    is_over: Arc<AtomicBool>,
    over_since: Option<Duration>,
    promises: Vec<Promise>,
}

impl Client {
    fn below(&mut self, limit: u64) -> u64 {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % limit
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Some runs of one kind, a run and one that waits for its success, or a batch.
    fn promise(&mut self) -> Vec<NewRun> {
        let kind = usize::try_from(self.below(RUNS.len() as u64)).unwrap_or_default();
        if RUNS[kind].batch.is_some() {
            return self.promise_batch();
        }
        let Some(parent) = RUNS[kind].follows else {
            return (0..=self.below(MOST)).map(|_| self.promise_one(kind)).collect();
        };
        let mut runs = vec![self.promise_one(parent), self.promise_one(kind)];
        runs[1].after = vec![Edge::new(runs[0].id, Condition::Success)];
        self.promised_after(vec![runs[0].id]);
        runs
    }

    /// A batch that is stored with its runs, and with the one that begins when all of them have ended.
    fn promise_batch(&mut self) -> Vec<NewRun> {
        let now = DateTime::from_timestamp_millis(now()).expect("the present");
        let batch = workload::new_batch(self.promises.len() as u64, now);
        let mut runs: Vec<_> = MEMBERS.into_iter().map(|kind| self.promise_one(kind)).collect();
        runs.iter_mut().for_each(|run| run.batch = Some(InBatch::member(batch.id, None)));
        let mut callback = self.promise_one(CALLBACK);
        callback.after = vec![Edge::new(batch.id, Condition::Any)];
        callback.batch = Some(InBatch::callback(batch.id));
        self.promised_after(runs.iter().map(|run| run.id).collect());
        runs.insert(0, batch);
        runs.push(callback);
        runs
    }

    /// The latest promise is one of a run that begins after these.
    fn promised_after(&mut self, runs: Vec<RunId>) {
        self.promises.iter_mut().last().into_iter().for_each(|promise| promise.after.clone_from(&runs));
    }

    fn promise_one(&mut self, kind: usize) -> NewRun {
        let delay = TimeDelta::milliseconds(self.below(RUNS[kind].delay + 1).cast_signed());
        let due = DateTime::from_timestamp_millis(now()).expect("the present") + delay;
        let priority = 3 + i32::try_from(self.below(5)).unwrap_or_default();
        let run = workload::new_run(kind, self.promises.len() as u64, due, priority);
        let (calls, is_answered, is_cancelled) = (Vec::new(), false, false);
        let due = due.timestamp_millis();
        let after = Vec::new();
        self.promises.push(Promise { run: run.id, due, calls, is_answered, is_cancelled, after });
        run
    }

    /// Repeats the call under the same ids until it is answered.
    async fn enqueue(&mut self, promised: Range<usize>, runs: &[NewRun]) {
        loop {
            let begin = now();
            let is_answered = self.store.enqueue(runs.to_vec()).await.is_ok();
            let call = Window { begin, end: now() };
            for promise in &mut self.promises[promised.clone()] {
                promise.calls.push(call);
                promise.is_answered = is_answered;
            }
            if is_answered || self.gives_up() {
                return;
            }
            SystemClock.sleep(PAUSE).await;
        }
    }

    /// Repeats the call until it is answered.
    async fn cancel(&mut self, index: usize) {
        let promise = &mut self.promises[index];
        promise.is_cancelled = true;
        let run = promise.run;
        while self.cancel_once(run).await.is_err() && !self.gives_up() {
            SystemClock.sleep(PAUSE).await;
        }
    }

    async fn cancel_once(&self, run: RunId) -> scheduler_core::Result<()> {
        let now = SystemClock.now();
        self.store.change_runs(ChangeRuns::new(vec![run], RunChange::Cancel, now)).await.map(drop)
    }

    /// Nothing disturbs it any more, and still nobody answers.
    fn gives_up(&mut self) -> bool {
        let now = SystemClock.monotonic();
        self.is_over() && now > *self.over_since.get_or_insert(now) + CALM
    }
}
