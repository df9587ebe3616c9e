//! Civil times in a zone: the only place of this crate that resolves them.
//!
//! The rules are those of the Java calendars on which Quartz builds, so that schedules come out the same: a civil time
//! that does not exist is read with the offset before the gap, so it comes later; one that exists twice is the second.

use chrono::{
    DateTime, Days, MappedLocalTime, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Utc,
};
use chrono_tz::Tz;

/// Clocks are never set by more at once, nor are zones further apart.
const FAR: TimeDelta = TimeDelta::hours(26);

/// The civil time at an instant.
pub(crate) fn civil(zone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    instant.with_timezone(&zone).naive_local()
}

/// The instant of a civil time.
pub(crate) fn instant(zone: Tz, civil: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&civil) {
        MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(_, time) => time.to_utc(),
        MappedLocalTime::None => civil.and_utc() - offset(zone, civil.and_utc() - FAR),
    }
}

/// The first instant of a date; where midnight does not exist, the end of the gap.
pub(crate) fn start_of_day(zone: Tz, date: NaiveDate) -> DateTime<Utc> {
    match zone.from_local_datetime(&date.and_time(NaiveTime::MIN)) {
        MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => time.to_utc(),
        MappedLocalTime::None => {
            let civil = date.and_time(NaiveTime::MIN).and_utc();
            let shifted = civil - offset(zone, civil - FAR);
            first_of_offset(zone, shifted)
        }
    }
}

/// The same time of day so many days later. Where that does not exist, the hour before the gap is taken.
pub(crate) fn plus_days(zone: Tz, from: DateTime<Utc>, days: u64) -> Option<DateTime<Utc>> {
    let wanted = civil(zone, from).checked_add_days(Days::new(days))?;
    let before = offset(zone, from);
    let same_offset = wanted.and_utc() - before;
    let change = before - offset(zone, same_offset);
    if change.is_zero() {
        return Some(same_offset);
    }
    let adjusted = same_offset + change;
    Some(if civil(zone, adjusted).date() == wanted.date() { adjusted } else { same_offset })
}

/// The same time of day so many months later, on the last day of a month that is too short.
pub(crate) fn plus_months(zone: Tz, from: DateTime<Utc>, months: u32) -> Option<DateTime<Utc>> {
    civil(zone, from).checked_add_months(Months::new(months)).map(|civil| instant(zone, civil))
}

/// `later`, or the moment at which clocks are set before it; the two are at most a day apart.
pub(crate) fn until_change(zone: Tz, earlier: DateTime<Utc>, later: DateTime<Utc>) -> DateTime<Utc> {
    if offset(zone, earlier) == offset(zone, later) {
        later
    } else {
        first_of_offset(zone, later).max(earlier)
    }
}

fn offset(zone: Tz, at: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds(i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()))
}

/// When the offset that holds at `at` began; it began within the last day or two.
fn first_of_offset(zone: Tz, at: DateTime<Utc>) -> DateTime<Utc> {
    let now = offset(zone, at);
    let (mut before, mut after) = ((at - FAR).timestamp(), at.timestamp());
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        let same = DateTime::from_timestamp(middle, 0).is_some_and(|time| offset(zone, time) == now);
        *(if same { &mut after } else { &mut before }) = middle;
    }
    DateTime::from_timestamp(after, 0).unwrap_or(at)
}
