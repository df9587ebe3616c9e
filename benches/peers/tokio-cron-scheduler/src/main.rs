//! One workload, carried out once by tokio-cron-scheduler: `W1 n=100000 channel=200`. Prints one line of JSON.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_cron_scheduler::{Job, JobScheduler};

static DONE: AtomicUsize = AtomicUsize::new(0);

fn micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64
}

fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or_default() * 4096.0
}

fn lateness(mut late: Vec<i64>) -> String {
    late.sort_unstable();
    let part = |part: f64| {
        late.get((late.len().saturating_sub(1) as f64 * part) as usize).map_or(0.0, |micros| *micros as f64 / 1000.0)
    };
    format!("\"min_ms\":{},\"p50_ms\":{},\"p99_ms\":{},\"max_ms\":{}", part(0.0), part(0.5), part(0.99), part(1.0))
}

fn counting(delay: Duration) -> Job {
    Job::new_one_shot_async(delay, |_, _| {
        Box::pin(async {
            DONE.fetch_add(1, Relaxed);
        })
    })
    .expect("a job")
}

/// Gives up when nothing has moved for five seconds.
async fn wait_for(count: usize) -> bool {
    let (mut last, mut at) = (0, Instant::now());
    loop {
        let done = DONE.load(Relaxed);
        if done >= count {
            return true;
        }
        if done != last {
            (last, at) = (done, Instant::now());
        } else if at.elapsed() > Duration::from_secs(5) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn w1(scheduler: JobScheduler, count: usize) {
    for _ in 0..count {
        scheduler.add(counting(Duration::ZERO)).await.expect("it is added");
    }
    let (begin, used) = (Instant::now(), processor_time());
    scheduler.start().await.expect("it starts");
    let complete = wait_for(count).await;
    let took = begin.elapsed().as_secs_f64() - if complete { 0.0 } else { 5.0 };
    let used = processor_time() - used;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let done = DONE.load(Relaxed);
    println!(
        "{{\"per_s\":{},\"lost\":{},\"twice\":{},\"cpu_us_per_fire\":{}}}",
        done as f64 / took,
        count.saturating_sub(done),
        done.saturating_sub(count),
        used * 1e6 / count as f64
    );
}

/// It knows whole seconds only, so all are due together.
async fn w2(scheduler: JobScheduler, count: usize, seconds: usize) {
    let late = Arc::new(Mutex::new(Vec::<i64>::with_capacity(count * (seconds + 2))));
    let measures = Arc::new(AtomicBool::new(false));
    for _ in 0..count {
        let (late, measures) = (late.clone(), measures.clone());
        let (created, mut due) = (micros() / 1_000_000 + 1, 0);
        let job = Job::new_repeated_async(Duration::from_secs(1), move |_, _| {
            due = if due == 0 { created } else { due + 1 };
            let (behind, late, measures) = (micros() - due * 1_000_000, late.clone(), measures.clone());
            Box::pin(async move {
                if measures.load(Relaxed) {
                    late.lock().expect("nobody panics").push(behind);
                }
            })
        });
        scheduler.add(job.expect("a job")).await.expect("it is added");
    }
    scheduler.start().await.expect("it starts");
    tokio::time::sleep(Duration::from_secs(5)).await;
    measures.store(true, Relaxed);
    let used = processor_time();
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    measures.store(false, Relaxed);
    let used = processor_time() - used;
    let late = std::mem::take(&mut *late.lock().expect("nobody panics"));
    let (fired, expected) = (late.len() as f64, (count * seconds) as f64);
    println!(
        "{{\"achieved\":{},\"cpu_s\":{used},\"cpu_us_per_fire\":{},{}}}",
        fired / expected,
        used * 1e6 / fired,
        lateness(late)
    );
}

async fn w3(scheduler: JobScheduler, far: usize, seed: u64) {
    for _ in 0..far {
        scheduler.add(counting(Duration::from_secs(3600))).await.expect("it is added");
    }
    scheduler.start().await.expect("it starts");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let late: Arc<Mutex<Vec<i64>>> = Arc::default();
    let mut state = seed;
    for _ in 0..100 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_millis(500 + (state >> 33) % 10_000);
        let (due, late) = (micros() + delay.as_micros() as i64, late.clone());
        let job = Job::new_one_shot_async(delay, move |_, _| {
            let (behind, late) = (micros() - due, late.clone());
            Box::pin(async move { late.lock().expect("nobody panics").push(behind) })
        });
        scheduler.add(job.expect("a job")).await.expect("it is added");
    }
    tokio::time::sleep(Duration::from_secs(13)).await;
    let late = std::mem::take(&mut *late.lock().expect("nobody panics"));
    println!("{{\"fired\":{},{}}}", late.len(), lateness(late));
}

async fn w4(scheduler: JobScheduler, count: usize) {
    scheduler.start().await.expect("it starts");
    let (before, begin) = (resident(), Instant::now());
    for _ in 0..count {
        scheduler.add(counting(Duration::from_secs(3600))).await.expect("it is added");
    }
    let took = begin.elapsed().as_secs_f64();
    println!("{{\"one_per_s\":{},\"bytes\":{}}}", count as f64 / took, (resident() - before) / count as f64);
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let settings: HashMap<_, _> = words.iter().filter_map(|word| word.split_once('=')).collect();
    let get = |name: &str, default: usize| settings.get(name).map_or(default, |text| text.parse().expect("a number"));
    let scheduler = JobScheduler::new_with_channel_size(get("channel", 200)).await.expect("a scheduler");
    match words.first().map(String::as_str) {
        Some("W1") => w1(scheduler, get("n", 100_000)).await,
        Some("W2") => w2(scheduler, get("k", 1000), get("seconds", 20)).await,
        Some("W3") => w3(scheduler, get("far", 0), get("seed", 1) as u64).await,
        Some("W4") => w4(scheduler, get("n", 100_000)).await,
        other => panic!("there is no workload {other:?}"),
    }
    std::process::exit(0);
}
