//! Rules about claims: their owner, when they lapse, and the place of a claimed trigger or run.

use scheduler_core::job::{CancelReason, ExecutionId};
use scheduler_core::store::rows::*;

use super::DriverUnderTest;
use super::bench::*;

/// The claim that is found by what was claimed.
fn claim_of<D: DriverUnderTest>(bench: &Bench<D>, name: &Name) -> Option<u64> {
    let claim = bench.run(|rows| match name {
        Name::Run(id) => rows.run(*id)?.map_or(Ok(None), |run| rows.claim_of(run)),
        Name::Trigger(key) => rows.trigger(key)?.map_or(Ok(None), |trigger| rows.unfired(trigger)),
    });
    claim.map(|id| id.0)
}

fn row_of<D: DriverUnderTest>(bench: &Bench<D>, claim: ExecutionId) -> Option<ClaimRow> {
    bench.run(|rows| Ok(rows.get(Id::of(claim))?.cloned()))
}

rules! { ($) claims, __driver_rules_of_claims;

fn claimed_work_is_handed_out_to_nobody_else(bench) {
    bench.put(&[trigger("a", 1), run(1, 1)]);
    assert_eq!(names(&bench.take(ONE, 1, 1)), ["a"]);
    assert_eq!(names(&bench.take(TWO, 1, 10)), ["run 1"]);
    for session in [ONE, TWO] {
        assert_eq!(names(&bench.take(session, 99, 10)), [""; 0]);
    }
}

fn a_claim_says_what_was_claimed(bench) {
    bench.put(&[trigger("a", 1).alone(), run(1, 2).of("other")]);
    bench.run(|rows| {
        if let Name::Run(id) = run(1, 2).name && let Some(run) = rows.run(id)? {
            rows.edit(run, |row| (row.attempts, row.epoch) = (3, 8))?;
        }
        let Name::Trigger(key) = trigger("a", 1).name else { return Ok(()) };
        let Some(id) = rows.trigger(&key)? else { return Ok(()) };
        rows.edit(id, |row| {
            row.epoch = 7;
            row.set_lineage(77);
        })?;
        Ok(())
    });
    let taken = bench.take(ONE, 2, 10);
    assert_eq!(names(&taken), ["a", "run 1"]);
    let of_trigger = row_of(&bench, taken[0].claim).expect("it is there");
    assert_eq!(Name::Trigger(of_trigger.trigger.key().clone()), taken[0].name);
    let said = (of_trigger.session, of_trigger.epoch, of_trigger.lineage, of_trigger.exclusive, of_trigger.fired);
    assert_eq!(said, (ONE, 7, 77, true, false));
    let is_of_it = bench.run(|rows| {
        let Name::Trigger(key) = &taken[0].name else { return Ok(false) };
        let id = rows.trigger(key)?;
        Ok(rows.get(Id::of(taken[0].claim))?.is_some_and(|claim| claim.trigger_id() == id))
    });
    assert!(is_of_it, "the claim names the number of its trigger");
    let of_run = row_of(&bench, taken[1].claim).expect("it is there");
    let said = (of_run.session, of_run.epoch, of_run.attempt, of_run.exclusive, of_run.fired);
    assert_eq!(said, (ONE, 8, 4, false, true), "claiming a run is starting it");
    assert!(matches!(of_run.item, Item::Run(id) if Name::Run(id) == taken[1].name));
}

fn numbers_of_claims_grow(bench) {
    bench.put(&(0..6).map(|number| run(number, 1)).collect::<Vec<_>>());
    let mut claims = Vec::new();
    for session in [ONE, TWO, ONE] {
        claims.extend(bench.take(session, 1, 2).iter().map(|taken| taken.claim.count()));
    }
    assert!(claims.is_sorted_by(|a, b| a < b), "{claims:?}");
    assert_eq!(claims.len(), 6);
}

fn claims_are_found_by_session_by_what_they_claim_and_in_a_list(bench) {
    bench.put(&[trigger("a", 1), run(1, 2), trigger("b", 3), run(2, 3)]);
    let of_one = bench.take(ONE, 2, 10);
    let of_two = bench.take(TWO, 3, 10);
    assert_eq!(names(&of_one), ["a", "run 1"]);
    let numbers = |taken: &[Taken]| taken.iter().map(|taken| taken.claim.count()).collect::<Vec<_>>();
    assert_eq!(bench.claims_of(ONE), numbers(&of_one));
    assert_eq!(bench.claims_of(TWO), numbers(&of_two));
    assert_eq!(bench.claims_of(99), [0; 0]);
    for taken in of_one.iter().chain(&of_two) {
        assert_eq!(claim_of(&bench, &taken.name), Some(taken.claim.count()), "{taken:?}");
    }
    let fired = bench.run(|rows| rows.claims(|_, claim| claim.fired));
    assert_eq!(fired.len(), 2, "the claims of the two runs");
    let all = bench.run(|rows| rows.claims(|id, claim| id.0 > 0 && claim.session != 99));
    assert_eq!(all.len(), 4);
}

fn a_claim_that_is_over_is_found_by_nobody(bench) {
    bench.put(&[trigger("a", 1), run(1, 2)]);
    let taken = bench.take(ONE, 2, 10);
    taken.iter().for_each(|taken| bench.give_back(taken));
    assert_eq!(bench.claims_of(ONE), [0; 0]);
    assert!(bench.run(|rows| rows.claims(|_, _| true)).is_empty());
    for taken in &taken {
        assert!(row_of(&bench, taken.claim).is_none());
        assert_eq!(claim_of(&bench, &taken.name), None);
    }
    bench.run(|rows| end_claim(rows, taken[0].claim));
    assert_eq!(bench.due(2), ["a", "run 1"], "a claim that has gone can go again");
}

/// The row does not say that it is claimed.
fn a_claim_does_not_change_what_it_claims(bench) {
    bench.put(&[trigger("a", 1), run(1, 2)]);
    let rows = || bench.run(|rows| {
        let (Name::Trigger(key), Name::Run(id)) = (trigger("a", 1).name, run(1, 2).name) else { return Ok(None) };
        let (Some(trigger), Some(run)) = (rows.trigger(&key)?, rows.run(id)?) else { return Ok(None) };
        let of_trigger = rows.get(trigger)?.map(|row| (row.place(), row.state, row.epoch, row.birth));
        Ok(Some((of_trigger, rows.get(run)?.map(|row| (row.place(), row.standing, row.epoch, row.attempts)))))
    });
    let before = format!("{:?}", rows());
    assert_eq!(bench.take(ONE, 2, 10).len(), 2);
    assert_eq!(format!("{:?}", rows()), before);
}

fn an_edit_alone_does_not_bring_back_what_is_claimed(bench) {
    let (a, one) = (trigger("a", 1), run(1, 1));
    bench.put(&[a.clone(), one.clone()]);
    let taken = bench.take(ONE, 1, 10);
    bench.change(&a.due(at(2)));
    bench.change(&one.due(at(2)));
    assert_eq!(bench.due(9), [""; 0]);
    taken.iter().for_each(|taken| bench.give_back(taken));
    assert_eq!(bench.due(1), [""; 0], "it stands where its row says by now");
    assert_eq!(bench.due(2), ["a", "run 1"]);
}

fn given_back_work_stands_in_its_place_again(bench) {
    bench.put(&[trigger("a", 1), run(1, 2), trigger("b", 3)]);
    let taken = bench.take(ONE, 3, 10);
    bench.give_back(&taken[1]);
    assert_eq!(bench.due(9), ["run 1"]);
    bench.give_back(&taken[0]);
    assert_eq!(names(&bench.take(TWO, 9, 1)), ["a"]);
    assert_eq!(names(&bench.take(ONE, 9, 9)), ["run 1"], "each stands there once");
}

fn a_fired_trigger_waits_for_its_next_time_while_its_claim_lasts(bench) {
    bench.put(&[trigger("a", 1)]);
    let taken = bench.take_one(1);
    bench.fire(&taken, 60);
    assert!(row_of(&bench, taken.claim).is_some_and(|claim| claim.fired));
    assert_eq!(claim_of(&bench, &taken.name), None, "it has no claim that is not fired");
    assert_eq!(bench.due(59), [""; 0]);
    let again = bench.take_one(60);
    assert_eq!(bench.due(999), [""; 0], "it stands in one place only");
    assert_eq!(bench.claims_of(ONE).len(), 2, "two of its runs may overlap");
    bench.run(|rows| end_claim(rows, taken.claim));
    assert_eq!(bench.due(999), [""; 0], "the end of a run does not show it");
    bench.give_back(&again);
    assert_eq!(bench.due(60), ["a"]);
}

/// As after a misfire that is made up for at once.
fn a_fired_trigger_may_be_due_again_at_the_same_time(bench) {
    bench.put(&[trigger("a", 1)]);
    let taken = bench.take_one(1);
    bench.fire(&taken, 1);
    assert_ne!(bench.take_one(1).claim, taken.claim);
    assert_eq!(bench.due(9), [""; 0]);
}

fn showing_what_is_not_claimed_changes_nothing(bench) {
    let all = [trigger("a", 1), run(1, 1), trigger("b", 2).alone().of("other"), run(2, 3).alone().of("third")];
    bench.put(&all);
    for _ in 0..2 {
        all.iter().for_each(|work| bench.show(&work.name));
    }
    assert_eq!(names(&bench.take(ONE, 9, 10)), ["a", "run 1", "b", "run 2"], "each once");
    bench.show(&trigger("none", 1).name);
    bench.show(&run(9, 1).name);
    assert_eq!(bench.due(9), [""; 0], "nor does showing what is not there");
}

/// A node is told for as long as the claim lasts.
fn who_is_asked_to_stop_is_told_so(bench) {
    bench.put(&[run(1, 1), run(2, 1), run(3, 1)]);
    let (of_one, of_two) = (bench.take(ONE, 1, 2), bench.take(TWO, 1, 1));
    let stop = |taken: &Taken, reason| bench.run(|rows| rows.edit(Id::of(taken.claim), |claim| claim.cancel = Some(reason)));
    stop(&of_one[0], CancelReason::Requested);
    stop(&of_one[1], CancelReason::Superseded);
    stop(&of_two[0], CancelReason::Requested);
    let told = |session| bench.run(|rows| rows.cancelled(session));
    assert_eq!(told(ONE), [(of_one[0].claim, CancelReason::Requested), (of_one[1].claim, CancelReason::Superseded)]);
    bench.finish(&of_one[0]);
    assert_eq!(told(ONE), [(of_one[1].claim, CancelReason::Superseded)]);
    assert_eq!(told(TWO), [(of_two[0].claim, CancelReason::Requested)]);
}

fn a_run_that_is_over_leaves_nothing(bench) {
    bench.put(&[run(1, 1), trigger("a", 1)]);
    for taken in bench.take(ONE, 1, 10) {
        bench.finish(&taken);
        assert!(row_of(&bench, taken.claim).is_none());
    }
    assert_eq!(bench.claims_of(ONE), [0; 0]);
    bench.put(&[run(1, 1), trigger("a", 1)]);
    assert_eq!(bench.due(1), ["a", "run 1"], "their names are free");
}

/// A server that came back with older data has forgotten it.
fn a_forgotten_claim_can_be_added_again(bench) {
    bench.put(&[trigger("a", 1)]);
    let taken = bench.take_one(1);
    bench.fire(&taken, 60);
    let row = row_of(&bench, taken.claim).expect("it is there");
    bench.run(|rows| end_claim(rows, taken.claim));
    bench.run(|rows| {
        let Name::Trigger(key) = &taken.name else { return Ok(()) };
        let Some(id) = rows.trigger(key)? else { return Ok(()) };
        rows.add_claim(Id::of(taken.claim), ClaimRow { item: Item::Trigger(id), ..row.clone() });
        Ok(())
    });
    assert_eq!(bench.claims_of(ONE), [taken.claim.count()]);
    assert!(row_of(&bench, taken.claim).is_some_and(|claim| claim.fired && claim.session == ONE));
}

}
