//! How far the wall clock of a zone is ahead of UTC, and when that changes.
//!
//! Instants are seconds since 1970-01-01T00:00:00Z, offsets are seconds to add for the wall clock. The tables of
//! chrono-tz answer only what the offset is at an instant. A change is therefore found by comparing two instants and
//! halving the distance; this relies on changes being rare.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// No clock in the world is set by more at once, nor are two of them further apart: 26 hours, and some to spare.
pub(crate) const FAR: i64 = 28 * 3600;

/// Two changes of one zone are further apart than this. The closest ones on record lie 95 hours apart (Freetown,
/// 1939); since 1970 it is never less than a week.
pub(crate) const APART: i64 = 90 * 3600;

/// One setting of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// The first instant with the new offset.
    pub(crate) at: i64,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

impl Change {
    /// The change between two readings; none if both have the same offset. They must not be further apart than
    /// [`APART`], so that there is at most one.
    pub(crate) fn between(zone: Tz, earlier: Reading, later: Reading) -> Option<Self> {
        debug_assert!((0..=APART).contains(&(later.instant - earlier.instant)));
        if earlier.offset == later.offset {
            return None;
        }
        let (mut same, mut at) = (earlier.instant, later.instant);
        while at - same > 1 {
            let middle = Reading::of(zone, same + (at - same) / 2);
            *(if middle.offset == earlier.offset { &mut same } else { &mut at }) = middle.instant;
        }
        Some(Self { at, before: earlier.offset, after: later.offset })
    }

    /// By how much clocks are set forward; negative if they are set back.
    pub(crate) fn forward(&self) -> i64 {
        self.after - self.before
    }
}

/// What the wall clock of a zone is ahead of UTC at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) instant: i64,
    pub(crate) offset: i64,
}

impl Reading {
    pub(crate) fn of(zone: Tz, instant: i64) -> Self {
        let utc = DateTime::from_timestamp(instant, 0).unwrap_or_default().naive_utc();
        let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
        Self { instant, offset: i64::from(offset) }
    }
}
