//! Caps of limits that somebody sets while runs wait, and what is known of limits.

use scheduler_core::run::{Gate, GateId, Gates, Pace};
use scheduler_core::store::*;

use super::running::{id, numbers, run};
use crate::bench::*;

fn gated(number: u64, gate: Gate) -> NewRun {
    let mut run = run(number, &job("work").build(), 1);
    run.gates = Gates::new(vec![gate]);
    run
}

/// A run of limit `limit` with this key.
fn limited(number: u64, key: &str, cap: u32) -> NewRun {
    gated(number, Gate::new(GateId::of("limit", Some(key)), cap, 1))
}

fn all_keys() -> GateId {
    GateId::of("limit", None)
}

fn key(key: &str) -> GateId {
    GateId::of("limit", Some(key))
}

impl Bench {
    async fn set_cap(&self, limit: GateId, cap: u32) {
        self.store.set_limit(limit, Some(LimitOverride::of(cap))).await.unwrap();
    }

    /// The runs that can be claimed at that time, however often the store asks to be called again at once.
    async fn claim_all(&self, seconds: i64) -> Vec<AcquiredRun> {
        let mut all = Vec::new();
        for _ in 0..1000 {
            let taken = self.ask(ONE, seconds, 1000, QueueLimits::default()).await;
            let is_over = taken.runs.is_empty() && taken.next_due.is_none_or(|due| due > at(seconds));
            all.extend(taken.runs);
            if is_over {
                return all;
            }
        }
        panic!("after 1000 calls the store still asks to be called again at once")
    }

    async fn claimed(&self, seconds: i64) -> Vec<u64> {
        numbers(&self.claim_all(seconds).await)
    }

    async fn limit_of(&self, limit: GateId, seconds: i64) -> LimitStatus {
        let mut query = LimitQuery::default();
        query.gates = vec![limit];
        self.store.limits(query, at(seconds)).await.unwrap().items.remove(0)
    }
}

