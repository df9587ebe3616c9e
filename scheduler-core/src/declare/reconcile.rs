//! At start: what the code declares is brought into the store.
//!
//! A schedule that is there already and fires at the same times goes on from where it is; only its description is taken
//! over. Every step is safe to be taken by several nodes at once: what is absent is put without replacing what another
//! node has put meanwhile, and what has changed is replaced only if it still is what was read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::client::{Calendars, anew};
use crate::engine::Core;
use crate::error::{Error, Result};
use crate::job::{Invocation, JobDetail};
use crate::key::TriggerKey;
use crate::log::listed;
use crate::store::*;
use crate::trigger::Trigger;

/// How often a mark that several nodes write at once is read anew before a start goes on without it.
const MOST_TRIES: usize = 16;

/// What the code of a scheduler declares.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    pub(crate) calendars: Vec<NamedCalendar>,
    pub(crate) schedules: Vec<Declared>,
    #[cfg(feature = "schedule-file")]
    pub(crate) files: Vec<crate::plugin::ScheduleFile>,
}

/// A job with a schedule, declared in code.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) job: Invocation,
    pub(crate) trigger: Trigger,
    /// It starts at a moment of its own, not when it is scheduled.
    pub(crate) own_start: bool,
    /// Where a file declares it.
    pub(crate) place: Option<Arc<str>>,
}

impl Declared {
    /// The trigger as it has to be stored beside what is stored now.
    pub(crate) fn beside(&self, stored: &Trigger) -> Result<Trigger> {
        if self.own_start {
            return Ok(self.trigger.clone());
        }
        Ok(self.trigger.to_builder().start_at(stored.start()).build(stored.start())?)
    }
}

impl Core {
    pub(crate) async fn reconcile(&self, declared: &Declarations) -> Result<()> {
        for (name, calendar) in &declared.calendars {
            self.client.store_calendar(name, calendar.clone(), true).await?;
        }
        self.renew_jobs().await?;
        if !declared.schedules.is_empty() {
            let calendars = self
                .client
                .calendars_for(declared.schedules.iter().map(|declared| &declared.trigger))
                .await?;
            self.refuse_ended(&declared.schedules, &calendars).await?;
            self.reconcile_schedules(&declared.schedules).await?;
        }
        self.look_for_undeclared(&self.settings.name, &declared.schedules, self.settings.prune).await
    }

