//! A lease that one node at a time holds among the nodes that share a store: a mark in the store, which its holder renews with every
//! heartbeat.
//!
//! Wall clocks are never compared. Each heartbeat gives the mark a new revision, which the store counts. A node that waits takes the mark over
//! when it has seen one revision for a whole lease on its monotonic clock, and only if that revision is still there. The holder counts its
//! lease from before the renewal was sent, so its lease is over first: after two thirds of it without an answer the work is asked to
//! stop, and after five sixths it is dropped. The revision that began the tenure is the fence: every later holder has a larger one.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::log::{Shown, Streak};
use crate::store::{Changes, JobStore, Mark, PutMark, Queries};
use crate::time::{Clock, by};

/// How often a waiting node looks at the mark, unless the holder's heartbeats are more frequent.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// How long the store may take to be told that the mark is given up.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(1);

/// A mark that one node at a time holds.
pub(super) struct Lease {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    /// The name of the mark.
    name: Arc<str>,
    /// Identifies this lease among all others.
    owner: Arc<str>,
    /// How long the holder counts as alive after a heartbeat.
    term: Duration,
}

/// The content of a mark.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    /// None if its last holder has given it up.
    owner: Option<Arc<str>>,
    /// The lease of the holder, in milliseconds, for those that wait.
    lease_ms: u64,
    /// The version of the work that is done for good.
    done: Option<u64>,
}

/// How the wait for a mark ended.
pub(super) enum Turn {
    /// This node is the holder.
    Ours(Tenure),
    /// The work is done for good.
    Done,
}

/// A time during which this node is the holder.
pub(super) struct Tenure {
    /// Larger than that of every holder before.
    pub(super) fence: u64,
    /// The version that was done before.
    done: Option<u64>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    revision: u64,
    /// When the last renewal that was answered was sent, on the monotonic clock.
    sent: Duration,
}

impl Tenure {
    fn sent(&self) -> Duration {
        self.state.lock().sent
    }
}

impl Lease {
    pub(super) fn new(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>, name: String, term: Duration) -> Self {
        // The standard library seeds its hashers from the system.
        let half = || RandomState::new().build_hasher().finish();
        let owner = format!("{:016x}{:016x}", half(), half()).into();
        Self { store, clock, name: name.into(), owner, term }
    }

    /// Waits until this node is the holder, or until work of this `version` is done; calls `waits` when somebody else is.
    pub(super) async fn acquire(&self, version: Option<u64>, waits: impl Fn()) -> Result<Turn> {
        let mut seen = None;
        loop {
            let sent = self.clock.monotonic();
            let known = self.read().await?;
            let is_done = |note: &Note| version.is_some() && note.done >= version;
            let wait = match &known {
                Some((note, _)) if is_done(note) => return Ok(Turn::Done),
                Some((Note { owner: Some(owner), lease_ms, .. }, revision)) if *owner != self.owner => {
                    self.until_lapse(&mut seen, *revision, Duration::from_millis(*lease_ms))
                }
                _ => Duration::ZERO,
            };
            if !wait.is_zero() {
                waits();
                self.clock.sleep(wait.min(LOOK)).await;
                continue;
            }
            let done = known.as_ref().and_then(|(note, _)| note.done);
            let revision = known.map(|(_, revision)| revision);
            if let Some(fence) = self.write(Some(&self.owner), done, revision).await? {
                let state = Mutex::new(State { revision: fence, sent });
                return Ok(Turn::Ours(Tenure { fence, done, state }));
            }
        }
    }

    /// How long this revision has to stay before its holder is dead; `seen` remembers since when it is there.
    fn until_lapse(&self, seen: &mut Option<(u64, Duration)>, revision: u64, term: Duration) -> Duration {
        let now = self.clock.monotonic();
        let since = match *seen {
            Some((known, since)) if known == revision => since,
            _ => seen.insert((revision, now)).1,
        };
        since.saturating_add(term).saturating_sub(now)
    }

