//! Reading what nodes, jobs and servers have written down.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Line, Write};

/// Reads the lines of a node's log.
#[must_use]
pub fn read_lines(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let [what, at, trigger, due, claim, _, again, node] =
            line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some(Line {
            begins: what == "start",
            at: at.parse().ok()?,
            trigger: trigger.to_owned(),
            due: due.parse().ok()?,
            claim: claim.to_owned(),
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

/// Reads the server's log of writes.
///
/// # Panics
///
/// It cannot be read.
#[must_use]
pub fn read_writes(path: &Path) -> Vec<Write> {
    let bytes = std::fs::read(path).expect("the server has a log");
    let mut rest = bytes.as_slice();
    let (mut writes, mut of_call) = (Vec::new(), Vec::new());
    let mut together = false;
    while let Some(words) = command(&mut rest) {
        match words.first() {
            Some(&b"MULTI") => together = true,
            Some(&b"EXEC") => together = false,
            _ => of_call.extend(meaning(&words)),
        }
        if !together {
            // What one call writes takes effect at once; what ends comes before what takes its place.
            of_call.sort_by_key(|write| match write {
                Write::Ended(_) => 0,
                Write::Free(_) => 1,
                Write::Held { .. } => 2,
                _ => 3,
            });
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

fn meaning(words: &[&[u8]]) -> Vec<Write> {
    let [name, key, rest @ ..] = words else { return Vec::new() };
    let (name, key) = (String::from_utf8_lossy(name).to_ascii_uppercase(), String::from_utf8_lossy(key));
    let Some((_, key)) = key.split_once("}:") else { return Vec::new() };
    let kind = key.split_once(':').map_or(key, |(kind, _)| kind);
    let pairs = rest.chunks_exact(2).map(|pair| (lossy(pair[0]), pair[1]));
    match (name.as_str(), kind) {
        ("HSET", "cl") => pairs.filter_map(|(claim, record)| fired(claim, record)).collect(),
        ("HDEL", "cl" | "grave") => rest.iter().map(|claim| Write::Ended(lossy(claim))).collect(),
        ("HSET", "busy") => {
            pairs.map(|(job, claim)| Write::Held { job: shown(&job), claim: lossy(claim) }).collect()
        }
        ("HDEL", "busy") => rest.iter().map(|job| Write::Free(shown(&lossy(job)))).collect(),
        // A node whose lease is over, or that has given up runs. The name of what is left of it begins with its session.
        ("SADD", "graves") => rest.iter().filter_map(|name| lost(name)).collect(),
        ("HSET", "ts") => pairs.filter_map(|(trigger, state)| next(&trigger, state)).collect(),
        ("HSET", "jd") => {
            let counts = pairs.filter(|(job, _)| shown(job) == "count");
            let data = |record: &[u8]| {
                let text = lossy(record);
                let data = text.splitn(3, '\0').nth(2)?;
                serde_json::from_str::<Value>(data).ok()?["runs"].as_u64()
            };
            counts.filter_map(|(_, record)| data(record).map(Write::Count)).collect()
        }
        _ => Vec::new(),
    }
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

/// Reads the parts of a record, as the script writes them.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn time(&mut self) -> Option<i64> {
        Some(f64::from_be_bytes(self.bytes(8)?.try_into().ok()?) as i64)
    }

    /// After its length in so many bytes.
    fn text(&mut self, width: usize) -> Option<String> {
        let length = self.bytes(width)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.bytes(length).map(lossy)
    }
}

fn fired(claim: String, record: &[u8]) -> Option<Write> {
    let mut parts = Parts(record);
    // One at a time; generation, lineage, since when.
    parts.bytes(1 + 24)?;
    let due = parts.time()?;
    Some(Write::Fired { claim, trigger: shown(&parts.text(2)?), due })
}

fn next(trigger: &str, state: &[u8]) -> Option<Write> {
    let mut parts = Parts(state);
    // How it stands, one at a time, runs, priority; times and numbers.
    parts.bytes(10 + 48)?;
    for width in [2, 2, 1, 1, 1, 2, 4] {
        parts.text(width)?;
    }
    let progress: Value = serde_json::from_str(&parts.text(4)?).ok()?;
    let next = progress["next"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    Some(Write::Next(shown(trigger), next.map(|next| next.timestamp_millis())))
}
