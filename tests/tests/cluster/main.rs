//! Nodes that share a store: what one of them does, suffers or leaves behind, and what the others see of it.
//!
//! Stores in Redis that came before have made sixteen errors. Where each is looked for:
//!
//! | error | test |
//! |---|---|
//! | a lock that somebody else deletes, or that expires under its holder | there is none; `a_node_that_was_held_for_dead_can_do_no_harm_and_begins_anew`, the chaos |
//! | a change of state in several steps, of which a crash keeps one | the server killed in the chaos, its log read back |
//! | answers shifted against the questions; firing without looking who holds the claim | the kit: `a_batch_is_answered_in_its_order`, and its claims |
//! | living nodes taken for dead, and the other way round | `a_server_whose_clock_is_set_lets_nobody_die`, `the_work_of_a_dead_node_is_taken_over` |
//! | a job that stays blocked when its node comes back under the same name | `the_work_of_a_dead_node_is_taken_over`: a life of a node has a number of its own |
//! | groups that stay paused, calendars and groups that cannot be removed or disappear | the kit: pausing, calendars, groups |
//! | an index without its record stops the whole scheduler | `records_that_somebody_has_destroyed_stop_nobody_else_and_are_found` |
//! | separators in names | `stores_of_other_names_and_triggers_of_other_types_are_left_alone` |
//! | no priority, no recovery, two kinds of trigger, data as texts | the kit, `the_work_of_a_dead_node_is_taken_over` |
//! | the last firing comes again and again | the burst in `load.rs` leaves nothing; the kit: instructions |
//! | decisions by the clocks of nodes | `scheduler-redis/src/clock.rs` |
//! | keys without a hash tag | the cluster in `connections.rs` |
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod destroyed;
mod lost_answers;
mod records;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::calendar::{Calendar, Exclusion, StandardCalendar};
use scheduler_core::job::{CancelReason, JobDetail};
use scheduler_core::run::{DeadRun, Delivery, RunEnd, RunId};
use scheduler_core::store::rules::MOST_LOSSES;
use scheduler_core::store::*;
use scheduler_core::trigger::{Progress, Trigger};
use scheduler_core::{JobData, TriggerKey};
use scheduler_redis::RedisJobStore;
use tests::process::{Process, exclusive, hourly, job, names, until};
use tests::proxy::{Proxy, Trick};
use tests::redis::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n18_the_work_of_a_dead_node_is_taken_over_and_a_run_repeated_where_its_job_asks() {
    let server = Server::start();
    let (dead, living) = (Process::start(&server.url(), 1).await, Process::start(&server.url(), 2).await);
    let mut data = JobData::new();
    data.insert("order", 7.into());
    let safe = exclusive("safe").to_builder().requests_recovery(true).build();
    dead.put(&safe, [hourly("safe").data(data.clone()).priority(9)]).await;
    dead.put(&exclusive("busy"), [hourly("busy").priority(8)]).await;
    dead.put(&job("plain"), [hourly("waits").priority(1)]).await;
    let (lost, gone) = (dead.run().await, dead.run().await);
    assert_eq!(names(&[lost.clone(), gone.clone()]), ["safe", "busy"]);
    assert_eq!(names(&dead.acquire(9).await), ["waits"], "claimed and not fired");
    assert_eq!(living.sessions().await, [1, 2]);
    drop(dead);
    until("node 1 is gone", async || living.sessions().await == [2]).await;
    until("its runs are over", async || living.store.executions(Executions::All).await.unwrap().is_empty())
        .await;

    let Acquired { triggers, runs, .. } = living.ask(9).await.unwrap();
    assert_eq!(names(&triggers), ["waits"]);
    assert_eq!(runs.len(), 1, "what asks for it is repeated");
    assert_eq!((runs[0].run, runs[0].attempt), (RunId::new(1, lost.claim.count()), 2));
    let again = &runs[0].trigger;
    assert_eq!((again.key(), again.priority(), again.job()), (lost.trigger.key(), 9, safe.key()));
    assert_eq!(again.data(), &data);
    let recovery = again.recovery().unwrap();
    assert_eq!((&recovery.trigger, recovery.count), (lost.trigger.key(), 1));
    assert_eq!(Some(recovery.scheduled), lost.progress.next);
    assert!(runs[0].claim.count() > lost.claim.count(), "fences grow");
    living.complete(runs[0].claim).await;
    assert!(living.store.all_runs(RunQuery::default()).await.unwrap().is_empty());
    let states: Vec<_> = living.store.all_triggers(TriggerQuery::default()).await.unwrap();
    let states: Vec<_> = states.iter().map(|status| (status.trigger.key().name(), status.state)).collect();
    assert_eq!(
        states,
        [("busy", TriggerState::Normal), ("safe", TriggerState::Normal), ("waits", TriggerState::Normal)]
    );
    assert_eq!(living.store.audit(false).await.unwrap(), [""; 0]);
}

