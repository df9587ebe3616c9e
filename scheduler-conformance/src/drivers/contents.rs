//! Rows of every kind of content come back as they were.

use std::sync::Arc;
use std::time::Duration;

use scheduler_core::JobData;
use scheduler_core::run::{AttemptError, FailureKind, RunEnd, RunId};
use scheduler_core::store::rows::*;
use scheduler_core::store::{Cause, NewRun, QueueLimits};
use scheduler_core::trigger::Progress;

use super::DriverUnderTest;
use super::bench::*;

/// Where stores that separate, escape or terminate texts go wrong.
const TEXTS: [&str; 12] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "\r\n",
    "\u{7f}",
    "'; --",
    "%_*?[]",
    "schön",
    "\u{10FFFF}",
    "日本語\u{1F600}",
];

fn run_row<R: Rows>(rows: &mut R, id: RunId) -> Answer<R, Option<RunRow>> {
    let Some(run) = rows.run(id)? else { return Ok(None) };
    Ok(rows.get(run)?.cloned())
}

fn add_run<D: DriverUnderTest>(bench: &Bench<D>, run: &NewRun) -> RunRow {
    bench.run(|rows| {
        let lane = rows.lane(run.queue.as_ref(), &run.job_type);
        rows.add_run(RunRow::new(run.clone(), lane));
        Ok(())
    });
    bench.run(|rows| run_row(rows, run.id)).expect("it is there")
}

fn new(number: u64) -> NewRun {
    let job = scheduler_core::job::JobDetail::builder("job".parse().expect("a key"), "work").build();
    NewRun::of(RunId::new(7, number), &job, at(1))
}

