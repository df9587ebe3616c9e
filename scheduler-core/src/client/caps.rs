//! Limits while they are in use: who holds them, and other caps than those of the code.

use super::handle::Client;
use crate::error::{During, Error, Result};
use crate::run::GateId;
use crate::store::*;
use crate::watch::Event;

impl Client {
    /// Gives a limit another cap than its runs were enqueued with, on all nodes and for all runs that are stored or to come, until
    /// [`reset_limit`](Self::reset_limit). Without a key the cap holds for each key of the name that has no cap of its own.
    ///
    /// If the cap is lower, no attempt is stopped, and nothing begins until there is room. If it is higher, runs that wait begin at once;
    /// at a rate that spreads its attempts, the pause that is under way is waited for.
    /// With 0 nothing begins. Of a rate the cap is the number of attempts in its window. A run whose weight is more than the cap waits
    /// until the cap is raised. [`clear`](Self::clear) leaves the cap.
    ///
    /// ```
    /// # use scheduler_core::Client;
    /// # use scheduler_core::store::{LimitOverride, LimitQuery};
    /// # async fn all(client: Client) -> scheduler_core::Result<()> {
    /// client.set_limit("github", None, LimitOverride::of(5).because("they are slow today").by("ada")).await?;
    /// client.set_limit("github", Some("rust-lang"), LimitOverride::of(0)).await?; // nothing begins for this key
    /// for limit in client.limits(LimitQuery::of("github")).await?.items {
    ///     println!("{:?}: {} of {:?}, {} wait", limit.key, limit.used, limit.cap, limit.waiting);
    /// }
    /// client.reset_limit("github", Some("rust-lang")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The name is empty or has control characters. The store has failed, or the scheduler is shut down.
    pub async fn set_limit(&self, name: &str, key: Option<&str>, cap: LimitOverride) -> Result<()> {
        let cap = LimitOverride { since: self.now(), ..cap };
        self.put_limit(name, key, Some(cap)).await.during("set_limit")
    }

    /// Removes the cap that [`set_limit`](Self::set_limit) has set with the same name and key. The caps with which runs were enqueued hold
    /// again. Nothing happens if no cap was set.
    ///
    /// # Errors
    ///
    /// As [`set_limit`](Self::set_limit).
    pub async fn reset_limit(&self, name: &str, key: Option<&str>) -> Result<()> {
        self.put_limit(name, key, None).await.during("reset_limit")
    }

    async fn put_limit(&self, name: &str, key: Option<&str>, cap: Option<LimitOverride>) -> Result<()> {
        if name.is_empty() || name.contains(char::is_control) {
            let name = name.escape_debug();
            return Err(Error::config(format!(
                "the name `{name}` of a limit is empty or has control characters; use the name of a limit"
            )));
        }
        let number = cap.as_ref().map(|cap| cap.cap);
        self.open()?.set_limit(GateId::of(name, key), cap).await?;
        self.tell(|| Event::LimitChanged { name: name.into(), key: key.map(Into::into), cap: number });
        Ok(())
    }

    /// A page of the limits in use, each key apart: those that attempts hold, for which runs wait, that are
    /// [throttled](crate::job::JobError::throttled), or whose cap somebody has set. A rate is listed while runs wait for it. The limits
    /// come in the order of names and keys.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn limits(&self, query: LimitQuery) -> Result<Page<LimitStatus, GateId>> {
        self.store().limits(query, self.now()).await.during("limits")
    }
}
