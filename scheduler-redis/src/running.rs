//! Runs: stored, given their jobs, removed.

use scheduler_core::Result;
use scheduler_core::job::ExecutionId;
use scheduler_core::run::RunId;
use scheduler_core::store::rows::RunTag;
use scheduler_core::store::view::{Members, Names as _, Set, Version, View, record};
use scheduler_core::store::*;

use crate::codec;
use crate::load::{Broken, Loader, MANY, parts};
use crate::names::Names;
use crate::parts::two_at_a_time;
use crate::run::{Mode, each};
use crate::script::{bytes, list};
use crate::session::{Asks, Held, Origin, Sessions, knows};
use crate::shared::Shared;

/// Work of any size is done so many at a time, so that no call holds the server up for long.
const PART: usize = 125;

/// Plain runs are stored so many at a time: each is half the work of one that waits for others or belongs to a batch.
const PLAIN: usize = 250;

/// So many runs are stored all or not at all, as the contract says.
const WHOLE: usize = 500;

impl Shared {
    pub(crate) async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>> {
        let is_plain = |run: &NewRun| run.after.is_empty() && run.batch.is_none();
        let part = match runs.len() {
            ..=WHOLE => WHOLE,
            _ if runs.iter().all(is_plain) => PLAIN,
            _ => PART,
        };
        if runs.iter().any(|run| !run.after.is_empty()) {
            // A part may wait for runs of the part before.
            let mut enqueued = Vec::with_capacity(runs.len());
            for part in runs.chunks(part) {
                enqueued.extend(self.enqueue_part(part).await?);
            }
            return Ok(enqueued);
        }
        let enqueued = two_at_a_time(runs.chunks(part), |part| Box::pin(self.enqueue_part(part))).await?;
        Ok(enqueued.into_iter().flatten().collect())
    }

    async fn enqueue_part(&self, runs: &[NewRun]) -> Result<Vec<Enqueued>> {
        let mut view = self.view();
        for run in runs {
            // Hardly ever is there one already; the commit tells.
            let id = view.names().run(run.id);
            view.load_run(id, None, 0);
            if let Some(unique) = &run.unique {
                view.load_set(Set::Tagged(RunTag::Key(unique.key.id), usize::MAX), Members::default());
            }
            // There mostly is room; the commit tells.
            let limited = run.queue.as_ref().filter(|_| run.most_waiting.is_some());
            limited.into_iter().for_each(|queue| view.load_length(queue.clone(), 0));
        }
        let rule = |view: &mut View<Names>| rules::enqueue_all(view, runs.to_vec());
        self.run("enqueue", Mode::Change, view, rule).await?.answer
    }

    fn loader<'a>(&'a self, view: &'a mut View<Names>) -> Loader<'a> {
        Loader { shared: self, view, broken: Broken::IsNone }
    }

    /// What a node that ends has claimed of runs waits again, and the attempts do not count.
    pub(crate) async fn give_back_runs(&self, session: u64) -> Result<()> {
        let claims = self
            .look(|view| {
                let claims = rows::Rows::claims_of(view, session)?;
                let of_run = |id: &rows::Id<rows::ClaimRow>| {
                    view.claims().row(*id).is_some_and(|claim| claim.trigger_id().is_none())
                };
                let of_runs = claims.into_iter().filter(of_run);
                Ok(of_runs.map(|id| ExecutionId::new(session, id.0)).collect::<Vec<_>>())
            })
            .await?;
        for part in claims.chunks(PART) {
            let mut view = self.view();
            knows(&mut view, part.iter().copied());
            let rule = |view: &mut View<Names>| each(view, part, rules::release_at_end);
            self.run("release", Mode::GiveBack, view, rule).await?;
        }
        Ok(())
    }

    /// Gives runs their jobs, if such are stored. A run that its job wants to stand elsewhere is given back to there, and so is one that
    /// must not begin; says whether there was such a run.
    pub(crate) async fn settle(
        &self,
        runs: &mut Vec<AcquiredRun>,
        of_jobs: &str,
        request: &AcquireDue,
    ) -> Result<bool> {
        if runs.is_empty() {
            return Ok(false);
        }
        self.give_jobs(runs, of_jobs).await?;
        let misplaced = self.misplaced(runs, request);
        if misplaced.is_empty() {
            return Ok(false);
        }
        let mut view = self.view();
        self.load_held(&mut view, misplaced.iter().map(|(claim, _)| (*claim, Asks::ForAll)));
        let now = request.now;
        let rule = |view: &mut View<Names>| {
            each(view, &misplaced, |view, (claim, exclusive)| rules::resettle(view, claim, exclusive, now))
        };
        let expired = self.run("resettle", Mode::Chore, view, rule).await?.answer;
        self.rung.lock().expired.extend(expired.into_iter().flatten());
        let mut sessions = self.sessions.lock();
        for (claim, _) in &misplaced {
            sessions.get_mut(&claim.session()).and_then(|known| known.let_go(*claim));
        }
        runs.retain(|run| misplaced.iter().all(|(claim, _)| *claim != run.claim));
        Ok(true)
    }

