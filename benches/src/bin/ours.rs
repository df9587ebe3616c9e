//! One workload, carried out once by this project: `ours W1 n=100000`. Prints one line of JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use benches::measure::{Lateness, Task, processor_time, resident};
use benches::{judge, limits, lists, node, steps};
use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::host::{Host, JobQueue};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::{Existing, MemoryJobStore};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{Result, Scheduler};
use serde_json::{Value, json};

/// How many jobs one call stores, where one stores many.
const BULK: usize = 1000;

/// When nothing has moved for so long, nothing will.
const STUCK: Duration = Duration::from_secs(5);

static DONE: AtomicUsize = AtomicUsize::new(0);

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

async fn sleep(time: Duration) {
    SystemClock.sleep(time).await;
}

/// A job of its own for each number.
fn job(number: usize) -> Invocation {
    let key = format!("j{number}").parse().expect("a key");
    Invocation::new(JobDetail::builder(key, "work").build())
}

/// One of so many jobs that run one at a time.
fn alone(number: usize, jobs: usize) -> Invocation {
    let key = format!("j{}", number % jobs).parse().expect("a key");
    Invocation::new(JobDetail::builder(key, "work").disallow_concurrent(true).build())
}

async fn count() {
    DONE.fetch_add(1, Ordering::Relaxed);
}

fn scheduler(task: &Task, work: JobDefinition) -> Scheduler {
    let concurrency = task.get("concurrency", 1000);
    let store = MemoryJobStore::keeping_history(task.get("history", 0));
    Scheduler::builder().store(store).concurrency(concurrency).register(work).build().expect("a scheduler")
}

fn counting(task: &Task) -> Scheduler {
    scheduler(
        task,
        JobDefinition::new(JobDetail::builder("work".parse().expect("a key"), "work").build(), count),
    )
}

/// A scheduler whose job notes how late it is.
fn noting(task: &Task, lateness: &Arc<Lateness>) -> Scheduler {
    let lateness = lateness.clone();
    let note = move |context: JobContext| {
        lateness.note(context.scheduled_fire_time(), now());
        async {}
    };
    scheduler(
        task,
        JobDefinition::new(JobDetail::builder("work".parse().expect("a key"), "work").build(), note),
    )
}

async fn add_all(
    scheduler: &Scheduler,
    numbers: std::ops::Range<usize>,
    trigger: impl Fn(usize) -> TriggerBuilder,
) -> Result<()> {
    add(scheduler, numbers, job, trigger, Existing::Refuse).await
}

async fn add(
    scheduler: &Scheduler,
    numbers: std::ops::Range<usize>,
    job: impl Fn(usize) -> Invocation,
    trigger: impl Fn(usize) -> TriggerBuilder,
    existing: Existing,
) -> Result<()> {
    let all: Vec<_> = numbers.collect();
    for part in all.chunks(BULK) {
        let pairs = part.iter().map(|number| (job(*number), trigger(*number).name(&format!("t{number}"))));
        scheduler.schedule_all(pairs, existing).await?;
    }
    Ok(())
}

