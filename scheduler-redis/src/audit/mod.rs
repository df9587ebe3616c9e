//! What somebody has destroyed in the server: found, named and mended.
//!
//! The records of jobs, triggers, runs and claims are the truth; everything else follows from them. An audit reads records, derives what
//! has to follow, and asks the server in one script call whether it is so, on the condition that the record is still the same: so
//! what changes meanwhile is no fault. What is mended is mended on that condition, too.

mod batches;
mod gates;
mod indexes;
mod named;
mod question;
mod records;
mod turns;

use std::collections::BTreeSet;

use scheduler_core::Result;
use scheduler_core::run::RunId;
use serde_json::Value;

use self::named::Named;
use crate::codec;
use crate::damage::{self, KINDS};
use crate::script::{self, list, word};
use crate::shared::Shared;
use crate::store::RedisJobStore;

/// So many keys of the wrong kind are moved out of the way of one part of an audit.
const MOST_KEYS: usize = 100;

/// Of a job, trigger or run with a name.
const DESTROYED: &str = "it has no record that can be read";

/// So many records are looked at in one step.
const PAGE: usize = 100;

impl RedisJobStore {
    /// Finds faults in the stored data, for use after somebody has changed or deleted keys by hand or restored a part of them.
    /// With `repair` it is mended, and the answer says what was found.
    ///
    /// | what is lost | with `repair` |
    /// |---|---|
    /// | places, waiting lists, indexes, counts | they are derived from the records again |
    /// | the record of a trigger or a stored run | the trigger or the run is removed |
    /// | a job or a calendar | its triggers are put into the error state; store it again and reset them |
    /// | the record of pauses and calendars | it is moved to `aside:rest`; pause groups and store calendars again |
    /// | the claim of a node | its trigger and its job are free, and a stored run waits again |
    /// | the counters of a batch | pending runs are counted again; of the others at least those are counted that are still stored, and runs that have succeeded are not |
    /// | a key of the wrong kind | the key is removed |
    ///
    /// Takes a few calls for each 100 triggers, jobs or runs. What changes meanwhile is judged as it is at its moment.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or refuses.
    pub async fn audit(&self, repair: bool) -> Result<Vec<String>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(async move {
            if repair {
                shared.recover().await?;
            }
            let mut audit = Audit { shared: &shared, repair, found: Vec::new(), batches: BTreeSet::new() };
            audit.run().await?;
            let found = audit.found;
            if repair {
                shared.recover().await?;
            }
            Ok(found)
        }))
        .await
    }
}

/// What an audit is about: each part goes by what the ones before have mended.
#[derive(Debug, Clone, Copy)]
enum Of {
    Keys,
    Store,
    Chores,
    Nodes,
    Claims,
    Owners,
    Queues,
    Gates,
    Jobs,
    Triggers,
    Runs,
    Batches,
    Names,
    Places,
    Turns,
    UnusedJobs,
    Marks,
}

const PARTS: &[Of] = &[
    Of::Keys,
    Of::Store,
    Of::Chores,
    Of::Nodes,
    Of::Claims,
    Of::Owners,
    Of::Queues,
    Of::Gates,
    Of::Jobs,
    Of::Triggers,
    Of::Runs,
    Of::Batches,
    Of::Names,
    Of::Places,
    Of::Turns,
    Of::UnusedJobs,
    Of::Marks,
];

struct Audit<'a> {
    shared: &'a Shared,
    repair: bool,
    found: Vec<String>,
    /// The batches that were met among the runs.
    batches: BTreeSet<RunId>,
}

