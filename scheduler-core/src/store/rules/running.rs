//! Runs that are stored: enqueued, ended, taken over, cancelled, replayed.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::job::ExecutionId;
use crate::run::{RunEnd, RunId, RunStep};
use crate::store::rows::{Answer, Id, Table};
use crate::store::run_row::{RunClaim, RunRow, Runs, Standing};

/// An attempt that is lost with its node so often in a row is not made again: the run may be what ends the nodes.
pub const MOST_LOSSES: u32 = 5;

/// What has become of a run that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is stored.
    Created,
    /// A run of its id is there already, as after a call whose answer was lost.
    Existing,
}

/// What becomes of a run whose attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is over and leaves no record.
    Over,
    /// It waits for another attempt.
    Again {
        /// When that is due.
        at: DateTime<Utc>,
        /// Whether the attempt counts. One that was interrupted by a shutdown does not.
        counts: bool,
        /// What it has failed with.
        error: Option<Arc<str>>,
    },
    /// No retry is left. It stays, and can be replayed.
    Dead {
        /// What its last attempt has failed with.
        error: Option<Arc<str>>,
    },
}

/// Stores a run.
pub fn enqueue<R: Runs>(rows: &mut R, row: RunRow) -> Answer<R, Enqueued> {
    if rows.run(row.id)?.is_some() {
        return Ok(Enqueued::Existing);
    }
    rows.add_run(row);
    rows.wake_others();
    Ok(Enqueued::Created)
}

/// An attempt that goes on.
struct Attempt {
    claim: Id<RunClaim>,
    run: Id<RunRow>,
    number: u32,
    is_exclusive: bool,
}

fn attempt_of<R: Runs>(rows: &mut R, claim: ExecutionId) -> Answer<R, Option<Attempt>> {
    let id = Id::of_run(claim);
    let row = Table::<RunClaim>::get(rows, id)?.filter(|row| row.session == claim.session());
    Ok(row.map(|row| Attempt { claim: id, run: row.run, number: row.attempt, is_exclusive: row.exclusive }))
}

/// Takes a claim away, and lets the next run of its job come up.
fn end_claim<R: Runs>(rows: &mut R, attempt: &Attempt) -> Answer<R, ()> {
    let job = Table::<RunRow>::get(rows, attempt.run)?.map(|row| row.job.clone());
    Table::<RunClaim>::remove(rows, attempt.claim)?;
    match job.filter(|_| attempt.is_exclusive) {
        Some(job) => rows.free_job(&job),
        None => Ok(()),
    }
}

/// Ends an attempt; says whether it was still there. A call that is repeated changes nothing.
pub fn end_attempt<R: Runs>(rows: &mut R, claim: ExecutionId, fate: Fate) -> Answer<R, bool> {
    let Some(attempt) = attempt_of(rows, claim)? else { return Ok(false) };
    end_claim(rows, &attempt)?;
    let (run, number) = (attempt.run, attempt.number);
    match fate {
        Fate::Over => Table::<RunRow>::remove(rows, run)?,
        Fate::Again { at, counts, error } => {
            Table::<RunRow>::edit(rows, run, |row| {
                (row.due, row.attempts) = (at, if counts { number } else { row.attempts });
                row.epoch = row.epoch.wrapping_add(1);
                row.set_losses(0);
                row.set_last_error(error);
            })?;
            rows.show_run(run)?;
        }
        Fate::Dead { error } => {
            Table::<RunRow>::edit(rows, run, |row| {
                (row.standing, row.attempts) = (Standing::Ended(RunEnd::Dead), number);
                row.epoch = row.epoch.wrapping_add(1);
                row.set_last_error(error);
            })?;
        }
    }
    Ok(true)
}

