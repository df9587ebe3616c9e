//! Maximum lengths of queues, as a program uses them.

use std::time::Duration;

use scheduler_core::client::WhenFull;
use scheduler_core::job::{Invocation, JobDetail};
use scheduler_core::run::RunId;
use scheduler_core::store::{MemoryJobStore, RunChange, RunQuery};
use scheduler_core::time::{Clock, ManualClock};
use scheduler_core::{Client, ErrorKind, JobData};

use crate::retrying::NOW;

const SECOND: Duration = Duration::from_secs(1);

fn letter() -> Invocation {
    Invocation::new(JobDetail::builder("send".parse().unwrap(), "send").queue("mail").build())
}

fn client(when_full: WhenFull) -> (Client, ManualClock) {
    let clock = ManualClock::at(NOW);
    let client = Client::with_clock(MemoryJobStore::new(), clock.clone());
    (client.max_waiting("mail", 2, when_full), clock)
}

async fn count(client: &Client) -> usize {
    client.all_runs(RunQuery::default()).await.unwrap().len()
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_why() {
    let (client, _) = client(WhenFull::Refuse);
    client.enqueue_all([letter(), letter()]).await.unwrap();
    let error = client.enqueue(letter()).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Full, Some("enqueue")));
    assert_eq!(
        error.to_string(),
        "queue `mail` has no room for 1 more: 2 wait in it, and its maximum is 2; try again later or raise the maximum"
    );
    assert_eq!(count(&client).await, 2);
    let free = Invocation::new(JobDetail::builder("send".parse().unwrap(), "send").build());
    client.enqueue(free).await.unwrap();
}

#[tokio::test]
async fn more_than_the_maximum_at_once_is_a_mistake() {
    for when_full in [WhenFull::Refuse, WhenFull::Wait(SECOND)] {
        let (client, _) = client(when_full);
        let error = client.enqueue_all([letter(), letter(), letter()]).await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains("3 runs"), "{error}");
        assert_eq!(count(&client).await, 0);
    }
}

#[tokio::test]
async fn a_repeated_call_needs_no_room() {
    let (client, _) = client(WhenFull::Refuse);
    let id = RunId::from_key("order 7");
    client.enqueue(letter()).id(id).await.unwrap();
    client.enqueue(letter()).await.unwrap();
    assert_eq!(client.enqueue(letter()).id(id).await.unwrap(), id);
}

#[tokio::test]
async fn a_call_waits_until_there_is_room() {
    let (client, clock) = client(WhenFull::Wait(60 * SECOND));
    let first = client.enqueue_all([letter(), letter()]).await.unwrap()[0];
    let patient = client.clone();
    let waits = tokio::spawn(clock.begin(&"a call").observe(async move { patient.enqueue(letter()).await }));
    clock.advance(10 * SECOND).await;
    assert_eq!((count(&client).await, waits.is_finished()), (2, false));
    client.change_run(first, RunChange::Delete).await.unwrap();
    clock.advance(SECOND).await;
    waits.await.unwrap().unwrap();
    assert_eq!(count(&client).await, 2);
}

#[tokio::test]
async fn a_call_does_not_wait_for_longer_than_it_may() {
    let (client, clock) = client(WhenFull::Wait(60 * SECOND));
    client.enqueue_all([letter(), letter()]).await.unwrap();
    let patient = client.clone();
    let waits = tokio::spawn(clock.begin(&"a call").observe(async move { patient.enqueue(letter()).await }));
    clock.advance(59 * SECOND).await;
    assert!(!waits.is_finished());
    clock.advance(SECOND).await;
    let error = waits.await.unwrap().unwrap_err();
    assert!(error.is_full() && error.to_string().contains("queue `mail`"), "{error}");
    assert_eq!(count(&client).await, 2);
}

/// Pauses double up to a second, so a minute takes few looks.
#[tokio::test]
async fn a_call_that_is_dropped_while_it_waits_stores_nothing() {
    let (client, clock) = client(WhenFull::Wait(60 * SECOND));
    let first = client.enqueue_all([letter(), letter()]).await.unwrap()[0];
    let patient = client.clone();
    let waits = tokio::spawn(clock.begin(&"a call").observe(async move { patient.enqueue(letter()).await }));
    clock.advance(SECOND).await;
    waits.abort();
    assert!(waits.await.unwrap_err().is_cancelled());
    client.change_run(first, RunChange::Delete).await.unwrap();
    clock.advance(60 * SECOND).await;
    assert_eq!(count(&client).await, 1);
}

#[tokio::test]
async fn a_job_that_is_started_by_hand_needs_room_too() {
    let (client, _) = client(WhenFull::Refuse);
    client.enqueue_all([letter(), letter()]).await.unwrap();
    let durable = letter().detail().to_builder().durable(true).build();
    client.add_job(durable, scheduler_core::store::Existing::Refuse).await.unwrap();
    let error = client.trigger_job(&"send".parse().unwrap(), JobData::new()).await.unwrap_err();
    assert!(error.is_full(), "{error}");
}

#[tokio::test]
async fn a_large_call_goes_by_parts_that_wait() {
    let clock = ManualClock::at(NOW);
    let client = Client::with_clock(MemoryJobStore::new(), clock.clone());
    let patient = client.max_waiting("mail", 600, WhenFull::Wait(60 * SECOND));
    let waits = tokio::spawn(
        clock
            .begin(&"a call")
            .observe(async move { patient.enqueue_all((0..1_100).map(|_| letter())).await }),
    );
    clock.advance(SECOND).await;
    assert_eq!(count(&client).await, 500, "the second part waits");
    for _ in 0..2 {
        client.change_runs(RunQuery::default(), RunChange::Delete).await.unwrap();
        clock.advance(2 * SECOND).await;
    }
    assert_eq!(waits.await.unwrap().unwrap().len(), 1_100);
}
