//! Where work stands: places follow from rows.

use std::sync::Arc;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use scheduler_core::TriggerKey;
use scheduler_core::run::RunEnd;
use scheduler_core::store::rows::*;
use scheduler_core::store::{QueueLimits, StoredState};
use scheduler_core::trigger::OverlapPolicy;

use super::DriverUnderTest;
use super::bench::*;

fn edit_trigger<D: DriverUnderTest>(bench: &Bench<D>, name: &str, edit: impl Fn(&mut TriggerRow)) {
    let key: TriggerKey = name.parse().expect("a key");
    bench.run(|rows| rows.trigger(&key)?.map_or(Ok(None), |id| rows.edit(id, &edit)));
}

fn edit_run<D: DriverUnderTest>(bench: &Bench<D>, name: &Name, edit: impl Fn(&mut RunRow)) {
    let Name::Run(id) = name else { panic!("{name:?} is no run") };
    bench.run(|rows| rows.run(*id)?.map_or(Ok(None), |run| rows.edit(run, &edit)));
}

/// Takes one batch that is due by this time, and gives it back.
fn due_by<D: DriverUnderTest>(bench: &Bench<D>, until: DateTime<Utc>) -> Vec<String> {
    let (taken, _) = bench.ask(ONE, until, 1000, QueueLimits::default());
    taken.iter().for_each(|taken| bench.give_back(taken));
    names(&taken)
}

/// In the order in which it is taken.
fn in_order(mut all: Vec<Work>) -> Vec<String> {
    all.sort_unstable_by_key(Work::order);
    all.iter().map(|work| format!("{:?}", work.name)).collect()
}

rules! { ($) lanes, __driver_rules_of_lanes;

fn work_is_taken_by_time_then_by_priority(bench) {
    let all = [
        trigger("late", 3), trigger("early", 1), trigger("low", 2).with_priority(-1), trigger("high", 2).with_priority(9),
        run(5, 3).with_priority(6), run(6, 2), run(7, 1).with_priority(4), run(8, 2).with_priority(i32::MAX),
        trigger("lowest", 2).with_priority(i32::MIN),
    ];
    bench.put(&all);
    assert_eq!(bench.due(3), in_order(all.to_vec()));
}

/// Triggers by key, the default group first; then runs by id.
fn equal_places_are_taken_triggers_first_then_by_name(bench) {
    let keys = ["b", "a", "aa", "B", "x/a", "A/z", "ab", "á"];
    let mut all: Vec<_> = keys.iter().map(|key| trigger(key, 1)).collect();
    all.extend([300, 2, 20, 0, u64::MAX].map(|number| run(number, 1)));
    bench.put(&all);
    let order = in_order(all);
    assert_eq!(order[0], "B");
    assert_eq!(bench.due(1), order);
    assert_eq!(bench.due(1), order, "giving back does not change the order");
}

fn nothing_is_taken_before_its_time(bench) {
    let (half, least) = (TimeDelta::microseconds(500), TimeDelta::microseconds(1));
    bench.put(&[trigger("a", 1), run(1, 1), trigger("between", 0).due(at(2) + half), run(2, 0).due(at(2) + half)]);
    assert_eq!(bench.due(0), [""; 0]);
    assert_eq!(due_by(&bench, at(1) - least), [""; 0]);
    assert_eq!(bench.due(1), ["a", "run 1"]);
    assert_eq!(due_by(&bench, at(2) - least), ["a", "run 1"]);
    assert_eq!(due_by(&bench, at(2) + half).len(), 4, "what is due is taken, whatever the driver rounds");
}

fn who_takes_is_told_when_the_next_one_is_due(bench) {
    let next = |until, max| bench.ask(ONE, at(until), max, QueueLimits::default()).1;
    assert_eq!(next(1, 10), None, "nothing is there");
    bench.put(&[run(1, 7), trigger("a", 9)]);
    assert_eq!(next(1, 10), Some(at(7)));
    assert_eq!(next(7, 0), Some(at(7)), "also of what is due already");
    assert_eq!(bench.take(ONE, 7, 1).len(), 1);
    assert_eq!(next(7, 10), Some(at(9)), "what is claimed is not meant");
}

/// Long before 1970 and long after it.
fn times_at_the_ends_of_the_calendar_keep_their_order(bench) {
    let midnight = |end: DateTime<Utc>| end.date_naive().and_time(NaiveTime::MIN).and_utc();
    let [first, last] = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC].map(midnight);
    let second = TimeDelta::seconds(1);
    let times = [
        last, DateTime::UNIX_EPOCH, t0(), first, DateTime::UNIX_EPOCH - second, last - second,
        DateTime::UNIX_EPOCH + second, first + second,
    ];
    let of = |(number, time): (u64, _)| trigger(&format!("t{number}"), 0).due(time);
    let mut all: Vec<_> = (0..).zip(times).map(of).collect();
    all.extend((0..).zip(times).map(|(number, time)| run(number, 0).due(time)));
    bench.put(&all);
    assert_eq!(bench.ask(ONE, t0(), 0, QueueLimits::default()).1, Some(first), "what is due first is told");
    assert_eq!(due_by(&bench, DateTime::UNIX_EPOCH - second).len(), 6);
    assert_eq!(due_by(&bench, DateTime::<Utc>::MAX_UTC), in_order(all));
}

