//! What a run says of being early or late: its boost, and when it expires.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The boost and the expiry of a run, in whole milliseconds. Most runs have neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Lateness {
    /// It goes before what became due up to so much earlier.
    #[serde(skip_serializing_if = "is_zero")]
    boost: u64,
    /// It takes turns by a key.
    #[serde(skip_serializing_if = "is_false")]
    fair: bool,
    /// It is boosted or takes turns, and was not due when somebody looked: until a rule finds it due, it stands in no lane.
    #[serde(skip_serializing_if = "is_false")]
    later: bool,
    /// So long after its due time it expires, unless its first attempt has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// An attempt has begun that does not count.
    #[serde(skip_serializing_if = "is_false")]
    begun: bool,
    /// A claim was there when it would have expired. If the claim is given back, it expires after all.
    #[serde(skip_serializing_if = "is_false")]
    claimed: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn delta(millis: u64) -> Option<TimeDelta> {
    TimeDelta::try_milliseconds(i64::try_from(millis).ok()?)
}

/// The first whole millisecond that is not before this time, since a driver may keep alarms in milliseconds.
pub(super) fn whole_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    let floor = DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time);
    let next = || floor.checked_add_signed(TimeDelta::milliseconds(1)).unwrap_or(time);
    if floor < time { next() } else { floor }
}

impl Lateness {
    /// None without a boost, an expiry and a key by which it takes turns.
    pub(super) fn of(boost: Duration, expires: Option<Duration>, fair: bool) -> Option<Self> {
        let lateness = Self { boost: millis(boost), fair, expires: expires.map(millis), ..Self::default() };
        (lateness != Self::default()).then_some(lateness)
    }

    /// The same for a run that is due then. If nobody says what time it is, a run that stands before its due time counts as not due.
    pub(super) fn due(self, due: DateTime<Utc>, now: Option<DateTime<Utc>>) -> Self {
        Self { later: self.stands_early() && now.is_none_or(|now| due > now), ..self }
    }

    /// Whether its place may be before its due time: it is boosted, or takes turns by a key.
    pub(super) const fn stands_early(&self) -> bool {
        self.boost > 0 || self.fair
    }

    pub(super) fn place(&self, due: DateTime<Utc>) -> DateTime<Utc> {
        let earlier = || due.checked_sub_signed(delta(self.boost)?);
        if self.boost == 0 { due } else { earlier().unwrap_or(DateTime::<Utc>::MIN_UTC) }
    }

    pub(super) fn boost(&self) -> Option<Duration> {
        (self.boost > 0).then(|| Duration::from_millis(self.boost))
    }

    pub(super) const fn is_later(&self) -> bool {
        self.later
    }

    pub(super) fn deadline(&self, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let expires = self.expires.filter(|_| !self.begun)?;
        due.checked_add_signed(delta(expires)?)
    }

    pub(super) const fn begin(&mut self) {
        (self.begun, self.claimed) = (self.expires.is_some(), false);
    }

    pub(super) const fn begin_anew(&mut self) {
        (self.begun, self.claimed) = (false, false);
    }

    pub(super) const fn set_kept_alive(&mut self, is_kept: bool) {
        self.claimed = is_kept && self.expires.is_some();
    }

    pub(super) const fn is_kept_alive(&self) -> bool {
        self.claimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    #[test]
    fn a_boosted_run_is_later_until_it_is_due() {
        let boosted = Lateness::of(Duration::from_secs(2), None, false).unwrap();
        assert!(boosted.due(at(10), Some(at(9))).is_later());
        assert!(!boosted.due(at(10), Some(at(10))).is_later());
        assert!(boosted.due(at(10), None).is_later(), "nobody knows the time");
        let expires = Lateness::of(Duration::ZERO, Some(Duration::from_secs(2)), false).unwrap();
        assert!(!expires.due(at(10), Some(at(9))).is_later(), "it is not boosted");
        assert_eq!(Lateness::of(Duration::ZERO, None, false), None);
        let fair = Lateness::of(Duration::ZERO, None, true).unwrap();
        assert!(fair.due(at(10), Some(at(9))).is_later() && !fair.due(at(10), Some(at(10))).is_later());
        assert_eq!((fair.boost(), fair.place(at(10))), (None, at(10)));
        assert_eq!(boosted.place(at(5_000_000)), at(3_000_000));
    }

    #[test]
    fn times_beyond_the_calendar_are_cut() {
        let boosted = Lateness::of(Duration::from_secs(86_400), None, false).unwrap();
        assert_eq!(boosted.place(DateTime::<Utc>::MIN_UTC), DateTime::<Utc>::MIN_UTC);
        for expires in [Duration::MAX, Duration::from_millis(u64::MAX / 2)] {
            assert_eq!(
                Lateness::of(Duration::ZERO, Some(expires), false).unwrap().deadline(at(0)),
                None,
                "{expires:?}"
            );
        }
    }

    #[test]
    fn alarms_are_whole_milliseconds_and_never_early() {
        assert_eq!(whole_millis(at(1_000)), at(1_000));
        assert_eq!(whole_millis(at(1_001)), at(2_000));
        assert_eq!(whole_millis(at(-1)), at(0));
        assert!(whole_millis(DateTime::<Utc>::MAX_UTC) >= DateTime::<Utc>::MAX_UTC);
    }
}
