//! The next and the previous civil time: day by bit set, month by month, and no zone.
//!
//! Years and months that cannot match are skipped at once, so a rare date costs little more than a common one, and an
//! impossible one ends after the last year.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use super::expr::{CronExpr, Parts};

impl CronExpr {
    /// Whether the expression matches this civil time, to the second.
    pub fn matches_civil(&self, time: NaiveDateTime) -> bool {
        self.next_civil(time) == time.with_nanosecond(0)
    }

    /// Whether no date ever matches, such as the 31st of February.
    pub fn never_fires(&self) -> bool {
        self.next_civil(DateTime::UNIX_EPOCH.naive_utc()).is_none()
    }

    /// The first matching civil time that is not earlier than `from`, by whole seconds. None after the year 2199.
    pub fn next_civil(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let parts = &*self.0;
        let (date, time) = (from.date(), from.time());
        if parts.matches_date(date)
            && let Some(time) = parts.time_at_or_after(time)
        {
            return Some(date.and_time(time));
        }
        let date = parts.date_at_or_after(date.checked_add_days(Days::new(1))?)?;
        Some(date.and_time(parts.time_at_or_after(NaiveTime::MIN)?))
    }

    /// The last matching civil time that is not later than `from`, by whole seconds. None before the year 1970.
    pub fn previous_civil(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let parts = &*self.0;
        let (date, time) = (from.date(), from.time());
        if parts.matches_date(date)
            && let Some(time) = parts.time_at_or_before(time)
        {
            return Some(date.and_time(time));
        }
        let date = parts.date_at_or_before(date.checked_sub_days(Days::new(1))?)?;
        Some(date.and_time(parts.time_at_or_before(NaiveTime::from_hms_opt(23, 59, 59)?)?))
    }
}

impl Parts {
    fn matches_date(&self, date: NaiveDate) -> bool {
        self.months & (1 << date.month()) != 0
            && self.years.at_or_after(date.year()) == Some(date.year())
            && self.days.in_month(date.year(), date.month()) & (1 << date.day()) != 0
    }

    fn date_at_or_after(&self, from: NaiveDate) -> Option<NaiveDate> {
        let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
        loop {
            let allowed = self.years.at_or_after(year)?;
            if allowed > year {
                (year, month, day) = (allowed, 1, 1);
            }
            let Some(next) = lowest(self.months, month) else {
                (year, month, day) = (year + 1, 1, 1);
                continue;
            };
            if next > month {
                (month, day) = (next, 1);
            }
            if let Some(found) = lowest(u64::from(self.days.in_month(year, month)), day) {
                return NaiveDate::from_ymd_opt(year, month, found);
            }
            (month, day) = (month + 1, 1);
        }
    }

    fn date_at_or_before(&self, from: NaiveDate) -> Option<NaiveDate> {
        let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
        loop {
            let allowed = self.years.at_or_before(year)?;
            if allowed < year {
                (year, month, day) = (allowed, 12, 31);
            }
            let Some(next) = highest(self.months, month) else {
                (year, month, day) = (year - 1, 12, 31);
                continue;
            };
            if next < month {
                (month, day) = (next, 31);
            }
            if let Some(found) = highest(u64::from(self.days.in_month(year, month)), day) {
                return NaiveDate::from_ymd_opt(year, month, found);
            }
            (month, day) = (month - 1, 31);
        }
    }

    fn time_at_or_after(&self, from: NaiveTime) -> Option<NaiveTime> {
        let hour = lowest(self.hours, from.hour())?;
        if hour == from.hour() {
            if let Some(minute) = lowest(self.minutes, from.minute()) {
                let second = if minute == from.minute() { from.second() } else { 0 };
                if let Some(second) = lowest(self.seconds, second) {
                    return NaiveTime::from_hms_opt(hour, minute, second);
                }
                if let Some(minute) = lowest(self.minutes, minute + 1) {
                    return NaiveTime::from_hms_opt(hour, minute, lowest(self.seconds, 0)?);
                }
            }
            let hour = lowest(self.hours, hour + 1)?;
            return NaiveTime::from_hms_opt(hour, lowest(self.minutes, 0)?, lowest(self.seconds, 0)?);
        }
        NaiveTime::from_hms_opt(hour, lowest(self.minutes, 0)?, lowest(self.seconds, 0)?)
    }

    fn time_at_or_before(&self, from: NaiveTime) -> Option<NaiveTime> {
        let hour = highest(self.hours, from.hour())?;
        if hour == from.hour() {
            if let Some(minute) = highest(self.minutes, from.minute()) {
                let second = if minute == from.minute() { from.second() } else { 59 };
                if let Some(second) = highest(self.seconds, second) {
                    return NaiveTime::from_hms_opt(hour, minute, second);
                }
                if let Some(minute) = minute.checked_sub(1).and_then(|minute| highest(self.minutes, minute)) {
                    return NaiveTime::from_hms_opt(hour, minute, highest(self.seconds, 59)?);
                }
            }
            let hour = highest(self.hours, hour.checked_sub(1)?)?;
            return NaiveTime::from_hms_opt(hour, highest(self.minutes, 59)?, highest(self.seconds, 59)?);
        }
        NaiveTime::from_hms_opt(hour, highest(self.minutes, 59)?, highest(self.seconds, 59)?)
    }
}

/// The lowest bit of the set that is at or above `from`.
fn lowest(set: u64, from: u32) -> Option<u32> {
    let left = if from < 64 { set & (u64::MAX << from) } else { 0 };
    (left != 0).then(|| left.trailing_zeros())
}

/// The highest bit of the set that is at or below `from`.
fn highest(set: u64, from: u32) -> Option<u32> {
    let left = set & (u64::MAX >> (63 - from.min(63)));
    (left != 0).then(|| 63 - left.leading_zeros())
}
