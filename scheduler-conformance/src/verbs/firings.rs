//! Records of firings: one for each attempt that has ended, and one for each occurrence that did not run.

use chrono::TimeDelta;
use scheduler_core::Text;
use scheduler_core::run::{FiringCause, RunId};
use scheduler_core::store::*;
use scheduler_core::trigger::OverlapPolicy;

use crate::bench::*;

/// More than any store under test keeps.
const MANY: u64 = 130;

/// The record of an attempt that has ended a second after it was due.
fn record_of(run: &AcquiredTrigger, outcome: FiringOutcome, second: i64) -> Box<FiringRecord> {
    let (job, times) = (run.trigger.job().clone(), (at(second), at(second + 1)));
    let mut record = FiringRecord::new(job, run.claim.session(), FiringCause::Schedule, times, outcome);
    record.execution = Some(run.claim);
    record.run = Some(RunId::new(run.claim.session(), run.claim.count()));
    record.trigger = Some(run.trigger.key().clone());
    (record.began, record.attempt) = (Some(at(second)), 1);
    record.node = Some("node".into());
    Box::new(record)
}

impl Bench {
    /// Runs the trigger that is due, and ends its attempt like this.
    async fn ran(&self, second: i64, outcome: FiringOutcome) -> FiringRecord {
        let run = self.run(second).await;
        let record = record_of(&run, outcome, second);
        self.complete_as(Completion { record: Some(record.clone()), ..Completion::of(run.claim) }).await;
        *record
    }

    /// Enqueues runs with these numbers, and ends their attempts.
    async fn ran_all(&self, numbers: std::ops::Range<u64>, outcome: impl Fn(u64) -> FiringOutcome) {
        let work = job("work").build();
        let runs = numbers.map(|number| NewRun::of(RunId::new(7, number), &work, at(0))).collect();
        self.store.enqueue(runs).await.unwrap();
        loop {
            let taken = self.ask(ONE, 1, 50, QueueLimits::default()).await.runs;
            let ended = taken.iter().map(|one| {
                let (key, outcome) = (work.key().clone(), outcome(one.run.count()));
                let mut record = FiringRecord::new(key, ONE, one.cause, (at(0), at(1)), outcome);
                (record.execution, record.run) = (Some(one.claim), Some(one.run));
                Completion { record: Some(Box::new(record)), ..Completion::of(one.claim) }
            });
            let executions: Vec<_> = ended.collect();
            if executions.is_empty() {
                return;
            }
            self.store.complete(Complete { now: at(1), executions }).await.unwrap();
        }
    }

    async fn firings(&self, query: FiringQuery) -> Vec<FiringRecord> {
        self.store.all_firings(query).await.unwrap()
    }

    /// The triggers of the records that are found.
    async fn found(&self, query: FiringQuery) -> Vec<String> {
        let found = self.firings(query).await;
        let name =
            |record: &FiringRecord| record.trigger.as_ref().map(ToString::to_string).unwrap_or_default();
        found.iter().map(name).collect()
    }
}

fn each() -> FiringQuery {
    FiringQuery::default()
}

