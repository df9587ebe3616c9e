//! Two or three calls at the same time, in every way in which they can meet: what comes of them is what comes of some order of them.
//!
//! A rule reads rows, reads what it has missed, and commits. Between any two of these steps another call is carried out as a whole. So each
//! comparison of a commit is needed by some meeting, and a server that leaves one out is found.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::run::{Condition, Edge, Gate, GateId, Gates, RunId, Sequence, Unique};
use scheduler_core::store::batches::{InBatch, NewBatch};
use scheduler_core::store::*;

use crate::bugs::Bug;
use crate::interrupting::Act;
use crate::store::Viewed;

const DEAD: Fate = Fate::Dead { error: None };

/// A batch that waits for all of its runs, and what tells of it.
const BATCH: u64 = 50;
const COMPLETE: u64 = 51;
const SUCCESS: u64 = 52;

/// A call.
#[derive(Debug, Clone)]
enum Call {
    Take(usize),
    End(u64, Fate),
    GiveBack(u64),
    Enqueue(Vec<NewRun>),
    Change(u64, RunChange),
    SetLimit(u32),
    /// What the clock brings.
    Look,
}

fn begin() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn now() -> DateTime<Utc> {
    begin() + TimeDelta::seconds(1)
}

fn id(number: u64) -> RunId {
    RunId::new(7, number)
}

fn plain(number: u64) -> NewRun {
    let job = JobDetail::builder("work".parse().unwrap(), "work").build();
    NewRun::of(id(number), &job, begin())
}

fn child(number: u64, parent: u64, on: Condition) -> NewRun {
    let mut run = plain(number);
    run.after = vec![Edge::new(id(parent), on)];
    run
}

fn member(number: u64, by: Option<u64>) -> NewRun {
    let mut run = plain(number);
    run.batch = Some(InBatch::member(id(BATCH), by.map(id)));
    run
}

/// A batch with runs that tell of its end and of its success, and these runs of its own.
fn batch(members: &[u64]) -> Vec<NewRun> {
    let mut batch = plain(BATCH);
    batch.opens = Some(NewBatch::new(None));
    let callback = |number, on| {
        let mut run = child(number, BATCH, on);
        run.batch = Some(InBatch::callback(id(BATCH)));
        run
    };
    let callbacks = [callback(COMPLETE, Condition::Any), callback(SUCCESS, Condition::Success)];
    let members = members.iter().map(|number| member(*number, None));
    std::iter::once(batch).chain(callbacks).chain(members).collect()
}

fn keyed(number: u64, conflict: Conflict) -> NewRun {
    let mut run = plain(number);
    let key = Unique::key("a").stored("work", begin());
    run.unique = Some(NewKey::new(key, conflict, begin()).into());
    run
}

const fn replace() -> Conflict {
    Conflict::Replace { data: true, of: None }
}

fn limited(number: u64) -> NewRun {
    let mut run = plain(number);
    run.gates = Gates::new(vec![Gate::new(GateId::of("limit", None), 1, 1)]);
    run
}

fn in_line(number: u64) -> NewRun {
    let mut run = plain(number);
    run.sequence = Some(Sequence::of("a").stored("work").into());
    run
}

/// A server of maps is never waited for.
fn answer<T>(mut call: StoreFuture<'_, T>) -> scheduler_core::Result<T> {
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the server of maps is waited for"),
    }
}

/// The claims of runs, and what each call was answered.
#[derive(Default)]
struct Notes {
    claims: BTreeMap<u64, ExecutionId>,
    answers: BTreeMap<usize, String>,
}

fn take(store: &Viewed, notes: &Mutex<Notes>, max: usize) -> Vec<u64> {
    let (now, limits, shares) = (now(), QueueLimits::default(), Vec::new());
    let request = AcquireDue { session: 1, now, until: now, max, limits, shares, late: None, heard: None };
    let runs = answer(store.acquire_due(request)).unwrap().runs;
    notes.lock().claims.extend(runs.iter().map(|run| (run.run.count(), run.claim)));
    runs.iter().map(|run| run.run.count()).collect()
}

fn end(store: &Viewed, notes: &Mutex<Notes>, run: u64, fate: Fate) -> String {
    let Some(claim) = notes.lock().claims.remove(&run) else { return "it does not run".to_owned() };
    let executions = vec![Completion { fate, ..Completion::of(claim) }];
    format!("{:?}", answer(store.complete(Complete { now: now(), executions })).unwrap())
}

