//! Firing records are written with the transaction that they tell of.

use std::time::Duration;

use scheduler_core::job::ExecutionId;
use scheduler_core::run::{FiringCause, RunId};
use scheduler_core::store::rows::*;
use scheduler_core::store::{FiringOutcome, FiringReason, FiringRecord};

use super::bench::*;
use super::{DriverUnderTest, Fault};

/// More than that no transaction writes.
const MOST_ROWS: u32 = 500;

/// A record that is told from others by the number of its attempt.
fn numbered(attempt: u32) -> Box<FiringRecord> {
    let (job, times) = ("job".parse().expect("a key"), (at(1), at(2)));
    let mut record = FiringRecord::new(job, ONE, FiringCause::Enqueued, times, FiringOutcome::Succeeded);
    record.attempt = attempt;
    Box::new(record)
}

impl<D: DriverUnderTest> Bench<D> {
    /// All records, the latest first, by what tells them apart.
    fn recorded(&self) -> Vec<u32> {
        self.driver.firings().expect("they are listed").iter().map(|record| record.attempt).collect()
    }

    /// What a fault leaves of a transaction that changes a run and writes two records. Nothing if the driver cannot have the fault.
    fn recorded_with(&self, fault: Fault) -> Option<(bool, Vec<u32>)> {
        self.put(&[run(0, 1)]);
        let rule = |rows: &mut D::Rows, first| {
            let Some(run) = rows.run(RunId::new(7, 0))? else { return Ok(None) };
            rows.pauses()?;
            rows.record(numbered(first));
            rows.record(numbered(first + 1));
            rows.edit(run, |row| row.attempts += 1)
        };
        // A driver may have to learn something first.
        self.run(|rows| rule(rows, 1));
        if !self.driver.inject(fault) {
            println!("not checked: this driver cannot have {fault:?} happen to a commit");
            return None;
        }
        let answer = self.driver.run(|rows| rule(rows, 3));
        Some((answer.is_ok(), self.recorded()))
    }
}

const BEFORE: [u32; 2] = [2, 1];
const AFTER: [u32; 4] = [4, 3, 2, 1];

rules! { ($) records, __driver_rules_of_records;

fn records_are_in_the_order_in_which_they_were_written(bench) {
    for first in [1, 3] {
        bench.run(|rows| {
            rows.record(numbered(first));
            rows.record(numbered(first + 1));
            Ok(())
        });
    }
    assert_eq!(bench.recorded(), AFTER);
    let records = bench.driver.firings().expect("they are listed");
    assert!(records.is_sorted_by(|newer, older| newer.number > older.number), "{records:?}");
}

fn a_rule_that_runs_again_records_once(bench) {
    bench.put(&[run(0, 1), trigger("a", 1)]);
    bench.run(|rows| {
        rows.record(numbered(1));
        rows.run(RunId::new(7, 0))?;
        rows.selected(&scheduler_core::store::Selection::All)?;
        rows.pauses().map(drop)
    });
    assert_eq!(bench.recorded(), [1]);
}

fn a_refused_commit_records_nothing(bench) {
    if let Some((is_done, records)) = bench.recorded_with(Fault::Refused) {
        assert!(is_done, "a refused transaction is run again");
        assert_eq!(records, AFTER);
    }
}

fn a_repeated_commit_records_once(bench) {
    if let Some((is_done, records)) = bench.recorded_with(Fault::Doubled) {
        assert!(is_done, "whoever repeats a commit hears that it is done");
        assert_eq!(records, AFTER);
    }
}

fn records_of_a_commit_without_an_answer_are_there_as_a_whole_or_not_at_all(bench) {
    if let Some((is_done, records)) = bench.recorded_with(Fault::AnswerLost) {
        assert!(records == AFTER || (records == BEFORE && !is_done), "{records:?}");
    }
}

fn a_transaction_may_write_five_hundred_records(bench) {
    bench.run(|rows| {
        (1..=MOST_ROWS).for_each(|number| rows.record(numbered(number)));
        Ok(())
    });
    assert_eq!(bench.recorded(), (1..=MOST_ROWS).rev().collect::<Vec<_>>());
}

fn all_that_a_record_says_comes_back(bench) {
    let long = "ö".repeat(2_000);
    let texts = ["", "\0", "a\0b", "\n", "'; --", "日本語\u{1F600}", &long, "y"];
    let causes = [FiringCause::Schedule, FiringCause::Manual, FiringCause::Enqueued, FiringCause::Retry, FiringCause::Recovery, FiringCause::Continuation];
    let reasons = [
        FiringReason::Misfired, FiringReason::Excluded, FiringReason::Overlapped, FiringReason::Vetoed, FiringReason::Requested,
        FiringReason::Superseded, FiringReason::Shutdown, FiringReason::ClaimLost, FiringReason::Retried, FiringReason::Dead,
        FiringReason::Expired, FiringReason::Dependency,
    ];
    let mut written = vec![*numbered(0)];
    for (n, text) in (0..12).zip(texts.into_iter().cycle()) {
        let mut record = *numbered(u32::MAX - n);
        let of = n as usize;
        record.cause = causes[of % causes.len()];
        record.outcome = FiringOutcome::ALL[of % FiringOutcome::ALL.len()];
        record.reason = Some(reasons[of % reasons.len()]);
        record.execution = Some(ExecutionId::new(u64::MAX, n.into()));
        record.run = Some(RunId::new(n.into(), u64::MAX));
        record.trigger = Some(scheduler_core::TriggerKey::in_group("g", &format!("t{n}")).expect("a key"));
        let text = Some(text.into());
        (record.job_type, record.queue, record.node, record.failure) = (text.clone(), text.clone(), text.clone(), text);
        (record.began, record.overran) = (Some(at(-5)), Some(Duration::from_millis(1_500)));
        record.session = u64::MAX;
        written.push(record);
    }
    for reason in reasons {
        let mut record = *numbered(7);
        (record.reason, record.outcome) = (Some(reason), FiringOutcome::NotRun);
        written.push(record);
    }
    bench.run(|rows| {
        written.iter().for_each(|record| rows.record(Box::new(record.clone())));
        Ok(())
    });
    let mut found = bench.driver.firings().expect("they are listed");
    found.reverse();
    found.iter_mut().for_each(|record| record.number = 0);
    assert_eq!(found, written);
}

}
