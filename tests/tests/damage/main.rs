//! What somebody does to the keys of a store by hand, while nodes run: the server answers, errors name what is lost, everything
//! else goes on, and an audit finds and mends the rest.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod batches;
mod filling;

use std::time::Duration;

use chrono::TimeDelta;
use filling::fill;
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::run::{RunEnd, RunId, RunState};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Scheduler, Text};
use scheduler_redis::RedisJobStore;
use tests::process::{LEASE, LIMIT, Process, exclusive, hourly, job, until};
use tests::redis::Server;
use tests::wait::between_looks;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const PREFIX: &str = "scheduler:{shared/0}:";

/// Every key of the layout; `*` stands for any name of a family. Another layout has another list.
const LAYOUT: &[&str] = &[
    "jobs", "triggers", "runs", "ended:*", "cl:*", "homes", "at", "lane:*", "lanes", "alone", "busy", "q:*",
    "ql:*", "queues", "awaited", "gates", "parked", "g:*", "gl:*", "go:*", "fv", "ft:*", "fd:*", "rt:*",
    "bc:*", "alarms", "wait:*", "lengths", "later", "measured", "nj", "nt", "of", "by", "rest", "marks",
    "firings", "fr:*", "stop:*", "ss", "sl", "sn", "sc", "tn", "orphans", "orphan:*", "owners", "untold",
    "chores", "aside", "meta", "ad:*",
];

/// Keys that nodes take away again at once, with what the test puts there.
const MOMENTARY: &[(&str, &[&str])] = &[
    ("orphan:*", &["HSET", "orphan:9@1", "9-1", "lost"]),
    ("orphans", &["SADD", "orphans", "9@1", "9@2"]),
    ("owners", &["HSET", "owners", "9@1", "{}"]),
    (
        "chores",
        &[
            "HSET",
            "chores",
            "1",
            "aversion{\"work\":\"resume\",\"of\":\"all\",\"after\":null,\"at\":\"2020-01-01T00:00:00Z\"}",
        ],
    ),
    ("untold", &["SADD", "untold", "9", "10"]),
    ("aside", &["SADD", "aside", "a", "b"]),
    ("awaited", &["SADD", "awaited", "a", "b"]),
    ("rt:*", &["SET", "rt:limit", "x"]),
    ("go:*", &["SADD", "go:0\0work\u{1}limit", "a", "b"]),
];

/// Of the ids of the runs that the test enqueues itself.
const SENDER: u64 = 7;

const DEAD: RunId = RunId::new(SENDER, 1);
const CLAIMED: RunId = RunId::new(SENDER, 2);
const DELAYED: RunId = RunId::new(SENDER, 20);
/// Enqueued when the damage is done.
const ANOTHER: RunId = RunId::new(SENDER, 21);
/// Has succeeded in the end, and is kept.
const BATCH: RunId = RunId::new(SENDER, 30);
/// Stands among the alarms alone.
const BOOSTED: RunId = RunId::new(SENDER, 22);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Deleted,
    OfTheWrongKind,
    Truncated,
    Garbage,
}

/// A server with a node that has something in every key, and a scheduler on the same store.
struct Cluster {
    server: Server,
    process: Process,
    scheduler: Scheduler,
    pulses: mpsc::UnboundedReceiver<()>,
}

fn pulse() -> JobDetail {
    JobDetail::builder("pulse".parse().unwrap(), "pulse").build()
}

impl Cluster {
    async fn start() -> Self {
        // A script that takes longer is an error for everybody else.
        let server = Server::with(&["--save", "", "--appendonly", "no", "--busy-reply-threshold", "1000"]);
        let process = Process::start_with(&server.url(), 1, Some(&["work"])).await;
        fill(&process).await;
        let builder = RedisJobStore::builder(&server.url()).name("shared").lease(LEASE).keep_history(10);
        let (beat, pulses) = mpsc::unbounded_channel();
        let body = move || {
            let beat = beat.clone();
            async move { beat.send(()).unwrap() }
        };
        let definition = JobDefinition::new(pulse(), body);
        let scheduler = Scheduler::builder()
            .store(builder.connect().await.unwrap())
            .register(definition)
            .build()
            .unwrap();
        scheduler.start().await.unwrap();
        let mut cluster = Self { server, process, scheduler, pulses };
        assert!(cluster.goes_on().await, "a pulse is felt before anything is damaged");
        until("its record is written", async || !cluster.keys("firings").is_empty()).await;
        cluster
    }

