//! The rows of this driver, held against the kit of drivers on a real server.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use redis::Commands;
use scheduler_conformance::drivers::{DriverUnderTest, Fault};
use scheduler_core::Result;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::{self, Id};
use scheduler_core::store::view::{Missing, View};
use scheduler_core::store::{AcquireDue, Acquired, FiringQuery, FiringRecord, JobStore, Node, Queries};
use tests::proxy::{Proxy, Trick};
use tests::redis::Server;
use tests::wait::block_between_looks;
use tokio::runtime::Runtime;

use crate::RedisJobStore;
use crate::codec;
use crate::names::Names;
use crate::run::Mode;
use crate::session::knows;

thread_local! {
    /// Of one test: what it has answered survives `kill -9`.
    static SERVER: RefCell<Server> = RefCell::new(Server::with(&["--appendonly", "yes", "--save", ""]));
}

static PLACES: AtomicUsize = AtomicUsize::new(0);

/// The name of the call by which rules of the kit are committed.
const CALL: &str = "kit";

/// One store of its own on the server, behind a proxy.
struct Place {
    runtime: Runtime,
    store: RedisJobStore,
    proxy: Proxy,
    /// The server itself.
    url: String,
    /// What was taken: the verbs are told which claims they are about, and so are the rules of the kit.
    taken: Mutex<Vec<ExecutionId>>,
    /// The next commit is to be refused.
    refuses: AtomicBool,
    /// So many requests were repeated before, if the next commit is.
    doubles: AtomicU64,
}

const NO: u64 = u64::MAX;

impl Place {
    fn open() -> Self {
        let (url, port) = SERVER.with_borrow(|server| (server.url(), server.port()));
        let (runtime, proxy) = (Runtime::new().expect("a runtime"), Proxy::to(port));
        let name = format!("kit-{}", PLACES.fetch_add(1, Ordering::Relaxed));
        let opening = RedisJobStore::builder(&proxy.url()).name(name).keep_history(1_000).connect();
        let store = runtime.block_on(opening).expect("the server is there");
        let (taken, refuses, doubles) = (Mutex::default(), AtomicBool::new(false), AtomicU64::new(NO));
        Self { runtime, store, proxy, url, taken, refuses, doubles }
    }

    /// Somebody else writes, as it is, a run that the transaction has read.
    fn disturb(&self, view: &mut View<Names>) {
        let (run, _) = view.runs().reads().next().expect("the transaction has read a run");
        let (hash, name) = (self.store.0.key("runs"), codec::run(view.names().run_id(run)));
        let client = redis::Client::open(&*self.url).expect("an address");
        let mut connection = client.get_connection().expect("the server is there");
        let mut record: Vec<u8> = connection.hget(&hash, &name).expect("the run is there");
        record[7] ^= 1;
        let _: u8 = connection.hset(&hash, &name, record).expect("it is written");
    }

    /// Whether the server is there, and knows all that its nodes do.
    fn hands_out(&self) -> bool {
        let ask = |words: &[&str]| SERVER.with_borrow(|server| server.text(words));
        let is_told = ask(&["SCARD", &self.store.0.key("untold")]) == "0";
        let is_heard = ask(&["INFO", "server"]).contains(&self.store.0.state.lock().epoch);
        is_told && is_heard && self.run(|view| rows::Rows::pauses(view).map(drop)).is_ok()
    }

    /// A node forgets which of its claims are over, as the verbs have it do: it would tell of them a server that comes back.
    fn let_go(&self, view: &View<Names>) {
        let over = view.claims().changes().filter(|change| change.after.is_none());
        let over: HashSet<_> = over.map(|change| change.id).collect();
        let (taken, mut sessions) = (self.taken.lock(), self.store.0.sessions.lock());
        for claim in taken.iter().filter(|claim| over.contains(&Id::of(**claim))) {
            sessions.get_mut(&claim.session()).and_then(|known| known.let_go(*claim));
        }
    }

    /// Waits for a commit that was sent twice to arrive for the second time.
    fn wait_for_double(&self) {
        let before = self.doubles.swap(NO, Ordering::SeqCst);
        while before != NO && self.proxy.repeated() == before {
            block_between_looks();
        }
    }
}

impl DriverUnderTest for Place {
    type Rows = View<Names>;

    fn run<T>(&self, rule: impl Fn(&mut View<Names>) -> Result<T, Missing>) -> Result<T> {
        let (shared, taken) = (&self.store.0, self.taken.lock().clone());
        let mut view = shared.empty_view();
        knows(&mut view, taken);
        let ran = shared.run(CALL, Mode::Change, view, |view: &mut View<Names>| {
            let answer = rule(view)?;
            if self.refuses.swap(false, Ordering::SeqCst) {
                self.disturb(view);
            }
            Ok(answer)
        });
        let ran = self.runtime.block_on(ran)?;
        self.let_go(&ran.view);
        self.wait_for_double();
        Ok(ran.answer)
    }

    fn attach(&self, node: Node) -> Result<()> {
        self.runtime.block_on(self.store.attach(node)).map(drop)
    }

    fn take(&self, request: AcquireDue) -> Result<Acquired> {
        let acquired = self.runtime.block_on(self.store.acquire_due(request))?;
        let triggers = acquired.triggers.iter().map(|one| one.claim);
        self.taken.lock().extend(triggers.chain(acquired.runs.iter().map(|one| one.claim)));
        Ok(acquired)
    }

    fn firings(&self) -> Result<Vec<FiringRecord>> {
        self.runtime.block_on(self.store.all_firings(FiringQuery::default()))
    }

    fn inject(&self, fault: Fault) -> bool {
        match fault {
            Fault::Refused => self.refuses.store(true, Ordering::SeqCst),
            Fault::AnswerLost => self.proxy.play(CALL, Trick::LoseReply),
            Fault::Doubled => {
                self.doubles.store(self.proxy.repeated(), Ordering::SeqCst);
                self.proxy.play(CALL, Trick::Duplicate);
            }
            _ => return false,
        }
        true
    }

    /// Until the server has been told what it has forgotten, which is nothing, and hands out again.
    fn crash(&self) -> bool {
        SERVER.with_borrow_mut(Server::restart);
        while !self.hands_out() {
            block_between_looks();
        }
        true
    }
}

scheduler_conformance::driver_conformance!(redis_rows, Place::open);