/// Waits until so many have run, or nothing moves any more.
async fn wait_for(count: usize) -> bool {
    let (mut last, mut at) = (0, SystemClock.monotonic());
    loop {
        let done = DONE.load(Ordering::Relaxed);
        if done >= count {
            return true;
        }
        if done > last {
            (last, at) = (done, SystemClock.monotonic());
        } else if SystemClock.monotonic() - at > STUCK {
            return false;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Fires what is due at once.
async fn w1(task: &Task) -> Result<Value> {
    let (count, far) = (task.get("n", 100_000), task.get("far", 0));
    let scheduler = counting(task);
    let later = now() + TimeDelta::hours(10);
    add_all(&scheduler, count..count + far, |_| Trigger::at(later)).await?;
    let (due, begin) = (now(), SystemClock.monotonic());
    let jobs = task.get("alone", 0);
    if jobs == 0 {
        add_all(&scheduler, 0..count, |_| Trigger::at(due)).await?;
    } else {
        let job = |number| alone(number, jobs);
        add(&scheduler, 0..count, job, |_| Trigger::at(due), Existing::Keep).await?;
    }
    let added = SystemClock.monotonic() - begin;
    let (begin, used) = (SystemClock.monotonic(), processor_time());
    scheduler.start().await?;
    let complete = wait_for(count).await;
    let took = SystemClock.monotonic() - begin;
    let used = processor_time() - used;
    sleep(Duration::from_millis(200)).await;
    let done = DONE.load(Ordering::Relaxed);
    Ok(json!({
        "per_s": done as f64 / took.as_secs_f64(), "lost": count.saturating_sub(done), "twice": done.saturating_sub(count),
        "complete": complete, "cpu_us_per_fire": used.as_secs_f64() * 1e6 / count as f64,
        "added_per_s": count as f64 / added.as_secs_f64(),
    }))
}

/// A queue in memory, filled before its host begins.
async fn queue(task: &Task) -> Value {
    let jobs = task.get("n", 100_000);
    let queue = JobQueue::bounded(jobs).concurrency(task.get("concurrency", 1)).build();
    let detail = JobDetail::builder("work".parse().expect("a key"), "work").build();
    let job = Invocation::new(detail.clone());
    let host = Host::builder().register(JobDefinition::new(detail, count)).queue("jobs", queue.clone());
    let host = host.build().expect("a host");
    let begin = SystemClock.monotonic();
    for _ in 0..jobs {
        queue.enqueue(job.clone()).await.expect("there is room");
    }
    let added = SystemClock.monotonic() - begin;
    let begin = SystemClock.monotonic();
    tokio::spawn(host.run());
    let complete = wait_for(jobs).await;
    let took = SystemClock.monotonic() - begin;
    let done = DONE.load(Ordering::Relaxed);
    json!({
        "per_s": done as f64 / took.as_secs_f64(), "added_per_s": jobs as f64 / added.as_secs_f64(),
        "lost": jobs.saturating_sub(done), "twice": done.saturating_sub(jobs), "complete": complete,
    })
}

/// Triggers that come again each second.
async fn w2(task: &Task) -> Result<Value> {
    let (count, seconds) = (task.get("k", 100_000), task.get("seconds", 20));
    let spread = task.get("shape", "spread".to_owned()) == "spread";
    let lateness = Arc::new(Lateness::with_room(count * (seconds + 2)));
    let scheduler = noting(task, &lateness);
    let begin = now() + TimeDelta::milliseconds(1000 + count as i64 / 100);
    let first = |number: usize| {
        let offset = if spread { number as i64 * 1_000_000 / count as i64 } else { 0 };
        begin + TimeDelta::microseconds(offset)
    };
    let repeat = u32::try_from(seconds).expect("a few seconds") - 1;
    add_all(&scheduler, 0..count, |number| {
        Trigger::every(Duration::from_secs(1)).repeat(repeat).start_at(first(number))
    })
    .await?;
    scheduler.start().await?;
    sleep((begin - now()).to_std().unwrap_or_default()).await;
    let used = processor_time();
    sleep(Duration::from_secs(seconds as u64)).await;
    let fired = lateness.count();
    let used = (processor_time() - used).as_secs_f64();
    let mut found = lateness.summary();
    found["achieved"] = (fired as f64 / (count * seconds) as f64).into();
    found["cpu_s"] = used.into();
    found["cpu_us_per_fire"] = (used * 1e6 / fired as f64).into();
    Ok(found)
}

/// A hundred triggers at odd moments, beside many that are far away.
async fn w3(task: &Task) -> Result<Value> {
    let (far, window) = (task.get("far", 0), task.get("window", 10_000_u64));
    let lateness = Arc::new(Lateness::default());
    let scheduler = noting(task, &lateness);
    let later = now() + TimeDelta::hours(1);
    add_all(&scheduler, 0..far, |number| Trigger::at(later + TimeDelta::milliseconds(number as i64))).await?;
    scheduler.start().await?;
    sleep(Duration::from_secs(2)).await;
    let begin = now() + TimeDelta::milliseconds(500);
    let mut state = task.get("seed", 1_u64);
    for number in 0..100 {
        // Steele, Lea and Flood's SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let at = begin + TimeDelta::milliseconds((mixed % window) as i64);
        scheduler.schedule(job(far + number), Trigger::at(at).name(&format!("t{}", far + number))).await?;
    }
    sleep(Duration::from_millis(window + 1000)).await;
    let mut found = lateness.summary();
    found["fired"] = lateness.count().into();
    Ok(found)
}

/// Adding, one by one and many at once.
async fn w4(task: &Task) -> Result<Value> {
    let count = task.get("n", 100_000);
    let scheduler = counting(task);
    scheduler.start().await?;
    let later = now() + TimeDelta::hours(1);
    let trigger = |number: usize| Trigger::at(later + TimeDelta::milliseconds(number as i64));
    let (before, begin) = (resident(), SystemClock.monotonic());
    for number in 0..count {
        scheduler.schedule(job(number), trigger(number).name(&format!("t{number}"))).await?;
    }
    let (one, grown) = (SystemClock.monotonic() - begin, resident().saturating_sub(before));
    let begin = SystemClock.monotonic();
    add_all(&scheduler, count..2 * count, trigger).await?;
    let bulk = SystemClock.monotonic() - begin;
    Ok(json!({
        "one_per_s": count as f64 / one.as_secs_f64(), "bulk_per_s": count as f64 / bulk.as_secs_f64(),
        "bytes": grown as f64 / count as f64,
    }))
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        // As a node of the workloads with several processes.
        ["fill", what, count] => {
            let filled =
                node::fill(what, count.parse().expect("a number")).await.expect("the store is filled");
            return println!("{filled}");
        }
        ["work", folder, index] => {
            return node::work(folder.as_ref(), index, false).await.expect("it works");
        }
        ["work-long", folder, index] => {
            return node::work(folder.as_ref(), index, true).await.expect("it works");
        }
        _ => {}
    }
    let task = Task::from_command_line();
    let found = match task.workload.as_str() {
        "W1" => w1(&task).await,
        "W2" => w2(&task).await,
        "W3" => w3(&task).await,
        "W4" => w4(&task).await,
        "W5" => Ok(judge::w5(&task)),
        "recurring" => Ok(judge::recurring(&task)),
        "W6" => Ok(judge::w6(&task)),
        "W7" => Ok(judge::w7(&task)),
        "queue" => Ok(queue(&task).await),
        "lists" => Ok(lists::lists(&task)),
        "firings" => Ok(lists::firings(&task)),
        "spawn" => Ok(limits::spawn(&task).await),
        "scripts" => Ok(limits::scripts(&task).await.expect("Redis answers")),
        "repeat" => {
            let begin = SystemClock.monotonic();
            steps::repeat(&task.get("step", String::new()), task.get("n", 1000));
            Ok(json!({ "seconds": (SystemClock.monotonic() - begin).as_secs_f64() }))
        }
        other => panic!("there is no workload {other}"),
    };
    task.report(found.expect("the workload"));
    // What is still stored is not waited for.
    std::process::exit(0);
}
