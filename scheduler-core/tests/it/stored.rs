//! What is written can be read: by this version, and by those before and after it as far as that is possible.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use proptest::sample::select;
use scheduler_core::calendar::{Calendar, Exclusion, StandardCalendar};
use scheduler_core::job::JobDetail;
use scheduler_core::run::{Backoff, RetryPolicy};
use scheduler_core::trigger::*;
use scheduler_core::{JobData, JobKey};

fn zone() -> impl Strategy<Value = Tz> {
    select(TZ_VARIANTS.to_vec())
}

fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0..4_000_000_000_000_i64).prop_map(|millis| DateTime::from_timestamp_millis(millis).unwrap())
}

fn weekdays() -> impl Strategy<Value = Vec<Weekday>> {
    prop::collection::vec((0..7_u8).prop_map(|day| Weekday::try_from(day).unwrap()), 0..4)
}

fn time_of_day() -> impl Strategy<Value = NaiveTime> {
    (0..86_400_u32).prop_map(|second| NaiveTime::from_num_seconds_from_midnight_opt(second, 0).unwrap())
}

fn dst() -> impl Strategy<Value = DstPolicy> {
    let gap = select(vec![Gap::RunAfter, Gap::Shift, Gap::Skip]);
    let overlap = select(vec![Overlap::First, Overlap::Second, Overlap::Both]);
    (gap, overlap).prop_map(|(gap, overlap)| DstPolicy { gap, overlap })
}

fn unit() -> impl Strategy<Value = Unit> {
    select(vec![Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month, Unit::Year])
}

/// Every kind that is not limited to a number of firings.
fn endless() -> impl Strategy<Value = Schedule> {
    let cron = select(vec!["0 0 2 * * ?", "0 0/5 9-17 ? * MON-FRI", "0 15 10 LW * ?", "@UNIX 0 0 13 * FRI"]);
    let rule = select(vec!["FREQ=DAILY", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=HOURLY;UNTIL=20300101"]);
    prop_oneof![
        (cron, zone(), dst()).prop_map(|(text, zone, dst)| {
            CronSchedule::new(text.parse().unwrap(), zone).with_dst(dst).into()
        }),
        (rule, zone(), dst()).prop_map(|(text, zone, dst)| {
            RecurrenceSchedule::new(text.parse().unwrap(), zone).with_dst(dst).into()
        }),
        (1..u32::MAX, unit(), zone(), any::<[bool; 3]>()).prop_map(
            |(every, unit, zone, [keep, skip, as_quartz])| {
                CalendarIntervalSchedule::new(every, unit, zone)
                    .preserve_hour(keep)
                    .skip_missing_hour(skip)
                    .as_quartz(as_quartz)
                    .into()
            }
        ),
        (1..86_400_u64, zone(), [time_of_day(), time_of_day()], weekdays(), any::<(u32, bool)>()).prop_map(
            |(every, zone, [from, to], days, (count, as_quartz))| {
                DailySchedule::new(Duration::from_secs(every), zone)
                    .from(from)
                    .to(to)
                    .on(&days)
                    .repeat_per_day(count)
                    .as_quartz(as_quartz)
                    .into()
            }
        ),
    ]
}

fn rule() -> impl Strategy<Value = TriggerBuilder> {
    let counted = (1..1_000_000_000_u64, any::<u32>());
    prop_oneof![
        Just(Trigger::now()),
        counted.prop_map(|(millis, count)| Trigger::every(Duration::from_millis(millis)).repeat(count)),
        (1..1_000_000_000_u64).prop_map(|millis| Trigger::every(Duration::from_millis(millis))),
        endless().prop_map(Trigger::scheduled),
        prop::collection::vec(endless(), 1..4).prop_map(|all| Trigger::scheduled(UnionSchedule::new(all))),
    ]
}

fn misfire() -> impl Strategy<Value = Misfire> {
    select(vec![
        Misfire::Smart,
        Misfire::Ignore,
        Misfire::FireNow,
        Misfire::Skip,
        Misfire::NextWithRemainingCount,
    ])
}

fn trigger() -> impl Strategy<Value = Trigger> {
    (rule(), instant(), prop::option::of("[a-zA-Zé ]{1,9}"), any::<i32>(), misfire(), any::<Option<i64>>())
        .prop_map(|(trigger, start, text, priority, misfire, number)| {
            let mut trigger = trigger.name("group/name").for_job("job").priority(priority).misfire(misfire);
            if let Some(text) = text {
                trigger = trigger.description(text.clone()).calendar(text).with("number", number);
            }
            trigger.build(start).unwrap()
        })
}

fn exclusion() -> impl Strategy<Value = Exclusion> {
    let date =
        (0..30_000_u64).prop_map(|day| NaiveDate::from_ymd_opt(1990, 1, 1).unwrap() + chrono::Days::new(day));
    prop_oneof![
        Just(Exclusion::Nothing),
        prop::collection::vec((1..=12_u32, 1..=28_u32), 0..4).prop_map(Exclusion::annual),
        prop::collection::vec(date, 0..4).prop_map(Exclusion::holidays),
        prop::collection::vec(1..=31_u32, 0..4).prop_map(Exclusion::monthly),
        weekdays().prop_map(|days| Exclusion::weekly(&days)),
        (time_of_day(), time_of_day()).prop_map(|(a, b)| Exclusion::daily(a.min(b), a.max(b))),
        (time_of_day(), time_of_day()).prop_map(|(a, b)| Exclusion::all_but(a.min(b), a.max(b))),
        Just(Exclusion::cron("* * 8-17 ? * *").unwrap()),
    ]
}

fn calendar() -> impl Strategy<Value = StandardCalendar> {
    let one = || (exclusion(), zone()).prop_map(|(exclusion, zone)| StandardCalendar::new(exclusion, zone));
    prop_oneof![one(), (one(), one()).prop_map(|(one, base)| one.based_on(base).described("both"))]
}

proptest! {
    #[test]
    fn triggers(trigger in trigger(), after in instant()) {
        let stored = serde_json::to_string(&trigger).unwrap();
        let read: Trigger = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&read, &trigger, "{}", stored);
        prop_assert_eq!(read.fire_time_after(after), trigger.fire_time_after(after));
        let progress = trigger.first(None);
        let stored = serde_json::to_string(&progress).unwrap();
        prop_assert_eq!(serde_json::from_str::<Progress>(&stored).unwrap(), progress);
    }

    #[test]
    fn calendars(calendar in calendar(), at in instant()) {
        let stored = serde_json::to_string(&calendar as &dyn Calendar).unwrap();
        let read: Box<dyn Calendar> = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(read.includes(at), calendar.includes(at));
        prop_assert_eq!(read.next_included(at), calendar.next_included(at));
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), stored);
        if let Some(next) = calendar.next_included(at) {
            prop_assert!(next >= at && calendar.includes(next));
        }
    }
}

