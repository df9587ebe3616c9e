//! A node of ours in the workloads of several processes: fills the store, or runs what is in it. The [judge](crate::judge) tells
//! it what to do.

use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::run::RunId;
use scheduler_core::store::Existing;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{Result, Scheduler};
use scheduler_redis::RedisJobStore;
use serde_json::{Value, json};

/// How many jobs one call stores, where one stores many.
pub const BULK: usize = 1000;

/// The name of the store.
pub const STORE: &str = "bench";

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn store() -> Result<RedisJobStore> {
    let url = setting("REDIS_URL", String::new());
    let lease = Duration::from_millis(setting("LEASE", 9000));
    let records = setting("HISTORY", 0);
    RedisJobStore::builder(&url).name(STORE).lease(lease).keep_history(records).connect().await
}

fn work_detail() -> JobDetail {
    JobDetail::builder("work".parse().expect("a key"), "work").build()
}

/// What a store is filled with.
struct Filling {
    /// A prefix of names.
    prefix: &'static str,
    due: DateTime<Utc>,
    recovers: bool,
    /// So many jobs that allow one run at a time share the triggers; 0 for a job of its own for each trigger.
    alone: usize,
    /// The triggers fire each second and not once.
    recurs: bool,
}

impl Filling {
    fn pair(&self, number: usize) -> (Invocation, TriggerBuilder) {
        let (prefix, shared) = (self.prefix, self.alone > 0);
        let of_job = if shared { number % self.alone } else { number };
        let key = format!("{prefix}j{of_job}").parse().expect("a key");
        let job =
            JobDetail::builder(key, "work").requests_recovery(self.recovers).disallow_concurrent(shared);
        let trigger = match self.recurs {
            true => Trigger::every(Duration::from_secs(1)).start_at(self.due),
            false => Trigger::at(self.due),
        };
        (Invocation::new(job.build()), trigger.name(&format!("{prefix}t{number}")))
    }

    async fn add(&self, scheduler: &Scheduler, numbers: Range<usize>) -> Result<()> {
        let existing = if self.alone > 0 { Existing::Keep } else { Existing::Refuse };
        let all: Vec<_> = numbers.collect();
        for part in all.chunks(BULK) {
            scheduler.schedule_all(part.iter().map(|number| self.pair(*number)), existing).await?;
        }
        Ok(())
    }
}

/// Stores so many jobs: `due` ones, some of them one by one; `far` ones; `every` second ones; or `long` ones, which are repeated if
/// their node dies.
pub async fn fill(what: &str, count: usize) -> Result<Value> {
    let nothing = JobDefinition::new(work_detail(), || async {});
    let scheduler = Scheduler::builder().store(store().await?).register(nothing).build()?;
    let now = SystemClock.now();
    let (due, prefix) = match what {
        "far" => (now + TimeDelta::hours(1), "far-"),
        _ => (now - TimeDelta::seconds(1), ""),
    };
    if setting("RUNS", 0) == 1 && what == "due" {
        return enqueue(&scheduler, count).await;
    }
    let (recovers, recurs) = (what == "long", what == "every");
    let filling = Filling { prefix, due, recovers, alone: setting("ALONE", 0), recurs };
    let single = if what == "due" && filling.alone == 0 { (count / 2).min(2000) } else { 0 };
    let begin = SystemClock.monotonic();
    for number in 0..single {
        let (job, trigger) = filling.pair(number);
        scheduler.schedule(job, trigger).await?;
    }
    let one = SystemClock.monotonic() - begin;
    let begin = SystemClock.monotonic();
    filling.add(&scheduler, single..count).await?;
    let bulk = (count - single) as f64 / (SystemClock.monotonic() - begin).as_secs_f64();
    let one = (single > 0).then(|| single as f64 / one.as_secs_f64());
    Ok(json!({ "one_per_s": one, "bulk_per_s": bulk }))
}

/// What a run of the bench is given: its number, and so much more that its data has about 100 bytes.
fn numbered(number: usize) -> Invocation {
    let args = json!({ "n": number, "text": "x".repeat(80) });
    Invocation::with_args(work_detail(), &args)
}

