//! What the clock brings, and claims that nobody can fire.

use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::Result;
use scheduler_core::run::RunEnd;
use scheduler_core::store::view::{Members, Names as _, record};
use scheduler_core::store::{AcquireDue, rules};

use crate::bundles;
use crate::codec;
use crate::commit::{Ops, Step, operation, text};
use crate::commit_runs::ended;
use crate::load::{Loader, parts};
use crate::names::Names;
use crate::run::Mode;
use crate::script::{alarms, bytes, list, number, word};
use crate::shared::Shared;
use crate::take::{BATCH, Unusable, millis};

impl Loader<'_> {
    /// Whose time has come, some at a time.
    pub(crate) async fn alarms(&mut self, now: DateTime<Utc>) -> Result<Members> {
        let mut command = self.get("ZRANGEBYSCORE", "alarms");
        command.arg("-inf").arg(now.timestamp_millis()).arg("LIMIT").arg(0).arg(BATCH);
        let keys = alarms(Some(self.one(&command).await?));
        let (names, mut members) = (self.view.names(), Members::default());
        members.batches = keys.iter().filter_map(|key| codec::read_ring(key)).collect();
        members.runs = keys.iter().filter_map(|key| codec::read_run(key)).map(|run| names.run(run)).collect();
        members.triggers = self.numbered(&keys);
        self.triggers(members.triggers.clone(), true).await?;
        self.runs(members.runs.clone(), true).await?;
        Ok(members)
    }
}

impl Shared {
    pub(crate) async fn ring(&self, request: &AcquireDue) -> Result<()> {
        let (now, session) = (request.now, request.session);
        let ran = self.run("ring", Mode::Chore, self.view(), |view| rules::ring(view, now, session)).await?;
        {
            let mut rung = self.rung.lock();
            rung.dropped.extend(ran.answer.dropped);
            rung.expired.extend(ran.answer.expired);
        }
        self.tidy_alarms(now).await
    }

    /// Removes ended runs of which there are too many, some of them with each call. Says whether there were such.
    pub(crate) async fn drop_excess(&self, request: &AcquireDue) -> Result<bool> {
        if !self.may_exceed.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        let counts = RunEnd::ALL.map(|end| self.command("ZCARD", &ended(end)));
        let dropped = async {
            let counts = self.ask_all(counts.to_vec()).await?;
            let most = self.settings.retention.most() as u64;
            let is_excess = counts.iter().any(|count| number(Some(count)).is_some_and(|count| count > most));
            if is_excess {
                self.ring(request).await?;
            }
            Ok(is_excess)
        };
        let dropped = dropped.await;
        if !matches!(dropped, Ok(false)) {
            self.may_exceed.store(true, Ordering::Release);
        }
        dropped
    }

    /// Entries whose time has come and whose rows need no rule: somebody has changed a row by hand, or this program cannot read the row
    /// and another one may.
    async fn tidy_alarms(&self, now: DateTime<Utc>) -> Result<()> {
        let mut command = self.command("ZRANGEBYSCORE", "alarms");
        command.arg("-inf").arg(now.timestamp_millis()).arg("LIMIT").arg(0).arg(BATCH);
        let keys = alarms(Some(self.ask(&command).await?));
        if keys.is_empty() {
            return Ok(());
        }
        let keys = keys.into_iter().filter(|key| codec::read_ring(key).is_none());
        let (runs, triggers) = keys.partition(|key| codec::read_run(key).is_some());
        self.tidy_alarms_of("triggers", triggers, now).await?;
        self.tidy_alarms_of("runs", runs, now).await
    }

    async fn tidy_alarms_of(&self, hash: &str, keys: Vec<String>, now: DateTime<Utc>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let records = list(Some(self.ask(self.command("HMGET", hash).arg(&keys)).await?));
        for (key, whole) in keys.iter().zip(&records) {
            let mut names = Names::new(self.numbers.clone(), now);
            let whole = bytes(whole).and_then(parts);
            let alarm = whole.map(|(_, record)| match hash {
                "runs" => record::read_run(record, &mut names).map(|row| row.alarm()),
                _ => record::read_trigger(record, &mut names, &mut &self.known).map(|row| row.alarm()),
            });
            let at = match alarm {
                Some(Ok(alarm)) if alarm.is_some_and(|at| at <= now) => continue,
                Some(Ok(alarm)) => alarm,
                Some(Err(_)) => Some(now + TimeDelta::seconds(5)),
                None => None,
            };
            let version = whole.map_or(0, |(version, _)| version);
            let mut body = operation("is", hash, &[text(key), crate::commit::known(version)]);
            let mut ops = Ops::default();
            match at {
                Some(at) => ops.add(Step::ZAdd, "alarms", [text(millis(at)), text(key)]),
                None => ops.add(Step::ZRem, "alarms", [text(key)]),
            }
            body.extend(ops.words());
            self.commit_plain("tidy", body).await?;
        }
        Ok(())
    }

    /// Claims of triggers and runs that nobody can read: they keep nothing from others.
    pub(crate) async fn drop_unreadable(
        &self,
        session: u64,
        Unusable { unreadable, .. }: &Unusable,
    ) -> Result<()> {
        if unreadable.is_empty() {
            return Ok(());
        }
        let home = format!("cl:{session}");
        let all = list(Some(self.ask(&self.command("HGETALL", "at")).await?));
        for (claim, queue) in unreadable {
            let id = codec::claim(*claim);
            let mut ops = Ops::default();
            let record = self.claim_records(&home, &[*claim]).await?.pop().flatten();
            let run = record.as_deref().and_then(codec::only_named).map(|(_, run)| codec::run(run));
            let mut body = Vec::new();
            if run.is_some() {
                let place = bundles::words_of(*claim);
                body = operation("held", &home, &place);
                ops.add(Step::Unname, home.clone(), place);
            } else {
                ops.add(Step::HDel, home.clone(), [text(&id)]);
            }
            if let Some(queue) = queue {
                ops.add(Step::Queue, "", [text(queue), text("-1")]);
            }
            let noted =
                all.chunks_exact(2).find(|pair| word(pair.get(1)) == id).map(|pair| word(pair.first()));
            if let Some(key) = &noted {
                body.extend(operation("value", "at", &[text(key), text(&id)]));
                ops.add(Step::HDel, "at", [text(key)]);
            }
            if let Some(key) = noted.or(run) {
                let job = word(Some(&self.ask(self.command("HGET", "alone").arg(&key)).await?));
                ops.add(Step::Free, "", [text(job), text(id)]);
            }
            body.extend(ops.words());
            self.commit_plain("unreadable", body).await?;
        }
        Ok(())
    }
}
