//! Triggers and calendars from their descriptions in the cases.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::trigger::{
    CalendarIntervalSchedule, CronSchedule, DailySchedule, Misfire, Schedule, Trigger, TriggerBuilder, Unit,
};
use scheduler_syntax::cron::{CronExpr, DstPolicy, Gap, Overlap};
use serde_json::Value;

use super::corpus::{text, time, zone};

/// 2025-01-01T00:00:00Z: there the clock stands where a case says nothing else.
const NOW: DateTime<Utc> = DateTime::from_timestamp(1_735_689_600, 0).unwrap();

/// The trigger of a case, or why it is none. A field that is left out has no default but those of [`builder`].
pub fn trigger(described: &Value) -> Result<Trigger, String> {
    let builder = builder(described)?.name("case").for_job("case");
    builder.build(start(described)).map_err(|error| error.to_string())
}

/// When the clock of the cases stands; a trigger without a start begins then.
fn start(described: &Value) -> DateTime<Utc> {
    time(&described["start"]).unwrap_or(NOW)
}

fn given<'a>(described: &'a Value, field: &str) -> Result<&'a Value, String> {
    described.get(field).filter(|value| !value.is_null()).ok_or(format!("`{field}` is missing"))
}

fn text_of<'a>(described: &'a Value, field: &str) -> Result<&'a str, String> {
    given(described, field)?.as_str().ok_or(format!("`{field}` is no text"))
}

/// A number of at least 0.
fn count_of<T: TryFrom<i64>>(described: &Value, field: &str) -> Result<T, String> {
    let number = given(described, field)?.as_i64().ok_or(format!("`{field}` is no whole number"))?;
    T::try_from(number).map_err(|_| format!("`{field}` is {number}, which no schedule has"))
}

fn zone_of(described: &Value) -> Result<Tz, String> {
    let name = text_of(described, "zone")?;
    name.parse().map_err(|_| format!("`{name}` is no time zone"))
}

/// The trigger of a case without name and job, or why it is none.
pub fn builder(described: &Value) -> Result<TriggerBuilder, String> {
    let mut builder = schedule(described)?.start_at(start(described));
    if let Some(end) = time(&described["end"]) {
        builder = builder.end_at(end);
    }
    if !described["misfire"].is_null() {
        builder = builder.misfire(misfire(described));
    }
    Ok(builder)
}

fn schedule(described: &Value) -> Result<TriggerBuilder, String> {
    match text_of(described, "type")? {
        "simple" => simple(described),
        "calendar_interval" => {
            Ok(Trigger::scheduled(Schedule::CalendarInterval(calendar_interval(described)?)))
        }
        "daily_time_interval" => Ok(Trigger::scheduled(Schedule::Daily(daily(described)?))),
        "cron" => {
            let expression =
                CronExpr::parse(text_of(described, "expr")?).map_err(|error| error.to_string())?;
            let cron = Trigger::scheduled(Schedule::Cron(CronSchedule::new(expression, zone_of(described)?)));
            Ok(cron.dst(DstPolicy { gap: Gap::Skip, overlap: Overlap::Second }))
        }
        other => Err(format!("unknown type of trigger `{other}`")),
    }
}

/// -1 stands for ever, anything below is a mistake that our types do not allow.
fn repeat(described: &Value) -> Result<Option<u32>, String> {
    match described["repeat_count"].as_i64() {
        Some(-1) => Ok(None),
        None if described["repeat_count"].is_null() => Ok(None),
        _ => count_of(described, "repeat_count").map(Some),
    }
}

fn simple(described: &Value) -> Result<TriggerBuilder, String> {
    let every = count_of(described, "interval_ms")?;
    match (repeat(described)?, every) {
        (Some(0), 0) => Ok(Trigger::now()),
        (Some(count), every) => Ok(Trigger::every(Duration::from_millis(every)).repeat(count)),
        (None, every) => Ok(Trigger::every(Duration::from_millis(every))),
    }
}

fn calendar_interval(described: &Value) -> Result<CalendarIntervalSchedule, String> {
    let unit = match text_of(described, "unit")? {
        "SECOND" => Unit::Second,
        "MINUTE" => Unit::Minute,
        "HOUR" => Unit::Hour,
        "DAY" => Unit::Day,
        "WEEK" => Unit::Week,
        "MONTH" => Unit::Month,
        "YEAR" => Unit::Year,
        other => return Err(format!("`unit` is {other}, which no calendar interval has")),
    };
    let schedule = CalendarIntervalSchedule::new(count_of(described, "interval")?, unit, zone_of(described)?);
    Ok(schedule
        .preserve_hour(described["preserve_hour"] == true)
        .skip_missing_hour(described["skip_day_if_hour_missing"] == true)
        .as_quartz(true))
}

