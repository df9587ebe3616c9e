//! What is fired as it is claimed: whatever becomes of the call, it runs once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::time::Duration;

use scheduler_core::job::{ExecutionId, JobContext, JobDefinition};
use scheduler_core::store::*;
use scheduler_core::trigger::{Misfire, OverlapPolicy, Trigger, TriggerBuilder};
use scheduler_core::{Scheduler, SchedulerState, TriggerKey};
use scheduler_redis::RedisJobStore;
use tests::process::{Process, exclusive, job, names, until};
use tests::proxy::{Proxy, Trick};
use tests::redis::Server;
use tokio::sync::Notify;

/// Fires now, and never again.
fn once(name: &str) -> TriggerBuilder {
    Trigger::now().name(name)
}

fn claims(acquired: &[AcquiredTrigger]) -> Vec<ExecutionId> {
    acquired.iter().map(|acquired| acquired.claim).collect()
}

/// A call that takes effect, for so many triggers, and whose answer is lost; others are answered after that.
async fn lose(server: &Server, proxy: &Proxy, process: &Process, fires: usize) {
    let fired = || server.text(&["HLEN", "scheduler:{shared/0}:cl:1"]).parse::<usize>().unwrap();
    let before = fired();
    // The first call of a script may only bring it to the server.
    process.acquire(0).await;
    proxy.play("acquire", Trick::LoseReply);
    process.acquire_at_once(fires).await.unwrap_err();
    until("it has taken effect", async || fired() == before + fires).await;
    until("the store answers", async || process.store.nodes().await.is_ok()).await;
}

/// What a call finds that fires nothing itself.
async fn told(process: &Process) -> Vec<AcquiredTrigger> {
    let (session, now, limits) = (process.session, process.now(), ExecutionLimits::default());
    let ask = AcquireDue { session, now, until: now, max: 0, limits, late: None, fires_since: None };
    process.store.acquire_due(ask).await.unwrap().triggers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_fired_and_was_not_heard_is_told_by_the_next_call() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let (process, other) = (Process::start(&proxy.url(), 1).await, Process::start(&server.url(), 2).await);
    process.put(&job("work"), ["a", "b"].map(once)).await;
    process.put(&exclusive("one"), [once("c"), once("d")]).await;
    let before = process.store.triggers(TriggerQuery::default()).await.unwrap();
    lose(&server, &proxy, &process, 3).await;
    assert!(other.acquire_at_once(9).await.unwrap().is_empty(), "it is for nobody else");
    let found = told(&process).await;
    assert_eq!(names(&found), ["a", "b", "c"]);
    for (found, before) in found.iter().zip(&before) {
        let fired = found.fired.as_ref().unwrap();
        assert_eq!((&found.trigger, &found.progress), (&before.trigger, &before.progress));
        assert_eq!(fired.progress, found.trigger.fired(&found.progress, None));
        assert_eq!((fired.fence, fired.job.key()), (found.claim.count(), found.trigger.job()));
    }
    assert!(told(&process).await.is_empty(), "once");
    for claim in claims(&found) {
        let result = process.complete_with(claim, Instruction::RemoveTrigger).await;
        assert_eq!(result, CompleteResult::Done { trigger_removed: true, job_removed: false });
    }
    assert_eq!(names(&process.acquire_at_once(9).await.unwrap()), ["d"]);
    assert_eq!(other.store.audit(false).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_carried_out_again_fires_nothing() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    process.put(&job("work"), ["a", "b", "c"].map(once)).await;
    proxy.play("acquire", Trick::Duplicate);
    assert_eq!(names(&process.acquire_at_once(1).await.unwrap()), ["a"]);
    until("it was carried out again", async || proxy.repeated() == 1).await;
    assert_eq!(process.running().await, 1);
    proxy.play("acquire", Trick::LoseRequest);
    process.acquire_at_once(1).await.unwrap_err();
    assert!(told(&process).await.is_empty());
    assert_eq!(names(&process.acquire_at_once(9).await.unwrap()), ["b", "c"]);
    assert_eq!(process.running().await, 3);
}

/// In several calls, of which one has no answer: what the others have fired is the node's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_parts_have_fired_is_not_told_again() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    let all: Vec<_> = (0..250).map(|number| format!("{number:03}")).collect();
    process.put(&job("work"), all.iter().map(|name| once(name))).await;
    // The first call of a script may only bring it to the server.
    process.acquire(0).await;
    proxy.play_after(1, "acquire", Trick::LoseReply);
    let mut found = process.acquire_at_once(250).await.unwrap();
    assert_eq!((found.len(), proxy.played()), (100, 1), "the second part has no answer");
    while found.len() < 250 {
        let more = process.acquire_at_once(250).await.unwrap_or_default();
        until("the store answers", async || process.store.nodes().await.is_ok()).await;
        found.extend(more);
    }
    let mut fired = names(&found);
    fired.sort_unstable();
    assert_eq!(fired, all, "each once");
    assert_eq!(process.running().await, 250);
}