    async fn give_jobs(&self, runs: &mut [AcquiredRun], of_jobs: &str) -> Result<()> {
        let unknown = self.known.unknown_of_runs(of_jobs, runs.iter().map(|run| run.trigger.job()));
        if !unknown.is_empty() {
            let keys = unknown.iter().map(codec::key).collect::<Vec<_>>();
            let records = list(Some(self.ask(self.command("HMGET", "jobs").arg(&keys)).await?));
            for (key, whole) in unknown.into_iter().zip(&records) {
                let detail = match bytes(whole).and_then(parts).map(|(_, record)| record::read_job(record)) {
                    Some(Ok(row)) => Some(row.detail),
                    Some(Err(reason)) => {
                        tracing::error!(job = %key, reason, "the job `{key}` cannot be read, and its runs go by what they bring along: {reason}");
                        None
                    }
                    None => None,
                };
                self.known.keep_for_runs(of_jobs, key, detail);
            }
        }
        for run in runs {
            run.job = self.known.job_of_run(run.trigger.job()).or_else(|| run.job.take());
        }
        Ok(())
    }

    /// Runs that must not begin, and whether their jobs allow one run at a time.
    fn misplaced(&self, runs: &[AcquiredRun], request: &AcquireDue) -> Vec<(ExecutionId, bool)> {
        let sessions = self.sessions.lock();
        let Some(known) = sessions.get(&request.session) else { return Vec::new() };
        let misplaced = runs.iter().filter_map(|run| {
            let Held { claim, of: Origin::Run(row, _), .. } = known.held(run.claim)? else { return None };
            let job = self.known.job_of_run(run.trigger.job());
            let exclusive = job.map_or(claim.exclusive, |job| job.disallow_concurrent());
            let is_elsewhere = exclusive != claim.exclusive;
            (is_elsewhere || row.may_not_begin(request.now, request.until)).then_some((run.claim, exclusive))
        });
        misplaced.collect()
    }

    /// Runs that try occurrences of paused triggers again are held until those are resumed.
    pub(crate) async fn hold_paused(&self, runs: &mut Vec<AcquiredRun>) -> Result<()> {
        let retries: Vec<_> =
            runs.iter().filter_map(|run| Some((run.claim, run.occurrence_of.clone()?))).collect();
        if retries.is_empty() {
            return Ok(());
        }
        let is_paused =
            |view: &mut View<Names>| each(view, &retries, |view, (_, key)| rules::is_paused(view, &key));
        let paused = self.look_at(Broken::IsNone, is_paused).await?;
        let held: Vec<_> =
            retries.iter().zip(paused).filter(|(_, paused)| *paused).map(|((claim, _), _)| *claim).collect();
        if held.is_empty() {
            return Ok(());
        }
        let mut view = self.view();
        self.load_held(&mut view, held.iter().map(|claim| (*claim, Asks::ForAll)));
        let rule = |view: &mut View<Names>| each(view, &held, rules::hold_claimed);
        self.run("hold", Mode::Chore, view, rule).await?;
        let mut sessions = self.sessions.lock();
        for claim in &held {
            sessions.get_mut(&claim.session()).and_then(|known| known.let_go(*claim));
        }
        runs.retain(|run| !held.contains(&run.claim));
        Ok(())
    }

    /// Removes all runs, in parts. What runs goes on.
    pub(crate) async fn clear_runs(&self) -> Result<()> {
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            let (ids, next) = self.loader(&mut self.empty_view()).scan_runs(at, MANY).await?;
            cursor = next;
            // Each may have tags, an alarm and a place.
            for part in ids.chunks(PART) {
                let mut view = self.view();
                let all = part.iter().map(|run| view.names().run(*run)).collect();
                // A run that cannot be read is left for an audit.
                self.loader(&mut view).runs(all, true).await?;
                self.run("clear", Mode::Removal, view, |view| remove(view, part)).await?;
            }
        }
        Ok(())
    }
}

/// A run that was claimed, as its node is told of it; none if its record cannot be read.
pub(crate) fn take_run(
    sessions: &mut Sessions,
    request: &AcquireDue,
    execution: ExecutionId,
    (version, text): (Version, &[u8]),
    names: &mut Names,
) -> Option<AcquiredRun> {
    let row = match record::read_run(text, names) {
        Ok(row) => row,
        Err(reason) => {
            tracing::error!(%execution, reason, "no node can read a run, and it is not attempted any more: {reason}; run `RedisJobStore::audit`");
            return None;
        }
    };
    let (claim, run) = rules::claimed_run(&row, execution, request.now);
    let named = codec::version_of_named(row.id);
    let of = Origin::Run(row.into(), version);
    if let Some(known) = sessions.get_mut(&request.session) {
        known.hold(execution, Held { claim, version: named, of });
    }
    Some(run)
}

fn remove(view: &mut View<Names>, runs: &[RunId]) -> Result<(), view::Missing> {
    each(view, runs, |view, run| match rows::Rows::run(view, run)? {
        Some(run) => rules::clear_run(view, run),
        None => Ok(()),
    })
    .map(drop)
}
