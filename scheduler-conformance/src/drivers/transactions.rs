//! A transaction happens once, as a whole, or not at all.

use scheduler_core::run::RunId;
use scheduler_core::store::rows::*;

use super::bench::*;
use super::{DriverUnderTest, Fault};

/// More than that no transaction writes.
const MOST_ROWS: u64 = 500;

fn id(number: u64) -> RunId {
    RunId::new(7, number)
}

/// One attempt more, and which one that is.
fn count<R: Rows>(rows: &mut R, number: u64) -> Answer<R, Option<u32>> {
    let Some(run) = rows.run(id(number))? else { return Ok(None) };
    rows.edit(run, |row| {
        row.attempts += 1;
        row.attempts
    })
}

fn counts<D: DriverUnderTest>(bench: &Bench<D>, numbers: std::ops::Range<u64>) -> Vec<u32> {
    bench.run(|rows| {
        let counts = each(rows, numbers.clone(), |rows, number| {
            let Some(run) = rows.run(id(number))? else { return Ok(None) };
            Ok(rows.get(run)?.map(|row| row.attempts))
        })?;
        Ok(counts.into_iter().flatten().collect())
    })
}

/// Two rows, one more, and one less, with a fault. Says whether the driver has answered; nothing if it cannot have the fault.
fn count_with<D: DriverUnderTest>(bench: &Bench<D>, fault: Fault) -> Option<bool> {
    bench.put(&[run(0, 1), run(1, 1), run(2, 1)]);
    // A driver may have to learn something first.
    bench.run(|rows| count(rows, 0));
    if !bench.driver.inject(fault) {
        println!("not checked: this driver cannot have {fault:?} happen to a commit");
        return None;
    }
    let answer = bench.driver.run(|rows| {
        add(rows, &run(3, 1))?;
        remove(rows, &run(2, 1).name)?;
        Ok((count(rows, 0)?, count(rows, 1)?))
    });
    if let Ok(answer) = &answer {
        assert_eq!(*answer, (Some(2), Some(1)), "the answer is that of what was committed");
    }
    Some(answer.is_ok())
}

const BEFORE: [u32; 3] = [1, 0, 0];
const AFTER: [u32; 3] = [2, 1, 0];

rules! { ($) transactions, __driver_rules_of_transactions;

fn an_edit_is_seen_by_its_own_transaction_and_by_the_next(bench) {
    bench.put(&[run(0, 1)]);
    assert_eq!(bench.run(|rows| Ok((count(rows, 0)?, count(rows, 0)?))), (Some(1), Some(2)));
    assert_eq!(counts(&bench, 0..1), [2]);
    assert_eq!(bench.run(|rows| count(rows, 1)), None, "a row that is not there is not edited");
}

/// A rule that misses a row begins anew: what it has written by then has not happened.
fn a_rule_that_runs_again_finds_nothing_written(bench) {
    bench.put(&[run(0, 1), run(1, 1), run(2, 1), trigger("a", 1)]);
    bench.run(|rows| {
        for number in 0..3 {
            count(rows, number)?;
            add(rows, &run(10 + number, 1))?;
        }
        rows.selected(&scheduler_core::store::Selection::All)?;
        rows.pauses().map(drop)
    });
    assert_eq!(counts(&bench, 0..20), [1, 1, 1, 0, 0, 0]);
    assert_eq!(bench.due(1).len(), 7);
}

fn a_refused_commit_changes_nothing_and_runs_again(bench) {
    if let Some(is_done) = count_with(&bench, Fault::Refused) {
        assert!(is_done, "a refused transaction is run again");
        assert_eq!(counts(&bench, 0..4), AFTER);
    }
}

fn a_repeated_commit_is_done_once(bench) {
    if let Some(is_done) = count_with(&bench, Fault::Doubled) {
        assert!(is_done, "whoever repeats a commit hears that it is done");
        assert_eq!(counts(&bench, 0..4), AFTER);
        assert_eq!(bench.due(1), ["run 0", "run 1", "run 3"]);
    }
}

/// The caller does not know which, but never is it a half, and never is it done twice.
fn a_commit_without_an_answer_is_done_as_a_whole_or_not_at_all(bench) {
    if let Some(is_done) = count_with(&bench, Fault::AnswerLost) {
        let counts = counts(&bench, 0..4);
        assert!(counts == AFTER || (counts == BEFORE && !is_done), "{counts:?}");
    }
}

fn a_transaction_may_write_five_hundred_rows(bench) {
    let all: Vec<_> = (0..MOST_ROWS).map(|number| run(number, 1)).collect();
    bench.put(&all);
    let numbers = 0..MOST_ROWS;
    bench.run(|rows| each(rows, numbers.clone(), count));
    assert_eq!(counts(&bench, 0..MOST_ROWS), vec![1; all.len()]);
    let taken = bench.take(ONE, 1, 1000);
    assert_eq!(taken.len(), all.len());
    for part in taken.chunks(taken.len() / 2) {
        bench.run(|rows| each(rows, part, finish));
    }
    assert!(counts(&bench, 0..MOST_ROWS).is_empty() && bench.claims_of(ONE).is_empty());
    let all: Vec<_> = (0..MOST_ROWS / 2).map(|n| trigger(&format!("t{n:03}"), 1).of(&format!("j{n:03}"))).collect();
    bench.put(&all);
    bench.run(|rows| each(rows, &all, |rows, work| change(rows, &work.clone().due(at(2)))));
    assert_eq!((bench.due(1).len(), bench.take(ONE, 2, 1000).len()), (0, all.len()));
}

/// Rows, places, claims, and what was removed.
fn what_was_acknowledged_survives_a_crash(bench) {
    let crash = || bench.driver.crash();
    bench.put(&[run(0, 1), run(1, 2), trigger("a", 3).of("alone").alone()]);
    bench.put(&[trigger("b", 4).of("alone").alone()]);
    if !crash() {
        println!("not checked: this driver cannot crash");
        return;
    }
    bench.run(|rows| count(rows, 1));
    assert!(crash());
    assert_eq!(counts(&bench, 0..2), [0, 1]);
    let taken = bench.take(ONE, 3, 10);
    assert_eq!(names(&taken), ["run 0", "run 1", "a"], "everything stands where it stood");
    assert!(crash());
    assert_eq!(names(&bench.take(TWO, 9, 10)), [""; 0], "what is claimed stays claimed, and its job busy");
    assert_eq!(bench.claims_of(ONE), taken.iter().map(|taken| taken.claim.count()).collect::<Vec<_>>());
    bench.finish(&taken[0]);
    bench.finish(&taken[2]);
    assert!(crash());
    assert_eq!(counts(&bench, 0..2), [1], "what was removed does not come back");
    assert_eq!(bench.claims_of(ONE), [taken[1].claim.count()]);
    assert_eq!(names(&bench.take(ONE, 9, 10)), ["b"]);
}

}
