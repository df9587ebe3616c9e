//! The checker finds what is wrong with the lives of enqueued runs.

use scheduler_core::job::ExecutionId;
use scheduler_core::run::RunId;
use scheduler_core::store::rows::{Lane, RunRow};
use scheduler_core::store::rules;
use scheduler_core::store::view::record;
use tests::history::{Faults, History, Line, Promise, RunCounts, Window, Write};
use tests::workload::{CALLBACK, Expected, MEMBERS, RUNS, new_run};

use super::{begin, logged, millis};

#[test]
fn the_life_of_a_run_is_read_from_the_log_of_a_server() {
    let mut row = RunRow::new(new_run(2, 7, begin(), 5), Lane(0));
    let run = row.id;
    let mut record = |attempts| {
        row.attempts = attempts;
        [b"version.".as_slice(), &record::run(&row).unwrap()].concat()
    };
    let (first, second) = (record(0), record(1));
    let (name, blank) = (b"the name of a run, 26 bytes", [b' '; 26]);
    let name = &name[..26];
    let bundle = [&blank, name].concat();
    let claim_record = {
        let claim = rules::claimed_run(&row, ExecutionId::new(7, 501), begin()).0;
        [b"version.".as_slice(), &record::claim(&claim).unwrap()].concat()
    };
    let found = logged(&[
        &[b"HSET", b"runs", name, &first],
        &[b"HSET", b"cl:7", b"5", &bundle],
        // It is to stop, which its name does not say.
        &[b"MULTI"],
        &[b"HSET", b"cl:7", b"7-501", &claim_record],
        &[b"HDEL", b"cl:7", b"5"],
        &[b"HSET", b"stop:7", b"7-501", b"requested", b"7-6", b"superseded"],
        &[b"EXEC"],
        &[b"MULTI"],
        &[b"HSET", b"runs", name, &second],
        &[b"HDEL", b"cl:7", b"7-501"],
        &[b"EXEC"],
        &[b"HSET", b"cl:7", b"6", name],
        &[b"MULTI"],
        &[b"HDEL", b"orphan:7@9", b"6"],
        &[b"HDEL", b"runs", name],
        &[b"EXEC"],
    ]);
    let (claim, last) = (|| "7-501".to_owned(), || "7-600".to_owned());
    let expected = [
        stored(run, 0),
        claimed(run, claim()),
        Write::Claimed { run, claim: claim(), whole: true },
        Write::Cancelled(claim()),
        Write::Ended(claim()),
        stored(run, 1),
        Write::EndOfCall,
        claimed(run, last()),
        Write::Ended(last()),
        Write::Removed(run),
        Write::EndOfCall,
    ];
    assert_eq!(found, expected);
}

fn stored(run: RunId, attempts: u32) -> Write {
    Write::Stored { run, attempts, losses: 0, is_dead: false }
}

fn claimed(run: RunId, claim: String) -> Write {
    Write::Claimed { run, claim, whole: false }
}

fn id(kind: usize) -> RunId {
    new_run(kind, 0, begin(), 5).id
}

/// The kind of a run whose parent dies.
const WAITS_IN_VAIN: usize = 8;

/// The one that is cancelled before it is due.
fn cancelled() -> RunId {
    new_run(1, 1, begin(), 5).id
}

fn claim(kind: usize, attempt: u32) -> String {
    format!("9-{}", 10 * kind + attempt as usize)
}

/// A run of each kind, one after the other, and a cancelled one.
fn right_runs() -> History {
    let mut history = History::default();
    for (kind, of_kind) in RUNS.into_iter().enumerate() {
        let (run, due) = (id(kind), millis(10_000 * kind as i64));
        let after = match kind {
            CALLBACK => MEMBERS.map(id).to_vec(),
            _ => of_kind.follows.into_iter().map(id).collect(),
        };
        history.promises.push(Promise { after, ..promise(run, due) });
        history.writes.push(stored(run, 0));
        if kind == WAITS_IN_VAIN {
            history.writes.push(Write::Removed(run));
            continue;
        }
        for attempt in 1..=of_kind.fails.min(of_kind.retries) + 1 {
            let (claim, job) = (claim(kind, attempt), of_kind.job.to_owned());
            let (fails, is_dead) = (attempt <= of_kind.fails, attempt > of_kind.retries);
            history.writes.push(Write::Held { job: job.clone(), claim: claim.clone() });
            history.writes.push(claimed(run, claim.clone()));
            for begins in [true, false] {
                let at = due + 1000 * i64::from(attempt) + i64::from(!begins);
                let (trigger, claim, node) = (run.to_string(), claim.clone(), "node1".to_owned());
                let fails = fails && !begins;
                history.lines.push(Line {
                    begins,
                    fails,
                    at,
                    trigger,
                    due,
                    claim,
                    attempt,
                    again: false,
                    node,
                });
            }
            history.writes.extend([Write::Ended(claim), Write::Free(job)]);
            history.writes.push(match fails {
                true => Write::Stored { run, attempts: attempt, losses: 0, is_dead },
                false => Write::Removed(run),
            });
            history.writes.push(Write::EndOfCall);
        }
    }
    history.promises.push(Promise { is_cancelled: true, ..promise(cancelled(), millis(90_000)) });
    history.writes.extend([stored(cancelled(), 0), Write::Removed(cancelled())]);
    history
}

