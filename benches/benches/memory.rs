//! How much memory the store in memory takes for what is stored: live bytes of the heap, by the allocator's own account.
//!
//! ```text
//! cargo bench --bench memory
//! ```
//!
//! Names are as long as those of real systems (`group-12/trigger-000123`). Nothing is shared between two rows but what the
//! row says. What the allocator adds to each block is not counted.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::JobDetail;
use scheduler_core::store::{Changes, Existing, MemoryJobStore, Put};
use scheduler_core::trigger::{Trigger, TriggerBuilder};

/// The trigger of a number.
type Make = fn(u64) -> TriggerBuilder;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default()
}

fn every(number: u64) -> TriggerBuilder {
    Trigger::every(Duration::from_secs(3600)).start_at(begin() + TimeDelta::seconds(number as i64))
}

fn cron(number: u64) -> TriggerBuilder {
    Trigger::cron(&format!("{} {} 2 * * ?", number % 60, number / 60 % 60)).time_zone("Europe/Berlin")
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().expect("a key"), "work").build()
}

/// Bytes per trigger after so many were put; with a job each, or one for all.
async fn measure(count: u64, own_jobs: bool, trigger: Make) -> f64 {
    let store = MemoryJobStore::new();
    let before = dhat::HeapStats::get().curr_bytes;
    for number in 0..count {
        let name =
            if own_jobs { format!("group-{}/job-{number:06}", number % 100) } else { "shared".to_owned() };
        let job = Arc::new(detail(&name));
        let trigger = trigger(number)
            .name(&format!("group-{}/trigger-{number:06}", number % 100))
            .job(job.key().clone())
            .build(begin())
            .expect("a trigger");
        let progress = trigger.first(None);
        let put = Put {
            jobs: vec![job],
            existing_jobs: Existing::Keep,
            triggers: vec![(Arc::new(trigger), progress)],
            existing_triggers: Existing::Refuse,
        };
        store.put(put).await.expect("stored");
    }
    let after = dhat::HeapStats::get().curr_bytes;
    drop(store);
    (after - before) as f64 / count as f64
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let _profiler = dhat::Profiler::builder().testing().build();
    // Whatever is made once and kept, such as zones, is made before.
    measure(10, true, cron).await;
    println!("{:<44} {:>10} {:>10}", "live bytes per trigger", "10,000", "100,000");
    let rows: [(&str, bool, Make); 4] = [
        ("every hour, one job for all", false, every),
        ("every hour, a job for each (job + trigger)", true, every),
        ("cron in a zone, one job for all", false, cron),
        ("cron in a zone, a job for each", true, cron),
    ];
    for (what, own_jobs, trigger) in rows {
        let (few, many) =
            (measure(10_000, own_jobs, trigger).await, measure(100_000, own_jobs, trigger).await);
        println!("{what:<44} {few:>10.0} {many:>10.0}");
    }
}