    /// The output of `work`, while this node stays the holder. `lost` is cancelled when it may not stay so; none if the work was
    /// dropped, since another node may begin.
    pub(super) async fn keep<T>(
        &self,
        tenure: &Tenure,
        lost: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        // Of its own, since the clock may wait for the work while the lease waits for the clock.
        let activity = self.clock.begin(&"a lease").idling();
        let watched = activity.observe(self.watch(tenure, lost));
        let (mut work, mut watched) = (pin!(work), pin!(watched));
        let output = poll_fn(|cx| {
            // A node that was frozen asks first whether it is still the holder.
            if watched.as_mut().poll(cx).is_ready() || self.clock.monotonic() >= self.end(tenure) {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await;
        if output.is_none() {
            lost.cancel();
        }
        output
    }

    /// Ready when another node may start.
    async fn watch(&self, tenure: &Tenure, lost: &CancellationToken) {
        let asks = async {
            self.passed(|| tenure.sent().saturating_add(self.term * 2 / 3)).await;
            lost.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.passed(|| self.end(tenure)) => {}
            () = self.beat(tenure) => {}
            () = asks => {}
        }
    }

    /// When the work must have stopped, unless the lease is renewed.
    fn end(&self, tenure: &Tenure) -> Duration {
        tenure.sent().saturating_add(self.term * 5 / 6)
    }

    /// Ready at a point in time that may be postponed meanwhile.
    async fn passed(&self, moment: impl Fn() -> Duration) {
        while self.clock.monotonic() < moment() {
            self.clock.sleep_until(moment()).await;
        }
    }

    /// Renews the lease until another node holds it.
    async fn beat(&self, tenure: &Tenure) {
        let (mut failures, beat) = (Streak::default(), self.term / 3);
        let mut pause = beat;
        loop {
            self.clock.sleep(pause).await;
            match self.renew(tenure, Some(&self.owner), None).await {
                Ok(true) => (failures, pause) = (Streak::default(), beat),
                Ok(false) => return,
                Err(error) => {
                    pause = LOOK.min(beat / 4);
                    if failures.failed(self.clock.monotonic()).is_some() {
                        let name = &*self.name;
                        tracing::warn!(mark = name, %error, "`{name}` runs here, but its lease cannot be renewed; another node takes it over unless this succeeds soon: {error}");
                    }
                }
            }
        }
    }

    /// Gives the lease up, so that another node can start at once.
    pub(super) async fn give_up(&self, tenure: &Tenure) {
        let deadline = self.clock.monotonic().saturating_add(GIVE_UP_WITHIN);
        let gave_up = by(&*self.clock, deadline, self.renew(tenure, None, None)).await;
        if !matches!(gave_up, Some(Ok(_))) {
            let (name, lease) = (&*self.name, Shown(self.term));
            tracing::warn!(
                mark = name,
                "the store could not be told that `{name}` has stopped here; another node takes it over after the lease of {lease}"
            );
        }
    }

    /// Notes that the work is done for good, as long as nobody else can have begun. Says whether nobody has.
    pub(super) async fn finish(&self, tenure: &Tenure, version: u64) -> Result<bool> {
        loop {
            match self.renew(tenure, None, Some(version)).await {
                Err(_) if self.clock.monotonic() < self.end(tenure) => {
                    self.clock.sleep(LOOK.min(self.term / 12)).await;
                }
                result => return result,
            }
        }
    }

    /// Rewrites the mark. Returns whether this node was still the holder.
    async fn renew(&self, tenure: &Tenure, owner: Option<&Arc<str>>, done: Option<u64>) -> Result<bool> {
        let (sent, revision) = (self.clock.monotonic(), tenure.state.lock().revision);
        let done = done.max(tenure.done);
        let mut written = self.write(owner, done, Some(revision)).await?;
        if written.is_none() {
            // A renewal whose answer was lost has moved the revision on.
            match self.read().await? {
                Some((note, revision)) if note.owner.as_ref() == Some(&self.owner) => {
                    written = self.write(owner, done, Some(revision)).await?;
                }
                Some((note, _)) if done.is_some() && note.done == done => return Ok(true),
                _ => {}
            }
        }
        let Some(revision) = written else { return Ok(false) };
        *tenure.state.lock() = State { revision, sent };
        Ok(true)
    }

    async fn read(&self) -> Result<Option<(Note, u64)>> {
        let Some(Mark { text, revision }) = self.store.mark(self.name.clone()).await? else {
            return Ok(None);
        };
        let note = serde_json::from_str(&text).map_err(|error| {
            let name = &self.name;
            Error::config(format!("the mark `{name}` says `{text}`, which cannot be read: {error}"))
        })?;
        Ok(Some((note, revision)))
    }

    /// The new revision; none if another node has written the mark first.
    async fn write(
        &self,
        owner: Option<&Arc<str>>,
        done: Option<u64>,
        revision: Option<u64>,
    ) -> Result<Option<u64>> {
        let lease_ms = u64::try_from(self.term.as_millis()).unwrap_or(u64::MAX);
        let note = Note { owner: owner.cloned(), lease_ms, done };
        let text = serde_json::to_string(&note).map_err(|error| Error::config(error.to_string()))?.into();
        self.store.put_mark(PutMark { name: self.name.clone(), text, revision }).await
    }
}