/// Stores this many runs: some one by one, some by many callers at once, the rest in bulk. Runs with names are not stored in bulk.
async fn enqueue(scheduler: &Scheduler, count: usize) -> Result<Value> {
    let (single, is_named) = ((count / 4).min(2000), setting("NAMED", 0) == 1);
    let one = by_callers(scheduler, 0..single, 1, is_named).await?;
    let end = if is_named { count } else { 2 * single };
    let many = by_callers(scheduler, single..end, CALLERS, is_named).await?;
    if is_named {
        return Ok(json!({ "one_per_s": one, "many_per_s": many }));
    }
    let begin = SystemClock.monotonic();
    let numbers: Vec<_> = (end..count).collect();
    for part in numbers.chunks(BULK) {
        scheduler.enqueue_all(part.iter().map(|number| numbered(*number))).await?;
    }
    let bulk = (count - end) as f64 / (SystemClock.monotonic() - begin).as_secs_f64();
    Ok(json!({ "one_per_s": one, "many_per_s": many, "bulk_per_s": bulk }))
}

/// Runs stored per second by this many callers at once. Each caller stores one run after another.
async fn by_callers(
    scheduler: &Scheduler,
    numbers: Range<usize>,
    callers: usize,
    is_named: bool,
) -> Result<f64> {
    let begin = SystemClock.monotonic();
    let callers = (0..callers).map(|caller| {
        let (scheduler, numbers) = (scheduler.clone(), numbers.clone().skip(caller).step_by(callers));
        tokio::spawn(async move {
            for number in numbers {
                let enqueue = scheduler.enqueue(numbered(number));
                if is_named {
                    enqueue.id(RunId::from_key(&format!("work {number}"))).await?;
                } else {
                    enqueue.await?;
                }
            }
            Ok::<_, scheduler_core::Error>(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no caller panics")?;
    }
    Ok(numbers.len() as f64 / (SystemClock.monotonic() - begin).as_secs_f64())
}

/// So many callers enqueue at once.
const CALLERS: usize = 64;

/// A worker's whole life. With `long` each run is noted at once and goes on until the process is killed.
pub async fn work(folder: &Path, index: &str, long: bool) -> Result<()> {
    let (runs, count) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
    let (of_job, of_run) = (runs.clone(), count.clone());
    let begun =
        Arc::new(Mutex::new(std::fs::File::create(folder.join(format!("begun.{index}"))).expect("a file")));
    let run = move |context: JobContext| {
        let number = context.trigger_key().name().trim_start_matches('t');
        if long {
            // What repeats a run of a dead node is a trigger of its own.
            let number = context.job_key().name().trim_start_matches('j');
            let line = format!("{number} {}\n", SystemClock.now().timestamp_micros());
            begun.lock().write_all(line.as_bytes()).expect("it can be written");
        } else {
            let mut runs = of_job.lock();
            match context.data().get::<usize>("n") {
                Ok(Some(number)) => runs.push_str(&number.to_string()),
                _ => runs.push_str(number),
            }
            runs.push('\n');
        }
        of_run.fetch_add(1, Ordering::Relaxed);
        async move {
            if long {
                SystemClock.sleep(Duration::from_secs(600)).await;
            }
        }
    };
    let store = store().await?;
    let scheduler = Scheduler::builder()
        .store(store.clone())
        .concurrency(setting("CONCURRENCY", 1000))
        .register(JobDefinition::new(work_detail(), run))
        .build()?;
    // Renamed when it is complete, so that the judge never reads half a file.
    let write = |name: &str, text: &str| {
        let (half, whole) =
            (folder.join(format!("half.{name}.{index}")), folder.join(format!("{name}.{index}")));
        std::fs::write(&half, text).and_then(|()| std::fs::rename(half, whole)).expect("a file");
    };
    write("ready", "");
    while !folder.join("go").exists() {
        SystemClock.sleep(Duration::from_millis(1)).await;
    }
    scheduler.start().await?;
    let mut last = usize::MAX;
    while !folder.join("stop").exists() {
        let now = count.load(Ordering::Relaxed);
        if now != last {
            write("count", &now.to_string());
            last = now;
        }
        SystemClock.sleep(Duration::from_millis(setting("POLL", 5))).await;
    }
    let commits = store.commits();
    write("commits", &format!("{} {}", commits.made, commits.refused));
    write("runs", &runs.lock());
    std::process::exit(0)
}