impl Call {
    fn carry_out(&self, store: &Viewed, notes: &Mutex<Notes>) -> String {
        match self.clone() {
            Self::Take(max) => format!("{:?}", take(store, notes, max)),
            Self::Look => format!("{:?}", take(store, notes, 0)),
            Self::End(run, fate) => end(store, notes, run, fate),
            Self::GiveBack(run) => {
                let Some(claim) = notes.lock().claims.remove(&run) else {
                    return "it does not run".to_owned();
                };
                format!("{:?}", answer(store.release(vec![claim])).unwrap())
            }
            Self::Enqueue(runs) => match answer(store.enqueue(runs)) {
                Ok(answers) => format!("{answers:?}"),
                Err(error) => format!("refused, conflict: {}", error.is_conflict()),
            },
            Self::Change(run, change) => {
                let request = ChangeRuns::new(vec![id(run)], change, now());
                format!("{:?}", answer(store.change_runs(request)).unwrap())
            }
            Self::SetLimit(cap) => {
                let cap = Some(LimitOverride::of(cap));
                format!("{:?}", answer(store.set_limit(GateId::of("limit", None), cap)).unwrap())
            }
        }
    }
}

/// Calls that meet, after some that come before them.
struct Meeting {
    name: &'static str,
    before: Vec<Call>,
    calls: Vec<Call>,
}

fn meeting(name: &'static str, before: Vec<Call>, calls: Vec<Call>) -> Meeting {
    Meeting { name, before, calls }
}

