//! Records that somebody has changed or destroyed by hand: they stop nobody else, and an audit finds and mends them.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_somebody_has_destroyed_stop_nobody_else_and_are_found() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&job("work"), ["a", "b", "c", "d", "e"].map(hourly)).await;
    process.put(&job("other"), [hourly("f")]).await;
    let key = |name: &str| format!("scheduler:{{shared/0}}:{name}");
    server.command(&["HDEL", &key("triggers"), "\0a"]);
    server.command(&["HSET", &key("triggers"), "\0b", "{rubbish"]);
    server.command(&["HDEL", &key("jobs"), "\0other"]);
    server.command(&["DEL", &key("lane:0\0work")]);
    let found = process.store.audit(false).await.unwrap();
    let contains = |what: &str| found.iter().any(|line| line.contains(what));
    assert!(contains("trigger `a`: it has no record that can be read"), "{found:#?}");
    assert!(contains("trigger `b`: it has no record that can be read"), "{found:#?}");
    assert!(contains("trigger `c`: it does not stand where it has to wait"), "{found:#?}");
    assert!(contains("trigger `f`: its job is not there"), "{found:#?}");
    assert_eq!(process.store.audit(true).await.unwrap(), found, "it says what it mends");
    assert_eq!(names(&process.acquire(9).await), ["c", "d", "e"]);
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
    let query = TriggerQuery { keys: vec!["f".parse().unwrap()], ..TriggerQuery::default() };
    let state = async || process.store.all_triggers(query.clone()).await.unwrap()[0].state;
    assert_eq!(state().await, TriggerState::Error, "it waits for its job");
    process.put(&job("other"), []).await;
    assert_eq!(process.store.reset(query.keys.clone()).await.unwrap(), [true]);
    assert_eq!(names(&process.acquire(9).await), ["f"], "and goes on from where it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_audit_mends_works_again() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    let key = |name: &str| format!("scheduler:{{shared/0}}:{name}");
    process.put(&exclusive("one"), [hourly("a"), hourly("b")]).await;
    server.command(&["DEL", &key("lane:0\0work")]);
    let found = process.store.audit(true).await.unwrap();
    assert_eq!(
        found,
        [
            "lane `/work`: when its first is due is noted otherwise",
            "trigger `a`: it does not stand where it has to wait"
        ]
    );
    server.command(&["HDEL", &key("triggers"), "\0b"]);
    let found = process.store.audit(true).await.unwrap();
    assert_eq!(found, ["trigger `b`: it has no record that can be read"]);
    assert_eq!(process.store.audit(true).await.unwrap(), [""; 0]);
    process.put(&job("one"), []).await;
    assert_eq!(names(&process.acquire(9).await), ["a"]);
    assert_eq!(process.store.remove_jobs(vec!["one".parse().unwrap()]).await.unwrap(), [true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_of_which_nobody_knows_that_it_runs_alone_fires() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&exclusive("one"), [hourly("a")]).await;
    server.command(&["HDEL", "scheduler:{shared/0}:alone", "\0a"]);
    assert_eq!(names(&process.acquire(9).await), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_of_queues_that_somebody_has_changed_are_found_and_mended() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&job("work"), [hourly("a").queue("mail")]).await;
    process.run().await;
    for (queue, count) in [("mail", "7"), ("nobody", "3"), ("rubbish", "a longer text")] {
        server.command(&["HSET", "scheduler:{shared/0}:queues", queue, count]);
    }
    let found = process.store.audit(true).await.unwrap();
    assert_eq!(
        found,
        [
            "queue `mail`: it counts `7` runs in place of 1",
            "queue `nobody`: it counts `3` runs in place of 0",
            "queue `rubbish`: it counts `a longer text` runs in place of 0"
        ]
    );
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_is_destroyed_keeps_nothing_from_the_others_of_its_job() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&exclusive("turns"), [hourly("a").priority(9), hourly("b")]).await;
    // The third byte of a record says that its job allows one run at a time.
    let record: Vec<u8> =
        redis::from_redis_value(server.command(&["HGET", "scheduler:{shared/0}:triggers", "\0a"])).unwrap();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let damaged = &record[..record.len() / 2];
    let key = "scheduler:{shared/0}:triggers";
    redis::cmd("HSET").arg(key).arg("\0a").arg(damaged).exec(&mut connection).unwrap();
    until("the other one comes up", async || names(&process.acquire(9).await) == ["b"]).await;
    assert_eq!(process.store.audit(true).await.unwrap(), ["trigger `a`: it has no record that can be read"]);
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_be_read_holds_nobody_else_up() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&job("rubbish"), [hourly("a")]).await;
    process.put(&job("work"), [hourly("b")]).await;
    server.command(&["HSET", "scheduler:{shared/0}:jobs", "\0rubbish", "{"]);
    let acquired = process.acquire(9).await;
    let firing = |acquired: &AcquiredTrigger| {
        let progress = acquired.trigger.fired(&acquired.progress, None);
        Firing { claim: acquired.claim, progress, dropped: None }
    };
    let fire = Fire { now: process.now(), firings: acquired.iter().map(firing).collect() };
    let results = process.store.fire(fire).await.unwrap();
    assert!(matches!(results[..], [FireResult::Stale, FireResult::Run { .. }]), "{results:?}");
    assert_eq!(process.store.executions(Executions::All).await.unwrap().len(), 1);
    let query = TriggerQuery { keys: vec!["a".parse().unwrap()], ..TriggerQuery::default() };
    assert_eq!(process.store.all_triggers(query).await.unwrap()[0].state, TriggerState::Error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_job_was_destroyed_can_still_end_and_its_job_be_stored_anew() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    let keeps = job("keeps").to_builder().persist_data(true).build();
    process.put(&keeps, [hourly("a")]).await;
    let run = process.run().await;
    server.command(&["HSET", "scheduler:{shared/0}:jobs", "\0keeps", "{"]);
    let ending = Completion { data: Some(JobData::new()), ..Completion::of(run.claim) };
    let complete = Complete { now: process.now(), executions: vec![ending] };
    let results = process.store.complete(complete).await.unwrap();
    assert!(matches!(results[..], [CompleteResult::Done { .. }]), "{results:?}");
    let put = Put {
        jobs: vec![Arc::new(keeps)],
        existing_jobs: Existing::Update,
        triggers: Vec::new(),
        existing_triggers: Existing::Refuse,
    };
    process.store.put(put).await.unwrap();
    assert_eq!(process.store.all_jobs(JobQuery::default()).await.unwrap().len(), 1);
}