checks! { ($) firings, __store_checks_of_firings;

async fn each_attempt_has_a_record_the_latest_first(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1), every_minute("b", 2)]).await;
    bench.put(&job("g/other").build(), [every_minute("c", 3)]).await;
    let (good, bad, lost) = (FiringOutcome::Succeeded, FiringOutcome::Failed, FiringOutcome::Lost);
    let mut written = Vec::new();
    for (second, outcome) in [(1, good), (2, bad), (3, lost)] {
        written.push(bench.ran(second, outcome).await);
    }
    if !bench.attached.keeps_history {
        assert!(bench.firings(each()).await.is_empty());
        return;
    }
    let records = bench.firings(each()).await;
    assert!(records.is_sorted_by(|newer, older| newer.number > older.number));
    written.reverse();
    for (record, written) in records.iter().zip(&mut written) {
        written.number = record.number;
        assert_eq!(record, written);
    }
    assert_eq!(bench.found(each()).await, ["c", "b", "a"]);
    assert_eq!(bench.found(each().limit(2)).await, ["c", "b"]);
    assert_eq!(bench.found(each().of_job("work".parse().unwrap())).await, ["b", "a"]);
    assert_eq!(bench.found(each().of_job("nothing".parse().unwrap())).await, [""; 0]);
    assert_eq!(bench.found(each().of_trigger(key("a"))).await, ["a"]);
    assert_eq!(bench.found(each().of_run(written[1].run.unwrap())).await, ["b"]);
    assert_eq!(bench.found(each().of_run(RunId::new(9, 9))).await, [""; 0]);
    assert_eq!(bench.found(each().with_outcomes([lost, good])).await, ["c", "a"]);
    assert_eq!(bench.found(each().with_outcomes([FiringOutcome::NotRun])).await, [""; 0]);
    let both = each().of_job("work".parse().unwrap()).with_outcomes([bad, lost]);
    assert_eq!(bench.found(both).await, ["b"]);
    let mut query = each();
    (query.from, query.until) = (Some(at(3)), Some(at(4)));
    assert_eq!(bench.found(query).await, ["b"], "by the end, from a time on and before another");
    let mut query = each();
    query.group = Text::is("g");
    assert_eq!(bench.found(query).await, ["c"]);
    let mut query = each();
    query.after = Some(FiringCursor(records[1].number));
    assert_eq!(bench.found(query.clone()).await, ["a"]);
    assert_eq!(bench.found(query.of_trigger(key("c"))).await, [""; 0]);
}

async fn an_attempt_is_recorded_once(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1)]).await;
    let run = bench.run(1).await;
    for _ in 0..2 {
        let record = Some(record_of(&run, FiringOutcome::Failed, 1));
        bench.complete_as(Completion { record, ..Completion::of(run.claim) }).await;
    }
    let claimed = bench.acquire(61, 1).await;
    let progress = claimed[0].trigger.fired(&claimed[0].progress, None);
    for _ in 0..2 {
        bench.fire_as(61, claimed[0].claim, progress.clone(), Some(FiringReason::Misfired)).await;
    }
    let expected = if bench.attached.keeps_history { 2 } else { 0 };
    assert_eq!(bench.firings(each()).await.len(), expected);
}

async fn an_occurrence_that_is_dropped_has_a_record_with_the_reason(bench) {
    bench.put(&job("work").queue("mail").build(), [every_minute("a", 1)]).await;
    for (second, reason) in [(1, FiringReason::Misfired), (61, FiringReason::Excluded)] {
        let claimed = bench.acquire(second, 1).await.remove(0);
        let progress = claimed.trigger.fired(&claimed.progress, None);
        let result = bench.fire_as(second, claimed.claim, progress, Some(reason)).await;
        assert!(matches!(result, FireResult::Advanced), "{result:?}");
        if !bench.attached.keeps_history {
            continue;
        }
        let record = bench.firings(each()).await.remove(0);
        assert_eq!((record.outcome, record.reason), (FiringOutcome::NotRun, Some(reason)));
        assert_eq!((record.scheduled, record.ended, record.began), (at(second), at(second), None));
        assert_eq!((record.execution, record.run, record.attempt), (None, None, 0));
        assert_eq!((record.job.name(), record.trigger), ("work", Some(key("a"))));
        assert_eq!((record.cause, record.session), (FiringCause::Schedule, ONE));
        assert_eq!((record.job_type.as_deref(), record.queue), (Some("work"), claimed.trigger.queue().cloned()));
    }
}

async fn an_occurrence_that_overlaps_has_a_record(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1).overlap(OverlapPolicy::Skip)]).await;
    let run = bench.run(1).await;
    let second = bench.acquire(61, 1).await.remove(0);
    assert!(matches!(bench.fire(61, &second).await, FireResult::Overlapped));
    let record = bench.firings(each().of_trigger(key("a"))).await.pop();
    assert_eq!(record.is_some(), bench.attached.keeps_history);
    if let Some(record) = record {
        assert_eq!((record.outcome, record.reason), (FiringOutcome::NotRun, Some(FiringReason::Overlapped)));
        assert_eq!(record.scheduled, at(61));
    }
    bench.complete(&run).await;
}

