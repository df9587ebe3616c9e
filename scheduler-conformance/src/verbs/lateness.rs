//! Boosts and expiries: which run goes first, and which run is too late.

use std::time::Duration;

use scheduler_core::run::{FiringCause, RunEnd, RunId, RunState};
use scheduler_core::store::*;

use super::running::{error, id, numbers, run};
use crate::bench::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Enqueued so many seconds after the begin.
fn boosted(number: u64, due: i64, boost: u64, now: i64) -> NewRun {
    let mut run = run(number, &job("work").build(), due);
    (run.boost, run.now) = (seconds(boost), Some(at(now)));
    run
}

fn of_unknown_time(mut run: NewRun) -> NewRun {
    run.now = None;
    run
}

fn expiring(number: u64, due: i64, expires: u64) -> NewRun {
    let mut run = run(number, &job("work").build(), due);
    run.expires = Some(seconds(expires));
    run
}

fn plain(number: u64, due: i64) -> NewRun {
    run(number, &job("work").build(), due)
}

fn again(due: i64, counts: bool) -> Fate {
    Fate::Again { at: at(due), counts, error: Some(error("no")) }
}

impl Bench {
    /// What the node learns so many seconds after the begin, and claims.
    async fn look(&self, seconds: i64, max: usize) -> Acquired {
        self.ask(ONE, seconds, max, QueueLimits::default()).await
    }

    /// The runs that a request for work has found expired.
    async fn expired(&self, seconds: i64) -> Vec<RunId> {
        let acquired = self.look(seconds, 10).await;
        assert_eq!(numbers(&acquired.runs), [0; 0], "nothing is due");
        acquired
            .expired
            .into_iter()
            .map(|(run, job)| {
                assert_eq!(job.to_string(), "work");
                run
            })
            .collect()
    }

    async fn change_at(&self, number: u64, change: RunChange, seconds: i64) -> RunChanged {
        let request = ChangeRuns::new(vec![id(number)], change, at(seconds));
        self.store.change_runs(request).await.unwrap().remove(0)
    }

    async fn ended_as(&self, number: u64) -> Option<RunEnd> {
        self.run_status(number).await.and_then(|run| run.end)
    }

    /// The numbers of the runs that a query finds at this time.
    async fn found_at(&self, query: RunQuery, seconds: i64) -> Vec<u64> {
        self.store
            .all_runs(query.as_of(at(seconds)))
            .await
            .unwrap()
            .iter()
            .map(|run| run.id.count())
            .collect()
    }
}

