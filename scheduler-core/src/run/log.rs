//! What a run has logged: the last lines, within bounds.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// So many lines of a run are kept, the latest: 200.
pub const MAX_LOG_LINES: usize = 200;

/// The longest line of a log, in bytes: 1 KiB. The rest of a longer one is cut off.
pub const MAX_LOG_LINE: usize = 1024;

/// The longest log of a run, in bytes of its texts: 64 KiB.
pub const MAX_LOG: usize = 64 * 1024;

/// The last lines that the attempts of a run have logged, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RunLog {
    /// At most [`MAX_LOG_LINES`], and at most [`MAX_LOG`] bytes of text.
    pub lines: Vec<LogLine>,
    /// So many lines are not shown, since more came than are kept.
    pub dropped: u64,
    /// The number of the claim whose lines came last.
    claim: u64,
    /// So many lines of that claim are counted already.
    counted: u64,
}

/// A line of a [log](RunLog).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was logged.
    pub at: DateTime<Utc>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// How important it is.
    pub level: LogLevel,
    /// Who has logged it: the target of the `tracing` event, which is mostly the path of a module.
    pub target: Box<str>,
    /// The message, and behind it the fields of the event as `name=value`; at most [`MAX_LOG_LINE`] bytes.
    pub text: Box<str>,
}

/// How important a line of a [log](RunLog) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the levels of `tracing`")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        })
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.format("%Y-%m-%dT%H:%M:%S%.3fZ");
        write!(f, "{at} {:5} {}: {}", self.level, self.target, self.text)
    }
}

impl RunLog {
    /// Appends lines of a claim, of which the first one has the number `first`, counted from 0. Lines that are known are passed over, so
    /// that a call may be repeated.
    pub(crate) fn append(&mut self, claim: u64, first: u64, lines: Vec<LogLine>) {
        let counted = if self.claim == claim { self.counted } else { 0 };
        let known = usize::try_from(counted.saturating_sub(first)).unwrap_or(usize::MAX);
        let end = first.saturating_add(lines.len() as u64);
        self.dropped = self.dropped.saturating_add(first.saturating_sub(counted));
        (self.claim, self.counted) = (claim, counted.max(end));
        self.lines.extend(lines.into_iter().skip(known));
        self.keep_within_bounds();
    }

    fn keep_within_bounds(&mut self) {
        let mut left = MAX_LOG;
        let fits = |line: &&LogLine| {
            left = left.saturating_sub(line.text.len() + line.target.len());
            left > 0
        };
        let kept = self.lines.iter().rev().take(MAX_LOG_LINES).take_while(fits).count();
        let too_many = self.lines.len() - kept;
        self.lines.drain(..too_many);
        self.dropped = self.dropped.saturating_add(too_many as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        let (at, level) = (DateTime::UNIX_EPOCH, LogLevel::Info);
        LogLine { at, attempt: 1, level, target: "it".into(), text: text.into() }
    }

    fn lines(numbers: std::ops::Range<u64>) -> Vec<LogLine> {
        numbers.map(|number| line(&number.to_string())).collect()
    }

    fn texts(log: &RunLog) -> Vec<&str> {
        log.lines.iter().map(|line| &*line.text).collect()
    }

    #[test]
    fn a_repeated_call_appends_nothing_twice() {
        let mut log = RunLog::default();
        for (first, end) in [(0, 2), (0, 2), (0, 3), (1, 2), (3, 4)] {
            log.append(7, first, lines(first..end));
        }
        assert_eq!((texts(&log), log.dropped), (vec!["0", "1", "2", "3"], 0));
        log.append(8, 0, lines(0..1));
        assert_eq!(texts(&log), ["0", "1", "2", "3", "0"], "lines of another attempt");
    }

    #[test]
    fn the_last_lines_are_kept_and_the_others_counted() {
        let mut log = RunLog::default();
        log.append(7, 0, lines(0..150));
        log.append(7, 160, lines(160..260));
        assert_eq!((log.lines.len(), log.dropped), (MAX_LOG_LINES, 10 + 50));
        assert_eq!((&*log.lines[0].text, &*log.lines[199].text), ("50", "259"));
    }

    #[test]
    fn long_lines_are_fewer() {
        let mut log = RunLog::default();
        let long = "x".repeat(MAX_LOG_LINE);
        log.append(7, 0, (0..100).map(|_| line(&long)).collect());
        assert_eq!((log.lines.len(), log.dropped), (63, 37));
    }

    #[test]
    fn a_line_is_shown_as_in_a_terminal() {
        assert_eq!(line("done rows=3").to_string(), "1970-01-01T00:00:00.000Z INFO  it: done rows=3");
    }
}