fn promise(run: RunId, due: i64) -> Promise {
    let calls = vec![Window { begin: due - 1000, end: due - 900 }];
    Promise { run, due, calls, is_answered: true, is_cancelled: false, after: Vec::new() }
}

fn run_faults(change: impl FnOnce(&mut History)) -> Faults {
    let mut history = right_runs();
    change(&mut history);
    history.faults(&Expected::new())
}

/// Something is written behind this.
fn write_after(history: &mut History, place: &Write, write: Write) {
    let index = history.writes.iter().position(|known| known == place).unwrap();
    history.writes.insert(index + 1, write);
}

fn line_by<'a>(history: &'a mut History, claim: &str, begins: bool) -> &'a mut Line {
    history.lines.iter_mut().find(|line| line.claim == claim && line.begins == begins).unwrap()
}

#[test]
fn right_runs_have_no_faults_and_are_counted() {
    assert_eq!(run_faults(|_| {}), [""; 0]);
    let counts =
        RunCounts { expected: 13, over: 9, dead: 2, cancelled: 2, claims: 15, ..RunCounts::default() };
    assert_eq!(right_runs().run_counts(), counts);
}

#[test]
fn each_wrong_life_of_a_run_is_found() {
    type Wrong = fn(&mut History);
    let cases: [(&str, Wrong); 26] = [
        ("run lost: 00000000c0de0000-0000000000000000 was promised and not stored", |history| {
            let is_of_it = |write: &Write| matches!(write, Write::Stored { run, .. } | Write::Claimed { run, .. } | Write::Removed(run) if *run == id(0));
            history.writes.retain(|write| !is_of_it(write));
        }),
        ("was removed, and nobody has cancelled it", |history| {
            history.promises.iter_mut().for_each(|promise| promise.is_cancelled = false);
        }),
        (
            "run lost: 00000000c0de0008-0000000000000000 was removed, and its parent has not failed",
            |history| {
                let dead = Write::Stored { run: id(3), attempts: 2, losses: 0, is_dead: true };
                history.writes.retain(|write| *write != dead);
            },
        ),
        ("run lost: 00000000c0de0000-0000000000000000 still waits", |history| {
            history.writes.retain(|write| *write != Write::Removed(id(0)));
        }),
        ("run lost: 00000000c0de0000-0000000000000000 is still claimed by 9-1", |history| {
            history
                .writes
                .retain(|write| ![Write::Removed(id(0)), Write::Ended(claim(0, 1))].contains(write));
        }),
        ("was removed while 9-1 had it", |history| {
            history.writes.retain(|write| *write != Write::Ended(claim(0, 1)));
        }),
        ("run doubled: 00000000c0de0001-0000000000000001 was stored 2 times", |history| {
            history.writes.extend([stored(cancelled(), 0), Write::Removed(cancelled())]);
        }),
        ("was stored 1 times and ended 2 times", |history| {
            history.promises[3].is_cancelled = true;
            history.writes.push(Write::Removed(id(3)));
        }),
        ("is over with 9-1, which has not finished it", |history| {
            history.lines.retain(|line| line.begins || line.claim != claim(0, 1));
        }),
        ("was claimed by 9-99 and by 9-1", |history| {
            let first = claimed(id(0), claim(0, 1));
            write_after(history, &first, claimed(id(0), "9-99".into()));
        }),
        ("was claimed by 9-99 after its end", |history| {
            history.writes.push(claimed(id(3), "9-99".into()));
        }),
        ("was claimed by 9-99, and is not stored", |history| {
            history.writes.push(claimed(id(0), "9-99".into()));
        }),
        ("the fence of run 00000000c0de0002-0000000000000000 goes from 99 to 22", |history| {
            let first = claimed(id(2), claim(2, 1));
            let index = history.writes.iter().position(|write| *write == first).unwrap();
            let claim = || "9-99".to_owned();
            history.writes[index] = claimed(id(2), claim());
            write_after(history, &Write::Ended(self::claim(2, 1)), Write::Ended(claim()));
        }),
        ("the attempts of run 00000000c0de0002-0000000000000000 go from 0 to 2", |history| {
            history.writes.retain(|write| *write != stored(id(2), 1));
        }),
        ("the attempts of run 00000000c0de0002-0000000000000000 go from 2 to 3", |history| {
            write_after(history, &claimed(id(2), claim(2, 3)), stored(id(2), 3));
        }),
        ("attempt 2 of run 00000000c0de0000-0000000000000000 by 9-1 is attempt 1 of the store", |history| {
            line_by(history, "9-1", true).attempt = 2;
        }),
        ("early: run 00000000c0de0000-0000000000000000", |history| {
            line_by(history, "9-1", true).at = millis(-51);
        }),
        ("retried early: run 00000000c0de0002-0000000000000000", |history| {
            let failed = line_by(history, "9-21", false).at;
            line_by(history, "9-22", true).at = failed + 189;
        }),
        ("is dead after 1 attempts, with retries left", |history| {
            let dead = Write::Stored { run: id(2), attempts: 1, losses: 0, is_dead: true };
            write_after(history, &stored(id(2), 1), dead);
        }),
        ("was cancelled while 9-21 had it, and waits again", |history| {
            let first = claimed(id(2), claim(2, 1));
            write_after(history, &first, Write::Cancelled(claim(2, 1)));
        }),
        ("invented: run 00000000c0de0000-0000000000000000", |history| drop(history.promises.remove(0))),
        ("limit of 2: run 00000000c0de0006-0000000000000002 by 9-99 is number 3", |history| {
            let first = claimed(id(6), claim(6, 1));
            for (count, claim) in [(2, "9-99"), (1, "9-98")] {
                let run = new_run(6, count, begin(), 5).id;
                write_after(history, &first, claimed(run, claim.into()));
            }
        }),
        ("before its parent: run 00000000c0de0007-0000000000000000 by 9-71", |history| {
            history.writes.retain(|write| *write != Write::Removed(id(2)));
        }),
        ("before its parent: run 00000000c0de000b-0000000000000000 by 9-111", |history| {
            let dead = Write::Stored { run: id(10), attempts: 2, losses: 0, is_dead: true };
            history.writes.retain(|write| *write != dead);
        }),
        ("after a failure: run 00000000c0de0008-0000000000000000 by 9-99", |history| {
            history.writes.push(claimed(id(8), "9-99".into()));
        }),
        ("run 00000000c0de0000-0000000000000000 was never answered for", |history| {
            history.promises[0].is_answered = false;
        }),
    ];
    for (expected, change) in cases {
        let found = run_faults(change);
        assert!(found.iter().any(|fault| fault.contains(expected)), "`{expected}` is not in {found:?}");
    }
}

