//! A host that behaves as its first argument says; `tests/processes.rs` watches it from outside.
#![allow(clippy::unwrap_used, reason = "a test program says what went wrong by failing")]

use std::io::Write;
use std::time::Duration;

use scheduler_core::host::{Host, HostError, JobQueue, ServiceContext, background};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, Scheduler};
use scheduler_redis::RedisJobStore;

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

async fn patient(context: ServiceContext) {
    context.stopping().await;
}

async fn deaf() {
    SystemClock.sleep(Duration::from_secs(3600)).await;
}

fn park() {
    say("job begins");
    loop {
        std::thread::park();
    }
}

/// Blocks its thread, so that nothing can take it away.
async fn blocks() {
    loop {
        std::thread::park();
    }
}

async fn panics() {
    panic!("index out of bounds");
}

async fn slow_to_stop(context: ServiceContext) {
    context.stopping().await;
    SystemClock.sleep(Duration::from_secs(3600)).await;
}

async fn half_a_second(context: JobContext) {
    say("job begins");
    context.clock().sleep(Duration::from_millis(500)).await;
    say("job ends");
}

/// Says when it begins, with its fence, and when it is gone, in whatever way.
async fn relays(context: ServiceContext, run: JobContext) {
    struct Gone;
    impl Drop for Gone {
        fn drop(&mut self) {
            say("relay gone");
        }
    }
    say(&format!("relay begins {}", run.fence()));
    let _gone = Gone;
    context.stopping().await;
}

async fn fails() -> Result<(), JobError> {
    say("job begins");
    Err(JobError::new("no route to the bank"))
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let scenario = std::env::args().nth(1).unwrap();
    let budget = if scenario == "slow" { Duration::from_secs(3600) } else { Duration::from_millis(1500) };
    let mut builder = Host::builder().stop_budget(budget).service(background("patient", patient));
    let detail = JobDetail::builder(JobKey::new("work").unwrap(), "work").build();
    builder = match scenario.as_str() {
        "drains" => {
            let work = JobDefinition::new(detail.clone(), half_a_second);
            let scheduler = Scheduler::builder().schedule(Invocation::new(detail), Trigger::now());
            builder.register(work).scheduler(scheduler).stop_budget(Duration::from_secs(20))
        }
        "queue_blocks" => {
            let queue = JobQueue::bounded(1).build();
            queue.enqueue(Invocation::new(detail.clone())).await.unwrap();
            builder.register(JobDefinition::blocking(detail, park)).queue("mails", queue)
        }
        "job_blocks" => {
            let scheduler = Scheduler::builder().schedule(Invocation::new(detail.clone()), Trigger::now());
            let builder = builder.register(JobDefinition::blocking(detail, park)).scheduler(scheduler);
            builder.stop_budget(Duration::from_secs(11))
        }
        "fails" | "fails_and_logs" => {
            if scenario == "fails_and_logs" {
                tracing_subscriber::fmt().with_writer(std::io::stderr).init();
            }
            let often = Trigger::every(Duration::from_millis(20));
            let scheduler = Scheduler::builder().schedule(Invocation::new(detail.clone()), often);
            builder.register(JobDefinition::new(detail, fails)).scheduler(scheduler)
        }
        "relays" => {
            let url = std::env::args().nth(2).unwrap();
            let store = RedisJobStore::builder(&url).name("relay").connect().await.unwrap();
            let relay = background("relay", relays).lease(Duration::from_secs(2));
            builder.scheduler(Scheduler::builder().store(store)).service(relay)
        }
        "deaf" => builder.service(background("deaf", deaf)),
        "blocks" => builder.service(background("blocks", blocks)),
        "panics" => builder.service(background("panics", panics)),
        "slow" => builder.service(background("slow", slow_to_stop)),
        _ => builder,
    };
    let host = builder.build()?;
    let handle = host.handle();
    let mut events = handle.events();
    let told = tokio::spawn(async move {
        while !handle.health().ready {
            SystemClock.sleep(Duration::from_millis(5)).await;
        }
        say("ready");
        while let Some(event) = events.next().await {
            if let scheduler_core::host::HostEvent::StopRequested { why } = event {
                say(&format!("stops: {why}"));
                return;
            }
        }
    });
    let report = host.run().await?;
    // What was asked for is said before the end, unless the stop came before anything was ready.
    tokio::time::timeout(Duration::from_secs(1), told).await.ok();
    say(&format!("report: {} services, reason {}", report.services.len(), report.reason));
    Ok(())
}