/// The attempt of a node that is gone. Enqueued runs are run again; one that was lost too often in a row is dead. Says whether it
/// was there.
pub fn lose_attempt<R: Runs>(rows: &mut R, claim: ExecutionId, now: DateTime<Utc>) -> Answer<R, bool> {
    let Some(attempt) = attempt_of(rows, claim)? else { return Ok(false) };
    end_claim(rows, &attempt)?;
    let (run, number) = (attempt.run, attempt.number);
    let is_dead = Table::<RunRow>::edit(rows, run, |row| {
        let losses = row.losses().saturating_add(1);
        row.attempts = number;
        row.epoch = row.epoch.wrapping_add(1);
        row.set_losses(losses);
        row.set_last_error(Some("its node was lost".into()));
        if losses >= MOST_LOSSES {
            row.standing = Standing::Ended(RunEnd::Dead);
            return true;
        }
        row.due = now;
        false
    })?;
    if is_dead == Some(false) {
        rows.show_run(run)?;
        rows.wake_others();
    }
    Ok(true)
}

/// Whether the table of states allows a step.
fn allows<R: Runs>(rows: &mut R, run: Id<RunRow>, step: RunStep) -> Answer<R, bool> {
    let is_claimed = rows.claim_of(run)?.is_some();
    let row = Table::<RunRow>::get(rows, run)?;
    Ok(row.is_some_and(|row| row.standing.state(is_claimed).after(step).is_some()))
}

/// Cancels a run. One that a node runs is asked to stop, and its attempt decides. Says whether there was anything to cancel.
pub fn cancel_run<R: Runs>(rows: &mut R, id: RunId) -> Answer<R, bool> {
    let Some(run) = rows.run(id)? else { return Ok(false) };
    if let Some(claim) = rows.claim_of(run)? {
        Table::<RunClaim>::edit(rows, claim, |row| row.is_cancelled = true)?;
        return Ok(true);
    }
    let may_go = allows(rows, run, RunStep::Cancel)?;
    if may_go {
        Table::<RunRow>::remove(rows, run)?;
    }
    Ok(may_go)
}

