//! Civil times in a zone: the only place of this crate that resolves them.
//!
//! A civil time that does not exist is read with the offset before the gap, so it comes later by the length of the gap
//! (RFC 5545, 3.3.5). Of a time that exists twice a caller chooses: the first, or the second as in the Java calendars on
//! which Quartz builds.

use chrono::{
    DateTime, Days, MappedLocalTime, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Utc,
};
use chrono_tz::Tz;

/// Clocks are never set by more at once, nor are zones further apart.
const FAR: TimeDelta = TimeDelta::hours(26);

/// The civil time at an instant.
pub(crate) fn civil(zone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    let utc = instant.naive_utc();
    // The first and the last instants that can be written have no civil time in every zone.
    utc.checked_add_signed(offset(zone, instant)).unwrap_or(utc)
}

/// The instant of a civil time, of two the second.
pub(crate) fn instant(zone: Tz, civil: NaiveDateTime) -> DateTime<Utc> {
    zone.from_local_datetime(&civil).latest().map_or_else(|| past_gap(zone, civil), |time| time.to_utc())
}

/// The instant of a civil time, of two the first.
pub(crate) fn first_instant(zone: Tz, civil: NaiveDateTime) -> DateTime<Utc> {
    zone.from_local_datetime(&civil).earliest().map_or_else(|| past_gap(zone, civil), |time| time.to_utc())
}

/// The instant of a civil time in a gap.
fn past_gap(zone: Tz, civil: NaiveDateTime) -> DateTime<Utc> {
    let civil = civil.and_utc();
    let before = civil.checked_sub_signed(FAR).unwrap_or(civil);
    civil.checked_sub_signed(offset(zone, before)).unwrap_or(civil)
}

/// Whether clocks show this date at all: Samoa had no 30 December 2011.
pub(crate) fn has_date(zone: Tz, date: NaiveDate) -> bool {
    civil(zone, start_of_day(zone, date)).date() == date
}

/// The first instant of a date; where midnight does not exist, the end of the gap.
pub(crate) fn start_of_day(zone: Tz, date: NaiveDate) -> DateTime<Utc> {
    match zone.from_local_datetime(&date.and_time(NaiveTime::MIN)) {
        MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => time.to_utc(),
        MappedLocalTime::None => first_of_offset(zone, past_gap(zone, date.and_time(NaiveTime::MIN))),
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
pub(crate) fn first_of_offset(zone: Tz, at: DateTime<Utc>) -> DateTime<Utc> {
    let now = offset(zone, at);
    let (mut before, mut after) = ((at - FAR).timestamp(), at.timestamp());
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        let same = DateTime::from_timestamp(middle, 0).is_some_and(|time| offset(zone, time) == now);
        *(if same { &mut after } else { &mut before }) = middle;
    }
    DateTime::from_timestamp(after, 0).unwrap_or(at)
}
