//! Civil times on the line of time: what happens where the clocks of a zone change.
//!
//! An expression that follows real time (an *interval*: it has a `*`, range or step in second, minute or hour) owes
//! nothing for a gap and fires in both passes of an overlap. A *fixed* time happens once: in a gap at the first
//! instant after it, in an overlap at its first occurrence. This is the rule of Vixie cron and Cronos; the other
//! choices are offered by [`DstPolicy`] and concern fixed times only.

use chrono::{DateTime, Days, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use super::expr::CronExpr;

/// What a fixed time does that a day does not have, because clocks are set forward over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Gap {
    /// It fires at the first instant after the gap; several in one gap fire once.
    #[default]
    RunAfter,
    /// It fires later by the length of the gap: 02:30 at 03:30. The rule of Quartz.NET.
    Shift,
    /// It does not fire on that day. The rule of Quartz for Java.
    Skip,
}

/// What a fixed time does that a day has twice, because clocks are set back over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It fires at the first of the two.
    #[default]
    First,
    /// It fires at the second. The rule of Quartz for Java.
    Second,
    /// It fires at both.
    Both,
}

/// What a fixed time does where clocks change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DstPolicy {
    /// In a gap.
    pub gap: Gap,
    /// In an overlap.
    pub overlap: Overlap,
}

/// Clocks of all zones together are never further apart than this, nor set by more at once.
const FAR: i64 = 26 * 3600;

impl CronExpr {
    /// The first fire time strictly later than `after` on the wall clock of `zone`, in whole seconds.
    ///
    /// None when there is none before the year 2200. Fire times strictly increase, whatever the zone does.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz, policy: DstPolicy) -> Option<DateTime<Utc>> {
        let start = after.timestamp() + 1;
        let found = if zone == Tz::UTC {
            self.civil_from(start)
        } else if self.is_fixed_time() {
            self.next_fixed(start, zone, policy)
        } else {
            self.next_interval(start, zone)
        };
        DateTime::from_timestamp(found?, 0)
    }

    /// The next `count` fire times later than `after`; fewer if there are no more.
    pub fn next_n(
        &self,
        after: DateTime<Utc>,
        zone: Tz,
        policy: DstPolicy,
        count: usize,
    ) -> Vec<DateTime<Utc>> {
        std::iter::successors(self.next_after(after, zone, policy), |last| {
            self.next_after(*last, zone, policy)
        })
        .take(count)
        .collect()
    }

    /// Whether it fires at this instant, to the second.
    pub fn matches(&self, instant: DateTime<Utc>, zone: Tz, policy: DstPolicy) -> bool {
        let second = instant.timestamp();
        DateTime::from_timestamp(second - 1, 0)
            .and_then(|before| self.next_after(before, zone, policy))
            .is_some_and(|next| next.timestamp() == second)
    }

    /// As seconds on a clock without changes.
    fn civil_from(&self, local: i64) -> Option<i64> {
        let from = DateTime::from_timestamp(local, 0)?.naive_utc();
        self.next_civil(from).map(|time| time.and_utc().timestamp())
    }

    /// Walks from one stretch of unchanged clocks to the next.
    fn next_interval(&self, mut start: i64, zone: Tz) -> Option<i64> {
        loop {
            let offset = offset_at(zone, start);
            let civil = self.civil_from(start + offset)?;
            if let Some(change) = change_after(zone, start, FAR) {
                let candidate = civil - offset;
                if candidate < change {
                    return Some(candidate);
                }
                start = change;
                continue;
            }
            match Local::of(zone, civil) {
                Local::Once(instant) => return Some(instant),
                Local::Twice(first, second) => return Some(if first >= start { first } else { second }),
                Local::Never { end, .. } => start = end,
            }
        }
    }

    fn next_fixed(&self, start: i64, zone: Tz, policy: DstPolicy) -> Option<i64> {
        let offset = offset_at(zone, start);
        // A time that is moved, or that counts at its second occurrence, may lie behind on the wall clock.
        let back = if policy == DstPolicy::default() { 0 } else { lately_set_by(zone, start) };
        let mut best: Option<i64> = None;
        let mut local = start + offset - back;
        while let Some(civil) = self.civil_from(local) {
            let found = self
                .instants(zone, civil, policy)
                .into_iter()
                .flatten()
                .filter(|instant| *instant >= start)
                .min();
            best = best.into_iter().chain(found).min();
            // What follows on the wall clock can be earlier only by what clocks are set back.
            if best.is_some_and(|best| back == 0 || civil - FAR > best + offset) {
                return best;
            }
            local = civil + 1;
        }
        best
    }

    /// When a fixed civil time fires: never, once or twice.
    fn instants(&self, zone: Tz, civil: i64, policy: DstPolicy) -> [Option<i64>; 2] {
        match (Local::of(zone, civil), policy.overlap, policy.gap) {
            (Local::Once(instant), ..) | (Local::Twice(instant, _), Overlap::First, _) => {
                [Some(instant), None]
            }
            (Local::Twice(_, second), Overlap::Second, _) => [Some(second), None],
            (Local::Twice(first, second), Overlap::Both, _) => [Some(first), Some(second)],
            (Local::Never { end, before, after }, _, gap) if !skips_the_day(civil, end, before, after) => {
                match gap {
                    Gap::RunAfter => [Some(end), None],
                    Gap::Shift => [Some(civil - before), None],
                    Gap::Skip => [None, None],
                }
            }
            (Local::Never { .. }, ..) => [None, None],
        }
    }
}