/// It may have done its work, so it does not begin again, and the node that has found it tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_may_begin_once_is_dead_with_its_node() {
    let server = Server::start();
    let (dead, living) = (Process::start(&server.url(), 1).await, Process::start(&server.url(), 2).await);
    let run = |number| NewRun::of(RunId::new(7, number), &job("work"), living.now());
    let mut once = run(1);
    once.delivery = Delivery::AtMostOnce;
    living.store.enqueue(vec![once, run(2)]).await.unwrap();
    assert_eq!(dead.ask(2).await.unwrap().runs.len(), 2);
    drop(dead);
    until("node 1 is gone", async || living.sessions().await == [2]).await;
    until("its runs are over", async || living.store.executions(Executions::All).await.unwrap().is_empty())
        .await;
    let acquired = living.ask(9).await.unwrap();
    assert_eq!(acquired.runs.iter().map(|run| run.run).collect::<Vec<_>>(), [RunId::new(7, 2)]);
    assert_eq!(
        acquired.dead,
        [DeadRun::new(RunId::new(7, 1), job("work").key().clone(), 1, "its node died")]
    );
    let stored = living.store.all_runs(RunQuery::dead()).await.unwrap();
    assert_eq!(stored.iter().map(|run| run.id).collect::<Vec<_>>(), [RunId::new(7, 1)]);
}