fn work_moves_with_its_row(bench) {
    let (a, b) = (trigger("a", 5), run(1, 5));
    bench.put(&[a.clone(), b.clone(), trigger("c", 5), run(2, 5)]);
    bench.change(&a.clone().due(at(9)));
    bench.change(&b.clone().due(at(9)));
    assert_eq!(bench.due(5), ["c", "run 2"], "later");
    assert_eq!(bench.due(9), ["c", "run 2", "a", "run 1"]);
    bench.change(&a.clone().due(at(1)));
    bench.change(&b.clone().due(at(1)));
    assert_eq!(bench.due(4), ["a", "run 1"], "earlier");
    bench.change(&a.due(at(5)).with_priority(9));
    bench.change(&b.due(at(5)).with_priority(8));
    assert_eq!(bench.due(5), ["a", "run 1", "c", "run 2"], "by another priority");
}

fn work_that_does_not_wait_stands_nowhere(bench) {
    bench.put(&[trigger("a", 1), trigger("b", 1), run(1, 1), run(2, 1)]);
    for state in [StoredState::Paused, StoredState::Complete, StoredState::Error] {
        edit_trigger(&bench, "a", |row| row.state = state);
        assert_eq!(bench.due(1), ["b", "run 1", "run 2"], "{state:?}");
    }
    for standing in [Standing::Held, Standing::Ended(RunEnd::Dead)] {
        edit_run(&bench, &run(1, 1).name, |row| row.standing = standing);
        assert_eq!(bench.due(1), ["b", "run 2"], "{standing:?}");
    }
    edit_trigger(&bench, "a", |row| row.state = StoredState::Waiting);
    edit_run(&bench, &run(1, 1).name, |row| row.standing = Standing::Waiting);
    assert_eq!(bench.due(1), ["a", "b", "run 1", "run 2"], "it waits again");
    edit_trigger(&bench, "a", |row| row.set_progress(Default::default()));
    assert_eq!(bench.due(1), ["b", "run 1", "run 2"], "never again");
}

/// By its overlap policy.
fn a_trigger_that_its_own_run_keeps_back_stands_nowhere(bench) {
    bench.put(&[trigger("a", 1)]);
    edit_trigger(&bench, "a", |row| {
        let trigger = row.trigger.to_builder().overlap(OverlapPolicy::BufferOne).build(t0()).expect("a trigger");
        (row.trigger, row.running) = (Arc::new(trigger), 1);
    });
    assert_eq!(bench.due(1), [""; 0]);
    edit_trigger(&bench, "a", |row| row.running = 0);
    assert_eq!(bench.due(1), ["a"]);
}

fn a_node_takes_from_the_lanes_of_its_job_types(bench) {
    bench.put(&[trigger("a", 1).in_lane("other"), trigger("b", 2), run(1, 3).in_lane("other"), run(2, 4)]);
    assert_eq!(names(&bench.take(TWO, 9, 10)), ["b", "run 2"]);
    assert_eq!(names(&bench.take(ONE, 9, 10)), ["a", "run 1"]);
}

fn a_trigger_that_moves_to_another_lane_is_taken_from_there(bench) {
    bench.put(&[trigger("a", 1)]);
    bench.change(&trigger("a", 1).in_lane("other"));
    assert_eq!(names(&bench.take(TWO, 9, 10)), [""; 0]);
    bench.change(&trigger("a", 1));
    assert_eq!(names(&bench.take(TWO, 9, 10)), ["a"]);
}

/// Over all lanes: some are far ahead, some empty by then, some for another node.
fn very_many_lanes_are_taken_from_in_order(bench) {
    let of = |number: u64| run(number, (number * 7919 % 300) as i64).in_lane(&format!("type {number}"));
    let all: Vec<_> = (0..300).map(of).collect();
    bench.put(&all);
    assert_eq!(bench.due(299), in_order(all.clone()));
    let mut taken = Vec::new();
    for until in (0..300).step_by(50) {
        taken.extend(names(&bench.take(ONE, until + 49, 7)));
        taken.extend(names(&bench.take(ONE, until + 49, 100)));
    }
    assert_eq!(taken, in_order(all));
}

fn no_more_is_taken_than_asked_for(bench) {
    bench.put(&(0..9).map(|number| run(number, 1)).collect::<Vec<_>>());
    bench.put(&[trigger("a", 1), trigger("b", 2)]);
    assert_eq!(names(&bench.take(ONE, 1, 0)), [""; 0]);
    assert_eq!(names(&bench.take(ONE, 1, 2)), ["a", "run 0"]);
    assert_eq!(names(&bench.take(TWO, 9, 1)), ["run 1"]);
    assert_eq!(bench.take(ONE, 9, 100).len(), 8);
}

/// Claims of the queue count on all nodes, until they are over.
fn no_more_of_a_queue_is_claimed_than_its_shared_limit(bench) {
    let of_queue = |number| run(number, 1).in_queue("g");
    bench.put(&[of_queue(1), of_queue(2), of_queue(3), trigger("t", 2).in_queue("g"), run(9, 3)]);
    let limits = QueueLimits { shared: [("g".into(), 2)].into(), ..QueueLimits::default() };
    let ask = |session| bench.ask(session, at(9), 10, limits.clone()).0;
    let taken = ask(ONE);
    assert_eq!(names(&taken), ["run 1", "run 2", "run 9"]);
    assert_eq!(names(&ask(TWO)), [""; 0], "the queue is full");
    bench.finish(&taken[0]);
    assert_eq!(names(&ask(TWO)), ["run 3"], "one has ended");
    bench.give_back(&taken[1]);
    assert_eq!(names(&ask(TWO)), ["run 2"], "one was given back");
}

}
