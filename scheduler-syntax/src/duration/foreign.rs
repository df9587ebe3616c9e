//! Durations in the spelling of other programs, to say how they are written here.

use std::time::Duration;

use super::{UNITS, split_where};

/// Other names of units, and ours.
const NAMES: [(&str, &str); 22] = [
    ("weeks", "w"),
    ("week", "w"),
    ("days", "d"),
    ("day", "d"),
    ("hours", "h"),
    ("hour", "h"),
    ("hrs", "h"),
    ("hr", "h"),
    ("minutes", "m"),
    ("minute", "m"),
    ("mins", "m"),
    ("min", "m"),
    ("seconds", "s"),
    ("second", "s"),
    ("secs", "s"),
    ("sec", "s"),
    ("milliseconds", "ms"),
    ("millisecond", "ms"),
    ("millis", "ms"),
    ("msec", "ms"),
    ("µs", "us"),
    ("μs", "us"),
];

/// The duration that a refused text means elsewhere, if there is no doubt.
pub(super) fn meant(text: &str) -> Option<Duration> {
    let text = text.trim();
    let nanos = iso(text).or_else(|| clock(text)).or_else(|| words(text, ours))?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// ISO 8601, such as `PT1H30M`. Years and months have no fixed length.
fn iso(text: &str) -> Option<u128> {
    let upper = text.to_ascii_uppercase();
    let (date, time) = upper.strip_prefix('P').map(|rest| rest.split_once('T').unwrap_or((rest, "")))?;
    let of = |part: &str, units: &'static str| match part {
        "" => Some(0),
        part => words(&part.to_ascii_lowercase(), |name| ours(name).filter(|_| units.contains(name))),
    };
    let both = of(date, "wd")?.checked_add(of(time, "hms")?)?;
    (!date.is_empty() || !time.is_empty()).then_some(both)
}

/// Hours, minutes and seconds with colons. Two numbers alone may be hours or minutes, so they mean nothing.
fn clock(text: &str) -> Option<u128> {
    let parts: Vec<u128> = text.split(':').map(whole).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = parts[..] else { return None };
    let total = hours.checked_mul(3_600)?.checked_add(minutes * 60 + seconds)?;
    (minutes < 60 && seconds < 60).then(|| total.checked_mul(1_000_000_000)).flatten()
}

/// Numbers, perhaps with a decimal part, each with the name of a unit.
fn words(text: &str, unit: impl Fn(&str) -> Option<u128>) -> Option<u128> {
    let mut total: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, left) = split_where(rest, |c| !c.is_ascii_digit() && c != '.');
        let (name, left) = split_where(left.trim_start(), |c| !c.is_alphabetic());
        total = total.checked_add(exactly(number, unit(name)?)?)?;
        rest = left.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

/// The length of our unit with this name.
fn ours(name: &str) -> Option<u128> {
    // A month to some, a minute to others.
    if name == "M" {
        return None;
    }
    let name = name.to_lowercase();
    let short = NAMES.iter().find(|(other, _)| *other == name).map_or(name.as_str(), |(_, unit)| unit);
    UNITS.iter().find(|(unit, _)| *unit == short).map(|(_, length)| *length)
}

/// A decimal number of units in nanoseconds, if nothing is left over.
fn exactly(number: &str, unit: u128) -> Option<u128> {
    let (whole_part, part) = number.split_once('.').unwrap_or((number, "0"));
    let scale = 10_u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let scaled = whole(whole_part)?.checked_mul(scale)?.checked_add(whole(part)?)?.checked_mul(unit)?;
    (scaled % scale == 0).then_some(scaled / scale)
}

/// A number of digits only, small enough to be counted on with.
fn whole(text: &str) -> Option<u128> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<u64>().ok()).flatten().map(u128::from)
}
