//! The contract: each verb is one call of its script, or some calls where it touches much.

use std::sync::Arc;
use std::time::Duration;

use scheduler_core::calendar::Calendar;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{JobKey, Result, TriggerKey};
use serde_json::{Value, json};

use crate::answer::{calendar, execution_list, flags, keys, node, status, trigger_keys};
use crate::codec;
use crate::firing::{BATCH, HELD, USE};
use crate::inner::Answer;
use crate::link::Failure;
use crate::session::Session;
use crate::settings::{cap, margin};
use crate::store::RedisJobStore;

/// No more triggers are stored by one call; what is put in place together may take several.
pub(crate) const PART: usize = 500;

/// Between two looks at whether what is under way has ended.
const WAIT: Duration = Duration::from_millis(10);

impl JobStore for RedisJobStore {
    /// That of the server: all nodes agree on it.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(Arc::new(self.0.clock.clone()))
    }

    fn trouble(&self) -> Option<Arc<str>> {
        if self.0.is_gone() {
            return Some(self.0.all_gone().to_string().into());
        }
        self.0.state.lock().trouble.clone()
    }

    fn may_have_fired(&self, session: u64) -> bool {
        self.0.sessions.lock().get(&session).is_some_and(|known| known.unheard.is_some())
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        Box::pin(async move {
            let inner = self.0.clone();
            self.0.sessions.lock().insert(node.session, Session::new(node.clone()));
            let session = node.session;
            let registered = self.on_io(async move { inner.register(&node, false).await }).await;
            if registered.is_err() {
                self.0.sessions.lock().remove(&session);
            }
            let lease = self.0.state.lock().lease;
            let (stop_within, keeps_history) =
                (margin(lease).saturating_sub(cap(lease)), self.0.settings.keeps > 0);
            registered.map(|_| Attached { stop_within, keeps_history, ..USE })
        })
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.0.sessions.lock().remove(&session);
            let inner = self.0.clone();
            self.on_io(async move {
                inner.heart_call("detach", &json!({ "session": session.to_string() })).await?;
                inner.recover().await
            })
            .await
        })
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        Box::pin(async move {
            let answer = self.call("nodes", json!({})).await?;
            let read = |row| {
                node(row)
                    .inspect_err(|error| tracing::error!(%error, "a node is left out of the list: {error}"))
            };
            let mut nodes: Vec<_> = codec::list(&answer).iter().filter_map(|row| read(row).ok()).collect();
            nodes.sort_unstable_by(|a, b| (&a.name, a.session).cmp(&(&b.name, b.session)));
            Ok(nodes)
        })
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        if let Some(known) = self.0.sessions.lock().get_mut(&request.session) {
            known.takes = request.max > 0;
        }
        Box::pin(async move {
            let Ok(_nothing_is_told) = self.0.tells.try_read() else {
                // Nothing is handed out meanwhile.
                return Ok(Acquired { next_due: Some(request.now + HELD), ..Acquired::default() });
            };
            if !self.0.hot.is_up() {
                // What was not sent has fired nothing.
                let inner = self.0.clone();
                self.on_io(async move { inner.hot.reach().await.map_err(Failure::into_error) }).await?;
            }
            let mut before = self.0.asks_for(request.session, request.max > 0);
            if let Some(since) = before.unheard {
                let found = self.unheard(&request, since).await?;
                let is_nothing = found.triggers.is_empty() && found.is_all;
                let told = self.0.hand_out(&request, before, found)?;
                if !is_nothing || request.max == 0 {
                    return Ok(told);
                }
                // The question itself is still open, and so is whether the store is in trouble. What is to stop stops now.
                self.0.stop(request.session, told.cancel);
                before = self.0.asks_for(request.session, true);
            }
            let found = Box::pin(self.acquire_parts(&request)).await?;
            self.0.hand_out(&request, before, found)
        })
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        Box::pin(async move {
            let nothing_is_told = Arc::new(self.0.tells.clone().read_owned().await);
            let part = |firings: &[Firing]| {
                let (store, held, firings) = (self.clone(), nothing_is_told.clone(), firings.to_vec());
                async move {
                    let fired = store.fire_part(request.now, &firings).await;
                    drop(held);
                    fired
                }
            };
            let parts = self.all_on_io(request.firings.chunks(BATCH).map(part)).await?;
            drop(nothing_is_told);
            let (mut results, mut spoilt) = (Vec::with_capacity(request.firings.len()), Vec::new());
            for (fired, unreadable) in parts {
                results.extend(fired);
                spoilt.extend(unreadable);
            }
            self.end(request.now, &spoilt).await?;
            Ok(results)
        })
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        Box::pin(async move {
            self.abandon(&request.executions).await?;
            let part = |executions: &[Completion]| {
                let settled = self.0.settled.lock();
                let is_open = |completion: &&Completion| !settled.contains_key(&completion.execution);
                let open: Vec<_> = executions.iter().filter(is_open).cloned().collect();
                let store = self.clone();
                async move {
                    let results = store.complete_part(request.now, &open).await?;
                    let ids = open.iter().map(|completion| completion.execution);
                    store.0.settled.lock().extend(ids.zip(results));
                    Ok(())
                }
            };
            self.all_on_io(request.executions.chunks(BATCH).map(part)).await?;
            let mut settled = self.0.settled.lock();
            let result = |completion: &Completion| {
                settled.remove(&completion.execution).unwrap_or(CompleteResult::Gone)
            };
            Ok(request.executions.iter().map(result).collect())
        })
    }

    fn cancel(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionId>> {
        Box::pin(async move {
            let found = self.executions_by("cancel", &what).await?;
            Ok(found.into_iter().map(|execution| execution.id).collect())
        })
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let row = |claim: &ExecutionId| {
                let sessions = self.0.sessions.lock();
                let trigger = sessions.get(&claim.session())?.trigger_of(*claim)?.to_owned();
                Some([trigger, codec::claim(*claim)])
            };
            let rows: Vec<_> = claims.iter().filter_map(row).collect();
            for part in rows.chunks(PART) {
                self.call("release", json!({ "claims": part })).await?;
            }
            let mut sessions = self.0.sessions.lock();
            for claim in claims {
                if let Some(known) = sessions.get_mut(&claim.session()) {
                    known.claimed.remove(&claim);
                }
            }
            Ok(())
        })
    }

    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        Box::pin(self.put_all(request))
    }

    fn reschedule(&self, request: Reschedule) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let progress = request.progress.as_ref();
            let request = json!({
                "old": codec::key(&request.old),
                "r": request.revision.map(|revision| revision.to_string()),
                "t": codec::trigger(&request.trigger, progress)?,
                "p": progress.map(codec::encode).transpose()?,
                "n": progress.map(codec::next),
            });
            Ok(self.call("reschedule", request).await?["done"] == true)
        })
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> StoreFuture<'_, Vec<bool>> {
        Box::pin(async move {
            let row = |adjustment: &Adjustment| -> Result<Value> {
                Ok(json!({
                    "k": codec::key(&adjustment.trigger),
                    "from": codec::encode(&adjustment.from)?,
                    "to": codec::encode(&adjustment.to)?,
                    "n": codec::next(&adjustment.to),
                }))
            };
            let rows = adjustments.iter().map(row).collect::<Result<Vec<_>>>()?;
            let mut done = Vec::with_capacity(rows.len());
            for part in rows.chunks(PART) {
                done.extend(flags(&self.call("adjust", json!({ "adjustments": part })).await?));
            }
            Ok(done)
        })
    }

    fn remove_triggers(&self, keys_of: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        Box::pin(async move {
            let removed = |row: &Value| Removed { found: row["f"] == true, job_removed: row["j"] == true };
            let mut all = Vec::with_capacity(keys_of.len());
            for part in keys_of.chunks(PART) {
                let answer = self.call("remove_triggers", keys(part, codec::key)).await?;
                all.extend(codec::list(&answer).iter().map(removed));
            }
            Ok(all)
        })
    }

    fn remove_jobs(&self, keys_of: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        Box::pin(async move {
            let mut removed = Vec::with_capacity(keys_of.len());
            while removed.len() < keys_of.len() {
                let left = &keys_of[removed.len()..];
                let answer =
                    self.call("remove_jobs", keys(&left[..left.len().min(PART)], codec::key)).await?;
                removed.extend(flags(&answer["results"]));
            }
            Ok(removed)
        })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            while self.call("clear", json!({})).await?["more"] == true {}
            Ok(())
        })
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        Box::pin(async move {
            let request =
                json!({ "what": codec::selection(&request.what)?, "note": codec::note(&request.note)? });
            self.changed_keys("pause", request).await
        })
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, Vec<TriggerKey>> {
        Box::pin(
            async move { self.changed_keys("resume", json!({ "what": codec::selection(&what)? })).await },
        )
    }

    fn reset(&self, keys_of: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        Box::pin(async move {
            let mut done = Vec::with_capacity(keys_of.len());
            for part in keys_of.chunks(PART) {
                done.extend(flags(&self.call("reset", keys(part, codec::key)).await?));
            }
            Ok(done)
        })
    }

    fn put_calendar(
        &self,
        name: Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let calendar = codec::encode(&*calendar)?;
            let request = json!({ "name": name, "calendar": calendar, "replace": replace });
            self.call("put_calendar", request).await.map(drop)
        })
    }

    fn remove_calendar(&self, name: Arc<str>) -> StoreFuture<'_, bool> {
        Box::pin(
            async move { Ok(self.call("remove_calendar", json!({ "name": name })).await?["done"] == true) },
        )
    }

    fn calendars(&self) -> StoreFuture<'_, Vec<NamedCalendar>> {
        Box::pin(async move {
            let answer = self.call("calendars", json!({})).await?;
            let mut all: Vec<_> = codec::list(&answer).iter().filter_map(calendar).collect();
            all.sort_by(|(a, _), (b, _)| a.cmp(b));
            Ok(all)
        })
    }

    fn mark(&self, name: Arc<str>) -> StoreFuture<'_, Option<Mark>> {
        Box::pin(async move {
            let answer = self.call("mark", json!({ "name": name })).await?;
            let revision = codec::text(&answer["revision"]).parse().ok();
            Ok(revision.map(|revision| Mark { text: codec::text(&answer["text"]).into(), revision }))
        })
    }

    fn put_mark(&self, request: PutMark) -> StoreFuture<'_, Option<u64>> {
        Box::pin(async move {
            let revision = request.revision.map(|revision| revision.to_string());
            let request = json!({ "name": request.name, "text": request.text, "revision": revision });
            Ok(codec::text(&self.call("put_mark", request).await?["revision"]).parse().ok())
        })
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>> {
        Box::pin(async move {
            let (limit, mut found) = (query.limit.unwrap_or(usize::MAX), Vec::new());
            let mut take = |answer: &Answer| {
                for [key, record] in answer.rows() {
                    match codec::read_job(key, record) {
                        Ok(job) if query.matches(&job) => found.push(Arc::new(job)),
                        Ok(_) => {}
                        Err(error) => {
                            tracing::error!(job = codec::shown(key), %error, "a job is left out of the list: {error}");
                        }
                    }
                }
                Ok(found.len() < limit)
            };
            if query.keys.is_empty() {
                let after = query.after.as_ref().map(codec::key);
                let group = codec::only_group(&query.group);
                self.parts("jobs", json!({ "keys": [], "group": group, "after": after }), take).await?;
            } else {
                for part in query.keys.chunks(PART) {
                    take(&self.ask("jobs", keys(part, codec::key), Arc::default()).await?)?;
                }
                found.sort_unstable_by(|a, b| a.key().cmp(b.key()));
            }
            found.truncate(limit);
            Ok(found)
        })
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>> {
        Box::pin(async move {
            let (limit, mut found) = (query.limit.unwrap_or(usize::MAX), Vec::new());
            let mut take = |answer: &Answer| {
                for row in answer.rows() {
                    match status(row) {
                        Ok(status) if query.matches(&status.trigger, status.state) => found.push(status),
                        Ok(_) => {}
                        Err(error) => {
                            let trigger = codec::shown(row[0]);
                            tracing::error!(trigger, %error, "a trigger is left out of the list: {error}");
                        }
                    }
                }
                Ok(found.len() < limit)
            };
            if !query.keys.is_empty() {
                for part in query.keys.chunks(PART) {
                    take(&self.ask("triggers", keys(part, codec::key), Arc::default()).await?)?;
                }
                found.sort_unstable_by(|a, b| a.trigger.key().cmp(b.trigger.key()));
            } else if let Some(calendar) = query.calendar.as_ref().filter(|_| query.job.is_none()) {
                // They come in no order, and some perhaps twice.
                let all = |answer: &Answer| take(answer).map(|_| true);
                self.parts("triggers", json!({ "keys": [], "calendar": calendar }), all).await?;
                found.sort_unstable_by(|a, b| a.trigger.key().cmp(b.trigger.key()));
                found.dedup_by(|a, b| a.trigger.key() == b.trigger.key());
            } else {
                let (after, of_job) =
                    (query.after.as_ref().map(codec::key), query.job.as_ref().map(codec::key));
                let group = codec::only_group(&query.group);
                let request = json!({ "keys": [], "job": of_job, "group": group, "after": after });
                self.parts("triggers", request, take).await?;
            }
            found.truncate(limit);
            Ok(found)
        })
    }

    fn executions(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionStatus>> {
        Box::pin(async move { self.executions_by("executions", &what).await })
    }

    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Vec<RunRecord>> {
        Box::pin(async move {
            let (limit, mut found) = (query.limit.unwrap_or(usize::MAX), Vec::new());
            let take = |answer: &Answer| {
                for [record] in answer.rows() {
                    match codec::decode::<RunRecord>("run of the history", "", record) {
                        Ok(record) if query.matches(&record) => found.push(record),
                        Ok(_) => {}
                        Err(error) => {
                            tracing::error!(%error, "a run is left out of the history: {error}");
                        }
                    }
                }
                Ok(found.len() < limit)
            };
            self.parts("history", json!({}), take).await?;
            found.truncate(limit);
            Ok(found)
        })
    }

    fn groups(&self, kind: GroupKind) -> StoreFuture<'_, Vec<GroupStatus>> {
        Box::pin(async move {
            let kind = if kind == GroupKind::Jobs { "jobs" } else { "triggers" };
            let answer = self.call("groups", json!({ "kind": kind })).await?;
            let one = |row: &Value| -> Result<GroupStatus> {
                let name = codec::group_name(codec::text(&row[0]));
                Ok(GroupStatus {
                    name: name.into(),
                    members: usize::try_from(row[1].as_u64().unwrap_or_default()).unwrap_or(usize::MAX),
                    pause: row[2].as_str().map(|note| codec::note_of("pause of group", name, note)),
                })
            };
            let mut all = codec::list(&answer).iter().map(one).collect::<Result<Vec<_>>>()?;
            all.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(all)
        })
    }
}

