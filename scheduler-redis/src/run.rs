//! A rule, run until it has what it needs and its commit is not refused.

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Cmd, Pipeline, Script, Value, cmd};
use scheduler_core::store::view::{Missing, Version, View, Wants};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, Result};

use crate::commit::{Checked, Commit, Entry};
use crate::connection::{Connection, Failure};
use crate::damage;
use crate::load::{Broken, Loader};
use crate::names::Names;
use crate::script::{self, list, word};
use crate::shared::{NothingIsTold, Order, Shared};

/// So often a commit is refused before the caller hears that others were always faster.
const MOST_TRIES: u32 = 200;

/// So many commands are sent at once.
const MANY: usize = 1000;

/// How a transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A change of a user, which takes effect only as long as its caller waits for it. Memory may be needed.
    Change,
    /// As that, and it frees memory.
    Removal,
    /// A node fires: the server must live the life that the node knows, and others need not hear of what this process takes itself.
    Fire,
    /// As that, and it frees memory.
    End,
    /// A node gives claims back, and forgets them.
    GiveBack,
    /// Something comes about by itself.
    Chore,
    /// A server is told what it has forgotten of this session.
    Tell(u64),
}

impl Mode {
    const fn is_of_node(self) -> bool {
        matches!(self, Self::Fire | Self::End)
    }

    /// Whether a commit is sent even if it writes nothing. Its rows may come from a server that was replaced meanwhile, and the node
    /// acts on the answer, so the server compares them.
    const fn compares(self) -> bool {
        matches!(self, Self::Fire | Self::End | Self::GiveBack | Self::Tell(_))
    }

    const fn broken(self) -> Broken {
        match self {
            Self::Change | Self::Removal => Broken::JobIsNone,
            _ => Broken::IsNone,
        }
    }

    fn script(self) -> &'static Script {
        match self {
            Self::Change | Self::Fire => &script::GROW,
            _ => &script::COMMIT,
        }
    }
}

/// The answer of a rule, with what it has committed.
pub(crate) struct Ran<T> {
    pub(crate) answer: T,
    pub(crate) view: View<Names>,
    pub(crate) version: Version,
    /// Whether anything was to be written. If not, nothing was compared either.
    pub(crate) is_written: bool,
    /// Of a node: as long as it is there no server is told what it has forgotten. Whoever notes what was committed does so before it goes.
    pub(crate) _nothing_is_told: Option<NothingIsTold>,
}

/// What became of a commit.
enum Committed {
    Done {
        is_written: bool,
    },
    Changed,
    /// Another node has gone on with the chore.
    Overtaken,
    Epoch(String),
}

