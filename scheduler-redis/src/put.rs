//! Storing jobs and triggers together, in as many calls as they need.

use std::collections::HashSet;
use std::sync::Arc;

use scheduler_core::Result;
use scheduler_core::store::Put;
use scheduler_core::trigger::{Progress, Trigger};
use serde_json::{Value, json};

use crate::answer::refusal;
use crate::codec;
use crate::store::RedisJobStore;
use crate::verbs::PART;

type JobRow = [String; 2];
type TriggerRow = [String; 10];

/// What one call stores.
struct Part {
    jobs: usize,
    /// Jobs of other parts that these triggers run.
    known: Vec<String>,
    rows: Arc<[String]>,
}

impl Part {
    fn new(jobs: &[JobRow], triggers: &[TriggerRow], of_all: &HashSet<&str>) -> Self {
        let known: HashSet<_> =
            triggers.iter().map(|row| row[1].as_str()).filter(|job| of_all.contains(job)).collect();
        Self {
            jobs: jobs.len(),
            known: known.into_iter().map(str::to_owned).collect(),
            rows: jobs.iter().flatten().chain(triggers.iter().flatten()).cloned().collect(),
        }
    }
}

impl RedisJobStore {
    pub(crate) async fn put_all(&self, request: Put) -> Result<()> {
        let mut names = HashSet::new();
        if let Some((twin, _)) = request.triggers.iter().find(|(trigger, _)| !names.insert(trigger.key())) {
            let twice = json!([["trigger", codec::key(twin.key())]]);
            return Err(refusal("put", "twice", codec::list(&twice), &Value::Null));
        }
        let jobs = request.distinct_jobs().iter().map(|job| codec::job(job)).collect::<Result<Vec<_>>>()?;
        let triggers = request.triggers.iter().map(trigger_row).collect::<Result<Vec<_>>>()?;
        let mut parts = Vec::new();
        if jobs.len() + triggers.len() <= PART {
            parts.push(Part::new(&jobs, &triggers, &HashSet::new()));
        } else {
            let of_all = jobs.iter().map(|row| row[0].as_str()).collect();
            parts.extend(jobs.chunks(PART).map(|part| Part::new(part, &[], &of_all)));
            parts.extend(triggers.chunks(PART).map(|part| Part::new(&[], part, &of_all)));
            for part in &parts {
                self.put_part(part, &request, true).await?;
            }
        }
        for part in &parts {
            self.put_part(part, &request, false).await?;
        }
        Ok(())
    }

    /// With `check` nothing is stored yet.
    async fn put_part(&self, part: &Part, request: &Put, check: bool) -> Result<()> {
        let body = json!({
            "jobs": part.jobs,
            "known": part.known,
            "ej": codec::existing(request.existing_jobs),
            "et": codec::existing(request.existing_triggers),
            "check": check,
        });
        let answer = self.ask("put", body, part.rows.clone()).await?.body;
        for chore in codec::list(&answer["chores"]) {
            self.finish(json!({ "chore": chore })).await?;
        }
        Ok(())
    }
}

fn trigger_row((trigger, progress): &(Arc<Trigger>, Progress)) -> Result<TriggerRow> {
    let [k, j, d, p, o, e, a, f] = codec::trigger(trigger, Some(progress))?.words();
    Ok([k, j, d, p, o, e, a, f, codec::encode(progress)?, codec::next_word(progress)])
}
