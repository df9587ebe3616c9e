//! A node of a cluster under test: runs the workload and writes down what its jobs see, a line each.
//!
//! `cluster_node URL NAME BEGIN END LEASE NODE LOG`, times in milliseconds.
#![allow(clippy::unwrap_used, reason = "a test program says what went wrong by failing")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::host::{Host, HostError};
use scheduler_core::job::{JobContext, JobDefinition, State};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_core::{JobData, Scheduler};
use scheduler_redis::RedisJobStore;
use tests::workload::{self, JOBS, Job};

#[derive(Clone)]
struct Log {
    lines: Arc<File>,
    /// A place outside, shared by all nodes.
    ledger: Arc<File>,
    node: String,
}

impl Log {
    /// One write to the end of the file, so that lines survive whatever happens to the process.
    fn say(&self, what: &str, context: &JobContext) {
        let id = context.execution_id();
        let scheduled = match context.recovering() {
            Some(lost) => lost.scheduled,
            None => context.scheduled_fire_time(),
        };
        let trigger = match context.recovering() {
            Some(lost) => lost.trigger.to_string(),
            None => context.trigger_key().to_string(),
        };
        let line = format!(
            "{what} {} {trigger} {} {}-{} {} {} {}\n",
            // The machine's clock: all nodes and the server share it, to the millisecond.
            SystemClock.now().timestamp_millis(),
            scheduled.timestamp_millis(),
            id.session(),
            id.count(),
            context.attempt(),
            if context.recovering().is_some() { "again" } else { "first" },
            self.node,
        );
        (&*self.lines).write_all(line.as_bytes()).unwrap();
    }

    fn write_outside(&self, context: &JobContext) {
        let (id, fence) = (context.execution_id(), context.fence());
        let line = format!("{} {fence} {}-{}\n", context.job_key(), id.session(), id.count());
        (&*self.ledger).write_all(line.as_bytes()).unwrap();
    }
}

fn time(text: &str) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(text.parse().unwrap()).unwrap()
}

fn definition(job: Job, begin: DateTime<Utc>, end: DateTime<Utc>) -> JobDefinition {
    let body = move |context: JobContext, State(log): State<Log>| async move {
        log.say("start", &context);
        context.clock().sleep(Duration::from_millis(job.takes)).await;
        if job.name == "count" {
            let before: u64 = context.data().get("runs").ok().flatten().unwrap_or_default();
            let mut data = JobData::new();
            data.insert("runs", (before + 1).into());
            context.set_job_data(data).unwrap();
        }
        if job.exclusive {
            log.write_outside(&context);
        }
        let fails = workload::kind_of(context.run_id()).is_some_and(|kind| context.attempt() <= kind.fails);
        log.say(if fails { "fail" } else { "end" }, &context);
        if fails { Err("as many attempts as wanted have not failed yet") } else { Ok(()) }
    };
    let mut definition = JobDefinition::new(workload::detail(job), body);
    for number in 0..if job.once { 0 } else { job.triggers } {
        let trigger = Trigger::every(Duration::from_millis(job.every.into())).start_at(begin).end_at(end);
        let name = workload::trigger(job.name, number);
        definition = definition.with_trigger(trigger.name(&name).misfire(Misfire::Ignore));
    }
    definition
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [url, name, begin, end, lease, node, log] = arguments.as_slice() else { panic!("seven arguments") };
    // Not longer than the test that has started it.
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        std::process::exit(1);
    });
    let level = std::env::var("NODE_LOG").unwrap_or("warn".to_owned());
    tracing_subscriber::fmt().with_env_filter(level).with_ansi(false).with_writer(std::io::stderr).init();
    let lease = Duration::from_millis(lease.parse().unwrap());
    let store = RedisJobStore::builder(url).name(name).lease(lease).start_within(Duration::from_secs(120));
    let store = store.connect().await.unwrap();
    let open = |path: &Path| Arc::new(OpenOptions::new().create(true).append(true).open(path).unwrap());
    let log = Path::new(log);
    let log = Log { lines: open(log), ledger: open(&log.with_file_name("ledger")), node: node.clone() };
    let mut scheduler = Scheduler::builder()
        .store(store)
        .node_name(node.as_str())
        .misfire_threshold(Duration::from_secs(600));
    for job in JOBS {
        scheduler = scheduler.register(definition(job, time(begin), time(end)));
    }
    let host = Host::builder().provide(log).scheduler(scheduler);
    host.stop_budget(Duration::from_secs(8)).build()?.run().await.map(drop)
}
