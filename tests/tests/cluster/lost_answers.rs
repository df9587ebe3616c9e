//! Calls whose answers are lost: the caller repeats them, and nothing is done twice.

use super::*;

/// Calls again as long as no answer comes, as its caller would.
async fn at_last<T>(call: impl AsyncFn() -> scheduler_core::Result<T>) -> (usize, T) {
    let mut failed = 0;
    loop {
        match call().await {
            Ok(answer) => return (failed, answer),
            Err(error) => assert!(error.is_transient() && failed < 5, "{error}"),
        }
        failed += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_whose_answer_is_lost_may_be_made_again() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    let store = &process.store;
    let key = |name: &str| name.parse::<TriggerKey>().unwrap();
    process.put(&job("work"), ["a", "b", "c"].map(hourly)).await;
    let state = async |name: &str| {
        let query = TriggerQuery { keys: vec![key(name)], ..TriggerQuery::default() };
        store.all_triggers(query).await.unwrap().first().map(|status| status.state)
    };
    let what = || Selection::Trigger(key("a"));
    proxy.play("pause", Trick::LoseReply);
    let pause = async || store.pause(Pause { what: what(), note: PauseNote::at(process.now()) }).await;
    assert_eq!(at_last(pause).await.0, 1);
    assert_eq!(state("a").await, Some(TriggerState::Paused));
    proxy.play("resume", Trick::LoseReply);
    assert_eq!(at_last(async || store.resume(what()).await).await.0, 1);
    assert_eq!(state("a").await, Some(TriggerState::Normal));

    let before = store
        .all_triggers(TriggerQuery { keys: vec![key("b")], ..TriggerQuery::default() })
        .await
        .unwrap()
        .remove(0);
    let later = Progress { next: Some(process.now() + TimeDelta::hours(9)), ..before.progress.clone() };
    let adjustment = Adjustment { trigger: key("b"), from: before.progress.clone(), to: later.clone() };
    proxy.play("adjust", Trick::LoseReply);
    let (failed, moved) = at_last(async || store.adjust(vec![adjustment.clone()]).await).await;
    assert_eq!((failed, moved), (1, vec![false]), "it was moved by the call before");
    let after = store
        .all_triggers(TriggerQuery { keys: vec![key("b")], ..TriggerQuery::default() })
        .await
        .unwrap()
        .remove(0);
    assert_eq!(after.progress.next.unwrap().timestamp_millis(), later.next.unwrap().timestamp_millis());

    let claims: Vec<_> = process.acquire(9).await.iter().map(|acquired| acquired.claim).collect();
    assert_eq!(claims.len(), 2);
    proxy.play("release", Trick::LoseReply);
    assert_eq!(at_last(async || store.release(claims.clone()).await).await.0, 1);
    let run = process.run().await;
    proxy.play("cancel", Trick::LoseReply);
    assert_eq!(at_last(async || store.cancel(Executions::All).await).await, (1, vec![run.claim]));
    process.complete(run.claim).await;

    proxy.play("remove_triggers", Trick::LoseReply);
    let (failed, removed) = at_last(async || store.remove_triggers(vec![key("c")]).await).await;
    assert_eq!((failed, removed[0].found, state("c").await), (1, false, None));
    proxy.play("remove_jobs", Trick::LoseReply);
    let (failed, removed) = at_last(async || store.remove_jobs(vec!["work".parse().unwrap()]).await).await;
    assert_eq!((failed, removed, state("a").await), (1, vec![false], None));
    process.put(&job("work"), [hourly("a")]).await;
    proxy.play("clear", Trick::LoseReply);
    assert_eq!(at_last(async || store.clear().await).await.0, 1);
    assert!(store.all_jobs(JobQuery::default()).await.unwrap().is_empty());
    assert_eq!(store.audit(false).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_rarer_changes_and_of_questions_may_be_lost() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    proxy.play("boot", Trick::LoseReply);
    let process = Process::start(&proxy.url(), 1).await;
    let store = &process.store;
    process.put(&job("work"), ["a", "b"].map(hourly)).await;
    let lose = |verb: &str| {
        proxy.play(verb, Trick::LoseReply);
        proxy.played()
    };
    let key = || "a".parse::<TriggerKey>().unwrap();

    let calendar: Arc<dyn Calendar> = Arc::new(StandardCalendar::new(Exclusion::Nothing, chrono_tz::UTC));
    let played = lose("put_calendar");
    let put = async || store.put_calendar("week".into(), calendar.clone(), true).await;
    assert_eq!((at_last(put).await.0, proxy.played()), (1, played + 1));
    assert_eq!(store.calendars().await.unwrap().len(), 1);
    lose("remove_calendar");
    assert_eq!(at_last(async || store.remove_calendar("week".into()).await).await, (1, false));

    let later = hourly("a").job("work".parse().unwrap()).description("later").build(process.now()).unwrap();
    let later = Arc::new(later);
    lose("reschedule");
    let reschedule = async || {
        let trigger = later.clone();
        store.reschedule(Reschedule { old: key(), revision: None, trigger, progress: None }).await
    };
    assert_eq!(at_last(reschedule).await, (1, true));
    assert_eq!(store.reset(vec![key()]).await.unwrap(), [false], "nothing is to be written");

    let run = process.run().await;
    let complete = async || {
        let executions = vec![Completion { unfinished: true, ..Completion::of(run.claim) }];
        store.complete(Complete { now: process.now(), executions }).await
    };
    lose("complete");
    assert_eq!(at_last(complete).await.0, 1);

    lose("audit");
    assert_eq!(at_last(async || store.audit(false).await).await, (1, Vec::new()));
    // Questions are asked again without a word.
    let played = ["ZRANGEBYLEX", "HMGET", "HSCAN", "SMEMBERS", "ZLEXCOUNT", "GET", "firings"].map(lose)[6];
    let triggers = store.all_triggers(TriggerQuery::default()).await.unwrap();
    let described: Vec<_> = triggers.iter().map(|status| status.trigger.description()).collect();
    assert_eq!(described, [Some("later"), None]);
    assert_eq!(store.all_jobs(JobQuery::default()).await.unwrap().len(), 1);
    assert!(store.executions(Executions::All).await.unwrap().is_empty());
    assert!(store.calendars().await.unwrap().is_empty());
    assert_eq!(store.groups(GroupKind::Jobs).await.unwrap().len(), 1);
    assert_eq!(store.nodes().await.unwrap().len(), 1);
    assert!(store.all_firings(FiringQuery::default()).await.unwrap().is_empty());
    assert_eq!(proxy.played(), played + 7);

    lose("take_over");
    assert_eq!(at_last(async || store.detach(1).await).await.0, 1);
    assert!(store.nodes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_over_may_lose_every_answer() {
    let server = Server::start();
    for verb in ["lose", "take_over", "attach", "beat"] {
        server.command(&["FLUSHALL"]);
        let proxy = Proxy::to(server.port());
        let (dead, living) = (Process::start(&server.url(), 1).await, Process::start(&proxy.url(), 2).await);
        let safe = exclusive("safe").to_builder().requests_recovery(true).build();
        dead.put(&safe, [hourly("safe")]).await;
        dead.run().await;
        for trick in [Trick::LoseReply, Trick::LoseRequest, Trick::Duplicate] {
            proxy.play(verb, trick);
        }
        drop(dead);
        until("the run is over", async || {
            living.store.executions(Executions::All).await.is_ok_and(|runs| runs.is_empty())
        })
        .await;
        until("it is repeated once", async || {
            living.store.all_runs(RunQuery::default()).await.is_ok_and(|runs| runs.len() == 1)
        })
        .await;
        assert_eq!(living.store.audit(false).await.unwrap(), [""; 0], "{verb}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_firing_was_heard_late_is_still_there_after_the_server_has_restarted() {
    let mut server = Server::durable();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    let safe = exclusive("safe").to_builder().requests_recovery(true).build();
    process.put(&safe, [hourly("a")]).await;
    let acquired = process.acquire(1).await.remove(0);
    proxy.play("fire", Trick::LoseReply);
    let (failed, result) = at_last(async || process.try_fire(&acquired).await).await;
    assert!(failed == 1 && matches!(result, FireResult::Run { .. }), "{result:?}");
    let run_id = |server: &Server| server.text(&["HGET", "scheduler:{shared/0}:meta", "run"]);
    let before = run_id(&server);
    server.restart();
    until("the server was told", async || {
        let told = server.text(&["SCARD", "scheduler:{shared/0}:untold"]) == "0" && run_id(&server) != before;
        told && process.store.executions(Executions::All).await.is_ok()
    })
    .await;
    assert_eq!(process.running().await, 1, "its node knows of it, and says so");
    assert!(matches!(process.complete(acquired.claim).await, CompleteResult::Done { .. }));
    assert_eq!(process.acquire(9).await.len(), 0, "it is not repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_again_after_its_run_is_over_enqueues_nothing() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    let run = || NewRun::of(RunId::new(7, 7), &job("work"), process.now());
    proxy.play("enqueue", Trick::Duplicate);
    assert_eq!(process.store.enqueue(vec![run()]).await.unwrap(), [Enqueued::Created]);
    let claimed = process.ask(1).await.unwrap().runs.remove(0);
    assert!(matches!(process.complete(claimed.claim).await, CompleteResult::Done { .. }));
    until("the call comes again", async || proxy.repeated() == 1).await;
    assert!(process.store.all_runs(RunQuery::default()).await.unwrap().is_empty(), "the run was over");
    // Whoever enqueues it again in a call of its own means another run.
    assert_eq!(process.store.enqueue(vec![run()]).await.unwrap(), [Enqueued::Created]);
}