/// A record as the first version wrote it, with a field that a later one may add.
#[test]
fn records_of_other_versions() {
    let record = r#"{"v":1,"key":["DEFAULT","nightly"],"job":["DEFAULT","bill"],"start":"2026-01-01T00:00:00Z","priority":5,"colour":"blue",
        "schedule":{"kind":"cron","expression":"0 0 2 * * ?","zone":"Europe/Berlin","mood":3}}"#;
    let trigger: Trigger = serde_json::from_str(record).unwrap();
    let expected = Trigger::cron("0 0 2 * * ?").time_zone("Europe/Berlin").name("nightly").for_job("bill");
    assert_eq!(trigger, expected.build(trigger.start()).unwrap());

    let newer =
        serde_json::from_str::<Trigger>(&record.replace("\"v\":1", "\"v\":2")).unwrap_err().to_string();
    assert!(newer.contains("the record has version 2 and this program reads up to 1; upgrade it"), "{newer}");
    let unknown =
        serde_json::from_str::<Trigger>(&record.replace("Berlin", "Berlim")).unwrap_err().to_string();
    assert!(unknown.contains("did you mean `Europe/Berlin`?"), "{unknown}");
    let wrong = serde_json::from_str::<Trigger>(&record.replace("0 0 2", "0 0 25")).unwrap_err().to_string();
    assert!(wrong.contains("hour field has `25` at column 5; use 0-23"), "{wrong}");
    let tag = serde_json::from_str::<Box<dyn Calendar>>(r#"{"type":"moon","v":1}"#).unwrap_err().to_string();
    assert!(tag.contains("unknown variant `moon`"), "{tag}");
}

#[test]
fn jobs() {
    let backoff = Backoff::exponential(Duration::from_secs(15), Duration::from_secs(3_600)).unwrap();
    let detail = JobDetail::builder(JobKey::new("bill").unwrap(), "bill")
        .data(JobData::new().with("region", "eu"))
        .timeout(Duration::from_millis(1500))
        .retry(RetryPolicy::new(3, backoff.clone()))
        .durable(true)
        .build();
    let stored = serde_json::to_string(&detail).unwrap();
    assert_eq!(serde_json::from_str::<JobDetail>(&stored).unwrap(), detail, "{stored}");
    assert!(stored.contains("\"v\":1"));
    assert_eq!(detail.to_builder().build(), detail);
    assert_ne!(detail.to_builder().retry(RetryPolicy::new(4, backoff)).build(), detail);
}

#[test]
fn a_job_without_a_retry_policy_stores_none() {
    let plain = JobDetail::builder(JobKey::new("bill").unwrap(), "bill").build();
    let stored = serde_json::to_string(&plain).unwrap();
    assert!(!stored.contains("retry"), "{stored}");
    assert_eq!(serde_json::from_str::<JobDetail>(&stored).unwrap().retry(), None);
}