checks! { ($) lateness, __store_checks_of_lateness;

/// As a node asks that drains: for what was due when it was told to stop.
async fn a_boosted_run_that_is_due_does_not_come_up_again_and_again(bench) {
    bench.enqueue(vec![boosted(1, 5, 60, 0)]).await;
    let request = AcquireDue {
        session: ONE,
        now: at(10),
        until: at(2),
        max: 10,
        limits: QueueLimits::default(),
        shares: Vec::new(),
        late: None,
        heard: None,
    };
    let acquired = bench.store.acquire_due(request).await.unwrap();
    assert_eq!(numbers(&acquired.runs), [1], "it is due, and its place is before the asked time");
}

async fn a_boosted_run_goes_before_what_became_due_earlier(bench) {
    let runs = vec![plain(1, 100), plain(2, 60), boosted(3, 110, 30, 110), plain(4, 80), plain(5, 79)];
    bench.enqueue(runs).await;
    // Work that stands at the same place is taken in the order of its names.
    assert_eq!(numbers(&bench.take(110, 10).await), [2, 5, 3, 4, 1]);
}

async fn a_boost_is_shown(bench) {
    bench.enqueue(vec![plain(1, 1), boosted(2, 1, 30, 1)]).await;
    assert_eq!(bench.run_status(1).await.unwrap().boost, None);
    assert_eq!(bench.run_status(2).await.unwrap().boost, Some(seconds(30)));
}

async fn a_boosted_run_never_begins_early(bench) {
    bench.enqueue(vec![boosted(1, 100, 90, 0)]).await;
    for second in [10, 99] {
        let acquired = bench.look(second, 10).await;
        assert_eq!(numbers(&acquired.runs), [0; 0], "after {second} s");
        assert_eq!(acquired.next_due, Some(at(100)), "the node comes when it is due");
    }
    bench.enqueue(vec![plain(2, 50)]).await;
    let taken = bench.take(100, 10).await;
    assert_eq!(numbers(&taken), [1, 2], "it goes before what became due earlier");
    assert_eq!(taken[0].due, at(100), "its due time is its own");
}

/// The caller does not say what time it is, or its clock is wrong.
async fn a_clock_that_is_ahead_does_not_make_a_boosted_run_early(bench) {
    let unknown = of_unknown_time(boosted(2, 100, 90, 0));
    bench.enqueue(vec![boosted(1, 100, 90, 1000), unknown, plain(3, 50)]).await;
    for second in [40, 60] {
        assert!(bench.take(second, 10).await.iter().all(|run| run.run == id(3)), "after {second} s");
    }
    assert_eq!(numbers(&bench.take(100, 10).await), [1, 2]);
}

async fn a_run_that_is_boosted_after_its_due_time_waits_for_nothing(bench) {
    let unknown = of_unknown_time(boosted(1, 100, 90, 0));
    bench.enqueue(vec![unknown, boosted(2, 100, 90, 200), plain(3, 100)]).await;
    assert_eq!(numbers(&bench.take(200, 10).await), [1, 2, 3]);
}

async fn a_node_hears_of_a_boosted_run_that_comes_first(bench) {
    assert_eq!(bench.look(0, 10).await.next_due, None);
    let before = bench.wakes();
    bench.enqueue(vec![boosted(1, 100, 90, 0)]).await;
    assert!(bench.wakes() > before, "its alarm is the first");
    assert_eq!(bench.look(0, 10).await.next_due, Some(at(100)));
}

async fn a_retry_of_a_boosted_run_is_boosted_and_not_early(bench) {
    bench.enqueue(vec![boosted(1, 1, 60, 1)]).await;
    let taken = bench.take_one(1).await;
    bench.end(&taken, again(300, true)).await;
    bench.enqueue(vec![plain(2, 280)]).await;
    assert_eq!(numbers(&bench.take(279, 10).await), [0; 0]);
    let taken = bench.take(300, 10).await;
    assert_eq!(numbers(&taken), [1, 2]);
    assert_eq!(taken[0].attempt, 2);
}

async fn a_boosted_run_is_never_early_after_a_change(bench) {
    bench.enqueue(vec![boosted(1, 100, 90, 0), boosted(2, 1, 90, 1)]).await;
    // The second one is due, and is held beyond the time to which it is put off.
    assert_eq!(bench.change_at(2, RunChange::Hold, 2).await, RunChanged::Done);
    let later = RunChange::edit(RunEdit::new().due(at(100)));
    assert_eq!(bench.change_at(2, later.clone(), 3).await, RunChanged::Done);
    assert_eq!(bench.change_at(2, RunChange::Release, 4).await, RunChanged::Done);
    assert_eq!(bench.change_at(1, RunChange::Hold, 5).await, RunChanged::Done);
    assert_eq!(numbers(&bench.take(99, 10).await), [0; 0]);
    assert_eq!(bench.change_at(1, RunChange::Release, 99).await, RunChanged::Done);
    assert_eq!(numbers(&bench.take(99, 10).await), [0; 0]);
    assert_eq!(bench.change_at(1, RunChange::edit(RunEdit::new().due(at(150))), 99).await, RunChanged::Done);
    assert_eq!(numbers(&bench.take(149, 10).await), [2]);
    let taken = bench.take_one(150).await;
    bench.end(&taken, Fate::Dead { error: None }).await;
    let replay = RunChange::Replay { from: Some(at(300)), spacing: Duration::ZERO };
    assert_eq!(bench.change_at(1, replay, 200).await, RunChanged::Done);
    assert_eq!(numbers(&bench.take(299, 10).await), [0; 0]);
    assert_eq!(numbers(&bench.take(300, 10).await), [1]);
}

async fn a_boosted_run_of_an_exclusive_job_goes_first_in_its_line(bench) {
    let of_job = |mut run: NewRun| {
        run.exclusive = true;
        run
    };
    bench.enqueue(vec![of_job(plain(1, 100)), of_job(boosted(2, 120, 30, 0))]).await;
    let first = bench.take(100, 10).await;
    assert_eq!(numbers(&first), [1]);
    bench.enqueue(vec![of_job(plain(3, 110))]).await;
    assert_eq!(numbers(&bench.take(120, 10).await), [0; 0], "the job is busy");
    bench.end(&first[0], Fate::Over).await;
    assert_eq!(numbers(&bench.take(120, 10).await), [2]);
}

async fn a_cancelled_run_that_is_not_due_leaves_its_alarm(bench) {
    bench.enqueue(vec![boosted(1, 100, 90, 0), boosted(2, 100, 90, 0)]).await;
    assert_eq!(bench.change_at(1, RunChange::Delete, 1).await, RunChanged::Done);
    assert_eq!(bench.change_at(2, RunChange::Cancel, 1).await, RunChanged::Done);
    assert_eq!(bench.ended_as(2).await, Some(RunEnd::Cancelled));
    assert_eq!(numbers(&bench.take(100, 10).await), [0; 0]);
    assert_eq!(bench.look(200, 10).await.next_due, Some(at(1 + 86_400)), "only the record is left");
}

async fn a_run_that_has_not_begun_in_time_expires(bench) {
    bench.enqueue(vec![expiring(1, 10, 20), expiring(2, 10, 20), plain(3, 100)]).await;
    assert_eq!(numbers(&bench.take(29, 1).await), [1], "it is in time");
    assert_eq!(bench.expired(30).await, [id(2)]);
    assert_eq!(bench.expired(31).await, [], "that is told once");
    let run = bench.run_status(2).await.unwrap();
    assert_eq!((run.state, run.end, run.ended), (RunState::Ended, Some(RunEnd::Expired), Some(at(30))));
    assert_eq!(run.kept_until, Some(at(30 + 86_400)), "a day is the default");
    assert_eq!(numbers(&bench.take(100, 10).await), [3]);
    bench.look(30 + 86_400, 0).await;
    assert!(bench.run_status(2).await.is_none(), "its time after the end is over, too");
}

async fn an_expired_run_has_a_record(bench) {
    let mut run = expiring(1, 10, 20);
    run.queue = Some("mail".into());
    bench.enqueue(vec![run]).await;
    assert_eq!(bench.expired(40).await, [id(1)]);
    let records = bench.store.all_firings(FiringQuery::default()).await.unwrap();
    let Some(record) = records.first().filter(|_| bench.attached.keeps_history) else { return };
    assert_eq!((record.outcome, record.reason), (FiringOutcome::NotRun, Some(FiringReason::Expired)));
    assert_eq!((record.run, record.execution, record.attempt), (Some(id(1)), None, 0));
    assert_eq!((record.scheduled, record.ended, record.cause), (at(10), at(40), FiringCause::Enqueued));
    assert_eq!((record.queue.as_deref(), record.began), (Some("mail"), None));
}

async fn a_run_that_has_begun_in_time_does_not_expire(bench) {
    bench.enqueue(vec![expiring(1, 10, 20)]).await;
    let taken = bench.take_one(29).await;
    for second in [30, 31, 100] {
        assert_eq!(bench.expired(second).await, [], "it is under way");
    }
    assert_eq!(bench.run_status(1).await.unwrap().state, RunState::Claimed);
    bench.end(&taken, Fate::Over).await;
    assert!(bench.all_runs().await.is_empty());
    assert_eq!(bench.look(100, 10).await.next_due, None, "no alarm is left");
}

async fn a_run_that_ends_in_time_leaves_no_alarm(bench) {
    bench.enqueue(vec![expiring(1, 10, 20), expiring(2, 10, 20)]).await;
    for taken in bench.take(10, 2).await {
        bench.end(&taken, Fate::Over).await;
    }
    assert_eq!(bench.look(11, 10).await.next_due, None);
    assert_eq!(bench.expired(40).await, []);
}

/// Its first attempt has not begun then.
async fn a_run_that_is_given_back_expires_after_all(bench) {
    bench.enqueue(vec![expiring(1, 10, 20), expiring(2, 10, 20)]).await;
    let taken = bench.take(29, 2).await;
    bench.store.release(vec![taken[0].claim]).await.unwrap();
    assert_eq!(bench.expired(30).await, [id(1)]);
    bench.store.release(vec![taken[1].claim]).await.unwrap();
    assert_eq!(bench.expired(31).await, [id(2)]);
}

async fn retries_do_not_expire(bench) {
    bench.enqueue(vec![expiring(1, 10, 20), expiring(2, 10, 20)]).await;
    let taken = bench.take(29, 2).await;
    bench.end(&taken[0], again(60, true)).await;
    bench.end(&taken[1], again(60, false)).await;
    assert_eq!(bench.run_status(1).await.unwrap().expires, None);
    assert_eq!(bench.expired(59).await, []);
    let taken = bench.take(70, 2).await;
    assert_eq!(numbers(&taken), [1, 2]);
    bench.store.release(taken.iter().map(|run| run.claim).collect()).await.unwrap();
    assert_eq!(numbers(&bench.take(71, 2).await), [1, 2]);
}

async fn a_held_run_expires(bench) {
    bench.enqueue(vec![expiring(1, 10, 20)]).await;
    assert_eq!(bench.change_at(1, RunChange::Hold, 1).await, RunChanged::Done);
    assert_eq!(bench.expired(29).await, []);
    assert_eq!(bench.expired(30).await, [id(1)]);
}

async fn a_replay_expires_so_long_after_its_own_due_time(bench) {
    bench.enqueue(vec![expiring(1, 10, 20), expiring(2, 10, 20)]).await;
    assert_eq!(bench.expired(30).await.len(), 2);
    for number in [1, 2] {
        assert_eq!(bench.change_at(number, RunChange::replay(), 100).await, RunChanged::Done);
    }
    assert_eq!(bench.run_status(1).await.unwrap().expires, Some(at(120)));
    assert_eq!(numbers(&bench.take(119, 1).await), [1]);
    assert_eq!(bench.expired(120).await, [id(2)]);
}

/// Also one whose first life has begun.
async fn a_replay_of_a_dead_run_can_expire(bench) {
    bench.enqueue(vec![expiring(1, 10, 20)]).await;
    let taken = bench.take_one(10).await;
    bench.end(&taken, again(12, false)).await;
    let taken = bench.take_one(12).await;
    bench.end(&taken, Fate::Dead { error: None }).await;
    assert_eq!(bench.change_at(1, RunChange::replay(), 100).await, RunChanged::Done);
    assert_eq!(bench.expired(120).await, [id(1)]);
}

async fn another_due_time_is_another_expiry(bench) {
    bench.enqueue(vec![expiring(1, 10, 20)]).await;
    let edit = RunChange::edit(RunEdit::new().due(at(50)));
    assert_eq!(bench.change_at(1, edit, 1).await, RunChanged::Done);
    assert_eq!(bench.expired(49).await, []);
    assert_eq!(numbers(&bench.take(69, 1).await), [1]);
}

async fn an_expired_run_is_shown_as_such_at_once(bench) {
    bench.enqueue(vec![expiring(1, 10, 20), plain(2, 10)]).await;
    let waiting = || RunQuery::default().in_state(RunState::Waiting);
    assert_eq!(bench.found_at(waiting(), 29).await, [1, 2]);
    assert_eq!(bench.found_at(waiting(), 30).await, [2]);
    let run = bench.store.all_runs(RunQuery::one(id(1)).as_of(at(30))).await.unwrap().remove(0);
    assert_eq!((run.state, run.end, run.ended), (RunState::Ended, Some(RunEnd::Expired), Some(at(30))));
    let stored = bench.run_status(1).await.unwrap();
    assert_eq!((stored.state, stored.expires), (RunState::Waiting, Some(at(30))), "no node has looked yet");
}

async fn an_expired_run_is_changed_as_one_that_has_ended(bench) {
    bench.enqueue((1..=4).map(|number| expiring(number, 10, 20)).collect()).await;
    let refused = RunChanged::Refused(RunState::Ended);
    assert_eq!(bench.change_at(1, RunChange::Cancel, 30).await, refused);
    assert_eq!(bench.ended_as(1).await, Some(RunEnd::Expired));
    assert_eq!(bench.change_at(2, RunChange::replay(), 30).await, RunChanged::Done);
    assert_eq!(bench.change_at(3, RunChange::Delete, 30).await, RunChanged::Done);
    assert_eq!(bench.change_at(4, RunChange::Hold, 29).await, RunChanged::Done);
    assert_eq!(bench.change_at(4, RunChange::Release, 30).await, refused);
    assert_eq!(numbers(&bench.take(31, 10).await), [2]);
}

async fn no_expired_run_begins_however_many_there_are(bench) {
    let many = 1_200;
    for first in (0..many).step_by(400) {
        bench.enqueue((first..first + 400).map(|number| expiring(number, 10, 20)).collect()).await;
    }
    bench.enqueue(vec![plain(many, 15)]).await;
    let (mut expired, mut taken) = (Vec::new(), Vec::new());
    // A store may do some hundred at a time.
    for _ in 0..60 {
        let acquired = bench.look(30, 50).await;
        taken.extend(numbers(&acquired.runs));
        expired.extend(acquired.expired.into_iter().map(|(run, _)| run.count()));
    }
    expired.sort_unstable();
    assert!(expired == (0..many).collect::<Vec<_>>(), "each is told once");
    assert_eq!(taken, [many]);
}

/// The first of a line keeps nobody behind it waiting once it has expired.
async fn an_expired_run_frees_its_line(bench) {
    let of_job = |mut run: NewRun| {
        run.exclusive = true;
        run
    };
    bench.enqueue(vec![of_job(expiring(1, 10, 20)), of_job(plain(2, 11))]).await;
    assert_eq!(numbers(&bench.take(30, 10).await), [2]);
}

async fn a_boosted_run_that_nobody_has_looked_at_expires(bench) {
    let mut run = boosted(1, 100, 90, 0);
    run.expires = Some(seconds(20));
    bench.enqueue(vec![run]).await;
    assert_eq!(bench.expired(200).await, [id(1)]);
}
}
