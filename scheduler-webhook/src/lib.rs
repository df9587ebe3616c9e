//! Tells an HTTP endpoint of each dead run of a scheduler: to open a ticket, or to page somebody.
//!
//! ```
//! use scheduler_core::Scheduler;
//! use scheduler_webhook::DeadRunWebhook;
//!
//! # fn build(secret: &[u8]) -> Result<(), scheduler_core::Error> {
//! let webhook = DeadRunWebhook::new("https://alerts.example.org/dead", secret)?;
//! let builder = Scheduler::builder().plugin(webhook);
//! # Ok(())
//! # }
//! ```
//!
//! # The request
//!
//! A `POST` with a body of JSON, signed as [Standard Webhooks](https://www.standardwebhooks.com) describe it, so that their libraries can
//! check it:
//!
//! ```text
//! POST /dead HTTP/1.1
//! content-type: application/json
//! webhook-id: 5f2a…-17-1772323200000
//! webhook-timestamp: 1772323200
//! webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
//!
//! {"event":"dead","run":"5f2a…-17","job":["DEFAULT","send"],"attempts":11,"error":"connection refused"}
//! ```
//!
//! The signature is the HMAC-SHA256, by the secret, of `{webhook-id}.{webhook-timestamp}.{body}` in Base64. A receiver that refuses old
//! timestamps cannot be fooled by a request that somebody has recorded. The id is the same in all tries of a request, and the timestamp is that
//! of the try.
//!
//! # Delivery
//!
//! * The node that hears of a dead run sends the request, as for
//!   [`on_dead`](scheduler_core::SchedulerBuilder::on_dead): at most one node, and none if that node ends before. A try that the endpoint
//!   has got and not answered is sent again, so the endpoint may get a request twice, with the same id.
//! * An answer of 2xx ends the request. After no answer, 408, 429 and 5xx it is tried again, five times in all with pauses of 1 s, 2 s, 4 s and
//!   8 s. More tries have pauses of up to a minute. Any other answer is an error that is logged; redirections are not followed.
//! * Requests are sent one after the other. Nothing in the scheduler waits for them. Up to 4,096 dead runs wait, and a warning says how many
//!   were missed beyond. A shutdown drops what is not sent.

mod request;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use scheduler_core::plugin::Plugin;
use scheduler_core::scheduler::{Event, SchedulerListener};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, SchedulerBuilder};
use ureq::http::{StatusCode, Uri};

use request::Request;

/// A shorter secret can be guessed.
const SHORTEST_SECRET: usize = 16;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// With this a secret begins that is written in Base64.
const IN_BASE64: &[u8] = b"whsec_";

/// A listener that tells an HTTP endpoint of dead runs. See the [crate].
#[derive(Clone)]
pub struct DeadRunWebhook {
    url: String,
    /// The address without what may be secret: no path, no query, no password.
    shown: String,
    secret: Vec<u8>,
    agent: Arc<OnceLock<ureq::Agent>>,
    tries: u32,
    pause: Duration,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl DeadRunWebhook {
    /// Tells this `http` or `https` address, and signs with this secret: `whsec_` and Base64, as Standard Webhooks write it, or else the bytes
    /// themselves, for which a receiver is given `whsec_` and their Base64. Logs and errors show the host of the address and nothing more.
    ///
    /// # Errors
    ///
    /// The address is none, or has another scheme. The secret has fewer than 16 bytes, or begins with `whsec_` and is not Base64.
    pub fn new(url: &str, secret: impl AsRef<[u8]>) -> Result<Self, Error> {
        let uri: Uri = url
            .parse()
            .map_err(|error| Error::config(format!("the address of the webhook cannot be read: {error}")))?;
        let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(Error::config(
                "the address of the webhook does not begin with `http://` or `https://` and the name of a host",
            ));
        };
        let shown = format!("{scheme}://{host}");
        let secret = match secret.as_ref().strip_prefix(IN_BASE64) {
            None => secret.as_ref().to_vec(),
            Some(text) => BASE64_STANDARD.decode(text).map_err(|error| {
                Error::config(format!(
                    "the secret of the webhook begins with `whsec_` and is not Base64: {error}"
                ))
            })?,
        };
        if secret.len() < SHORTEST_SECRET {
            let length = secret.len();
            return Err(Error::config(format!(
                "the secret of the webhook has {length} bytes; use at least {SHORTEST_SECRET} random ones"
            )));
        }
        let (pause, timeout) = (Duration::from_secs(1), Duration::from_secs(10));
        let (url, agent, clock) = (url.to_owned(), Arc::default(), Arc::new(SystemClock));
        Ok(Self { url, shown, secret, agent, tries: 5, pause, timeout, clock })
    }

