//! Stored runs that users change, and ended runs: listed, kept, replayed.

use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::JobData;
use scheduler_core::run::{RunEnd, RunState};
use scheduler_core::store::*;

use super::running::{id, numbers, run};
use crate::bench::*;

impl Bench {
    /// Each of these runs fails with this error, and is dead.
    async fn kill(&self, number: u64, seconds: i64, error: &str) {
        self.enqueue(vec![run(number, &job("work").build(), 1)]).await;
        let taken = self.take_one(1).await;
        let fate = Fate::Dead { error: Some(super::running::error(error)) };
        let executions = vec![Completion { fate, ..Completion::of(taken.claim) }];
        self.store.complete(Complete { now: at(seconds), executions }).await.unwrap();
    }

    /// What a query finds, in its order, page by page.
    async fn run_numbers(&self, query: RunQuery, page_size: usize) -> Vec<u64> {
        let (mut query, mut found) = (query, Vec::new());
        query.limit = Some(page_size);
        loop {
            let page = self.store.runs(query.clone()).await.unwrap();
            assert!(page.items.len() <= page_size);
            found.extend(page.items.iter().map(|run| run.id.count()));
            query.after = page.next;
            if query.after.is_none() {
                return found;
            }
        }
    }
}

checks! { ($) changing, __store_checks_of_changing;

async fn ended_runs_are_listed_by_the_time_of_their_end(bench) {
    bench.enqueue((1..=3).map(|number| run(number, &job("work").build(), 500)).collect()).await;
    for number in 1..=3 {
        let cancel = ChangeRuns::new(vec![id(number)], RunChange::Cancel, at(10 * number as i64));
        bench.store.change_runs(cancel).await.unwrap();
    }
    let found = async |from: i64, until: i64| {
        let query = RunQuery::default().that_are(RunEnd::Cancelled).ended_in(at(from)..at(until));
        let runs = bench.store.all_runs(query).await.unwrap();
        runs.iter().map(|run| run.id.count()).collect::<Vec<_>>()
    };
    assert_eq!((found(0, 99).await, found(20, 30).await), (vec![3, 2, 1], vec![2]));
}

async fn an_ended_run_is_kept_until_its_time_is_over(bench) {
    bench.kill(1, 1, "no").await;
    bench.enqueue(vec![run(2, &job("work").build(), 2)]).await;
    bench.change(&[2], RunChange::Cancel).await;
    for number in [2, 1] {
        let status = bench.run_status(number).await.unwrap();
        let (end, until) = (status.ended.unwrap(), status.kept_until.unwrap());
        assert_eq!(end, at(1));
        assert!(until > end);
        for (now, is_kept) in [(until - TimeDelta::seconds(1), true), (until, false)] {
            let limits = QueueLimits::default();
            let request = AcquireDue { session: ONE, now, until: now, max: 10, limits, shares: Vec::new(), late: None, heard: None };
            let acquired = bench.store.acquire_due(request).await.unwrap();
            assert!(acquired.runs.is_empty() && acquired.dropped.is_empty());
            assert_eq!(bench.run_status(number).await.is_some(), is_kept, "run {number} at {now}");
        }
    }
    assert!(bench.run_numbers(RunQuery::default().in_state(RunState::Ended), 10).await.is_empty());
}

async fn ended_runs_are_listed_with_the_latest_first(bench) {
    for (number, seconds) in [(1, 30), (2, 10), (3, 20), (4, 40), (5, 10), (6, 10)] {
        bench.kill(number, seconds, if number % 2 == 0 { "connection refused" } else { "no such user" }).await;
    }
    bench.enqueue(vec![run(7, &job("other").queue("slow").build(), 2), run(8, &job("work").build(), 99)]).await;
    bench.change(&[7], RunChange::Cancel).await;
    let dead = bench.run_numbers(RunQuery::dead(), 10).await;
    assert_eq!(dead[..3], [4, 1, 3]);
    let mut together = dead[3..].to_vec();
    together.sort_unstable();
    assert_eq!(together, [2, 5, 6], "they ended in one moment");
    for page_size in 1..4 {
        assert_eq!(bench.run_numbers(RunQuery::dead(), page_size).await, dead, "in pages of {page_size}");
    }
    let all = bench.run_numbers(RunQuery::default().in_state(RunState::Ended), 2).await;
    assert_eq!(all, [dead, vec![7]].concat(), "the cancelled one ended first");
    assert_eq!(bench.run_numbers(RunQuery::default().that_are(RunEnd::Cancelled), 10).await, [7]);
    assert_eq!(bench.run_numbers(RunQuery::dead().with_error("refused"), 1).await[0], 4);
    assert_eq!(bench.run_numbers(RunQuery::dead().with_error("no such"), 10).await[..2], [1, 3]);
    assert_eq!(bench.run_numbers(RunQuery::default().of_queue("slow"), 10).await, [7]);
    assert_eq!(bench.run_numbers(RunQuery::default().that_are(RunEnd::Expired), 10).await, [0; 0]);
    assert_eq!(bench.run_numbers(RunQuery::default().in_state(RunState::Waiting), 10).await, [8]);
}

async fn a_cancelled_run_can_be_replayed(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 5)]).await;
    assert_eq!(bench.change(&[1], RunChange::Cancel).await, [RunChanged::Done]);
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    let taken = bench.take_one(1).await;
    bench.end(&taken, Fate::Over).await;
    assert!(bench.all_runs().await.is_empty());
}

