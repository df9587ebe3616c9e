//! What touches more triggers, jobs or runs than one call may: as a whole for whoever asks, in bounded calls for the server, and
//! finished also when whoever began it is gone.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::job::{CancelReason, ExecutionId, JobDetail};
use scheduler_core::run::RunId;
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{JobData, JobKey, Text, TriggerKey};
use scheduler_redis::RedisJobStore;
use tests::proxy::{Proxy, Trick};
use tests::redis::Server;
use tests::wait::between_looks;

const LIMIT: Duration = Duration::from_secs(30);

/// More than two calls can touch.
const MANY: usize = 1_300;

async fn store(url: &str) -> RedisJobStore {
    let builder = RedisJobStore::builder(url).name("parts").lease(Duration::from_secs(5));
    builder.answer_within(Duration::from_secs(2)).connect().await.unwrap()
}

async fn attach(store: &RedisJobStore, session: u64) {
    let (types, queues, name) = (None, QueueFilter::default(), format!("node {session}").into());
    let node = Node { session, name, types, queues, wake: Arc::new(|| {}), stop: Arc::new(|_, _| {}) };
    store.attach(node).await.unwrap();
}

fn job(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), "work").durable(true).build()
}

fn exclusive(name: &str) -> JobDetail {
    job(name).to_builder().disallow_concurrent(true).build()
}

fn now(store: &RedisJobStore) -> DateTime<Utc> {
    store.clock().unwrap().now()
}

/// Due now, and again in an hour.
fn due(store: &RedisJobStore, name: &str) -> TriggerBuilder {
    let at = now(store) - TimeDelta::seconds(1);
    Trigger::every(Duration::from_secs(3600)).start_at(at).name(name)
}

/// A job with this many triggers that are due.
async fn fill(
    store: &RedisJobStore,
    job: &JobDetail,
    count: usize,
    edit: impl Fn(usize, TriggerBuilder) -> TriggerBuilder,
) {
    let built = |number: usize| {
        let builder = edit(number, due(store, &format!("{}-{number:05}", job.key().name())));
        let trigger = builder.job(job.key().clone()).build(now(store)).unwrap();
        let progress = trigger.first(None);
        (Arc::new(trigger), progress)
    };
    let triggers = (0..count).map(built).collect();
    let (existing_jobs, existing_triggers) = (Existing::Update, Existing::Replace);
    store
        .put(Put { jobs: vec![Arc::new(job.clone())], existing_jobs, triggers, existing_triggers })
        .await
        .unwrap();
}

async fn put_job(store: &RedisJobStore, job: JobDetail) -> scheduler_core::Result<()> {
    let (triggers, existing_triggers) = (Vec::new(), Existing::Refuse);
    store
        .put(Put { jobs: vec![Arc::new(job)], existing_jobs: Existing::Replace, triggers, existing_triggers })
        .await
}

async fn acquire(store: &RedisJobStore, session: u64, max: usize) -> Vec<AcquiredTrigger> {
    let (now, limits, shares) = (now(store), QueueLimits::default(), Vec::new());
    let request = AcquireDue { session, now, until: now, max, limits, shares, late: None, heard: None };
    store.acquire_due(request).await.unwrap().triggers
}

async fn fire(store: &RedisJobStore, acquired: &[AcquiredTrigger]) -> Vec<FireResult> {
    let firing = |one: &AcquiredTrigger| Firing {
        claim: one.claim,
        progress: one.trigger.fired(&one.progress, None),
        dropped: None,
    };
    let firings = acquired.iter().map(firing).collect();
    store.fire(Fire { now: now(store), firings }).await.unwrap()
}

async fn complete(store: &RedisJobStore, run: ExecutionId, instruction: Instruction) -> CompleteResult {
    let executions = vec![Completion { instruction, ..Completion::of(run) }];
    store.complete(Complete { now: now(store), executions }).await.unwrap().remove(0)
}

async fn states(store: &RedisJobStore) -> Vec<TriggerState> {
    store.all_triggers(TriggerQuery::default()).await.unwrap().iter().map(|status| status.state).collect()
}

async fn all_are(store: &RedisJobStore, state: TriggerState) -> bool {
    states(store).await.iter().all(|found| *found == state)
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = SystemClock.monotonic() + LIMIT;
    while !is_so().await {
        assert!(SystemClock.monotonic() < deadline, "it does not come to that: {what}");
        between_looks().await;
    }
}

async fn is_sound(store: &RedisJobStore) {
    assert_eq!(store.audit(false).await.unwrap(), Vec::<String>::new());
}