/// Runs an ended run again, under the same id; says whether it had ended.
pub fn replay<R: Runs>(rows: &mut R, id: RunId, now: DateTime<Utc>) -> Answer<R, bool> {
    let Some(run) = rows.run(id)? else { return Ok(false) };
    if !allows(rows, run, RunStep::Replay)? {
        return Ok(false);
    }
    Table::<RunRow>::edit(rows, run, |row| row.replay(now))?;
    rows.show_run(run)?;
    rows.wake_others();
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::data::JobData;
    use crate::key::JobKey;
    use crate::store::rows::{Driver, Lane};

    /// Runs and claims in maps, and those that stand in their places.
    #[derive(Debug, Default)]
    struct Plain {
        runs: BTreeMap<u64, RunRow>,
        claims: BTreeMap<u64, RunClaim>,
        standing: BTreeMap<u64, DateTime<Utc>>,
        last: u64,
    }

    impl Driver for Plain {
        type Missing = Infallible;
    }

    impl Table<RunRow> for Plain {
        fn get(&mut self, id: Id<RunRow>) -> Result<Option<&RunRow>, Infallible> {
            Ok(self.runs.get(&id.0))
        }

        fn edit<A>(
            &mut self,
            id: Id<RunRow>,
            edit: impl FnOnce(&mut RunRow) -> A,
        ) -> Result<Option<A>, Infallible> {
            let answer = self.runs.get_mut(&id.0).map(edit);
            if self.runs.get(&id.0).is_some_and(|row| row.place().is_none()) {
                self.standing.remove(&id.0);
            }
            Ok(answer)
        }

        fn remove(&mut self, id: Id<RunRow>) -> Result<(), Infallible> {
            self.runs.remove(&id.0);
            self.standing.remove(&id.0);
            Ok(())
        }
    }

    impl Table<RunClaim> for Plain {
        fn get(&mut self, id: Id<RunClaim>) -> Result<Option<&RunClaim>, Infallible> {
            Ok(self.claims.get(&id.0))
        }

        fn edit<A>(
            &mut self,
            id: Id<RunClaim>,
            edit: impl FnOnce(&mut RunClaim) -> A,
        ) -> Result<Option<A>, Infallible> {
            Ok(self.claims.get_mut(&id.0).map(edit))
        }

        fn remove(&mut self, id: Id<RunClaim>) -> Result<(), Infallible> {
            self.claims.remove(&id.0);
            Ok(())
        }
    }

    impl Runs for Plain {
        fn add_run(&mut self, row: RunRow) -> Id<RunRow> {
            self.last += 1;
            self.standing.extend(row.place().map(|place| (self.last, place.at)));
            self.runs.insert(self.last, row);
            Id::new(self.last)
        }

        fn run(&mut self, id: RunId) -> Result<Option<Id<RunRow>>, Infallible> {
            Ok(self.runs.iter().find(|(_, row)| row.id == id).map(|(number, _)| Id::new(*number)))
        }

        fn claim_of(&mut self, run: Id<RunRow>) -> Result<Option<Id<RunClaim>>, Infallible> {
            Ok(self.claims.iter().find(|(_, claim)| claim.run == run).map(|(number, _)| Id::new(*number)))
        }

        fn show_run(&mut self, run: Id<RunRow>) -> Result<(), Infallible> {
            let place = self.runs.get(&run.0).and_then(RunRow::place);
            self.standing.extend(place.map(|place| (run.0, place.at)));
            Ok(())
        }

        fn free_job(&mut self, _: &JobKey) -> Result<(), Infallible> {
            Ok(())
        }

        fn wake_others(&mut self) {}
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    impl Plain {
        fn enqueue(&mut self, number: u64) -> Enqueued {
            let job: JobKey = "work".parse().unwrap();
            let data = Arc::new(JobData::new());
            let Ok(answer) =
                enqueue(self, RunRow::new(RunId::new(1, number), job, data, at(0), 5, (false, Lane(0))));
            answer
        }

        /// Takes the first that is due.
        fn take(&mut self, now: DateTime<Utc>) -> Option<(ExecutionId, RunId)> {
            let (run, _) =
                self.standing.iter().find(|(_, due)| **due <= now).map(|(run, due)| (*run, *due))?;
            self.standing.remove(&run);
            self.last += 1;
            let claim = RunClaim::of(Id::new(run), &self.runs[&run], 1, now);
            self.claims.insert(self.last, claim);
            Some((ExecutionId::new(1, self.last), self.runs[&run].id))
        }
    }

    #[test]
    fn an_attempt_is_counted_by_whoever_ends_it_and_a_repeated_end_changes_nothing() {
        let mut rows = Plain::default();
        assert_eq!(rows.enqueue(1), Enqueued::Created);
        assert_eq!(rows.enqueue(1), Enqueued::Existing, "the same call again");
        let (claim, run) = rows.take(at(0)).unwrap();
        assert!(rows.take(at(9)).is_none(), "it is claimed");
        let again = |counts| Fate::Again { at: at(10), counts, error: Some("no".into()) };
        assert_eq!(end_attempt(&mut rows, claim, again(true)), Ok(true));
        assert_eq!(end_attempt(&mut rows, claim, Fate::Over), Ok(false));
        assert!(rows.take(at(9)).is_none(), "it is not due yet");
        let (claim, _) = rows.take(at(10)).unwrap();
        assert_eq!(end_attempt(&mut rows, claim, again(false)), Ok(true), "it was interrupted");
        let (claim, _) = rows.take(at(10)).unwrap();
        assert_eq!(rows.claims[&claim.count()].attempt, 2, "the second that counts");
        assert_eq!(end_attempt(&mut rows, claim, Fate::Dead { error: None }), Ok(true));
        assert!(rows.take(at(99)).is_none());
        assert_eq!(replay(&mut rows, run, at(50)), Ok(true));
        assert_eq!(replay(&mut rows, run, at(50)), Ok(false), "it waits already");
        let (claim, same) = rows.take(at(50)).unwrap();
        assert_eq!((same, rows.claims[&claim.count()].attempt), (run, 1), "the same run begins anew");
        assert_eq!(end_attempt(&mut rows, claim, Fate::Over), Ok(true));
        assert!(rows.runs.is_empty() && rows.claims.is_empty(), "nothing is left");
    }

    #[test]
    fn a_run_that_is_lost_again_and_again_is_dead() {
        let mut rows = Plain::default();
        rows.enqueue(1);
        for loss in 1..=MOST_LOSSES {
            let (claim, _) = rows.take(at(0)).unwrap();
            assert_eq!(lose_attempt(&mut rows, claim, at(0)), Ok(true), "{loss}");
            assert_eq!(lose_attempt(&mut rows, claim, at(0)), Ok(false), "whoever takes it over, once");
        }
        let row = rows.runs.values().next().unwrap();
        assert_eq!(
            (row.standing, row.attempts, &**row.last_error().unwrap()),
            (Standing::Ended(RunEnd::Dead), MOST_LOSSES, "its node was lost")
        );
    }

    #[test]
    fn a_run_that_a_node_runs_is_asked_to_stop_and_another_one_is_gone() {
        let mut rows = Plain::default();
        for number in 1..=2 {
            assert_eq!(rows.enqueue(number), Enqueued::Created);
        }
        let (claim, run) = rows.take(at(0)).unwrap();
        assert_eq!(cancel_run(&mut rows, run), Ok(true));
        assert!(rows.claims[&claim.count()].is_cancelled);
        assert_eq!(cancel_run(&mut rows, RunId::new(1, 2)), Ok(true));
        assert_eq!(cancel_run(&mut rows, RunId::new(1, 2)), Ok(false));
        assert_eq!(rows.runs.len(), 1);
    }

    proptest! {
        /// Created = waiting + claimed + dead + over + cancelled, after each step; what waits stands, and nothing else does.
        #[test]
        fn no_run_is_lost(steps in prop::collection::vec((0..7u8, 0..6usize), 1..120)) {
            let (mut rows, mut created, mut over) = (Plain::default(), 0u64, 0u64);
            for (now, (step, pick)) in steps.into_iter().enumerate() {
                let now = at(i64::try_from(now).unwrap());
                let claim = rows.claims.keys().nth(pick).map(|number| ExecutionId::new(1, *number));
                let run = rows.runs.values().nth(pick).map(|row| row.id);
                match (step, claim, run) {
                    (0 | 1, ..) => {
                        created += 1;
                        rows.enqueue(created);
                    }
                    (2, ..) => drop(rows.take(now)),
                    (3, Some(claim), _) => over += u64::from(end_attempt(&mut rows, claim, Fate::Over).unwrap()),
                    (4, Some(claim), _) => {
                        let fate = match pick % 2 {
                            0 => Fate::Again { at: now, counts: true, error: None },
                            _ => Fate::Dead { error: None },
                        };
                        prop_assert!(end_attempt(&mut rows, claim, fate).unwrap());
                    }
                    (5, Some(claim), _) => prop_assert!(lose_attempt(&mut rows, claim, now).unwrap()),
                    (6, _, Some(run)) => {
                        let before = rows.runs.len();
                        cancel_run(&mut rows, run).unwrap();
                        over += (before - rows.runs.len()) as u64;
                        replay(&mut rows, run, now).unwrap();
                    }
                    _ => {}
                }
                prop_assert_eq!(created, over + rows.runs.len() as u64);
                for (number, row) in &rows.runs {
                    let is_claimed = rows.claims.values().any(|claim| claim.run == Id::new(*number));
                    let waits = row.standing == Standing::Waiting && !is_claimed;
                    prop_assert_eq!(rows.standing.contains_key(number), waits, "{:?}", row);
                }
                prop_assert!(rows.claims.values().all(|claim| rows.runs.contains_key(&claim.run.0)));
            }
        }
    }
}
