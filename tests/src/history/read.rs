//! Reading what nodes, jobs and servers have written down.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use scheduler_core::run::{RunEnd, RunId};
use scheduler_core::store::rows::{Id, Item, JobRow, Lane, RunRow, TriggerRow};
use scheduler_core::store::view::{Names, record};
use scheduler_core::{JobKey, TriggerKey};

use super::{Line, Write};

/// Reads the lines of a node's log.
#[must_use]
pub fn read_lines(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let [what, at, trigger, due, claim, attempt, again, node] =
            line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some(Line {
            begins: what == "start",
            fails: what == "fail",
            at: at.parse().ok()?,
            trigger: trigger.to_owned(),
            due: due.parse().ok()?,
            claim: claim.to_owned(),
            attempt: attempt.parse().ok()?,
            again: again == "again",
            node: node.to_owned(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// Reads what jobs have written into the place outside.
#[must_use]
pub fn read_ledger(text: &str) -> Vec<(String, u64, String)> {
    let line = |line: &str| {
        let [job, fence, claim] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some((job.to_owned(), fence.parse().ok()?, claim.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// Reads which ends were refused, from what a node has logged.
#[must_use]
pub fn read_refused(text: &str) -> Vec<String> {
    let claim = |line: &str| {
        let (_, id) = line.split_once("the claim of a run that has ended is gone execution=")?;
        let (session, count) = id.split_whitespace().next()?.split_once('-')?;
        let [session, count] = [session, count].map(|part| u64::from_str_radix(part, 16));
        Some(format!("{}-{}", session.ok()?, count.ok()?))
    };
    text.lines().filter_map(claim).collect()
}

/// Whether a node has lost touch with its cluster, by what it has logged: it gives up what it has fired and not begun.
#[must_use]
pub fn has_lost_touch(text: &str) -> bool {
    text.contains("has lost touch with its cluster: it fires nothing")
}

/// Reads the server's log of writes.
///
/// # Panics
///
/// It cannot be read.
#[must_use]
pub fn read_writes(path: &Path) -> Vec<Write> {
    let bytes = std::fs::read(path).expect("the server has a log");
    let mut rest = bytes.as_slice();
    let (mut writes, mut of_call) = (Vec::<Write>::new(), Vec::new());
    let (mut runs, mut bundles) = (Runs::new(), Bundles::new());
    let mut together = false;
    while let Some(words) = command(&mut rest) {
        match words.first() {
            Some(&b"MULTI") => together = true,
            Some(&b"EXEC") => together = false,
            _ => of_call.extend(meaning(&words, &mut runs, &mut bundles)),
        }
        if !together {
            // A claim that leaves its bundle for a record of its own goes on.
            let whole = |write: &Write| match write {
                Write::Claimed { claim, whole: true, .. } => Some(claim.clone()),
                _ => None,
            };
            let goes_on: Vec<_> = of_call.iter().filter_map(whole).collect();
            of_call.retain(|write| !matches!(write, Write::Ended(claim) if goes_on.contains(claim)));
            // What one call writes takes effect at once; what ends comes before what takes its place.
            of_call.sort_by_key(|write| match write {
                Write::Ended(_) => 0,
                Write::Free(_) => 1,
                Write::Held { .. } => 2,
                Write::Stored { .. } | Write::Removed(_) => 3,
                _ => 4,
            });
            if of_call.iter().any(|write| matches!(write, Write::Ended(_))) {
                of_call.push(Write::EndOfCall);
            }
            writes.append(&mut of_call);
        }
    }
    writes
}

fn command<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    // Lines of comment stand between commands.
    while rest.first() == Some(&b'#') {
        line(rest)?;
    }
    let count = number(rest, b'*')?;
    (0..count)
        .map(|_| {
            let length = number(rest, b'$')?;
            let word = rest.get(..length)?;
            *rest = rest.get(length + 2..)?;
            Some(word)
        })
        .collect()
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.windows(2).position(|window| window == b"\r\n")?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Some(line)
}

fn number(rest: &mut &[u8], mark: u8) -> Option<usize> {
    let line = line(rest)?;
    let digits = line.strip_prefix(&[mark])?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The names of the runs in the server.
type Runs = HashMap<Vec<u8>, RunId>;

/// The entries that hold the names of the runs of up to a hundred claims each, by the numbers of these without the last two digits.
type Bundles = HashMap<String, Vec<u8>>;

/// So long is the name of a run, and what stands in the place of one that is over.
const NAME: usize = 26;

/// What a bundle says now and did not say before, and the other way round.
fn changed(session: &str, bundle: &str, now: &[u8], runs: &Runs, bundles: &mut Bundles) -> Vec<Write> {
    let before = bundles.insert(bundle.to_owned(), now.to_owned()).unwrap_or_default();
    let named = |names: &[u8], place: usize| runs.get(names.get(place * NAME..(place + 1) * NAME)?).copied();
    let change = |place| {
        let claim = format!("{session}-{bundle}{place:02}");
        match (named(&before, place), named(now, place)) {
            (None, Some(run)) => Some(Write::Claimed { run, claim, whole: false }),
            (Some(_), None) => Some(Write::Ended(claim)),
            _ => None,
        }
    };
    (0..100).filter_map(change).collect()
}

fn is_bundle(field: &str) -> bool {
    !field.contains('-')
}

fn meaning(words: &[&[u8]], runs: &mut Runs, bundles: &mut Bundles) -> Vec<Write> {
    let [name, key, rest @ ..] = words else { return Vec::new() };
    let (name, key) = (String::from_utf8_lossy(name).to_ascii_uppercase(), String::from_utf8_lossy(key));
    let Some((_, key)) = key.split_once("}:") else { return Vec::new() };
    let kind = key.split_once(':').map_or(key, |(kind, _)| kind);
    let pairs = rest.chunks_exact(2).map(|pair| (lossy(pair[0]), pair[1]));
    match (name.as_str(), kind) {
        ("HSET", "cl" | "orphan") => {
            let mut writes = Vec::new();
            for (field, value) in pairs {
                if is_bundle(&field) {
                    writes.extend(changed(&session_of(key), &field, value, runs, bundles));
                } else {
                    writes.extend(fired(field, value));
                }
            }
            writes
        }
        ("HDEL", "cl" | "orphan") => {
            let fields = rest.iter().map(|field| lossy(field));
            let ended = |field: String| match is_bundle(&field) {
                true => changed(&session_of(key), &field, b"", runs, bundles),
                false => vec![Write::Ended(field)],
            };
            fields.flat_map(ended).collect()
        }
        ("HSET", "busy") => {
            pairs.map(|(job, claim)| Write::Held { job: shown(&job), claim: lossy(claim) }).collect()
        }
        ("HDEL", "busy") => rest.iter().map(|job| Write::Free(shown(&lossy(job)))).collect(),
        // A node whose lease is over, or that has given up runs. The name of what is left of it begins with its session.
        ("SADD", "orphans") => rest.iter().filter_map(|name| lost(name)).collect(),
        ("HSET", "stop") => {
            pairs.filter(|(_, why)| *why == b"requested").map(|(claim, _)| Write::Cancelled(claim)).collect()
        }
        ("HSET", "runs") => rest.chunks_exact(2).filter_map(|pair| stored(pair[0], pair[1], runs)).collect(),
        ("HDEL", "runs") => {
            rest.iter().filter_map(|name| runs.get(*name)).map(|run| Write::Removed(*run)).collect()
        }
        ("HSET", "triggers") => pairs.filter_map(|(trigger, state)| next(&trigger, state)).collect(),
        ("HSET", "jobs") => {
            let counts = pairs.filter(|(job, _)| shown(job) == "count");
            counts.filter_map(|(_, record)| count(record).map(Write::Count)).collect()
        }
        _ => Vec::new(),
    }
}

/// The session of a hash of claims, `cl:<session>` or `orphan:<session>@<number>`.
fn session_of(key: &str) -> String {
    key.split([':', '@']).nth(1).unwrap_or_default().to_owned()
}

fn lost(name: &[u8]) -> Option<Write> {
    lossy(name).split_once('@').map(|(session, _)| Write::Lost(session.to_owned()))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A key without its group.
fn shown(key: &str) -> String {
    key.split_once('\0').map_or(key, |(_, name)| name).to_owned()
}

/// Rows in no order and of no store: only what stands in their records is asked for.
struct Nameless;

impl Names for Nameless {
    fn job(&mut self, _: &JobKey) -> Id<JobRow> {
        Id::new(0)
    }

    fn trigger(&mut self, _: &TriggerKey) -> Id<TriggerRow> {
        Id::new(0)
    }

    fn run(&mut self, _: RunId) -> Id<RunRow> {
        Id::new(0)
    }

    fn lane(&mut self, _: Option<&Arc<str>>, _: &Arc<str>) -> Lane {
        Lane(0)
    }

    fn lane_of(&self, _: Lane) -> (Option<Arc<str>>, Arc<str>) {
        (None, "".into())
    }

    fn number(&mut self) -> u64 {
        0
    }
}

/// A record without its version.
fn text(record: &[u8]) -> Option<&[u8]> {
    record.get(8..)
}

fn fired(claim: String, whole: &[u8]) -> Option<Write> {
    // That of a claim that is not fired is the record of its trigger.
    let text = text(whole).filter(|text| record::kind_of(text) == Some(record::Kind::Claim))?;
    let row = record::read_claim(text, &mut Nameless).ok().filter(|row| row.fired)?;
    if let Item::Run(run) = row.item {
        return Some(Write::Claimed { run, claim, whole: true });
    }
    let (trigger, due) = (row.trigger.key().name().to_owned(), row.due.timestamp_millis());
    Some(Write::Fired { claim, trigger, due })
}

fn stored(name: &[u8], whole: &[u8], runs: &mut Runs) -> Option<Write> {
    let row = record::read_run(text(whole)?, &mut Nameless).ok()?;
    if row.is_batch() {
        return None;
    }
    runs.insert(name.to_owned(), row.id);
    let (run, attempts, losses) = (row.id, row.attempts, row.losses());
    if row.end() == Some(RunEnd::Cancelled) {
        // The record of a cancelled run is only kept for people.
        return Some(Write::Removed(row.id));
    }
    let is_dead = row.end() == Some(RunEnd::Dead);
    Some(Write::Stored { run, attempts, losses, is_dead })
}

fn next(trigger: &str, whole: &[u8]) -> Option<Write> {
    let row = record::read_trigger(text(whole)?, &mut Nameless, &mut ()).ok()?;
    Some(Write::Next(shown(trigger), row.next().map(|next| next.timestamp_millis())))
}

fn count(whole: &[u8]) -> Option<u64> {
    let row = record::read_job(text(whole)?).ok()?;
    row.detail.data().get::<u64>("runs").ok().flatten()
}
