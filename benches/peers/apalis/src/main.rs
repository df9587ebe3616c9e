//! A node of apalis: `fill due|far|long N`, `work FOLDER INDEX`, `work-long FOLDER INDEX`; or its queue in memory, `memory n=N`.
//! Which Redis, and how: REDIS_URL, BATCH, LEAN=1 for no locks and events (results are kept, so that runs are acknowledged),
//! TIGHT=1 for a heartbeat each second of which two may be missed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    number: usize,
}

static RUNS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BEGUN: OnceLock<Mutex<File>> = OnceLock::new();

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

async fn note(item: Item) -> Result<(), BoxDynError> {
    RUNS.lock().expect("nobody panics").push(item.number);
    COUNT.fetch_add(1, Relaxed);
    Ok(())
}

async fn long(item: Item) -> Result<(), BoxDynError> {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let begun = BEGUN.get().expect("it is there");
    writeln!(begun.lock().expect("nobody panics"), "{} {micros}", item.number)?;
    tokio::time::sleep(Duration::from_secs(600)).await;
    Ok(())
}

async fn count(_: usize) -> Result<(), BoxDynError> {
    COUNT.fetch_add(1, Relaxed);
    Ok(())
}

async fn storage() -> RedisStorage<Item> {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let lean = setting("LEAN", 0) == 1;
    let mut config = Config::default()
        .queue("bench")
        .batch_size(setting("BATCH", 10))
        .lock_tasks(!lean)
        .persist_results(true)
        .emit_events(!lean);
    if setting("TIGHT", 0) == 1 {
        config = config.heartbeat_interval(Duration::from_secs(1)).missed_heartbeats(2);
    }
    RedisStorage::new(apalis_redis::connect(url).await.expect("a server")).with_config(config)
}

async fn fill(what: &str, count: usize) {
    let mut store = storage().await;
    let single = if what == "due" { (count / 2).min(2000) } else { 0 };
    let begin = Instant::now();
    for number in 0..single {
        store.push(Item { number }).await.expect("it is stored");
    }
    let one = single as f64 / begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for from in (single..count).step_by(1000) {
        let items = (from..count.min(from + 1000)).map(|number| Item { number });
        if what == "far" {
            for item in items {
                let later = TaskBuilder::new(item).run_after(Duration::from_secs(3600)).build();
                store.push_task(later).await.expect("it is stored");
            }
        } else {
            store.push_bulk(items.collect()).await.expect("it is stored");
        }
    }
    let bulk = (count - single) as f64 / begin.elapsed().as_secs_f64();
    let one = if single > 0 { one.to_string() } else { "null".to_owned() };
    println!("{{\"one_per_s\":{one},\"bulk_per_s\":{bulk}}}");
}

async fn work(folder: PathBuf, index: String, is_long: bool) {
    let begun = File::create(folder.join(format!("begun.{index}"))).expect("a file");
    BEGUN.set(Mutex::new(begun)).expect("once");
    let store = storage().await;
    std::fs::write(folder.join(format!("ready.{index}")), "").expect("a file");
    while !folder.join("go").exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let name = format!("node-{index}-{}", std::process::id());
    let worker = async {
        let builder = WorkerBuilder::new(name).backend(store);
        let ended = if is_long {
            builder.parallelize(tokio::spawn).build(long).run().await
        } else {
            builder.build(note).run().await
        };
        if let Err(error) = ended {
            eprintln!("the worker has ended: {error}");
        }
    };
    tokio::join!(worker, report(&folder, &index));
}

/// Says how many have run; at the end which.
async fn report(folder: &Path, index: &str) {
    let (mut last, poll) = (usize::MAX, Duration::from_millis(setting("POLL", 5) as u64));
    while !folder.join("stop").exists() {
        let count = COUNT.load(Relaxed);
        if count != last {
            std::fs::write(folder.join(format!("count.{index}")), count.to_string()).expect("a file");
            last = count;
        }
        tokio::time::sleep(poll).await;
    }
    let runs: String = RUNS.lock().expect("nobody panics").iter().map(|number| format!("{number}\n")).collect();
    std::fs::write(folder.join(format!("runs.{index}")), runs).expect("a file");
    std::process::exit(0);
}

/// So many jobs are put into the queue in memory, then one worker begins.
async fn memory(jobs: usize) {
    let mut store = MemoryStorage::new();
    let begin = Instant::now();
    for number in 0..jobs {
        store.push(number).await.expect("it is stored");
    }
    let added = jobs as f64 / begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let report = async {
        while COUNT.load(Relaxed) < jobs {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let per_s = jobs as f64 / begin.elapsed().as_secs_f64();
        println!("{{\"per_s\":{per_s},\"added_per_s\":{added},\"lost\":0,\"twice\":{}}}", COUNT.load(Relaxed) - jobs);
        std::process::exit(0);
    };
    let worker = async {
        if setting("TASKS", 0) == 1 {
            WorkerBuilder::new("memory").backend(store).parallelize(tokio::spawn).build(count).run().await
        } else {
            WorkerBuilder::new("memory").backend(store).build(count).run().await
        }
    };
    let _ = tokio::join!(worker, report);
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words[0].as_str() {
        "fill" => fill(&words[1], words[2].parse().expect("a number")).await,
        "work" => work(words[1].clone().into(), words[2].clone(), false).await,
        "work-long" => work(words[1].clone().into(), words[2].clone(), true).await,
        "memory" => memory(words[1].trim_start_matches("n=").parse().expect("a number")).await,
        other => panic!("there is no command {other}"),
    }
}