/// By their places in the list.
async fn replays_are_due_one_after_the_other(bench) {
    for number in 1..=4 {
        bench.kill(number, 1, "no").await;
    }
    let wakes = bench.wakes();
    let change = RunChange::replay_every(Duration::from_secs(10));
    assert_eq!(bench.change(&[3, 9, 1, 4], change).await[1], RunChanged::Unknown);
    assert!(bench.wakes() > wakes, "nodes are woken");
    let mut due = Vec::new();
    for seconds in [1, 20, 21, 30, 31] {
        due.push(numbers(&bench.take(seconds, 10).await));
    }
    assert_eq!(due, [vec![3], vec![], vec![1], vec![], vec![4]]);
    assert_eq!(bench.run_numbers(RunQuery::dead(), 10).await, [2]);
}

async fn a_held_run_waits_until_it_is_released(bench) {
    let work = job("work").build();
    bench.enqueue(vec![run(1, &work, 1), run(2, &work, 1)]).await;
    assert_eq!(bench.change(&[1, 3], RunChange::Hold).await, [RunChanged::Done, RunChanged::Unknown]);
    assert_eq!(bench.change(&[1], RunChange::Hold).await, [RunChanged::Refused(RunState::Held)]);
    let taken = bench.take(9, 10).await;
    assert_eq!(numbers(&taken), [2]);
    assert_eq!(bench.run_status(1).await.unwrap().state, RunState::Held);
    assert_eq!(bench.change(&[2], RunChange::Hold).await, [RunChanged::Refused(RunState::Claimed)]);
    assert_eq!(bench.change(&[2], RunChange::Release).await, [RunChanged::Refused(RunState::Claimed)]);
    assert_eq!(bench.change(&[1], RunChange::Release).await, [RunChanged::Done]);
    assert_eq!(bench.take_one(9).await.due, at(1), "its due time is the same");
    bench.enqueue(vec![run(3, &work, 1)]).await;
    bench.change(&[3], RunChange::Hold).await;
    assert_eq!(bench.change(&[3], RunChange::Cancel).await, [RunChanged::Done]);
    assert_eq!(bench.run_status(3).await.unwrap().end, Some(RunEnd::Cancelled));
}

async fn an_edited_run_does_what_it_was_told_last(bench) {
    let work = job("work").queue("fast").build();
    bench.enqueue((1..=3).map(|number| run(number, &work, 1)).collect()).await;
    let data = JobData::new().with("to", "ada");
    let edit = RunEdit::new().data(data.clone()).queue("slow").priority(9).due(at(3));
    assert_eq!(bench.change(&[2], RunChange::edit(edit)).await, [RunChanged::Done]);
    bench.change(&[1], RunChange::edit(RunEdit::new().no_queue().priority(1))).await;
    let limits = QueueLimits { named: [("slow".into(), 0)].into(), ..QueueLimits::default() };
    assert_eq!(numbers(&bench.ask(ONE, 9, 10, limits).await.runs), [3, 1], "the queue `slow` is closed");
    let status = bench.run_status(2).await.unwrap();
    assert_eq!((status.queue.as_deref(), status.priority, status.due), (Some("slow"), 9, at(3)));
    assert!(bench.take(2, 10).await.is_empty(), "it is due later now");
    let taken = bench.take_one(3).await;
    assert_eq!((taken.run, taken.trigger.data(), taken.trigger.queue().map(|queue| &**queue)), (id(2), &data, Some("slow")));
    assert_eq!(bench.run_status(1).await.unwrap().queue, None);
}

async fn a_dead_run_is_edited_and_replayed(bench) {
    bench.kill(1, 1, "no").await;
    let data = JobData::new().with("to", "bob");
    let edit = RunEdit::new().data(data.clone()).due(at(99));
    assert_eq!(bench.change(&[1], RunChange::edit(edit)).await, [RunChanged::Done]);
    assert!(bench.take(999, 10).await.is_empty(), "it is dead all the same");
    bench.change(&[1], RunChange::replay()).await;
    let taken = bench.take_one(1).await;
    assert_eq!((taken.trigger.data(), taken.attempt), (&data, 1));
}

