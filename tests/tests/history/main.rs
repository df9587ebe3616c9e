//! The checker of histories finds what is wrong with them.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod runs;

use chrono::{DateTime, TimeDelta, Utc};
use tests::history::{
    Change, Faults, History, Lateness, Line, Told, Window, Write, read_lines, read_refused, read_writes,
};
use tests::workload::{Expected, expected, trigger};

fn begin() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn millis(offset: i64) -> i64 {
    begin().timestamp_millis() + offset
}

fn wanted() -> Expected {
    expected(begin(), begin() + TimeDelta::milliseconds(1400))
}

/// A history in which nothing went wrong: one node, one run after the other.
fn right() -> History {
    let mut history = History::default();
    let mut fence = 100;
    let all = wanted();
    let mut due: Vec<_> =
        all.iter().flat_map(|(name, times)| times.iter().map(move |time| (*time, name))).collect();
    due.sort();
    let (mut at, mut count) = (0, 0);
    for (time, name) in due {
        fence += 1;
        let (claim, job) = (format!("7-{fence}"), name.rsplit_once('-').unwrap().0.to_owned());
        at = at.max(time.timestamp_millis()) + 1;
        let exclusive = job != "plain";
        if exclusive {
            history.writes.push(Write::Held { job: job.clone(), claim: claim.clone() });
        }
        let due = time.timestamp_millis();
        history.writes.push(Write::Fired { claim: claim.clone(), trigger: name.clone(), due });
        let next = all[name].iter().find(|next| **next > time).map(DateTime::timestamp_millis);
        history.writes.push(Write::Next(name.clone(), next));
        for (begins, at) in [(true, at), (false, at + 1)] {
            let (trigger, claim, node) = (name.clone(), claim.clone(), "node1".to_owned());
            history.lines.push(Line {
                begins,
                fails: false,
                at,
                trigger,
                due,
                claim,
                attempt: 1,
                again: false,
                node,
            });
        }
        if job == "count" {
            count += 1;
            history.writes.push(Write::Count(count));
        }
        history.writes.push(Write::Ended(claim));
        if exclusive {
            history.writes.push(Write::Free(job));
        }
    }
    history
}

fn faults(change: impl FnOnce(&mut History)) -> Faults {
    let mut history = right();
    change(&mut history);
    history.faults(&wanted())
}

fn is_fired(write: &Write, name: &str) -> bool {
    matches!(write, Write::Fired { trigger, .. } if trigger == name)
}

fn line_of(history: &History, job: &str, begins: bool) -> usize {
    history.lines.iter().position(|line| line.begins == begins && line.trigger == trigger(job, 0)).unwrap()
}

#[test]
fn a_right_history_has_no_faults() {
    assert_eq!(faults(|_| {}), [""; 0]);
}