/// Nobody waits for the answer, and nothing says whether the question has gone already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_question_has_fired_that_was_given_up_is_told_once() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    let all: Vec<_> = (0..60).map(|number| format!("{number:02}")).collect();
    process.put(&job("work"), all.iter().map(|name| once(name))).await;
    let mut found = Vec::new();
    for _ in 0..200 {
        tokio::select! {
            biased;
            answer = process.acquire_at_once(2) => found.extend(answer.unwrap_or_default()),
            () = std::future::ready(()) => {}
        }
        found.extend(process.acquire_at_once(2).await.unwrap_or_default());
    }
    let mut fired = names(&found);
    fired.sort_unstable();
    assert_eq!(fired, all, "each once");
    assert_eq!(process.running().await, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_before_its_run_could_begin_does_not_run() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    process.put(&exclusive("work"), [once("a"), once("b")]).await;
    process.put(&job("kept"), [once("c")]).await;
    lose(&server, &proxy, &process, 2).await;
    process.store.remove_triggers(vec!["a".parse::<TriggerKey>().unwrap()]).await.unwrap();
    assert_eq!(names(&told(&process).await), ["c"]);
    assert_eq!(process.running().await, 1);
    assert_eq!(names(&process.acquire_at_once(9).await.unwrap()), ["b"], "its job is free");
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_replaced_before_its_run_could_begin_runs_as_what_it_is_now() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    process.put(&exclusive("work"), [once("a")]).await;
    lose(&server, &proxy, &process, 1).await;
    for (job, overlap) in [(job("other"), OverlapPolicy::Skip), (exclusive("work"), OverlapPolicy::BufferOne)]
    {
        process.put(&job, [once("a").overlap(overlap)]).await;
        assert!(told(&process).await.is_empty());
        assert_eq!(process.running().await, 0);
        let found = process.acquire(1).await;
        assert_eq!(names(&found), ["a"]);
        assert!(matches!(process.fire(&found[0]).await, FireResult::Run { .. }), "nothing keeps it back");
        assert!(matches!(process.complete(found[0].claim).await, CompleteResult::Done { .. }));
        process.put(&job, [once("a")]).await;
        lose(&server, &proxy, &process, 1).await;
    }
}

/// A question that comes once more, late, ends nothing that runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_not_taken_for_what_was_not_heard() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    process.put(&exclusive("work"), [once("a"), once("b")]).await;
    lose(&server, &proxy, &process, 1).await;
    proxy.play("unheard", Trick::Duplicate);
    let found = told(&process).await;
    assert_eq!(names(&found), ["a"]);
    process.store.remove_triggers(vec!["a".parse::<TriggerKey>().unwrap()]).await.unwrap();
    until("it was carried out again", async || proxy.repeated() == 1).await;
    assert_eq!(process.running().await, 1);
    assert!(process.acquire_at_once(9).await.unwrap().is_empty(), "the job is busy");
    assert!(matches!(process.complete(found[0].claim).await, CompleteResult::Done { .. }));
    assert_eq!(names(&process.acquire_at_once(9).await.unwrap()), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_that_is_held_for_dead_has_not_heard_is_taken_over() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let (parted, living) = (Process::start(&proxy.url(), 1).await, Process::start(&server.url(), 2).await);
    let safe = exclusive("safe").to_builder().requests_recovery(true).build();
    parted.put(&safe, [once("a")]).await;
    lose(&server, &proxy, &parted, 1).await;
    proxy.close();
    until("node 1 is gone", async || living.sessions().await == [2]).await;
    until("its run is over", async || living.running().await == 0).await;
    proxy.open();
    until("it is back", async || living.sessions().await == [1, 2]).await;
    let turn = server.text(&["HGET", "scheduler:{shared/0}:tn", "1"]).parse::<u64>();
    assert!(turn.is_ok_and(|turn| turn > 0), "calls of its earlier life do nothing");
    let again = living.acquire(9).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].trigger.recovery().map(|lost| lost.trigger.name()), Some("a"));
    until("it is safe", async || parted.acquire_at_once(0).await.is_ok()).await;
    assert!(told(&parted).await.is_empty());
}

/// A server that is restarted is told what its nodes know; that does not end what they have not heard of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_fired_and_was_not_heard_outlives_the_server() {
    let mut server = Server::durable();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    process.put(&job("work"), ["a", "b"].map(once)).await;
    let first = process.acquire_at_once(1).await.unwrap();
    lose(&server, &proxy, &process, 1).await;
    server.kill();
    server.restart();
    let epoch = || server.text(&["HGET", "scheduler:{shared/0}:meta", "hold"]);
    until("it was told", async || {
        epoch() != "0" && server.text(&["SCARD", "scheduler:{shared/0}:untold"]) == "0"
    })
    .await;
    assert_eq!(process.running().await, 2);
    assert_eq!(names(&told(&process).await), ["b"]);
    assert!(matches!(process.complete(first[0].claim).await, CompleteResult::Done { .. }));
}

