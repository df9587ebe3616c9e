//! Somebody who changes a record again and again, while everything goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::job::JobDetail;
use scheduler_core::store::{Changes, Existing, Put, Queries, TriggerQuery};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::Trigger;
use scheduler_redis::RedisJobStore;

use super::{CALM, now};
use crate::history::{Change, Told};

/// The job whose record it is.
pub(super) const RECORD: &str = "administrated";

/// The thread of the administrator.
pub(super) struct Administrator {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Change>>,
}

impl Administrator {
    pub(super) fn start(url: String) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let of_thread = is_over.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let thread = std::thread::spawn(move || runtime.block_on(administrate(&url, &of_thread)));
        Self { is_over, thread }
    }

    pub(super) fn end(self) -> Vec<Change> {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.join().expect("it ends")
    }
}

async fn administrate(url: &str, is_over: &AtomicBool) -> Vec<Change> {
    let builder = RedisJobStore::builder(url).name("chaos").answer_within(Duration::from_millis(500));
    let store = builder.start_within(CALM).connect().await.expect("the server comes back");
    let job = Arc::new(JobDetail::builder(RECORD.parse().expect("a name"), RECORD).build());
    let (mut changes, mut number) = (Vec::new(), 0);
    while !is_over.load(Ordering::SeqCst) {
        number += 1;
        let sent = now();
        let told =
            if write(&store, &job, number).await { Told::Written(number) } else { Told::Unknown(number) };
        changes.push(Change { told, sent, answered: now() });
        let sent = now();
        if let Some(read) = read(&store).await {
            changes.push(Change { told: Told::Read(read), sent, answered: now() });
        }
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    changes
}

/// False if nobody knows whether it is written.
async fn write(store: &RedisJobStore, job: &Arc<JobDetail>, number: u64) -> bool {
    let far = SystemClock.now() + TimeDelta::days(1);
    let trigger = Trigger::at(far).name(RECORD).job(job.key().clone()).description(number.to_string());
    let trigger = trigger.build(far).expect("it is complete");
    let progress = trigger.first(None);
    let put = Put {
        jobs: vec![job.clone()],
        existing_jobs: Existing::Keep,
        triggers: vec![(Arc::new(trigger), progress)],
        existing_triggers: Existing::Replace,
    };
    store.put(put).await.is_ok()
}

/// The number that stands there, 0 if none does; nothing if there is no answer.
async fn read(store: &RedisJobStore) -> Option<u64> {
    let query = TriggerQuery { keys: vec![RECORD.parse().expect("a name")], ..TriggerQuery::default() };
    let found = store.all_triggers(query).await.ok()?;
    Some(found.first().and_then(|status| status.trigger.description()?.parse().ok()).unwrap_or_default())
}
