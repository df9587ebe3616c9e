//! Rates: how many attempts may begin in a time.

use scheduler_core::run::{Gate, GateId, Gates, Pace};
use scheduler_core::store::*;

use super::running::{error, numbers, run};
use crate::bench::*;

/// In milliseconds.
const MINUTE: u32 = 60_000;

/// A run that is due then, of a rate with this key: so many in a minute, the burst if attempts are spread, and the cost.
fn rated(number: u64, due: i64, (key, max, burst, cost): (&str, u32, u32, u32)) -> NewRun {
    let mut run = run(number, &job("work").build(), due);
    let gate = Gate::rate(GateId::of("rate", Some(key)), max, Pace::new(MINUTE, burst), cost);
    run.gates = Gates::new(vec![gate]);
    run
}

fn again(at: i64) -> Fate {
    Fate::Again { at: crate::bench::at(at), counts: true, error: Some(error("no")) }
}

impl Bench {
    /// The runs that can be claimed at that time, and when to ask again.
    async fn begin(&self, session: u64, seconds: i64) -> (Vec<AcquiredRun>, Option<i64>) {
        let mut all = Vec::new();
        for _ in 0..100 {
            let taken = self.ask(session, seconds, 1000, QueueLimits::default()).await;
            let is_over = taken.runs.is_empty() && taken.next_due.is_none_or(|due| due > at(seconds));
            all.extend(taken.runs);
            if is_over {
                let after = taken.next_due.map(|due| (due - t0()).num_milliseconds());
                return (all, after.map(|millis| millis.div_euclid(1000) + i64::from(millis % 1000 > 0)));
            }
        }
        panic!("after 100 calls the store still asks to be called again at once")
    }

    async fn begun(&self, seconds: i64) -> Vec<u64> {
        numbers(&self.begin(ONE, seconds).await.0)
    }
}

