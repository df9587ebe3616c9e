//! The civil times of a rule that counts from a start.
//!
//! Time is cut into the periods of the rule: years, months, weeks, days, hours, minutes or seconds, of which every
//! `INTERVAL`-th counts. The search begins in the period of the asked time, so it costs the same however long ago the
//! start was, and looks at the days of one period after the other. Finer rules skip a day, an hour or a minute that is
//! not allowed as a whole.

use super::days::{first_of_year, week_of, weekday};
use super::rule::{Frequency, Parts};
use crate::bits::members;
use crate::wall::{CivilTimes, DAY, Date};

/// Times are looked for in so many periods and stretches between them, then the search gives up.
pub(super) const MOST_STEPS: usize = 100_000;

/// The last year, as for cron expressions.
pub(super) const END: i64 = 84_006 * DAY;

const EVERY_SECOND: u64 = (1 << 60) - 1;
const EVERY_HOUR: u64 = (1 << 24) - 1;

/// A rule together with its start, which fills in what the rule leaves open.
pub(super) struct Bound {
    rule: Parts,
    start: i64,
    first_period: i64,
}

/// What a period holds.
enum Found {
    Time(i64),
    /// Nothing before this second.
    NothingUntil(i64),
}

impl Bound {
    pub(super) fn new(rule: &Parts, start: i64) -> Self {
        let mut rule = Parts { text: String::new(), ..rule.clone() };
        let date = Date::of_day_number(start.div_euclid(DAY));
        rule.fill_days(date, weekday(start.div_euclid(DAY)));
        rule.fill_times(start.rem_euclid(DAY));
        let first_period = rule.period_of(start);
        Self { rule, start, first_period }
    }

    /// The first time from `from` to `to`. Each look at a period takes one of `steps`.
    pub(super) fn civil_within(&self, from: i64, to: i64, steps: &mut usize) -> Option<i64> {
        let from = from.max(self.start);
        let mut period = self.aligned_before(self.rule.period_of(from));
        while self.rule.begin_of(period) <= to {
            *steps = steps.checked_sub(1)?;
            match self.within(period, from) {
                Found::Time(time) => return Some(time).filter(|time| *time <= to),
                Found::NothingUntil(later) => {
                    period = self.aligned_before(self.rule.period_of(later - 1)) + self.rule.interval;
                }
            }
        }
        None
    }

    /// The last period up to `period` that counts.
    fn aligned_before(&self, period: i64) -> i64 {
        period - (period - self.first_period).rem_euclid(self.rule.interval)
    }

    /// The first time of a period that is not before `from`.
    fn within(&self, period: i64, from: i64) -> Found {
        let rule = &self.rule;
        let (begin, next) = (rule.begin_of(period), rule.begin_of(period + 1));
        let found = if rule.frequency < Frequency::Daily {
            if let Some(later) = self.excluded_until(begin) {
                return Found::NothingUntil(later);
            }
            self.first(rule.finer_times().map(|time| begin + time), from)
        } else {
            // Days that are over need no look, unless positions are counted from the first of the period.
            let begin = if rule.positions.is_empty() { begin.max(from) } else { begin };
            let days = begin.div_euclid(DAY)..=(next - 1).div_euclid(DAY);
            let allowed = days.filter(|day| rule.allows(*day));
            self.first(allowed.flat_map(|day| rule.times().map(move |time| day * DAY + time)), from)
        };
        found.map_or(Found::NothingUntil(next), Found::Time)
    }

    /// The first of the times of one period, or of those that `BYSETPOS` chooses among them, that is not before `from`.
    fn first(&self, mut times: impl Iterator<Item = i64>, from: i64) -> Option<i64> {
        if self.rule.positions.is_empty() {
            return times.find(|time| *time >= from);
        }
        let all: Vec<i64> = times.collect();
        self.rule.chosen(&all).filter(|time| *time >= from).min()
    }

    /// For rules finer than a day: the end of the day, hour, minute or second that is not allowed as a whole.
    fn excluded_until(&self, time: i64) -> Option<i64> {
        let rule = &self.rule;
        let (day, of_day) = (time.div_euclid(DAY), time.rem_euclid(DAY));
        let stretches = [
            (DAY, rule.allows(day)),
            (3600, rule.hours & (1 << (of_day / 3600)) != 0),
            (60, rule.frequency >= Frequency::Hourly || rule.minutes & (1 << (of_day / 60 % 60)) != 0),
            (1, rule.frequency >= Frequency::Minutely || rule.seconds & (1 << (of_day % 60)) != 0),
        ];
        let (length, _) = stretches.into_iter().find(|(_, allowed)| !allowed)?;
        Some((time.div_euclid(length) + 1) * length)
    }
}

