//! Clients of a store in Redis: processes that produce and ask, beside nodes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::time::Duration;

use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::{Executions, RunQuery, Selection};
use scheduler_core::trigger::Trigger;
use scheduler_core::{Client, Scheduler, TriggerKey};
use scheduler_redis::RedisJobStore;
use tests::process::until;
use tests::proxy::Proxy;
use tests::redis::Server;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const HOUR: Duration = Duration::from_secs(3600);

/// A connection of its own, as another process has it.
async fn open(url: &str) -> RedisJobStore {
    RedisJobStore::builder(url).name("letters").answer_within(Duration::from_secs(1)).connect().await.unwrap()
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

fn letter(to: &str) -> Invocation {
    Invocation::with_args(detail("send"), &to)
}

/// A node that tells to whom it sends; `waits` waits until it is asked to stop.
async fn node(url: &str) -> (Scheduler, UnboundedReceiver<String>) {
    let (tell, told): (UnboundedSender<String>, _) = unbounded_channel();
    let send = JobDefinition::new(detail("send"), move |to: String| {
        tell.send(to).unwrap();
        async {}
    });
    let waits = JobDefinition::new(detail("waits"), async |context: JobContext| {
        context.cancellation().cancelled().await;
    });
    let scheduler =
        Scheduler::builder().store(open(url).await).register(send).register(waits).build().unwrap();
    scheduler.start().await.unwrap();
    (scheduler, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_no_node_and_gives_work_to_those_that_are() {
    let server = Server::start();
    let client = Client::new(open(&server.url()).await);
    let early = client.enqueue(letter("ada")).await.unwrap();
    assert_eq!(client.nodes().await.unwrap(), []);
    let explained = client.explain_run(early).await.unwrap().unwrap().to_string();
    assert!(explained.contains("no node can run `send`"), "{explained}");

    let (scheduler, mut told) = node(&server.url()).await;
    assert_eq!(told.recv().await.unwrap(), "ada");
    let nodes: Vec<_> = client.nodes().await.unwrap().iter().map(|node| node.session).collect();
    assert_eq!(nodes, [scheduler.metadata().session]);
    // The node sleeps and is woken.
    client.enqueue(letter("bob")).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "bob");
    let key: TriggerKey = "weekly".parse().unwrap();
    client.schedule(letter("eve"), Trigger::every(HOUR).name("weekly")).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), "eve");
    client.pause(Selection::Trigger(key.clone())).await.unwrap();
    let explained = client.explain(&key).await.unwrap().to_string();
    assert!(explained.contains("it is paused") && !explained.contains("no node"), "{explained}");

    let run = client.enqueue(detail("waits")).await.unwrap();
    let running =
        async || !client.executions(Executions::OfJob("waits".parse().unwrap())).await.unwrap().is_empty();
    until("the run is under way", running).await;
    assert!(client.cancel_run(run).await.unwrap());
    until("the run is over", async || client.explain_run(run).await.unwrap().is_none()).await;

    scheduler.shutdown(Duration::from_secs(5)).await;
    assert!(scheduler.enqueue(letter("zoe")).await.unwrap_err().is_closed());
    let late = scheduler.client().enqueue(letter("zoe")).await.unwrap();
    assert_eq!(client.all_runs(RunQuery::default()).await.unwrap()[0].id, late);
    let (next, mut told) = node(&server.url()).await;
    assert_eq!(told.recv().await.unwrap(), "zoe");
    next.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_server_is_away_says_so_and_goes_on_when_it_is_back() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let client = Client::new(open(&proxy.url()).await);
    client.enqueue(letter("ada")).await.unwrap();
    proxy.close();
    let error = client.enqueue(letter("lost")).await.unwrap_err();
    assert!(error.is_transient() && error.operation() == Some("enqueue"), "{error:?}");
    assert!(error.to_string().contains("Redis"), "{error}");
    assert_eq!(error.job(), Some(&"send".parse().unwrap()));
    let error = client.pause(Selection::All).await.unwrap_err();
    assert!(error.is_transient() && error.operation() == Some("pause"), "{error:?}");
    proxy.open();
    let id = "00000000000000a1-1".parse().unwrap();
    until("calls work again", async || client.enqueue(letter("bob")).id(id).await.is_ok()).await;
    let (scheduler, mut told) = node(&server.url()).await;
    let mut sent = Vec::new();
    while !sent.contains(&"bob".to_owned()) {
        sent.push(told.recv().await.unwrap());
    }
    assert_eq!(sent.iter().filter(|to| *to == "bob").count(), 1, "{sent:?}");
    scheduler.shutdown(Duration::from_secs(5)).await;
}
