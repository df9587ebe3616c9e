//! The seven fields: their ranges and names.

use std::fmt;

/// One field of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// 0–59.
    Second,
    /// 0–59.
    Minute,
    /// 0–23.
    Hour,
    /// 1–31.
    DayOfMonth,
    /// 1–12 or names.
    Month,
    /// 1–7 from Sunday, or names.
    DayOfWeek,
    /// 1970–2199.
    Year,
}

pub(super) const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
pub(super) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Field {
    /// All fields in the order in which they are written.
    pub const ALL: [Self; 7] =
        [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek, Self::Year];

    pub(super) const fn first(self) -> u16 {
        match self {
            Self::Second | Self::Minute | Self::Hour => 0,
            Self::DayOfMonth | Self::Month | Self::DayOfWeek => 1,
            Self::Year => 1970,
        }
    }

    pub(super) const fn last(self) -> u16 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
            Self::Year => 2199,
        }
    }

    /// The largest step that Quartz accepts.
    pub(super) const fn largest_step(self) -> u16 {
        match self {
            Self::Year => Self::Year.last() - Self::Year.first(),
            other => other.last(),
        }
    }

    /// The names of its values, the first for its first value.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }

    /// What may be written, for an error message.
    pub(super) fn allowed(self) -> String {
        let (first, last) = (self.first(), self.last());
        match self.names() {
            [] => format!("use {first}-{last}"),
            names => format!("use {first}-{last} or {}-{}", names[0], names[names.len() - 1]),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
            Self::Year => "year",
        })
    }
}