    /// So often a request is sent before it is given up; at least once. Default: 5.
    #[must_use]
    pub fn tries(self, tries: u32) -> Self {
        Self { tries: tries.max(1), ..self }
    }

    /// The pause before the second try. Each further one is twice as long, and at most a minute. Default: 1 s.
    #[must_use]
    pub fn pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// A try without an answer for so long has failed. Default: 10 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, agent: Arc::default(), ..self }
    }

    /// The clock for timestamps and pauses. Default: that of the machine.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    async fn deliver(&self, request: Request) {
        let request = Arc::new(request);
        let mut pause = self.pause;
        for left in (0..self.tries).rev() {
            let problem = match self.send(&request).await {
                Ok(status) if status.is_success() => return,
                Ok(status) if !is_passing(status) => {
                    return tracing::error!(url = self.shown, %status, "the webhook for dead runs has refused a request with {status}, so the request is not sent again; look at its address and its secret");
                }
                Ok(status) => status.to_string(),
                Err(problem) => problem,
            };
            if left == 0 {
                return tracing::error!(
                    url = self.shown,
                    problem,
                    "the webhook for dead runs could not be reached, and a dead run was not reported: {problem}; `RunQuery::dead()` lists all"
                );
            }
            tracing::warn!(
                url = self.shown,
                problem,
                "the webhook for dead runs could not be reached and is tried again in {pause:?}: {problem}"
            );
            self.clock.sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Sends a request once, on a thread that may block.
    async fn send(&self, request: &Arc<Request>) -> Result<StatusCode, String> {
        let (agent, request, url, timeout) =
            (self.agent.clone(), request.clone(), self.url.clone(), self.timeout);
        // Each try has its own timestamp, since receivers refuse old ones.
        let signed = request.signed(&*self.clock, &self.secret).ok_or("the request cannot be signed")?;
        let sending = tokio::task::spawn_blocking(move || {
            let call = agent
                .get_or_init(|| request::agent(timeout))
                .post(&url)
                .header("content-type", "application/json")
                .header("webhook-id", &request.id)
                .header("webhook-timestamp", &signed.timestamp)
                .header("webhook-signature", &signed.signature);
            call.send(&request.body).map(|answer| answer.status()).map_err(|error| error.to_string())
        });
        sending.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Whether the endpoint may have another answer later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

impl SchedulerListener for DeadRunWebhook {
    async fn on_event(&self, event: &Event) {
        match event {
            Event::Dead { run, .. } => {
                if let Some(request) = Request::new(event, &run.to_string(), &*self.clock) {
                    self.deliver(request).await;
                }
            }
            Event::Missed { count } => {
                tracing::warn!(
                    url = self.shown,
                    count,
                    "the webhook for dead runs is too slow and has missed {count} dead runs; `RunQuery::dead()` lists all"
                );
            }
            _ => {}
        }
    }
}

impl Plugin for DeadRunWebhook {
    fn install(self, builder: SchedulerBuilder) -> SchedulerBuilder {
        builder.listener_to(|event| matches!(event, Event::Dead { .. }), self)
    }
}

impl fmt::Debug for DeadRunWebhook {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shown: url, tries, pause, timeout, .. } = self;
        let mut out = f.debug_struct("DeadRunWebhook");
        out.field("url", url).field("tries", tries).field("pause", pause).field("timeout", timeout);
        out.finish_non_exhaustive()
    }
}
