//! Handles of runs, by which their ends are waited for.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::enqueue_outcome::EnqueueOutcome;
use super::handle::Client;
use crate::error::{During, Result};
use crate::run::{RunEnd, RunError, RunId, RunProgress};
use crate::store::*;

/// How long a run is kept after its end if a handle of it was asked for, and nothing else is said.
pub(super) const KEPT_FOR_HANDLES: Duration = Duration::from_secs(3600);

/// A signal of another process may be lost, so whoever waits looks as often as this.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A stored run of a job that returns a `T`. [`Enqueue::handle`](super::Enqueue::handle) and [`Client::handle_of`] make one. Cloning gives a
/// handle of the same run; dropping it changes nothing.
pub struct RunHandle<T = ()> {
    client: Client,
    outcome: EnqueueOutcome,
    output: PhantomData<fn() -> T>,
}

impl<T> RunHandle<T> {
    pub(super) const fn new(client: Client, outcome: EnqueueOutcome) -> Self {
        Self { client, outcome, output: PhantomData }
    }

    /// The run.
    pub const fn id(&self) -> RunId {
        self.outcome.run()
    }

    /// Whether the run was stored by the call that gave this handle, or was there before.
    pub const fn outcome(&self) -> EnqueueOutcome {
        self.outcome
    }

    /// The run as it is stored; none once it is not.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn status(&self) -> Result<Option<RunStatus>> {
        let query = self.client.as_of_now(RunQuery::one(self.id()));
        Ok(self.client.store().all_runs(query).await.during("status")?.pop())
    }
}

impl<T> RunHandle<T> {
    /// How far the run has got, as its job [says](crate::job::JobContext::progress); none if it has said nothing, or is not stored.
    /// Up to a second old.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn progress(&self) -> Result<Option<RunProgress>> {
        Ok(self.status().await?.and_then(|status| status.progress))
    }
}

impl<T: DeserializeOwned> RunHandle<T> {
    /// Waits until the run has ended, however long that takes, and gives its output. A job without an output gives `()`. The run may have ended before the call. The store
    /// tells when to look, so nothing is asked all the time; with several processes the call also looks every five seconds, in case a message is lost.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::run::RunError;
    /// # #[job] async fn send(to: String) {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// let sent = scheduler.enqueue(send::with("ada@example.org".into())).handle().await?;
    /// match sent.result().await {
    ///     Ok(()) => println!("sent"),
    ///     Err(RunError::Dead { error, .. }) => println!("given up: {error}"),
    ///     Err(other) => println!("{other}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The run has ended in another way: each has its [error](RunError). The run is not stored. The output is no `T`. The store has failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing: the run goes on, and a later call waits for the same end.
    pub async fn result(&self) -> Result<T, RunError> {
        let run = self.id();
        loop {
            // Before the look, so that no end is missed between the two.
            let told = self.client.store().listen(run);
            let Some(status) = self.status().await? else { return Err(RunError::NotKept(run)) };
            if let Some(end) = status.end {
                return result_of(&status, end);
            }
            tokio::select! {
                () = told => {}
                () = self.client.clock().sleep(LOOK_EVERY) => {}
            }
        }
    }
}

fn result_of<T: DeserializeOwned>(status: &RunStatus, end: RunEnd) -> Result<T, RunError> {
    let run = status.id;
    Err(match end {
        RunEnd::Succeeded => {
            // A job that returns nothing has stored nothing.
            let output = status.output.as_deref().unwrap_or("null");
            return serde_json::from_str(output).map_err(|error| RunError::Unreadable {
                run,
                wanted: type_name::<T>(),
                problem: error.to_string().into(),
            });
        }
        RunEnd::Dead => {
            let error = status.last_error.clone().unwrap_or_else(|| "no error is known".into());
            RunError::Dead { run, error }
        }
        RunEnd::Discarded => RunError::Discarded(run),
        RunEnd::Cancelled => RunError::Cancelled(run),
        RunEnd::Expired => RunError::Expired(run),
        RunEnd::Superseded => RunError::Superseded(run),
        RunEnd::Incomplete => RunError::Incomplete(run),
    })
}

impl<T> Clone for RunHandle<T> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.outcome)
    }
}

impl<T> fmt::Debug for RunHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunHandle").field(&self.outcome).finish()
    }
}

/// Handles of runs.
impl Client {
    /// A handle of a stored run, which may have been enqueued by another process. The caller knows what its job returns; `()` if that does not
    /// matter. Whether the run is stored turns out when it is asked for.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::Client;
    /// # use scheduler_core::run::RunId;
    /// # async fn all(client: Client, id: String) -> Result<(), Box<dyn std::error::Error>> {
    /// let run: RunId = id.parse()?; // for example from the URL of a request
    /// let sum: u64 = client.handle_of(run).result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle_of<T>(&self, run: RunId) -> RunHandle<T> {
        RunHandle::new(self.clone(), EnqueueOutcome::Existing(run))
    }
}