async fn attempts_of_a_node_that_goes_are_recorded_as_lost(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1)]).await;
    let run = bench.run(1).await;
    bench.store.detach(ONE).await.unwrap();
    let record = bench.firings(each()).await.pop();
    assert_eq!(record.is_some(), bench.attached.keeps_history);
    let Some(record) = record else { return };
    assert_eq!((record.outcome, record.execution), (FiringOutcome::Lost, Some(run.claim)));
    assert_eq!((record.trigger, record.attempt, record.began), (Some(key("a")), 1, Some(at(1))));
    assert_eq!((record.node.as_deref(), record.job_type.as_deref()), (Some("node 1"), Some("work")));
    assert_eq!(record.failure.as_deref(), Some("its node died"));
}

async fn a_run_that_a_node_abandons_has_a_record(bench) {
    let work = job("work").build();
    bench.store.enqueue(vec![NewRun::of(RunId::new(7, 1), &work, at(0))]).await.unwrap();
    let one = bench.ask(ONE, 1, 1, QueueLimits::default()).await.runs.remove(0);
    let mut record = FiringRecord::new(work.key().clone(), ONE, one.cause, (at(0), at(1)), FiringOutcome::Cancelled);
    (record.run, record.reason) = (Some(one.run), Some(FiringReason::ClaimLost));
    let fate = Fate::Again { at: at(0), counts: false, error: None };
    let record = Some(Box::new(record));
    bench.complete_as(Completion { record, unfinished: true, fate, ..Completion::of(one.claim) }).await;
    let records = bench.firings(each().of_run(RunId::new(7, 1))).await;
    assert_eq!(records.len(), usize::from(bench.attached.keeps_history));
    assert_eq!(bench.ask(ONE, 1, 1, QueueLimits::default()).await.runs.len(), 1, "it waits again");
}

async fn the_cause_of_an_attempt_is_known_to_its_node(bench) {
    let work = job("work").build();
    let mut manual = NewRun::of(RunId::new(7, 1), &work, at(0));
    manual.cause = Cause::Manual;
    bench.store.enqueue(vec![manual, NewRun::of(RunId::new(7, 2), &work, at(1))]).await.unwrap();
    let runs = bench.ask(ONE, 1, 2, QueueLimits::default()).await.runs;
    assert_eq!([runs[0].cause, runs[1].cause], [FiringCause::Manual, FiringCause::Enqueued]);
    for run in &runs {
        assert_eq!(run.occurrence_of, None);
        let fate = Fate::Again { at: at(5), counts: true, error: None };
        bench.complete_as(Completion { fate, ..Completion::of(run.claim) }).await;
    }
    let runs = bench.ask(ONE, 5, 2, QueueLimits::default()).await.runs;
    assert_eq!([runs[0].cause, runs[1].cause], [FiringCause::Retry; 2]);
    bench.put(&work, [once("a", 9)]).await;
    let run = bench.run(9).await;
    let promise = NewRun::of_firing(run.claim, &work.clone().into(), &run.trigger, at(9), at(9));
    let fate = Fate::Again { at: at(10), counts: true, error: None };
    let promise = Some(Box::new(promise));
    bench.complete_as(Completion { fate, promise, ..Completion::of(run.claim) }).await;
    let again = bench.ask(ONE, 10, 1, QueueLimits::default()).await.runs.remove(0);
    assert_eq!((again.cause, again.attempt, again.occurrence_of), (FiringCause::Retry, 2, Some(key("a"))));
    // Of this one the first attempt does not count.
    bench.put(&work, [once("b", 19)]).await;
    let run = bench.run(19).await;
    let promise = NewRun::of_firing(run.claim, &work.into(), &run.trigger, at(19), at(19));
    let fate = Fate::Again { at: at(20), counts: false, error: None };
    let promise = Some(Box::new(promise));
    bench.complete_as(Completion { fate, promise, ..Completion::of(run.claim) }).await;
    let again = bench.ask(ONE, 20, 1, QueueLimits::default()).await.runs.remove(0);
    assert_eq!((again.cause, again.attempt, again.occurrence_of), (FiringCause::Schedule, 1, Some(key("b"))));
}

