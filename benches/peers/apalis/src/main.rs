//! A node of apalis: `fill N` or `work FOLDER INDEX`. Which Redis, and how: REDIS_URL,
//! BATCH, and LEAN=1 for no locks and events (results are kept, so that runs are acknowledged).

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    number: usize,
}

static RUNS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

async fn note(item: Item) -> Result<(), BoxDynError> {
    RUNS.lock().expect("nobody panics").push(item.number);
    COUNT.fetch_add(1, Relaxed);
    Ok(())
}

async fn storage() -> RedisStorage<Item> {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let lean = setting("LEAN", 0) == 1;
    let config = Config::default()
        .queue("bench")
        .batch_size(setting("BATCH", 10))
        .lock_tasks(!lean)
        .persist_results(true)
        .emit_events(!lean);
    RedisStorage::new(apalis_redis::connect(url).await.expect("a server")).with_config(config)
}

async fn fill(count: usize) {
    let mut store = storage().await;
    let single = (count / 2).min(2000);
    let begin = Instant::now();
    for number in 0..single {
        store.push(Item { number }).await.expect("it is stored");
    }
    let one = single as f64 / begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for from in (single..count).step_by(1000) {
        let items = (from..count.min(from + 1000)).map(|number| Item { number }).collect();
        store.push_bulk(items).await.expect("it is stored");
    }
    let bulk = (count - single) as f64 / begin.elapsed().as_secs_f64();
    println!("{{\"one_per_s\":{one},\"bulk_per_s\":{bulk}}}");
}

async fn work(folder: PathBuf, index: String) {
    let store = storage().await;
    std::fs::write(folder.join(format!("ready.{index}")), "").expect("a file");
    while !folder.join("go").exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let name = format!("node-{index}-{}", std::process::id());
    let worker = async {
        if let Err(error) = WorkerBuilder::new(name).backend(store).build(note).run().await {
            eprintln!("the worker has ended: {error}");
        }
    };
    tokio::join!(worker, report(&folder, &index));
}

/// Says how many have run; at the end which.
async fn report(folder: &Path, index: &str) {
    let mut last = usize::MAX;
    while !folder.join("stop").exists() {
        let count = COUNT.load(Relaxed);
        if count != last {
            std::fs::write(folder.join(format!("count.{index}")), count.to_string()).expect("a file");
            last = count;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let runs: String = RUNS.lock().expect("nobody panics").iter().map(|number| format!("{number}\n")).collect();
    std::fs::write(folder.join(format!("runs.{index}")), runs).expect("a file");
    std::process::exit(0);
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| words[place].parse().expect("a number");
    match words[0].as_str() {
        "fill" => fill(number(1)).await,
        "work" => work(words[1].clone().into(), words[2].clone()).await,
        other => panic!("there is no command {other}"),
    }
}
