//! For a moment the two connections of a node may lead to two servers, one of which has replaced the other.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::Trigger;
use tests::proxy::Proxy;
use tests::redis::Server;
use tests::wait::between_looks;

use crate::RedisJobStore;

const SESSION: u64 = 7;

const LIMIT: Duration = Duration::from_secs(60);

/// A node has one firing of a job that allows one run at a time.
async fn fire_one(store: &RedisJobStore) -> ExecutionId {
    let now = store.clock().unwrap().now();
    let job = JobDetail::builder("alone".parse().unwrap(), "work").disallow_concurrent(true).build();
    let trigger =
        Trigger::every(Duration::from_secs(3600)).start_at(now).name("hourly").job(job.key().clone());
    let trigger = Arc::new(trigger.build(now).unwrap());
    let progress = trigger.first(None);
    let put = Put {
        jobs: vec![Arc::new(job)],
        existing_jobs: Existing::Refuse,
        triggers: vec![(trigger, progress)],
        existing_triggers: Existing::Refuse,
    };
    store.put(put).await.unwrap();
    let (limits, late, heard) = (QueueLimits::default(), None, None);
    let until = now + TimeDelta::seconds(1);
    let request =
        AcquireDue { session: SESSION, now, until, max: 1, limits, shares: Vec::new(), late, heard };
    let acquired = store.acquire_due(request).await.unwrap().triggers.remove(0);
    let (claim, progress) = (acquired.claim, acquired.trigger.fired(&acquired.progress, None));
    let fired =
        store.fire(Fire { now, firings: vec![Firing { claim, progress, dropped: None }] }).await.unwrap();
    assert!(matches!(fired[..], [FireResult::Run { .. }]), "{fired:?}");
    claim
}

/// It would let go of a run that the next server knows, and that run would hold its job for ever.
#[tokio::test]
async fn a_server_is_told_of_nothing_that_was_read_from_another_one() {
    let before = Server::start();
    let proxy = Proxy::to(before.port());
    let store = RedisJobStore::builder(&proxy.url()).name("two").connect().await.unwrap();
    let (types, wake, stop) = (None, Arc::new(|| {}), Arc::new(|_, _| {}));
    store
        .attach(Node {
            session: SESSION,
            name: "node".into(),
            types,
            queues: QueueFilter::default(),
            wake,
            stop,
        })
        .await
        .unwrap();
    let claim = fire_one(&store).await;

    let after = Server::replica_of(before.port());
    after.command(&["REPLICAOF", "NO", "ONE"]);
    let key = |name: &str| store.0.key(name);
    proxy.lead_new_to(after.port());
    // The server before has lost it in the meantime, and still answers whoever is connected to it.
    before.command(&["DEL", &key(&format!("cl:{SESSION}")), &key("triggers"), &key("busy")]);
    store.0.slow.leave();
    store.0.nudge.notify_one();
    let lives_in = |epoch: &str| after.text(&["INFO", "server"]).contains(epoch);
    let is_told = async {
        while !lives_in(&store.0.state.lock().epoch) {
            between_looks().await;
        }
    };
    tokio::time::timeout(LIMIT, is_told).await.unwrap();

    // A call without an answer is repeated, as a scheduler does.
    let ended = async {
        loop {
            let executions = vec![Completion::of(claim)];
            let now = store.clock().unwrap().now();
            match store.complete(Complete { now, executions }).await {
                Ok(results) => return results,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
            between_looks().await;
        }
    };
    let results = tokio::time::timeout(LIMIT, ended).await.unwrap();
    assert!(matches!(results[..], [CompleteResult::Done { .. }]), "{results:?}");
    for name in ["busy", &format!("cl:{SESSION}")] {
        assert_eq!(after.text(&["EXISTS", &key(name)]), "0", "{name}");
    }
}