impl Shared {
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.settings.prefix)
    }

    /// A command on this key.
    pub(crate) fn command(&self, command: &str, key: &str) -> Cmd {
        let mut command = cmd(command);
        command.arg(self.key(key));
        command
    }

    /// Carries out a command that changes nothing.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value> {
        Ok(self.ask_all(vec![command.clone()]).await?.pop().unwrap_or(Value::Nil))
    }

    /// All at once: an answer for each.
    pub(crate) async fn ask_all(&self, commands: Vec<Cmd>) -> Result<Vec<Value>> {
        if self.is_gone() {
            return Err(self.all_gone());
        }
        let mut answers = Vec::with_capacity(commands.len());
        for part in commands.chunks(MANY) {
            let mut pipeline = Pipeline::with_capacity(part.len());
            for command in part {
                pipeline.add_command(command.clone());
            }
            match self.hot.ask(&pipeline).await {
                Ok(found) => answers.extend(found),
                Err(failure) => return Err(self.of_wrong_kind(part, failure).await),
            }
        }
        Ok(answers)
    }

    /// An error that says which key is of the wrong kind, if one is.
    async fn of_wrong_kind(&self, commands: &[Cmd], failure: Failure) -> Error {
        let error = failure.into_error();
        if !error.to_string().contains("WRONGTYPE") {
            return error;
        }
        let prefix = self.settings.prefix.as_bytes();
        let keys = commands.iter().filter_map(|command| match command.args_iter().nth(1) {
            Some(redis::Arg::Simple(key)) => key.strip_prefix(prefix),
            _ => None,
        });
        let names: Vec<_> = keys.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        for name in &names {
            if let Some(moved) = damage::set_aside(self, name).await {
                return moved;
            }
        }
        // Another call has moved it meanwhile.
        self.was_of_wrong_kind(&names)
    }

    fn was_of_wrong_kind(&self, names: &[String]) -> Error {
        let keys: Vec<_> = names.iter().take(3).map(|name| format!("`{}`", self.key(name))).collect();
        let more = if names.len() > keys.len() { " or another" } else { "" };
        let keys = keys.join(" or ");
        Error::transient(format!("the key {keys}{more} was of the wrong kind for a moment; try again"))
    }

    /// Carries out a script, once.
    pub(crate) async fn evaluate(
        &self,
        connection: &Connection,
        script: &Script,
        call: &str,
        words: &[Vec<u8>],
    ) -> Result<Vec<Value>> {
        if self.is_gone() {
            return Err(self.all_gone());
        }
        let answer = connection.evaluate(call, script, words).await.map_err(Failure::into_error)?;
        self.read_answer(call, answer).await
    }

    /// What a script has said, but for a key of the wrong kind.
    pub(crate) async fn read_answer(&self, call: &str, answer: Value) -> Result<Vec<Value>> {
        let parts = script::parts(call, answer)?;
        if word(parts.first()) != "kind" {
            return Ok(parts);
        }
        let name = word(parts.get(1));
        match damage::set_aside(self, &name).await {
            Some(moved) => Err(moved),
            None => Err(self.was_of_wrong_kind(&[name])),
        }
    }

    pub(crate) fn view(&self) -> View<Names> {
        let mut view = self.empty_view();
        let (rest, version) = self.rest.lock().clone();
        view.load_rest(rest, version);
        view
    }

    /// Knows nothing.
    pub(crate) fn empty_view(&self) -> View<Names> {
        View::new(Names::new(self.numbers.clone(), self.clock.now()))
    }

    pub(crate) async fn load(&self, view: &mut View<Names>, wants: Wants, broken: Broken) -> Result<()> {
        Loader { shared: self, view, broken }.load(wants).await
    }

    /// Runs a rule that changes nothing.
    pub(crate) async fn look<T>(&self, rule: impl Fn(&mut View<Names>) -> Result<T, Missing>) -> Result<T> {
        self.look_at(Broken::IsTold, rule).await
    }

    /// As [`look`](Self::look); what cannot be read may be left out.
    pub(crate) async fn look_at<T>(
        &self,
        broken: Broken,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing>,
    ) -> Result<T> {
        self.look_on(broken, &mut self.empty_view(), rule).await
    }

    /// As [`look`](Self::look), with something that is known already.
    pub(crate) async fn look_in<T>(
        &self,
        mut view: View<Names>,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing>,
    ) -> Result<T> {
        self.look_on(Broken::IsTold, &mut view, rule).await
    }

    /// As [`look_at`](Self::look_at), with something that is known already; what is read is known afterwards.
    pub(crate) async fn look_on<T>(
        &self,
        broken: Broken,
        view: &mut View<Names>,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing>,
    ) -> Result<T> {
        loop {
            if let Ok(answer) = rule(view) {
                return Ok(answer);
            }
            view.reset();
            let wants = view.wants();
            Loader { shared: self, view, broken }.load(wants).await?;
        }
    }

    pub(crate) async fn run<T>(
        &self,
        call: &'static str,
        mode: Mode,
        view: View<Names>,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing>,
    ) -> Result<Ran<T>> {
        let ran = Box::pin(self.run_with(call, mode, view, rule, None)).await?;
        ran.ok_or_else(|| Error::transient(format!("the call `{call}` was overtaken; repeat it")))
    }

    /// A rule that may refuse. What it goes by may be out of date as long as nothing is committed: then it goes by what it has just
    /// read.
    pub(crate) async fn run_or_refuse<T>(
        &self,
        call: &'static str,
        mode: Mode,
        view: View<Names>,
        rule: impl Fn(&mut View<Names>) -> Result<Result<T>, Missing>,
        entry: Option<&Entry>,
    ) -> Result<T> {
        let overtaken = || Error::transient(format!("the call `{call}` was overtaken; repeat it"));
        let ran = Box::pin(self.run_with(call, mode, view, &rule, entry)).await?.ok_or_else(overtaken)?;
        match ran.answer {
            Ok(answer) if ran.is_written => Ok(answer),
            _ => self.run(call, mode, self.empty_view(), rule).await?.answer,
        }
    }

    /// As [`run`](Self::run), with an entry of the list of chores; nothing if that has changed meanwhile.
    pub(crate) async fn run_with<T>(
        &self,
        call: &'static str,
        mode: Mode,
        mut view: View<Names>,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing>,
        entry: Option<&Entry>,
    ) -> Result<Option<Ran<T>>> {
        let mut tries = 0;
        while tries < MOST_TRIES {
            if let Ok(answer) = rule(&mut view) {
                let told = if mode.is_of_node() { Some(self.tells.clone().read_owned().await) } else { None };
                let version = self.version();
                match self.commit(call, mode, &mut view, version, entry).await? {
                    Committed::Done { is_written } => {
                        self.commits[0].fetch_add(u64::from(is_written), Ordering::Relaxed);
                        self.written(&mut view, version);
                        return Ok(Some(Ran { answer, view, version, is_written, _nothing_is_told: told }));
                    }
                    Committed::Changed => {
                        self.commits[1].fetch_add(1, Ordering::Relaxed);
                        tries += 1;
                    }
                    Committed::Overtaken => return Ok(None),
                    Committed::Epoch(epoch) => {
                        drop(told);
                        tries += 1;
                        self.heard_epoch(&epoch).await?;
                        view.forget();
                    }
                }
                if tries > 3 {
                    // Somebody else comes to an end meanwhile; and not all try again at the same time.
                    let micros = u64::from(tries) * (50 + version % 200);
                    SystemClock.sleep(Duration::from_micros(micros)).await;
                }
            }
            view.reset();
            let wants = view.wants();
            self.load(&mut view, wants, mode.broken()).await?;
        }
        Err(Error::transient(format!(
            "the call `{call}` came to no end in {MOST_TRIES} tries, since others have always changed what it goes by; repeat it"
        )))
    }

    async fn commit(
        &self,
        call: &str,
        mode: Mode,
        view: &mut View<Names>,
        version: Version,
        entry: Option<&Entry>,
    ) -> Result<Committed> {
        let Some(commit) = Commit::of(view, version, self.settings.keeps, entry, mode.compares())? else {
            return Ok(Committed::Done { is_written: false });
        };
        let epoch = if mode.is_of_node() { self.state.lock().epoch.clone() } else { String::new() };
        let teller = if let Mode::Tell(session) = mode { session.to_string() } else { String::new() };
        let quiet = if mode.is_of_node() && self.takes() { "1" } else { "" };
        // A call that is decided anew after a refusal gets a new number: with the old one it would be taken for a copy of the first.
        let order = matches!(mode, Mode::Change | Mode::Removal).then(|| self.begin_change());
        let numbers = order.as_ref().map(ToString::to_string).unwrap_or_default();
        let head = [call, self.id(), &numbers, &epoch, &teller, quiet];
        let mut words: Vec<_> = head.iter().map(|word| word.as_bytes().to_vec()).collect();
        let ends = commit.ends;
        let (body, checked) = commit.words();
        words.extend(body);
        let connection =
            if matches!(mode, Mode::Chore | Mode::GiveBack | Mode::Tell(_)) { &self.slow } else { &self.hot };
        let answer = self.evaluate(connection, mode.script(), call, &words).await?;
        order.into_iter().for_each(Order::answered);
        match word(answer.first()).as_str() {
            "done" => {
                if word(answer.get(3)) == "1" {
                    self.wake();
                }
                if ends {
                    self.may_exceed.store(true, Ordering::Release);
                }
                Ok(Committed::Done { is_written: true })
            }
            "changed" => {
                let failed = list(answer.into_iter().nth(2)).into_iter().filter_map(|number| {
                    let number = usize::try_from(script::number(Some(&number))?).ok()?;
                    checked.get(number.checked_sub(1)?)
                });
                let failed: Vec<_> = failed.collect();
                if failed.iter().any(|checked| matches!(checked, Checked::Chore)) {
                    return Ok(Committed::Overtaken);
                }
                self.forget(view, &failed);
                Ok(Committed::Changed)
            }
            "epoch" => Ok(Committed::Epoch(word(answer.get(1)))),
            "late" => Err(Error::transient(format!(
                "the change `{call}` did not take effect, since its caller has given it up; repeat it if it is still wanted"
            ))),
            "told" => {
                Err(Error::transient("the server counts on this node no more; the node registers anew"))
            }
            other => Err(Error::transient(format!(
                "the job store in Redis refused the call `{call}`: {other}; upgrade `scheduler-redis` if other nodes run a newer one"
            ))),
        }
    }

    /// Checks and operations that follow from no rule. Answers which checks failed; then nothing was done.
    pub(crate) async fn commit_plain(&self, call: &str, body: Vec<Vec<u8>>) -> Result<Vec<u64>> {
        let head = [call, self.id(), "", "", "", ""];
        let mut words: Vec<_> = head.iter().map(|word| word.as_bytes().to_vec()).collect();
        words.extend(body);
        // Not on the connection of the heartbeat, whose calls have only as long as a heartbeat.
        let answer = self.evaluate(&self.hot, &script::COMMIT, call, &words).await?;
        match word(answer.first()).as_str() {
            "done" => Ok(Vec::new()),
            "changed" => {
                let failed = list(answer.into_iter().nth(2));
                Ok(failed.iter().filter_map(|number| script::number(Some(number))).collect())
            }
            other => Err(Error::transient(format!(
                "the job store in Redis refused the call `{call}`: {other}; upgrade `scheduler-redis` if other nodes run a newer one"
            ))),
        }
    }

    /// What was found to be out of date.
    fn forget(&self, view: &mut View<Names>, failed: &[&Checked]) {
        let (mut jobs, mut triggers, mut runs, mut claims) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for checked in failed {
            match checked {
                Checked::Job(id) => {
                    self.known.forget_job(view.names().key_of_job(*id));
                    jobs.push(*id);
                }
                Checked::Trigger(id) => triggers.push(*id),
                Checked::Run(id) => runs.push(*id),
                Checked::Claim(id) => claims.push(*id),
                Checked::Chore | Checked::Other => {}
            }
        }
        view.forget_rows(&jobs, &triggers, &runs, &claims);
    }

    /// What this process knows from now on.
    fn written(&self, view: &mut View<Names>, version: Version) {
        if let (_, Some(rest)) = view.changed_rest() {
            *self.rest.lock() = (rest.clone(), version);
        }
        let unfired = view.claims().changes().filter(|change| change.after.is_none());
        let unfired = unfired.filter(|change| change.before.is_none_or(|claim| !claim.fired));
        let unfired: Vec<_> = unfired.map(|change| change.id).collect();
        for id in unfired {
            let Some((_, execution)) = view.names().home_of(id) else { continue };
            let mut sessions = self.sessions.lock();
            if let Some(known) = sessions.get_mut(&execution.session())
                && known.held(*execution).is_some_and(|held| !held.claim.fired)
            {
                known.let_go(*execution);
            }
        }
        let jobs: Vec<_> = view.jobs().changes().map(|change| (change.id, change.after.cloned())).collect();
        for (id, row) in jobs {
            let key = view.names().key_of_job(id);
            match row {
                Some(row) => self.known.keep_job(key, version, &row),
                None => self.known.forget_job(key),
            }
        }
    }
}

/// A rule for each of a batch.
pub(crate) fn each<A: Clone, T>(
    view: &mut View<Names>,
    all: &[A],
    mut rule: impl FnMut(&mut View<Names>, A) -> Result<T, Missing>,
) -> Result<Vec<T>, Missing> {
    scheduler_core::store::rules::each(view, all, |view, one| rule(view, one.clone()))
}
