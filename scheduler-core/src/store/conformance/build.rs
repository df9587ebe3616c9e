//! Triggers and calendars from their descriptions in the cases.

use std::time::Duration;

use crate::calendar::{Exclusion, StandardCalendar};
use crate::trigger::{
    CalendarIntervalSchedule, CronSchedule, DailySchedule, Misfire, Schedule, Trigger, TriggerBuilder, Unit,
};
use chrono::{NaiveDate, NaiveTime, TimeDelta, Weekday};
use scheduler_syntax::cron::{CronExpr, DstPolicy, Gap, Overlap};
use serde_json::Value;

use super::corpus::{text, time, zone};

/// The trigger of a case, or why it is none.
pub fn trigger(described: &Value) -> Result<Trigger, String> {
    let start = time(&described["start"]).unwrap();
    let builder = builder(described)?.name("case").for_job("case");
    builder.build(start).map_err(|error| error.to_string())
}

/// The trigger of a case without name and job, or why it is none.
pub fn builder(described: &Value) -> Result<TriggerBuilder, String> {
    let start = time(&described["start"]).unwrap();
    let mut builder = schedule(described)?.start_at(start);
    if let Some(end) = time(&described["end"]) {
        builder = builder.end_at(end);
    }
    if described.get("misfire").is_some() {
        builder = builder.misfire(misfire(described));
    }
    Ok(builder)
}

fn schedule(described: &Value) -> Result<TriggerBuilder, String> {
    match text(described, "type") {
        "simple" => simple(described),
        "calendar_interval" => {
            Ok(Trigger::scheduled(Schedule::CalendarInterval(calendar_interval(described))))
        }
        "daily_time_interval" => Ok(Trigger::scheduled(Schedule::Daily(daily(described)?))),
        "cron" => {
            let expression = CronExpr::parse(text(described, "expr")).map_err(|error| error.to_string())?;
            let cron = Trigger::scheduled(Schedule::Cron(CronSchedule::new(expression, zone(described))));
            Ok(cron.dst(DstPolicy { gap: Gap::Skip, overlap: Overlap::Second }))
        }
        other => panic!("unknown type {other}"),
    }
}

/// -1 stands for ever, anything below is a mistake that our types do not allow.
fn repeat(described: &Value) -> Result<Option<u32>, String> {
    match described["repeat_count"].as_i64() {
        None | Some(-1) => Ok(None),
        Some(count) => u32::try_from(count).map(Some).map_err(|error| error.to_string()),
    }
}

fn simple(described: &Value) -> Result<TriggerBuilder, String> {
    let every =
        u64::try_from(described["interval_ms"].as_i64().unwrap()).map_err(|error| error.to_string())?;
    match (repeat(described)?, every) {
        (Some(0), 0) => Ok(Trigger::now()),
        (Some(count), every) => Ok(Trigger::every(Duration::from_millis(every)).repeat(count)),
        (None, every) => Ok(Trigger::every(Duration::from_millis(every))),
    }
}

fn calendar_interval(described: &Value) -> CalendarIntervalSchedule {
    let unit = match text(described, "unit") {
        "SECOND" => Unit::Second,
        "MINUTE" => Unit::Minute,
        "HOUR" => Unit::Hour,
        "DAY" => Unit::Day,
        "WEEK" => Unit::Week,
        "MONTH" => Unit::Month,
        _ => Unit::Year,
    };
    let every = u32::try_from(described["interval"].as_u64().unwrap()).unwrap();
    CalendarIntervalSchedule::new(every, unit, zone(described))
        .preserve_hour(described["preserve_hour"] == true)
        .skip_missing_hour(described["skip_day_if_hour_missing"] == true)
        .as_quartz(true)
}

fn daily(described: &Value) -> Result<DailySchedule, String> {
    let unit = match text(described, "unit") {
        "SECOND" => 1,
        "MINUTE" => 60,
        "HOUR" => 3600,
        other => return Err(format!("our intervals of a day are durations, not {other}")),
    };
    let of_day = |field: &str| text(described, field).parse::<NaiveTime>().map_err(|error| error.to_string());
    let days: Vec<_> = described["days_of_week"].as_array().unwrap().iter().map(weekday).collect();
    if days.is_empty() {
        return Err("our set of days cannot be empty: none named means all".to_owned());
    }
    let every = Duration::from_secs(described["interval"].as_u64().unwrap() * unit);
    let mut daily =
        DailySchedule::new(every, zone(described)).from(of_day("start_of_day")?).on(&days).as_quartz(true);
    if described["end_of_day"].is_string() {
        daily = daily.to(of_day("end_of_day")?);
    }
    Ok(match repeat(described)? {
        Some(count) => daily.repeat(count),
        None => daily,
    })
}

/// 1 is Sunday.
fn weekday(number: &Value) -> Weekday {
    Weekday::try_from(u8::try_from((number.as_u64().unwrap() + 5) % 7).unwrap()).unwrap()
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
        other => panic!("unknown instruction {other}"),
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
        "weekly" => Exclusion::weekly(&excluded().iter().map(weekday).collect::<Vec<_>>()),
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
        _ => Exclusion::Nothing,
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