impl CivilTimes for Bound {
    fn civil_from(&self, from: i64) -> Option<i64> {
        self.civil_within(from, END, &mut { MOST_STEPS })
    }

    fn civil_to(&self, _: i64) -> Option<i64> {
        None
    }
}

impl Parts {
    fn fill_days(&mut self, start: Date, weekday: u32) {
        let named = self.weekdays != 0
            || !(self.nth_weekdays.is_empty() && self.month_days.is_empty() && self.year_days.is_empty());
        if named {
            return;
        }
        match self.frequency {
            Frequency::Yearly if !self.weeks.is_empty() => self.weekdays = 1 << weekday,
            Frequency::Yearly if self.months == 0 => {
                self.months = 1 << start.month;
                self.month_days = vec![start.day as i32];
            }
            Frequency::Yearly | Frequency::Monthly => self.month_days = vec![start.day as i32],
            Frequency::Weekly => self.weekdays = 1 << weekday,
            _ => {}
        }
    }

    fn fill_times(&mut self, start: i64) {
        let default = |finer: Frequency, all: u64, own: i64| {
            if self.frequency <= finer { all } else { 1 << own }
        };
        if self.hours == 0 {
            self.hours = default(Frequency::Hourly, EVERY_HOUR, start / 3600);
        }
        if self.minutes == 0 {
            self.minutes = default(Frequency::Minutely, EVERY_SECOND, start / 60 % 60);
        }
        if self.seconds == 0 {
            self.seconds = default(Frequency::Secondly, EVERY_SECOND, start % 60);
        }
    }

    /// The allowed times of a day, in order.
    fn times(&self) -> impl Iterator<Item = i64> + '_ {
        members(self.hours).flat_map(move |hour| {
            members(self.minutes).flat_map(move |minute| {
                members(self.seconds).map(move |second| i64::from(hour * 3600 + minute * 60 + second))
            })
        })
    }

    /// The allowed times of one period that is finer than a day, from its begin.
    fn finer_times(&self) -> impl Iterator<Item = i64> + '_ {
        let minutes = if self.frequency == Frequency::Hourly { self.minutes } else { 1 };
        let seconds = if self.frequency == Frequency::Secondly { 1 } else { self.seconds };
        members(minutes)
            .flat_map(move |minute| members(seconds).map(move |second| i64::from(minute * 60 + second)))
    }

    /// Those of the times of one period that `BYSETPOS` chooses.
    fn chosen<'a>(&'a self, all: &'a [i64]) -> impl Iterator<Item = i64> + 'a {
        let index = |position: i32| match usize::try_from(position) {
            Ok(position) => position.checked_sub(1),
            Err(_) => all.len().checked_sub(position.unsigned_abs() as usize),
        };
        self.positions.iter().filter_map(move |position| all.get(index(*position)?).copied())
    }

    /// The number of the period that holds a second; numbers grow by one.
    fn period_of(&self, second: i64) -> i64 {
        let day = second.div_euclid(DAY);
        match self.frequency {
            Frequency::Secondly => second,
            Frequency::Minutely => second.div_euclid(60),
            Frequency::Hourly => second.div_euclid(3600),
            Frequency::Daily => day,
            Frequency::Weekly => (week_of(day, self.week_start) - week_of(0, self.week_start)) / 7,
            Frequency::Monthly => {
                let date = Date::of_day_number(day);
                i64::from(date.year) * 12 + i64::from(date.month) - 1
            }
            Frequency::Yearly => i64::from(Date::of_day_number(day).year),
        }
    }

    /// The first second of a period.
    fn begin_of(&self, period: i64) -> i64 {
        match self.frequency {
            Frequency::Secondly => period,
            Frequency::Minutely => period * 60,
            Frequency::Hourly => period * 3600,
            Frequency::Daily => period * DAY,
            Frequency::Weekly => (week_of(0, self.week_start) + period * 7) * DAY,
            Frequency::Monthly => {
                let (year, month) = (period.div_euclid(12), period.rem_euclid(12) as u32 + 1);
                Date { year: far(year), month, day: 1 }.day_number() * DAY
            }
            Frequency::Yearly => first_of_year(far(period)) * DAY,
        }
    }
}

/// A year that lies behind the end is as good as any other there.
fn far(year: i64) -> i32 {
    i32::try_from(year).unwrap_or(9_999).min(9_999)
}