/// HangfireIO/Hangfire#2505: a job that ended its process was tried again for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firing_that_ends_every_node_ends_some_day_itself() {
    let server = Server::start();
    let keeper = Process::start(&server.url(), 100).await;
    keeper
        .put(&job("deadly").to_builder().requests_recovery(true).build(), [Trigger::now().name("once")])
        .await;
    for session in 1..=u64::from(MOST_LOSSES) + 1 {
        let victim = Process::start(&server.url(), session).await;
        if session == 1 {
            victim.run().await;
        } else {
            let runs = victim.ask(1).await.unwrap().runs;
            let count = runs[0].trigger.recovery().map(|recovery| u64::from(recovery.count));
            assert_eq!((count, u64::from(runs[0].attempt)), (Some(session - 1), session));
        }
        drop(victim);
        until("the victim is gone", async || keeper.sessions().await == [100]).await;
        until("its run is over", async || keeper.store.executions(Executions::All).await.unwrap().is_empty())
            .await;
    }
    let taken = keeper.ask(9).await.unwrap();
    assert!(taken.triggers.is_empty() && taken.runs.is_empty());
    assert!(keeper.store.all_triggers(TriggerQuery::default()).await.unwrap().is_empty());
    let dead = keeper.store.all_runs(RunQuery::default()).await.unwrap();
    assert_eq!((dead.len(), dead[0].end), (1, Some(RunEnd::Dead)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_held_for_dead_can_do_no_harm_and_begins_anew() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let (parted, living) = (Process::start(&proxy.url(), 1).await, Process::start(&server.url(), 2).await);
    parted.put(&exclusive("one"), [hourly("a"), hourly("b")]).await;
    parted.put(&job("many"), [hourly("c").priority(1)]).await;
    let run = parted.run().await;
    let unfired = parted.acquire(9).await;
    assert_eq!(names(&unfired), ["c"]);
    proxy.close();
    until("its run is stopped", async || *parted.stopped.lock() == [(run.claim, CancelReason::ClaimLost)])
        .await;
    until("node 1 is gone", async || living.sessions().await == [2]).await;
    until("the job is free", async || {
        // That of the node that is gone may still be there.
        let runs = living.store.executions(Executions::All).await.unwrap();
        runs.iter().any(|run| run.id.session() == 2) || {
            let acquired = living.acquire(1).await;
            !acquired.is_empty() && matches!(living.fire(&acquired[0]).await, FireResult::Run { .. })
        }
    })
    .await;
    proxy.open();
    until("it is back", async || living.sessions().await == [1, 2]).await;
    assert_eq!(parted.complete(run.claim).await, CompleteResult::Gone);
    assert!(matches!(parted.fire(&unfired[0]).await, FireResult::Stale));
    let running = living.store.executions(Executions::All).await.unwrap();
    assert_eq!(running.len(), 1, "the run of the other goes on");
    assert_eq!(running[0].id.session(), 2);
    until("it fires again", async || names(&parted.acquire(9).await).contains(&"c".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_hear_of_changes_and_of_runs_that_are_to_stop() {
    let server = Server::start();
    let (first, second) = (Process::start(&server.url(), 1).await, Process::start(&server.url(), 2).await);
    // Whatever comes with the start.
    until("both listen", async || {
        let channels = server.command(&["PUBSUB", "NUMSUB", "scheduler:{shared/0}:wake"]);
        format!("{channels:?}").contains("int(2)")
    })
    .await;
    let before = *second.wakes.lock();
    first.put(&job("work"), [hourly("a")]).await;
    until("the other is woken", async || *second.wakes.lock() > before).await;
    let run = second.run().await;
    assert_eq!(first.store.cancel(Executions::One(run.claim)).await.unwrap(), [run.claim]);
    let (now, limits) = (second.now(), QueueLimits::default());
    let request = AcquireDue {
        session: 2,
        now,
        until: now,
        max: 0,
        limits,
        shares: Vec::new(),
        late: None,
        heard: None,
    };
    let told = second.store.acquire_due(request).await.unwrap().cancel;
    assert_eq!(told, [(run.claim, CancelReason::Requested)]);
    let nodes = first.store.nodes().await.unwrap();
    let shown: Vec<_> = nodes.iter().map(|node| (&*node.name, node.executions, &*node.version)).collect();
    assert_eq!(shown, [("node 1", 0, env!("CARGO_PKG_VERSION")), ("node 2", 1, env!("CARGO_PKG_VERSION"))]);
    first.store.detach(1).await.unwrap();
    assert_eq!(second.sessions().await, [2], "one that ends in order is gone at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_clock_is_set_lets_nobody_die() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&job("work"), [hourly("a")]).await;
    let run = process.run().await;
    let key = "scheduler:{shared/0}:meta";
    let lease_clock = || server.text(&["HGET", key, "lc"]).parse::<i64>().unwrap();
    for hours in [-1, 1, 24] {
        // As if the clock had been so much behind, or ahead, at the last beat.
        let before = lease_clock();
        server.command(&["HINCRBY", key, "lw", &(hours * 3_600_000).to_string()]);
        until("it beats on", async || lease_clock() > before).await;
        let cap: i64 = server.text(&["HGET", key, "cap"]).parse().unwrap();
        assert!(lease_clock() - before < 20 * cap, "not by hours");
    }
    assert_eq!(process.sessions().await, [1]);
    assert!(process.stopped.lock().is_empty());
    assert!(matches!(process.complete(run.claim).await, CompleteResult::Done { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_drains_while_the_memory_of_the_server_is_full() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&job("work"), [hourly("a"), hourly("b")]).await;
    let run = process.run().await;
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let put = Put {
        jobs: vec![Arc::new(job("more"))],
        existing_jobs: Existing::Refuse,
        triggers: Vec::new(),
        existing_triggers: Existing::Refuse,
    };
    let error = process.store.put(put.clone()).await.unwrap_err();
    assert!(error.to_string().contains("OOM"), "{error}");
    assert!(matches!(process.complete(run.claim).await, CompleteResult::Done { .. }));
    let silent = async || process.store.nodes().await.unwrap()[0].silent;
    until("it beats", async || silent().await < Duration::from_millis(100)).await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    process.store.put(put).await.unwrap();
    assert_eq!(names(&process.acquire(9).await), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_comes_late_does_not_undo_a_later_one() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let process = Process::start(&proxy.url(), 1).await;
    proxy.play("put", Trick::Duplicate);
    process.put(&job("work"), [hourly("a").description("first")]).await;
    process.put(&job("work"), [hourly("a").description("second")]).await;
    until("the first comes again", async || proxy.repeated() == 1).await;
    let stored = process.store.all_triggers(TriggerQuery::default()).await.unwrap();
    assert_eq!(stored[0].trigger.description(), Some("second"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_of_other_names_and_triggers_of_other_types_are_left_alone() {
    let server = Server::start();
    let process = Process::start_with(&server.url(), 1, Some(&["work"])).await;
    let other = RedisJobStore::connect(&server.url(), "shared:").await.unwrap();
    process.put(&job("a:b|c/d"), [hourly("x:y"), hourly("group:1/x:y")]).await;
    process
        .put(&JobDetail::builder("elsewhere".parse().unwrap(), "elsewhere").build(), [hourly("not here")])
        .await;
    assert!(other.all_jobs(JobQuery::default()).await.unwrap().is_empty());
    assert_eq!(names(&process.acquire(9).await), ["x:y", "group:1/x:y"]);
    let able = Process::start_with(&server.url(), 2, Some(&["elsewhere"])).await;
    assert_eq!(names(&able.acquire(9).await), ["not here"]);
    let due = process.now() + TimeDelta::seconds(1);
    assert!(able.now() < due && process.now() < able.now() + TimeDelta::seconds(1), "they agree on the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_twice_with_the_same_old_data_is_told_twice() {
    let mut server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&exclusive("one"), [hourly("a"), hourly("b")]).await;
    let ended = process.run().await;
    server.command(&["SAVE"]);
    assert!(matches!(process.complete(ended.claim).await, CompleteResult::Done { .. }));
    let running = process.run().await;
    for _ in 0..2 {
        server.restart();
        until("the server knows it again", async || {
            let runs = process.store.executions(Executions::All).await.unwrap_or_default();
            runs.iter().map(|run| run.id).eq([running.claim])
        })
        .await;
    }
    assert!(process.acquire(9).await.is_empty(), "neither of them comes again");
    assert!(matches!(process.complete(running.claim).await, CompleteResult::Done { .. }));
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_come_and_go_leave_nothing_behind() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    for number in 0..3 {
        let job = JobDetail::builder(format!("order-{number}").parse().unwrap(), "work")
            .disallow_concurrent(true)
            .build();
        process.put(&job, [Trigger::now().name(&format!("order-{number}"))]).await;
        let run = process.run().await;
        let remove = Completion { instruction: Instruction::RemoveTrigger, ..Completion::of(run.claim) };
        process.store.complete(Complete { now: process.now(), executions: vec![remove] }).await.unwrap();
    }
    process.store.detach(1).await.unwrap();
    let keys = redis::from_redis_value::<Vec<String>>(server.command(&["KEYS", "*"])).unwrap();
    // These end by themselves.
    let ends = |key: &String| key.contains(":ad:") || key.contains(":probe:");
    let left: Vec<_> = keys.into_iter().filter(|key| !ends(key)).collect();
    assert_eq!(left, ["scheduler:{shared/0}:meta"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_forgotten_whole_is_told_by_whoever_meets_it_first() {
    let mut server = Server::start();
    // What was there before the first node.
    let before = RedisJobStore::builder(&server.url()).name("shared").connect().await.unwrap();
    let at = before.clock().unwrap().now();
    let built = |name: &str| {
        let trigger = hourly(name).job("one".parse().unwrap()).build(at).unwrap();
        let progress = trigger.first(None);
        (Arc::new(trigger), progress)
    };
    let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
    let (jobs, triggers) = (vec![Arc::new(exclusive("one"))], vec![built("a"), built("b")]);
    before.put(Put { jobs, existing_jobs, triggers, existing_triggers }).await.unwrap();
    server.command(&["SAVE"]);
    let process = Process::start(&server.url(), 1).await;
    let ended = process.run().await;
    assert!(matches!(process.complete(ended.claim).await, CompleteResult::Done { .. }));
    let running = process.run().await;
    server.restart();
    // The end of the run, before or after a beat: whichever comes first.
    let complete = Complete { now: process.now(), executions: vec![Completion::of(running.claim)] };
    until("it is written", async || match process.store.complete(complete.clone()).await {
        Ok(results) => {
            assert!(matches!(results[0], CompleteResult::Done { .. }), "{results:?}");
            true
        }
        Err(_) => false,
    })
    .await;
    assert!(process.stopped.lock().is_empty());
    until("it takes part again", async || process.store.nodes().await.is_ok_and(|nodes| nodes.len() == 1))
        .await;
    let states = process.store.all_triggers(TriggerQuery::default()).await.unwrap();
    assert!(
        states.iter().all(|status| status.progress.next.unwrap() > process.now()),
        "neither comes again: {states:?}"
    );
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_queue_hears_that_a_run_of_it_has_ended() {
    let server = Server::start();
    let (first, second) =
        (Process::start(&server.url(), 1).await, Process::start_with(&server.url(), 2, Some(&[])).await);
    let nodes = first.store.nodes().await.unwrap();
    assert_eq!(nodes[1].types.as_ref().map(std::collections::BTreeSet::len), Some(0), "it can run nothing");
    first.put(&job("work"), ["a", "b"].map(|name| hourly(name).queue("!g"))).await;
    let ask = async |process: &Process| {
        let now = process.now();
        let limits = QueueLimits { shared: [("!g".into(), 1)].into(), ..QueueLimits::default() };
        let request = AcquireDue {
            session: process.session,
            now,
            until: now,
            max: 9,
            limits,
            shares: Vec::new(),
            late: None,
            heard: None,
        };
        process.store.acquire_due(request).await.unwrap().triggers
    };
    let run = ask(&first).await.remove(0);
    assert!(matches!(first.fire(&run).await, FireResult::Run { .. }));
    assert!(ask(&first).await.is_empty());
    until("it listens", async || {
        let channels = server.command(&["PUBSUB", "NUMSUB", "scheduler:{shared/0}:wake"]);
        format!("{channels:?}").contains("int(2)")
    })
    .await;
    let before = *second.wakes.lock();
    first.complete(run.claim).await;
    until("the other is woken", async || *second.wakes.lock() > before).await;
    assert_eq!(ask(&first).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_stopped_for_lost_touch_is_repeated_as_if_its_node_had_died() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&exclusive("safe").to_builder().requests_recovery(true).build(), [hourly("a")]).await;
    process.put(&exclusive("plain"), [hourly("b")]).await;
    let acquired = process.acquire(9).await;
    for one in &acquired {
        process.fire(one).await;
    }
    let ending = |one: &AcquiredTrigger| Completion { unfinished: true, ..Completion::of(one.claim) };
    let complete = Complete { now: process.now(), executions: acquired.iter().map(ending).collect() };
    let results = process.store.complete(complete.clone()).await.unwrap();
    assert!(results.iter().all(|result| matches!(result, CompleteResult::Done { .. })), "{results:?}");
    let again = process.ask(9).await.unwrap().runs;
    assert_eq!(again.len(), 1, "the one whose job asks for it, and it is free to run");
    assert_eq!(again[0].trigger.recovery().unwrap().trigger, "a".parse().unwrap());
    assert_eq!(process.store.executions(Executions::All).await.unwrap().len(), 1);
    process.store.complete(complete).await.unwrap();
    assert!(process.ask(9).await.unwrap().runs.is_empty(), "told once more, it is not repeated once more");
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_another_node_has_removed_is_stored_anew_by_whoever_wants_it_kept() {
    let server = Server::start();
    let (first, second) = (Process::start(&server.url(), 1).await, Process::start(&server.url(), 2).await);
    let keep = async |process: &Process| {
        let (triggers, existing_triggers) = (Vec::new(), Existing::Keep);
        let jobs = vec![Arc::new(job("kept").to_builder().durable(true).build())];
        let put = Put { jobs, existing_jobs: Existing::Keep, triggers, existing_triggers };
        process.store.put(put).await.unwrap();
    };
    keep(&first).await;
    assert_eq!(second.store.remove_jobs(vec!["kept".parse().unwrap()]).await.unwrap(), [true]);
    keep(&first).await;
    assert_eq!(second.store.all_jobs(JobQuery::default()).await.unwrap().len(), 1);
    // What a refusal goes by is read anew, too.
    let calendar: Arc<dyn Calendar> = Arc::new(StandardCalendar::new(Exclusion::Nothing, chrono_tz::UTC));
    first.store.put_calendar("open".into(), calendar.clone(), false).await.unwrap();
    assert!(second.store.remove_calendar("open".into()).await.unwrap());
    first.store.put_calendar("open".into(), calendar, false).await.unwrap();
    second.put(&job("kept"), [hourly("by").calendar("open")]).await;
}