    /// Whether what is new runs.
    async fn goes_on(&mut self) -> bool {
        let enqueued = async {
            // The first call may be the one that meets the damage.
            while self.scheduler.enqueue(Invocation::new(pulse())).await.is_err() {}
            self.pulses.recv().await
        };
        tokio::time::timeout(LIMIT, enqueued).await.is_ok()
    }

    /// The keys of a pattern, all of one kind.
    fn damaged(&self, pattern: &str, damage: Damage) -> Vec<String> {
        let keys = match MOMENTARY.iter().find(|(key, _)| *key == pattern) {
            Some((_, words)) => {
                let key = format!("{PREFIX}{}", words[1]);
                self.server.command(&[&[words[0], &key], &words[2..]].concat());
                vec![key]
            }
            None => self.keys(pattern),
        };
        keys.iter().for_each(|key| self.damage(key, damage));
        if pattern == "orphan:*" {
            self.server.command(&["SADD", &format!("{PREFIX}orphans"), "9@1"]);
        }
        keys
    }

    fn keys(&self, pattern: &str) -> Vec<String> {
        let found = self.server.command(&["KEYS", &format!("scheduler:{{shared/0}}:{pattern}")]);
        redis::from_redis_value(found).unwrap()
    }

    fn kind(&self, key: &str) -> String {
        self.server.text(&["TYPE", key])
    }

    fn list(&self, words: &[&str]) -> Vec<Vec<u8>> {
        redis::from_redis_value(self.server.command(words)).unwrap()
    }

    fn damage(&self, key: &str, damage: Damage) {
        let kind = self.kind(key);
        match damage {
            Damage::Deleted => drop(self.server.command(&["DEL", key])),
            Damage::OfTheWrongKind => {
                self.server.command(&["DEL", key]);
                let other: &[&str] = if kind == "string" { &["SADD", key, "x"] } else { &["SET", key, "x"] };
                self.server.command(other);
            }
            Damage::Garbage => self.fill_with_garbage(key, &kind),
            Damage::Truncated => self.truncate(key, &kind),
        }
    }

    fn fill_with_garbage(&self, key: &str, kind: &str) {
        match kind {
            "hash" => {
                for field in self.list(&["HKEYS", key]) {
                    self.set(key, &field, b"{rubbish");
                }
                self.set(key, b"rubbish", b"{rubbish");
            }
            "zset" => drop(self.server.command(&["ZADD", key, "0", "rubbish"])),
            "set" => drop(self.server.command(&["SADD", key, "rubbish"])),
            _ => drop(self.server.command(&["SET", key, "{rubbish"])),
        }
    }

    /// Every value is cut in the middle; of a set every other member is gone.
    fn truncate(&self, key: &str, kind: &str) {
        let remove = |all: Vec<Vec<u8>>, verb: &str| {
            let mut connection = redis::Client::open(self.server.url()).unwrap().get_connection().unwrap();
            for member in all.iter().step_by(2) {
                redis::cmd(verb).arg(key).arg(member).exec(&mut connection).unwrap();
            }
        };
        match kind {
            "hash" => {
                let all = self.list(&["HGETALL", key]);
                for pair in all.chunks(2) {
                    self.set(key, &pair[0], &pair[1][..pair[1].len() / 2]);
                }
            }
            "zset" => remove(self.list(&["ZRANGE", key, "0", "-1"]), "ZREM"),
            "set" => remove(self.list(&["SMEMBERS", key]), "SREM"),
            _ => drop(self.server.command(&["SET", key, ""])),
        }
    }

    fn set(&self, key: &str, field: &[u8], value: &[u8]) {
        let mut connection = redis::Client::open(self.server.url()).unwrap().get_connection().unwrap();
        redis::cmd("HSET").arg(key).arg(field).arg(value).exec(&mut connection).unwrap();
    }