/// Where a civil time lies on the line of time.
enum Local {
    Once(i64),
    Twice(i64, i64),
    /// In a gap: the instant at which clocks are set forward, and the offsets before and after.
    Never {
        end: i64,
        before: i64,
        after: i64,
    },
}

impl Local {
    fn of(zone: Tz, civil: i64) -> Self {
        let time = naive(civil);
        let instant = |offset: chrono_tz::TzOffset| civil - i64::from(offset.fix().local_minus_utc());
        match zone.offset_from_local_datetime(&time) {
            chrono::MappedLocalTime::Single(offset) => Self::Once(instant(offset)),
            chrono::MappedLocalTime::Ambiguous(a, b) => {
                let (a, b) = (instant(a), instant(b));
                Self::Twice(a.min(b), a.max(b))
            }
            chrono::MappedLocalTime::None => Self::gap(zone, civil),
        }
    }

    fn gap(zone: Tz, civil: i64) -> Self {
        let before = offset_at(zone, civil - FAR);
        let end = change_after(zone, civil - FAR, 2 * FAR).unwrap_or(civil - before);
        Self::Never { end, before, after: offset_at(zone, end) }
    }
}

/// Whether the date of a civil time does not exist at all, as the 30th of December 2011 in Samoa. Nothing is made
/// up for then.
fn skips_the_day(civil: i64, end: i64, before: i64, after: i64) -> bool {
    let date = naive(civil).date();
    let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
    let next = date
        .checked_add_days(Days::new(1))
        .map_or(i64::MAX, |date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp());
    end + before <= midnight && end + after >= next
}

/// By how much clocks are set around this instant.
fn lately_set_by(zone: Tz, instant: i64) -> i64 {
    (offset_at(zone, instant - FAR) - offset_at(zone, instant + FAR)).abs()
}

/// Seconds that the wall clock of the zone is ahead of UTC.
fn offset_at(zone: Tz, instant: i64) -> i64 {
    i64::from(zone.offset_from_utc_datetime(&naive(instant)).fix().local_minus_utc())
}

/// The first change of the offset within so many seconds after `start`; none if clocks stay as they are.
fn change_after(zone: Tz, start: i64, within: i64) -> Option<i64> {
    let offset = offset_at(zone, start);
    let (mut same, mut changed) = (start, start + within);
    if offset_at(zone, changed) == offset {
        return None;
    }
    while changed - same > 1 {
        let middle = same + (changed - same) / 2;
        *(if offset_at(zone, middle) == offset { &mut same } else { &mut changed }) = middle;
    }
    Some(changed)
}

fn naive(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC).naive_utc()
}
