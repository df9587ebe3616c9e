//! What a transaction misses, read from the server.
//!
//! Rows are read as they are at their moments, which need not be one: a transaction that goes by rows of two moments is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use redis::{Cmd, Value};
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::{ClaimRow, Id, JobRow, TriggerRow};
use scheduler_core::store::view::record::{self, Kind};
use scheduler_core::store::view::{Members, Rest, Set, Version, View, Wants};
use scheduler_core::store::{GroupKind, Mark, Selection, rules};
use scheduler_core::{DEFAULT_GROUP, Error, Result};

use super::cache::Known;
use super::names::Names;
use super::rest;
use super::server::Server;
use crate::codec;

/// No command asks for more at once.
const MANY: usize = 1000;

/// So many names are read at once.
pub(crate) const PAGE: usize = 1000;

/// A record without its version.
pub(crate) fn parts(record: &[u8]) -> Option<(Version, &[u8])> {
    let (version, rest) = record.split_first_chunk::<8>()?;
    Some((Version::from_be_bytes(*version), rest))
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) | Value::Set(values) => values,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(key, value)| [key, value]).collect(),
        _ => Vec::new(),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn texts(value: Value) -> Vec<String> {
    list(value).into_iter().filter_map(bytes).map(text).collect()
}

/// Reads what is missing into a view.
pub(crate) struct Loader<'a> {
    pub(crate) server: &'a Server,
    pub(crate) known: &'a Known,
    pub(crate) view: &'a mut View<Names>,
}

