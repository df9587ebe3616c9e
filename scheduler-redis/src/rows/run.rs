//! A rule, run until it has what it needs and its commit is not refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::store::view::{Missing, Rest, Version, View};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, Result};

use super::cache::Known;
use super::commit::{Checked, Commit};
use super::hands::Hands;
use super::load::Loader;
use super::names::{Names, Numbers};
use super::server::{Committed, Server};
use crate::inner::Inner;

/// So often a rule is run before its caller hears that others were always faster.
const MOST_TRIES: u32 = 200;

/// What all handles of a store share.
pub(crate) struct Core {
    pub(crate) inner: Arc<Inner>,
    pub(crate) server: Server,
    pub(crate) known: Known,
    pub(crate) hands: Mutex<Hands>,
    numbers: Arc<Numbers>,
    versions: AtomicU64,
    /// Pauses and calendars as they were last seen.
    pub(crate) rest: Mutex<(Rest, Version)>,
}

/// How a transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It only asks: nothing is committed.
    Ask,
    /// A change of a user, which takes effect only as long as its caller waits for it.
    Change,
    /// A node fires or ends runs: the epoch is checked, and others need not hear of what this process takes itself.
    Node,
    /// Something comes about by itself.
    Chore,
}

/// The answer of a rule, with what it has committed.
pub(crate) struct Ran<T> {
    pub(crate) answer: T,
    pub(crate) view: View<Names>,
    pub(crate) version: Version,
}

impl Core {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let first = u64::from_le_bytes(crate::inner::random()[..8].try_into().unwrap_or_default());
        let (known, hands, numbers, rest) = Default::default();
        let (server, versions) = (Server(inner.clone()), AtomicU64::new(first));
        Self { inner, server, known, hands, numbers, versions, rest }
    }

    pub(crate) fn view(&self) -> View<Names> {
        let mut view = View::new(Names::new(self.numbers.clone(), self.inner.clock.now()));
        let (rest, version) = self.rest.lock().clone();
        view.load_rest(rest, version);
        view
    }

    /// Never 0, which stands for no row.
    fn version(&self) -> Version {
        self.versions.fetch_add(1, Ordering::Relaxed).max(1)
    }

    pub(crate) async fn run<T>(
        &self,
        verb: &'static str,
        mode: Mode,
        mut view: View<Names>,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing>,
    ) -> Result<Ran<T>> {
        let order = (mode == Mode::Change).then(|| self.inner.begin_change());
        let mut attempt = 0;
        while attempt < MOST_TRIES {
            if let Ok(answer) = rule(&mut view) {
                let version = self.version();
                if mode == Mode::Ask || self.commit(verb, mode, &mut view, version, order.as_ref()).await? {
                    return Ok(Ran { answer, view, version });
                }
                attempt += 1;
                if attempt > 3 {
                    // Somebody else gets to its end meanwhile; not all at the same time.
                    let micros = u64::from(attempt) * (50 + version % 200);
                    SystemClock.sleep(Duration::from_micros(micros)).await;
                }
            }
            view.reset();
            let wants = view.wants();
            let loader = Loader { server: &self.server, known: &self.known, view: &mut view };
            Box::pin(loader.load(wants)).await?;
        }
        Err(Error::transient(format!(
            "the call `{verb}` came to no end in {MOST_TRIES} tries, since others have always changed what it goes by; repeat it"
        )))
    }

    async fn commit(
        &self,
        verb: &str,
        mode: Mode,
        view: &mut View<Names>,
        version: Version,
        order: Option<&crate::inner::Order<'_>>,
    ) -> Result<bool> {
        let (inner, keeps) = (&self.inner, self.inner.settings.keeps);
        let Some(commit) = Commit::of(view, version, keeps)? else { return Ok(true) };
        let epoch = if mode == Mode::Node { inner.state.lock().epoch.clone() } else { String::new() };
        let quiet = mode == Mode::Node && inner.takes();
        let (body, checked) = commit.words();
        let mut words = vec![
            inner.id().as_bytes().to_vec(),
            order.map(ToString::to_string).unwrap_or_default().into_bytes(),
            epoch.into_bytes(),
            if quiet { b"1".to_vec() } else { Vec::new() },
        ];
        words.extend(body);
        match self.server.commit(verb, &words, &checked).await? {
            Committed::Done { is_woken } => {
                if is_woken {
                    inner.wake();
                }
                self.written(view, version);
                Ok(true)
            }
            Committed::Changed(failed) => {
                self.forget(view, &failed);
                Ok(false)
            }
            Committed::Epoch(epoch) => {
                Box::pin(inner.heard_epoch(&epoch)).await?;
                view.forget();
                Ok(false)
            }
        }
    }

    /// What this process knows of others' rows is theirs to change.
    fn forget(&self, view: &mut View<Names>, failed: &[Checked]) {
        let (mut jobs, mut triggers, mut claims) = (Vec::new(), Vec::new(), Vec::new());
        for checked in failed {
            match checked {
                Checked::Job(id) => {
                    let key = view.names().job_key(*id).clone();
                    self.known.forget_job(&key);
                    jobs.push(*id);
                }
                Checked::Trigger(id) => triggers.push(*id),
                Checked::Claim(id) => claims.push(*id),
                Checked::Other => {}
            }
        }
        view.forget_rows(&jobs, &triggers, &claims);
    }

    fn written(&self, view: &mut View<Names>, version: Version) {
        if let (_, Some(rest)) = view.changed_rest() {
            *self.rest.lock() = (rest.clone(), version);
        }
        let gone: Vec<_> =
            view.claims().changes().filter(|change| change.after.is_none()).map(|change| change.id).collect();
        let mut hands = self.hands.lock();
        for id in gone {
            let execution = view.names().home_of(id).map(|(_, execution)| *execution);
            execution.into_iter().for_each(|execution| hands.let_go(execution));
        }
        drop(hands);
        let changed: Vec<_> =
            view.jobs().changes().map(|change| (change.id, change.after.cloned())).collect();
        for (id, row) in changed {
            let key = view.names().job_key(id).clone();
            match row {
                Some(row) => self.known.keep_job(&key, version, &row),
                None => self.known.forget_job(&key),
            }
        }
    }
}
