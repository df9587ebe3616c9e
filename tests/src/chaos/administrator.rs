//! Somebody who changes a record again and again, while everything goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::job::JobDetail;
use scheduler_core::store::{Existing, JobStore, Put, TriggerQuery};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::Trigger;
use scheduler_redis::RedisJobStore;

use super::CALM;
use crate::history::Change;

/// The job whose record it is.
pub(super) const RECORD: &str = "administrated";

/// It is to end.
const OVER: u64 = u64::MAX;

/// The thread of the administrator.
pub(super) struct Administrator {
    /// Grows when a server is about to be replaced, and when it has been.
    servers: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Change>>,
}

impl Administrator {
    pub(super) fn start(url: String) -> Self {
        let servers = Arc::new(AtomicU64::new(0));
        let of_thread = servers.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let thread = std::thread::spawn(move || runtime.block_on(administrate(&url, &of_thread)));
        Self { servers, thread }
    }

    /// Another server is about to have the data, or has it: what was written last may be forgotten.
    pub(super) fn is_replaced(&self) {
        self.servers.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(self) -> Vec<Change> {
        self.servers.store(OVER, Ordering::SeqCst);
        self.thread.join().expect("it ends")
    }
}

/// One server is about to take the place of another.
fn is_between(servers: u64) -> bool {
    servers % 2 == 1
}

async fn administrate(url: &str, servers: &AtomicU64) -> Vec<Change> {
    let builder = RedisJobStore::builder(url).name("chaos").answer_within(Duration::from_millis(500));
    let store = builder.start_within(CALM).connect().await.expect("the server comes back");
    let job = Arc::new(JobDetail::builder(RECORD.parse().expect("a name"), RECORD).build());
    let (mut changes, mut number, mut seen) = (Vec::new(), 0, 0);
    loop {
        let now = servers.load(Ordering::SeqCst);
        if now == OVER {
            return changes;
        }
        if std::mem::replace(&mut seen, now) != now || is_between(now) {
            changes.push(Change::Replaced);
        }
        number += 1;
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
        let written = store.put(put).await.is_ok();
        changes.push(if written { Change::Written(number) } else { Change::Unknown(number) });
        let query = TriggerQuery { keys: vec![RECORD.parse().expect("a name")], ..TriggerQuery::default() };
        let found = store.triggers(query).await;
        if servers.load(Ordering::SeqCst) != now || is_between(now) {
            changes.push(Change::Replaced);
        }
        if let Ok(found) = found {
            let read = found.first().and_then(|status| status.trigger.description()?.parse().ok());
            changes.push(Change::Read(read.unwrap_or_default()));
        }
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
}