    /// Everything that a node or a user may ask; what fails says why.
    async fn ask_everything(&self) -> Vec<String> {
        let (process, mut errors) = (&self.process, Vec::new());
        let store = &process.store;
        let mut note = |what: &str, error: Option<scheduler_core::Error>| {
            errors.extend(error.map(|error| format!("{what}: {error}")));
        };
        let (session, now, late) = (1, process.now(), Some(LateShare { before: process.now(), most: 0 }));
        let mut limits = QueueLimits::default();
        limits.shared.insert("limited".into(), 1);
        let request =
            AcquireDue { session, now, until: now, max: 9, limits, shares: Vec::new(), late, heard: None };
        let acquired = store.acquire_due(request).await;
        let (triggers, runs) = acquired.as_ref().map_or_else(
            |_| Default::default(),
            |all| (all.triggers.clone(), all.runs.iter().map(|run| run.claim).collect::<Vec<_>>()),
        );
        for one in &triggers {
            note("fire", process.try_fire(one).await.err());
        }
        for claim in triggers.iter().map(|one| one.claim).chain(runs) {
            let executions = vec![Completion::of(claim)];
            note("complete", store.complete(Complete { now, executions }).await.err());
        }
        note("acquire", acquired.err());
        let another = NewRun::of(ANOTHER, &job("runs"), now + TimeDelta::hours(1));
        note("enqueue", store.enqueue(vec![another]).await.err());
        note("runs", store.all_runs(RunQuery::default()).await.err());
        note("runs", store.all_runs(RunQuery::default().in_state(RunState::Ended)).await.err());
        note(
            "replay",
            store.change_runs(ChangeRuns::new(vec![DELAYED], RunChange::replay(), now)).await.err(),
        );
        let runs = vec![CLAIMED, RunId::new(SENDER, 99)];
        note("cancel", store.change_runs(ChangeRuns::new(runs, RunChange::Cancel, now)).await.err());
        note("jobs", store.all_jobs(JobQuery::default()).await.err());
        note("triggers", store.all_triggers(TriggerQuery::default()).await.err());
        note("executions", store.executions(Executions::All).await.err());
        note("groups", store.groups(GroupKind::Triggers).await.err());
        note("groups", store.groups(GroupKind::Jobs).await.err());
        note("calendars", store.calendars().await.err());
        note("nodes", store.nodes().await.err());
        note("firings", store.all_firings(FiringQuery::default()).await.err());
        let of_pulse = FiringQuery::default().of_job("pulse".parse().unwrap());
        note("firings", store.all_firings(of_pulse).await.err());
        note("cancel", store.cancel(Executions::All).await.err());
        let what = Selection::TriggerGroup(Text::Is("elsewhere".into()));
        let pause = Pause { what: what.clone(), note: PauseNote::at(now) };
        note("pause", store.pause(pause).await.err());
        note("resume", store.resume(what).await.err());
        errors
    }
}

/// Ends all that is claimed and whatever comes up, until nothing is left that could run. Says what becomes of no run.
async fn runs_go_on(process: &Process, pattern: &str) -> Result<(), String> {
    let store = &process.store;
    let runs = async |query: RunQuery| {
        let found = store.all_runs(query).await.map_err(|error| format!("runs: {error}"))?;
        // Cancelled runs are only kept for people.
        let takes_part = |run: &RunStatus| run.id.sender() == SENDER && run.end != Some(RunEnd::Cancelled);
        Ok::<_, String>(found.into_iter().filter(takes_part).collect::<Vec<_>>())
    };
    let deadline = SystemClock.monotonic() + LIMIT;
    let left = loop {
        let executions = store.executions(Executions::All).await.map_err(|error| error.to_string())?;
        for one in executions.iter().filter(|one| one.id.session() == process.session) {
            process.complete(one.id).await;
        }
        for one in process.ask(9).await.map_err(|error| error.to_string())?.runs {
            process.complete(one.claim).await;
        }
        let (now, left) = (process.now(), runs(RunQuery::default()).await?);
        let is_at_rest = |run: &RunStatus| match run.state {
            RunState::Waiting => run.due > now,
            state => state == RunState::Ended,
        };
        if left.iter().all(is_at_rest) {
            break left;
        }
        if SystemClock.monotonic() > deadline {
            return Err(format!("what becomes of these runs? {left:#?}"));
        }
        between_looks().await;
    };
    let left: Vec<_> = left.iter().map(|run| run.id).collect();
    let ended: Vec<_> = runs(RunQuery::default().in_state(RunState::Ended)).await?;
    let ended: Vec<_> = ended.iter().map(|run| run.id).collect();
    let is_whole = left == [DEAD, DELAYED, ANOTHER, BOOSTED, BATCH] && ended == [BATCH, DEAD];
    // With their records the runs themselves are lost.
    if pattern == "runs" || is_whole { Ok(()) } else { Err(format!("left are {left:?}, ended {ended:?}")) }
}

