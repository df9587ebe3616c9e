//! What is stored: at once, or in parts where there are many.

use std::collections::HashMap;

use scheduler_core::job::JobDetail;
use scheduler_core::store::rows::Table;
use scheduler_core::store::view::{Names as _, View, Wants};
use scheduler_core::store::*;
use scheduler_core::{JobKey, Result};

use crate::codec;
use crate::commit::Entry;
use crate::load::Broken;
use crate::names::Names;
use crate::parts::{PART, Range, Work};
use crate::run::Mode;
use crate::shared::Shared;

impl Shared {
    /// Stores jobs and triggers: in parts where there are many, after all of them were checked.
    pub(crate) async fn put(&self, request: Put) -> Result<()> {
        let moved = self.large_jobs_that_move(&request).await?;
        if moved.is_empty() && request.jobs.len() + request.triggers.len() <= PART {
            return self.put_part(request, None).await;
        }
        let mut view = self.view();
        self.load_named(&mut view, &request).await?;
        self.look_in(view, |view| rules::check_put(view, &request)).await??;
        let Put { existing_jobs, existing_triggers, .. } = request;
        let mut jobs: HashMap<_, _> =
            request.distinct_jobs().into_iter().map(|job| (job.key().clone(), job)).collect();
        for key in moved {
            self.finish_chores().await?;
            let (entry, chore) = self.new_chore(Work::Move, Range::Job(codec::key(&key)))?;
            let jobs = jobs.remove(&key).into_iter().collect();
            let put = Put { jobs, existing_jobs, triggers: Vec::new(), existing_triggers };
            self.put_part(put, Some((key, entry))).await?;
            self.finish(chore).await?;
        }
        let empty = || Put { jobs: Vec::new(), existing_jobs, triggers: Vec::new(), existing_triggers };
        let mut part = empty();
        for (trigger, progress) in request.triggers {
            part.jobs.extend(jobs.remove(trigger.job()));
            part.triggers.push((trigger, progress));
            if part.jobs.len() + part.triggers.len() >= PART {
                self.put_part(std::mem::replace(&mut part, empty()), None).await?;
            }
        }
        for job in jobs.into_values() {
            part.jobs.push(job);
            if part.jobs.len() + part.triggers.len() >= PART {
                self.put_part(std::mem::replace(&mut part, empty()), None).await?;
            }
        }
        if part.jobs.is_empty() && part.triggers.is_empty() {
            Ok(())
        } else {
            self.put_part(part, None).await
        }
    }

    /// Jobs of many triggers whose places change with these descriptions.
    async fn large_jobs_that_move(&self, request: &Put) -> Result<Vec<JobKey>> {
        let mut found = Vec::new();
        if !matches!(request.existing_jobs, Existing::Replace | Existing::Update) {
            return Ok(found);
        }
        for job in request.distinct_jobs() {
            let key = job.key();
            let known = match self.known.job(key) {
                Some((_, known)) => Some(known.detail),
                None => {
                    self.look(|view| {
                        let id = view.names().job(key);
                        Ok(view.get(id)?.map(|row| row.detail.clone()))
                    })
                    .await?
                }
            };
            let moves = |known: &JobDetail| {
                known.disallow_concurrent() != job.disallow_concurrent() || known.job_type() != job.job_type()
            };
            if known.is_some_and(|known| moves(&known)) && self.count(&codec::key(key)).await? > PART {
                found.push(key.clone());
            }
        }
        Ok(found)
    }

    /// With a chore, if it moves the triggers of a job.
    pub(crate) async fn put_part(&self, request: Put, moves: Option<(JobKey, Entry)>) -> Result<()> {
        let mut view = self.view();
        if let Some((job, _)) = &moves {
            view.load_part(Selection::Job(job.clone()), Vec::new());
        }
        let entry = moves.map(|(_, entry)| entry);
        self.guess(&mut view, &request);
        self.load_named(&mut view, &request).await?;
        let rule = |view: &mut View<Names>| rules::put(view, request.clone());
        self.run_or_refuse("put", Mode::Change, view, rule, entry.as_ref()).await
    }

    /// What most calls find: names that are free, and jobs as they were. The commit tells if it is not so.
    fn guess(&self, view: &mut View<Names>, request: &Put) {
        let is_new = |existing| matches!(existing, Existing::Refuse | Existing::Keep);
        for job in request.jobs.iter().filter(|_| is_new(request.existing_jobs)) {
            let known = self.known.job(job.key()).filter(|_| request.existing_jobs == Existing::Keep);
            let id = view.names().job(job.key());
            let (version, row) = known.map_or((0, None), |(version, row)| (version, Some(row)));
            view.load_job(id, row, version);
        }
        for (trigger, _) in &request.triggers {
            if request.existing_triggers == Existing::Refuse {
                let id = view.names().trigger(trigger.key());
                view.load_trigger(id, None, 0);
            }
            let id = view.names().job(trigger.job());
            if view.jobs().is_unknown(id)
                && request.existing_jobs == Existing::Keep
                && let Some((version, row)) = self.known.job(trigger.job())
            {
                view.load_job(id, Some(row), version);
            }
        }
    }

    /// All that a call names, at once, and not one after the other as they come up.
    pub(crate) async fn load_named(&self, view: &mut View<Names>, request: &Put) -> Result<()> {
        let (mut wants, names) = (Wants::default(), view.names());
        wants.jobs.extend(request.jobs.iter().map(|job| names.job(job.key())));
        wants.jobs.extend(request.triggers.iter().map(|(trigger, _)| names.job(trigger.job())));
        wants.triggers.extend(request.triggers.iter().map(|(trigger, _)| names.trigger(trigger.key())));
        wants.jobs.retain(|id| view.jobs().is_unknown(*id));
        wants.triggers.retain(|id| view.triggers().is_unknown(*id));
        Box::pin(self.load(view, wants, Broken::JobIsNone)).await
    }
}
