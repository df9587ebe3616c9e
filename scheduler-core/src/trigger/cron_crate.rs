//! Schedules of the crate `cron`, for programs that have them already.

use ::cron::{Schedule as Parsed, TimeUnitSpec};
use chrono_tz::Tz;
use scheduler_syntax::cron::CronExpr;

use super::cron::CronSchedule;
use super::schedule::Schedule;

/// The same times of the wall clock, in UTC; the time zone of the trigger sets another zone.
///
/// The crate reads 1 as Sunday, as here, and takes a day only if it matches both day fields. A schedule that names both becomes
/// an expression with `@both` in front. One without years goes on after 2100, where the crate ends. Where clocks change, the
/// rules are those of this crate: a fixed time happens once.
///
/// ```
/// use std::str::FromStr;
///
/// use scheduler_core::trigger::Trigger;
///
/// let now = "2026-01-01T00:00:00Z".parse().unwrap();
/// let schedule = cron::Schedule::from_str("0 30 9 * * Mon-Fri").unwrap();
/// let trigger = Trigger::scheduled(schedule).time_zone("Europe/Berlin").name("report").for_job("report").build(now).unwrap();
/// assert_eq!(trigger.fire_time_after(now).unwrap().to_rfc3339(), "2026-01-01T08:30:00+00:00");
/// ```
impl From<Parsed> for CronSchedule {
    #[allow(clippy::expect_used, reason = "every set of values can be written as a list")]
    fn from(schedule: Parsed) -> Self {
        let expression = CronExpr::parse(&written(&schedule)).expect("a list of values is an expression");
        Self::new(expression, Tz::UTC)
    }
}

impl From<Parsed> for Schedule {
    fn from(schedule: Parsed) -> Self {
        CronSchedule::from(schedule).into()
    }
}

/// The schedule as an expression of this crate.
fn written(schedule: &Parsed) -> String {
    let words: Vec<&str> = schedule.source().split_whitespace().collect();
    let word = |index: usize| words.get(index).copied().filter(|_| words.len() >= 6);
    let (of_month, of_week) = (schedule.days_of_month(), schedule.days_of_week());
    let (mark, of_month, of_week) = match (of_month.is_all(), of_week.is_all()) {
        (_, true) => ("", field(of_month, word(3)), "?".to_owned()),
        (true, false) => ("", "?".to_owned(), field(of_week, word(5))),
        (false, false) => ("@both ", field(of_month, word(3)), field(of_week, word(5))),
    };
    let [second, minute, hour] = [
        field(schedule.seconds(), word(0)),
        field(schedule.minutes(), word(1)),
        field(schedule.hours(), word(2)),
    ];
    let month = field(schedule.months(), word(4));
    let years = schedule.years();
    let year = if years.is_all() { String::new() } else { format!(" {}", field(years, word(6))) };
    format!("{mark}{second} {minute} {hour} {of_month} {month} {of_week}{year}")
}

/// One field. What its source writes as a range or with a step stays one, since intervals follow real time where clocks change.
fn field(values: &impl TimeUnitSpec, source: Option<&str>) -> String {
    if values.is_all() {
        return "*".to_owned();
    }
    let values: Vec<u32> = values.iter().collect();
    let interval = source.is_some_and(|source| source.contains(['*', '/', '-']));
    match values.as_slice() {
        [first, second, .., last] if interval && in_steps(&values) => {
            format!("{first}-{last}/{}", second - first)
        }
        [first, rest @ ..] if interval => {
            let rest = rest.iter().map(|value| format!(",{value}"));
            format!("{first}-{first}{}", rest.collect::<String>())
        }
        values => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

/// Whether values follow each other in equal steps.
fn in_steps(values: &[u32]) -> bool {
    values.windows(3).all(|three| three[1] - three[0] == three[2] - three[1])
}