/// What is asked for in several parts, some of them at once, has one share of late triggers, and the rest of them at its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_triggers_have_one_share_in_all_parts() {
    let server = Server::start();
    let store = store(&server.url()).await;
    attach(&store, 1).await;
    let before = now(&store) - TimeDelta::seconds(60);
    let late = |_, builder: TriggerBuilder| builder.start_at(before - TimeDelta::seconds(60));
    fill(&store, &job("late"), 400, late).await;
    fill(&store, &job("punctual"), 500, |_, builder| builder).await;
    for default in [None, Some(10_000)] {
        let (now, limits, most) = (now(&store), QueueLimits { default, ..Default::default() }, 270);
        let (late, shares) = (Some(LateShare { before, most }), Vec::new());
        let ask = AcquireDue { session: 1, now, until: now, max: 800, limits, shares, late, heard: None };
        let found = store.acquire_due(ask).await.unwrap().triggers;
        let late: Vec<_> = found.iter().map(|one| one.trigger.job().name() == "late").collect();
        assert!(late[..most].iter().all(|late| *late), "their share comes first");
        assert!(late[most..][..500].iter().all(|late| !late), "then all that are punctual");
        assert!(late[most + 500..].iter().all(|late| *late), "then the rest");
        assert_eq!(late.len(), 800);
        store.release(found.iter().map(|one| one.claim).collect()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_job_reaches_all_its_triggers_before_it_lets_another_run() {
    let server = Server::start();
    let store = store(&server.url()).await;
    attach(&store, 1).await;
    fill(&store, &exclusive("turns"), MANY, |_, builder| builder).await;
    fill(&store, &job("other"), 1, |_, builder| builder).await;
    let acquired = acquire(&store, 1, 9).await;
    assert_eq!(acquired.len(), 2, "one of each job");
    fire(&store, &acquired).await;
    let run = acquired.iter().find(|one| one.trigger.job().name() == "turns").unwrap();
    let result = complete(&store, run.claim, Instruction::FinishJob).await;
    assert!(matches!(result, CompleteResult::Done { .. }), "{result:?}");
    assert!(acquire(&store, 1, 9).await.is_empty(), "none of them is due any more");
    let complete = states(&store).await.iter().filter(|state| **state == TriggerState::Complete).count();
    assert_eq!(complete, MANY);
    is_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_of_a_job_whose_answers_are_lost_is_told_again_from_where_it_stood() {
    let (server, session) = (Server::start(), 1);
    let proxy = Proxy::to(server.port());
    let store = store(&proxy.url()).await;
    attach(&store, session).await;
    fill(&store, &exclusive("turns"), MANY, |_, builder| builder).await;
    let acquired = acquire(&store, session, 1).await;
    fire(&store, &acquired).await;
    let end = async || {
        let instruction = Instruction::FailJob;
        let executions = vec![Completion { instruction, ..Completion::of(acquired[0].claim) }];
        store.complete(Complete { now: now(&store), executions }).await
    };
    proxy.play("complete", Trick::LoseReply);
    assert!(end().await.is_err());
    assert_eq!(store.executions(Executions::All).await.unwrap().len(), 1, "it has not ended");
    assert!(acquire(&store, session, 9).await.is_empty(), "and keeps the others waiting");
    assert!(matches!(end().await.unwrap()[0], CompleteResult::Done { .. }));
    assert!(all_are(&store, TriggerState::Error).await);
    assert!(acquire(&store, session, 9).await.is_empty());
    is_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_changes_moves_all_its_triggers() {
    let server = Server::start();
    let store = store(&server.url()).await;
    attach(&store, 1).await;
    fill(&store, &job("work"), MANY, |_, builder| builder).await;
    put_job(&store, exclusive("work")).await.unwrap();
    let first = acquire(&store, 1, 9).await;
    assert_eq!(first.len(), 1, "one at a time now");
    // A claim that is not fired would lapse on a slow machine.
    fire(&store, &first).await;
    is_sound(&store).await;
    put_job(&store, job("work")).await.unwrap();
    assert_eq!(acquire(&store, 1, MANY).await.len(), MANY - 1, "as many as there are");
    is_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_has_left_behind_is_finished_by_any_node() {
    let server = Server::start();
    let (proxy, before_other) = (Proxy::to(server.port()), Proxy::to(server.port()));
    let (author, other) = (store(&proxy.url()).await, store(&before_other.url()).await);
    attach(&other, 2).await;
    fill(&other, &job("work"), MANY, |_, builder| builder).await;
    // Whoever goes on with it may not hear how far it has come.
    before_other.play_after(1, "chore", Trick::LoseReply);
    let pause = || Pause { what: Selection::All, note: PauseNote::at(now(&other)) };
    // Its second call is lost, and with it the author.
    proxy.play("chore", Trick::LoseRequest);
    assert!(author.pause(pause()).await.is_err());
    assert!(!all_are(&other, TriggerState::Paused).await, "it stands in the middle");
    until("all are paused", async || all_are(&other, TriggerState::Paused).await).await;
    assert_eq!(before_other.played(), 1);
    proxy.play("chore", Trick::LoseRequest);
    assert!(author.resume(Selection::All).await.is_err());
    // Whoever comes next waits for it, so that the two are not mixed.
    let paused = other.pause(pause()).await.unwrap();
    assert!(all_are(&other, TriggerState::Paused).await);
    assert_eq!(paused.len(), MANY, "all were resumed before");
    other.resume(Selection::All).await.unwrap();
    assert!(all_are(&other, TriggerState::Normal).await);
    proxy.play("chore", Trick::LoseRequest);
    assert!(put_job(&author, exclusive("work")).await.is_err());
    until("all take turns", async || server.text(&["HLEN", "scheduler:{parts/0}:chores"]) == "0").await;
    assert_eq!(acquire(&other, 2, 9).await.len(), 1);
    is_sound(&other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_jobs_with_their_triggers_are_stored_together_or_not_at_all() {
    let server = Server::start();
    let store = store(&server.url()).await;
    attach(&store, 1).await;
    let put = |missing: Option<&str>| {
        let name = |number: usize| format!("job-{number:05}");
        let jobs = (0..MANY).map(|number| Arc::new(job(&name(number)))).collect();
        let built = |number: usize| {
            let last = number == MANY - 1;
            let runs = missing.filter(|_| last).map_or_else(|| name(number), str::to_owned);
            let trigger =
                due(&store, &name(number)).job(JobKey::new(&runs).unwrap()).build(now(&store)).unwrap();
            let progress = trigger.first(None);
            (Arc::new(trigger), progress)
        };
        let triggers = (0..MANY).map(built).collect();
        Put { jobs, existing_jobs: Existing::Refuse, triggers, existing_triggers: Existing::Refuse }
    };
    let error = store.put(put(Some("nobody"))).await.unwrap_err();
    assert!(error.to_string().contains("runs job `nobody`, which is not stored"), "{error}");
    assert!(store.all_jobs(JobQuery::default()).await.unwrap().is_empty(), "none is stored");
    store.put(put(None)).await.unwrap();
    assert_eq!(acquire(&store, 1, MANY).await.len(), MANY);
    let error = store.put(put(None)).await.unwrap_err();
    assert!(error.to_string().contains("already stored"), "{error}");
    is_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_without_number_are_listed_counted_cancelled_and_cleared() {
    let server = Server::start();
    let store = store(&server.url()).await;
    attach(&store, 1).await;
    fill(&store, &job("work"), MANY, |_, builder| builder).await;
    fill(&store, &job("rest"), 3, |_, builder| builder.start_after(Duration::from_secs(9))).await;
    let acquired = acquire(&store, 1, MANY).await;
    let (fired, left) = acquired.split_at(MANY - 10);
    assert!(fire(&store, fired).await.iter().all(|result| matches!(result, FireResult::Run { .. })));
    assert_eq!(store.executions(Executions::All).await.unwrap().len(), fired.len());
    assert_eq!(store.nodes().await.unwrap()[0].executions, fired.len(), "what is claimed does not run yet");
    assert_eq!(store.cancel(Executions::OfJob("work".parse().unwrap())).await.unwrap().len(), fired.len());
    let (now, limits, shares) = (now(&store), QueueLimits::default(), Vec::new());
    let ask = AcquireDue { session: 1, now, until: now, max: 0, limits, shares, late: None, heard: None };
    let told = store.acquire_due(ask).await.unwrap().cancel;
    assert_eq!(told.len(), fired.len());
    assert!(told.iter().all(|(_, reason)| *reason == CancelReason::Requested));
    is_sound(&store).await;
    store.clear().await.unwrap();
    assert_eq!(store.executions(Executions::All).await.unwrap().len(), fired.len(), "runs go on");
    assert!(matches!(fire(&store, left).await[0], FireResult::Stale), "what was not fired does not begin");
    for run in fired {
        let result = complete(&store, run.claim, Instruction::Continue).await;
        assert!(matches!(result, CompleteResult::Done { .. }), "{result:?}");
    }
    assert!(store.executions(Executions::All).await.unwrap().is_empty());
    is_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_queues_are_taken_from_in_the_order_of_what_is_due() {
    let server = Server::start();
    let store = store(&server.url()).await;
    attach(&store, 1).await;
    let begin = now(&store) - TimeDelta::hours(1);
    let place = |number: usize| number * 7919 % 5_000;
    let at = |number: usize| begin + TimeDelta::milliseconds(i64::try_from(place(number)).unwrap());
    let tenant = |number: usize, builder: TriggerBuilder| {
        builder.start_at(at(number)).queue(format!("tenant-{number}"))
    };
    fill(&store, &job("work"), 5_000, tenant).await;
    server.command(&["CONFIG", "SET", "slowlog-log-slower-than", "10000"]);
    server.command(&["SLOWLOG", "RESET"]);
    let mut taken = Vec::new();
    while taken.len() < 5_000 {
        let acquired = acquire(&store, 1, 100).await;
        assert_eq!(acquired.len(), 100);
        taken.extend(acquired.iter().map(|one| one.progress.next.unwrap()));
    }
    println!("5,000 queues: {} calls longer than 10 ms", server.text(&["SLOWLOG", "LEN"]));
    assert!(taken.is_sorted(), "the earliest first");
    assert!(acquire(&store, 1, 1).await.is_empty());
    let keys: Vec<TriggerKey> = vec!["work-00000".parse().unwrap()];
    store.remove_triggers(keys).await.unwrap();
    is_sound(&store).await;
}

/// How many commands of these names the server has carried out.
fn count_commands(server: &Server, is_meant: impl Fn(&str) -> bool) -> u64 {
    let stats = server.text(&["INFO", "commandstats"]);
    let calls = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        rest.split(',').next()?.parse::<u64>().ok().filter(|_| is_meant(name))
    };
    stats.lines().filter_map(calls).sum()
}

fn commands(server: &Server) -> u64 {
    count_commands(server, |_| true)
}

fn pages(server: &Server) -> u64 {
    count_commands(server, |name| ["zrangebylex", "hmget"].contains(&name))
}

/// Cases R3 and R4: each trigger comes with a copy of the one job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_of_one_job_cost_the_same_each_however_many_there_are() {
    for existing in [Existing::Refuse, Existing::Keep, Existing::Replace, Existing::Update] {
        let mut costs = Vec::new();
        for count in [500, 2_000] {
            let server = Server::start();
            // The beats of a node are commands too.
            let builder = RedisJobStore::builder(&server.url()).name("parts");
            let store = builder.connect().await.unwrap();
            let of_job = exclusive("work");
            let put = || {
                let built = |number: usize| {
                    let trigger = due(&store, &format!("{number}"))
                        .job(of_job.key().clone())
                        .build(now(&store))
                        .unwrap();
                    let progress = trigger.first(None);
                    (Arc::new(trigger), progress)
                };
                let jobs = std::iter::repeat_n(Arc::new(of_job.clone()), count).collect();
                let triggers = (0..count).map(built).collect();
                Put { jobs, existing_jobs: existing, triggers, existing_triggers: existing }
            };
            store.put(put()).await.unwrap();
            let before = commands(&server);
            assert_eq!(store.put(put()).await.is_err(), existing == Existing::Refuse, "{existing:?}");
            costs.push(commands(&server) - before);
            assert_eq!(store.all_jobs(JobQuery::default()).await.unwrap().len(), 1);
            is_sound(&store).await;
        }
        // Four times as many, and half as much again for what comes with each call.
        assert!(costs[1] <= costs[0] * 6, "{existing:?}: {costs:?} commands for 500 and 2,000 triggers");
    }
}

/// Case V4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v4_a_call_that_is_too_large_is_refused_and_one_without_an_answer_says_what_that_means() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let builder = RedisJobStore::builder(&proxy.url()).name("parts").largest_call(100_000);
    let store = builder.answer_within(Duration::from_secs(2)).connect().await.unwrap();
    let with = |bytes: usize| {
        let data = JobData::default().with("text", "x".repeat(bytes));
        job("large").to_builder().data(data).build()
    };
    let error = put_job(&store, with(100_000)).await.unwrap_err();
    assert!(error.is_config(), "{error}");
    for part in ["bytes, and the limit is 100000; nothing was stored", "large", "largest_call"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(store.all_jobs(JobQuery::default()).await.unwrap().is_empty());
    put_job(&store, with(90_000)).await.unwrap();
    proxy.play("put", Trick::LoseReply);
    let error = put_job(&store, with(10)).await.unwrap_err();
    assert!(error.to_string().contains("may have taken effect"), "{error}");
}

/// Case H13: a question costs what it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h13_a_group_and_the_users_of_a_calendar_are_found_without_reading_everything() {
    let server = Server::start();
    let store = RedisJobStore::builder(&server.url()).name("parts").connect().await.unwrap();
    let calendar = Arc::new(StandardCalendar::new(Exclusion::Nothing, chrono_tz::UTC));
    store.put_calendar("open".into(), calendar, false).await.unwrap();
    fill(&store, &job("many"), MANY, |_, builder| builder).await;
    let few =
        |number: usize, builder: TriggerBuilder| builder.name(&format!("few/{number}")).calendar("open");
    fill(&store, &job("few"), 3, few).await;
    let query = TriggerQuery::default;
    let after = Some("few/0".parse().unwrap());
    for (query, expected) in [
        (TriggerQuery { group: Text::is("few"), ..query() }, vec!["few/0", "few/1", "few/2"]),
        (TriggerQuery { group: Text::is("few"), after: after.clone(), ..query() }, vec!["few/1", "few/2"]),
        (TriggerQuery { calendar: Some("open".into()), ..query() }, vec!["few/0", "few/1", "few/2"]),
        (TriggerQuery { calendar: Some("open".into()), after, limit: Some(1), ..query() }, vec!["few/1"]),
    ] {
        let shown = format!("{query:?}");
        let before = pages(&server);
        let found = store.all_triggers(query).await.unwrap();
        assert_eq!(pages(&server) - before, 2, "a page of names and one of records are enough for {shown}");
        let names: Vec<_> = found.iter().map(|status| status.trigger.key().to_string()).collect();
        assert_eq!(names, expected, "{shown}");
    }
    let all = TriggerQuery { group: Text::is("DEFAULT"), ..query() };
    assert_eq!(store.all_triggers(all).await.unwrap().len(), MANY);
}

/// Case H8: what is stored in parts is promised for each part, and the same call again completes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h08_what_was_cut_off_between_two_parts_is_sound_and_completed_by_the_same_call() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let author = store(&proxy.url()).await;
    let put = || {
        let built = |number: usize| {
            let trigger = due(&author, &format!("{number:05}")).for_job("work").build(now(&author)).unwrap();
            let progress = trigger.first(None);
            (Arc::new(trigger), progress)
        };
        let triggers = (0..MANY).map(built).collect();
        let (existing_jobs, existing_triggers) = (Existing::Update, Existing::Update);
        Put { jobs: vec![Arc::new(job("work"))], existing_jobs, triggers, existing_triggers }
    };
    // The server knows the script from here on.
    put_job(&author, job("work")).await.unwrap();
    proxy.play_after(1, "put", Trick::LoseRequest);
    assert!(author.put(put()).await.is_err());
    assert_eq!(states(&author).await.len(), 499, "the first part, with its job, as a whole");
    is_sound(&author).await;
    author.put(put()).await.unwrap();
    assert_eq!(states(&author).await.len(), MANY);
    is_sound(&author).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_triggers_were_destroyed_can_be_removed() {
    let server = Server::start();
    let store = store(&server.url()).await;
    attach(&store, 1).await;
    fill(&store, &job("work"), MANY, |_, builder| builder).await;
    server.command(&["DEL", "scheduler:{parts/0}:triggers"]);
    assert_eq!(store.remove_jobs(vec!["work".parse().unwrap()]).await.unwrap(), [true]);
    store.audit(true).await.unwrap();
    is_sound(&store).await;
}

/// The contract: up to 500 runs are stored all or not at all. A commit is one or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_runs_are_stored_by_one_commit() {
    let server = Server::start();
    let store = store(&server.url()).await;
    let work = job("work");
    let mut first = 0;
    for (many, commits) in [(1, 1), (251, 1), (500, 1), (501, 3)] {
        let runs = (first..first + many).map(|n| NewRun::of(RunId::new(7, n), &work, now(&store))).collect();
        let before = store.commits().made;
        store.enqueue(runs).await.unwrap();
        assert_eq!(store.commits().made - before, commits, "{many} runs");
        first += many;
    }
    assert_eq!(store.all_runs(RunQuery::default()).await.unwrap().len() as u64, first);
}