#[test]
fn each_wrong_history_is_found() {
    type Wrong = fn(&mut History);
    let cases: [(&str, Wrong); 16] = [
        ("lost: plain-3", |history| {
            let index = history.writes.iter().position(|write| is_fired(write, "plain-3")).unwrap();
            history.writes.remove(index);
            history.lines.retain(|line| line.trigger != "plain-3");
        }),
        ("doubled: one-0", |history| {
            let fired = history.writes.iter().find(|write| is_fired(write, "one-0")).unwrap().clone();
            let Write::Fired { trigger, due, .. } = fired else { return };
            history.writes.push(Write::Fired { claim: "8-1".into(), trigger, due });
        }),
        ("invented: plain-0", |history| {
            history.writes.push(Write::Fired {
                claim: "8-1".into(),
                trigger: "plain-0".into(),
                due: millis(77),
            });
        }),
        ("ran 2 times", |history| {
            let index = line_of(history, "plain", true);
            history.lines.push(history.lines[index].clone());
        }),
        ("fired and not run: plain-0", |history| history.lines.retain(|line| line.trigger != "plain-0")),
        ("never finished: safe-0", |history| {
            history.lines.retain(|line| line.begins || line.trigger != "safe-0");
        }),
        ("one is held by", |history| {
            let holder = |write: &Write| match write {
                Write::Held { job, claim } if job == "one" => Some(claim.clone()),
                _ => None,
            };
            let first = history.writes.iter().find_map(holder).unwrap();
            history.writes.retain(|write| *write != Write::Ended(first.clone()));
            let free = history.writes.iter().position(|write| *write == Write::Free("one".into())).unwrap();
            history.writes.remove(free);
        }),
        ("7-900 was fired after another one has taken its job", |history| {
            let held = |claim: &str| Write::Held { job: "one".into(), claim: claim.into() };
            let (claim, trigger, due) = ("7-900".to_owned(), "one-0".to_owned(), millis(0));
            history.writes.extend([held("7-900"), held("7-901"), Write::Fired { claim, trigger, due }]);
        }),
        ("the fence of one goes from", |history| {
            history.writes.push(Write::Held { job: "one".into(), claim: "7-1".into() });
            let (claim, trigger, due) = ("7-1".to_owned(), "one-0".to_owned(), millis(0));
            history.writes.push(Write::Fired { claim, trigger, due });
            history.writes.push(Write::Free("one".into()));
        }),
        ("ran into", |history| {
            let index = line_of(history, "one", false);
            history.lines[index].at += 500;
        }),
        ("repeated unasked: plain-0", |history| {
            let index = line_of(history, "plain", true);
            history.lines[index].again = true;
        }),
        ("the count is 5, and 6 runs have ended, 0 of them on nodes or servers that were lost", |history| {
            let line = history.lines[line_of(history, "count", false)].clone();
            history.lines.push(line);
        }),
        ("early: plain-0", |history| {
            let index = line_of(history, "plain", true);
            history.lines[index].at = history.lines[index].due - 51;
        }),
        ("8-8 ran and was not fired", |history| {
            let line = history.lines[line_of(history, "plain", true)].clone();
            history.lines.push(Line { claim: "8-8".into(), ..line });
        }),
        ("starved: plain-0", |history| {
            let index = line_of(history, "plain", true);
            history.lines[index].at += 30_001;
        }),
        ("the count went from 1 to 3", |history| {
            let index = history.writes.iter().position(|write| *write == Write::Count(2)).unwrap();
            history.writes.remove(index);
        }),
    ];
    let late = |history: &mut History| {
        history.ledger = [9, 8].map(|fence| ("one".to_owned(), fence, format!("7-{fence}"))).into();
    };
    assert_eq!(faults(late), ["7-8 of one wrote after 9, and its node was not lost"]);
    let refused = |claim: &'static str| move |history: &mut History| history.refused.push(claim.into());
    assert_eq!(faults(refused("7-102")), [""; 0], "it has ended before");
    assert_eq!(faults(refused("9-9")), ["refused without a reason: the end of 9-9"]);
    let log = "WARN scheduler_core: the claim of a run that has ended is gone execution=00000000000000ff-1f\nWARN other\n";
    assert_eq!(read_refused(log), ["255-31"]);
    for (expected, change) in cases {
        let found = faults(change);
        assert!(found.iter().any(|fault| fault.contains(expected)), "`{expected}` is not in {found:?}");
    }
    let skipped = faults(|history| history.writes.push(Write::Next("plain-0".into(), Some(millis(9000)))));
    assert!(skipped.iter().any(|fault| fault.contains("plain-0 went from")), "{skipped:?}");
}

/// A server that was replaced is told of several firings in one call, and writes only where they lead.
#[test]
fn a_schedule_passes_what_was_fired_and_nothing_else() {
    let pass = |history: &mut History| {
        let next = Write::Next("count-0".into(), Some(millis(600)));
        history.writes.retain(|write| *write != next);
    };
    assert_eq!(faults(pass), [""; 0]);
    let found = faults(|history| {
        pass(history);
        history.writes.retain(|write| !matches!(write, Write::Fired { due, .. } if *due == millis(600)));
    });
    assert!(found.iter().any(|fault| fault.contains("count-0 went from")), "{found:?}");
}

