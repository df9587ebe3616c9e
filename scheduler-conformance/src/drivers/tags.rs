//! Runs that are found by what they have to do with something else.

use std::sync::atomic::AtomicU32;

use scheduler_core::TriggerKey;
use scheduler_core::run::{RunEnd, RunId};
use scheduler_core::store::rows::*;
use scheduler_core::store::{Cause, NewRun};

use super::bench::*;
use super::concurrent::{Meeting, PATIENCE, at_once};

fn key(key: &str) -> TriggerKey {
    key.parse().expect("a key")
}

/// Adds a run that tries an occurrence of this trigger again.
fn add_retry<R: Rows>(rows: &mut R, number: u64, of: &str) -> Answer<R, ()> {
    let job = run(number, 50);
    let mut new = NewRun::of(RunId::new(7, number), &job.detail(), at(50));
    new.cause = Cause::Trigger { trigger: key(of), scheduled: at(1), fired: at(1) };
    let lane = rows.lane(None, &new.job_type);
    rows.add_run(RunRow::new(new, lane));
    Ok(())
}

/// The numbers of the runs that try occurrences of this trigger again.
fn retries<R: Rows>(rows: &mut R, of: &str) -> Answer<R, Vec<u64>> {
    let found = rows.tagged(&RunTag::RetryOf(key(of)))?;
    let numbers = each(rows, found, |rows, run| Ok(rows.get(run)?.map(|row| row.id.count())))?;
    let mut numbers: Vec<_> = numbers.into_iter().flatten().collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn edit<R: Rows>(rows: &mut R, number: u64, edit: impl FnOnce(&mut RunRow)) -> Answer<R, ()> {
    match rows.run(RunId::new(7, number))? {
        Some(run) => rows.edit(run, edit).map(drop),
        None => Ok(()),
    }
}

rules! { ($) tags, __driver_rules_of_tags;

fn runs_are_found_by_their_tags(bench) {
    bench.run(|rows| {
        add_retry(rows, 1, "a")?;
        add_retry(rows, 2, "a")?;
        add_retry(rows, 3, "group/a")?;
        add_retry(rows, 4, "ab")
    });
    bench.put(&[run(5, 50)]);
    assert_eq!(bench.run(|rows| retries(rows, "a")), [1, 2]);
    assert_eq!(bench.run(|rows| retries(rows, "group/a")), [3]);
    assert_eq!(bench.run(|rows| retries(rows, "b")), [0; 0]);
    bench.run(|rows| edit(rows, 1, |row| row.due = at(60)));
    assert_eq!(bench.run(|rows| retries(rows, "a")), [1, 2], "another time is no other tag");
    bench.take(ONE, 99, 99);
    assert_eq!(bench.run(|rows| retries(rows, "a")), [1, 2], "also while a node runs them");
    bench.run(|rows| edit(rows, 1, |row| row.finish(RunEnd::Dead, at(60), at(999))));
    bench.remove(&run(2, 50).name);
    assert_eq!(bench.run(|rows| retries(rows, "a")), [0; 0]);
}

fn a_transaction_finds_the_tags_of_what_it_has_changed_itself(bench) {
    bench.run(|rows| add_retry(rows, 1, "a"));
    let found = bench.run(|rows| {
        let before = retries(rows, "a")?;
        add_retry(rows, 2, "a")?;
        let with_another = retries(rows, "a")?;
        edit(rows, 1, |row| row.finish(RunEnd::Dead, at(60), at(999)))?;
        Ok((before, with_another, retries(rows, "a")?))
    });
    assert_eq!(found, (vec![1], vec![1, 2], vec![2]));
}

fn some_of_the_runs_of_a_tag_are_found(bench) {
    bench.run(|rows| (1..=5).try_for_each(|number| add_retry(rows, number, "a")));
    let some = |most: usize| bench.run(|rows| rows.some_tagged(&RunTag::RetryOf(key("a")), most));
    for (most, expected) in [(1, (1, true)), (4, (4, true)), (6, (5, false)), (usize::MAX, (5, false))] {
        let (found, may_be_more) = some(most);
        assert_eq!((found.len(), may_be_more), expected, "at most {most}");
    }
    // What has left the tag makes room for the others.
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.extend(bench.run(|rows| {
            let (found, _) = rows.some_tagged(&RunTag::RetryOf(key("a")), 2)?;
            each(rows, found, |rows, run| rows.edit(run, |row| {
                row.finish(RunEnd::Dead, at(60), at(999));
                row.id.count()
            }))
        }).into_iter().flatten());
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(some(3).0.len(), 0);
}

fn who_goes_by_the_number_of_tags_is_not_overtaken(bench) {
    let patience = AtomicU32::new(PATIENCE);
    for round in 0..20 {
        let (of, meeting) = (format!("t{round}"), Meeting::new(&patience));
        at_once(2, |thread| bench.run(|rows| {
            let known = retries(rows, &of)?;
            meeting.meet(2);
            if known.is_empty() {
                add_retry(rows, 2 * round + thread, &of)?;
            }
            Ok(())
        }));
        assert_eq!(bench.run(|rows| retries(rows, &of)).len(), 1, "one was added in round {round}");
    }
}
}