/// It would run nowhere else: so it is claimed as if it had not been fired, and shows by that what is wrong with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_given_back() {
    give_back(None).await;
    give_back(Some("unfire")).await;
    give_back(Some("spoil")).await;
}

/// Where the answer of this call is lost.
async fn give_back(lost: Option<&str>) {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    process.put(&exclusive("fine"), [once("a")]).await;
    process.put(&exclusive("rubbish"), [once("b")]).await;
    process.put(&exclusive("strange"), [once("c")]).await;
    process.put(&exclusive("broken"), [once("d")]).await;
    let before = server.text(&["HGET", "scheduler:{shared/0}:jd", "\0strange"]);
    server.command(&["HSET", "scheduler:{shared/0}:jd", "\0rubbish", "{"]);
    server.command(&["HSET", "scheduler:{shared/0}:td", "\0c", "{\"of\":\"another version\"}"]);
    server.command(&["HSET", "scheduler:{shared/0}:td", "\0d", "{"]);
    lost.into_iter().for_each(|verb| proxy.play(verb, Trick::LoseReply));
    let mut heard = Vec::new();
    while !heard.iter().any(|acquired: &AcquiredTrigger| acquired.trigger.key().name() == "b") {
        // As often as the answer is lost.
        heard.extend(process.acquire_at_once(9).await.unwrap_or_default());
    }
    assert_eq!(names(&heard), ["a", "b"], "{lost:?}");
    assert_eq!(process.running().await, 1);
    while process.try_fire(&heard[1]).await.is_err() {}
    assert_eq!(proxy.played(), u64::from(lost.is_some()), "{lost:?}");
    assert!(server.text(&["HGET", "scheduler:{shared/0}:ts", "\0b"]).starts_with('E'));
    assert!(server.text(&["HGET", "scheduler:{shared/0}:ts", "\0c"]).starts_with('A'), "it lapses");
    assert!(server.text(&["HGET", "scheduler:{shared/0}:ts", "\0d"]).starts_with('E'));
    assert_eq!(server.text(&["HGET", "scheduler:{shared/0}:jd", "\0strange"]), before);
}

/// The loop of a scheduler: what it has not heard of runs before it ends, for as long as there is time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_is_shut_down_runs_what_it_has_not_heard_of() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let (began, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let builder = RedisJobStore::builder(&proxy.url()).name("shared");
    let store = builder.connect().await.unwrap();
    let of_run = (began.clone(), goes_on.clone());
    let body = move |_: JobContext| {
        let (began, goes_on) = of_run.clone();
        async move {
            began.notify_one();
            goes_on.notified().await;
        }
    };
    let scheduler =
        Scheduler::builder().store(store).register(JobDefinition::new(job("work"), body)).build().unwrap();
    let process = Process::start(&server.url(), 2).await;
    process.put(&job("work"), [once("a").misfire(Misfire::Ignore)]).await;
    let other = process.store;
    // Until after some tries, each of which waits longer.
    proxy.play("acquire", Trick::LoseReply);
    (0..7).for_each(|_| proxy.play("unheard", Trick::LoseReply));
    scheduler.start().await.unwrap();
    until("it has fired", async || other.executions(Executions::All).await.unwrap().len() == 1).await;
    let ends = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.shutdown(Duration::from_secs(30)).await }
    });
    tokio::time::timeout(Duration::from_secs(20), began.notified()).await.unwrap();
    assert_eq!(scheduler.state(), SchedulerState::ShuttingDown, "it waits for the run");
    assert_eq!(other.executions(Executions::All).await.unwrap().len(), 1);
    goes_on.notify_one();
    let report = ends.await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(other.executions(Executions::All).await.unwrap().is_empty());
    assert!(other.triggers(TriggerQuery::default()).await.unwrap().is_empty());
}

/// What was never sent has fired nothing, so nothing is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_a_server_knows_that_it_has_fired_nothing() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    process.acquire(9).await;
    assert!(!process.store.may_have_fired(1));
    proxy.swallow(true);
    process.acquire_at_once(9).await.unwrap_err();
    assert!(process.store.may_have_fired(1), "nobody knows");
    proxy.swallow(false);
    proxy.cut();
    until("it has asked", async || process.acquire_at_once(0).await.is_ok()).await;
    assert!(!process.store.may_have_fired(1));
    proxy.close();
    until("its connection is known to be gone", async || process.store.nodes().await.is_err()).await;
    process.acquire_at_once(9).await.unwrap_err();
    assert!(!process.store.may_have_fired(1));
}
