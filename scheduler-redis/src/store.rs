//! The handle of a store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use scheduler_core::{Error, Result};
use tokio::task::JoinHandle;

use crate::settings::RedisStoreBuilder;
use crate::shared::Shared;

/// How many commits a process has made. A node decides what a commit writes, and the server refuses it if the rows that the decision goes
/// by have changed meanwhile; then the node decides anew. Many refusals say that nodes compete for the same jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commits {
    /// Those that took effect.
    pub made: u64,
    /// Those that were refused; each was tried again.
    pub refused: u64,
}

/// A job store in Redis, shared by all nodes that use the same server and name. Cloning gives the same store.
///
/// It works on a thread of its own. A call that is dropped may still be carried out; each may be repeated.
#[derive(Clone)]
pub struct RedisJobStore(pub(crate) Arc<Shared>);

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

    /// What has become of the commits of this process since it opened the store.
    pub fn commits(&self) -> Commits {
        let [made, refused] = [0, 1].map(|what: usize| self.0.commits[what].load(Ordering::Relaxed));
        Commits { made, refused }
    }

    /// A task of a node that must not go on when it has lost touch, before or meanwhile. What happens to other nodes of this process
    /// does not concern it.
    pub(crate) async fn as_node<T: Send + 'static>(
        &self,
        session: u64,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let losses = || self.0.sessions.lock().get(&session).map(|known| known.losses);
        if !self.0.is_safe(session) {
            self.0.nudge.notify_one();
            return Err(touch_lost());
        }
        let before = losses();
        let mut answer = std::pin::pin!(self.on_io(task));
        loop {
            // Before the look, so that nothing is missed in between.
            let fenced = self.0.fenced.notified();
            if losses() != before {
                return Err(touch_lost());
            }
            tokio::select! {
                answer = &mut answer => {
                    let answer = answer?;
                    return if losses() == before && self.0.is_safe(session) { Ok(answer) } else { Err(touch_lost()) };
                }
                () = fenced => {}
            }
        }
    }

    /// On the thread of the store, to its end.
    pub(crate) async fn on_io<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        Self::ended(self.0.io.spawn(task)).await
    }

    pub(crate) async fn ended<T>(task: Option<JoinHandle<Result<T>>>) -> Result<T> {
        let closed = || Error::transient("the thread of the job store in Redis has ended");
        match task {
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
        let store = RedisJobStore(Shared::open(self.settings()?)?);
        let shared = store.0.clone();
        store.on_io(async move { shared.begin().await }).await?;
        Ok(store)
    }
}

impl fmt::Debug for RedisJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, prefix) = (self.0.settings.place(), &self.0.settings.prefix);
        f.debug_struct("RedisJobStore").field("place", &place).field("prefix", prefix).finish_non_exhaustive()
    }
}

pub(crate) fn touch_lost() -> Error {
    Error::transient("this node has lost touch with its cluster, and waits for Redis to be back")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]
mod tests {
    use std::net::TcpListener;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use scheduler_core::store::{Node, QueueFilter};
    use scheduler_core::time::{Clock, SystemClock};

    use super::*;
    use crate::session::Session;

    const HOUR: Duration = Duration::from_secs(3600);

    fn node(session: u64) -> Node {
        let (wake, stop) = (Arc::new(|| {}), Arc::new(|_, _| {}));
        Node { session, name: "node".into(), types: None, queues: QueueFilter::default(), wake, stop }
    }

    /// Case H12.
    #[test]
    fn h12_a_node_that_has_lost_touch_ends_its_own_calls_only() {
        // A server that accepts connections and never answers.
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", server.local_addr().unwrap());
        let settings =
            RedisStoreBuilder::new(&url).connect_within(HOUR).answer_within(HOUR).settings().unwrap();
        let store = RedisJobStore(Shared::open(settings).unwrap());
        let until = SystemClock.monotonic() + HOUR;
        for session in [1, 2] {
            let mut known = Session::new(node(session));
            known.renewed(until);
            store.0.sessions.lock().insert(session, known);
        }
        let loses_touch = |session: u64| {
            store.0.sessions.lock().get_mut(&session).unwrap().fence();
            store.0.fenced.notify_waiters();
        };
        let mut call = pin!(store.as_node(2, std::future::pending::<Result<()>>()));
        let mut poll = || call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        loses_touch(1);
        assert!(poll().is_pending(), "the other node waits on");
        loses_touch(2);
        assert!(matches!(poll(), Poll::Ready(Err(error)) if error.to_string().contains("has lost touch")));
    }
}
