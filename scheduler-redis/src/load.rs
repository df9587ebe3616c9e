//! What a transaction misses, read from the server.
//!
//! Rows are read as they are at their moments, which need not be one: a transaction that goes by rows of two moments is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::{Cmd, Value};
use scheduler_core::run::RunId;
use scheduler_core::store::rows::{ClaimRow, Id, JobRow, RunRow, RunTag, TriggerRow};
use scheduler_core::store::view::record;
use scheduler_core::store::view::{Members, Names as _, Rest, Set, Version, View, Wants};
use scheduler_core::store::{GroupKind, Mark, Selection};
use scheduler_core::{DEFAULT_GROUP, Error, Result};

use crate::codec;
use crate::names::Names;
use crate::rest;
use crate::script::{bytes, list, number, word, words};
use crate::shared::Shared;

/// No command asks for more at once.
pub(crate) const MANY: usize = 1000;

/// So many names are read at once.
pub(crate) const PAGE: usize = 1000;

/// A record without its version.
pub(crate) fn parts(record: &[u8]) -> Option<(Version, &[u8])> {
    let (version, rest) = record.split_first_chunk::<8>()?;
    Some((Version::from_be_bytes(*version), rest))
}

/// Reads what is missing into a view.
pub(crate) struct Loader<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) view: &'a mut View<Names>,
    pub(crate) broken: Broken,
}

/// What becomes of the record of a job or trigger that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The call fails with the reason.
    IsTold,
    /// A job counts as absent, so that it can be stored anew. For a trigger the call fails.
    JobIsNone,
    /// The fault is logged, and the record counts as absent.
    IsNone,
}