impl Loader<'_> {
    pub(crate) async fn load(mut self, wants: Wants) -> Result<()> {
        let Wants { jobs, triggers, claims, sets, rest, marks, members, groups, users, .. } = wants;
        self.sets(sets).await?;
        self.jobs(jobs.into_iter().collect()).await?;
        self.triggers(triggers.into_iter().collect(), false).await?;
        self.claims(claims.into_iter().collect()).await?;
        if rest {
            let (rest, version) = self.rest().await?;
            self.view.load_rest(rest, version);
        }
        for name in marks {
            let found = self.one(self.get("HGET", "marks").arg(&*name)).await?;
            let (mark, version) = match bytes(found).as_deref().and_then(parts) {
                Some((version, mark)) => (read_mark(mark), version),
                None => (None, 0),
            };
            self.view.load_mark(name, mark, version);
        }
        let count = |job: &Id<JobRow>| {
            let begin = format!("{}\0\0", codec::key(self.view.names().job_key(*job)));
            self.server.get("ZLEXCOUNT", "of").arg(format!("[{begin}")).arg(after(&begin)).to_owned()
        };
        let counts = members.iter().map(count).collect();
        let counts = self.server.ask_all(counts).await?;
        for (job, count) in members.into_iter().zip(counts) {
            self.view.load_members(job, number(&count));
        }
        for kind in groups {
            let groups = self.groups(kind).await?;
            self.view.load_groups(kind, groups);
        }
        for calendar in users {
            let begin = format!("{calendar}\0\0");
            let command =
                self.get("ZRANGEBYLEX", "by").arg(format!("[{begin}")).arg(after(&begin)).to_owned();
            let found = texts(self.one(command.clone().arg("LIMIT").arg(0).arg(1)).await?);
            let user = found.first().and_then(|member| member.strip_prefix(&begin)).map(codec::trigger_key);
            self.view.load_user(calendar, user.transpose()?);
        }
        Ok(())
    }

    fn get(&self, command: &str, key: &str) -> Cmd {
        self.server.get(command, key)
    }

    async fn one(&self, command: &Cmd) -> Result<Value> {
        self.server.ask(command).await
    }

    async fn records(&self, hash: &str, fields: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut records = Vec::with_capacity(fields.len());
        for part in fields.chunks(MANY) {
            let found = self.one(self.get("HMGET", hash).arg(part)).await?;
            records.extend(list(found).into_iter().map(bytes));
        }
        Ok(records)
    }

    async fn jobs(&mut self, ids: Vec<Id<JobRow>>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = ids.iter().map(|id| codec::key(self.view.names().job_key(*id))).collect();
        let records = self.records("jobs", &keys).await?;
        for ((id, key), found) in ids.into_iter().zip(keys).zip(records) {
            let Some((version, record)) = found.as_deref().and_then(parts) else {
                self.view.load_job(id, None, 0);
                continue;
            };
            let row = record::read_job(record).map_err(|reason| broken("job", &key, record, &reason))?;
            self.known.keep_job(row.detail.key(), version, &row);
            self.view.load_job(id, Some(row), version);
        }
        Ok(())
    }

    /// Of those that many ask for, one that cannot be read is left out and told; whoever asks for it by its name hears why.
    async fn triggers(&mut self, ids: Vec<Id<TriggerRow>>, of_many: bool) -> Result<()> {
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
            match record::read_trigger(record, self.view.names(), &mut &*self.known) {
                Ok(row) => self.view.load_trigger(id, Some(row), version),
                Err(reason) => {
                    let error = broken("trigger", &key, record, &reason);
                    if !of_many {
                        return Err(error);
                    }
                    tracing::error!(trigger = codec::shown(&key), %error, "a trigger is left out: {error}");
                    self.view.load_trigger(id, None, 0);
                }
            }
        }
        Ok(())
    }

    async fn claims(&mut self, ids: Vec<Id<ClaimRow>>) -> Result<()> {
        let mut by_home = BTreeMap::<Arc<str>, Vec<(Id<ClaimRow>, ExecutionId)>>::new();
        for id in ids {
            match self.view.names().home_of(id).cloned() {
                Some((home, execution)) => by_home.entry(home).or_default().push((id, execution)),
                // Nobody has said where it could be.
                None => self.view.load_claim(id, None, 0),
            }
        }
        for (home, of_home) in by_home {
            let ids: Vec<_> = of_home.iter().map(|(_, execution)| codec::claim(*execution)).collect();
            let records = self.records(&home, &ids).await?;
            for ((id, execution), found) in of_home.into_iter().zip(records) {
                self.claim(id, execution, found.as_deref());
            }
        }
        Ok(())
    }

    fn claim(&mut self, id: Id<ClaimRow>, execution: ExecutionId, found: Option<&[u8]>) {
        let Some((version, record)) = found.and_then(parts) else {
            return self.view.load_claim(id, None, 0);
        };
        match read_claim(record, execution, self.view.names(), self.known) {
            Ok(row) => self.view.load_claim(id, Some(row), version),
            Err(reason) => {
                let error = broken("run", &codec::claim(execution), record, &reason);
                tracing::error!(%execution, %error, "a run is left out: {error}");
                self.view.load_claim(id, None, 0);
            }
        }
    }

    pub(crate) async fn rest(&self) -> Result<(Rest, Version)> {
        let found = bytes(self.one(&self.get("GET", "rest")).await?);
        match found.as_deref().and_then(parts) {
            Some((version, record)) => Ok((rest::read(record)?, version)),
            None => Ok((Rest::default(), 0)),
        }
    }

    /// The triggers of jobs and the claims of triggers, of which there may be many, are asked for all at once.
    async fn sets(&mut self, sets: Vec<Set>) -> Result<()> {
        let (mut commands, mut simple) = (Vec::new(), Vec::new());
        for set in sets {
            match &set {
                Set::Triggers(Selection::Job(job)) => {
                    let begin = format!("{}\0\0", codec::key(job));
                    commands.push(
                        self.get("ZRANGEBYLEX", "of").arg(format!("[{begin}")).arg(after(&begin)).to_owned(),
                    );
                }
                Set::Unfired(trigger) => {
                    let key = codec::key(self.view.names().trigger_key(*trigger));
                    commands.push(self.get("HGET", "at").arg(key).to_owned());
                }
                _ => {
                    let found = self.members(&set).await?;
                    self.view.load_set(set, found);
                    continue;
                }
            }
            simple.push(set);
        }
        let answers = self.server.ask_all(commands).await?;
        let (mut triggers, mut claims) = (Vec::new(), Vec::new());
        for (set, answer) in simple.into_iter().zip(answers) {
            let mut members = Members::default();
            match &set {
                Set::Triggers(Selection::Job(job)) => {
                    let begin = format!("{}\0\0", codec::key(job));
                    let keys = texts(answer).into_iter();
                    let keys = keys.filter_map(|member| Some(member.strip_prefix(&begin)?.to_owned()));
                    members.triggers = self.numbered(keys.collect())?;
                    triggers.extend(&members.triggers);
                }
                _ => {
                    let claim = bytes(answer).map(text);
                    if let Some(execution) = claim.and_then(|claim| codec::read_claim(&claim).ok()) {
                        let home = format!("cl:{}", execution.session()).into();
                        members.claims.push(self.view.names().claim(execution, &home));
                        claims.extend(&members.claims);
                    }
                }
            }
            self.view.load_set(set, members);
        }
        self.triggers(triggers, true).await?;
        self.claims(claims).await
    }

    async fn members(&mut self, set: &Set) -> Result<Members> {
        let mut members = Members::default();
        match set {
            Set::Triggers(what) => {
                let keys = self.selected(what).await?;
                members.triggers = self.numbered(keys)?;
                self.triggers(members.triggers.clone(), true).await?;
            }
            Set::Jobs => {
                for key in self.names_of("nj", None).await? {
                    let key = codec::job_key(&key)?;
                    members.jobs.push(scheduler_core::store::view::Names::job(self.view.names(), &key));
                }
                self.jobs(members.jobs.clone()).await?;
            }
            Set::Claims => {
                let mut homes: Vec<_> = texts(self.one(&self.get("SMEMBERS", "homes")).await?)
                    .into_iter()
                    .map(|session| format!("cl:{session}"))
                    .collect();
                let graves = texts(self.one(&self.get("SMEMBERS", "graves")).await?);
                homes.extend(graves.into_iter().map(|name| format!("grave:{name}")));
                for home in homes {
                    members.claims.extend(self.claims_in(&home).await?);
                }
            }
            Set::ClaimsOf(session) => members.claims = self.claims_in(&format!("cl:{session}")).await?,
            Set::Alarms(now) => {
                let command =
                    self.get("ZRANGEBYSCORE", "alarms").arg("-inf").arg(now.timestamp_millis()).to_owned();
                let keys = texts(self.one(command.clone().arg("LIMIT").arg(0).arg(100)).await?);
                members.triggers = self.numbered(keys)?;
                self.triggers(members.triggers.clone(), true).await?;
                self.tidy_alarms(*now, &members.triggers).await?;
            }
            _ => {
                return Err(Error::config(format!(
                    "this store does not know the set {set:?}; upgrade `scheduler-redis`"
                )));
            }
        }
        Ok(members)
    }

    /// Takes out what stands among the alarms and has none: somebody has changed it by hand.
    async fn tidy_alarms(&mut self, now: DateTime<Utc>, triggers: &[Id<TriggerRow>]) -> Result<()> {
        let rings = |row: &TriggerRow| row.alarm().is_some_and(|at| at <= now);
        let silent = triggers.iter().filter(|id| !self.view.triggers().row(**id).is_some_and(rings)).copied();
        let silent: Vec<_> = silent.collect();
        for id in silent {
            let key = codec::key(self.view.names().trigger_key(id));
            self.one(self.get("ZREM", "alarms").arg(key)).await?;
        }
        Ok(())
    }

    fn numbered(&mut self, keys: Vec<String>) -> Result<Vec<Id<TriggerRow>>> {
        let names = self.view.names();
        let number = |key: String| {
            codec::trigger_key(&key).map(|key| scheduler_core::store::view::Names::trigger(names, &key))
        };
        keys.into_iter().map(number).collect()
    }

    async fn claims_in(&mut self, home: &str) -> Result<Vec<Id<ClaimRow>>> {
        let found = list(self.one(&self.get("HGETALL", home)).await?);
        let (home, mut ids) = (Arc::from(home), Vec::new());
        let mut pairs = found.into_iter();
        while let (Some(id), Some(record)) = (pairs.next(), pairs.next()) {
            let Some(execution) = bytes(id).map(text).and_then(|id| codec::read_claim(&id).ok()) else {
                continue;
            };
            let id = self.view.names().claim(execution, &home);
            self.claim(id, execution, bytes(record).as_deref());
            ids.push(id);
        }
        Ok(ids)
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
        let found =
            self.one(self.get("ZRANGEBYLEX", "of").arg(format!("[{begin}")).arg(after(&begin))).await?;
        Ok(texts(found)
            .into_iter()
            .filter_map(|member| Some(member.strip_prefix(&begin)?.to_owned()))
            .collect())
    }

    /// All names, or those of one group, in their order.
    async fn names_of(&self, zset: &str, group: Option<&str>) -> Result<Vec<String>> {
        let mut names = Vec::<String>::new();
        loop {
            let part = self.page(zset, group, names.last().map(String::as_str)).await?;
            let is_last = part.len() < PAGE;
            names.extend(part);
            if is_last {
                return Ok(names);
            }
        }
    }

    /// The names after this one.
    pub(crate) async fn page(
        &self,
        zset: &str,
        group: Option<&str>,
        since: Option<&str>,
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
        command.arg(first).arg(last).arg("LIMIT").arg(0).arg(PAGE);
        Ok(texts(self.one(&command).await?))
    }

    /// Leaps from group to group.
    async fn groups(&self, kind: GroupKind) -> Result<BTreeMap<Arc<str>, usize>> {
        let zset = if kind == GroupKind::Jobs { "nj" } else { "nt" };
        let (mut groups, mut first) = (BTreeMap::new(), b"-".to_vec());
        loop {
            let mut command = self.get("ZRANGEBYLEX", zset);
            command.arg(first).arg("+").arg("LIMIT").arg(0).arg(1);
            let Some(key) = texts(self.one(&command).await?).pop() else { return Ok(groups) };
            let begin = format!("{}\0", key.split('\0').next().unwrap_or_default());
            let members =
                self.one(self.get("ZLEXCOUNT", zset).arg(format!("[{begin}")).arg(after(&begin))).await?;
            groups.insert(group_of(&key).into(), number(&members));
            first = after(&begin);
        }
    }
}

