//! The store: each verb is one call of one script.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use redis::Script;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use scheduler_core::calendar::Calendar;
use scheduler_core::job::{CancelReason, ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::{Progress, Trigger};
use scheduler_core::{Error, JobKey, Result, TriggerKey};
use serde_json::{Value, json};

use crate::codec;

/// How far ahead triggers are acquired: about two round trips.
const LOOK_AHEAD: Duration = Duration::from_millis(20);

/// How long the server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long the server may take to answer a call; then the call counts as failed, and may have been carried out or not.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long after its due time a claim lapses that was not fired.
const GRACE: Duration = Duration::from_secs(5);

const USE: Attached = Attached { look_ahead: LOOK_AHEAD, grace: GRACE };

/// A job store in Redis, shared by all nodes that use the same server and name. Cloning gives the same store.
#[derive(Clone)]
pub struct RedisJobStore(Arc<Inner>);

struct Inner {
    connection: ConnectionManager,
    script: Script,
    prefix: String,
    nodes: Mutex<Vec<Node>>,
}

impl RedisJobStore {
    /// The store of this name in a server: `redis://host:port/database`. Schedulers of different names do not see each other.
    ///
    /// # Errors
    ///
    /// The address cannot be read, or the server cannot be reached.
    pub async fn connect(url: &str, name: &str) -> Result<Self> {
        let client = redis::Client::open(url).map_err(|error| {
            Error::config("the address of the Redis server cannot be read").caused_by(error)
        })?;
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let connection = ConnectionManager::new_with_config(client, settings)
            .await
            .map_err(|error| Error::transient("the Redis server cannot be reached").caused_by(error))?;
        let script = Script::new(include_str!("store.lua"));
        let prefix = format!("{{scheduler/{name}}}:");
        Ok(Self(Arc::new(Inner { connection, script, prefix, nodes: Mutex::default() })))
    }

    async fn call(&self, verb: &str, request: Value) -> Result<Value> {
        let mut invocation = self.0.script.key(&self.0.prefix);
        invocation.arg(verb).arg(request.to_string());
        let mut connection = self.0.connection.clone();
        let (answer, wake, others): (String, bool, bool) = invocation
            .invoke_async(&mut connection)
            .await
            .map_err(|error| Error::transient(format!("the job store could not {verb}")).caused_by(error))?;
        if wake || others {
            self.wake();
        }
        let answer: Value = codec::decode("an answer", &answer)?;
        match answer["error"].as_str() {
            Some(error) => Err(refusal(error, codec::list(&answer["names"]), &request)),
            None => Ok(answer),
        }
    }

    fn wake(&self) {
        let nodes: Vec<_> = self.0.nodes.lock().iter().map(|node| node.wake.clone()).collect();
        nodes.iter().for_each(|wake| wake());
    }
}

impl fmt::Debug for RedisJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisJobStore").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

/// What the script refused, in words.
fn refusal(error: &str, names: &[Value], request: &Value) -> Error {
    let shown = |key: &Value| {
        codec::trigger_key(codec::text(key)).map_or_else(|_| String::new(), |key| key.to_string())
    };
    let first = names.first().unwrap_or(&Value::Null);
    match error {
        "taken" => {
            let taken = names.iter().map(|row| format!("{} `{}`", codec::text(&row[0]), shown(&row[1])));
            let taken = taken.collect::<Vec<_>>().join(", ");
            Error::conflict(format!("already stored: {taken}; replace them or use other names"))
        }
        "twice" => {
            let key = shown(&first[1]);
            Error::conflict(format!("trigger `{key}` is there twice in one call; give one another name"))
        }
        "job" => {
            let (key, job) = (shown(&first[0]), shown(&first[1]));
            Error::not_found(format!("trigger `{key}` runs job `{job}`, which is not stored"))
        }
        "calendar" if names.is_empty() => {
            let name = codec::text(&request["name"]);
            Error::conflict(format!("the calendar `{name}` is stored already; replace it"))
        }
        "calendar" => {
            let (key, name) = (shown(&first[0]), codec::text(&first[1]));
            Error::not_found(format!(
                "trigger `{key}` names the calendar `{name}`, which is not stored; store it first"
            ))
        }
        "other" => {
            let (key, job) = (shown(&first[0]), shown(&first[1]));
            Error::conflict(format!(
                "trigger `{key}` runs job `{job}`, and the one to replace it another one; they must run the same job"
            ))
        }
        "used" => {
            let (key, name) = (shown(&first[0]), codec::text(&request["name"]));
            Error::conflict(format!("trigger `{key}` names the calendar `{name}`; give it another one first"))
        }
        other => Error::transient(format!("the job store refused the call: {other}")),
    }
}

fn keys<T>(keys: &[T], write: impl Fn(&T) -> String) -> Value {
    json!({ "keys": keys.iter().map(write).collect::<Vec<_>>() })
}

fn flags(answer: &Value) -> Vec<bool> {
    codec::list(answer).iter().map(|value| value == &Value::Bool(true)).collect()
}

fn trigger_keys(answer: &Value) -> Result<Vec<TriggerKey>> {
    let mut keys = codec::list(answer)
        .iter()
        .map(|key| codec::trigger_key(codec::text(key)))
        .collect::<Result<Vec<_>>>()?;
    keys.sort_unstable();
    Ok(keys)
}

fn acquired(row: &Value) -> Result<AcquiredTrigger> {
    let trigger: Trigger = codec::decode("a trigger", codec::text(&row["d"]))?;
    let calendar = match row["a"].as_str() {
        Some(text) => Some(Arc::from(codec::decode::<Box<dyn Calendar>>("a calendar", text)?)),
        None => None,
    };
    Ok(AcquiredTrigger {
        claim: codec::read_claim(codec::text(&row["c"]))?,
        trigger: Arc::new(trigger),
        progress: codec::decode("the progress of a trigger", codec::text(&row["p"]))?,
        calendar,
        freed: codec::read_time(&row["f"]),
    })
}

fn status(row: &Value) -> Result<TriggerStatus> {
    let progress: Progress = codec::decode("the progress of a trigger", codec::text(&row["p"]))?;
    let stored = match codec::text(&row["s"]) {
        "W" => StoredState::Waiting,
        "A" => StoredState::Acquired,
        "P" => StoredState::Paused,
        "C" => StoredState::Complete,
        "E" => StoredState::Error,
        other => return Err(codec::broken("the state of a trigger", other)),
    };
    let (running, busy) = (row["u"].as_u64().unwrap_or_default() > 0, row["b"] == true);
    Ok(TriggerStatus {
        trigger: Arc::new(codec::decode("a trigger", codec::text(&row["d"]))?),
        state: TriggerState::of(stored, !progress.may_fire_again(), running, busy),
        progress,
        pause: row["pn"].as_str().map(codec::read_note).transpose()?,
        revision: codec::text(&row["r"]).parse().unwrap_or_default(),
    })
}

fn execution(row: &Value) -> Result<ExecutionStatus> {
    Ok(ExecutionStatus {
        id: codec::read_claim(codec::text(&row[0]))?,
        job: codec::job_key(codec::text(&row[1]))?,
        trigger: codec::trigger_key(codec::text(&row[2]))?,
        fired: codec::read_time(&row[3]).unwrap_or(DateTime::<Utc>::MIN_UTC),
    })
}

fn executions(answer: &Value) -> Result<Vec<ExecutionStatus>> {
    let mut all = codec::list(answer).iter().map(execution).collect::<Result<Vec<_>>>()?;
    all.sort_unstable_by_key(|execution| execution.id);
    Ok(all)
}

fn put_rows(triggers: &[(Arc<Trigger>, Progress)]) -> Result<Vec<Value>> {
    let row = |(trigger, progress): &(Arc<Trigger>, Progress)| -> Result<Value> {
        Ok(
            json!({ "t": codec::trigger(trigger)?, "p": codec::encode(progress)?, "n": codec::next(progress) }),
        )
    };
    triggers.iter().map(row).collect()
}

impl JobStore for RedisJobStore {
    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        Box::pin(async move {
            let request =
                json!({ "session": node.session.to_string(), "name": node.name, "types": node.types });
            {
                let mut nodes = self.0.nodes.lock();
                nodes.retain(|known| known.session != node.session);
                nodes.push(node);
            }
            self.call("attach", request).await?;
            Ok(USE)
        })
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        Box::pin(async move {
            let limits = &request.limits;
            let lapse = (LOOK_AHEAD + GRACE).as_millis();
            let answer = self
                .call(
                    "acquire",
                    json!({
                        "session": request.session.to_string(),
                        "now": codec::time(request.now),
                        "until": codec::time(request.until),
                        "max": request.max,
                        "lapse": lapse.to_string(),
                        "named": limits.named,
                        "others": limits.others,
                        "ungrouped": limits.ungrouped,
                        "late": request.late.map(|share| codec::time(share.before)),
                        "most_late": request.late.map(|share| share.most),
                    }),
                )
                .await?;
            let stop = |row: &Value| {
                let reason = match codec::text(&row[1]) {
                    "superseded" => CancelReason::Superseded,
                    _ => CancelReason::Requested,
                };
                Ok((codec::read_claim(codec::text(&row[0]))?, reason))
            };
            let mut cancel = codec::list(&answer["s"]).iter().map(stop).collect::<Result<Vec<_>>>()?;
            cancel.sort_unstable_by_key(|(id, _)| *id);
            Ok(Acquired {
                triggers: codec::list(&answer["t"]).iter().map(acquired).collect::<Result<_>>()?,
                cancel,
                next_due: codec::read_time(&answer["n"]),
            })
        })
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        Box::pin(async move {
            let row = |firing: &Firing| -> Result<Value> {
                Ok(json!({
                    "c": codec::claim(firing.claim),
                    "p": codec::encode(&firing.progress)?,
                    "n": codec::next(&firing.progress),
                    "run": firing.run,
                }))
            };
            let firings = request.firings.iter().map(row).collect::<Result<Vec<_>>>()?;
            let answer =
                self.call("fire", json!({ "now": codec::time(request.now), "firings": firings })).await?;
            let result = |(row, firing): (&Value, &Firing)| {
                Ok(match codec::text(&row["r"]) {
                    "run" => {
                        let job = Arc::new(codec::read_job(codec::text(&row["d"]))?);
                        FireResult::Run { fence: firing.claim.count(), job }
                    }
                    "overlapped" => FireResult::Overlapped,
                    "advanced" => FireResult::Advanced,
                    _ => FireResult::Stale,
                })
            };
            codec::list(&answer).iter().zip(&request.firings).map(result).collect()
        })
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        Box::pin(async move {
            let row = |completion: &Completion| -> Result<Value> {
                Ok(json!({
                    "c": codec::claim(completion.execution),
                    "i": codec::instruction(completion.instruction)?,
                    "data": completion.data.as_ref().map(codec::encode).transpose()?,
                }))
            };
            let executions = request.executions.iter().map(row).collect::<Result<Vec<_>>>()?;
            let request = json!({ "now": codec::time(request.now), "executions": executions });
            let answer = self.call("complete", request).await?;
            let result = |row: &Value| match row["gone"] == true {
                true => CompleteResult::Gone,
                false => {
                    CompleteResult::Done { trigger_removed: row["t"] == true, job_removed: row["j"] == true }
                }
            };
            Ok(codec::list(&answer).iter().map(result).collect())
        })
    }

    fn cancel(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionId>> {
        Box::pin(async move {
            let answer = self.call("cancel", codec::executions(&what)?).await?;
            Ok(executions(&answer)?.into_iter().map(|execution| execution.id).collect())
        })
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let claims: Vec<_> = claims.into_iter().map(codec::claim).collect();
            self.call("release", json!({ "claims": claims })).await.map(drop)
        })
    }

    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let jobs = request.jobs.iter().map(|job| codec::job(job)).collect::<Result<Vec<_>>>()?;
            let request = json!({
                "jobs": jobs,
                "ej": codec::existing(request.existing_jobs),
                "triggers": put_rows(&request.triggers)?,
                "et": codec::existing(request.existing_triggers),
            });
            self.call("put", request).await.map(drop)
        })
    }

    fn reschedule(&self, request: Reschedule) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let progress = request.progress.as_ref();
            let request = json!({
                "old": codec::key(&request.old),
                "r": request.revision.map(|revision| revision.to_string()),
                "t": codec::trigger(&request.trigger)?,
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
            Ok(flags(&self.call("adjust", json!({ "adjustments": rows })).await?))
        })
    }

    fn remove_triggers(&self, keys_of: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        Box::pin(async move {
            let answer = self.call("remove_triggers", keys(&keys_of, codec::key)).await?;
            let removed = |row: &Value| Removed { found: row["f"] == true, job_removed: row["j"] == true };
            Ok(codec::list(&answer).iter().map(removed).collect())
        })
    }

    fn remove_jobs(&self, keys_of: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        Box::pin(async move { Ok(flags(&self.call("remove_jobs", keys(&keys_of, codec::key)).await?)) })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.call("clear", json!({})).await.map(drop) })
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        Box::pin(async move {
            let request =
                json!({ "what": codec::selection(&request.what)?, "note": codec::note(&request.note)? });
            trigger_keys(&self.call("pause", request).await?)
        })
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, Vec<TriggerKey>> {
        Box::pin(async move {
            trigger_keys(&self.call("resume", json!({ "what": codec::selection(&what)? })).await?)
        })
    }

    fn reset(&self, keys_of: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        Box::pin(async move { Ok(flags(&self.call("reset", keys(&keys_of, codec::key)).await?)) })
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
            let one = |row: &Value| -> Result<NamedCalendar> {
                let calendar = codec::decode::<Box<dyn Calendar>>("a calendar", codec::text(&row[1]))?;
                Ok((codec::text(&row[0]).into(), Arc::from(calendar)))
            };
            let mut all = codec::list(&answer).iter().map(one).collect::<Result<Vec<_>>>()?;
            all.sort_by(|(a, _), (b, _)| a.cmp(b));
            Ok(all)
        })
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>> {
        Box::pin(async move {
            let answer = self.call("jobs", json!({})).await?;
            let all = codec::list(&answer).iter().map(|row| codec::read_job(codec::text(&row[1])));
            let all = all.collect::<Result<Vec<_>>>()?;
            let wanted = |job: &JobDetail| {
                let key = job.key();
                (query.keys.is_empty() || query.keys.contains(key))
                    && query.after.as_ref().is_none_or(|after| key > after)
                    && query.group.matches(key.group())
                    && query.name.matches(key.name())
                    && query.job_type.as_deref().is_none_or(|job_type| job.job_type() == job_type)
            };
            let found = all.into_iter().filter(wanted).take(query.limit.unwrap_or(usize::MAX));
            Ok(found.map(Arc::new).collect())
        })
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>> {
        Box::pin(async move {
            let answer = self.call("triggers", keys(&query.keys, codec::key)).await?;
            let mut all = codec::list(&answer).iter().map(status).collect::<Result<Vec<_>>>()?;
            all.sort_unstable_by(|a, b| a.trigger.key().cmp(b.trigger.key()));
            let wanted = |status: &TriggerStatus| {
                let (trigger, key) = (&status.trigger, status.trigger.key());
                query.after.as_ref().is_none_or(|after| key > after)
                    && query.group.matches(key.group())
                    && query.name.matches(key.name())
                    && query.job.as_ref().is_none_or(|job| trigger.job() == job)
                    && query.calendar.as_deref().is_none_or(|name| trigger.calendar() == Some(name))
                    && query.declared_by.as_deref().is_none_or(|name| trigger.declared_by() == Some(name))
                    && query.state.is_none_or(|state| status.state == state)
            };
            Ok(all.into_iter().filter(wanted).take(query.limit.unwrap_or(usize::MAX)).collect())
        })
    }

    fn executions(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionStatus>> {
        Box::pin(async move { executions(&self.call("executions", codec::executions(&what)?).await?) })
    }

    fn groups(&self, kind: GroupKind) -> StoreFuture<'_, Vec<GroupStatus>> {
        Box::pin(async move {
            let kind = if kind == GroupKind::Jobs { "jobs" } else { "triggers" };
            let answer = self.call("groups", json!({ "kind": kind })).await?;
            let one = |row: &Value| -> Result<GroupStatus> {
                Ok(GroupStatus {
                    name: codec::group_name(codec::text(&row[0])).into(),
                    members: usize::try_from(row[1].as_u64().unwrap_or_default()).unwrap_or(usize::MAX),
                    pause: row[2].as_str().map(codec::read_note).transpose()?,
                })
            };
            let mut all = codec::list(&answer).iter().map(one).collect::<Result<Vec<_>>>()?;
            all.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(all)
        })
    }
}