checks! { ($) rates, __store_checks_of_rates;

async fn no_more_attempts_begin_in_a_window_than_the_rate_allows(bench) {
    bench.enqueue((1..=7).map(|number| rated(number, 1, ("a", 3, 0, 1))).collect()).await;
    assert_eq!(numbers(&bench.take(1, 2).await), [1, 2]);
    let (taken, next) = bench.begin(TWO, 31).await;
    assert_eq!((numbers(&taken), next), (vec![3], Some(61)), "the first two have begun a minute before");
    for run in &taken {
        bench.end(run, Fate::Over).await;
    }
    assert_eq!(bench.begun(60).await, [0; 0], "an end gives nothing back");
    let (taken, next) = bench.begin(ONE, 61).await;
    assert_eq!((numbers(&taken), next), (vec![4, 5], Some(91)));
    assert_eq!(bench.begun(91).await, [6]);
    assert_eq!(bench.begun(120).await, [0; 0]);
    assert_eq!(bench.begun(121).await, [7]);
}

async fn many_attempts_in_a_window_are_counted_in_parts(bench) {
    bench.enqueue((1..=130).map(|number| rated(number, 1, ("a", 60, 0, 1))).collect()).await;
    assert_eq!(bench.begun(1).await.len(), 60);
    let (taken, next) = bench.begin(ONE, 50).await;
    let next = next.expect("it opens some day");
    assert!(taken.is_empty() && (61..=64).contains(&next), "{next}: a twentieth late at most");
    assert_eq!(bench.begun(next).await.len(), 60);
    assert_eq!(bench.begun(next + 64).await.len(), 10);
}

async fn attempts_of_a_smooth_rate_are_spread(bench) {
    bench.enqueue((1..=5).map(|number| rated(number, 1, ("a", 6, 1, 1))).collect()).await;
    for (number, seconds) in (1..=5).zip([1, 11, 21, 31, 41]) {
        assert_eq!(bench.begun(seconds).await, [number]);
        assert_eq!(bench.begun(seconds + 9).await, [0; 0]);
    }
    bench.enqueue((11..=15).map(|number| rated(number, 1, ("b", 6, 3, 1))).collect()).await;
    assert_eq!(bench.begun(200).await, [11, 12, 13], "a burst");
    assert_eq!(bench.begun(215).await, [14]);
}

async fn an_attempt_counts_as_much_as_it_costs(bench) {
    bench.enqueue(vec![rated(1, 1, ("a", 5, 0, 3)), rated(2, 2, ("a", 5, 0, 3)), rated(3, 3, ("a", 5, 0, 1))]).await;
    assert_eq!(bench.begun(9).await, [1], "the third waits behind the second");
    assert_eq!(bench.begun(69).await, [2, 3]);
}

async fn each_key_has_a_rate_of_its_own(bench) {
    let runs = ["a", "b", "*", ""].iter().zip(1..).flat_map(|(key, number)| {
        [2 * number, 2 * number + 1].map(|number| rated(number, 1, (key, 1, 0, 1)))
    });
    bench.enqueue(runs.collect()).await;
    assert_eq!(bench.begun(1).await, [2, 4, 6, 8]);
    bench.enqueue(vec![run(100, &job("work").build(), 5)]).await;
    assert_eq!(bench.begun(9).await, [100], "who has no limit does not wait");
    assert_eq!(bench.begun(61).await, [3, 5, 7, 9]);
}

async fn a_retry_and_a_replay_count(bench) {
    bench.enqueue((1..=2).map(|number| rated(number, 1, ("a", 1, 0, 1))).collect()).await;
    let (taken, _) = bench.begin(ONE, 1).await;
    bench.end(&taken[0], again(2)).await;
    let (taken, _) = bench.begin(ONE, 61).await;
    assert_eq!(numbers(&taken), [2], "it is due before the retry");
    bench.end(&taken[0], Fate::Dead { error: None }).await;
    bench.change(&[2], RunChange::replay()).await;
    assert_eq!(bench.begun(120).await, [0; 0]);
    assert_eq!(bench.begun(121).await, [2]);
    assert_eq!(bench.begun(181).await, [1]);
}

async fn what_is_given_back_before_it_has_begun_does_not_count(bench) {
    for (first, max, burst) in [(10, 2, 0), (20, 60, 0), (30, 2, 2)] {
        let key = first.to_string();
        let many = u64::from(max) + 1;
        bench.enqueue((0..many).map(|number| rated(first * 100 + number, 1, (&key, max, burst, 1))).collect()).await;
        let (taken, _) = bench.begin(ONE, 5).await;
        assert_eq!(taken.len(), max as usize);
        bench.store.release(taken.iter().map(|run| run.claim).collect()).await.unwrap();
        let (again, _) = bench.begin(ONE, 6).await;
        assert_eq!(numbers(&again), numbers(&taken));
        for run in &again {
            bench.end(run, Fate::Over).await;
        }
        bench.store.clear().await.unwrap();
    }
}

async fn what_is_given_back_leaves_those_that_have_begun(bench) {
    bench.enqueue((1..=5).map(|number| rated(number, 1, ("a", 3, 0, 1))).collect()).await;
    let taken = bench.take(1, 3).await;
    assert_eq!(numbers(&taken), [1, 2, 3]);
    bench.store.release(vec![taken[0].claim]).await.unwrap();
    assert_eq!(bench.begun(1).await, [1], "one is given back, so one may begin");
}

/// By the newest time seen.
async fn a_clock_that_goes_back_opens_nothing(bench) {
    bench.enqueue((1..=3).map(|number| rated(number, 1, ("a", 1, 0, 1))).collect()).await;
    assert_eq!(bench.begun(1000).await, [1]);
    assert_eq!(bench.begun(900).await, [0; 0]);
    assert_eq!(bench.begun(1059).await, [0; 0]);
    assert_eq!(bench.begun(1060).await, [2]);
}

async fn a_throttled_rate_opens_later_and_not_earlier(bench) {
    bench.enqueue((1..=4).map(|number| rated(number, 1, ("a", 2, 0, 1))).collect()).await;
    let (taken, _) = bench.begin(ONE, 1).await;
    let throttle = |run: &AcquiredRun, until| {
        let fate = Fate::Again { at: at(until), counts: false, error: None };
        Completion { fate, throttles: Some("rate".into()), ..Completion::of(run.claim) }
    };
    bench.complete_as(throttle(&taken[0], 30)).await;
    let (none, next) = bench.begin(ONE, 59).await;
    assert_eq!((numbers(&none), next), (vec![], Some(61)), "the window is not over");
    bench.complete_as(throttle(&taken[1], 100)).await;
    let (none, next) = bench.begin(ONE, 99).await;
    assert_eq!((numbers(&none), next), (vec![], Some(100)));
    assert_eq!(bench.begun(100).await.len(), 2);
}

/// OptimalBits/bull#1110: a large backlog behind a rate stood still for good.
async fn a_backlog_behind_a_rate_goes_on(bench) {
    bench.enqueue((1..=300).map(|number| rated(number, 1, ("a", 25, 0, 1))).collect()).await;
    let (mut now, mut done) = (1, Vec::new());
    for _ in 0..100 {
        let (taken, next) = bench.begin(ONE, now).await;
        for run in &taken {
            bench.end(run, Fate::Over).await;
        }
        done.extend(numbers(&taken));
        let Some(next) = next else { break };
        now = next;
    }
    assert_eq!(done, (1..=300).collect::<Vec<_>>(), "all, in order");
    assert_eq!(now, 1 + 11 * 60);
}

/// hatchet-dev/hatchet PR 4804: what waited for a rate held its slot, and those behind it waited for that.
async fn who_waits_for_a_rate_holds_no_slot(bench) {
    let (slot, rate) = (Gate::new(GateId::of("slot", None), 1, 1), Gate::rate(GateId::of("rate", None), 1, Pace::new(MINUTE, 0), 1));
    let of = |number, gates: &[&Gate]| {
        let mut run = run(number, &job("work").build(), number as i64);
        run.gates = Gates::new(gates.iter().map(|gate| (*gate).clone()).collect());
        run
    };
    bench.enqueue(vec![of(1, &[&rate]), of(2, &[&slot, &rate]), of(3, &[&slot]), of(4, &[&slot, &rate])]).await;
    let (taken, _) = bench.begin(ONE, 9).await;
    assert_eq!(numbers(&taken), [1, 3]);
    assert_eq!(bench.begun(70).await, [0; 0], "the rate is open, and the slot is taken");
    bench.end(&taken[1], Fate::Over).await;
    let (taken, _) = bench.begin(ONE, 71).await;
    assert_eq!(numbers(&taken), [2]);
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(bench.begun(130).await, [0; 0]);
    assert_eq!(bench.begun(131).await, [4]);
}
}
