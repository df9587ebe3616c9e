//! A day of a thousand triggers of every kind, on the day on which Europe and parts of America change their clocks or
//! have just done so: what fires is exactly what the schedules say, at exactly the times they say.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use parking_lot::Mutex;
use scheduler_core::calendar::{Calendar, Exclusion, StandardCalendar};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::Existing;
use scheduler_core::time::{Clock, ManualClock, SystemClock};
use scheduler_core::trigger::{DailySchedule, Trigger, TriggerBuilder, Unit};
use scheduler_core::{Scheduler, TriggerKey};

const ZONES: [Tz; 6] = [
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Asia__Kathmandu,
    Tz::Africa__Casablanca,
];

fn begin() -> DateTime<Utc> {
    "2026-03-28T22:00:00Z".parse().unwrap()
}

fn lunch() -> StandardCalendar {
    let of_day = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
    StandardCalendar::new(Exclusion::daily(of_day(12), of_day(13)), Tz::Europe__Berlin)
}

/// The `number`-th of a mixture.
fn trigger(number: u64) -> TriggerBuilder {
    let zone = ZONES[(number / 8) as usize % ZONES.len()];
    let start = begin() + TimeDelta::milliseconds((number * 7919 % 7_200_000) as i64);
    let trigger = match number % 8 {
        0 => Trigger::every(Duration::from_millis(900_000 + number * 977)).start_at(start),
        1 => Trigger::cron(&format!("{} {}/19 * * * ?", number % 60, number % 19))
            .in_zone(zone)
            .start_at(start),
        2 => Trigger::cron(&format!("0 {} 0-5 * * ?", number % 60)).in_zone(zone).start_at(start),
        3 => Trigger::calendar_interval(1 + number as u32 % 3, Unit::Hour).in_zone(zone).start_at(start),
        4 => {
            let every = Duration::from_secs(1800 + number);
            let from = NaiveTime::from_hms_opt(number as u32 % 12, 30, 0).unwrap();
            let days = [Weekday::Sat, Weekday::Sun];
            Trigger::scheduled(DailySchedule::new(every, zone).from(from).on(&days)).start_at(start)
        }
        5 => Trigger::at(start + TimeDelta::hours((number % 24) as i64)),
        6 => Trigger::rrule(&format!("FREQ=MINUTELY;INTERVAL={}", 31 + number % 90))
            .in_zone(zone)
            .start_at(start),
        _ => {
            Trigger::every(Duration::from_secs(300 + number % 600)).repeat(number as u32 % 40).start_at(start)
        }
    };
    let trigger = trigger.name(&format!("group-{}/trigger-{number}", number % 10));
    let trigger = if number.is_multiple_of(5) { trigger.calendar("lunch") } else { trigger };
    let trigger = if number.is_multiple_of(9) && number % 8 != 5 {
        trigger.end_at(begin() + TimeDelta::hours(15))
    } else {
        trigger
    };
    trigger.priority((number % 11) as i32)
}

/// What the schedules say, from one time to the next.
fn expected(triggers: &[Trigger], end: DateTime<Utc>) -> Vec<(DateTime<Utc>, TriggerKey)> {
    let lunch = lunch();
    let mut all = Vec::new();
    for trigger in triggers {
        let calendar = trigger.calendar().map(|_| &lunch as &dyn Calendar);
        let mut progress = trigger.first(calendar);
        while let Some(time) = progress.next.filter(|time| *time <= end) {
            assert!(calendar.is_none_or(|calendar| calendar.includes(time)));
            all.push((time, trigger.key().clone()));
            progress = trigger.fired(&progress, calendar);
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_day_of_a_thousand_triggers() {
    let (clock, fired) = (ManualClock::at("2026-03-28T22:00:00Z"), Arc::new(Mutex::new(Vec::new())));
    let log = fired.clone();
    let body = move |context: JobContext| {
        assert_eq!(context.fire_time(), context.scheduled_fire_time(), "neither early nor late");
        log.lock().push((context.scheduled_fire_time(), context.trigger_key().clone()));
        async {}
    };
    let work = JobDetail::builder("work".parse().unwrap(), "work").build();
    let scheduler = Scheduler::builder()
        .clock(clock.clone())
        .calendar("lunch", lunch())
        .register(JobDefinition::new(work.clone(), body))
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    let all: Vec<_> = (0..1000).map(|number| (Invocation::new(work.clone()), trigger(number))).collect();
    scheduler.schedule_all(all, Existing::Refuse).await.unwrap();
    let started = SystemClock.monotonic();
    clock.advance(Duration::from_secs(86_400)).await;
    let took = SystemClock.monotonic() - started;
    let triggers: Vec<_> =
        (0..1000).map(|number| trigger(number).for_job("work").build(begin()).unwrap()).collect();
    let mut fired = std::mem::take(&mut *fired.lock());
    let order = fired.clone();
    fired.sort();
    assert!(order.is_sorted_by_key(|(time, _)| *time), "in the order of time");
    let expected = expected(&triggers, begin() + TimeDelta::days(1));
    println!("{} firings of 1,000 triggers in a day, simulated in {took:?}", fired.len());
    let first = fired.iter().zip(&expected).find(|(fired, expected)| fired != expected);
    assert_eq!(first, None, "the first difference");
    assert_eq!(fired.len(), expected.len());
}
