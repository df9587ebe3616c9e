//! What a builder refuses, records and calls refuse as well; and what becomes of a trigger whose end has passed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Europe::Berlin;
use chrono_tz::Tz;
use scheduler_core::calendar::{Calendar, Exclusion, StandardCalendar};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::run::{Backoff, RetryPolicy};
use scheduler_core::store::Existing;
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::*;
use scheduler_core::{JobKey, Scheduler, SchedulerBuilder, TriggerKey};
use serde::de::DeserializeOwned;

const NOW: &str = "2026-03-01T00:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn build(trigger: TriggerBuilder) -> Result<Trigger, TriggerError> {
    trigger.name("billing/t").for_job("bill").build(at(NOW))
}

fn bill() -> JobDetail {
    JobDetail::builder(JobKey::new("bill").unwrap(), "bill").build()
}

fn builder() -> SchedulerBuilder {
    Scheduler::builder().register(JobDefinition::new(bill(), async |_: JobContext| {}))
}

#[track_caller]
fn refused<T: DeserializeOwned>(record: &str, expected: &str) {
    match serde_json::from_str::<T>(record) {
        Ok(_) => panic!("accepted: {record}"),
        Err(error) => assert!(error.to_string().contains(expected), "missing: {expected}\n{error}\n{record}"),
    }
}

