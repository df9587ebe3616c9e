//! The store: each verb is one call of one script.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use redis::Script;
use scheduler_core::calendar::Calendar;
use scheduler_core::job::{CancelReason, ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, JobKey, Result, TriggerKey};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::answer::{acquired, execution_list, flags, keys, node, put_rows, refusal, status, trigger_keys};
use crate::clock::ServerClock;
use crate::codec;
use crate::heart;
use crate::io::Io;
use crate::link::{Failure, Link};
use crate::session::{Claimed, Flight, Session, Sessions};
use crate::settings::{RedisStoreBuilder, Settings, cap, margin};

/// How far ahead triggers are acquired: about two round trips.
const LOOK_AHEAD: Duration = Duration::from_millis(20);

/// How long after its due time a claim lapses that was not fired.
const GRACE: Duration = Duration::from_secs(5);

const USE: Attached =
    Attached { look_ahead: LOOK_AHEAD, grace: GRACE, stop_within: Duration::ZERO, keeps_history: false };

/// No call does more at once, so that none holds the server up for long.
const BATCH: usize = 100;

/// No more triggers are stored by one call; what is put in place together may take several.
const PART: usize = 500;

const SCRIPT: &str = include_str!("store.lua");

/// The oldest server that knows everything the script needs.
const OLDEST: (u32, u32) = (7, 0);

/// Verbs that need memory: they are refused when that of the server is full, so that the others can be carried out.
const GROWS: &[&str] = &["put", "reschedule", "put_calendar", "acquire", "fire"];

/// Verbs that take effect only as long as their caller waits for them.
const CHANGES: &[&str] = &[
    "put",
    "reschedule",
    "adjust",
    "remove_triggers",
    "remove_jobs",
    "clear",
    "pause",
    "resume",
    "reset",
    "put_calendar",
    "remove_calendar",
    "cancel",
];

/// Verbs that change nothing, and are asked once more when no answer has come.
const READS: &[&str] = &["jobs", "triggers", "executions", "groups", "calendars", "nodes", "history"];

/// A job store in Redis, shared by all nodes that use the same server and name. Cloning gives the same store.
///
/// It works on a thread of its own. A call that is dropped may still be carried out; each may be repeated.
#[derive(Clone)]
pub struct RedisJobStore(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: Arc<Settings>,
    io: Io,
    /// For what users and the firing loop ask.
    hot: Link,
    /// For the heart, and for messages of others.
    slow: Link,
    script: Script,
    /// The same, carried out also when the memory of the server is full.
    draining: Script,
    /// This process, among those who send messages.
    id: String,
    pub(crate) clock: ServerClock,
    pub(crate) sessions: Mutex<Sessions>,
    pub(crate) state: Mutex<State>,
    changes: Mutex<Changes>,
    /// The data that was there at the start is gone.
    gone: AtomicBool,
    /// The work of dead nodes is being taken over.
    pub(crate) recovers: AtomicBool,
    /// A server is being told what it has forgotten.
    pub(crate) reconciles: AtomicBool,
    /// Runs that are over in the store, of calls that have failed before they could say so.
    settled: Mutex<HashMap<ExecutionId, CompleteResult>>,
    /// Held while triggers are fired, and while the store is told what it has forgotten.
    pub(crate) firing: tokio::sync::Mutex<()>,
    /// The heart is to beat now.
    pub(crate) nudge: Arc<Notify>,
    /// A lease was renewed.
    pub(crate) renewed: Arc<Notify>,
    /// A node has lost touch.
    pub(crate) fenced: Notify,
}

/// Lets go of a flag, however what it stands for ends.
pub(crate) struct Flag<'a>(pub(crate) &'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The changes that somebody waits for, by number.
#[derive(Debug, Default)]
struct Changes {
    last: u64,
    waited_for: BTreeSet<u64>,
}

/// What is known of the store.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The lease that all nodes go by.
    pub(crate) lease: Duration,
    /// Which data it is; another one after all was lost.
    pub(crate) birth: String,
    pub(crate) epoch: String,
    pub(crate) version: String,
    /// The highest fence that was seen.
    pub(crate) highest: u64,
    /// So many beats in a row have failed, and why.
    pub(crate) failures: u32,
    pub(crate) trouble: Option<Arc<str>>,
}

impl RedisJobStore {
    /// The store of this name in a server: `redis://host:port/database`; see [`builder`](Self::builder) for everything else.
    ///
    /// # Errors
    ///
    /// See [`RedisStoreBuilder::connect`].
    pub async fn connect(url: &str, name: &str) -> Result<Self> {
        Self::builder(url).name(name).connect().await
    }

