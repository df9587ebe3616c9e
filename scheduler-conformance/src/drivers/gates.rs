//! Gates: a claim of a run holds a slot of each of its gates, and whoever finds no room waits.

use scheduler_core::run::{Gate, GateId, Gates, RunId};
use scheduler_core::store::rows::*;
use scheduler_core::store::{LimitOverride, NewRun, rules};

use super::bench::*;

/// Adds a run with these gates: a key, how much of it may be used, and how much the run uses.
fn add_gated<R: Rows>(rows: &mut R, number: u64, gates: &[(&str, u32, u32)]) -> Answer<R, ()> {
    let job = run(number, 50);
    let mut new = NewRun::of(RunId::new(7, number), &job.detail(), at(50));
    let gate =
        |(key, cap, weight): &(&str, u32, u32)| Gate::new(GateId::of("gate", Some(key)), *cap, *weight);
    new.gates = Gates::new(gates.iter().map(gate).collect());
    let lane = rows.lane(None, &new.job_type);
    rows.add_run(RunRow::new(new, lane));
    Ok(())
}

fn set_cap<R: Rows>(rows: &mut R, key: Option<&str>, cap: Option<u32>) -> Answer<R, ()> {
    rows.set_cap(&GateId::of("gate", key), cap.map(LimitOverride::of).as_ref())
}

fn shut_at<R: Rows>(rows: &mut R, key: &str, until: i64) -> Answer<R, ()> {
    rows.shut(&GateId::of("gate", Some(key)), at(until))
}

rules! { ($) gates, __driver_rules_of_gates;

fn no_more_is_claimed_than_there_is_room_at_a_gate(bench) {
    bench.run(|rows| each(rows, 1..=5, |rows, number| add_gated(rows, number, &[("a", 2, 1)])));
    bench.run(|rows| add_gated(rows, 6, &[("b", 1, 1)]));
    bench.put(&[run(7, 50)]);
    assert_eq!(names(&bench.take(ONE, 99, 99)), ["run 1", "run 2", "run 6", "run 7"]);
    assert_eq!(names(&bench.take(TWO, 99, 99)), [""; 0], "of no node");
}

fn a_gate_counts_weights(bench) {
    bench.run(|rows| {
        add_gated(rows, 1, &[("a", 7, 4)])?;
        add_gated(rows, 2, &[("a", 7, 4), ("b", 1, 1)])?;
        add_gated(rows, 3, &[("b", 1, 1)])
    });
    assert_eq!(names(&bench.take(ONE, 99, 99)), ["run 1", "run 3"], "the second one holds nothing");
}

fn a_slot_goes_with_its_claim(bench) {
    bench.run(|rows| each(rows, 1..=4, |rows, number| add_gated(rows, number, &[("a", 1, 1)])));
    let first = bench.take_one(99);
    bench.give_back(&first);
    let first = bench.take_one(99);
    assert_eq!(names(std::slice::from_ref(&first)), ["run 1"]);
    bench.finish(&first);
    let second = bench.take_one(99);
    bench.run(|rows| match rows.run(RunId::new(7, 2))? {
        Some(run) => rules::clear_run(rows, run),
        None => Ok(()),
    });
    assert_eq!(names(&bench.take(ONE, 99, 99)), [""; 0], "its run is gone, and its claim is not");
    bench.run(|rows| end_claim(rows, second.claim));
    assert_eq!(names(&[bench.take_one(99)]), ["run 3"]);
}

fn a_claim_that_was_forgotten_holds_its_slot_again(bench) {
    bench.run(|rows| each(rows, 1..=2, |rows, number| add_gated(rows, number, &[("a", 1, 1)])));
    let first = bench.take_one(99);
    let id = Id::<ClaimRow>::of(first.claim);
    let row = bench.run(|rows| Ok(rows.get(id)?.cloned())).expect("a claim");
    bench.run(|rows| end_claim(rows, first.claim));
    bench.run(|rows| {
        rows.get(id)?;
        rows.add_claim(id, row.clone());
        Ok(())
    });
    assert_eq!(names(&bench.take(ONE, 99, 99)), [""; 0]);
    bench.finish(&first);
    assert_eq!(names(&[bench.take_one(99)]), ["run 2"]);
}

fn nobody_enters_a_gate_that_is_shut(bench) {
    bench.run(|rows| each(rows, 1..=3, |rows, number| add_gated(rows, number, &[("a", 2, 1)])));
    bench.run(|rows| add_gated(rows, 4, &[("b", 1, 1)]));
    let first = bench.take(ONE, 99, 99);
    assert_eq!(names(&first), ["run 1", "run 2", "run 4"]);
    bench.run(|rows| add_gated(rows, 5, &[("b", 1, 1)]));
    bench.run(|rows| shut_at(rows, "a", 200));
    bench.run(|rows| shut_at(rows, "b", -1));
    bench.finish(&first[0]);
    bench.finish(&first[2]);
    assert_eq!(names(&bench.take(ONE, 99, 99)), ["run 5"], "another gate is open");
    bench.run(|rows| shut_at(rows, "a", 150));
    bench.finish(&first[1]);
    assert_eq!(names(&bench.take(ONE, 99, 99)), [""; 0], "an earlier time changes nothing");
}

fn a_cap_that_is_set_wins_over_that_of_runs(bench) {
    bench.run(|rows| each(rows, 1..=6, |rows, number| add_gated(rows, number, &[("a", 1, 1)])));
    let first = bench.take_one(99);
    bench.run(|rows| set_cap(rows, Some("a"), Some(2)));
    assert_eq!(names(&bench.take(TWO, 99, 99)), ["run 2"]);
    bench.run(|rows| set_cap(rows, None, Some(9)));
    assert_eq!(names(&bench.take(TWO, 99, 99)), [""; 0], "that of the key comes first");
    bench.run(|rows| set_cap(rows, Some("a"), Some(0)));
    bench.finish(&first);
    assert_eq!(names(&bench.take(TWO, 99, 99)), [""; 0]);
    bench.run(|rows| set_cap(rows, Some("a"), None));
    bench.run(|rows| set_cap(rows, None, Some(3)));
    assert_eq!(names(&bench.take(TWO, 99, 99)), ["run 3", "run 4"]);
}

fn who_waits_at_a_gate_can_be_changed_and_removed(bench) {
    bench.run(|rows| each(rows, 1..=5, |rows, number| add_gated(rows, number, &[("a", 1, 1)])));
    let first = bench.take_one(99);
    bench.change(&run(2, 200));
    bench.change(&run(4, 40));
    bench.remove(&run(3, 50).name);
    bench.finish(&first);
    let next = bench.take_one(99);
    assert_eq!(names(std::slice::from_ref(&next)), ["run 4"], "it is due before the others");
    bench.finish(&next);
    assert_eq!(names(&[bench.take_one(99)]), ["run 5"]);
}
}