async fn a_run_that_runs_is_neither_edited_nor_deleted(bench) {
    let work = job("work").build();
    bench.enqueue(vec![run(1, &work, 1), run(2, &work, 2)]).await;
    let taken = bench.take_one(1).await;
    let refused = [RunChanged::Refused(RunState::Claimed)];
    assert_eq!(bench.change(&[1], RunChange::edit(RunEdit::new().priority(9))).await, refused);
    assert_eq!(bench.change(&[1], RunChange::Delete).await, refused);
    assert_eq!(bench.change(&[2, 3], RunChange::Delete).await, [RunChanged::Done, RunChanged::Unknown]);
    assert!(bench.run_status(2).await.is_none());
    bench.end(&taken, Fate::Dead { error: None }).await;
    assert_eq!(bench.change(&[1], RunChange::Delete).await, [RunChanged::Done]);
    assert!(bench.all_runs().await.is_empty() && bench.take(99, 10).await.is_empty());
}

/// Somebody has replayed it since it was looked for.
async fn a_run_that_is_no_longer_meant_is_refused(bench) {
    bench.kill(1, 1, "no").await;
    bench.enqueue(vec![run(2, &job("work").build(), 9)]).await;
    bench.change(&[2], RunChange::Cancel).await;
    bench.change(&[1], RunChange::replay()).await;
    let dead = ChangeRuns::new(vec![id(1), id(2)], RunChange::Delete, at(1)).only(&RunQuery::dead());
    let refused = [RunChanged::Refused(RunState::Waiting), RunChanged::Refused(RunState::Ended)];
    assert_eq!(bench.store.change_runs(dead).await.unwrap(), refused);
    assert_eq!(bench.take_one(1).await.run, id(1));
}

async fn who_has_changed_a_run_is_noted_until_the_next_change(bench) {
    bench.enqueue((1..=3).map(|number| run(number, &job("work").build(), 1)).collect()).await;
    let change = async |number, change: NotedChange| {
        let request = ChangeRuns::new(vec![id(number)], change, at(1));
        assert_eq!(bench.store.change_runs(request).await.unwrap(), [RunChanged::Done]);
    };
    let noted = async |number| {
        let note = bench.run_status(number).await.unwrap().changed;
        note.map(|note| (note.change.to_string(), note.author, note.reason, note.at))
    };
    change(1, RunChange::Hold.by("ada").because("the API is down")).await;
    let hold = Some(("hold".to_owned(), Some("ada".into()), Some("the API is down".into()), at(1)));
    assert_eq!(noted(1).await, hold);
    change(1, RunChange::edit(RunEdit::new().priority(3)).because("urgent")).await;
    assert_eq!(noted(1).await, Some(("edit".to_owned(), None, Some("urgent".into()), at(1))));
    change(1, RunChange::Release.into()).await;
    assert_eq!(noted(1).await, None, "nobody has said anything");
    change(2, RunChange::Cancel.by("bob")).await;
    assert_eq!(noted(2).await, Some(("cancel".to_owned(), Some("bob".into()), None, at(1))), "it is kept for a day");
    let taken = bench.take(1, 10).await;
    let third = taken.iter().find(|taken| taken.run == id(3)).unwrap();
    change(3, RunChange::Cancel.by("eve")).await;
    bench.end(third, Fate::Cancelled).await;
    assert_eq!(bench.run_status(3).await.unwrap().end, Some(RunEnd::Cancelled));
    assert_eq!(noted(3).await.unwrap().1, Some("eve".into()), "it was under way");
}

/// Its id is free for another one: it has done nothing.
async fn a_cancelled_run_does_not_keep_its_id(bench) {
    for (number, job) in [(1, job("work").build()), (2, exclusive("alone"))] {
        bench.enqueue(vec![run(number, &job, 5)]).await;
        bench.change(&[number], RunChange::Cancel).await;
        bench.enqueue(vec![run(number, &job, 2)]).await;
        let status = bench.run_status(number).await.unwrap();
        assert_eq!((status.state, status.due, status.replays), (RunState::Waiting, at(2), 0));
        let taken = bench.take_one(2).await;
        bench.end(&taken, Fate::Dead { error: None }).await;
        let again = bench.store.enqueue(vec![run(number, &job, 2)]).await.unwrap();
        assert_eq!(again, [Enqueued::Existing(id(number))], "a dead one can be replayed");
    }
}

/// A run that is held, deleted or moved lets the next one of its job come up.
async fn what_leaves_its_place_makes_room_for_the_next_of_its_job(bench) {
    let alone = exclusive("work");
    bench.enqueue((1..=5).map(|number| run(number, &alone, 1)).collect()).await;
    bench.change(&[1], RunChange::Hold).await;
    bench.change(&[2], RunChange::Delete).await;
    bench.change(&[3], RunChange::edit(RunEdit::new().queue("slow").due(at(4)))).await;
    let mut order = Vec::new();
    for seconds in [2, 2, 5] {
        let taken = bench.take_one(seconds).await;
        assert!(bench.take(9, 10).await.is_empty(), "the job is busy");
        order.push(taken.run.count());
        bench.end(&taken, Fate::Over).await;
    }
    assert_eq!(order, [4, 5, 3]);
    bench.change(&[1], RunChange::Release).await;
    assert_eq!(bench.take_one(9).await.run, id(1));
}
}