    /// Gives stored jobs the rules that the code declares for them.
    async fn renew_jobs(&self) -> Result<()> {
        let keys: Vec<_> =
            self.registry.in_order().iter().map(|definition| definition.detail().key().clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let stored = self.store.all_jobs(JobQuery { keys, ..JobQuery::default() }).await?;
        let jobs: Vec<_> = stored.iter().filter_map(|stored| self.renewed(stored)).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let (existing_jobs, existing_triggers) = (Existing::Update, Existing::Keep);
        self.store.put(Put { jobs, existing_jobs, triggers: Vec::new(), existing_triggers }).await
    }

    /// A stored job with the rules of the code; none if it has them.
    fn renewed(&self, stored: &JobDetail) -> Option<Arc<JobDetail>> {
        let declared = self.registry.definition(stored.key())?.detail();
        let changes = stored.rules_that_differ(declared);
        if changes.is_empty() {
            return None;
        }
        let (job, changes) = (stored.key(), changes.join(", "));
        tracing::warn!(%job, changes, "the stored rules of a job differ from those in the code, which apply from now on");
        Some(Arc::new(stored.with_rules_of(declared)))
    }

    pub(crate) async fn reconcile_schedules(&self, declared: &[Declared]) -> Result<()> {
        let calendars = self.client.calendars_for(declared.iter().map(|declared| &declared.trigger)).await?;
        let keys = declared.iter().map(|declared| declared.trigger.key().clone()).collect();
        let stored = self.store.all_triggers(TriggerQuery { keys, ..TriggerQuery::default() }).await?;
        let stored: HashMap<TriggerKey, TriggerStatus> =
            stored.into_iter().map(|status| (status.trigger.key().clone(), status)).collect();
        let (mut absent, mut changed, mut rehired) = (Vec::new(), Vec::new(), Vec::new());
        for declared in declared {
            match stored.get(declared.trigger.key()) {
                None => {
                    let progress = calendars.first(&declared.trigger)?;
                    absent.push((Arc::new(declared.trigger.clone()), progress));
                }
                // It runs another job now, and begins anew.
                Some(status) if status.trigger.job() != declared.trigger.job() => {
                    let progress = calendars.first(&declared.trigger)?;
                    rehired.push((Arc::new(declared.trigger.clone()), progress));
                }
                Some(status) => changed.extend(change(declared, status, &calendars)?),
            }
        }
        // Each job once: to replace one costs as much as it has triggers.
        let jobs: BTreeMap<_, _> =
            declared.iter().map(|declared| (declared.job.key(), declared.job.detail())).collect();
        let jobs = jobs.into_values().cloned().collect();
        self.store
            .put(Put {
                jobs,
                existing_jobs: Existing::Update,
                triggers: absent,
                existing_triggers: Existing::Keep,
            })
            .await?;
        if !rehired.is_empty() {
            let (existing_jobs, existing_triggers) = (Existing::Keep, Existing::Update);
            self.store
                .put(Put { jobs: Vec::new(), existing_jobs, triggers: rehired, existing_triggers })
                .await?;
        }
        for change in changed {
            // Refused if another node was faster; it runs the same or a newer program.
            self.store.reschedule(change).await?;
        }
        Ok(())
    }

    /// Removes what somebody has once declared and does not declare any more, or else warns of it.
    pub(crate) async fn look_for_undeclared(
        &self,
        declarer: &Arc<str>,
        declared: &[Declared],
        prune: bool,
    ) -> Result<()> {
        let declared: BTreeSet<_> = declared.iter().map(|declared| declared.trigger.key()).collect();
        let gone = match prune {
            true => self.stored_of(declarer, Vec::new(), &declared).await?,
            false => self.once_declared(declarer, &declared).await?,
        };
        if gone.is_empty() {
            return Ok(());
        }
        let (count, triggers) = (gone.len(), listed(&gone));
        if !prune {
            tracing::warn!(
                triggers = count,
                "{count} triggers that `{declarer}` no longer declares are still stored and go on: {triggers}; remove them with \
                 `unschedule`, or let each start remove such triggers: `prune_undeclared(true)`, in a schedule file `prune = true`"
            );
            return Ok(());
        }
        tracing::info!(
            triggers = count,
            "{count} triggers are removed, since `{declarer}` no longer declares them: {triggers}"
        );
        self.store.remove_triggers(gone).await.map(drop)
    }

    /// The triggers of a declarer, of these keys if there are any, that are stored and not declared now.
    async fn stored_of(
        &self,
        declarer: &Arc<str>,
        keys: Vec<TriggerKey>,
        declared: &BTreeSet<&TriggerKey>,
    ) -> Result<Vec<TriggerKey>> {
        let declared_by = Some(declarer.clone());
        let stored =
            self.store.all_triggers(TriggerQuery { keys, declared_by, ..TriggerQuery::default() }).await?;
        let stored = stored.into_iter().map(|status| status.trigger.key().clone());
        Ok(stored.filter(|key| !declared.contains(key)).collect())
    }

    /// The stored triggers that an earlier start has declared and this one does not. A mark keeps their keys: to find them by
    /// their declarer, a store would have to read all triggers at every start.
    async fn once_declared(
        &self,
        declarer: &Arc<str>,
        declared: &BTreeSet<&TriggerKey>,
    ) -> Result<Vec<TriggerKey>> {
        let name: Arc<str> = format!("declared/{declarer}").into();
        for _ in 0..MOST_TRIES {
            let mark = self.store.mark(name.clone()).await?;
            let text = mark.as_ref().map_or("[]", |mark| &mark.text);
            let before = serde_json::from_str(text).unwrap_or_else(|error| {
                warn_of_mark(&name, text, &error);
                BTreeSet::<TriggerKey>::new()
            });
            let missing: Vec<_> = before.iter().filter(|key| !declared.contains(key)).cloned().collect();
            let gone = match missing.is_empty() {
                true => missing,
                false => self.stored_of(declarer, missing, declared).await?,
            };
            let now: BTreeSet<&TriggerKey> = declared.iter().copied().chain(&gone).collect();
            if now.iter().copied().eq(&before) {
                return Ok(gone);
            }
            let text = serde_json::to_string(&now).map_err(|error| Error::config(error.to_string()))?.into();
            let revision = mark.map(|mark| mark.revision);
            // None if another node was faster.
            if self.store.put_mark(PutMark { name: name.clone(), text, revision }).await?.is_some() {
                return Ok(gone);
            }
        }
        Ok(Vec::new())
    }
}

/// How to bring a stored trigger in line with the declared one; none if it is.
fn change(declared: &Declared, stored: &TriggerStatus, calendars: &Calendars) -> Result<Option<Reschedule>> {
    let trigger = declared.beside(&stored.trigger)?;
    if trigger == *stored.trigger {
        return Ok(None);
    }
    let same = trigger.same_timing(&stored.trigger);
    let trigger = if same { trigger } else { declared.trigger.clone() };
    let progress = match same {
        true => None,
        false => Some(anew(&trigger, &stored.progress, calendars)?),
    };
    let (old, revision) = (trigger.key().clone(), Some(stored.revision));
    Ok(Some(Reschedule { old, revision, trigger: Arc::new(trigger), progress }))
}

fn warn_of_mark(name: &str, text: &str, error: &serde_json::Error) {
    let shown: String = text.chars().take(200).collect::<String>().escape_debug().to_string();
    tracing::warn!(
        mark = name,
        %error,
        "the mark `{name}` cannot be read, its text in the store is `{shown}`. This start writes the mark again and names no \
         triggers that an earlier version declared; look for them in the list of triggers: {error}"
    );
}
