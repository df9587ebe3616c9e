//! The counters of batches, which are no part of a row.

use std::sync::atomic::AtomicU32;

use scheduler_core::run::{BatchCounts, RunId};
use scheduler_core::store::NewRun;
use scheduler_core::store::batches::NewBatch;
use scheduler_core::store::rows::*;

use super::bench::*;
use super::concurrent::{Meeting, PATIENCE, at_once};

fn id(number: u64) -> RunId {
    RunId::new(7, number)
}

/// Adds a batch.
fn add_batch<R: Rows>(rows: &mut R, number: u64) -> Answer<R, ()> {
    let job = run(number, 50);
    let mut new = NewRun::of(id(number), &job.detail(), at(50));
    new.opens = Some(NewBatch::new(None));
    let lane = rows.lane(None, &new.job_type);
    rows.add_run(RunRow::new(new, lane));
    Ok(())
}

/// So many runs more, of which so many have succeeded.
fn change(total: i64, succeeded: i64) -> BatchCounts {
    BatchCounts::of([total, total - succeeded, succeeded, 0, 0, 0, 0, 0])
}

fn tally<R: Rows>(rows: &mut R, number: u64, change: BatchCounts) -> Answer<R, ()> {
    rows.tally(id(number), change);
    Ok(())
}

/// The batches that ring.
fn ringing<R: Rows>(rows: &mut R) -> Answer<R, Vec<u64>> {
    let alarms = rows.alarms(at(50))?;
    let ring = |alarm| match alarm {
        Alarm::Batch(batch) => Some(batch.count()),
        _ => None,
    };
    Ok(alarms.into_iter().filter_map(ring).collect())
}

rules! { ($) batches, __driver_rules_of_batches;

fn the_counters_of_a_batch_are_added_up(bench) {
    bench.run(|rows| add_batch(rows, 1));
    bench.run(|rows| tally(rows, 1, change(5, 0)));
    bench.run(|rows| {
        tally(rows, 1, change(0, 1))?;
        tally(rows, 1, change(0, 2))
    });
    assert_eq!(bench.run(|rows| rows.counts(id(1))), change(5, 3));
    let own = bench.run(|rows| {
        tally(rows, 1, change(1, 0))?;
        rows.counts(id(1))
    });
    assert_eq!(own, change(6, 3), "a transaction finds what it has added itself");
    assert_eq!(bench.run(|rows| rows.counts(id(1))), change(6, 3));
}

fn a_batch_of_which_nothing_is_pending_rings_until_a_rule_has_heard_of_it(bench) {
    bench.run(|rows| add_batch(rows, 1));
    bench.run(|rows| tally(rows, 1, change(2, 0)));
    assert_eq!(bench.run(ringing), [0; 0]);
    bench.run(|rows| tally(rows, 1, change(0, 2)));
    assert_eq!(bench.run(ringing), [1]);
    bench.run(|rows| {
        rows.counts(id(1))?;
        rows.heard(id(1));
        Ok(())
    });
    assert_eq!(bench.run(ringing), [0; 0]);
    bench.run(|rows| tally(rows, 1, BatchCounts::default()));
    assert_eq!(bench.run(ringing), [1], "somebody asks for a look");
}

fn the_first_death_in_a_batch_rings_once(bench) {
    let death = BatchCounts::of([0, -1, 0, 0, 1, 0, 0, 0]);
    bench.run(|rows| add_batch(rows, 1));
    bench.run(|rows| tally(rows, 1, change(9, 0)));
    bench.run(|rows| tally(rows, 1, death));
    assert_eq!(bench.run(ringing), [1]);
    bench.run(|rows| {
        rows.heard(id(1));
        Ok(())
    });
    bench.run(|rows| tally(rows, 1, death));
    assert_eq!(bench.run(ringing), [0; 0]);
}

fn what_is_no_batch_has_no_counters(bench) {
    bench.run(|rows| tally(rows, 1, change(5, 5)));
    assert_eq!(bench.run(|rows| rows.counts(id(1))), BatchCounts::default());
    bench.run(|rows| add_batch(rows, 1));
    bench.run(|rows| tally(rows, 1, change(5, 5)));
    bench.run(|rows| match rows.run(id(1))? {
        Some(run) => rows.remove(run),
        None => Ok(()),
    });
    assert_eq!(bench.run(|rows| rows.counts(id(1))), BatchCounts::default(), "they go with the batch");
    assert_eq!(bench.run(ringing), [0; 0]);
}

fn who_finds_nothing_pending_is_not_overtaken(bench) {
    let patience = AtomicU32::new(PATIENCE);
    for round in 0..20 {
        let meeting = Meeting::new(&patience);
        bench.run(|rows| add_batch(rows, round));
        at_once(2, |_| bench.run(|rows| {
            let counts = rows.counts(id(round))?;
            meeting.meet(2);
            if counts.total == 0 {
                rows.tally(id(round), change(1, 1));
            }
            Ok(())
        }));
        assert_eq!(bench.run(|rows| rows.counts(id(round))).total, 1, "one was added in round {round}");
    }
}
}