checks! { ($) caps, __store_checks_of_caps;

async fn a_cap_that_is_set_wins_until_it_is_removed(bench) {
    bench.enqueue((1..=9).map(|number| limited(number, "a", 2)).collect()).await;
    let first = bench.claim_all(1).await;
    assert_eq!(numbers(&first), [1, 2]);
    bench.set_cap(all_keys(), 4).await;
    let second = bench.claim_all(2).await;
    assert_eq!(numbers(&second), [3, 4], "those that wait begin at once");
    bench.set_cap(all_keys(), 1).await;
    for run in &first {
        bench.end(run, Fate::Over).await;
        assert_eq!(bench.claimed(3).await, [0; 0], "nobody is stopped, and nobody begins");
    }
    bench.store.set_limit(all_keys(), None).await.unwrap();
    bench.end(&second[0], Fate::Over).await;
    assert_eq!(bench.claimed(4).await, [5], "two, as the runs were enqueued");
}

async fn runs_to_come_go_by_the_cap_that_is_set(bench) {
    bench.set_cap(all_keys(), 3).await;
    bench.enqueue((1..=5).map(|number| limited(number, "a", 1)).collect()).await;
    assert_eq!(bench.claimed(1).await, [1, 2, 3]);
}

async fn the_cap_of_a_key_wins_over_that_of_all_keys(bench) {
    let runs = ["a", "b", "c"].iter().zip(0..).flat_map(|(key, place)| (1..=4).map(move |number| limited(10 * place + number, key, 1)));
    bench.enqueue(runs.collect()).await;
    bench.enqueue(vec![gated(50, Gate::new(GateId::of("limit!", None), 1, 1)), gated(51, Gate::new(GateId::of("limit!", None), 1, 1))]).await;
    bench.set_cap(key("a"), 3).await;
    bench.set_cap(all_keys(), 2).await;
    assert_eq!(bench.claimed(1).await, [1, 2, 3, 11, 12, 21, 22, 50], "another name is another limit");
    bench.store.set_limit(all_keys(), None).await.unwrap();
    bench.set_cap(key("b"), 4).await;
    assert_eq!(bench.claimed(2).await, [13, 14]);
}

async fn a_cap_of_0_shuts_a_limit(bench) {
    bench.set_cap(key("a"), 0).await;
    bench.enqueue(vec![limited(1, "a", 5), limited(2, "b", 5)]).await;
    assert_eq!(bench.claimed(1).await, [2]);
    bench.set_cap(key("a"), 1).await;
    assert_eq!(bench.claimed(1).await, [1]);
}

/// A store may do this in parts, and asks to be called again at once.
async fn a_cap_that_is_raised_reaches_every_key(bench) {
    let runs = (0..230).flat_map(|key| [limited(2 * key, &key.to_string(), 1), limited(2 * key + 1, &key.to_string(), 1)]);
    bench.enqueue(runs.collect()).await;
    assert_eq!(bench.claim_all(1).await.len(), 230);
    bench.set_cap(all_keys(), 1000).await;
    assert_eq!(bench.claim_all(1).await.len(), 230);
}

async fn the_cap_of_a_rate_is_set_as_well(bench) {
    // A clock that goes back opens no rate.
    for (first, burst, since) in [(0, 0, 0), (100, 2, 1000)] {
        let of = |number| {
            let id = GateId::of("rate", Some(&burst.to_string()));
            gated(first + number, Gate::rate(id, 2, Pace::new(60_000, burst), 1))
        };
        let rate = || GateId::of("rate", Some(&burst.to_string()));
        bench.enqueue((1..=9).map(of).collect()).await;
        assert_eq!(bench.claimed(since + 1).await, [first + 1, first + 2]);
        bench.set_cap(rate(), 0).await;
        assert_eq!(bench.claimed(since + 300).await, [0; 0]);
        bench.set_cap(rate(), 5).await;
        let many = bench.claimed(since + 600).await.len();
        assert!(if burst == 0 { many == 5 } else { many == 2 }, "{many} of burst {burst}");
        bench.set_cap(rate(), 1).await;
        assert_eq!(bench.claimed(since + 700).await.len(), 1);
        bench.store.clear().await.unwrap();
    }
}

async fn limits_in_use_say_who_holds_them_and_how_many_wait(bench) {
    bench.enqueue((1..=5).map(|number| limited(number, "a", 2)).collect()).await;
    bench.enqueue(vec![limited(6, "b", 2), gated(7, Gate::new(GateId::of("alone", None), 1, 1))]).await;
    let taken = bench.claim_all(1).await;
    let page = bench.store.limits(LimitQuery::default(), at(2)).await.unwrap();
    let shown: Vec<_> = page.items.iter().map(|limit| (limit.gate(), limit.used, limit.waiting, limit.cap)).collect();
    let expected = [(GateId::of("alone", None), 1, 0, Some(1)), (key("a"), 2, 3, Some(2)), (key("b"), 1, 0, Some(2))];
    assert_eq!(shown, expected);
    let holders: Vec<_> = page.items[1].holders.iter().map(|holder| (holder.run, holder.weight)).collect();
    assert_eq!(holders, [(id(1), 1), (id(2), 1)]);
    let set = LimitOverride::of(3).because("slow").by("ada");
    bench.store.set_limit(key("c"), Some(set.clone())).await.unwrap();
    let named = bench.store.limits(LimitQuery::of("limit"), at(2)).await.unwrap().items;
    assert_eq!(named.iter().map(LimitStatus::gate).collect::<Vec<_>>(), [key("a"), key("b"), key("c")]);
    assert_eq!((named[2].overridden.clone(), named[2].cap, named[2].declared), (Some(set), Some(3), None));
    let mut query = LimitQuery::default();
    (query.limit, query.after) = (Some(1), Some(GateId::of("alone", None)));
    let page = bench.store.limits(query, at(2)).await.unwrap();
    assert_eq!(page.items.iter().map(LimitStatus::gate).collect::<Vec<_>>(), [key("a")]);
    assert!(page.next.is_some(), "the list goes on");
    for run in &taken {
        bench.end(run, Fate::Over).await;
    }
    bench.store.set_limit(key("c"), None).await.unwrap();
    let left = bench.claim_all(3).await;
    for run in &left {
        bench.end(run, Fate::Over).await;
    }
    let last = bench.claim_all(4).await;
    for run in &last {
        bench.end(run, Fate::Over).await;
    }
    assert_eq!(bench.store.limits(LimitQuery::default(), at(5)).await.unwrap().items, []);
}

async fn a_limit_says_its_caps_and_when_it_opens(bench) {
    let rate = || GateId::of("rate", None);
    bench.enqueue((1..=3).map(|number| gated(number, Gate::rate(rate(), 2, Pace::new(60_000, 0), 1))).collect()).await;
    assert_eq!(bench.claimed(1).await, [1, 2]);
    let status = bench.limit_of(rate(), 10).await;
    assert_eq!((status.used, status.waiting, status.opens), (2, 1, Some(at(61))));
    assert_eq!(status.window, Some(std::time::Duration::from_secs(60)));
    bench.set_cap(rate(), 3).await;
    let status = bench.limit_of(rate(), 10).await;
    assert_eq!((status.cap, status.declared), (Some(3), Some(2)));
    let unknown = bench.limit_of(key("nobody"), 10).await;
    assert_eq!((unknown.cap, unknown.used, unknown.waiting), (None, 0, 0), "it is answered all the same");
}
}