impl Audit<'_> {
    async fn run(&mut self) -> Result<()> {
        for of in PARTS {
            let before = self.found.len();
            for _ in 0..MOST_KEYS {
                match Box::pin(self.part(*of)).await {
                    Err(error) if damage::is_moved(&error) => {
                        // A key of the wrong kind was moved out of the way, so this part begins anew.
                        self.found.truncate(before);
                        self.found.push(error.to_string());
                    }
                    done => {
                        done?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn part(&mut self, of: Of) -> Result<()> {
        match of {
            Of::Keys => self.keys().await,
            Of::Store => self.store().await,
            Of::Chores => self.chores().await,
            Of::Nodes => self.nodes().await,
            Of::Claims => self.claims().await,
            Of::Owners => self.owners().await,
            Of::Queues => self.queues().await,
            Of::Gates => self.gates().await,
            Of::Jobs => self.jobs().await,
            Of::Triggers => self.rows(Named::Trigger).await,
            Of::Runs => self.rows(Named::Run).await,
            Of::Batches => self.batches().await,
            Of::Names => self.names().await,
            Of::Places => self.places().await,
            Of::Turns => self.turns().await,
            Of::UnusedJobs => self.unused_jobs().await,
            Of::Marks => self.marks().await,
        }
    }

    /// Says it, and whether it is to be mended.
    fn mends(&mut self, kind: &str, key: &str, what: &str) -> bool {
        let fault = format!("{kind} `{}`: {what}", codec::shown(key));
        if !self.found.contains(&fault) {
            self.found.push(fault);
        }
        self.repair
    }

    async fn ask(&self, command: &str, key: &str, words: &[&str]) -> Result<redis::Value> {
        let mut command = self.shared.command(command, key);
        self.shared.ask(command.arg(words)).await
    }

    async fn list(&self, command: &str, key: &str, words: &[&str]) -> Result<Vec<String>> {
        Ok(script::words(Some(self.ask(command, key, words).await?)))
    }

    /// The next page of a hash, and the cursor behind it.
    async fn scan(&self, hash: &str, cursor: &str) -> Result<(Vec<(String, Vec<u8>)>, Option<String>)> {
        let page = list(Some(self.ask("HSCAN", hash, &[cursor, "COUNT", &PAGE.to_string()]).await?));
        let cursor = Some(word(page.first())).filter(|cursor| !cursor.is_empty() && cursor != "0");
        let pairs = list(page.into_iter().nth(1));
        let pair = |pair: &[redis::Value]| {
            (word(pair.first()), script::bytes(&pair[1]).unwrap_or_default().to_vec())
        };
        Ok((pairs.chunks_exact(2).map(pair).collect(), cursor))
    }

    async fn scan_all(&self, hash: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let (mut all, mut cursor) = (Vec::new(), Some("0".to_owned()));
        while let Some(at) = cursor {
            let (page, next) = self.scan(hash, &at).await?;
            all.extend(page);
            cursor = next;
        }
        Ok(all)
    }

    /// Keys that are or were of the wrong kind.
    async fn keys(&mut self) -> Result<()> {
        let commands = KINDS.iter().map(|(name, _)| self.shared.command("TYPE", name)).collect();
        for ((name, kind), found) in KINDS.iter().zip(self.shared.ask_all(commands).await?) {
            let found = word(Some(&found));
            let is_wrong = found != *kind && found != "none";
            if is_wrong && self.mends("key", name, &format!("it is a {found} and not a {kind}")) {
                damage::set_aside(self.shared, name).await;
            }
        }
        for name in self.list("SMEMBERS", "aside", &[]).await? {
            let aside = format!("aside:{name}");
            let what = format!("it was of the wrong kind and was moved to `{}`", self.shared.key(&aside));
            if self.mends("key", &name, &what) {
                self.ask("DEL", &aside, &[]).await?;
                self.ask("SREM", "aside", &[&name]).await?;
            }
        }
        Ok(())
    }

    /// What stands there for the whole store.
    async fn store(&mut self) -> Result<()> {
        const FIELDS: &[&str] = &["schema", "birth", "lease", "cap", "lc", "lw"];
        let found = list(Some(self.ask("HMGET", "meta", FIELDS).await?));
        for (field, found) in FIELDS.iter().zip(&found) {
            let value = word(Some(found));
            let is_fine = match *field {
                "schema" => value == crate::boot::FORMAT,
                _ => matches!(found, redis::Value::Nil) || value.parse::<f64>().is_ok(),
            };
            if !is_fine && self.mends("key", "meta", &format!("its field `{field}` is `{value}`")) {
                let birth = self.shared.state.lock().birth.clone();
                match *field {
                    "schema" => self.ask("HSET", "meta", &[field, crate::boot::FORMAT]).await?,
                    "birth" => self.ask("HSET", "meta", &[field, &birth]).await?,
                    _ => self.ask("HDEL", "meta", &[field]).await?,
                };
            }
        }
        let rest = self.ask("GET", "rest", &[]).await?;
        let is_readable = script::bytes(&rest).is_none_or(|rest| {
            crate::load::parts(rest).is_some_and(|(_, rest)| crate::rest::read(rest).is_ok())
        });
        if !is_readable
            && self.mends(
                "key",
                "rest",
                "the record of pauses and calendars cannot be read; pause groups and store calendars again",
            )
        {
            self.ask("RENAME", "rest", &[&self.shared.key("aside:rest")]).await?;
            self.ask("SADD", "aside", &["rest"]).await?;
        }
        Ok(())
    }

    async fn chores(&mut self) -> Result<()> {
        for (number, record) in self.scan_all("chores").await? {
            if !crate::parts::is_chore(&record)
                && self.mends("chore", &number, "it cannot be read; repeat the last change of many triggers")
            {
                self.ask("HDEL", "chores", &[&number]).await?;
            }
        }
        Ok(())
    }

    async fn nodes(&mut self) -> Result<()> {
        for session in self.list("ZRANGE", "sl", &["0", "-1"]).await? {
            let [node, since] = [("ss", &session), ("sc", &session)];
            let node = self.ask("HGET", node.0, &[node.1]).await?;
            let since = word(Some(&self.ask("HGET", since.0, &[since.1]).await?));
            let is_readable =
                script::bytes(&node).is_some_and(|node| serde_json::from_slice::<Value>(node).is_ok());
            if (!is_readable || since.parse::<f64>().is_err())
                && self.mends("node", &session, "its registration is destroyed; it registers anew")
            {
                self.ask("HDEL", "ss", &[&session]).await?;
            }
        }
        for orphan in self.list("HKEYS", "owners", &[]).await? {
            let is_there = script::number(Some(&self.ask("EXISTS", &format!("orphan:{orphan}"), &[]).await?));
            let is_known = script::number(Some(&self.ask("SISMEMBER", "orphans", &[&orphan]).await?));
            if is_known == Some(1) {
                continue;
            }
            if is_there == Some(1) {
                if self.mends("node", &orphan, "its runs are not listed") {
                    self.ask("SADD", "orphans", &[&orphan]).await?;
                }
            } else if self.repair {
                self.ask("HDEL", "owners", &[&orphan]).await?;
            }
        }
        Ok(())
    }

    async fn marks(&mut self) -> Result<()> {
        let mut cursor = Some("0".to_owned());
        while let Some(at) = cursor {
            let (page, next) = self.scan("marks", &at).await?;
            for (name, record) in page {
                let text = record.get(16..).unwrap_or_default();
                if serde_json::from_slice::<Value>(text).is_err()
                    && self.mends("mark", &name, "it cannot be read; its task runs again")
                {
                    self.ask("HDEL", "marks", &[&name]).await?;
                }
            }
            cursor = next;
        }
        Ok(())
    }

    /// Sessions whose claims are looked at, with whether they live.
    async fn homes(&self) -> Result<Vec<(String, bool)>> {
        let living = self.list("ZRANGE", "sl", &["0", "-1"]).await?;
        let mut homes = self.list("SMEMBERS", "homes", &[]).await?;
        homes.extend(living.iter().cloned());
        homes.extend(self.list("HKEYS", "ss", &[]).await?);
        homes.sort_unstable();
        homes.dedup();
        Ok(homes.into_iter().map(|session| (session.clone(), living.contains(&session))).collect())
    }
}