/// Says what was wrong with one key, if anything was.
async fn survives(pattern: &str, damage: Damage) -> Result<(), String> {
    let mut cluster = Cluster::start().await;
    let keys = cluster.damaged(pattern, damage);
    if keys.is_empty() {
        return Err("the test has nothing there".to_owned());
    }
    let mut errors = Vec::new();
    for _ in 0..3 {
        errors.extend(cluster.ask_everything().await);
        cluster.server.command(&["PING"]);
    }
    let nameless = errors.iter().find(|error| error.contains("WRONGTYPE") || error.contains("user_script"));
    if let Some(error) = nameless {
        return Err(format!("an error that names nothing: {error}"));
    }
    let found = cluster.process.store.audit(true).await.map_err(|error| format!("audit: {error}"))?;
    let named = keys
        .iter()
        .any(|key| found.iter().chain(&errors).any(|text| text.contains(key.trim_start_matches(PREFIX))));
    if damage == Damage::OfTheWrongKind && !named {
        return Err(format!("nobody names the key: {found:#?} {errors:#?}"));
    }
    if !cluster.goes_on().await {
        return Err("nothing new runs".to_owned());
    }
    cluster.process.put(&exclusive("afterwards"), [hourly("new")]).await;
    let process = &cluster.process;
    until("the other node goes on", async || {
        let Ok(acquired) = process.ask(9).await else { return false };
        for one in &acquired.triggers {
            process.fire(one).await;
            process.complete(one.claim).await;
        }
        for one in &acquired.runs {
            process.complete(one.claim).await;
        }
        acquired.triggers.iter().any(|one| one.trigger.key().name() == "new")
    })
    .await;
    let deadline = SystemClock.monotonic() + LIMIT;
    loop {
        let left = cluster.process.store.audit(false).await.map_err(|error| format!("audit: {error}"))?;
        if left.is_empty() {
            break;
        }
        if SystemClock.monotonic() > deadline {
            return Err(format!("not mended: {left:#?}"));
        }
        cluster.process.store.audit(true).await.map_err(|error| format!("audit: {error}"))?;
        between_looks().await;
    }
    let gone_on = runs_go_on(&cluster.process, pattern).await;
    cluster.scheduler.shutdown(Duration::ZERO).await;
    gone_on
}

/// Each key in turn, some of them at once.
async fn every_key(damage: Damage) {
    tokio::task::LocalSet::new().run_until(each_key(damage)).await;
}

async fn each_key(damage: Damage) {
    let mut running = JoinSet::new();
    let (mut problems, mut left) = (Vec::new(), LAYOUT.iter());
    let only = std::env::var("DAMAGED_KEY").ok();
    loop {
        while running.len() < 4
            && let Some(pattern) = left.by_ref().find(|key| only.as_deref().is_none_or(|only| only == **key))
        {
            running.spawn_local(async move { (pattern, survives(pattern, damage).await) });
        }
        let Some(done) = running.join_next().await else { break };
        match done {
            Ok((_, Ok(()))) => {}
            Ok((pattern, Err(problem))) => problems.push(format!("{pattern}: {problem}")),
            Err(error) => problems.push(format!("{error}")),
        }
    }
    assert!(problems.is_empty(), "{damage:?}\n{}", problems.join("\n"));
}

#[tokio::test]
async fn r1_r2_every_key_may_be_deleted() {
    every_key(Damage::Deleted).await;
}

#[tokio::test]
async fn r2_every_key_may_be_of_the_wrong_kind() {
    every_key(Damage::OfTheWrongKind).await;
}

#[tokio::test]
async fn r2_every_key_may_be_truncated() {
    every_key(Damage::Truncated).await;
}

#[tokio::test]
async fn r2_every_key_may_hold_garbage() {
    every_key(Damage::Garbage).await;
}
