//! Schedule files: putting in place what they say, at start and when they have changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::reconcile::Declared;
use crate::engine::Core;
use crate::error::{Error, Result};
use crate::job::{Invocation, JobDetail};
use crate::key::JobKey;
use crate::matcher::Text;
use crate::plugin::{Contents, FileTrigger, Removals, ScheduleFile};
use crate::store::*;
use crate::time::by;
use crate::watch::SchedulerState;

impl Core {
    /// Puts what a file says in place, and returns its text.
    pub(crate) async fn load(&self, file: &ScheduleFile) -> Result<String> {
        let text = file.text()?;
        self.put_file(file, &text).await?;
        Ok(text)
    }

    async fn put_file(&self, file: &ScheduleFile, text: &str) -> Result<()> {
        let contents = file.parse(text, &self.registry, self.settings.misfire, self.clock.now())?;
        let declared = self.declared(&contents);
        let calendars = self.client.calendars_for(declared.iter().map(|declared| &declared.trigger)).await?;
        self.refuse_ended(&declared, &calendars.with(contents.named_calendars())).await?;
        self.remove(&contents.remove).await?;
        for (name, calendar) in &contents.calendars {
            self.client.store_calendar(name, Arc::new(calendar.clone()), true).await?;
        }
        self.check_arguments(file, &declared)?;
        match contents.existing {
            Existing::Update => {
                let jobs = contents.jobs.clone();
                let (existing_jobs, existing_triggers) = (Existing::Update, Existing::Keep);
                // A job that no trigger of the file runs.
                self.store.put(Put { jobs, existing_jobs, triggers: Vec::new(), existing_triggers }).await?;
                self.reconcile_schedules(&declared).await?;
            }
            existing => self.put_declared(&declared, contents.jobs, existing).await?,
        }
        self.look_for_undeclared(&file.declarer(), &declared, contents.prune).await?;
        let count = declared.len();
        tracing::info!(%file, triggers = count, "the {count} triggers of {file} are in place");
        Ok(())
    }

    /// What the file says must fit the arguments of the jobs.
    fn check_arguments(&self, file: &ScheduleFile, declared: &[Declared]) -> Result<()> {
        let misfit = |row: &Declared| {
            let problem = self.registry.misfit(row.job.detail(), row.trigger.data())?;
            Some(Error::config(format!("{file}: trigger `{}`: {problem}", row.trigger.key())))
        };
        declared.iter().find_map(misfit).map_or(Ok(()), Err)
    }

    /// The triggers of a file, each with its job: that of the file, or else that of the code.
    fn declared(&self, contents: &Contents) -> Vec<Declared> {
        let of_code = self.registry.in_order().into_iter().map(|job| Arc::new(job.detail().clone()));
        let jobs = of_code.chain(contents.jobs.iter().cloned());
        let jobs: HashMap<_, _> = jobs.map(|job| (job.key().clone(), job)).collect();
        let missing = |key: &JobKey| Arc::new(JobDetail::builder(key.clone(), "").build());
        let declared = contents.triggers.iter().map(|FileTrigger { trigger, own_start, place }| {
            let job = jobs.get(trigger.job()).cloned().unwrap_or_else(|| missing(trigger.job()));
            let trigger = trigger.clone().or_queue(job.queue());
            let (job, place) = (Invocation::new(job), Some(place.clone()));
            Declared { job, trigger, own_start: *own_start, place }
        });
        declared.collect()
    }

    async fn put_declared(
        &self,
        declared: &[Declared],
        mut jobs: Vec<Arc<JobDetail>>,
        existing: Existing,
    ) -> Result<()> {
        let calendars = self.client.calendars_for(declared.iter().map(|declared| &declared.trigger)).await?;
        let mut triggers = Vec::with_capacity(declared.len());
        let mut known: HashSet<_> = jobs.iter().map(|job| job.key().clone()).collect();
        for Declared { job, trigger, .. } in declared {
            triggers.push((Arc::new(trigger.clone()), calendars.first(trigger)?));
            if known.insert(job.key().clone()) {
                jobs.push(job.detail().clone());
            }
        }
        self.store.put(Put { jobs, existing_jobs: existing, triggers, existing_triggers: existing }).await
    }

    async fn remove(&self, removals: &Removals) -> Result<()> {
        let mut jobs = removals.jobs.clone();
        for group in &removals.job_groups {
            let query = JobQuery { group: Text::is(group), ..JobQuery::default() };
            jobs.extend(self.store.all_jobs(query).await?.iter().map(|job| job.key().clone()));
        }
        let mut triggers = removals.triggers.clone();
        for group in &removals.trigger_groups {
            let query = TriggerQuery { group: Text::is(group), ..TriggerQuery::default() };
            triggers.extend(
                self.store.all_triggers(query).await?.iter().map(|status| status.trigger.key().clone()),
            );
        }
        if !triggers.is_empty() {
            self.store.remove_triggers(triggers).await?;
        }
        if !jobs.is_empty() {
            self.store.remove_jobs(jobs).await?;
        }
        Ok(())
    }

    /// Looks at a file again and again, until the scheduler ends.
    pub(crate) fn watch(self: &Arc<Self>, file: ScheduleFile, mut text: String) {
        let Some(period) = file.period() else { return };
        let core = self.clone();
        let activity = self.clock.begin(&format!("the watch of {file}"));
        self.spawn(activity.observe(async move {
            let (mut phase, mut seen) = (core.phase.subscribe(), None);
            loop {
                let next = core.clock.monotonic().saturating_add(period);
                if by(&*core.clock, next, phase.wait_for(SchedulerState::ends)).await.is_some() {
                    return;
                }
                if let Err(error) = core.look_again(&file, &mut text, &mut seen).await {
                    tracing::error!(%file, %error, "{file} has changed and cannot be used, so the schedules stay as they are until it is corrected: {error}");
                }
            }
        }));
    }

    async fn look_again(
        &self,
        file: &ScheduleFile,
        known: &mut String,
        seen: &mut Option<String>,
    ) -> Result<()> {
        let text = file.text()?;
        if text == *known {
            return Ok(());
        }
        if seen.as_ref() != Some(&text) {
            // It may be half written; what is the same at the next look is not.
            *seen = Some(text);
            return Ok(());
        }
        let put = self.put_file(file, &text).await;
        // A faulty text is complained of once; what the store refused for now is tried again.
        if put.as_ref().err().is_none_or(|error| !error.is_transient()) {
            *known = text;
        }
        put
    }
}
