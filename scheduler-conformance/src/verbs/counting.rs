//! Counters of attempts that have ended.

use std::time::Duration;

use scheduler_core::store::*;

use crate::bench::*;

fn key(job_type: &str, queue: Option<&str>, outcome: FiringOutcome) -> CountKey {
    CountKey::new(job_type.into(), queue.map(Into::into), outcome)
}

/// So many attempts of this kind, which took this many milliseconds each and ended at this second.
fn ends(key: CountKey, many: u64, millis: u64, seconds: i64) -> EndCount {
    let mut ends = EndCount::new(key, at(seconds));
    (0..many).for_each(|_| ends.count(Duration::from_millis(millis), at(seconds)));
    ends
}

fn sent() -> CountKey {
    key("send", Some("mail"), FiringOutcome::Succeeded)
}

/// The counters that a query finds: second, function, count.
async fn found(bench: &Bench, query: CountQuery, now: i64) -> Vec<(i64, String, u64)> {
    let found = bench.store.counts(query, at(now)).await.unwrap();
    let shown = |bucket: CountBucket| {
        ((bucket.start - at(0)).num_seconds(), bucket.ends.key.job_type.to_string(), bucket.ends.count)
    };
    found.into_iter().map(shown).collect()
}

checks! { ($) counting, __store_checks_of_counting;

async fn counts_of_nodes_add_up(bench) {
    bench.store.count(vec![ends(sent(), 2, 3, 1), ends(sent(), 1, 100, 2)], at(2)).await.unwrap();
    bench.store.count(vec![ends(sent(), 4, 3, 1)], at(4)).await.unwrap();
    let query = || CountQuery::kept(CountStep::Minute, at(4));
    let all = bench.store.counts(query(), at(4)).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    let sum = &all[0].ends;
    assert_eq!((&sum.key, sum.count, sum.latest), (&sent(), 7, at(2)), "the latest one is that of any node");
    assert_eq!(sum.durations.quantile(0.8), Some(Duration::from_millis(4)));
    assert_eq!(sum.durations.quantile(1.0), Some(Duration::from_millis(128)));
}

async fn each_kind_has_a_counter(bench) {
    let kinds = [
        sent(),
        key("send", Some("mail"), FiringOutcome::Failed),
        key("send", None, FiringOutcome::Succeeded),
        key("index \"\u{0} {", Some(""), FiringOutcome::TimedOut),
    ];
    let counts = kinds.iter().zip(1..).map(|(key, many)| ends(key.clone(), many, 1, 1)).collect();
    bench.store.count(counts, at(2)).await.unwrap();
    let query = || CountQuery::kept(CountStep::Day, at(2));
    assert_eq!(bench.store.counts(query(), at(2)).await.unwrap().len(), 4);
    let many = async |query| found(&bench, query, 2).await.into_iter().map(|(.., many)| many).collect::<Vec<_>>();
    assert_eq!(many(query().of_job_type("send")).await.iter().sum::<u64>(), 6);
    assert_eq!(many(query().of_queue("mail").of_outcome(FiringOutcome::Failed)).await, [2]);
    assert_eq!(many(query().of_queue("")).await, [4], "a queue with an empty name is one");
    let mut without = query();
    without.queue = Some(None);
    assert_eq!(many(without).await, [3]);
}

async fn buckets_are_minutes_hours_and_days(bench) {
    for seconds in [0, 59, 60, 3600] {
        bench.store.count(vec![ends(sent(), 1, 1, seconds)], at(seconds)).await.unwrap();
    }
    let of = |seconds, many| (seconds, "send".to_owned(), many);
    let kept = |step| CountQuery::kept(step, at(3600));
    let minutes = found(&bench, kept(CountStep::Minute), 3600).await;
    assert_eq!(minutes, [of(0, 2), of(60, 1), of(3600, 1)]);
    assert_eq!(found(&bench, kept(CountStep::Hour), 3600).await, [of(0, 3), of(3600, 1)]);
    let days: u64 = found(&bench, kept(CountStep::Day), 3600).await.into_iter().map(|(.., many)| many).sum();
    assert_eq!(days, 4);
    let part = kept(CountStep::Minute).from(at(1)).until(at(3600));
    assert_eq!(found(&bench, part, 3600).await, [of(60, 1)], "from the first on that begins in time");
}

async fn old_buckets_are_not_kept(bench) {
    bench.store.count(vec![ends(sent(), 1, 1, 0)], at(0)).await.unwrap();
    let hours = 4;
    let later = hours * 3600;
    bench.store.count(vec![ends(sent(), 1, 1, later)], at(later)).await.unwrap();
    let all = |step| CountQuery::kept(step, at(later)).from(at(-86_400));
    assert_eq!(found(&bench, all(CountStep::Minute), later).await.len(), 1, "minutes are kept for three hours");
    assert_eq!(found(&bench, all(CountStep::Hour), later).await.len(), 2);
}
}