impl RedisJobStore {
    async fn executions_by(&self, verb: &'static str, what: &Executions) -> Result<Vec<ExecutionStatus>> {
        let mut found = Vec::new();
        let take = |answer: &Answer| {
            found.extend(execution_list(&answer.body["rows"]));
            Ok(true)
        };
        self.parts(verb, json!({ "what": codec::executions(what)? }), take).await?;
        found.sort_unstable_by_key(|execution| execution.id);
        // What is added or ends meanwhile may let another one be seen twice.
        found.dedup_by_key(|execution| execution.id);
        Ok(found)
    }

    async fn changed_keys(&self, verb: &'static str, request: Value) -> Result<Vec<TriggerKey>> {
        loop {
            let answer = self.call(verb, request.clone()).await?;
            if answer["wait"] != true {
                return self.finish(answer).await;
            }
            // Another one is under way, or was left behind: then it is finished here.
            let left = self.call("chore", json!({})).await?;
            self.finish(left).await?;
            SystemClock.sleep(WAIT).await;
        }
    }

    /// Goes on with what was more than one call may do. Returns the triggers that were changed.
    pub(crate) async fn finish(&self, mut answer: Value) -> Result<Vec<TriggerKey>> {
        let mut changed = trigger_keys(&answer["keys"]);
        while let Some(number) = answer["chore"].as_str() {
            answer = self.call("chore", json!({ "number": number })).await?;
            changed.extend(trigger_keys(&answer["keys"]));
        }
        changed.sort_unstable();
        Ok(changed)
    }
}