impl Loader<'_> {
    pub(crate) async fn load(mut self, wants: Wants) -> Result<()> {
        let Wants { jobs, triggers, runs, claims, sets, rest, marks, members, groups, users, .. } = wants;
        self.lengths(wants.lengths).await?;
        self.counts(wants.counts).await?;
        self.sets(sets).await?;
        self.jobs(jobs.into_iter().collect()).await?;
        self.triggers(triggers.into_iter().collect(), self.broken == Broken::IsNone).await?;
        self.runs(runs.into_iter().collect(), self.broken == Broken::IsNone).await?;
        self.claims(claims.into_iter().collect()).await?;
        if rest {
            let (rest, version) = self.rest().await?;
            self.view.load_rest(rest, version);
        }
        for name in marks {
            let found = self.one(self.get("HGET", "marks").arg(&*name)).await?;
            let (mark, version) = match bytes(&found).and_then(parts) {
                Some((version, mark)) => (read_mark(mark), version),
                None => (None, 0),
            };
            self.view.load_mark(name, mark, version);
        }
        let count = |job: &Id<JobRow>| {
            let begin = format!("{}\0\0", codec::key(self.view.names().key_of_job(*job)));
            self.shared.command("ZLEXCOUNT", "of").arg(format!("[{begin}")).arg(after(&begin)).to_owned()
        };
        let counts = members.iter().map(count).collect();
        let counts = self.shared.ask_all(counts).await?;
        for (job, count) in members.into_iter().zip(counts) {
            let count = self::count(&count);
            self.shared.known.keep_members(self.view.names().key_of_job(job), count);
            self.view.load_members(job, count);
        }
        for kind in groups {
            let groups = self.groups(kind).await?;
            self.view.load_groups(kind, groups);
        }
        for calendar in users {
            let begin = format!("{calendar}\0\0");
            let command =
                self.get("ZRANGEBYLEX", "by").arg(format!("[{begin}")).arg(after(&begin)).to_owned();
            let found = words(Some(self.one(command.clone().arg("LIMIT").arg(0).arg(1)).await?));
            let user = found.first().and_then(|member| member.strip_prefix(&begin)).map(codec::trigger_key);
            self.view.load_user(calendar, user.transpose()?);
        }
        Ok(())
    }

    pub(crate) fn get(&self, command: &str, key: &str) -> Cmd {
        self.shared.command(command, key)
    }

    pub(crate) async fn one(&self, command: &Cmd) -> Result<Value> {
        self.shared.ask(command).await
    }

    pub(crate) async fn records(&self, hash: &str, fields: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut records = Vec::with_capacity(fields.len());
        for part in fields.chunks(MANY) {
            let found = self.one(self.get("HMGET", hash).arg(part)).await?;
            records.extend(list(Some(found)).iter().map(|record| bytes(record).map(<[u8]>::to_vec)));
        }
        Ok(records)
    }

    async fn jobs(&mut self, ids: Vec<Id<JobRow>>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = ids.iter().map(|id| codec::key(self.view.names().key_of_job(*id))).collect();
        let records = self.records("jobs", &keys).await?;
        for ((id, key), found) in ids.into_iter().zip(keys).zip(records) {
            let Some((version, record)) = found.as_deref().and_then(parts) else {
                self.view.load_job(id, None, 0);
                continue;
            };
            match record::read_job(record) {
                Ok(row) => {
                    self.shared.known.keep_job(row.detail.key(), version, &row);
                    self.view.load_job(id, Some(row), version);
                }
                Err(reason) => {
                    let error = broken("job", &key, record, &reason);
                    if self.broken == Broken::IsTold {
                        return Err(error);
                    }
                    // As if it were not there.
                    tracing::error!(job = codec::shown(&key), %error, "a job is left out: {error}");
                    self.view.load_job(id, None, version);
                }
            }
        }
        Ok(())
    }

    /// Of those that many ask for, one that cannot be read is left out and told; whoever asks for it by its name hears why.
    pub(crate) async fn triggers(&mut self, ids: Vec<Id<TriggerRow>>, of_many: bool) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = ids.iter().map(|id| codec::key(self.view.names().trigger_key(*id))).collect();
        let records = self.records("triggers", &keys).await?;
        for ((id, key), found) in ids.into_iter().zip(keys).zip(records) {
            let Some((version, record)) = found.as_deref().and_then(parts) else {
                self.view.load_trigger(id, None, 0);
                continue;
            };
            match record::read_trigger(record, self.view.names(), &mut &self.shared.known) {
                Ok(row) => self.view.load_trigger(id, Some(row), version),
                Err(reason) => {
                    let error = broken("trigger", &key, record, &reason);
                    if !of_many {
                        return Err(error);
                    }
                    tracing::error!(trigger = codec::shown(&key), %error, "a trigger is left out: {error}");
                    self.view.load_trigger(id, None, version);
                }
            }
        }
        Ok(())
    }

    /// As [`triggers`](Self::triggers).
    pub(crate) async fn runs(&mut self, ids: Vec<Id<RunRow>>, of_many: bool) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = ids.iter().map(|id| codec::run(self.view.names().run_id(*id))).collect();
        let records = self.records("runs", &names).await?;
        for ((id, name), found) in ids.into_iter().zip(names).zip(records) {
            let Some((version, record)) = found.as_deref().and_then(parts) else {
                self.view.load_run(id, None, 0);
                continue;
            };
            match record::read_run(record, self.view.names()) {
                Ok(row) => self.view.load_run(id, Some(row), version),
                Err(reason) => {
                    let error = broken("run", &name, record, &reason);
                    if !of_many {
                        return Err(error);
                    }
                    tracing::error!(run = codec::shown(&name), %error, "a run is left out: {error}");
                    self.view.load_run(id, None, version);
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn rest(&self) -> Result<(Rest, Version)> {
        let found = self.one(&self.get("GET", "rest")).await?;
        match bytes(&found).and_then(parts) {
            Some((version, record)) => Ok((rest::read(record)?, version)),
            None => Ok((Rest::default(), 0)),
        }
    }

    /// All members of a sorted set that begin with this.
    fn beginning(&self, zset: &str, begin: &str) -> Cmd {
        self.get("ZRANGEBYLEX", zset).arg(format!("[{begin}")).arg(after(begin)).to_owned()
    }

    fn tagged(&self, tag: &RunTag, most: usize) -> Cmd {
        let mut command = self.beginning("tags", &codec::tag(tag));
        if most < usize::MAX {
            command.arg("LIMIT").arg(0).arg(most);
        }
        command
    }

    /// The triggers of jobs and the claims of triggers, of which there may be many, are asked for all at once.
    async fn sets(&mut self, sets: Vec<Set>) -> Result<()> {
        let (mut commands, mut simple, mut of_runs) = (Vec::new(), Vec::new(), Vec::new());
        for set in sets {
            match &set {
                Set::Triggers(Selection::Job(job)) => {
                    commands.push(self.beginning("of", &format!("{}\0\0", codec::key(job))));
                }
                Set::Unfired(trigger) => {
                    let key = codec::key(self.view.names().trigger_key(*trigger));
                    commands.push(self.get("HGET", "at").arg(key).to_owned());
                }
                Set::OfRun(run) => {
                    of_runs.push(*run);
                    continue;
                }
                Set::Tagged(tag, most) => commands.push(self.tagged(tag, *most)),
                Set::Holder(job) => commands.push(self.get("HGET", "busy").arg(codec::key(job)).to_owned()),
                _ => {
                    let found = self.members(&set).await?;
                    self.view.load_set(set, found);
                    continue;
                }
            }
            simple.push(set);
        }
        let answers = self.shared.ask_all(commands).await?;
        let (mut triggers, mut runs, mut claims) = (Vec::new(), Vec::new(), Vec::new());
        for (set, answer) in simple.into_iter().zip(answers) {
            let mut members = Members::default();
            match &set {
                Set::Triggers(Selection::Job(job)) => {
                    let begin = format!("{}\0\0", codec::key(job));
                    let keys = words(Some(answer)).into_iter();
                    let keys = keys.filter_map(|member| Some(member.strip_prefix(&begin)?.to_owned()));
                    members.triggers = self.numbered(&keys.collect::<Vec<_>>());
                    triggers.extend(&members.triggers);
                }
                Set::Tagged(tag, _) => {
                    let begin = codec::tag(tag);
                    let entries = words(Some(answer)).into_iter();
                    let found = entries.filter_map(|entry| codec::read_run(entry.strip_prefix(&begin)?));
                    let names = self.view.names();
                    members.runs = found.map(|run| names.run(run)).collect();
                    runs.extend(&members.runs);
                }
                Set::Unfired(_) | Set::Holder(_) => {
                    let found = word(Some(&answer));
                    if let Ok(execution) = codec::read_claim(&found) {
                        let home = format!("cl:{}", execution.session()).into();
                        members.claims.push(self.view.names().claim(execution, &home));
                        claims.extend(&members.claims);
                    }
                    match &set {
                        Set::Unfired(trigger) => self.view.names().note_at(*trigger, found),
                        Set::Holder(job) => self.view.names().note_holder(job, found),
                        _ => {}
                    }
                }
                _ => {}
            }
            self.view.load_set(set, members);
        }
        self.triggers(triggers, true).await?;
        self.runs(runs, true).await?;
        self.claims_of_runs(of_runs, &mut claims).await?;
        self.claims(claims.clone()).await?;
        self.orphaned(claims).await
    }

    /// Looks for missing claims among those of ended sessions.
    async fn orphaned(&mut self, claims: Vec<Id<ClaimRow>>) -> Result<()> {
        let is_missing = |id: &Id<ClaimRow>| self.view.claims().row(*id).is_none();
        let missing: Vec<_> = claims.into_iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let orphans = words(Some(self.one(&self.get("SMEMBERS", "orphans")).await?));
        for id in missing {
            let Some((_, execution)) = self.view.names().home_of(id).cloned() else { continue };
            let of_session = format!("{}@", execution.session());
            for orphan in orphans.iter().filter(|orphan| orphan.starts_with(&of_session)) {
                let home: Arc<str> = format!("orphan:{orphan}").into();
                let found = self.shared.claim_records(&home, &[execution]).await?.pop().flatten();
                if found.is_some() {
                    self.view.names().claim(execution, &home);
                    self.claims_from(vec![(id, execution, found)]).await?;
                }
            }
        }
        Ok(())
    }

    async fn members(&mut self, set: &Set) -> Result<Members> {
        let mut members = Members::default();
        match set {
            Set::Triggers(what) => {
                let keys = self.selected(what).await?;
                members.triggers = self.numbered(&keys);
                self.triggers(members.triggers.clone(), true).await?;
            }
            Set::Jobs => {
                for key in self.names_of("nj", None).await? {
                    let Ok(key) = codec::job_key(&key) else { continue };
                    members.jobs.push(self.view.names().job(&key));
                }
                self.jobs(members.jobs.clone()).await?;
            }
            Set::Runs(_) => {
                let mut cursor = 0;
                loop {
                    let (ids, next) = self.scan_runs(cursor, MANY).await?;
                    let names = self.view.names();
                    members.runs.extend(ids.iter().map(|id| names.run(*id)));
                    match next {
                        Some(next) => cursor = next,
                        None => break,
                    }
                }
                members.runs.sort_unstable();
                members.runs.dedup();
                self.runs(members.runs.clone(), true).await?;
            }
            Set::Claims => {
                for home in self.homes().await? {
                    members.claims.extend(self.claims_in(&home).await?);
                }
            }
            Set::ClaimsOf(session) => members.claims = self.claims_in(&format!("cl:{session}")).await?,
            Set::Alarms(now) => return self.alarms(*now).await,
            Set::Excess => {
                members.runs = self.excess().await?;
                self.runs(members.runs.clone(), true).await?;
            }
            _ => {
                return Err(Error::config(format!(
                    "this store does not know the set {set:?}; upgrade `scheduler-redis`"
                )));
            }
        }
        Ok(members)
    }

    /// Some runs, in no order, and where to go on; none at the end.
    pub(crate) async fn scan_runs(&self, cursor: u64, count: usize) -> Result<(Vec<RunId>, Option<u64>)> {
        let mut command = self.get("HSCAN", "runs");
        let page = list(Some(self.one(command.arg(cursor).arg("COUNT").arg(count)).await?));
        let pairs = list(page.get(1).cloned());
        // An audit takes care of an entry that is no name.
        let ids = pairs.chunks_exact(2).filter_map(|pair| codec::read_run(&word(Some(&pair[0]))));
        let next = word(page.first()).parse().ok();
        Ok((ids.collect(), next.filter(|next| *next != 0)))
    }

    pub(crate) fn numbered(&mut self, keys: &[String]) -> Vec<Id<TriggerRow>> {
        let names = self.view.names();
        // An audit takes care of an entry that is no key.
        let keys = keys.iter().filter(|key| codec::read_run(key).is_none());
        let keys = keys.filter_map(|key| codec::trigger_key(key).ok());
        keys.map(|key| names.trigger(&key)).collect()
    }

    async fn selected(&self, what: &Selection) -> Result<Vec<String>> {
        match what {
            Selection::Trigger(key) => Ok(vec![codec::key(key)]),
            Selection::Job(job) => self.triggers_of(&codec::key(job)).await,
            Selection::TriggerGroup(groups) => {
                let all = self.names_of("nt", codec::only_group(groups)).await?;
                Ok(all.into_iter().filter(|key| groups.matches(group_of(key))).collect())
            }
            Selection::JobGroup(groups) => {
                let mut keys = Vec::new();
                for job in self.names_of("nj", codec::only_group(groups)).await? {
                    if groups.matches(group_of(&job)) {
                        keys.extend(self.triggers_of(&job).await?);
                    }
                }
                Ok(keys)
            }
            Selection::All => self.names_of("nt", None).await,
            _ => Err(Error::config("this store does not know such a selection; upgrade it")),
        }
    }

    async fn triggers_of(&self, job: &str) -> Result<Vec<String>> {
        let begin = format!("{job}\0\0");
        let found = self.one(&self.beginning("of", &begin)).await?;
        Ok(words(Some(found))
            .into_iter()
            .filter_map(|member| Some(member.strip_prefix(&begin)?.to_owned()))
            .collect())
    }

    /// All names, or those of one group, in their order.
    async fn names_of(&self, zset: &str, group: Option<&str>) -> Result<Vec<String>> {
        let mut names = Vec::<String>::new();
        loop {
            let part = self.page(zset, group, names.last().map(String::as_str), PAGE).await?;
            let is_last = part.len() < PAGE;
            names.extend(part);
            if is_last {
                return Ok(names);
            }
        }
    }

    /// The names after this one, at most so many.
    pub(crate) async fn page(
        &self,
        zset: &str,
        group: Option<&str>,
        since: Option<&str>,
        count: usize,
    ) -> Result<Vec<String>> {
        let begin = group.map(|group| format!("{group}\0"));
        let first = match (since, &begin) {
            (Some(since), Some(begin)) if since < begin.as_str() => format!("[{begin}"),
            (Some(since), _) => format!("({since}"),
            (None, Some(begin)) => format!("[{begin}"),
            (None, None) => "-".to_owned(),
        };
        let last = begin.map_or_else(|| b"+".to_vec(), |begin| after(&begin));
        let mut command = self.get("ZRANGEBYLEX", zset);
        command.arg(first).arg(last).arg("LIMIT").arg(0).arg(count);
        Ok(words(Some(self.one(&command).await?)))
    }

    /// Leaps from group to group.
    async fn groups(&self, kind: GroupKind) -> Result<BTreeMap<Arc<str>, usize>> {
        let zset = if kind == GroupKind::Jobs { "nj" } else { "nt" };
        let (mut groups, mut first) = (BTreeMap::new(), b"-".to_vec());
        loop {
            let mut command = self.get("ZRANGEBYLEX", zset);
            command.arg(first).arg("+").arg("LIMIT").arg(0).arg(1);
            let Some(key) = words(Some(self.one(&command).await?)).pop() else { return Ok(groups) };
            let begin = format!("{}\0", key.split('\0').next().unwrap_or_default());
            let members =
                self.one(self.get("ZLEXCOUNT", zset).arg(format!("[{begin}")).arg(after(&begin))).await?;
            groups.insert(group_of(&key).into(), count(&members));
            first = after(&begin);
        }
    }
}

/// Behind all that begins with this.
pub(crate) fn after(begin: &str) -> Vec<u8> {
    let mut last = format!("({begin}").into_bytes();
    last.push(0xFF);
    last
}

fn group_of(key: &str) -> &str {
    codec::group_name(key.split('\0').next().unwrap_or(DEFAULT_GROUP))
}

fn count(value: &Value) -> usize {
    number(Some(value)).and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

fn read_mark(record: &[u8]) -> Option<Mark> {
    let (revision, text) = record.split_first_chunk::<8>()?;
    Some(Mark { revision: u64::from_be_bytes(*revision), text: String::from_utf8_lossy(text).into() })
}

/// The error about a record that cannot be read.
pub(crate) fn broken(what: &str, key: &str, record: &[u8], reason: &str) -> Error {
    codec::broken(what, key, &format!("{} ({reason})", String::from_utf8_lossy(record)))
}
