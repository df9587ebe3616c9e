//! A connection that is replaced when it does not serve any more.
//!
//! The client library keeps a connection to one address and waits on it for ever. So each call has a time limit, and a
//! connection is given up when it is cut, when answers fail to come, or when the server says that it is not the one to write
//! to; the next call looks up who is, and connects anew. No call is ever repeated in here: what was not answered may have
//! been carried out, and only the caller knows what that means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, PushInfo, PushKind, RedisError, Script, ServerErrorKind, Value, cmd};
use scheduler_core::{Error, Result};

use crate::discovery::{self, Address};
use crate::settings::Settings;

/// Whom to tell of messages, and when they may have been missed.
type Heard = Arc<dyn Fn(Option<Vec<u8>>) + Send + Sync>;

/// For so many bytes of a call its answer may take a second longer.
const BYTES_IN_A_SECOND: usize = 16 * 1024 * 1024;

/// What a call without an answer means.
const UNKNOWN: &str = "the call may have taken effect all the same";

/// One connection of a store.
pub(crate) struct Connection {
    settings: Arc<Settings>,
    /// No step may take longer than this, beside the settings.
    limit: Mutex<Duration>,
    /// So many calls in a row without an answer, and the connection is given up.
    most_silent: u32,
    /// The channel to listen to, and whom to tell.
    listener: Option<(String, Heard)>,
    slot: Mutex<Slot>,
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// Where it leads to.
    server: Option<Address>,
    /// Set when the other end has closed it.
    closed: Arc<AtomicBool>,
    /// Grows with every connection.
    number: u64,
    silent: u32,
    /// How many attempts to connect have failed, and how the last one did.
    failed: Option<(u64, Arc<RedisError>)>,
}

/// Why a call has failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server cannot be reached, or did not answer: whether the call took effect is unknown.
    Away(Error),
    /// The server has answered, with an error.
    Refused(Error),
}

impl Failure {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Away(error) | Self::Refused(error) => error,
        }
    }
}

impl Connection {
    pub(crate) fn new(settings: Arc<Settings>, most_silent: u32) -> Self {
        let (slot, connecting) = Default::default();
        Self { settings, limit: Mutex::new(Duration::MAX), most_silent, listener: None, slot, connecting }
    }

    /// No step may take longer than this from now on.
    pub(crate) fn limit(&self, limit: Duration) {
        *self.limit.lock() = limit;
    }

    pub(crate) fn listen(mut self, channel: String, heard: Heard) -> Self {
        self.listener = Some((channel, heard));
        self
    }