#[test]
fn what_a_lost_node_left_open_is_no_fault() {
    let found = faults(|history| {
        history.lost_sessions.insert("7".into());
        let index = line_of(history, "one", false);
        history.lines[index].at += 500;
        history.lines.retain(|line| line.trigger != "plain-0");
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn what_is_forgotten_when_a_server_is_replaced_is_no_fault_and_is_counted() {
    // Two firings that only the server before knew: of the one it counts, of the other the next server was told.
    let forget = |history: &mut History| {
        for name in ["count-0", "plain-0"] {
            let index = history.writes.iter().position(|write| is_fired(write, name)).unwrap();
            history.writes.remove(index);
        }
        let index = history.writes.iter().position(|write| *write == Write::Count(2)).unwrap();
        history.writes.remove(index);
        let next = Write::Next("plain-0".into(), Some(millis(500)));
        let index = history.writes.iter().position(|write| *write == next).unwrap();
        history.writes.remove(index);
    };
    let found = faults(forget);
    for fault in ["lost: count-0", "lost: plain-0", "ran and was not fired", "the count went from 1 to 3"] {
        assert!(found.iter().any(|found| found.contains(fault)), "`{fault}` is not in {found:?}");
    }
    // The server before had fired them, says its log.
    let replace = |history: &mut History| {
        history.fired_before = history.lines.iter().map(|line| line.claim.clone()).collect();
    };
    let mut history = right();
    forget(&mut history);
    replace(&mut history);
    assert_eq!(history.faults(&wanted()), [""; 0]);
    assert_eq!((history.forgotten().len(), history.run_again()), (2, 0));
    // The next server was told of neither: what one counted is lost with the server.
    let mut history = right();
    let begins = line_of(&history, "count", true);
    let (begin, end) = (history.lines[begins].clone(), history.lines[begins + 1].clone());
    let again = |line: Line| Line { claim: "8-7".into(), at: line.at + 100, ..line };
    history.lines.extend([begin, end].map(again));
    let found = history.faults(&wanted());
    assert!(found.iter().any(|fault| fault.contains("6 runs have ended, 0 of them")), "{found:?}");
    history.fired_before.insert("8-7".into());
    assert_eq!(history.faults(&wanted()), [""; 0]);
    // The next server was not told, and has it run again.
    let mut history = right();
    let line = history.lines[line_of(&history, "plain", true)].clone();
    history.lines.push(Line { claim: "8-8".into(), ..line });
    assert_eq!(history.faults(&wanted()), ["8-8 ran and was not fired"], "no server has fired it");
    replace(&mut history);
    assert_eq!(history.faults(&wanted()), [""; 0]);
    assert_eq!((history.forgotten().len(), history.run_again()), (1, 1));
}

/// Asked every 100 ms, and answered 10 ms later.
fn told(all: &[Told]) -> Vec<Change> {
    let times = (0..).map(|number| 100 * number);
    times.zip(all).map(|(sent, told)| Change { told: *told, sent, answered: sent + 10 }).collect()
}

#[test]
fn n1_what_the_administrator_is_told_is_judged_by_the_time_of_the_answer() {
    use Told::{Read, Unknown, Written};
    type Row<'a> = (&'a [Told], Option<(i64, i64)>, usize);
    let rows: [Row<'_>; 15] = [
        (&[Written(1), Read(1), Unknown(2), Read(1), Read(2), Written(3), Read(3)], None, 0),
        (&[Written(1), Written(2), Read(1)], None, 1),
        (&[Written(1), Unknown(2), Read(2), Read(1)], None, 1),
        (&[Unknown(1), Written(2), Unknown(3), Read(2), Written(4), Read(3)], None, 1),
        (&[Written(1), Read(2)], None, 1),
        // The server was replaced between the answer of the write and the read.
        (&[Written(3), Read(1), Read(1)], Some((20, 90)), 0),
        // It was replaced while the write was asked for, or while the read was; a test may have noticed much later.
        (&[Written(3), Read(1)], Some((5, 5)), 0),
        (&[Written(3), Read(1)], Some((105, 105)), 0),
        (&[Written(3), Read(1)], Some((-50, 0)), 0),
        // It was replaced before the write was sent, or after the read was answered.
        (&[Written(3), Read(1)], Some((-50, -1)), 1),
        (&[Written(3), Read(1)], Some((111, 200)), 1),
        // What was forgotten is forgotten once: what was read after that stays.
        (&[Written(3), Read(2), Read(1)], Some((20, 90)), 1),
        // Nobody reads what nobody has written, whatever was replaced.
        (&[Written(3), Read(4)], Some((0, 200)), 1),
        (&[Written(3), Read(1), Written(4), Read(3)], Some((20, 90)), 1),
        (&[Written(1), Written(2), Read(1), Written(3), Read(2)], Some((20, 190)), 1),
    ];
    for (all, window, count) in rows {
        let replaced = window.map(|(begin, end)| Window { begin, end }).into_iter().collect();
        let history = History { changes: told(all), replaced, ..History::default() };
        assert_eq!(history.changes_take_effect_in_order().len(), count, "{all:?} {window:?}");
    }
}

#[test]
fn n1_a_stalled_machine_explains_late_runs_and_no_others() {
    let late = |by: i64, stalled: i64| {
        faults(|history| {
            let index = line_of(history, "plain", true);
            history.lines[index].at = history.lines[index].due + by;
            history.stalled = stalled;
        })
    };
    assert_eq!(late(40_000, 10_000), [""; 0]);
    assert!(late(40_001, 10_000)[0].starts_with("starved: plain-0"));
}

/// What a server has written down of these commands; a key stands for one of the store.
fn logged(commands: &[&[&[u8]]]) -> Vec<Write> {
    let mut log = Vec::new();
    for words in commands {
        log.extend(format!("*{}\r\n", words.len()).into_bytes());
        for (place, word) in words.iter().enumerate() {
            let prefix: &[u8] = if place == 1 { b"scheduler:{chaos/0}:" } else { b"" };
            log.extend(format!("${}\r\n", prefix.len() + word.len()).into_bytes());
            log.extend([prefix, word, b"\r\n"].concat());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, log).unwrap();
    read_writes(&path)
}

#[test]
fn n1_what_a_server_holds_for_dead_is_read_from_its_log() {
    let found = logged(&[&[b"SADD", b"orphans", b"77@4", b"78@5"]]);
    assert_eq!(found, [Write::Lost("77".into()), Write::Lost("78".into())]);
}

#[test]
fn how_late_runs_begin_is_told() {
    let mut history = right();
    let index = line_of(&history, "plain", true);
    history.lines[index].at = history.lines[index].due + 777;
    let Lateness { half, most, all } = history.lateness();
    assert!(half < most && most <= all && all == 777, "{half} {most} {all}");
}

#[test]
fn lines_of_nodes_are_read_and_halves_of_lines_are_not() {
    let lines = read_lines("start 5 one-1 4 7-101 1 first node1\nend 6 one-1 4 7-101 1 fir");
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].at, lines[0].due, lines[0].claim.as_str()), (5, 4, "7-101"));
}
