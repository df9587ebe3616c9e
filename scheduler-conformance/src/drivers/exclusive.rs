//! Jobs that allow one run at a time.

use super::bench::*;

rules! { ($) exclusive, __driver_rules_of_exclusive;

fn only_the_first_of_such_a_job_is_taken(bench) {
    bench.put(&[trigger("a", 2).alone(), trigger("b", 1).alone(), run(1, 3).alone(), trigger("c", 4).of("other")]);
    assert_eq!(names(&bench.take(ONE, 9, 10)), ["b", "c"], "another job is not kept waiting");
    assert_eq!(names(&bench.take(TWO, 9, 10)), [""; 0]);
}

/// Also over lanes: a job has one type, but its triggers may be of several queues.
fn it_is_one_of_all_lanes(bench) {
    bench.put(&[trigger("a", 1).alone(), trigger("b", 1).alone().in_queue("g"), run(1, 1).alone().in_queue("h")]);
    let first = bench.take_one(9);
    bench.finish(&first);
    let second = bench.take_one(9);
    bench.finish(&second);
    let third = bench.take_one(9);
    assert_eq!(names(&[first, second, third]), ["a", "b", "run 1"]);
}

fn a_job_that_is_free_shows_its_next_one(bench) {
    bench.put(&[run(1, 1).alone(), trigger("a", 2).alone(), run(2, 3).alone(), run(3, 4).alone()]);
    for name in ["run 1", "a", "run 2", "run 3"] {
        let taken = bench.take_one(9);
        assert_eq!(names(std::slice::from_ref(&taken)), [name]);
        bench.finish(&taken);
    }
    assert_eq!(bench.due(9), [""; 0]);
}

fn a_fired_trigger_keeps_its_job_busy_until_its_claim_is_over(bench) {
    bench.put(&[trigger("a", 1).alone(), trigger("b", 5).alone()]);
    let taken = bench.take_one(1);
    bench.fire(&taken, 3);
    assert_eq!(bench.due(9), [""; 0], "neither its next time nor another one is shown");
    bench.run(|rows| end_claim(rows, taken.claim));
    let taken = bench.take_one(9);
    assert_eq!(names(std::slice::from_ref(&taken)), ["a"], "it is the first again");
    bench.fire(&taken, 7);
    bench.run(|rows| end_claim(rows, taken.claim));
    assert_eq!(names(&bench.take(ONE, 9, 10)), ["b"]);
}

fn given_back_work_of_such_a_job_is_the_first_again(bench) {
    bench.put(&[run(1, 1).alone(), run(2, 2).alone(), trigger("a", 3).alone()]);
    for _ in 0..3 {
        let taken = bench.take_one(9);
        assert_eq!(names(std::slice::from_ref(&taken)), ["run 1"]);
        bench.give_back(&taken);
    }
}

fn an_earlier_one_takes_the_first_place(bench) {
    bench.put(&[trigger("a", 5).alone()]);
    bench.put(&[run(1, 3).alone()]);
    bench.put(&[trigger("b", 4).alone()]);
    assert_eq!(bench.due(9), ["run 1"]);
    bench.change(&trigger("b", 2).alone());
    assert_eq!(bench.due(9), ["b"]);
    bench.change(&trigger("b", 9).alone());
    assert_eq!(bench.due(9), ["run 1"]);
}

fn what_comes_while_the_job_is_busy_waits(bench) {
    bench.put(&[trigger("a", 5).alone()]);
    let taken = bench.take_one(5);
    bench.put(&[trigger("b", 1).alone(), run(1, 2).alone()]);
    bench.change(&trigger("b", 3).alone());
    assert_eq!(bench.due(9), [""; 0]);
    bench.remove(&trigger("b", 3).name);
    bench.finish(&taken);
    assert_eq!(bench.due(9), ["run 1"]);
}

fn removing_the_first_shows_the_second(bench) {
    bench.put(&[run(1, 1).alone(), trigger("a", 2).alone(), trigger("b", 3).alone()]);
    bench.remove(&run(1, 1).name);
    assert_eq!(bench.due(9), ["a"]);
    bench.remove(&trigger("a", 2).name);
    assert_eq!(bench.due(9), ["b"]);
}

fn a_trigger_can_begin_and_cease_to_be_exclusive(bench) {
    bench.put(&[trigger("a", 1), trigger("b", 2), trigger("c", 3)]);
    bench.change(&trigger("a", 1).alone());
    bench.change(&trigger("b", 2).alone());
    let taken = bench.take(ONE, 9, 10);
    assert_eq!(names(&taken), ["a", "c"]);
    taken.iter().for_each(|taken| bench.give_back(taken));
    bench.change(&trigger("a", 1));
    assert_eq!(bench.due(9), ["a", "b", "c"]);
}

}