async fn a_long_failure_is_cut_between_two_characters(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1), every_minute("b", 2)]).await;
    for (second, failure) in [(1, format!("x{}", "ä".repeat(MAX_FAILURE))), (2, "y".repeat(MAX_FAILURE))] {
        let run = bench.run(second).await;
        let mut record = record_of(&run, FiringOutcome::Failed, second);
        record.failure = Some(failure.into());
        bench.complete_as(Completion { record: Some(record), ..Completion::of(run.claim) }).await;
    }
    let kept: Vec<_> = bench.firings(each()).await.into_iter().filter_map(|record| record.failure).collect();
    if bench.attached.keeps_history {
        assert_eq!(kept[1].len(), MAX_FAILURE - 1);
        assert!(kept[1].ends_with('ä'));
        assert_eq!(*kept[0], "y".repeat(MAX_FAILURE));
    }
}

/// Also those that find few: what was evicted is nowhere any more, and what stayed is everywhere.
async fn pages_show_each_record_once_while_others_come_and_go(bench) {
    let rare = |number: u64| match number % 40 {
        0 => FiringOutcome::Panicked,
        1 => FiringOutcome::Failed,
        _ => FiringOutcome::Succeeded,
    };
    bench.ran_all(0..60, rare).await;
    let (wrong, of_work) = ([FiringOutcome::Failed, FiringOutcome::Panicked], each().of_job("work".parse().unwrap()));
    let mut queries = [each().limit(7), of_work.limit(9), each().with_outcomes(wrong).limit(1)].map(|query| (query, Vec::new()));
    let first = bench.firings(each().limit(1)).await.first().map_or(0, |record| record.number);
    for round in 0..MANY {
        for (query, shown) in &mut queries {
            if round > 0 && query.after.is_none() {
                continue;
            }
            let page = bench.store.firings(query.clone()).await.unwrap();
            assert!(page.items.len() <= query.limit.unwrap() && (page.complete || page.next.is_some()));
            assert!(page.looked_at >= page.items.len());
            shown.extend(page.items);
            query.after = page.next;
        }
        if round < 3 {
            bench.ran_all(60 + 20 * round..80 + 20 * round, rare).await;
        }
    }
    for (query, shown) in &queries {
        assert!(shown.is_sorted_by(|newer, older| newer.number > older.number), "in order, and each once");
        let mut query = query.clone();
        (query.after, query.limit) = (Some(FiringCursor(first + 1)), None);
        let stayed = bench.firings(query).await;
        assert!(stayed.iter().all(|record| shown.contains(record)), "what stayed was shown");
        assert!(shown.iter().all(|record| record.number <= first), "what came later was not");
    }
    bench.ran_all(1_000..1_000 + MANY, rare).await;
    let kept = bench.firings(each()).await;
    assert_eq!(!kept.is_empty(), bench.attached.keeps_history);
    assert!(kept.windows(2).all(|two| two[0].number == two[1].number + 1), "none is missing between two");
    let expected: Vec<_> = kept.iter().filter(|record| record.outcome != FiringOutcome::Succeeded).cloned().collect();
    assert_eq!(bench.firings(each().with_outcomes(wrong)).await, expected);
    for record in &kept {
        let of_run = bench.firings(each().of_run(record.run.unwrap())).await;
        assert_eq!(of_run, std::slice::from_ref(record));
    }
}

async fn pages_of_records_have_limits(bench) {
    bench.ran_all(0..5, |_| FiringOutcome::Succeeded).await;
    let page = bench.store.firings(each().limit(0)).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
    for after in [0, 1] {
        let mut query = each();
        query.after = Some(FiringCursor(after));
        let page = bench.store.firings(query).await.unwrap();
        assert!(page.items.is_empty() && page.next.is_none(), "there is nothing before the first");
    }
    let mut query = each();
    query.after = Some(FiringCursor(u64::MAX));
    assert_eq!(bench.firings(query).await.len(), bench.firings(each()).await.len());
    let mut query = each();
    query.from = Some(at(1) + TimeDelta::seconds(1));
    assert!(bench.firings(query).await.is_empty());
}

async fn clearing_leaves_the_records(bench) {
    bench.put(&job("work").build(), [once("a", 0)]).await;
    bench.ran(0, FiringOutcome::Succeeded).await;
    let before = bench.firings(each()).await;
    bench.store.clear().await.unwrap();
    assert_eq!(bench.firings(each()).await, before);
    assert_eq!(before.len(), usize::from(bench.attached.keeps_history));
}

}
