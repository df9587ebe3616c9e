//! A TCP proxy that does to the traffic what bad networks do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::time::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What becomes of the next request that calls a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    /// The connection is cut before the request is passed on.
    LoseRequest,
    /// The request is passed on, and the connection is cut before its answer is.
    LoseReply,
    /// The request is passed on again, later and on a connection of its own.
    Duplicate,
}

/// Stands between clients and a server of this machine.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    rules: Arc<Rules>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Rules {
    /// Each with how many requests of its verb it still lets pass.
    tricks: Mutex<Vec<(String, usize, Trick)>>,
    /// How many tricks were played.
    played: AtomicU64,
    /// Takes no connections and cuts those that are there.
    closed: AtomicBool,
    /// What a connection has not seen yet cuts it, also if it comes while it does something else.
    cut: watch::Sender<()>,
    /// Passes requests on, and no answers.
    swallows: AtomicBool,
    /// Milliseconds in each direction.
    delay: AtomicU64,
    server: AtomicU16,
    /// Connections of an earlier present get no answers.
    present: AtomicU64,
    /// How many requests were carried out once more.
    repeated: AtomicU64,
}

impl Proxy {
    /// Starts a proxy to this port.
    ///
    /// # Panics
    ///
    /// The machine has no port or thread left.
    #[must_use]
    pub fn to(server: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("it is bound").port();
        let rules = Arc::new(Rules { server: AtomicU16::new(server), ..Rules::default() });
        let of_task = rules.clone();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a socket");
            while let Ok((client, _)) = listener.accept().await {
                let cut = of_task.cut.subscribe();
                if of_task.closed.load(Ordering::SeqCst) {
                    continue;
                }
                tokio::spawn(serve(of_task.clone(), client, cut));
            }
        });
        Self { port, rules, runtime: Some(runtime) }
    }

    /// The address to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next request that calls this verb is played a trick.
    pub fn play(&self, verb: &str, trick: Trick) {
        self.play_after(0, verb, trick);
    }

    /// So many requests that call this verb pass; the one after them is played a trick.
    pub fn play_after(&self, passed: usize, verb: &str, trick: Trick) {
        self.rules.tricks.lock().push((verb.to_owned(), passed, trick));
    }

    /// How many tricks were played so far.
    #[must_use]
    pub fn played(&self) -> u64 {
        self.rules.played.load(Ordering::SeqCst)
    }

    /// How many requests were carried out once more so far.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.rules.repeated.load(Ordering::SeqCst)
    }

    /// Cuts all connections and takes no new ones, until [`open`](Self::open).
    pub fn close(&self) {
        self.rules.closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Takes connections again.
    pub fn open(&self) {
        self.rules.closed.store(false, Ordering::SeqCst);
    }

    /// Cuts all connections; new ones are taken.
    pub fn cut(&self) {
        self.rules.cut.send_replace(());
    }

    /// Leads to another server from now on; what is there is cut.
    pub fn lead_to(&self, server: u16) {
        self.lead_new_to(server);
        self.cut();
    }

    /// Leads new connections to another server; what is there stays.
    pub fn lead_new_to(&self, server: u16) {
        self.rules.server.store(server, Ordering::SeqCst);
    }

    /// Whether answers are held back for ever.
    pub fn swallow(&self, swallows: bool) {
        self.rules.swallows.store(swallows, Ordering::SeqCst);
    }

    /// Holds answers back for ever on the connections that are there now, and on no others.
    pub fn swallow_present(&self) {
        self.rules.present.fetch_add(1, Ordering::SeqCst);
    }

    /// How long each piece of traffic is held up in each direction.
    pub fn delay(&self, delay: Duration) {
        self.rules.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Tests drop it among their tasks.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(rules: Arc<Rules>, mut client: TcpStream, mut cut: watch::Receiver<()>) {
    let (port, born) = (rules.server.load(Ordering::SeqCst), rules.present.load(Ordering::SeqCst));
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    // The verb whose answer is not passed on.
    let mut loses = None;
    loop {
        tokio::select! {
            _ = cut.changed() => return,
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &request[..length];
                rules.hold_up().await;
                match rules.trick(bytes) {
                    Some((_, Trick::LoseRequest)) => return,
                    Some((verb, Trick::LoseReply)) => loses = Some(verb),
                    Some((_, Trick::Duplicate)) => drop(tokio::spawn(again(rules.clone(), bytes.to_vec(), port))),
                    None => {}
                }
                if server.write_all(bytes).await.is_err() { return }
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if let Some(verb) = loses.take() {
                    // A server that has to be told the script first has done nothing yet.
                    if !answer.starts_with(b"-NOSCRIPT") { return }
                    rules.played.fetch_sub(1, Ordering::SeqCst);
                    rules.tricks.lock().push((verb, 0, Trick::LoseReply));
                }
                rules.hold_up().await;
                let swallows = rules.swallows.load(Ordering::SeqCst) || born < rules.present.load(Ordering::SeqCst);
                if !swallows && client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Rules {
    async fn hold_up(&self) {
        let delay = self.delay.load(Ordering::SeqCst);
        if delay > 0 {
            SystemClock.sleep(Duration::from_millis(delay)).await;
        }
    }

    fn trick(&self, request: &[u8]) -> Option<(String, Trick)> {
        let mut tricks = self.tricks.lock();
        let calls = |verb: &str| {
            let word = format!("\r\n{verb}\r\n");
            request.windows(word.len()).any(|window| window == word.as_bytes())
        };
        let index = tricks.iter().position(|(verb, ..)| calls(verb))?;
        if let Some(fewer) = tricks[index].1.checked_sub(1) {
            tricks[index].1 = fewer;
            return None;
        }
        self.played.fetch_add(1, Ordering::SeqCst);
        let (verb, _, trick) = tricks.remove(index);
        Some((verb, trick))
    }
}

/// Sends a request once more, when the first one is long over.
async fn again(rules: Arc<Rules>, request: Vec<u8>, port: u16) {
    SystemClock.sleep(Duration::from_millis(50)).await;
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    if server.write_all(&request).await.is_ok() {
        let mut answer = [0; 1 << 12];
        // Whatever it says.
        let _ = server.read(&mut answer).await;
        rules.repeated.fetch_add(1, Ordering::SeqCst);
    }
}