/// Behind all that begins with this.
fn after(begin: &str) -> Vec<u8> {
    let mut last = format!("({begin}").into_bytes();
    last.push(0xFF);
    last
}

fn group_of(key: &str) -> &str {
    codec::group_name(key.split('\0').next().unwrap_or(DEFAULT_GROUP))
}

fn number(value: &Value) -> usize {
    match value {
        Value::Int(number) => usize::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}

fn read_mark(record: &[u8]) -> Option<Mark> {
    let (revision, text) = record.split_first_chunk::<8>()?;
    Some(Mark { revision: u64::from_be_bytes(*revision), text: String::from_utf8_lossy(text).into() })
}

/// A claim from its record, which is that of its trigger as long as it is not fired.
pub(crate) fn read_claim(
    record: &[u8],
    execution: ExecutionId,
    names: &mut Names,
    known: &Known,
) -> Result<ClaimRow, String> {
    if record::kind_of(record) == Some(Kind::Claim) {
        return record::read_claim(record, names);
    }
    let row = record::read_trigger(record, names, &mut &*known)?;
    let item = scheduler_core::store::view::Names::trigger(names, row.trigger.key());
    // When it was claimed is nowhere; its number grows with the time.
    let since = i64::try_from(execution.count()).ok().and_then(DateTime::from_timestamp_micros);
    let (since, lapse) = (since.unwrap_or_default(), DateTime::<Utc>::MAX_UTC);
    Ok(rules::claimed(item, &row, execution.session(), since, lapse))
}

/// The error about a record that cannot be read.
fn broken(what: &str, key: &str, record: &[u8], reason: &str) -> Error {
    codec::broken(what, key, &format!("{} ({reason})", String::from_utf8_lossy(record)))
}