rules! { ($) contents, __driver_rules_of_contents;

fn texts_of_every_kind_come_back(bench) {
    for (number, text) in (0..).zip(TEXTS) {
        let data = JobData::new().with(text, text).with("list", TEXTS);
        let error = AttemptError::new(1, FailureKind::Panicked, at(3), text).on_node(text.into());
        let mut run = new(number);
        (run.data, run.errors, run.attempts) = (data.clone(), vec![error.clone()], 1);
        let row = add_run(&bench, &run);
        assert_eq!((&row.data, row.errors()), (&data, &[error][..]), "{text:?}");
    }
    assert_eq!(bench.due(1).len(), TEXTS.len());
    let none = add_run(&bench, &new(99));
    assert_eq!((none.errors(), &none.data), (&[][..], &JobData::new()), "nothing is not an empty text");
}

/// Lanes are told apart by both parts of their names.
fn lanes_of_every_name_are_told_apart(bench) {
    let queues: Vec<_> = [None].into_iter().chain(TEXTS.into_iter().map(Some)).collect();
    let mut number = 0;
    for queue in &queues {
        for job_type in TEXTS {
            let work = run(number, 1).in_lane("x").in_queue(queue.unwrap_or_default());
            let queue = queue.map(Arc::from);
            bench.put(&[Work { job_type: job_type.to_owned(), queue, ..work }]);
            number += 1;
        }
    }
    for (number, queue) in (0..).step_by(TEXTS.len()).zip(&queues) {
        let mut limits = QueueLimits { others: Some(0), default: Some(0), ..QueueLimits::default() };
        match queue {
            Some(queue) => drop(limits.named.insert((*queue).into(), 100)),
            None => limits.default = Some(100),
        }
        let (taken, _) = bench.ask(ONE, at(9), 1000, limits);
        let expected: Vec<_> = (number..).take(TEXTS.len()).map(|number| format!("run {number}")).collect();
        assert_eq!(names(&taken), expected, "in the queue {queue:?}");
    }
}

fn a_megabyte_of_data_comes_back(bench) {
    let text: String = ('a'..='z').chain(['ä', '\n']).cycle().take(1 << 20).collect();
    let data = JobData::new().with("text", &text);
    let mut large = new(1);
    large.data = data.clone();
    assert_eq!(add_run(&bench, &large).data, data);
    let taken = bench.take_one(1);
    bench.give_back(&taken);
    let kept = bench.run(|rows| run_row(rows, RunId::new(7, 1))).expect("it is there");
    assert!(kept.data == data, "also after a claim");
}

fn keys_of_every_kind_are_found(bench) {
    let texts = TEXTS.into_iter().filter(|text| !text.is_empty() && !text.contains('\0'));
    let long = "x".repeat(500);
    let mut all = Vec::new();
    for text in texts.chain([long.as_str(), "a/b", "/", "DEFAULT"]) {
        for group in [scheduler_core::DEFAULT_GROUP, text] {
            let key = scheduler_core::TriggerKey::in_group(group, text).expect("a key");
            let job = scheduler_core::JobKey::in_group(group, text).expect("a key");
            let work = Work { name: Name::Trigger(key), job, ..trigger("a", 1) };
            if !all.contains(&work) {
                all.push(work);
            }
        }
    }
    bench.put(&all);
    for work in &all {
        let Name::Trigger(key) = &work.name else { continue };
        let found = bench.run(|rows| {
            let Some(id) = rows.trigger(key)? else { return Ok(None) };
            Ok(rows.get(id)?.map(|row| (row.trigger.key().clone(), row.trigger.job().clone())))
        });
        assert_eq!(found, Some((key.clone(), work.job.clone())));
    }
    all.sort_unstable_by_key(Work::order);
    let order: Vec<_> = all.iter().map(|work| format!("{:?}", work.name)).collect();
    assert_eq!(bench.due(1), order, "in the order of keys");
}

fn numbers_at_their_bounds_come_back(bench) {
    for id in [RunId::new(0, 0), RunId::new(u64::MAX, u64::MAX), RunId::new(0, u64::MAX)] {
        let mut run = new(0);
        (run.id, run.priority, run.attempts) = (id, i32::MIN, u32::MAX);
        let row = add_run(&bench, &run);
        assert_eq!((row.id, row.priority, row.attempts), (id, i32::MIN, u32::MAX));
    }
    bench.put(&[trigger("a", 1)]);
    let key = "a".parse().expect("a key");
    let (progress, note) = (
        Progress {
            next: Some(at(5)), previous: Some(at(-1)), fired: u64::MAX - 1, scheduled: Some(at(2)), start: Some(at(3)),
            repeat: Some(u32::MAX),
        },
        scheduler_core::store::PauseNote::because("").by("\0"),
    );
    bench.run(|rows| {
        let Some(id) = rows.trigger(&key)? else { return Ok(None) };
        rows.edit(id, |row| {
            row.set_progress(progress.clone());
            (row.epoch, row.birth, row.running) = (u32::MAX, u64::MAX - 1, u32::MAX);
            row.set_lineage(1);
            row.set_revision(u64::MAX - 2);
            row.set_freed(Some(at(-9)));
            row.set_pause(Some(note.clone()));
        })
    });
    let row = bench.run(|rows| rows.trigger(&key)?.map_or(Ok(None), |id| Ok(rows.get(id)?.cloned()))).expect("it is there");
    assert_eq!(row.progress(), progress);
    assert_eq!((row.epoch, row.birth, row.running), (u32::MAX, u64::MAX - 1, u32::MAX));
    assert_eq!((row.lineage(), row.revision(), row.freed()), (1, u64::MAX - 2, Some(at(-9))));
    assert_eq!(row.pause(), Some(&note));
}

fn all_that_a_run_says_comes_back(bench) {
    let mut run = new(1);
    let job = scheduler_core::job::JobDetail::builder("its/own".parse().expect("a key"), "type").build();
    run.detail = Some(Arc::new(job));
    let trigger = "t".parse().expect("a key");
    run.cause = Cause::Trigger { trigger, scheduled: at(-3), fired: at(-2) };
    run.queue = Some("g".into());
    (run.boost, run.expires, run.now) = (Duration::from_millis(1), Some(Duration::from_millis(2)), Some(at(1)));
    let row = add_run(&bench, &run);
    let expires = run.due + chrono::TimeDelta::milliseconds(2);
    assert_eq!((row.boost(), row.expires()), (Some(run.boost), Some(expires)));
    assert_eq!((row.cause(), &row.queue, &row.job), (&run.cause, &run.queue, &run.job));
    assert_eq!(row.detail().map(|detail| detail.key().to_string()).as_deref(), Some("its/own"));
    bench.run(|rows| {
        let Some(id) = rows.run(run.id)? else { return Ok(None) };
        rows.edit(id, |row| {
            row.replay(at(4), at(4));
            row.set_losses(2);
            row.standing = Standing::Ended(RunEnd::Dead);
        })
    });
    let row = bench.run(|rows| run_row(rows, run.id)).expect("it is there");
    assert_eq!((row.replays(), row.losses(), row.epoch, row.due), (1, 2, 1, at(4)));
    assert_eq!(row.standing, Standing::Ended(RunEnd::Dead));
}

/// A boosted run has no place until it is due, and rings then. A run that expires rings, too, also if it is held.
fn runs_that_wait_ring_when_they_are_due_or_expire(bench) {
    let mut runs = [1, 2, 3].map(new);
    (runs[0].boost, runs[0].due) = (Duration::from_secs(5), at(10));
    (runs[1].expires, runs[1].due) = (Some(Duration::from_secs(5)), at(10));
    (runs[2].expires, runs[2].due) = (Some(Duration::from_secs(6)), at(10));
    for run in &runs {
        add_run(&bench, run);
    }
    let edit = |number: usize, edit: fn(&mut RunRow)| bench.run(|rows| {
        rows.run(runs[number].id)?.map_or(Ok(None), |id| rows.edit(id, edit))
    });
    let ringing = |seconds| bench.run(|rows| {
        let mut runs = Vec::new();
        for alarm in rows.alarms(at(seconds))? {
            if let Alarm::Run(id) = alarm {
                runs.extend(rows.get(id)?.map(|row| row.id));
            }
        }
        runs.sort_unstable();
        Ok(runs)
    });
    edit(2, |row| row.stand(Standing::Held, at(0)));
    assert_eq!(ringing(9), []);
    assert_eq!(ringing(10), [runs[0].id]);
    assert_eq!(ringing(16), [runs[0].id, runs[1].id, runs[2].id]);
    edit(0, |row| row.wait_for(row.due, at(10)));
    edit(1, |row| row.set_kept_alive(true));
    assert_eq!(ringing(16), [runs[2].id]);
    bench.run(|rows| rows.run(runs[2].id)?.map_or(Ok(()), |id| rows.remove(id)));
    assert_eq!(ringing(16), []);
}

/// And no longer ring when they are removed, or wait again.
fn ended_runs_ring_when_their_time_is_over(bench) {
    let runs = [1, 2, 3].map(new);
    for run in &runs {
        add_run(&bench, run);
    }
    let edit = |number: usize, edit: fn(&mut RunRow)| bench.run(|rows| {
        rows.run(runs[number].id)?.map_or(Ok(None), |id| rows.edit(id, edit))
    });
    let ringing = |seconds| bench.run(|rows| {
        let mut runs = Vec::new();
        for alarm in rows.alarms(at(seconds))? {
            if let Alarm::Run(id) = alarm {
                runs.extend(rows.get(id)?.map(|row| row.id));
            }
        }
        runs.sort_unstable();
        Ok(runs)
    });
    edit(0, |row| row.finish(RunEnd::Dead, at(1), at(5)));
    edit(1, |row| row.finish(RunEnd::Cancelled, at(1), at(7)));
    assert_eq!(ringing(4), []);
    assert_eq!(ringing(5), [runs[0].id]);
    assert_eq!(ringing(7), [runs[0].id, runs[1].id]);
    edit(0, |row| row.replay(at(2), at(2)));
    assert_eq!(ringing(9), [runs[1].id]);
    bench.run(|rows| rows.run(runs[1].id)?.map_or(Ok(()), |id| rows.remove(id)));
    assert_eq!(ringing(9), []);
}
}
