//! Clients: whoever only produces and asks, beside schedulers over the same store and without any.

use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, Utc, Weekday};
use chrono_tz::Tz;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::host::Host;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::run::{Backoff, RetryPolicy, RunId, RunState};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{
    Executions, Existing, GroupKind, JobQuery, MemoryJobStore, PauseNote, RunChange, RunQuery, Selection,
    TriggerQuery,
};
use scheduler_core::testing::{Fault, FaultyStore, TestScheduler, Verb, assert_fired};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{Client, ErrorKind, JobData, JobKey, Scheduler, TriggerKey};
use tokio::sync::mpsc;

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

fn letter(to: &str) -> Invocation {
    Invocation::with_args(detail("send"), &to)
}

fn sends() -> JobDefinition {
    JobDefinition::new(detail("send"), async |_: String| {})
}

fn hourly(name: &str) -> TriggerBuilder {
    Trigger::every(Duration::from_secs(3600)).name(name)
}

async fn worker(store: &MemoryJobStore, job: JobDefinition) -> TestScheduler {
    TestScheduler::start(NOW, Scheduler::builder().store(store.clone()).register(job)).await.unwrap()
}

fn client_at(store: &MemoryJobStore, time: &str) -> Client {
    Client::with_clock(store.clone(), ManualClock::at(time))
}

#[tokio::test]
async fn what_a_client_enqueues_waits_for_a_scheduler_that_can_run_it() {
    let store = MemoryJobStore::new();
    let client = client_at(&store, NOW);
    let run = client.enqueue(letter("ada")).await.unwrap();
    let more = client.enqueue_all(["bob", "eve"].map(letter)).await.unwrap();
    assert!(more.iter().all(|other| *other != run && other.sender() == run.sender()));
    let other = client_at(&store, NOW).enqueue(letter("zoe")).await.unwrap();
    assert_ne!(other.sender(), run.sender(), "each client has a number of its own");
    assert_eq!(client.nodes().await.unwrap(), []);

    let idle = worker(&store, JobDefinition::new(detail("idle"), async || {})).await;
    idle.run_due().await;
    assert_fired!(idle, "send", 0);
    let explained = client.explain_run(run).await.unwrap().unwrap();
    assert_eq!(
        explained.to_string(),
        format!(
            "run {run} of job `send` does not begin:\n  no node can run `send`; start one that has registered the job"
        )
    );

    let test = worker(&store, sends()).await;
    test.run_due().await;
    assert_fired!(test, "send", 4);
    assert_fired!(test, "send", with "ada");
    assert!(client.explain_run(run).await.unwrap().is_none(), "it is over");
    assert_eq!(client.nodes().await.unwrap().len(), 2, "the client is no node");
}

