//! Runs: enqueue, claim, end, retry, loss, cancel, replay.

use std::collections::BTreeMap;

use scheduler_core::job::JobDetail;
use scheduler_core::run::{AttemptError, FailureKind, RunEnd, RunId, RunState};
use scheduler_core::store::*;

use crate::bench::*;

/// The run of this number, due so many seconds after the begin.
pub(super) fn run(number: u64, job: &JobDetail, due: i64) -> NewRun {
    NewRun::of(RunId::new(7, number), job, at(due))
}

pub(super) fn id(number: u64) -> RunId {
    RunId::new(7, number)
}

impl Bench {
    pub(super) async fn enqueue(&self, runs: Vec<NewRun>) {
        let answers = self.store.enqueue(runs).await.unwrap();
        assert!(answers.iter().all(|answer| *answer == Enqueued::Created), "{answers:?}");
    }

    /// What a node claims of runs.
    pub(super) async fn take(&self, seconds: i64, max: usize) -> Vec<AcquiredRun> {
        self.ask(ONE, seconds, max, QueueLimits::default()).await.runs
    }

    pub(super) async fn take_one(&self, seconds: i64) -> AcquiredRun {
        let mut taken = self.take(seconds, 1).await;
        assert_eq!(taken.len(), 1, "one run is due");
        taken.remove(0)
    }

    pub(super) async fn end(&self, run: &AcquiredRun, fate: Fate) -> CompleteResult {
        self.complete_as(Completion { fate, ..Completion::of(run.claim) }).await
    }

    pub(super) async fn run_status(&self, number: u64) -> Option<RunStatus> {
        self.store.all_runs(RunQuery::one(id(number))).await.unwrap().pop()
    }

    /// Changes runs at the time of their first due.
    pub(super) async fn change(&self, runs: &[u64], change: RunChange) -> Vec<RunChanged> {
        let runs = runs.iter().map(|number| id(*number)).collect();
        self.store.change_runs(ChangeRuns::new(runs, change, at(1))).await.unwrap()
    }

    async fn replay(&self, runs: &[u64], now: i64) -> Vec<RunChanged> {
        let runs = runs.iter().map(|number| id(*number)).collect();
        self.store.change_runs(ChangeRuns::new(runs, RunChange::replay(), at(now))).await.unwrap()
    }

    pub(super) async fn all_runs(&self) -> Vec<RunStatus> {
        self.store.all_runs(RunQuery::default()).await.unwrap()
    }
}

pub(super) fn numbers(runs: &[AcquiredRun]) -> Vec<u64> {
    runs.iter().map(|run| run.run.count()).collect()
}

/// What a first attempt has failed with.
pub(super) fn error(text: &str) -> Box<AttemptError> {
    AttemptError::new(1, FailureKind::Failed, at(1), text).on_node("node 1".into()).into()
}

fn again(at: i64, counts: bool) -> Fate {
    Fate::Again { at: crate::bench::at(at), counts, error: Some(error("no")) }
}

const DONE: CompleteResult = CompleteResult::Done { trigger_removed: false, job_removed: false };