fn meetings() -> Vec<Meeting> {
    use Call::{Change, End, Enqueue, GiveBack, Look, SetLimit, Take};
    let begun = |runs: Vec<NewRun>, many| vec![Enqueue(runs), Take(many)];
    let sealed =
        |members: &[u64], many| [begun(batch(members), many), vec![Change(BATCH, RunChange::Seal)]].concat();
    let over = |run| End(run, Fate::Over);
    let after = |on| Enqueue(vec![child(2, 1, on)]);
    let slots = || begun((1..=3).map(limited).collect(), 1);
    let dead =
        || [begun(vec![plain(1), child(2, 1, Condition::Success)], 1), vec![End(1, DEAD), Look]].concat();
    vec![
        meeting(
            "a child and the success of its parent",
            begun(vec![plain(1)], 1),
            vec![after(Condition::Success), over(1)],
        ),
        meeting(
            "a child and the death of its parent",
            begun(vec![plain(1)], 1),
            vec![after(Condition::Success), End(1, DEAD)],
        ),
        meeting(
            "two first children and the end of their parent",
            begun(vec![plain(1)], 1),
            vec![after(Condition::Any), Enqueue(vec![child(3, 1, Condition::Any)]), over(1)],
        ),
        meeting(
            "another child and the end of its parent",
            begun(vec![plain(1), child(3, 1, Condition::Any)], 1),
            vec![after(Condition::Success), End(1, DEAD)],
        ),
        meeting(
            "a child and the cancelling of its parent",
            vec![Enqueue(vec![plain(1)])],
            vec![after(Condition::Cancelled), Change(1, RunChange::Cancel)],
        ),
        meeting(
            "a child and the claim of its parent",
            vec![Enqueue(vec![plain(1)])],
            vec![after(Condition::Success), Take(1)],
        ),
        meeting(
            "the ends of two parents",
            begun(
                vec![plain(1), plain(3), {
                    let mut run = child(2, 1, Condition::Success);
                    run.after.push(Edge::new(id(3), Condition::Success));
                    run
                }],
                2,
            ),
            vec![over(1), over(3)],
        ),
        meeting(
            "a replay and another child",
            dead(),
            vec![Change(1, RunChange::replay()), Enqueue(vec![child(3, 1, Condition::Success)])],
        ),
        meeting(
            "a replay and a replay of the child",
            dead(),
            vec![Change(1, RunChange::replay()), Change(2, RunChange::replay())],
        ),
        meeting("the last two runs of a batch", sealed(&[1, 2], 2), vec![over(1), over(2)]),
        meeting(
            "the last two runs of a batch and a look",
            sealed(&[1, 2], 2),
            vec![over(1), End(2, DEAD), Look],
        ),
        meeting(
            "a seal and the last end",
            begun(batch(&[1]), 1),
            vec![Change(BATCH, RunChange::Seal), over(1)],
        ),
        meeting(
            "a seal, the last end and a look",
            begun(batch(&[1]), 1),
            vec![Change(BATCH, RunChange::Seal), over(1), Look],
        ),
        meeting(
            "a seal and another run",
            begun(batch(&[1]), 1),
            vec![Change(BATCH, RunChange::Seal), Enqueue(vec![member(2, None)])],
        ),
        meeting(
            "a run that adds one, and the end of the batch",
            sealed(&[1], 1),
            vec![Enqueue(vec![member(2, Some(1))]), over(1), Look],
        ),
        meeting(
            "a run that is added and the end of the batch",
            [sealed(&[1], 1), vec![over(1)]].concat(),
            vec![Enqueue(vec![member(2, None)]), Look],
        ),
        meeting(
            "a run that is added and the cancelling of the batch",
            begun(batch(&[1]), 1),
            vec![Enqueue(vec![member(2, None)]), Change(BATCH, RunChange::Cancel), Look],
        ),
        meeting(
            "a cancelled batch and the end of its run",
            sealed(&[1, 2], 1),
            vec![Change(BATCH, RunChange::Cancel), over(1), Look],
        ),
        meeting(
            "a replay and the end of the batch",
            [sealed(&[1, 2], 2), vec![End(1, DEAD)]].concat(),
            vec![Change(1, RunChange::replay()), over(2), Look],
        ),
        meeting(
            "two runs of one key",
            Vec::new(),
            vec![Enqueue(vec![keyed(1, Conflict::Skip)]), Enqueue(vec![keyed(2, Conflict::Skip)])],
        ),
        meeting(
            "a run behind the owner of its key, and the end of that",
            begun(vec![keyed(1, Conflict::Skip)], 1),
            vec![Enqueue(vec![keyed(2, replace())]), over(1)],
        ),
        meeting(
            "a run in place of another, and its claim",
            vec![Enqueue(vec![keyed(1, Conflict::Skip)])],
            vec![Enqueue(vec![keyed(2, replace())]), Take(1)],
        ),
        meeting(
            "two runs behind the owner of their key",
            begun(vec![keyed(1, Conflict::Skip)], 1),
            vec![Enqueue(vec![keyed(2, replace())]), Enqueue(vec![keyed(3, replace())])],
        ),
        meeting(
            "a replay and another run of the key",
            [begun(vec![keyed(1, Conflict::Skip)], 1), vec![End(1, DEAD)]].concat(),
            vec![Change(1, RunChange::replay()), Enqueue(vec![keyed(2, Conflict::Skip)])],
        ),
        meeting(
            "a run in line and the end of the first",
            begun(vec![in_line(1)], 1),
            vec![Enqueue(vec![in_line(2)]), over(1)],
        ),
        meeting(
            "two runs in line",
            begun(vec![in_line(1)], 1),
            vec![Enqueue(vec![in_line(2)]), Enqueue(vec![in_line(3)]), over(1)],
        ),
        meeting(
            "the middle of a line and its begin",
            begun((1..=3).map(in_line).collect(), 1),
            vec![Change(2, RunChange::Cancel), over(1)],
        ),
        meeting("a take, an end and a cap", slots(), vec![Take(2), over(1), SetLimit(2)]),
        meeting("a take, an end and a cap of zero", slots(), vec![Take(2), over(1), SetLimit(0)]),
        meeting(
            "a take, a run that is given back, and a cancelled one",
            slots(),
            vec![Take(2), GiveBack(1), Change(2, RunChange::Cancel)],
        ),
        meeting(
            "a cancelled run and its claim",
            vec![Enqueue(vec![plain(1)])],
            vec![Change(1, RunChange::Cancel), Take(1)],
        ),
        meeting(
            "a held run and its claim",
            vec![Enqueue(vec![plain(1)])],
            vec![Change(1, RunChange::Hold), Take(1)],
        ),
    ]
}

/// What can be seen in the end, when all that is left has run.
type Outcome = (Vec<String>, Vec<u64>, Vec<String>);

impl Meeting {
    /// Carries out the calls in this order: the first one, and the others at these points of it. None if one has not had its turn.
    fn play(&self, bug: Option<Bug>, order: &[usize], points: Option<&[usize]>) -> Option<Outcome> {
        let store = bug.map_or_else(Viewed::new, Viewed::with).calm();
        let (wake, stop) = (Arc::new(|| {}), Arc::new(|_, _| {}));
        let node =
            Node { session: 1, name: "node".into(), types: None, queues: QueueFilter::default(), wake, stop };
        answer(JobStore::attach(&store, node)).unwrap();
        let notes = Arc::new(Mutex::new(Notes::default()));
        self.before.iter().for_each(|call| drop(call.carry_out(&store, &notes)));
        let act = |number: usize| {
            let (call, notes) = (self.calls[number].clone(), notes.clone());
            move |store: &Viewed| {
                let answer = call.carry_out(store, &notes);
                notes.lock().answers.insert(number, answer);
            }
        };
        if let Some(points) = points {
            let others =
                order[1..].iter().zip(points).map(|(number, point)| (*point, Arc::new(act(*number)) as Act));
            store.interrupt(others);
            act(order[0])(&store);
            if store.left_out() > 0 {
                return None;
            }
        } else {
            order.iter().for_each(|number| act(*number)(&store));
        }
        let answers = notes.lock().answers.values().cloned().collect();
        Some((answers, drain(&store, &notes), seen(&store)))
    }