#[test]
fn exclusive_runs_hold_their_job_and_do_not_overlap() {
    let held = run_faults(|history| {
        let first = claimed(id(4), claim(4, 1));
        write_after(history, &first, Write::Held { job: "lone".into(), claim: "9-99".into() });
    });
    assert!(held[0].contains("lone is held by 9-41 and 9-99"), "{held:?}");
    // A trigger of the same job runs meanwhile.
    let overlap = |history: &mut History| {
        let begin = line_by(history, "9-51", true).clone();
        for (begins, at) in [(true, begin.at), (false, begin.at + 9)] {
            let (trigger, claim) = ("one-0".to_owned(), "9-99".to_owned());
            history.lines.push(Line { begins, at, trigger, claim, ..begin.clone() });
        }
        let (claim, trigger, due) = ("9-99".to_owned(), "one-0".to_owned(), begin.due);
        history.writes.push(Write::Fired { claim, trigger, due });
    };
    let found = run_faults(overlap);
    assert_eq!(found, ["9-99 of node1 ran into 9-51 of node1"]);
    let lost = run_faults(|history| {
        overlap(history);
        history.lost_sessions.insert("9".into());
    });
    assert_eq!(lost, [""; 0], "its node was held for dead");
}

#[test]
fn what_faults_explain_is_no_fault_of_runs() {
    // A call without an answer is repeated when the run is over already, which the store does not remember.
    let late = Window { begin: millis(100), end: millis(200) };
    let again = |history: &mut History| {
        history.promises[12].calls.push(Window { begin: late.begin + 90_000, end: late.end + 90_000 });
        history.writes.extend([stored(cancelled(), 0), Write::Removed(cancelled())]);
    };
    assert_eq!(run_faults(again), [""; 0]);
    let mut history = right_runs();
    again(&mut history);
    assert_eq!(history.run_counts().renewed, 1);
    // The node dies before anybody hears that the attempt has failed.
    let lost = |history: &mut History| {
        let failed = line_by(history, "9-21", false).at;
        line_by(history, "9-22", true).at = failed + 1;
        history.lost_sessions.insert("9".into());
    };
    assert_eq!(run_faults(lost), [""; 0]);
    // A server takes a run with it, and the next one hears only of the end of another one.
    let replace = |history: &mut History| {
        history.writes.retain(|write| ![stored(cancelled(), 0), Write::Removed(cancelled())].contains(write));
        let claimed = claimed(id(0), claim(0, 1));
        let is_of_claim = |write: &Write| *write == claimed || *write == Write::Ended(claim(0, 1));
        history.writes.retain(|write| !is_of_claim(write));
        history.fired_before.insert(claim(0, 1));
    };
    let found = run_faults(replace);
    assert_eq!(found, ["run lost: 00000000c0de0001-0000000000000001 was promised and not stored"]);
    let mut history = right_runs();
    replace(&mut history);
    history.replaced = vec![Window { begin: millis(89_050), end: millis(89_060) }];
    assert_eq!(history.faults(&Expected::new()), [""; 0]);
    assert_eq!((history.run_counts().forgotten, history.run_counts().over), (1, 9));
}

