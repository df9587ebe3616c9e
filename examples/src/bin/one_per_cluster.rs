//! One per cluster: a relay that must not run twice, on two nodes that share a store.
//!
//! ```text
//! cargo run --bin one_per_cluster
//! ```
//!
//! Both nodes have the service; one of them runs it. After a few seconds that node stops gracefully and hands the relay over at once.
//! A third node then starts and is put out of action from one moment to the next, while it waits: nobody notices. What you see: who
//! sends, with which fence. The resource that the relay writes to refuses a smaller fence than it has seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use examples::println;
use scheduler_core::host::{Host, HostError, ServiceContext, background};
use scheduler_core::job::{JobContext, JobError};
use scheduler_core::prelude::*;
use scheduler_core::store::MemoryJobStore;
use scheduler_core::time::{Clock, SystemClock};

/// What the relay sends to: it remembers the largest fence.
#[derive(Clone, Default)]
struct Account(Arc<AtomicU64>);

impl Account {
    fn send(&self, node: &str, fence: u64) -> JobResult {
        let seen = self.0.fetch_max(fence, Ordering::SeqCst);
        if fence < seen {
            return Err(JobError::new(format!("fence {fence} is over: {seen} was seen")));
        }
        println!("  {node} sends with the fence {fence}");
        Ok(())
    }
}

#[derive(Clone)]
struct Node(&'static str);

async fn relay(
    context: ServiceContext,
    run: JobContext,
    State(account): State<Account>,
    State(node): State<Node>,
) -> JobResult {
    println!("{} has the relay", node.0);
    let mut timer = context.every(Duration::from_secs(1));
    while timer.tick().await.is_some() {
        account.send(node.0, run.fence())?;
    }
    println!("{} gives the relay up", node.0);
    Ok(())
}

fn node(name: &'static str, store: &MemoryJobStore, account: &Account) -> Result<Host, HostError> {
    // With a `RedisJobStore` the nodes are processes, on any machine.
    let scheduler = Scheduler::builder().store(store.clone()).node_name(name);
    let host = Host::builder().provide(account.clone()).provide(Node(name)).scheduler(scheduler);
    Ok(host.service(background("relay", relay).one_per_cluster()).build()?)
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let (store, account) = (MemoryJobStore::new(), Account::default());
    let after = |seconds| SystemClock.sleep(Duration::from_secs(seconds));
    let (first, second, third) = (
        node("first", &store, &account)?,
        node("second", &store, &account)?,
        node("third", &store, &account)?,
    );
    let second = tokio::spawn(async move {
        after(1).await;
        second.run_until(after(9)).await
    });
    first.run_until(after(4)).await?;
    println!("first has stopped");
    let third = tokio::spawn(third.run_until(after(60)));
    after(2).await;
    third.abort();
    println!("third is gone, and had nothing to do");
    second.await.expect("the second node")?;
    Ok(())
}