const TRIGGERS: &str = "scheduler:{shared/0}:triggers";

fn record(server: &Server) -> Vec<u8> {
    redis::from_redis_value(server.command(&["HGET", TRIGGERS, "\0a"])).unwrap()
}

fn write(server: &Server, hash: &str, field: &str, value: &[u8]) {
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd("HSET").arg(hash).arg(field).arg(value).exec(&mut connection).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_with_a_schedule_of_another_program_is_left_to_others_and_given_back() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&exclusive("turns"), [hourly("a").priority(9), hourly("b")]).await;
    let known = record(&server);
    let begin = known.windows(4).position(|window| window == b"{\"v\"").unwrap();
    let mut description: serde_json::Value = serde_json::from_slice(&known[begin..]).unwrap();
    description["schedule"] = serde_json::json!({ "by_the_moon": { "phase": "full" } });
    let foreign = [&known[..begin], description.to_string().as_bytes()].concat();
    write(&server, TRIGGERS, "\0a", &foreign);
    assert!(process.acquire(9).await.is_empty(), "this program cannot fire it");
    assert_eq!(record(&server), foreign, "and does not touch it");
    let claims = async || server.text(&["HLEN", "scheduler:{shared/0}:at"]);
    assert_eq!(claims().await, "1", "the claim waits for its end");
    assert_eq!(process.store.audit(true).await.unwrap(), [""; 0], "it is no fault");
    until("the claim has lapsed", async || claims().await == "0").await;
    // Another program may know it.
    write(&server, TRIGGERS, "\0a", &known);
    until("it comes up", async || names(&process.acquire(1).await) == ["a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_another_program_that_goes_on_is_named_and_nobody_waits_for_ever() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    let chores = "scheduler:{shared/0}:chores";
    write(
        &server,
        chores,
        "7-other",
        br#"versions{"work":"dance","of":"all","after":null,"at":"2020-01-01T00:00:00Z"}"#,
    );
    let error = process.store.resume(Selection::All).await.unwrap_err();
    for part in ["`7-other`", "does not know it", "upgrade `scheduler-redis`"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(error.is_transient());
    process.put(&job("work"), [hourly("a")]).await;
    assert_eq!(names(&process.acquire(1).await), ["a"], "everything else goes on");
    assert_eq!(server.text(&["HLEN", chores]), "1", "a newer program finishes it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_somebody_has_destroyed_keep_nothing_from_others_and_are_found() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    let key = |name: &str| format!("scheduler:{{shared/0}}:{name}");
    let turns = exclusive("turns").to_builder().queue("mail").build();
    let id = |count: u64| RunId::new(7, count);
    let run = |count: u64, job: &JobDetail| NewRun::of(id(count), job, process.now());
    let runs = vec![run(1, &turns), run(2, &turns), run(3, &job("plain")), run(4, &job("plain"))];
    process.store.enqueue(runs).await.unwrap();
    // In the order of ids.
    let mut names: Vec<String> = redis::from_redis_value(server.command(&["HKEYS", &key("runs")])).unwrap();
    names.sort_unstable();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut hget = redis::cmd("HGET");
    let record: Vec<u8> = hget.arg(key("runs")).arg(&names[0]).query(&mut connection).unwrap();
    let damaged = &record[..record.len() / 2];
    redis::cmd("HSET").arg(key("runs")).arg(&names[0]).arg(damaged).exec(&mut connection).unwrap();
    server.command(&["HDEL", &key("runs"), &names[2]]);
    server.command(&["ZADD", &key("ended:dead"), "0", &names[3]]);
    let not_dead = "it is listed as ended, and is not, or has ended otherwise";
    let destroyed = "it has no record that can be read";
    let lost = |count: u64, fault: &str| format!("run `{}`: {fault}", id(count));
    let found = process.store.audit(false).await.unwrap();
    assert_eq!(found, [lost(1, destroyed), lost(4, not_dead), lost(3, destroyed)]);
    let mut limits = QueueLimits::default();
    limits.shared.insert("mail".into(), 1);
    let (mut taken, session) = (Vec::new(), process.session);
    while taken.len() < 2 {
        let (now, limits) = (process.now(), limits.clone());
        let request = AcquireDue {
            session,
            now,
            until: now,
            max: 9,
            limits,
            shares: Vec::new(),
            late: None,
            heard: None,
        };
        taken.extend(process.store.acquire_due(request).await.unwrap().runs);
    }
    taken.sort_unstable_by_key(|run| run.run);
    assert_eq!(taken.iter().map(|run| run.run).collect::<Vec<_>>(), [id(2), id(4)]);
    assert_eq!(server.text(&["HGET", &key("queues"), "mail"]), "1", "the destroyed one does not count");
    // The claim of a run that is to stop says more than the name of it, so that an entry leads from the run to it.
    assert_eq!(server.text(&["HLEN", &key("at")]), "0");
    process.store.cancel(Executions::One(taken[0].claim)).await.unwrap();
    server.command(&["HDEL", &key("at"), &names[1]]);
    server.command(&["HSET", &key("at"), &names[2], "1-1"]);
    let found = process.store.audit(true).await.unwrap();
    let claim = format!("claim `1-{}`: its run does not know of it", taken[0].claim.count());
    assert_eq!(
        found,
        [claim, lost(3, "it is claimed, and by nobody"), lost(1, destroyed), lost(4, not_dead)]
    );
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
    for run in &taken {
        process.complete(run.claim).await;
    }
    assert!(process.store.all_runs(RunQuery::default()).await.unwrap().is_empty());
    assert_eq!(process.store.audit(false).await.unwrap(), [""; 0]);
}