    /// Whether there is a connection, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.current().is_some()
    }

    /// Connects if need be.
    pub(crate) async fn reach(&self) -> Result<(), Failure> {
        if self.is_up() { Ok(()) } else { self.connect().await.map(drop) }
    }

    /// Refuses what is too large before anything is sent.
    fn check_size(&self, verb: &str, bytes: usize, words: &[Vec<u8>]) -> Result<(), Failure> {
        let limit = self.settings.largest_call;
        if bytes <= limit {
            return Ok(());
        }
        let largest = words.iter().max_by_key(|word| word.len()).map(|word| String::from_utf8_lossy(word));
        let begin: String = largest.unwrap_or_default().chars().take(120).collect();
        Err(Failure::Refused(Error::config(format!(
            "the call `{verb}` carries {bytes} bytes, and the limit is {limit}; nothing was stored. Its largest part begins with \
             `{begin}`. Keep large values elsewhere and give the job a reference, or raise `RedisStoreBuilder::largest_call`"
        ))))
    }

    /// Carries out one script call, once.
    pub(crate) async fn evaluate(
        &self,
        verb: &str,
        script: &Script,
        words: &[Vec<u8>],
    ) -> Result<Value, Failure> {
        let bytes = words.iter().map(Vec::len).sum();
        self.check_size(verb, bytes, words)?;
        let mut command = cmd("EVALSHA");
        command.arg(script.get_hash()).arg(1).arg(&self.settings.prefix);
        command.arg(words);
        let more = Duration::from_secs((bytes / BYTES_IN_A_SECOND) as u64);
        let limit = self.settings.answer_within.saturating_add(more);
        let call =
            async |mut connection: MultiplexedConnection| match command.query_async(&mut connection).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    script.prepare_invoke().load_async(&mut connection).await?;
                    command.query_async(&mut connection).await
                }
                answer => answer,
            };
        self.with(verb, limit, call).await
    }

    /// Carries out commands that change nothing; once more if the connection was cut.
    pub(crate) async fn ask(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        let limit = self.settings.answer_within;
        let call = async |mut connection| commands.query_async(&mut connection).await;
        match self.with("load", limit, call).await {
            Err(Failure::Away(_)) => self.with("load", limit, call).await,
            answer => answer,
        }
    }

    /// Carries out one command, once.
    pub(crate) async fn carry_out(&self, command: &redis::Cmd) -> Result<Value, Failure> {
        let limit = self.settings.answer_within;
        self.with("command", limit, async |mut connection| command.query_async(&mut connection).await).await
    }

    pub(crate) async fn info(&self) -> Result<String, Failure> {
        self.with("INFO", self.settings.answer_within, async |mut connection| {
            cmd("INFO").query_async(&mut connection).await
        })
        .await
    }

    /// Whether somebody is there, and this user may do what the connection is for.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let limit = self.settings.answer_within;
        self.with("PING", limit, async |mut connection| cmd("PING").exec_async(&mut connection).await).await
    }

    async fn with<T>(
        &self,
        verb: &str,
        limit: Duration,
        call: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Failure> {
        let (connection, number) = match self.current() {
            Some(current) => current,
            None => self.connect().await?,
        };
        let limit = limit.min(*self.limit.lock());
        let Ok(answer) = tokio::time::timeout(limit, call(connection)).await else {
            self.no_answer(number);
            let place = self.settings.place();
            return Err(Failure::Away(Error::transient(format!(
                "Redis at {place} did not answer the call `{verb}` within {limit:?}; {UNKNOWN}. Look at the load of the server and \
                 the network, or raise `RedisStoreBuilder::answer_within`"
            ))));
        };
        match answer {
            Ok(answer) => {
                self.slot.lock().silent = 0;
                Ok(answer)
            }
            Err(error) => Err(self.failed(verb, number, error)),
        }
    }

    fn current(&self) -> Option<(MultiplexedConnection, u64)> {
        let slot = self.slot.lock();
        let connection = slot.connection.clone().filter(|_| !slot.closed.load(Ordering::Acquire));
        connection.map(|connection| (connection, slot.number))
    }

    fn no_answer(&self, number: u64) {
        let mut slot = self.slot.lock();
        if slot.number == number {
            slot.silent += 1;
            if slot.silent >= self.most_silent {
                slot.connection = None;
            }
        }
    }

    /// Gives the connection up, unless it was replaced already.
    pub(crate) fn give_up(&self, number: u64) {
        let mut slot = self.slot.lock();
        if slot.number == number {
            slot.connection = None;
        }
    }

    /// Gives the connection up, whichever it is.
    pub(crate) fn leave(&self) {
        self.slot.lock().connection = None;
    }

    /// Whether there is a connection to another server than this one.
    pub(crate) fn is_elsewhere(&self, server: &Address) -> bool {
        let slot = self.slot.lock();
        slot.connection.is_some() && slot.server.as_ref().is_some_and(|at| at != server)
    }

    fn failed(&self, verb: &str, number: u64, error: RedisError) -> Failure {
        use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
        let place = self.settings.place();
        let text = format!("Redis at {place} did not carry out the call `{verb}`: {}", words(&error));
        match error.kind() {
            ErrorKind::Server(ReadOnly | MasterDown | Moved | Ask | TryAgain | ClusterDown | BusyLoading) => {
            }
            _ if refusal(&error) => return Failure::Refused(Error::config(text).caused_by(error)),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                return Failure::Refused(Error::transient(text).caused_by(error));
            }
            _ => {}
        }
        self.give_up(number);
        let text = format!("{text}; {UNKNOWN}, and the next call connects anew");
        Failure::Away(Error::transient(text).caused_by(error))
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, u64), Failure> {
        let before = self.slot.lock().failed.clone();
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let since = self.slot.lock().failed.clone();
        if let Some((_, error)) =
            since.filter(|since| before.as_ref().is_none_or(|before| before.0 < since.0))
        {
            // Whoever has waited for somebody else's attempt shares its end.
            return Err(self.unreachable(error));
        }
        let (connection, server, closed) = self.open().await.map_err(|error| {
            let error = Arc::new(error);
            if !refusal(&error) {
                let mut slot = self.slot.lock();
                let attempt = slot.failed.as_ref().map_or(0, |(attempt, _)| *attempt) + 1;
                slot.failed = Some((attempt, error.clone()));
            }
            self.unreachable(error)
        })?;
        let number = {
            let mut slot = self.slot.lock();
            slot.number += 1;
            slot.silent = 0;
            (slot.connection, slot.server, slot.closed) = (Some(connection.clone()), server, closed);
            slot.number
        };
        if let Some((_, heard)) = &self.listener {
            // Messages of the time in between are lost.
            heard(None);
        }
        Ok((connection, number))
    }

    /// The failure of an attempt to connect.
    fn unreachable(&self, error: Arc<RedisError>) -> Failure {
        let (place, reason) = (self.settings.place(), words(&error));
        if refusal(&error) {
            let text = format!("Redis at {place} cannot be reached with these credentials: {reason}");
            return Failure::Refused(Error::config(text).caused_by(error));
        }
        let text = format!(
            "Redis at {place} cannot be reached: {reason}. Make sure that the server runs, that the address is right and that no \
             firewall is between"
        );
        Failure::Away(Error::transient(text).caused_by(error))
    }

    async fn open(&self) -> Result<(MultiplexedConnection, Option<Address>, Arc<AtomicBool>), RedisError> {
        let limit = self.settings.connect_within.min(*self.limit.lock());
        let server = discovery::find(&self.settings, limit).await?;
        let at = discovery::address(&server);
        let (closed, heard) =
            (Arc::new(AtomicBool::new(false)), self.listener.as_ref().map(|(_, heard)| heard.clone()));
        let of_connection = closed.clone();
        let config = discovery::plain().set_push_sender(move |push: PushInfo| -> Result<(), RedisError> {
            match (push.kind, push.data.last(), &heard) {
                (PushKind::Disconnection, ..) => of_connection.store(true, Ordering::Release),
                (PushKind::Message, Some(Value::BulkString(text)), Some(heard)) => {
                    heard(Some(text.clone()));
                }
                _ => {}
            }
            Ok(())
        });
        let ready = async {
            let mut connection = discovery::connect(server, &config).await?;
            if let Some((channel, _)) = &self.listener {
                cmd("SUBSCRIBE").arg(channel).exec_async(&mut connection).await?;
            }
            Ok((connection, at, closed))
        };
        discovery::in_time(limit, ready).await
    }
}

/// Whether asking again will not help: this user may not do it.
fn refusal(error: &RedisError) -> bool {
    let code = error.code().unwrap_or_default();
    error.kind() == ErrorKind::AuthenticationFailed || ["WRONGPASS", "NOAUTH", "NOPERM"].contains(&code)
}

/// The error as a sentence, with the way out where there is one. It has everything that the error has.
fn words(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) => detail.to_owned(),
        _ => error.to_string(),
    };
    match error.code() {
        Some("NOPERM") => format!("{text}; allow the user what the page \"Running a cluster\" lists"),
        Some("WRONGPASS" | "NOAUTH") => {
            format!("{text}; give the user and the password in the address or by `credentials`")
        }
        _ => text,
    }
}