    /// Starts to open a store. The address is one of
    ///
    /// * `redis://user:password@host:port/database`, a single server;
    /// * `redis+sentinel://host:port,host:port/master/database`, the master of this name that the sentinels know;
    /// * `redis+cluster://host:port,host:port`, a cluster, where one node has all keys of a store;
    ///
    /// each with `rediss` in place of `redis` for TLS (feature `tls`).
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    /// What is not as it must be, in words: after somebody has changed keys by hand, or restored a part of them. With
    /// `repair` it is mended, and what it says is what it has found. Triggers and jobs whose records are gone stay gone.
    ///
    /// Takes a call for each 500 triggers. What changes meanwhile is judged as it is at its moment.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or refuses.
    pub async fn audit(&self, repair: bool) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut take = |answer: &Value| {
            for row in codec::list(&answer["found"]) {
                let [kind, key, what] = [0, 1, 2].map(|part| codec::text(&row[part]));
                let key = codec::trigger_key(key).map_or_else(|_| key.to_owned(), |key| key.to_string());
                found.push(format!("{kind} `{key}`: {what}"));
            }
            Ok(true)
        };
        self.parts("audit", json!({ "repair": repair }), &mut take).await?;
        self.parts("audit", json!({ "repair": repair, "jobs": true }), &mut take).await?;
        if repair {
            let inner = self.0.clone();
            self.on_io(async move { inner.recover().await }).await?;
        }
        Ok(found)
    }

    fn open(settings: Settings) -> Result<Self> {
        // Whoever has chosen one before keeps it.
        #[cfg(feature = "tls")]
        rustls::crypto::ring::default_provider().install_default().ok();
        let (settings, io) = (Arc::new(settings), Io::start()?);
        let id = format!("{:032x}", u128::from_le_bytes(random()));
        let inner = Arc::new_cyclic(|own: &std::sync::Weak<Inner>| {
            let (own, sender) = (own.clone(), id.clone().into_bytes());
            let heard = Arc::new(move |message: Option<Vec<u8>>| {
                let store = own.upgrade().filter(|_| message.as_ref() != Some(&sender));
                store.iter().for_each(|store| store.wake());
            });
            let slow = Link::new(settings.clone(), 1).listen(format!("{}wake", settings.prefix), heard);
            Inner {
                hot: Link::new(settings.clone(), 2),
                slow,
                script: Script::new(SCRIPT),
                draining: Script::new(&SCRIPT.replacen("#!lua", "#!lua flags=allow-oom", 1)),
                id,
                clock: ServerClock::default(),
                sessions: Mutex::default(),
                state: Mutex::new(State { lease: settings.lease, ..State::default() }),
                changes: Mutex::default(),
                gone: AtomicBool::new(false),
                recovers: AtomicBool::new(false),
                reconciles: AtomicBool::new(false),
                settled: Mutex::default(),
                firing: tokio::sync::Mutex::default(),
                nudge: Arc::default(),
                renewed: Arc::default(),
                fenced: Notify::new(),
                settings,
                io,
            }
        });
        inner.io.spawn(heart::beat(Arc::downgrade(&inner)));
        inner.io.spawn(heart::watch(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    async fn call(&self, verb: &'static str, request: Value) -> Result<Value> {
        let inner = self.0.clone();
        self.on_io(async move { inner.hot_call(verb, request).await }).await
    }

    /// As [`call`](Self::call), for a node that must not go on when it has lost touch.
    async fn call_as(&self, session: u64, verb: &'static str, request: Value) -> Result<Value> {
        let fenced = self.0.fenced.notified();
        let now = SystemClock.monotonic();
        if self.0.sessions.lock().get(&session).is_some_and(|session| !session.is_safe(now)) {
            self.0.nudge.notify_one();
            return Err(touch_lost());
        }
        tokio::select! {
            answer = self.call(verb, request) => answer,
            () = fenced => Err(touch_lost()),
        }
    }

    async fn changed_keys(&self, verb: &'static str, request: Value) -> Result<Vec<TriggerKey>> {
        let mut changed = Vec::new();
        let take = |answer: &Value| {
            changed.extend(trigger_keys(&answer["keys"])?);
            Ok(true)
        };
        self.parts(verb, request, take).await?;
        changed.sort_unstable();
        Ok(changed)
    }

    async fn acquire_part(&self, request: &AcquireDue) -> Result<Acquired> {
        let (limits, session) = (&request.limits, request.session);
        let body = json!({
            "session": session.to_string(),
            "now": codec::time(request.now),
            "until": codec::time(request.until),
            "max": request.max,
            "lapse": (LOOK_AHEAD + GRACE).as_millis().to_string(),
            "named": limits.named,
            "others": limits.others,
            "ungrouped": limits.ungrouped,
            "shared": limits.shared,
            "late": request.late.map(|share| codec::time(share.before)),
            "most_late": request.late.map(|share| share.most),
        });
        let answer = self.call_as(session, "acquire", body).await?;
        if answer["lost"] == true {
            self.0.nudge.notify_one();
            return Err(Error::transient("the store holds this node for dead; it registers anew"));
        }
        if self.0.state.lock().epoch != codec::text(&answer["e"]) {
            self.0.nudge.notify_one();
        }
        let stop = |row: &Value| {
            let reason = match codec::text(&row[1]) {
                "superseded" => CancelReason::Superseded,
                _ => CancelReason::Requested,
            };
            Ok((codec::read_claim(codec::text(&row[0]))?, reason))
        };
        let mut cancel = codec::list(&answer["s"]).iter().map(stop).collect::<Result<Vec<_>>>()?;
        cancel.sort_unstable_by_key(|(id, _)| *id);
        let (mut triggers, mut spoilt) = (Vec::new(), Vec::new());
        for row in codec::list(&answer["t"]) {
            match acquired(row) {
                Ok(claim) => {
                    self.0.remember(row, &claim);
                    triggers.push(claim);
                }
                // Somebody else may know its calendar or its format: the claim lapses, and another node may take it.
                Err(error) if codec::is_well_formed(row) => {
                    tracing::error!(%error, "this node cannot read a trigger and passes it over");
                }
                Err(error) => {
                    tracing::error!(%error, "a trigger cannot be read by anybody; it is put into the error state");
                    spoilt.push(row["c"].clone());
                }
            }
        }
        if !spoilt.is_empty()
            && let Err(error) = self.call("spoil", json!({ "claims": spoilt })).await
        {
            tracing::warn!(%error, "what cannot be read comes up again");
        }
        Ok(Acquired { triggers, cancel, next_due: codec::read_time(&answer["n"]) })
    }

    async fn fire_part(&self, now: DateTime<Utc>, firings: &[Firing]) -> Result<Vec<FireResult>> {
        let row = |firing: &Firing| -> Result<Value> {
            Ok(json!({
                "c": codec::claim(firing.claim),
                "p": codec::encode(&firing.progress)?,
                "n": codec::next(&firing.progress),
                "run": firing.run,
            }))
        };
        let rows = firings.iter().map(row).collect::<Result<Vec<_>>>()?;
        let session = firings.first().map_or(0, |firing| firing.claim.session());
        let answer =
            self.call_as(session, "fire", json!({ "now": codec::time(now), "firings": rows })).await?;
        let (mut results, mut spoilt) = (Vec::new(), Vec::new());
        for (row, firing) in codec::list(&answer).iter().zip(firings) {
            results.push(match codec::text(&row["r"]) {
                "run" => match codec::read_job(codec::text(&row["d"])) {
                    Ok(job) => FireResult::Run { fence: firing.claim.count(), job: Arc::new(job) },
                    Err(error) => {
                        tracing::error!(%error, "a job cannot be read; its triggers are put into the error state");
                        spoilt.push(json!({ "c": codec::claim(firing.claim), "i": "fail_job" }));
                        FireResult::Stale
                    }
                },
                "overlapped" => FireResult::Overlapped,
                "advanced" => FireResult::Advanced,
                _ => FireResult::Stale,
            });
        }
        if !spoilt.is_empty() {
            let request =
                json!({ "now": codec::time(now), "executions": spoilt, "epoch": self.0.state.lock().epoch });
            self.call("complete", request).await?;
        }
        if !self.0.departed(session, now, firings, &rows, &mut results) {
            return Err(touch_lost());
        }
        Ok(results)
    }

    async fn complete_part(
        &self,
        now: DateTime<Utc>,
        executions: &[Completion],
    ) -> Result<Vec<CompleteResult>> {
        let row = |completion: &Completion| -> Result<Value> {
            Ok(json!({
                "c": codec::claim(completion.execution),
                "i": codec::instruction(completion.instruction)?,
                "data": completion.data.as_ref().map(codec::encode).transpose()?,
                "record": self.0.settings.record(completion.record.as_deref())?,
            }))
        };
        let rows = executions.iter().map(row).collect::<Result<Vec<_>>>()?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let answer = loop {
            let epoch = self.0.state.lock().epoch.clone();
            let quiet = self.0.takes();
            let body = json!({ "now": codec::time(now), "executions": rows, "quiet": quiet, "epoch": epoch,
                "keep": self.0.settings.keeps.to_string() });
            let answer = self.call("complete", body).await?;
            let present = codec::text(&answer["e"]).to_owned();
            if present == epoch {
                break answer;
            }
            let inner = self.0.clone();
            self.on_io(async move { inner.heard_epoch(&present).await }).await?;
        };
        let result = |row: &Value| match row["gone"] == true {
            true => CompleteResult::Gone,
            false => {
                CompleteResult::Done { trigger_removed: row["t"] == true, job_removed: row["j"] == true }
            }
        };
        self.0.landed(executions, rows);
        Ok(codec::list(&answer["r"]).iter().map(result).collect())
    }

    /// Calls again from where the last call has ended, until there is no more, or `take` says that it is enough.
    async fn parts(
        &self,
        verb: &'static str,
        mut request: Value,
        mut take: impl FnMut(&Value) -> Result<bool>,
    ) -> Result<()> {
        loop {
            let answer = self.call(verb, request.clone()).await?;
            let more = take(&answer)?;
            match answer["after"].as_str().filter(|_| more) {
                Some(after) => request["after"] = after.into(),
                None => return Ok(()),
            }
        }
    }

    /// On the thread of the store, to its end.
    async fn on_io<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let closed = || Error::transient("the thread of the job store in Redis has ended");
        match self.0.io.spawn(task) {
            Some(task) => task.await.map_err(|error| closed().caused_by(error))?,
            None => Err(closed()),
        }
    }
}

impl RedisStoreBuilder {
    /// Opens the store. While the server cannot be reached it keeps trying for [`start_within`](Self::start_within).
    ///
    /// # Errors
    ///
    /// The settings are wrong; the server cannot be reached; it is older than 7.0, may evict keys, or is a replica; its keys
    /// belong to something else, or were written by a newer version; the user lacks a permission.
    pub async fn connect(self) -> Result<RedisJobStore> {
        let store = RedisJobStore::open(self.settings()?)?;
        let inner = store.0.clone();
        store.on_io(async move { inner.begin().await }).await?;
        Ok(store)
    }
}

impl Inner {
    async fn begin(&self) -> Result<()> {
        let end = SystemClock.monotonic().saturating_add(self.settings.start_within);
        let mut wait = Duration::from_millis(50);
        loop {
            match self.look().await {
                Ok(()) => return Ok(()),
                Err(Failure::Away(error)) if SystemClock.monotonic() + wait < end => {
                    tracing::warn!(%error, "the job store waits for Redis");
                }
                Err(failure) => return Err(failure.into_error()),
            }
            SystemClock.sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    /// Whether this is a server that can be used, with a store that can be read.
    async fn look(&self) -> Result<(), Failure> {
        let place = self.settings.place();
        match self.hot.info().await {
            Ok(info) => check_server(&place, &info).map_err(Failure::Refused)?,
            Err(Failure::Refused(error)) if error.is_config() => {
                tracing::warn!(%error, "whether Redis at {place} may evict keys cannot be checked");
            }
            Err(failure) => return Err(failure),
        }
        // The second connection, which also listens.
        self.slow.ping().await?;
        let sent = SystemClock.monotonic();
        let (answer, ..) = self.hot.script(&self.draining, ["boot", "{}", &self.id]).await?;
        let answer: Value = codec::decode("an answer", &answer).map_err(Failure::Refused)?;
        if let Some(error) = answer["error"].as_str() {
            return Err(Failure::Refused(refusal(error, codec::list(&answer["names"]), &Value::Null)));
        }
        self.set_clock(&answer, sent);
        self.state.lock().birth = codec::text(&answer["birth"]).to_owned();
        Ok(())
    }

    async fn hot_call(&self, verb: &str, mut request: Value) -> Result<Value> {
        if !CHANGES.contains(&verb) {
            return self.call_on(&self.hot, verb, &request).await;
        }
        let (number, first) = {
            let mut changes = self.changes.lock();
            changes.last += 1;
            let number = changes.last;
            changes.waited_for.insert(number);
            (number, changes.waited_for.first().copied().unwrap_or(number))
        };
        (request["seq"], request["floor"]) = (number.to_string().into(), first.to_string().into());
        let answer = self.call_on(&self.hot, verb, &request).await;
        self.changes.lock().waited_for.remove(&number);
        answer
    }

    pub(crate) async fn heart_call(&self, verb: &str, request: &Value) -> Result<Value> {
        self.call_on(&self.slow, verb, request).await
    }

    async fn call_on(&self, link: &Link, verb: &str, request: &Value) -> Result<Value> {
        if self.is_gone() {
            return Err(self.all_gone());
        }
        let script = if GROWS.contains(&verb) { &self.script } else { &self.draining };
        let text = request.to_string();
        let mut answer = link.script(script, [verb, &text, &self.id]).await;
        if READS.contains(&verb) && matches!(answer, Err(Failure::Away(_))) {
            // A connection that was cut while nobody used it is noticed by the next call only.
            answer = link.script(script, [verb, &text, &self.id]).await;
        }
        let (answer, wake, others) = answer.map_err(Failure::into_error)?;
        if wake || others {
            self.wake();
        }
        let answer: Value = codec::decode("an answer", &answer)?;
        match answer["error"].as_str() {
            Some(error) => Err(refusal(error, codec::list(&answer["names"]), request)),
            None => Ok(answer),
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        tracing::error!("{}", self.all_gone());
        self.wake();
    }

    fn all_gone(&self) -> Error {
        let place = self.settings.place();
        Error::config(format!(
            "the data of the job store in Redis at {place} is gone: the server was emptied, or restarted without what it had; \
             restore it and restart the nodes, or only restart them to declare their schedules anew"
        ))
    }

    pub(crate) fn wake(&self) {
        let nodes: Vec<_> = self.sessions.lock().values().map(|session| session.node.wake.clone()).collect();
        nodes.iter().for_each(|wake| wake());
    }

    pub(crate) fn set_lease(&self, lease: Duration) {
        self.state.lock().lease = lease;
        // A beat that takes longer than the next one is due is given up.
        self.slow.limit(self.settings.beat(lease));
    }

    /// What an answer that has just come says of the time; it was asked at `sent`.
    pub(crate) fn set_clock(&self, answer: &Value, sent: Duration) {
        let micros = codec::text(&answer["micros"]).parse().ok();
        if let Some(time) = micros.and_then(DateTime::<Utc>::from_timestamp_micros) {
            self.clock.set(time, sent);
        }
    }

    /// Makes a node known to the cluster.
    ///
    /// With `tells` the server has forgotten it, and is to be told what it has in hand.
    pub(crate) async fn register(&self, node: &Node, tells: bool) -> Result<()> {
        let (sent, lease) = (SystemClock.monotonic(), self.settings.lease);
        let request = json!({
            "session": node.session.to_string(),
            "name": node.name,
            "version": env!("CARGO_PKG_VERSION"),
            "types": node.types.as_ref().map(codec::encode).transpose()?,
            "lease": lease.as_millis().to_string(),
            "cap": cap(lease).as_millis().to_string(),
            "tells": tells,
        });
        let answer = self.heart_call("attach", &request).await?;
        if answer["gone"] == true {
            self.set_gone();
            return Err(self.all_gone());
        }
        let in_force = codec::text(&answer["lease"]).parse().map_or(lease, Duration::from_millis);
        if in_force != lease {
            tracing::warn!(?in_force, asked = ?lease, "the nodes go by the lease of the first; restart all of them to change it");
        }
        self.set_lease(in_force);
        {
            let mut state = self.state.lock();
            if state.epoch.is_empty() {
                state.epoch = codec::text(&answer["epoch"]).to_owned();
            }
        }
        let until = sent.saturating_add(in_force.saturating_sub(margin(in_force)));
        if let Some(session) = self.sessions.lock().get_mut(&node.session) {
            session.since = Some(sent);
            session.renewed(until);
        }
        self.renewed.notify_one();
        self.nudge.notify_one();
        Ok(())
    }

    fn remember(&self, row: &Value, claim: &AcquiredTrigger) {
        let due = json!(claim.progress.next.map(codec::time));
        let (trigger, from) = (codec::key(claim.trigger.key()), codec::text(&row["p"]).to_owned());
        if let Some(known) = self.sessions.lock().get_mut(&claim.claim.session()) {
            known.claimed(claim.claim, Claimed { at: SystemClock.monotonic(), trigger, due, from });
        }
        let mut state = self.state.lock();
        state.highest = state.highest.max(claim.claim.count());
    }

    /// Notes what runs from now on. False if the node has lost touch meanwhile: then nothing may begin.
    fn departed(
        &self,
        session: u64,
        now: DateTime<Utc>,
        firings: &[Firing],
        rows: &[Value],
        results: &mut [FireResult],
    ) -> bool {
        let mut sessions = self.sessions.lock();
        let Some(known) = sessions.get_mut(&session) else { return true };
        if !known.is_safe(SystemClock.monotonic()) {
            return false;
        }
        for ((firing, row), result) in firings.iter().zip(rows).zip(results) {
            let claimed = known.claimed.remove(&firing.claim);
            let FireResult::Run { job, .. } = &*result else { continue };
            let Some(claimed) = claimed else {
                if !known.flights.contains_key(&firing.claim) {
                    // The node was held for dead since it has claimed this.
                    *result = FireResult::Stale;
                }
                continue;
            };
            let flight = Flight {
                claimed,
                progress: codec::text(&row["p"]).to_owned(),
                next: row["n"].clone(),
                fired: codec::time(now),
                exclusive: job.disallow_concurrent(),
            };
            known.flights.insert(firing.claim, flight);
        }
        true
    }

    fn landed(&self, executions: &[Completion], rows: Vec<Value>) {
        let (now, mut sessions) = (SystemClock.monotonic(), self.sessions.lock());
        for (completion, row) in executions.iter().zip(rows) {
            if let Some(known) = sessions.get_mut(&completion.execution.session()) {
                known.ended(completion.execution, row, now);
            }
        }
    }

    /// Whether the nodes of this process look for further triggers themselves, so that others need not.
    fn takes(&self) -> bool {
        self.sessions.lock().values().all(|session| session.takes)
    }
}

fn touch_lost() -> Error {
    Error::transient("this node has lost touch with its cluster, and waits for Redis to be back")
}

/// Whether a server can be used at all, from what it says of itself.
fn check_server(place: &str, info: &str) -> Result<()> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .unwrap_or_default()
    };
    let version = field("redis_version");
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let found = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if found < OLDEST {
        let (major, minor) = OLDEST;
        return Err(Error::config(format!(
            "Redis at {place} is version {version}; the job store needs {major}.{minor} or newer"
        )));
    }
    if field("role") == "slave" {
        return Err(Error::config(format!(
            "Redis at {place} is a replica of {}:{}; give the address of the master, or of the sentinels",
            field("master_host"),
            field("master_port"),
        )));
    }
    let policy = field("maxmemory_policy");
    if policy.starts_with("allkeys") {
        let text = format!(
            "Redis at {place} may evict any key when its memory is full (`maxmemory-policy {policy}`), and with it jobs and \
             triggers; set `maxmemory-policy noeviction`"
        );
        if field("maxmemory") != "0" {
            return Err(Error::config(text));
        }
        tracing::warn!("{text} before you set `maxmemory`");
    }
    Ok(())
}

/// Bytes that nobody else has; the standard library seeds its hashers from the system.
fn random() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || RandomState::new().build_hasher().finish().to_le_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&half());
    bytes[8..].copy_from_slice(&half());
    bytes
}