checks! { ($) running, __store_checks_of_running;

async fn a_run_is_claimed_once_and_leaves_nothing(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    assert!(bench.take(0, 10).await.is_empty(), "it is not due yet");
    let taken = bench.take_one(1).await;
    assert_eq!((taken.run, taken.attempt, taken.due), (id(1), 1, at(1)));
    assert!(bench.take(9, 10).await.is_empty(), "it is claimed");
    assert_eq!(bench.run_status(1).await.unwrap().state, RunState::Claimed);
    assert_eq!(bench.store.executions(Executions::All).await.unwrap()[0].id, taken.claim);
    assert_eq!(bench.end(&taken, Fate::Over).await, DONE);
    assert_eq!(bench.end(&taken, Fate::Over).await, CompleteResult::Gone, "a repeated end changes nothing");
    assert!(bench.all_runs().await.is_empty() && bench.jobs().await.is_empty());
    assert!(bench.store.executions(Executions::All).await.unwrap().is_empty());
}

/// The attempts that follow know when the first one began. One that does not count is not the first one.
async fn a_retry_knows_when_the_first_attempt_began(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let mut firsts = Vec::new();
    for (seconds, counts) in [(1, false), (2, true), (3, true), (4, true)] {
        let taken = bench.take_one(seconds).await;
        firsts.push(taken.first);
        bench.end(&taken, again(seconds + 1, counts)).await;
    }
    assert_eq!(firsts[..2], [None, None]);
    assert!(firsts[2].is_some() && firsts[2] == firsts[3], "{firsts:?}");
    let taken = bench.take_one(5).await;
    bench.end(&taken, Fate::Dead { error: None }).await;
    assert_eq!(bench.replay(&[1], 6).await, [RunChanged::Done]);
    assert_eq!(bench.take_one(6).await.first, None, "a replay begins anew");
}

async fn a_repeated_enqueue_is_one_run(bench) {
    let new = || vec![run(1, &job("work").build(), 1)];
    bench.enqueue(new()).await;
    assert_eq!(bench.store.enqueue(new()).await.unwrap(), [Enqueued::Existing(id(1))]);
    let taken = bench.take(1, 10).await;
    assert_eq!(numbers(&taken), [1]);
    assert_eq!(bench.store.enqueue(new()).await.unwrap(), [Enqueued::Existing(id(1))], "also while it runs");
    assert!(bench.take(1, 10).await.is_empty());
    let (work, twice) = (job("work").build(), 2);
    let answers = bench.store.enqueue(vec![run(twice, &work, 1), run(twice, &work, 1)]).await.unwrap();
    assert_eq!(answers, [Enqueued::Created, Enqueued::Existing(id(2))], "also in one call");
}

/// By due time, then higher priority, then triggers before runs, then id.
async fn runs_and_triggers_have_one_order(bench) {
    let work = job("work").build();
    bench.put(&work, [every_minute("b", 1), every_minute("late", 3), every_minute("high", 1).priority(9)]).await;
    let high = NewRun::of(id(4), &work, at(1));
    let mut first = high.clone();
    first.priority = 8;
    bench.enqueue(vec![run(300, &work, 1), run(2, &work, 2), run(20, &work, 1), first]).await;
    let mut order = Vec::new();
    for _ in 0..7 {
        let Acquired { triggers, runs, .. } = bench.ask(ONE, 5, 1, QueueLimits::default()).await;
        order.extend(names(&triggers));
        order.extend(numbers(&runs).iter().map(ToString::to_string));
    }
    assert_eq!(order, ["high", "4", "b", "20", "300", "2", "late"]);
}

async fn runs_of_one_sender_are_first_in_first_out(bench) {
    let work = job("work").build();
    bench.enqueue((0..40).map(|number| run(number, &work, 1)).collect()).await;
    let mut order = Vec::new();
    while order.len() < 40 {
        let taken = bench.take(1, 7).await;
        assert!(!taken.is_empty());
        order.extend(numbers(&taken));
    }
    assert_eq!(order, (0..40).collect::<Vec<_>>());
}

async fn a_batch_is_no_larger_than_asked_for(bench) {
    let work = job("work").build();
    bench.put(&work, (0..4).map(|number| every_minute(&format!("t{number}"), 1))).await;
    bench.enqueue((0..4).map(|number| run(number, &work, 1)).collect()).await;
    let first = bench.ask(ONE, 1, 6, QueueLimits::default()).await;
    assert_eq!((first.triggers.len(), first.runs.len()), (4, 2));
    assert_eq!(first.next_due, Some(at(1)));
    let rest = bench.ask(ONE, 1, 6, QueueLimits::default()).await;
    assert_eq!((rest.triggers.len(), rest.runs.len()), (0, 2));
}

async fn a_node_hears_when_a_run_is_due(bench) {
    let before = bench.wakes();
    bench.enqueue(vec![run(1, &job("work").build(), 5)]).await;
    assert!(bench.wakes() > before, "nodes are woken");
    assert_eq!(bench.ask(ONE, 0, 10, QueueLimits::default()).await.next_due, Some(at(5)));
}

async fn a_run_waits_for_a_node_that_knows_its_function(bench) {
    let other = JobDetail::builder("other".parse().unwrap(), "other").build();
    bench.enqueue(vec![run(1, &other, 1)]).await;
    let limits = QueueLimits::default();
    let of_two = bench.ask(TWO, 1, 10, limits.clone()).await;
    assert!(of_two.runs.is_empty() && of_two.next_due.is_none(), "the node has no such function");
    assert_eq!(numbers(&bench.ask(ONE, 1, 10, limits).await.runs), [1]);
}

async fn a_failed_attempt_is_counted_and_made_again(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let first = bench.take_one(1).await;
    assert_eq!(bench.end(&first, again(10, true)).await, DONE);
    let status = bench.run_status(1).await.unwrap();
    assert_eq!((status.state, status.attempts, status.due), (RunState::Waiting, 1, at(10)));
    assert_eq!(status.last_error.as_deref(), Some("no"));
    assert!(bench.take(9, 10).await.is_empty(), "it waits for the backoff");
    let second = bench.take_one(10).await;
    assert_eq!((second.attempt, second.errors.last().map(|error| &*error.text)), (2, Some("no")));
    assert!(second.claim.count() > first.claim.count(), "fences grow");
    assert_eq!(bench.end(&first, Fate::Over).await, CompleteResult::Gone, "the first attempt is over");
    assert_eq!(bench.end(&second, again(11, false)).await, DONE);
    assert_eq!(bench.take_one(11).await.attempt, 2, "an attempt that was interrupted does not count");
}

async fn what_is_released_waits_again_as_before(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let taken = bench.take_one(1).await;
    bench.store.release(vec![taken.claim]).await.unwrap();
    bench.store.release(vec![taken.claim]).await.unwrap();
    let status = bench.run_status(1).await.unwrap();
    assert_eq!((status.state, status.attempts, status.due), (RunState::Waiting, 0, at(1)));
    let taken = bench.take_one(1).await;
    assert_eq!(taken.attempt, 1);
    assert!(bench.take(1, 1).await.is_empty(), "there is one of it");
}

async fn what_a_node_has_never_heard_of_waits_again(bench) {
    let work = job("work").build();
    bench.enqueue(vec![run(1, &work, 1), run(2, &work, 1)]).await;
    let heard = bench.take_one(1).await;
    let unheard = bench.take_one(1).await;
    let (now, limits) = (at(1), QueueLimits::default());
    let heard = Some(heard.claim.count());
    let request = AcquireDue { session: ONE, now, until: now, max: 10, limits, shares: Vec::new(), late: None, heard };
    let taken = bench.store.acquire_due(request).await.unwrap().runs;
    assert_eq!(numbers(&taken), [2], "the first one goes on");
    assert_eq!(taken[0].attempt, 1);
    assert_eq!(bench.end(&unheard, Fate::Over).await, CompleteResult::Gone);
}

async fn the_runs_of_a_node_that_has_ended_wait_again(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let taken = bench.take_one(1).await;
    bench.store.detach(ONE).await.unwrap();
    let other = bench.ask(TWO, 5, 10, QueueLimits::default()).await.runs;
    assert_eq!((numbers(&other), other[0].attempt), (vec![1], 1));
    assert_eq!(bench.end(&taken, Fate::Over).await, CompleteResult::Gone);
    assert_eq!(bench.end(&other[0], Fate::Over).await, DONE);
    assert!(bench.all_runs().await.is_empty());
}

async fn a_dead_run_stays_until_it_is_replayed(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let taken = bench.take_one(1).await;
    assert_eq!(bench.end(&taken, Fate::Dead { error: Some(error("refused")) }).await, DONE);
    assert!(bench.take(99, 10).await.is_empty());
    let dead = bench.store.all_runs(RunQuery::default().in_state(RunState::Ended)).await.unwrap();
    assert_eq!((dead[0].id, dead[0].end, dead[0].attempts), (id(1), Some(RunEnd::Dead), 1));
    assert_eq!(dead[0].last_error.as_deref(), Some("refused"));
    assert_eq!(bench.replay(&[1, 2], 50).await, [RunChanged::Done, RunChanged::Unknown]);
    assert_eq!(bench.replay(&[1], 60).await, [RunChanged::Refused(RunState::Waiting)]);
    let status = bench.run_status(1).await.unwrap();
    assert_eq!((status.state, status.replays, status.due), (RunState::Waiting, 1, at(50)));
    let taken = bench.take_one(50).await;
    assert_eq!((taken.run, taken.attempt), (id(1), 1), "the same run begins anew");
    assert_eq!(bench.replay(&[1], 60).await, [RunChanged::Refused(RunState::Claimed)]);
    bench.end(&taken, Fate::Over).await;
    assert!(bench.all_runs().await.is_empty());
}

async fn a_run_that_waits_is_cancelled_at_once_and_one_that_runs_is_asked(bench) {
    let work = job("work").build();
    bench.enqueue(vec![run(1, &work, 1), run(2, &work, 2)]).await;
    let taken = bench.take_one(1).await;
    let cancelled = bench.change(&[1, 2, 3], RunChange::Cancel).await;
    assert_eq!(cancelled, [RunChanged::Done, RunChanged::Done, RunChanged::Unknown]);
    let asked = bench.cancelled(ONE, 1).await;
    assert_eq!(asked.iter().map(|(claim, _)| *claim).collect::<Vec<_>>(), [taken.claim]);
    assert_eq!(bench.run_status(2).await.unwrap().end, Some(RunEnd::Cancelled));
    assert!(bench.take(9, 10).await.is_empty());
    bench.end(&taken, Fate::Cancelled).await;
    assert!(bench.cancelled(ONE, 1).await.is_empty());
    let status = bench.run_status(1).await.unwrap();
    assert_eq!((status.end, status.attempts), (Some(RunEnd::Cancelled), 1));
    assert_eq!(bench.change(&[1], RunChange::Cancel).await, [RunChanged::Refused(RunState::Ended)]);
}

/// Whether it is to be attempted again, is given back or is lost with its node.
async fn a_run_that_is_cancelled_while_it_runs_comes_back_no_more(bench) {
    let work = job("work").build();
    bench.enqueue((1..=3).map(|number| run(number, &work, 1)).collect()).await;
    let taken = bench.take(1, 3).await;
    assert_eq!(bench.change(&[1, 2, 3], RunChange::Cancel).await, [RunChanged::Done; 3]);
    assert_eq!(bench.end(&taken[0], again(2, true)).await, CompleteResult::Withdrawn);
    bench.store.release(vec![taken[1].claim]).await.unwrap();
    bench.store.detach(ONE).await.unwrap();
    let other = bench.ask(TWO, 9, 10, QueueLimits::default()).await;
    assert!(other.runs.is_empty());
    assert_eq!(bench.all_runs().await.iter().map(|run| run.end).collect::<Vec<_>>(), [Some(RunEnd::Cancelled); 3]);
    assert!(bench.store.executions(Executions::All).await.unwrap().is_empty());
}

/// Runs and triggers of such a job alike.
async fn runs_and_triggers_of_a_job_that_runs_alone_have_one_claim(bench) {
    let alone = exclusive("work");
    bench.put(&alone, [every_minute("trigger", 2)]).await;
    bench.enqueue(vec![run(1, &alone, 1), run(2, &alone, 1), run(3, &alone, 3)]).await;
    let first = bench.ask(ONE, 9, 10, QueueLimits::default()).await;
    assert_eq!((numbers(&first.runs), first.triggers.len()), (vec![1], 0));
    assert!(bench.take(9, 10).await.is_empty(), "the job is busy");
    bench.end(&first.runs[0], again(1, true)).await;
    let second = bench.take_one(9).await;
    assert_eq!(second.run, id(1), "it is the first again");
    bench.end(&second, Fate::Over).await;
    let third = bench.take_one(9).await;
    assert_eq!(third.run, id(2));
    bench.end(&third, Fate::Over).await;
    let trigger = bench.run(9).await;
    assert!(bench.take(9, 10).await.is_empty(), "the trigger has the job");
    bench.complete(&trigger).await;
    assert_eq!(bench.take_one(9).await.run, id(3));
}

/// The stored job says how its runs are claimed, whatever was said when they were enqueued.
async fn a_stored_job_decides_whether_its_runs_overlap(bench) {
    let (free, alone) = (job("work").durable(true).build(), exclusive("work").to_builder().durable(true).build());
    bench.enqueue(vec![run(1, &free, 1), run(2, &free, 1)]).await;
    bench.put(&alone, []).await;
    let first = bench.take(1, 10).await;
    assert_eq!(numbers(&first), [1]);
    assert!(first[0].job.as_ref().is_some_and(|job| job.disallow_concurrent()));
    assert!(bench.take(1, 10).await.is_empty());
    bench.end(&first[0], Fate::Over).await;
    bench.try_put(&free, [], Existing::Refuse).await.unwrap();
    bench.enqueue(vec![run(3, &alone, 1)]).await;
    assert_eq!(numbers(&bench.take(1, 10).await), [2, 3]);
}

async fn runs_count_for_the_limit_of_their_queue(bench) {
    let heavy = job("work").queue("heavy").build();
    bench.enqueue((1..=3).map(|number| run(number, &heavy, 1)).collect()).await;
    let limits = QueueLimits { shared: [("heavy".into(), 2)].into(), ..QueueLimits::default() };
    let first = bench.ask(ONE, 1, 10, limits.clone()).await.runs;
    assert_eq!(numbers(&first), [1, 2]);
    assert!(bench.ask(ONE, 1, 10, limits.clone()).await.runs.is_empty());
    bench.end(&first[0], Fate::Over).await;
    assert_eq!(numbers(&bench.ask(ONE, 1, 10, limits).await.runs), [3]);
    let of_queue = bench.store.executions(Executions::OfQueue("heavy".into())).await.unwrap();
    assert_eq!(of_queue.len(), 2);
}

async fn a_trigger_keeps_a_promise_as_a_run(bench) {
    let work = job("work").build();
    bench.put(&work, [once("trigger", 1)]).await;
    let fired = bench.run(1).await;
    let detail = std::sync::Arc::new(work);
    let promise = NewRun::of_firing(fired.claim, &detail, &fired.trigger, at(1), at(1));
    let promised = promise.id;
    let ending = Completion {
        instruction: Instruction::RemoveTrigger,
        fate: again(20, true),
        promise: Some(Box::new(promise)),
        ..Completion::of(fired.claim)
    };
    let done = bench.complete_as(ending.clone()).await;
    assert_eq!(done, CompleteResult::Done { trigger_removed: true, job_removed: true });
    assert_eq!(bench.complete_as(ending).await, CompleteResult::Gone);
    let taken = bench.take(20, 10).await;
    assert_eq!((taken.len(), taken[0].run, taken[0].attempt), (1, promised, 2));
    assert_eq!(taken[0].trigger.key().to_string(), "trigger", "it is an attempt at that occurrence");
    assert!(taken[0].job.is_some(), "the job is gone, and the run has it");
    bench.end(&taken[0], Fate::Dead { error: None }).await;
    assert_eq!(bench.all_runs().await[0].attempts, 2);
}

async fn runs_are_listed_by_pages(bench) {
    let (work, other) = (job("work").build(), job("other").build());
    bench.enqueue((1..=4).map(|number| run(number, &work, 1)).chain([run(5, &other, 1)]).collect()).await;
    let page = |query: RunQuery| {
        let store = bench.store.clone();
        async move { store.all_runs(query).await.unwrap().iter().map(|run| run.id.count()).collect::<Vec<_>>() }
    };
    let mut query = RunQuery::default().of_job("work".parse().unwrap());
    query.limit = Some(3);
    assert_eq!(page(query.clone()).await, [1, 2, 3]);
    query.after = Some(id(3).into());
    assert_eq!(page(query).await, [4]);
    assert_eq!(page(RunQuery::default()).await, [1, 2, 3, 4, 5]);
    assert_eq!(page(RunQuery::default().in_state(RunState::Ended)).await, [0; 0]);
}

async fn clearing_removes_runs_and_what_runs_goes_on(bench) {
    let work = job("work").build();
    bench.enqueue(vec![run(1, &work, 1), run(2, &work, 1)]).await;
    let taken = bench.take_one(1).await;
    bench.store.clear().await.unwrap();
    assert!(bench.all_runs().await.is_empty());
    assert!(bench.take(9, 10).await.is_empty());
    assert_eq!(bench.end(&taken, again(10, true)).await, CompleteResult::Withdrawn);
    assert!(bench.all_runs().await.is_empty() && bench.take(99, 10).await.is_empty());
}

/// The old attempt knows nothing of the new run.
async fn a_run_that_is_stored_anew_after_it_was_removed_is_another_one(bench) {
    for (number, job) in [(1, job("work").build()), (2, exclusive("alone"))] {
        for fate in [Fate::Over, again(2, true), Fate::Dead { error: None }] {
            bench.enqueue(vec![run(number, &job, 1)]).await;
            let old = bench.take_one(1).await;
            bench.store.clear().await.unwrap();
            bench.enqueue(vec![run(number, &job, 3)]).await;
            let expected = if fate == Fate::Over { DONE } else { CompleteResult::Withdrawn };
            assert_eq!(bench.end(&old, fate).await, expected);
            let status = bench.run_status(number).await.unwrap();
            assert_eq!((status.state, status.attempts, status.due), (RunState::Waiting, 0, at(3)));
            let new = bench.take_one(3).await;
            assert_eq!(bench.run_status(number).await.unwrap().state, RunState::Claimed);
            assert_eq!(bench.end(&new, Fate::Over).await, DONE);
            assert!(bench.all_runs().await.is_empty());
        }
    }
}

/// Created = waiting + claimed + dead + over, after each of many random steps; what waits can be claimed, and nothing else can.
async fn no_run_is_lost(bench) {
    let mut seed = 11u64;
    let mut chance = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let jobs = [job("work").build(), exclusive("alone")];
    let (mut created, mut over, mut dead) = (0, 0, 0);
    let mut claims = BTreeMap::<u64, AcquiredRun>::new();
    for now in 0..150 {
        match chance(8) {
            0 | 1 => {
                let new = (0..=chance(3)).map(|_| {
                    created += 1;
                    run(created, &jobs[chance(2) as usize], now)
                });
                bench.enqueue(new.collect()).await;
            }
            2 | 3 => {
                let taken = bench.take(now, 1 + chance(3) as usize).await;
                for one in taken {
                    assert!(claims.insert(one.run.count(), one).is_none(), "claimed twice");
                }
            }
            4 | 5 => {
                let Some((_, claim)) = claims.pop_first() else { continue };
                let fate = match chance(3) {
                    0 => again(now + 1, true),
                    1 => { dead += 1; Fate::Dead { error: None } }
                    _ => { over += 1; Fate::Over }
                };
                assert_eq!(bench.end(&claim, fate).await, DONE);
            }
            6 => {
                let Some((_, claim)) = claims.pop_last() else { continue };
                bench.store.release(vec![claim.claim]).await.unwrap();
            }
            _ => {
                let all: Vec<_> = bench.store.all_runs(RunQuery::default().in_state(RunState::Ended)).await.unwrap();
                let Some(first) = all.first() else { continue };
                assert_eq!(bench.replay(&[first.id.count()], now).await, [RunChanged::Done]);
                dead -= 1;
            }
        }
        let all = bench.all_runs().await;
        let of = |state| all.iter().filter(|run| run.state == state).count() as u64;
        assert_eq!(created, over + all.len() as u64, "after {now} steps");
        assert_eq!((of(RunState::Claimed), of(RunState::Ended)), (claims.len() as u64, dead), "after {now} steps");
    }
    // All runs that wait are run to their end.
    for claim in claims.into_values() {
        bench.end(&claim, Fate::Over).await;
    }
    loop {
        let taken = bench.take(1000, 10).await;
        if taken.is_empty() { break }
        for one in taken { bench.end(&one, Fate::Over).await; }
    }
    assert_eq!(bench.all_runs().await.len() as u64, dead, "only dead runs are left");
}
}