    /// A meeting of which comes what comes of no order.
    fn explore(&self, bug: Option<Bug>) -> Result<usize, String> {
        let orders = orders(self.calls.len());
        let allowed: Vec<_> = orders.iter().filter_map(|order| self.play(None, order, None)).collect();
        let mut many = 0;
        for order in &orders {
            let others = order.len() - 1;
            let mut points = vec![0; others];
            // The last point grows until it is not reached, then the one before it.
            let mut place = others;
            while place > 0 {
                let Some(outcome) = self.play(bug, order, Some(&points)) else {
                    place -= 1;
                    points[place..].fill(0);
                    if let Some(before) = place.checked_sub(1) {
                        points[before] += 1;
                    }
                    continue;
                };
                many += 1;
                if !allowed.contains(&outcome) {
                    let calls: Vec<_> = order.iter().map(|number| &self.calls[*number]).collect();
                    return Err(format!(
                        "{}: {calls:?} at {points:?} give {outcome:?}, and in turn {allowed:?}",
                        self.name
                    ));
                }
                place = others;
                points[others - 1] += 1;
            }
        }
        Ok(many)
    }
}

fn orders(many: usize) -> Vec<Vec<usize>> {
    if many == 0 {
        return vec![Vec::new()];
    }
    let insert = |order: Vec<usize>| {
        (0..many).map(move |place| {
            let mut order = order.clone();
            order.insert(place, many - 1);
            order
        })
    };
    orders(many - 1).into_iter().flat_map(insert).collect()
}

/// Ends what runs, and runs what is left. The runs, in order of their numbers.
fn drain(store: &Viewed, notes: &Mutex<Notes>) -> Vec<u64> {
    let (mut ran, mut idle) = (Vec::new(), 0);
    while idle < 4 {
        let claimed: Vec<_> = notes.lock().claims.keys().copied().collect();
        idle = if claimed.is_empty() { idle + 1 } else { 0 };
        for run in claimed {
            ran.push(run);
            end(store, notes, run, Fate::Over);
        }
        take(store, notes, 50);
    }
    ran.sort_unstable();
    ran
}

fn seen(store: &Viewed) -> Vec<String> {
    let runs = answer(store.all_runs(RunQuery::default())).unwrap();
    let shown = |run: &RunStatus| {
        let counts = run.batch.map(|batch| batch.counts.numbers());
        format!("{} {} {:?} {:?} {counts:?}", run.id.count(), run.state, run.end, run.parents)
    };
    runs.iter().map(shown).collect()
}

#[test]
fn calls_that_meet_are_as_good_as_calls_in_turn() {
    let mut many = 0;
    for meeting in meetings() {
        many += meeting.explore(None).unwrap_or_else(|problem| panic!("{problem}"));
    }
    println!("{many} meetings");
    assert!(many > 500, "{many} meetings are too few");
}

/// Of what a commit compares, each thing is needed.
#[test]
fn a_server_that_compares_less_is_found_by_a_meeting() {
    let bugs = [
        (Bug::IgnoresVersions, "a child and the success of its parent"),
        (Bug::IgnoresNewTags, "two runs of one key"),
        (Bug::IgnoresCounters, "a replay and the end of the batch"),
        (Bug::IgnoresNewClaims, "a held run and its claim"),
        (Bug::IgnoresGates, "a take, an end and a cap of zero"),
        (Bug::KeepsSlots, "a take, an end and a cap"),
        (Bug::ForgetsCaps, "a take, an end and a cap of zero"),
    ];
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for (bug, name) in bugs {
        let of_name = meetings().into_iter().find(|meeting| meeting.name == name);
        let meeting = of_name.unwrap_or_else(|| panic!("there is no meeting `{name}`"));
        if matches!(catch_unwind(AssertUnwindSafe(|| meeting.explore(Some(bug)))), Ok(Ok(_))) {
            missed.push((bug, name));
        }
    }
    std::panic::set_hook(hook);
    assert!(missed.is_empty(), "not found: {missed:?}");
}
