//! The counters of a batch, destroyed and counted again.

use scheduler_core::run::{BatchCounts, RunId};
use scheduler_core::store::batches::{InBatch, NewBatch};
use scheduler_core::store::*;
use tests::process::{Process, job};
use tests::redis::Server;

use crate::{PREFIX, SENDER};

const BATCH: RunId = RunId::new(SENDER, 1);
const MEMBERS: std::ops::RangeInclusive<u64> = 2..=5;

/// A sealed batch of four runs: one has succeeded, one is dead, one runs and one waits.
async fn batch(process: &Process) {
    let (store, now) = (&process.store, process.now());
    let mut batch = NewRun::of(BATCH, &job("runs"), now);
    batch.opens = Some(NewBatch::default());
    let members = MEMBERS.map(|number| {
        let mut member = NewRun::of(RunId::new(SENDER, number), &job("runs"), now);
        member.batch = Some(InBatch::member(BATCH, None));
        member
    });
    store.enqueue(std::iter::once(batch).chain(members).collect()).await.unwrap();
    let seal = ChangeRuns::new(vec![BATCH], RunChange::Seal, now);
    assert_eq!(store.change_runs(seal).await.unwrap(), [RunChanged::Done]);
    let taken = process.ask(3).await.unwrap().runs;
    let ends = [Fate::Over, Fate::Dead { error: None }];
    let ended = taken.iter().zip(ends).map(|(run, fate)| Completion { fate, ..Completion::of(run.claim) });
    store.complete(Complete { now, executions: ended.collect() }).await.unwrap();
}

async fn counts(process: &Process) -> BatchCounts {
    let status = process.store.all_runs(RunQuery::one(BATCH)).await.unwrap().remove(0);
    status.batch.unwrap().counts
}

#[tokio::test]
async fn an_audit_counts_the_runs_of_a_batch_again() {
    let server = Server::start();
    let process = Process::start_with(&server.url(), 1, Some(&["work"])).await;
    batch(&process).await;
    let whole = BatchCounts::of([4, 2, 1, 0, 1, 0, 0, 0]);
    assert_eq!(counts(&process).await, whole);
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0], "nothing is wrong");
    let keys: Vec<String> =
        redis::from_redis_value(server.command(&["KEYS", &format!("{PREFIX}bc:*")])).unwrap();
    let [key] = &keys[..] else { panic!("one batch has counters: {keys:?}") };
    let damages: [(&[&str], BatchCounts); 4] = [
        (&["HSET", key, "pending", "7"], whole),
        (&["HSET", key, "dead", "0", "total", "9"], whole),
        (&["HSET", key, "pending", "{rubbish"], whole),
        // Of a run that has succeeded nothing is left.
        (&["DEL", key], BatchCounts::of([3, 2, 0, 0, 1, 0, 0, 0])),
    ];
    for (damage, mended) in damages {
        server.command(damage);
        let found = process.store.audit(false).await.unwrap();
        assert!(found.len() == 1 && found[0].contains("its counters do not fit"), "{damage:?}: {found:?}");
        assert_eq!(process.store.audit(true).await.unwrap(), found, "{damage:?}");
        assert_eq!(process.store.audit(false).await.unwrap(), [""; 0], "{damage:?}");
        assert_eq!(counts(&process).await, mended, "{damage:?}");
    }
}

/// A batch does not end by counters that are not there, and ends once they are.
#[tokio::test]
async fn a_batch_without_counters_ends_after_an_audit() {
    let server = Server::start();
    let process = Process::start_with(&server.url(), 1, Some(&["work"])).await;
    batch(&process).await;
    let keys: Vec<String> =
        redis::from_redis_value(server.command(&["KEYS", &format!("{PREFIX}bc:*")])).unwrap();
    server.command(&["DEL", &keys[0]]);
    let is_open = async || {
        for _ in 0..5 {
            process.ask(0).await.unwrap();
        }
        process.store.all_runs(RunQuery::one(BATCH)).await.unwrap()[0].end.is_none()
    };
    for one in process.store.executions(Executions::All).await.unwrap() {
        process.complete(one.id).await;
    }
    for one in process.ask(9).await.unwrap().runs {
        process.complete(one.claim).await;
    }
    assert!(is_open().await);
    process.store.audit(true).await.unwrap();
    assert!(!is_open().await);
}