/// Of the attempts after the first one, or of all, only a server knows that was replaced. The next one is told of them in one call.
#[test]
fn a_server_is_told_of_several_attempts_of_a_run_in_one_call() {
    let forget = |history: &mut History, kind: usize, attempts: std::ops::RangeInclusive<u32>| {
        let of_claim = |write: &Write, attempt| match write {
            Write::Claimed { claim: of, .. } | Write::Ended(of) => *of == claim(kind, attempt),
            _ => false,
        };
        history.writes.retain(|write| !attempts.clone().any(|attempt| of_claim(write, attempt)));
        history.fired_before.extend(attempts.map(|attempt| claim(kind, attempt)));
    };
    let skip = |history: &mut History, kind, attempts| {
        history.writes.retain(|write| *write != stored(id(kind), attempts));
    };
    let is_over = |history: &mut History| {
        forget(history, 2, 2..=3);
        skip(history, 2, 1);
        skip(history, 2, 2);
    };
    assert_eq!(run_faults(is_over), [""; 0]);
    let is_dead = |history: &mut History| {
        forget(history, 3, 1..=2);
        skip(history, 3, 1);
    };
    assert_eq!(run_faults(is_dead), [""; 0]);
    let counts_too_many = |history: &mut History| {
        forget(history, 3, 1..=1);
        skip(history, 3, 1);
        history.fired_before.remove(&claim(3, 1));
    };
    assert!(run_faults(counts_too_many).iter().any(|fault| fault.contains("go from 0 to 2")));
}

/// After the end of a wait in which nothing is handed out another node may have run it.
#[test]
fn a_server_may_hear_late_of_an_attempt_that_is_under_way() {
    let told = |whole| {
        move |history: &mut History| {
            let index =
                history.writes.iter().position(|write| *write == claimed(id(4), claim(4, 1))).unwrap();
            let line = |begins| {
                let line = line_by(&mut right_runs(), &claim(4, 1), begins).clone();
                Line { claim: "9-3".into(), at: line.at - 500, ..line }
            };
            history.lines.extend([line(true), line(false)]);
            let end = history.writes.iter().skip(index).position(|write| *write == Write::EndOfCall).unwrap();
            let (run, claim) = (id(4), "9-3".to_owned());
            let writes = [
                Write::Held { job: "lone".into(), claim: claim.clone() },
                stored(run, 0),
                Write::Claimed { run, claim: claim.clone(), whole },
                Write::Ended(claim),
                Write::Free("lone".into()),
                Write::Removed(run),
                Write::EndOfCall,
            ];
            history.writes.splice(index + end + 1..index + end + 1, writes);
        }
    };
    assert_eq!(run_faults(told(true)), [""; 0]);
    let found = run_faults(told(false));
    for fault in ["the fence of lone goes", "the fence of run", "was stored 2 times"] {
        assert!(found.iter().any(|found| found.contains(fault)), "`{fault}` is not in {found:?}");
    }
}