impl fmt::Debug for RedisJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, prefix) = (self.0.settings.place(), &self.0.settings.prefix);
        f.debug_struct("RedisJobStore").field("place", &place).field("prefix", prefix).finish_non_exhaustive()
    }
}

impl JobStore for RedisJobStore {
    /// That of the server: all nodes agree on it.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(Arc::new(self.0.clock.clone()))
    }

    fn trouble(&self) -> Option<Arc<str>> {
        if self.0.is_gone() {
            return Some(self.0.all_gone().to_string().into());
        }
        self.0.state.lock().trouble.clone()
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        Box::pin(async move {
            let inner = self.0.clone();
            self.0.sessions.lock().insert(node.session, Session::new(node.clone()));
            let session = node.session;
            let registered = self.on_io(async move { inner.register(&node, false).await }).await;
            if registered.is_err() {
                self.0.sessions.lock().remove(&session);
            }
            let lease = self.0.state.lock().lease;
            let (stop_within, keeps_history) =
                (margin(lease).saturating_sub(cap(lease)), self.0.settings.keeps > 0);
            registered.map(|()| Attached { stop_within, keeps_history, ..USE })
        })
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.0.sessions.lock().remove(&session);
            let inner = self.0.clone();
            self.on_io(async move {
                inner.heart_call("detach", &json!({ "session": session.to_string() })).await?;
                inner.recover().await
            })
            .await
        })
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        Box::pin(async move {
            let answer = self.call("nodes", json!({})).await?;
            let mut nodes = codec::list(&answer).iter().map(node).collect::<Result<Vec<_>>>()?;
            nodes.sort_unstable_by(|a, b| (&a.name, a.session).cmp(&(&b.name, b.session)));
            Ok(nodes)
        })
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        Box::pin(async move {
            if let Some(known) = self.0.sessions.lock().get_mut(&request.session) {
                known.takes = request.max > 0;
            }
            let (max, mut left) = (request.max, request.clone());
            let mut all = Acquired::default();
            loop {
                left.max = (max - all.triggers.len()).min(BATCH);
                let part = match self.acquire_part(&left).await {
                    Ok(part) => part,
                    Err(error) if all.triggers.is_empty() => return Err(error),
                    // What is claimed already is handed out, and the rest asked for again at once.
                    Err(_) => return Ok(Acquired { next_due: Some(request.now), ..all }),
                };
                let is_full = part.triggers.len() == left.max && left.max > 0;
                left.took(&part.triggers);
                all.triggers.extend(part.triggers);
                (all.cancel, all.next_due) = (part.cancel, part.next_due);
                let more = all.next_due.is_some_and(|due| due <= request.until);
                if !is_full || !more || all.triggers.len() == max {
                    return Ok(all);
                }
            }
        })
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        Box::pin(async move {
            let _alone = self.0.firing.lock().await;
            let mut results = Vec::with_capacity(request.firings.len());
            for part in request.firings.chunks(BATCH) {
                results.extend(self.fire_part(request.now, part).await?);
            }
            Ok(results)
        })
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        Box::pin(async move {
            for part in request.executions.chunks(BATCH) {
                let is_open =
                    |completion: &&Completion| !self.0.settled.lock().contains_key(&completion.execution);
                let open: Vec<_> = part.iter().filter(is_open).cloned().collect();
                let results = self.complete_part(request.now, &open).await?;
                let ids = open.iter().map(|completion| completion.execution);
                self.0.settled.lock().extend(ids.zip(results));
            }
            let mut settled = self.0.settled.lock();
            let result = |completion: &Completion| {
                settled.remove(&completion.execution).unwrap_or(CompleteResult::Gone)
            };
            Ok(request.executions.iter().map(result).collect())
        })
    }

    fn cancel(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionId>> {
        Box::pin(async move {
            let answer = self.call("cancel", codec::executions(&what)?).await?;
            Ok(execution_list(&answer)?.into_iter().map(|execution| execution.id).collect())
        })
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            for part in claims.chunks(PART) {
                let names: Vec<_> = part.iter().map(|claim| codec::claim(*claim)).collect();
                self.call("release", json!({ "claims": names })).await?;
            }
            let mut sessions = self.0.sessions.lock();
            for claim in claims {
                if let Some(known) = sessions.get_mut(&claim.session()) {
                    known.claimed.remove(&claim);
                }
            }
            Ok(())
        })
    }

    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut names = HashSet::new();
            if let Some((twin, _)) = request.triggers.iter().find(|(trigger, _)| !names.insert(trigger.key()))
            {
                let twice = json!([["trigger", codec::key(twin.key())]]);
                return Err(refusal("twice", codec::list(&twice), &Value::Null));
            }
            let jobs = request.jobs.iter().map(|job| codec::job(job)).collect::<Result<Vec<_>>>()?;
            let triggers = put_rows(&request.triggers)?;
            let body = |part: &[Value], check: bool| {
                json!({
                    "jobs": jobs,
                    "ej": codec::existing(request.existing_jobs),
                    "triggers": part,
                    "et": codec::existing(request.existing_triggers),
                    "check": check,
                })
            };
            if triggers.len() <= PART {
                return self.call("put", body(&triggers, false)).await.map(drop);
            }
            for part in triggers.chunks(PART) {
                self.call("put", body(part, true)).await?;
            }
            for (number, part) in triggers.chunks(PART).enumerate() {
                let mut body = body(part, false);
                if number > 0 {
                    // They are there now, by this very call.
                    body["jobs"] = json!([]);
                }
                self.call("put", body).await?;
            }
            Ok(())
        })
    }

    fn reschedule(&self, request: Reschedule) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let progress = request.progress.as_ref();
            let request = json!({
                "old": codec::key(&request.old),
                "r": request.revision.map(|revision| revision.to_string()),
                "t": codec::trigger(&request.trigger)?,
                "p": progress.map(codec::encode).transpose()?,
                "n": progress.map(codec::next),
            });
            Ok(self.call("reschedule", request).await?["done"] == true)
        })
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> StoreFuture<'_, Vec<bool>> {
        Box::pin(async move {
            let row = |adjustment: &Adjustment| -> Result<Value> {
                Ok(json!({
                    "k": codec::key(&adjustment.trigger),
                    "from": codec::encode(&adjustment.from)?,
                    "to": codec::encode(&adjustment.to)?,
                    "n": codec::next(&adjustment.to),
                }))
            };
            let rows = adjustments.iter().map(row).collect::<Result<Vec<_>>>()?;
            let mut done = Vec::with_capacity(rows.len());
            for part in rows.chunks(PART) {
                done.extend(flags(&self.call("adjust", json!({ "adjustments": part })).await?));
            }
            Ok(done)
        })
    }

    fn remove_triggers(&self, keys_of: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        Box::pin(async move {
            let removed = |row: &Value| Removed { found: row["f"] == true, job_removed: row["j"] == true };
            let mut all = Vec::with_capacity(keys_of.len());
            for part in keys_of.chunks(PART) {
                let answer = self.call("remove_triggers", keys(part, codec::key)).await?;
                all.extend(codec::list(&answer).iter().map(removed));
            }
            Ok(all)
        })
    }

    fn remove_jobs(&self, keys_of: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        Box::pin(async move {
            let mut removed = Vec::with_capacity(keys_of.len());
            while removed.len() < keys_of.len() {
                let left = &keys_of[removed.len()..];
                let answer =
                    self.call("remove_jobs", keys(&left[..left.len().min(PART)], codec::key)).await?;
                removed.extend(flags(&answer["results"]));
            }
            Ok(removed)
        })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            while self.call("clear", json!({})).await?["more"] == true {}
            Ok(())
        })
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        Box::pin(async move {
            let request =
                json!({ "what": codec::selection(&request.what)?, "note": codec::note(&request.note)? });
            self.changed_keys("pause", request).await
        })
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, Vec<TriggerKey>> {
        Box::pin(
            async move { self.changed_keys("resume", json!({ "what": codec::selection(&what)? })).await },
        )
    }

    fn reset(&self, keys_of: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        Box::pin(async move {
            let mut done = Vec::with_capacity(keys_of.len());
            for part in keys_of.chunks(PART) {
                done.extend(flags(&self.call("reset", keys(part, codec::key)).await?));
            }
            Ok(done)
        })
    }

    fn put_calendar(
        &self,
        name: Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let calendar = codec::encode(&*calendar)?;
            let request = json!({ "name": name, "calendar": calendar, "replace": replace });
            self.call("put_calendar", request).await.map(drop)
        })
    }

    fn remove_calendar(&self, name: Arc<str>) -> StoreFuture<'_, bool> {
        Box::pin(
            async move { Ok(self.call("remove_calendar", json!({ "name": name })).await?["done"] == true) },
        )
    }

    fn calendars(&self) -> StoreFuture<'_, Vec<NamedCalendar>> {
        Box::pin(async move {
            let answer = self.call("calendars", json!({})).await?;
            let one = |row: &Value| -> Result<NamedCalendar> {
                let calendar = codec::decode::<Box<dyn Calendar>>("a calendar", codec::text(&row[1]))?;
                Ok((codec::text(&row[0]).into(), Arc::from(calendar)))
            };
            let mut all = codec::list(&answer).iter().map(one).collect::<Result<Vec<_>>>()?;
            all.sort_by(|(a, _), (b, _)| a.cmp(b));
            Ok(all)
        })
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>> {
        Box::pin(async move {
            let wanted = |job: &JobDetail| {
                let key = job.key();
                (query.keys.is_empty() || query.keys.contains(key))
                    && query.group.matches(key.group())
                    && query.name.matches(key.name())
                    && query.job_type.as_deref().is_none_or(|job_type| job.job_type() == job_type)
            };
            let (limit, mut found) = (query.limit.unwrap_or(usize::MAX), Vec::new());
            let take = |answer: &Value| {
                for row in codec::list(&answer["rows"]) {
                    match codec::read_job(codec::text(&row[1])) {
                        Ok(job) if wanted(&job) => found.push(Arc::new(job)),
                        Ok(_) => {}
                        Err(error) => tracing::error!(%error, "a job is left out of the list"),
                    }
                }
                Ok(found.len() < limit)
            };
            let after = query.after.as_ref().map(codec::key);
            let keys: Vec<_> = query.keys.iter().map(codec::key).collect();
            self.parts("jobs", json!({ "after": after, "keys": keys }), take).await?;
            found.truncate(limit);
            Ok(found)
        })
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>> {
        Box::pin(async move {
            let wanted = |status: &TriggerStatus| {
                let (trigger, key) = (&status.trigger, status.trigger.key());
                query.after.as_ref().is_none_or(|after| key > after)
                    && query.group.matches(key.group())
                    && query.name.matches(key.name())
                    && query.job.as_ref().is_none_or(|job| trigger.job() == job)
                    && query.calendar.as_deref().is_none_or(|name| trigger.calendar() == Some(name))
                    && query.declared_by.as_deref().is_none_or(|name| trigger.declared_by() == Some(name))
                    && query.state.is_none_or(|state| status.state == state)
            };
            let (limit, mut found) = (query.limit.unwrap_or(usize::MAX), Vec::new());
            let mut take = |answer: &Value| {
                for row in codec::list(&answer["rows"]) {
                    match status(row) {
                        Ok(status) if wanted(&status) => found.push(status),
                        Ok(_) => {}
                        Err(error) => tracing::error!(%error, "a trigger is left out of the list"),
                    }
                }
                Ok(found.len() < limit)
            };
            if query.keys.is_empty() {
                let after = query.after.as_ref().map(codec::key);
                let of_job = query.job.as_ref().map(codec::key);
                self.parts("triggers", json!({ "keys": [], "job": of_job, "after": after }), take).await?;
            } else {
                for part in query.keys.chunks(PART) {
                    take(&self.call("triggers", keys(part, codec::key)).await?)?;
                }
                found.sort_unstable_by(|a, b| a.trigger.key().cmp(b.trigger.key()));
            }
            found.truncate(limit);
            Ok(found)
        })
    }

    fn executions(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionStatus>> {
        Box::pin(async move { execution_list(&self.call("executions", codec::executions(&what)?).await?) })
    }

    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Vec<RunRecord>> {
        Box::pin(async move {
            let (limit, mut found) = (query.limit.unwrap_or(usize::MAX), Vec::new());
            let take = |answer: &Value| {
                for row in codec::list(&answer["rows"]) {
                    match codec::decode::<RunRecord>("a run", codec::text(row)) {
                        Ok(record) if query.matches(&record) => found.push(record),
                        Ok(_) => {}
                        Err(error) => tracing::error!(%error, "a run is left out of the history"),
                    }
                }
                Ok(found.len() < limit)
            };
            self.parts("history", json!({}), take).await?;
            found.truncate(limit);
            Ok(found)
        })
    }

    fn groups(&self, kind: GroupKind) -> StoreFuture<'_, Vec<GroupStatus>> {
        Box::pin(async move {
            let kind = if kind == GroupKind::Jobs { "jobs" } else { "triggers" };
            let answer = self.call("groups", json!({ "kind": kind })).await?;
            let one = |row: &Value| -> Result<GroupStatus> {
                Ok(GroupStatus {
                    name: codec::group_name(codec::text(&row[0])).into(),
                    members: usize::try_from(row[1].as_u64().unwrap_or_default()).unwrap_or(usize::MAX),
                    pause: row[2].as_str().map(codec::read_note).transpose()?,
                })
            };
            let mut all = codec::list(&answer).iter().map(one).collect::<Result<Vec<_>>>()?;
            all.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(all)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_judged_by_what_it_says_of_itself() {
        let info = |version: &str, policy: &str, most: &str| {
            format!(
                "# Server\r\nredis_version:{version}\r\nrole:master\r\nmaxmemory:{most}\r\nmaxmemory_policy:{policy}\r\n"
            )
        };
        let problem = |info: &str| check_server("a:1", info).err().map(|error| error.to_string());
        let fine =
            [("7.0.15", "noeviction", "0"), ("8.2.1", "volatile-lru", "100"), ("7.2.4", "allkeys-lru", "0")];
        for (version, policy, most) in fine {
            assert_eq!(problem(&info(version, policy, most)), None);
        }
        let old = problem(&info("6.2.14", "noeviction", "0")).unwrap_or_default();
        assert!(old.contains("version 6.2.14; the job store needs 7.0 or newer"), "{old}");
        let evicts = problem(&info("7.4.0", "allkeys-lfu", "100")).unwrap_or_default();
        assert!(evicts.contains("`maxmemory-policy allkeys-lfu`"), "{evicts}");
        assert!(problem("rubbish").is_some_and(|text| text.contains("version ;")));
    }
}