#[tokio::test]
async fn a_run_is_explained_in_each_of_its_states() {
    let store = MemoryJobStore::new();
    let body = |to: String, context: JobContext| async move {
        context.clock().sleep(Duration::from_secs(60)).await;
        if to == "nobody" { Err(JobError::new("no such address")) } else { Ok(()) }
    };
    let never = RetryPolicy::new(0, Backoff::default());
    let alone = detail("send").to_builder().disallow_concurrent(true).retry(never).build();
    let client = client_at(&store, NOW);
    let write = |to: &str| Invocation::with_args(alone.clone(), &to);
    let later = client.enqueue(write("bob")).delay(Duration::from_secs(7200)).await.unwrap();
    let first = client.enqueue(write("nobody")).priority(9).await.unwrap();
    let test = worker(&store, JobDefinition::new(alone.clone(), body)).await;
    test.run_due().await;
    let second = client.enqueue(write("ada")).await.unwrap();
    let explained = async |run| client.explain_run(run).await.unwrap().unwrap().to_string();
    assert_eq!(explained(first).await, format!("run {first} of job `send` is under way"));
    let waits = explained(second).await;
    assert!(waits.contains("does not begin:\n  job `send` allows one run at a time, and "), "{waits}");
    let early = explained(later).await;
    assert!(early.contains("does not begin:\n  it is due at 2026-03-01 02:00:00 UTC"), "{early}");
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(
        explained(first).await,
        format!("run {first} of job `send` is dead after 1 attempt: no such address; `replay` runs it again")
    );
    assert!(client.replay(first).await.unwrap());
    assert!(client.cancel_run(later).await.unwrap());
    assert_eq!(
        explained(later).await,
        format!("run {later} of job `send` was cancelled; `replay` runs it again")
    );
    assert!(client.change_run(later, RunChange::Delete).await.unwrap().is_done());
    assert!(client.explain_run(later).await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_schedules_pauses_explains_and_cancels() {
    let store = MemoryJobStore::new();
    let sleeps = JobDefinition::new(detail("send"), async |_: String, context: JobContext| {
        context.clock().sleep(Duration::from_secs(9999)).await;
    });
    let test = worker(&store, sleeps).await;
    let client = Client::with_clock(store, test.clock().clone());
    let key: TriggerKey = "letters".parse().unwrap();
    client.schedule(letter("ada"), hourly("letters")).await.unwrap();
    test.run_due().await;
    let [run] = &client.executions(Executions::All).await.unwrap()[..] else { panic!("one run") };
    assert_eq!(client.cancel(Executions::OfJob("send".parse().unwrap())).await.unwrap(), [run.id]);
    test.run_due().await;
    assert_eq!(client.executions(Executions::All).await.unwrap().len(), 0, "it was aborted");

    client.pause_with(Selection::Trigger(key.clone()), PauseNote::because("strike")).await.unwrap();
    let explained = client.explain(&key).await.unwrap().to_string();
    assert!(explained.contains("strike") && explained.contains("it is due at"), "{explained}");
    assert!(!explained.contains("node"), "{explained}");
    test.advance(Duration::from_secs(7200)).await;
    assert_fired!(test, "send", 1);
    assert_eq!(client.resume(Selection::All).await.unwrap(), std::slice::from_ref(&key));

    client.schedule(detail("print"), hourly("prints")).await.unwrap();
    let explained = client.explain(&"prints".parse().unwrap()).await.unwrap().to_string();
    assert!(
        explained.contains("no node can run `print`; start one that has registered the job"),
        "{explained}"
    );
    assert!(client.unschedule(&key).await.unwrap());
    assert!(client.explain(&key).await.unwrap().to_string().contains("it is not stored"));
}

fn weekends() -> StandardCalendar {
    StandardCalendar::new(Exclusion::weekly(&[Weekday::Sat, Weekday::Sun]), Tz::UTC)
}

fn said<T: Debug>(result: scheduler_core::Result<T>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{:?} during {:?}: {error}", error.kind(), error.operation()),
    }
}

/// Calls everything that a client and a scheduler have in common; what each has answered.
macro_rules! everything {
    ($caller:expr) => {{
        let (caller, job, key) =
            ($caller, "send".parse::<JobKey>().unwrap(), "a".parse::<TriggerKey>().unwrap());
        let (run, absent) = (RunId::new(7, 1), "nowhere".parse::<JobKey>().unwrap());
        let noon: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        vec![
            ("put_calendar", said(caller.put_calendar("off", weekends(), false).await)),
            ("put_calendar again", said(caller.put_calendar("off", weekends(), false).await)),
            ("calendars", said(caller.calendars().await)),
            ("schedule", said(caller.schedule(letter("ada"), hourly("a").calendar("off")).await)),
            ("schedule again", said(caller.schedule(letter("ada"), hourly("a")).await)),
            ("schedule, no calendar", said(caller.schedule(letter("ada"), hourly("b").calendar("of")).await)),
            ("schedule_all", said(caller.schedule_all([(letter("bob"), hourly("b"))], Existing::Keep).await)),
            ("next_fire_times", said(caller.next_fire_times(&key, 3).await)),
            ("reschedule", said(caller.reschedule(&key, hourly("a").start_at(noon)).await)),
            ("update_trigger", said(caller.update_trigger(&key, |trigger| trigger.priority(9)).await)),
            ("update_trigger, wrong", said(caller.update_trigger(&key, |trigger| trigger.name("c")).await)),
            ("pause", said(caller.pause(Selection::Trigger(key.clone())).await)),
            ("pause, absent", said(caller.pause(Selection::Job(absent.clone())).await)),
            ("trigger", said(caller.trigger(&key).await)),
            ("resume", said(caller.resume(Selection::All).await)),
            ("reset_from_error", said(caller.reset_from_error(&key).await)),
            ("add_job", said(caller.add_job(detail("send"), Existing::Update).await)),
            ("job", said(caller.job(&job).await)),
            ("jobs", said(caller.jobs(JobQuery::default()).await)),
            ("all_jobs", said(caller.all_jobs(JobQuery::default()).await)),
            ("triggers", said(caller.triggers(TriggerQuery::default()).await)),
            ("all_triggers", said(caller.all_triggers(TriggerQuery::default()).await)),
            ("groups", said(caller.groups(GroupKind::Triggers).await)),
            ("enqueue", said(caller.enqueue(letter("eve")).id(run).at(noon).priority(7).await)),
            ("enqueue_all", said(caller.enqueue_all([letter("eve")]).await.map(|runs| runs.len()))),
            (
                "trigger_job",
                said(caller.trigger_job(&job, letter("zoe").data().unwrap().clone()).await.map(drop)),
            ),
            ("trigger_job, absent", said(caller.trigger_job(&absent, JobData::new()).await)),
            ("runs", said(caller.runs(RunQuery::one(run)).await)),
            (
                "all_runs",
                said(
                    caller
                        .all_runs(RunQuery::default().in_state(RunState::Waiting))
                        .await
                        .map(|runs| runs.len()),
                ),
            ),
            ("explain_run", said(caller.explain_run(run).await)),
            ("cancel_run", said(caller.cancel_run(run).await)),
            ("replay", said(caller.replay(run).await)),
            ("executions", said(caller.executions(Executions::All).await)),
            ("nodes", said(caller.nodes().await)),
            ("cancel", said(caller.cancel(Executions::All).await)),
            ("cancel, absent", said(caller.cancel(Executions::OfJob(absent.clone())).await)),
            ("unschedule", said(caller.unschedule(&key).await)),
            ("unschedule_all", said(caller.unschedule_all([key.clone(), "b".parse().unwrap()]).await)),
            ("delete_job", said(caller.delete_job(&job).await)),
            ("remove_calendar", said(caller.remove_calendar("off").await)),
            ("clear", said(caller.clear().await)),
        ]
    }};
}

#[tokio::test]
async fn client_and_scheduler_answer_the_same() {
    let builder = || Scheduler::builder().clock(ManualClock::at(NOW)).register(sends());
    let (scheduler, has_client) = (builder().build().unwrap(), builder().build().unwrap());
    let of_scheduler = everything!(&scheduler);
    let clients = [client_at(&MemoryJobStore::new(), NOW), has_client.client()];
    for client in clients {
        for (of_client, of_scheduler) in everything!(&client).into_iter().zip(&of_scheduler) {
            assert_eq!(&of_client, of_scheduler);
        }
    }
    let refused: Vec<_> =
        of_scheduler.iter().filter(|(_, said)| said.contains(" during ")).map(|(call, _)| *call).collect();
    assert_eq!(
        refused,
        [
            "put_calendar again",
            "schedule again",
            "schedule, no calendar",
            "update_trigger, wrong",
            "pause, absent",
            "trigger_job, absent",
            "cancel, absent"
        ]
    );
}

#[tokio::test]
async fn only_the_client_of_a_scheduler_knows_its_functions_and_tells_its_events() {
    let (store, clock) = (MemoryJobStore::new(), ManualClock::at(NOW));
    let scheduler = Scheduler::builder().store(store.clone()).clock(clock).register(sends()).build().unwrap();
    let (of_scheduler, alone) = (scheduler.client(), client_at(&store, NOW));
    let mut events = scheduler.events();
    let error = of_scheduler.enqueue(detail("sent")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("not registered, did you mean `send`?"), "{error}");
    let error = of_scheduler.enqueue(detail("send")).await.unwrap_err();
    assert!(error.to_string().contains("cannot be run with these arguments"), "{error}");
    alone.enqueue(detail("sent")).await.unwrap();
    alone.enqueue(detail("send")).await.unwrap();
    let run = of_scheduler.enqueue(letter("ada")).await.unwrap();
    let Some(Event::Enqueued { run: first, .. }) = events.next().await else { panic!("an event") };
    assert_eq!(first, run, "nothing is heard of what others do");
}

#[tokio::test]
async fn a_client_outlives_its_scheduler_and_keeps_nothing_of_it_alive() {
    let store = MemoryJobStore::new();
    let test = worker(&store, sends()).await;
    let (client, mut events) = (test.scheduler().client(), test.scheduler().events());
    test.scheduler().shutdown(Duration::from_secs(1)).await;
    assert_eq!(test.scheduler().enqueue(letter("ada")).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(test.scheduler().clone().clear().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(client.nodes().await.unwrap(), []);
    drop(test);
    while events.next().await.is_some() {}
    client.enqueue(letter("ada")).await.unwrap();
    let next = worker(&store, sends()).await;
    next.run_due().await;
    assert_fired!(next, "send", with "ada");
    let weak = next.scheduler().downgrade();
    let client = next.scheduler().client();
    drop(next);
    assert!(weak.upgrade().is_none(), "a client is no handle of the scheduler");
    client.enqueue(letter("eve")).await.unwrap();
}

#[tokio::test]
async fn a_job_takes_a_client_which_works_also_while_its_scheduler_shuts_down() {
    let (store, (tell, mut told)) = (MemoryJobStore::new(), mpsc::unbounded_channel());
    let order = JobDefinition::new(
        detail("order"),
        move |client: Client, scheduler: Scheduler, context: JobContext| {
            let tell = tell.clone();
            async move {
                client.enqueue(letter("now")).await.unwrap();
                context.clock().sleep(Duration::from_secs(1)).await;
                let refused = scheduler.enqueue(letter("never")).await.unwrap_err().kind();
                tell.send((refused, client.enqueue(letter("next")).await.unwrap())).unwrap();
            }
        },
    );
    let builder = Scheduler::builder().store(store.clone()).drain_at_shutdown(false);
    let test = TestScheduler::start(NOW, builder.register(order).register(sends())).await.unwrap();
    test.scheduler().enqueue(detail("order")).await.unwrap();
    test.run_due().await;
    assert_fired!(test, "send", with "now");
    let scheduler = test.scheduler().clone();
    let ends = tokio::spawn(async move { scheduler.shutdown(Duration::from_secs(60)).await });
    test.advance(Duration::from_secs(1)).await;
    assert!(ends.await.unwrap().cancelled.is_empty());
    let (refused, run) = told.recv().await.unwrap();
    assert_eq!(refused, ErrorKind::Closed);
    let client = client_at(&store, NOW);
    assert_eq!(client.all_runs(RunQuery::default()).await.unwrap()[0].id, run);
}

#[tokio::test]
async fn a_client_without_a_scheduler_above_it_cannot_be_taken() {
    let takes = JobDefinition::new(detail("takes"), async |_: Client| {});
    let problem = Host::builder().register(takes).build().unwrap_err().to_string();
    assert!(problem.contains("`Client`") && problem.contains("call `.scheduler(…)`"), "{problem}");
}

#[tokio::test]
async fn a_store_that_fails_is_an_error_of_the_call_and_the_next_one_works() {
    let store = FaultyStore::new(MemoryJobStore::new());
    let client = Client::new(store.clone());
    store.inject(Verb::Enqueue, Fault::Fails, 1);
    let error = client.enqueue(letter("ada")).await.unwrap_err();
    assert!(error.is_transient() && error.operation() == Some("enqueue"), "{error:?}");
    client.enqueue(letter("ada")).await.unwrap();
    assert_eq!(client.all_runs(RunQuery::default()).await.unwrap().len(), 1);
    assert!(format!("{client:?}").starts_with("Client { store: "));
}