/// Schedules that a builder refuses or cannot make, and the words that say why.
const WRONG_SCHEDULES: [(&str, &str); 15] = [
    (r#"{"kind":"interval","every_ms":0}"#, "the interval is 0s; use at least 1ms"),
    (r#"{"kind":"interval","every_ms":0,"repeat":3}"#, "the interval is 0s; use at least 1ms"),
    (r#"{"kind":"interval","every_ms":18446744073709551615}"#, "is longer than can be counted"),
    (r#"{"kind":"interval","every_ms":-1}"#, "invalid value: integer `-1`"),
    (r#"{"kind":"calendar_interval","every":0,"unit":"day","zone":"UTC"}"#, "the calendar interval is 0"),
    (r#"{"kind":"calendar_interval","every":1,"unit":"day","zone":"Mars"}"#, "Mars"),
    (
        r#"{"kind":"daily","every_seconds":0,"from":"00:00:00","to":"23:59:59","days":[],"zone":"UTC"}"#,
        "is 0s; use at least 1s",
    ),
    (
        r#"{"kind":"daily","every_seconds":86401,"from":"00:00:00","to":"23:59:59","days":[],"zone":"UTC"}"#,
        "use at most 24h",
    ),
    (
        r#"{"kind":"daily","every_seconds":60,"from":"08:00:00.5","to":"23:59:59","days":[],"zone":"UTC"}"#,
        "use whole seconds",
    ),
    (r#"{"kind":"recurrence","rule":"FREQ=DAILY;COUNT=0","zone":"UTC"}"#, "COUNT"),
    (r#"{"kind":"cron","expression":"0 0 25 * * ?","zone":"UTC"}"#, "hour field has `25`"),
    (r#"{"kind":"union","schedules":[]}"#, "the union has no schedule"),
    (r#"{"kind":"union","schedules":[{"kind":"interval","every_ms":0}]}"#, "the interval is 0s"),
    (
        r#"{"kind":"union","schedules":[{"kind":"interval","every_ms":5,"repeat":1}]}"#,
        "limited to a number of firings",
    ),
    (
        r#"{"kind":"union","schedules":[{"kind":"once"},{"kind":"union","schedules":[{"kind":"calendar_interval","every":0,"unit":"day","zone":"UTC"}]}]}"#,
        "the calendar interval is 0",
    ),
];

#[test]
fn t24_records_of_wrong_schedules_are_errors() {
    for (record, expected) in WRONG_SCHEDULES {
        refused::<Schedule>(record, expected);
        let trigger = format!(
            r#"{{"v":1,"key":["billing","t"],"job":["DEFAULT","bill"],"start":"2026-01-01T00:00:00Z","priority":5,"schedule":{record}}}"#
        );
        refused::<Trigger>(&trigger, expected);
        refused::<Trigger>(&trigger, "trigger `billing/t`: `schedule`: ");
    }
}

#[test]
fn t24_a_wrong_schedule_names_its_place_in_each_union_around_it() {
    for (inner, expected) in WRONG_SCHEDULES {
        let union = format!(r#"{{"kind":"union","schedules":[{{"kind":"once"}},{inner}]}}"#);
        let outer = format!(r#"{{"kind":"union","schedules":[{union}]}}"#);
        refused::<Schedule>(&union, "`schedules[1]` of the union: ");
        refused::<Schedule>(&outer, "`schedules[0]` of the union: `schedules[1]` of the union: ");
        refused::<Schedule>(&outer, expected);
    }
    let none = CalendarIntervalSchedule::new(0, Unit::Day, Tz::UTC).into();
    let inner = UnionSchedule::new([Schedule::Once, none]).into();
    let error = build(Trigger::scheduled(UnionSchedule::new([inner]))).unwrap_err().to_string();
    let place = "trigger `billing/t`: `schedules[0]` of the union: `schedules[1]` of the union: ";
    assert!(error.starts_with(place) && error.contains("the calendar interval is 0"), "{error}");
}

#[test]
fn t24_sound_schedules_are_read_as_they_were_written() {
    let cron = || Trigger::cron("0 0 9 ? * MON-FRI").time_zone("Europe/Berlin");
    for builder in [
        cron(),
        Trigger::every(Duration::from_millis((1 << 40) + 1)),
        Trigger::rrule("FREQ=DAILY;COUNT=4294967295"),
    ] {
        let trigger = build(builder).unwrap();
        let union = UnionSchedule::new([Schedule::Once, build(cron()).unwrap().schedule().clone()]);
        for trigger in [build(Trigger::scheduled(union)).unwrap(), trigger] {
            let record = serde_json::to_string(&trigger).unwrap();
            assert_eq!(serde_json::from_str::<Trigger>(&record).unwrap(), trigger, "{record}");
        }
    }
}

#[test]
fn t24_records_of_wrong_triggers_name_the_trigger() {
    let with = |more: &str| {
        format!(
            r#"{{"v":1,"key":["billing","t"],"job":["DEFAULT","bill"],"start":"2026-01-01T00:00:00Z","priority":5,{more}"schedule":{{"kind":"once"}}}}"#
        )
    };
    assert!(serde_json::from_str::<Trigger>(&with("")).is_ok());
    for (more, expected) in [
        (r#""end":"2025-12-31T00:00:00Z","#, "trigger `billing/t`: ends at 2025-12-31"),
        (r#""calendar":"","#, "trigger `billing/t`: `calendar` is empty"),
        (r#""queue":"","#, "trigger `billing/t`: `queue` is empty"),
    ] {
        refused::<Trigger>(&with(more), expected);
    }
}

#[test]
fn t24_records_of_wrong_calendars_are_errors() {
    for (exclusion, expected) in [
        (r#"{"type":"annual","days":[[13,45]]}"#, "no year has a day 13-45"),
        (r#"{"type":"annual","days":[[2,30]]}"#, "no year has a day 2-30"),
        (r#"{"type":"annual","days":[[0,1]]}"#, "no year has a day 0-1"),
        (r#"{"type":"monthly","days":[0]}"#, "no month has a day 0"),
        (r#"{"type":"monthly","days":[32]}"#, "no month has a day 32"),
        (r#"{"type":"weekly","days":["Mon","Tue","Wed","Thu","Fri","Sat","Sun"]}"#, "leaves out all time"),
        (r#"{"type":"daily","from":"00:00:00","to":"23:59:59.999"}"#, "leaves out all time"),
        (r#"{"type":"cron","expression":"* * * * * ?"}"#, "leaves out all time"),
    ] {
        refused::<Exclusion>(exclusion, expected);
        let calendar = format!(r#"{{"v":1,"exclusion":{exclusion},"zone":"UTC"}}"#);
        refused::<StandardCalendar>(&calendar, expected);
        let base = format!(
            r#"{{"type":"standard","v":1,"exclusion":{{"type":"nothing"}},"zone":"UTC","base":{{"type":"standard",{}}}"#,
            &calendar[1..]
        );
        refused::<Box<dyn Calendar>>(&base, expected);
    }
    let leap_day = r#"{"type":"annual","days":[[2,29],[12,31]]}"#;
    assert!(serde_json::from_str::<Exclusion>(leap_day).is_ok());
}

#[test]
fn t24_a_record_of_a_job_without_time_is_an_error() {
    let record = r#"{"v":1,"key":["DEFAULT","bill"],"job_type":"bill","timeout":{"secs":0,"nanos":0}}"#;
    refused::<JobDetail>(record, "job `bill`: the timeout is 0s; use at least 1ms");
    let hasty = record.replace("\"timeout\":", "\"retry\":{\"max\":1,\"backoff\":{\"fixed\":") + "}}";
    refused::<JobDetail>(&hasty, "job `bill`: a delay of 0ns between attempts");
}

/// The largest numbers that a record can have are no problem for arithmetic.
#[test]
fn t24_extreme_records_are_computed_without_a_panic() {
    let extremes = ["-262143-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "+262142-12-31T23:59:59Z"];
    let schedules = [
        r#"{"kind":"once"}"#,
        r#"{"kind":"interval","every_ms":1}"#,
        r#"{"kind":"interval","every_ms":9223372036854775807,"repeat":4294967295}"#,
        r#"{"kind":"calendar_interval","every":4294967295,"unit":"year","zone":"Europe/Berlin"}"#,
        r#"{"kind":"calendar_interval","every":4294967295,"unit":"hour","zone":"Europe/Berlin"}"#,
        r#"{"kind":"daily","every_seconds":86400,"from":"23:59:59","to":"00:00:00","days":[],"zone":"Pacific/Apia","repeat":4294967295,"per_day":true}"#,
        r#"{"kind":"cron","expression":"* * * * * ?","zone":"Pacific/Apia"}"#,
        r#"{"kind":"recurrence","rule":"FREQ=YEARLY;INTERVAL=4000000000","zone":"UTC"}"#,
    ];
    for schedule in schedules {
        for start in extremes {
            let record = format!(
                r#"{{"key":["g","t"],"job":["g","j"],"start":"{start}","priority":5,"schedule":{schedule}}}"#
            );
            let Ok(trigger) = serde_json::from_str::<Trigger>(&record) else { continue };
            for next in extremes.map(at) {
                let progress = Progress { next: Some(next), fired: u64::MAX, ..Progress::default() };
                trigger.fired(&progress, None);
                for now in extremes.map(at) {
                    trigger.misfired(&progress, now, None);
                    trigger.fire_time_after(now);
                    trigger.never_fires(&trigger.first(None), now);
                }
            }
        }
    }
}

#[test]
fn t22_a_builder_refuses_fractions() {
    let daily = |every: u64| Trigger::scheduled(DailySchedule::new(Duration::from_millis(every), Tz::UTC));
    let from = DailySchedule::new(Duration::from_secs(60), Tz::UTC).from("08:00:00.5".parse().unwrap());
    for (trigger, expected) in [
        (daily(1500), "the interval of a day is 1s500ms; use whole seconds"),
        (daily(999), "the interval of a day is 999ms; use at least 1s"),
        (daily(86_400_001), "use at most 24h"),
        (Trigger::scheduled(from), "the window begins at 08:00:00.500; use whole seconds"),
        (
            Trigger::scheduled(UnionSchedule::new([DailySchedule::new(
                Duration::from_millis(1500),
                Tz::UTC,
            )
            .into()])),
            "use whole seconds",
        ),
        (
            Trigger::every(Duration::from_micros(1500)),
            "the interval 1ms500us has a fraction of a millisecond",
        ),
        (Trigger::every(Duration::from_micros(500)), "the interval is 500us; use at least 1ms"),
        (Trigger::every(Duration::MAX), "is longer than can be counted"),
        (Trigger::now().calendar(""), "`calendar` is empty"),
        (Trigger::now().queue(""), "`queue` is empty"),
    ] {
        let error = build(trigger).unwrap_err().to_string();
        assert!(error.starts_with("trigger `billing/t`: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn m1_local_times_of_a_builder() {
    let local = |text: &str| text.parse().unwrap();
    let berlin = |trigger: TriggerBuilder| build(trigger.in_zone(Berlin)).unwrap();
    for (civil, instant) in [
        ("2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
        // Clocks skip the first and show the second twice.
        ("2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
    ] {
        assert_eq!(berlin(Trigger::at_local(local(civil))).start(), at(instant));
        assert_eq!(berlin(Trigger::cron("0 0 2 * * ?").start_at_local(local(civil))).start(), at(instant));
        let ended = berlin(Trigger::every(Duration::from_secs(60)).end_at_local(local(civil)));
        assert_eq!(ended.end(), Some(at(instant)));
    }
    let own_zone = Trigger::scheduled(CronSchedule::new("0 0 2 * * ?".parse().unwrap(), Berlin));
    let started = build(own_zone.start_at_local(local("2026-07-01T12:00:00"))).unwrap();
    assert_eq!(started.start(), at("2026-07-01T10:00:00Z"));
    let without = build(Trigger::at_local(local("2026-07-01T12:00:00"))).unwrap_err();
    assert!(without.to_string().contains("is a local time; set `time_zone`"), "{without}");
    let useless = build(Trigger::at(at(NOW)).in_zone(Berlin)).unwrap_err();
    assert!(useless.to_string().contains("`time_zone` means nothing"), "{useless}");
    let unknown = build(Trigger::at_local(local("2026-07-01T12:00:00")).time_zone("Berlin")).unwrap_err();
    assert_eq!(unknown.problems().len(), 1, "{unknown}");
}

fn kinds() -> Vec<(&'static str, TriggerBuilder)> {
    let union = || UnionSchedule::new([CronSchedule::new("0 0 * * * ?".parse().unwrap(), Tz::UTC).into()]);
    vec![
        ("once", Trigger::now()),
        ("interval", Trigger::every(Duration::from_secs(3600))),
        ("interval with a count", Trigger::every(Duration::from_secs(3600)).repeat(1000)),
        ("cron", Trigger::cron("0 0 * * * ?")),
        ("calendar interval", Trigger::calendar_interval(1, Unit::Hour)),
        ("daily window", Trigger::scheduled(DailySchedule::new(Duration::from_secs(3600), Tz::UTC))),
        ("rule", Trigger::rrule("FREQ=HOURLY")),
        ("rule with a count", Trigger::rrule("FREQ=HOURLY;COUNT=1000")),
        ("union", Trigger::scheduled(union())),
    ]
}

const POLICIES: [Misfire; 6] = [
    Misfire::Smart,
    Misfire::FireNow,
    Misfire::Skip,
    Misfire::NowWithExistingCount,
    Misfire::NowWithRemainingCount,
    Misfire::NextWithRemainingCount,
];

/// Due at 02:00, looked at when the end has passed, or not.
#[test]
fn t12_a_misfire_after_the_end_is_dropped_by_every_kind_and_policy() {
    let minute = TimeDelta::seconds(60);
    for (kind, trigger) in kinds() {
        for policy in POLICIES {
            let trigger =
                trigger.clone().start_at(at("2026-03-01T02:00:00Z")).end_at(at("2026-03-01T02:30:00Z"));
            let trigger = build(trigger.misfire(policy)).unwrap();
            let first = trigger.first(None);
            assert_eq!(first.next, Some(at("2026-03-01T02:00:00Z")), "{kind}");
            let (late, too_late) = (at("2026-03-01T02:20:00Z"), at("2026-03-01T05:10:00Z"));
            assert_eq!(trigger.misfired(&first, too_late, None).next, None, "{kind} {policy:?}");
            let explained = trigger.explain_misfire(&first, too_late, minute, None);
            assert!(explained.contains("its end has passed"), "{kind} {policy:?}: {explained}");
            let fires = trigger.resolved_misfire(&first) != Misfire::Skip
                && trigger.resolved_misfire(&first) != Misfire::NextWithRemainingCount;
            let next = trigger.misfired(&first, late, None).next;
            assert_eq!(next, fires.then_some(late), "{kind} {policy:?}");
        }
        let ignoring = build(trigger.end_at(at("2026-03-01T02:30:00Z")).misfire(Misfire::Ignore)).unwrap();
        let first = ignoring.first(None);
        assert!(!ignoring.is_misfired(&first, at("2026-03-01T05:10:00Z"), minute), "{kind}");
        assert_eq!(ignoring.misfired(&first, at("2026-03-01T05:10:00Z"), None), first, "{kind}");
    }
}

/// The end of a rule or an expression is an end.
#[test]
fn t12_a_misfire_after_an_until_is_dropped() {
    for (trigger, start, over) in [
        (Trigger::rrule("FREQ=HOURLY;UNTIL=20260301T020000Z"), NOW, "2026-03-01T02:00:00.001Z"),
        (Trigger::rrule("FREQ=DAILY;UNTIL=20260301").in_zone(Berlin), NOW, "2026-03-01T23:00:00Z"),
        (Trigger::cron("0 0 0 * * ? 2026").in_zone(Berlin), NOW, "2026-12-31T23:00:01Z"),
    ] {
        let trigger = build(trigger.start_at(at(start))).unwrap();
        let over = at(over);
        assert!(trigger.is_over(over), "{}", trigger.schedule());
        assert!(!trigger.is_over(over - TimeDelta::seconds(2)), "{}", trigger.schedule());
        assert_eq!(trigger.misfired(&trigger.first(None), over, None).next, None);
    }
}

#[tokio::test]
async fn t11_a_trigger_whose_end_has_passed_is_refused_by_every_kind_and_call() {
    let test = TestScheduler::start(NOW, builder()).await.unwrap();
    let scheduler = test.scheduler();
    let past = |trigger: TriggerBuilder| {
        trigger.start_at(at("2022-01-01T00:00:00Z")).end_at(at("2023-01-01T00:00:00Z"))
    };
    let kept: TriggerKey = "kept".parse().unwrap();
    scheduler.schedule(bill(), Trigger::cron("0 0 2 * * ?").key(kept.clone())).await.unwrap();
    let until = || Trigger::rrule("FREQ=DAILY;UNTIL=20250101").start_at(at("2022-01-01T00:00:00Z"));
    let years = || Trigger::cron("0 0 12 1 1 ? 2024").start_at(at("2022-01-01T00:00:00Z"));
    let ended = kinds().into_iter().map(|(kind, trigger)| (kind, past(trigger)));
    for (kind, trigger) in ended.chain([("until", until()), ("years", years())]) {
        let trigger = trigger.name("t");
        let one = scheduler.schedule(bill(), trigger.clone()).await.unwrap_err();
        let many = scheduler
            .schedule_all([(Invocation::new(bill()), trigger.clone())], Existing::Replace)
            .await
            .unwrap_err();
        let again = scheduler.reschedule(&kept, trigger.clone()).await.unwrap_err();
        let declared = TestScheduler::start(NOW, builder().schedule(bill(), trigger)).await.unwrap_err();
        for error in [one, many, again, declared] {
            let shown = error.to_string();
            assert!(
                shown.contains("trigger `t`") && shown.contains("will never fire: its end has passed"),
                "{kind}: {shown}"
            );
        }
    }
    assert_eq!(scheduler.all_triggers(Default::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn t11_a_time_that_has_passed_fires_at_once_and_a_count_is_no_end() {
    let test = TestScheduler::start(NOW, builder()).await.unwrap();
    let past = at("2022-01-01T00:00:00Z");
    let counted = Trigger::every(Duration::from_secs(60)).repeat(3).start_at(past);
    let backfill = Trigger::cron("0 0 0 1 * ?")
        .start_at(past)
        .end_at(at("2022-04-01T00:00:00Z"))
        .misfire(Misfire::Ignore);
    for trigger in [Trigger::at(past), counted, backfill, Trigger::now().end_at(at(NOW))] {
        test.scheduler().schedule(bill(), trigger).await.unwrap();
    }
}

#[tokio::test]
async fn calendars_that_leave_out_all_time_are_refused() {
    use chrono::Weekday::*;
    let never = || StandardCalendar::new(Exclusion::weekly(&[Mon, Tue, Wed, Thu, Fri, Sat, Sun]), Tz::UTC);
    let above = || StandardCalendar::new(Exclusion::Nothing, Tz::UTC).based_on(never());
    let day = || StandardCalendar::new(Exclusion::annual([(2, 30)]), Tz::UTC);
    let test = TestScheduler::start(NOW, builder()).await.unwrap();
    for (calendar, expected) in [
        (never(), "leaves out all time"),
        (above(), "leaves out all time"),
        (day(), "no year has a day 2-30"),
    ] {
        let put = test.scheduler().put_calendar("c", calendar.clone(), true).await.unwrap_err().to_string();
        assert!(put.contains("calendar `c`: ") && put.contains(expected), "{put}");
        let built = builder().calendar("c", calendar).build().unwrap_err().to_string();
        assert!(built.contains("calendar `c`: ") && built.contains(expected), "{built}");
    }
    assert!(test.scheduler().calendars().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_job_without_time_is_refused() {
    let hasty = bill().to_builder().timeout(Duration::ZERO).build();
    let test = TestScheduler::start(NOW, builder()).await.unwrap();
    let error = test.scheduler().enqueue(hasty.clone()).await.unwrap_err().to_string();
    assert!(error.contains("job `bill`: the timeout is 0s"), "{error}");
    let built = builder().schedule(hasty, Trigger::now().name("t")).build().unwrap_err().to_string();
    assert!(built.contains("job `bill`: the timeout is 0s"), "{built}");
    let backoff = Backoff::Linear { step: Duration::from_secs(2), cap: Duration::from_secs(1) };
    let backwards = bill().to_builder().retry(RetryPolicy::new(1, backoff)).build();
    let error = test.scheduler().enqueue(backwards).await.unwrap_err().to_string();
    assert!(error.contains("job `bill`: a backoff that begins with 2s cannot end with 1s"), "{error}");
    let on_nothing = bill().to_builder().retry(RetryPolicy::default().on([])).build();
    let error = test.scheduler().enqueue(on_nothing).await.unwrap_err().to_string();
    assert!(error.contains("job `bill`: the policy retries no kind of failure"), "{error}");
}

#[tokio::test]
async fn n13_the_next_fire_times_know_the_calendar_and_the_count() {
    let weekends =
        StandardCalendar::new(Exclusion::weekly(&[chrono::Weekday::Sat, chrono::Weekday::Sun]), Berlin);
    let test = TestScheduler::start(NOW, builder().calendar("weekends", weekends)).await.unwrap();
    let scheduler = test.scheduler();
    let times = async |trigger: TriggerBuilder, most| {
        let key: TriggerKey = "t".parse().unwrap();
        scheduler.unschedule(&key).await.unwrap();
        scheduler.schedule(bill(), trigger.key(key.clone())).await.unwrap();
        let times = scheduler.next_fire_times(&key, most).await.unwrap().unwrap();
        times.iter().map(|time| time.format("%m-%dT%H:%M").to_string()).collect::<Vec<_>>()
    };
    let nightly = || Trigger::cron("0 0 2 * * ?").in_zone(Berlin).calendar("weekends");
    let days = ["03-02T01:00", "03-03T01:00", "03-04T01:00", "03-05T01:00", "03-06T01:00", "03-09T01:00"];
    assert_eq!(times(nightly(), 6).await, days);
    assert_eq!(times(nightly(), 0).await, [""; 0]);
    assert_eq!(times(nightly().end_at(at("2026-03-03T12:00:00Z")), 9).await, days[..2]);
    assert_eq!(
        times(Trigger::rrule("FREQ=DAILY;COUNT=3").in_zone(Berlin).calendar("weekends"), 9).await.len(),
        3
    );
    let twice = Trigger::every(Duration::from_secs(3600)).repeat(1).start_at(at("2026-03-01T05:00:00Z"));
    assert_eq!(times(twice, 9).await, ["03-01T05:00", "03-01T06:00"]);
    assert_eq!(scheduler.next_fire_times(&"nobody".parse().unwrap(), 3).await.unwrap(), None);
}
