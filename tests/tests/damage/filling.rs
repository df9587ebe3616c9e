//! Something for every key.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::Text;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::job::JobDetail;
use scheduler_core::run::{AttemptError, FailureKind, Gate, GateId, Gates, RunId};
use scheduler_core::store::batches::{InBatch, NewBatch};
use scheduler_core::store::*;
use scheduler_core::trigger::{OverlapPolicy, Trigger};
use tests::process::{Process, exclusive, hourly, job};

use crate::{BATCH, BOOSTED, CLAIMED, DEAD, DELAYED, SENDER};

/// Something for every key.
pub(crate) async fn fill(process: &Process) {
    let store = &process.store;
    let later = |name: &str| hourly(name).start_after(Duration::from_secs(3600));
    let mark = PutMark { name: "task".into(), text: "{}".into(), revision: None };
    store.put_mark(mark).await.unwrap();
    // A run that holds a job, and what waits for it.
    process.put(&exclusive("turns"), [hourly("turn-a"), hourly("turn-b"), hourly("turn-c")]).await;
    process.run().await;
    // What waits for its time, by a calendar and without.
    let calendar = Arc::new(StandardCalendar::new(Exclusion::Nothing, chrono_tz::UTC));
    store.put_calendar("holidays".into(), calendar, true).await.unwrap();
    process.put(&job("plain"), [later("plain-a"), later("plain-b").calendar("holidays")]).await;
    // A run of a queue with a limit, which is asked to stop.
    process.put(&job("queued"), [hourly("queued").queue("limited")]).await;
    let queued = process.run().await;
    store.cancel(Executions::One(queued.claim)).await.unwrap();
    // A run that the next one would stop.
    process.put(&job("over"), [hourly("over").overlap(OverlapPolicy::CancelPrevious)]).await;
    process.run().await;
    // Two runs of one trigger at once.
    let twice = Trigger::every(Duration::from_millis(1))
        .repeat(1)
        .start_at(process.now() - TimeDelta::seconds(1))
        .name("twice");
    process.put(&job("twice"), [twice.overlap(OverlapPolicy::AllowAll)]).await;
    process.run().await;
    process.run().await;
    // Pauses, one of which ends.
    let until = process.now() + TimeDelta::hours(1);
    let note = PauseNote::at(process.now()).until(until);
    let groups =
        [Selection::TriggerGroup(Text::Is("paused".into())), Selection::JobGroup(Text::Is("paused".into()))];
    for what in groups {
        store.pause(Pause { what, note: note.clone() }).await.unwrap();
    }
    process.put(&job("paused"), [later("paused/one")]).await;
    store.resume(Selection::TriggerGroup(Text::Is("resumed".into()))).await.unwrap();
    // A claim that is not fired.
    process.put(&job("claimed"), [hourly("claimed")]).await;
    assert_eq!(process.acquire(1).await.len(), 1);
    fill_with_runs(process).await;
}

/// A run in every state; of each way to wait, one.
async fn fill_with_runs(process: &Process) {
    let (store, now) = (&process.store, process.now());
    let enqueue = async |id: RunId, job: &JobDetail, due| {
        let answer = store.enqueue(vec![NewRun::of(id, job, due)]).await.unwrap();
        assert_eq!(answer, [Enqueued::Created]);
    };
    let claim = async || process.ask(1).await.unwrap().runs.remove(0).claim;
    let of_queue = job("queued-runs").to_builder().queue("limited").build();
    enqueue(DEAD, &job("runs"), now).await;
    let error = AttemptError::new(1, FailureKind::Failed, process.now(), "it fails");
    let fate = Fate::Dead { error: Some(error.into()) };
    let executions = vec![Completion { fate, ..Completion::of(claim().await) }];
    store.complete(Complete { now, executions }).await.unwrap();
    // One holds a slot of a limit, and two wait for it once somebody has looked at them.
    let limited = |number| {
        let mut run = NewRun::of(RunId::new(SENDER, number), &job("runs"), now - TimeDelta::hours(2));
        run.gates = Gates::new(vec![Gate::new(GateId::of("limit", None), 1, 1)]);
        run
    };
    store.enqueue((23..=25).map(limited).collect()).await.unwrap();
    claim().await;
    enqueue(CLAIMED, &job("runs"), now).await;
    claim().await;
    enqueue(RunId::new(SENDER, 11), &of_queue, now).await;
    let stopped = claim().await;
    store.cancel(Executions::One(stopped)).await.unwrap();
    // One of this job runs, and the next one waits for its end.
    enqueue(RunId::new(SENDER, 12), &exclusive("line"), now).await;
    claim().await;
    enqueue(RunId::new(SENDER, 13), &exclusive("line"), now).await;
    // None of this job runs, and the second one waits behind the first.
    enqueue(RunId::new(SENDER, 14), &exclusive("row"), now).await;
    enqueue(RunId::new(SENDER, 15), &exclusive("row"), now).await;
    enqueue(RunId::new(SENDER, 16), &job("runs"), now).await;
    enqueue(RunId::new(SENDER, 17), &of_queue, now).await;
    enqueue(DELAYED, &job("runs"), now + TimeDelta::hours(1)).await;
    let late = job("runs").to_builder().expires(Duration::from_secs(3600)).build();
    enqueue(RunId::new(SENDER, 18), &late, now).await;
    let boosted = late.to_builder().boost(Duration::from_secs(1800)).queue("limited").build();
    enqueue(BOOSTED, &boosted, now + TimeDelta::hours(1)).await;
    // Of the same key, so only the first stands in its lane.
    let fair = |number| {
        let mut run = NewRun::of(RunId::new(SENDER, number), &job("runs"), now);
        run.gates = Gates::default().with_fair(Some("key".into()));
        run.now = Some(now);
        run
    };
    store.enqueue((26..=28).map(fair).collect()).await.unwrap();
    // A batch that has one run to go.
    let mut batch = NewRun::of(BATCH, &job("runs"), now);
    batch.opens = Some(NewBatch::default());
    batch.opens.iter_mut().for_each(|batch| batch.is_sealed = true);
    let mut member = NewRun::of(RunId::new(SENDER, 29), &job("runs"), now);
    member.batch = Some(InBatch::member(BATCH, None));
    assert_eq!(store.enqueue(vec![batch, member]).await.unwrap(), [Enqueued::Created; 2]);
    // From here on the length of their queue is counted.
    let mut run = NewRun::of(RunId::new(SENDER, 19), &of_queue, now);
    run.most_waiting = Some(1000);
    assert_eq!(store.enqueue(vec![run]).await.unwrap(), [Enqueued::Created]);
}