fn daily(described: &Value) -> Result<DailySchedule, String> {
    let unit = match text_of(described, "unit")? {
        "SECOND" => 1,
        "MINUTE" => 60,
        "HOUR" => 3600,
        other => return Err(format!("our intervals of a day are durations, not {other}")),
    };
    let of_day =
        |field: &str| text_of(described, field)?.parse::<NaiveTime>().map_err(|error| error.to_string());
    let days = given(described, "days_of_week")?.as_array().ok_or("`days_of_week` is no list")?;
    let days = days.iter().map(weekday).collect::<Result<Vec<_>, _>>()?;
    if days.is_empty() {
        return Err("our set of days cannot be empty: none named means all".to_owned());
    }
    let every = Duration::from_secs(u64::from(count_of::<u32>(described, "interval")?) * unit);
    let mut daily = DailySchedule::new(every, zone_of(described)?).from(of_day("start_of_day")?).on(&days);
    if !described["end_of_day"].is_null() {
        daily = daily.to(of_day("end_of_day")?);
    }
    daily = daily.as_quartz(true);
    Ok(match repeat(described)? {
        Some(count) => daily.repeat(count),
        None => daily,
    })
}

/// 1 is Sunday, 7 is Saturday.
fn weekday(number: &Value) -> Result<Weekday, String> {
    let day = number.as_u64().filter(|day| (1..=7).contains(day)).and_then(|day| u8::try_from(day).ok());
    let day = day.and_then(|day| Weekday::try_from((day + 5) % 7).ok());
    day.ok_or(format!("{number} is no day of the week; they are 1 to 7"))
}

fn misfire(described: &Value) -> Misfire {
    match text(described, "misfire") {
        "SMART_POLICY" => Misfire::Smart,
        "IGNORE_MISFIRE_POLICY" => Misfire::Ignore,
        "FIRE_NOW" | "FIRE_ONCE_NOW" => Misfire::FireNow,
        "DO_NOTHING" | "RESCHEDULE_NEXT_WITH_EXISTING_COUNT" => Misfire::Skip,
        "RESCHEDULE_NOW_WITH_EXISTING_REPEAT_COUNT" => Misfire::NowWithExistingCount,
        "RESCHEDULE_NOW_WITH_REMAINING_REPEAT_COUNT" => Misfire::NowWithRemainingCount,
        "RESCHEDULE_NEXT_WITH_REMAINING_COUNT" => Misfire::NextWithRemainingCount,
        other => panic!("unknown misfire instruction `{other}`"),
    }
}

/// The calendar of a case, with its chain of bases.
pub fn calendar(described: &Value) -> StandardCalendar {
    let calendar = StandardCalendar::new(exclusion(described), zone(described));
    if described["base"].is_object() {
        calendar.based_on(self::calendar(&described["base"]))
    } else {
        calendar
    }
}

fn exclusion(described: &Value) -> Exclusion {
    let excluded = || described["excluded"].as_array().unwrap();
    match text(described, "type") {
        "weekly" => {
            Exclusion::weekly(&excluded().iter().map(|day| weekday(day).unwrap()).collect::<Vec<_>>())
        }
        "monthly" => {
            Exclusion::monthly(excluded().iter().map(|day| u32::try_from(day.as_u64().unwrap()).unwrap()))
        }
        "annual" => Exclusion::annual(excluded().iter().map(|day| month_and_day(day.as_str().unwrap()))),
        "holiday" => Exclusion::holidays(
            excluded().iter().map(|date| date.as_str().unwrap().parse::<NaiveDate>().unwrap()),
        ),
        "daily" => {
            let (from, to) = (time_of_day(text(described, "from")), time_of_day(text(described, "to")));
            if described["invert"] == true {
                Exclusion::all_but(from, to)
            } else {
                Exclusion::daily(from, to)
            }
        }
        "cron" => Exclusion::cron(text(described, "expr")).unwrap_or(Exclusion::Nothing),
        "base" => Exclusion::Nothing,
        other => panic!("unknown type of calendar `{other}`"),
    }
}

fn month_and_day(text: &str) -> (u32, u32) {
    let (month, day) = text.split_once('-').unwrap();
    (month.parse().unwrap(), day.parse().unwrap())
}

/// `HH:MM[:SS[:mmm]]`
fn time_of_day(text: &str) -> NaiveTime {
    let parts: Vec<i64> = text.split(':').map(|part| part.parse().unwrap()).collect();
    let part = |index: usize| parts.get(index).copied().unwrap_or(0);
    NaiveTime::MIN + TimeDelta::milliseconds(((part(0) * 60 + part(1)) * 60 + part(2)) * 1000 + part(3))
}
