//! What operators read: how durations are written in logs, and the first failure of a program that shows no logs.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::Once;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use scheduler_syntax::format_duration;

/// A duration for people: in whole milliseconds, or exact if it is shorter than one.
pub(crate) struct Shown(pub(crate) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(exact) = *self;
        let whole = Duration::new(exact.as_secs(), exact.subsec_millis() * 1_000_000);
        f.write_str(&format_duration(if whole.is_zero() { exact } else { whole }))
    }
}

/// A moment that may not come, for people.
pub(crate) struct When(pub(crate) Option<DateTime<Utc>>);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => f.write_str("never"),
        }
    }
}

/// The first wait before a trouble that goes on is reported again. It doubles with each report.
const FIRST_SILENCE: Duration = Duration::from_secs(15);

/// The longest wait between two reports of a trouble that goes on.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// Says of a trouble that goes on when it is worth a line: at once, then after growing waits.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    failures: u32,
    /// When the next report is due, and how long the silence after that is.
    next: Duration,
    silence: Duration,
}

impl Streak {
    /// One more failure, at `now` of a monotonic clock. Says how many there are if they are worth a line.
    pub(crate) fn failed(&mut self, now: Duration) -> Option<u32> {
        self.failures = self.failures.saturating_add(1);
        let is_first = self.failures == 1;
        if !is_first && now < self.next {
            return None;
        }
        self.silence = if is_first { FIRST_SILENCE } else { (self.silence * 2).min(LONGEST_SILENCE) };
        self.next = now.saturating_add(self.silence);
        Some(self.failures)
    }

    /// The trouble is over. Says how many failures there were.
    pub(crate) fn ended(&mut self) -> u32 {
        std::mem::take(self).failures
    }
}

/// The most names that a sentence lists.
const MOST_LISTED: usize = 10;

/// Names in a sentence, each once with how often it is there: `` `mail` (8 times), `report` and 3 others ``.
pub(crate) fn listed(names: impl IntoIterator<Item: fmt::Display>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    names.into_iter().for_each(|name| *counts.entry(name.to_string()).or_default() += 1);
    let others = counts.len().saturating_sub(MOST_LISTED);
    let shown = counts.into_iter().take(MOST_LISTED).map(|(name, count)| match count {
        1 => format!("`{name}`"),
        _ => format!("`{name}` ({count} times)"),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    if others == 0 { shown } else { format!("{shown} and {others} others") }
}

/// Writes a failure to stderr if the program has installed no `tracing` subscriber and would show nothing. The first one in
/// a process says how to see the others; they stay silent.
pub(crate) fn unheard(failure: impl fmt::Display) {
    static FIRST: Once = Once::new();
    if tracing::dispatcher::has_been_set() {
        return;
    }
    FIRST.call_once(|| {
        // A closed stderr is no reason to fail.
        let _ = writeln!(
            std::io::stderr(),
            "{failure}\nnote: this program has no `tracing` subscriber, so this is the only failure that the scheduler shows. \
             Install a subscriber at the start of the program, such as `tracing_subscriber::fmt::init()`."
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_reported_once_and_then_at_growing_distances() {
        let mut streak = Streak::default();
        let reported = |streak: &mut Streak, seconds: std::ops::Range<u64>| -> Vec<u64> {
            seconds.filter(|second| streak.failed(Duration::from_secs(*second)).is_some()).collect()
        };
        assert_eq!(reported(&mut streak, 0..200), [0, 15, 45, 105]);
        assert_eq!(streak.ended(), 200);
        assert_eq!(reported(&mut streak, 200..210), [200], "a new streak");
        let far = reported(&mut streak, 210..40_000);
        assert!(far.windows(2).all(|pair| pair[1] - pair[0] <= 3600), "{far:?}");
    }

    #[test]
    fn names_are_counted_and_not_too_many() {
        assert_eq!(listed(["mail", "report", "mail"]), "`mail` (2 times), `report`");
        assert!(listed(0..13).ends_with("`5`, `6` and 3 others"), "{}", listed(0..13));
    }

    #[test]
    fn durations_are_written_for_people() {
        let cases = [
            (Duration::from_micros(1_234_567), "1s234ms"),
            (Duration::from_secs(90), "1m30s"),
            (Duration::from_micros(12), "12us"),
            (Duration::ZERO, "0s"),
        ];
        for (duration, expected) in cases {
            assert_eq!(Shown(duration).to_string(), expected);
        }
    }
}
