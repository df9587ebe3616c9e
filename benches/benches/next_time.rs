//! The next fire time and the parser, beside the crates `cron` and `croner`, in one run.
//!
//! ```text
//! cargo bench --bench next_time                     # all of it
//! cargo bench --bench next_time -- 'next/Berlin'    # some of it
//! ```
//!
//! Each call asks for the next time after another one of a thousand instants spread over ten years, so that no cache of a
//! single answer helps. Expressions that a crate cannot read are left out for it. The days of the week count from 1 =
//! Sunday in ours and in `cron`; croner is told to count so too.

use std::hint::black_box;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use scheduler_core::trigger::{DailySchedule, Trigger, Unit};
use scheduler_syntax::DstPolicy;
use scheduler_syntax::cron::CronExpr;
use scheduler_syntax::rrule::RecurrenceRule;

const EXPRESSIONS: [&str; 4] = ["0 0 12 * * ?", "0 0/5 * * * ?", "0 0 0 29 2 ? *", "0 15 10 ? * 6L"];
const IMPOSSIBLE: &str = "0 0 0 31 2 ?";
const RULES: [&str; 3] = ["FREQ=DAILY", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"];
const ZONES: [(&str, Tz); 2] = [("UTC", Tz::UTC), ("Berlin", Tz::Europe__Berlin)];

fn instants() -> Vec<DateTime<Utc>> {
    let first = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default();
    (0..1000).map(|number| first + TimeDelta::seconds(number * 315_361)).collect()
}

fn croner(text: &str) -> Option<croner::Cron> {
    use croner::parser::{CronParser, Seconds, Year};
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Optional)
        .alternative_weekdays(true)
        .build();
    parser.parse(text).ok()
}

/// One question after the other.
fn ask<T, R>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    text: &str,
    times: &[T],
    next: impl Fn(&T) -> R,
) {
    let mut turn = times.iter().cycle();
    group.bench_function(format!("{text}/{name}"), |bencher| {
        bencher.iter(|| turn.next().map(|time| black_box(next(black_box(time)))));
    });
}

fn next(criterion: &mut Criterion) {
    for (zone_name, zone) in ZONES {
        let mut group = criterion.benchmark_group(format!("next/{zone_name}"));
        let instants = instants();
        let local: Vec<DateTime<Tz>> = instants.iter().map(|time| time.with_timezone(&zone)).collect();
        for text in EXPRESSIONS.into_iter().chain([IMPOSSIBLE]) {
            if let Ok(ours) = CronExpr::parse(text) {
                ask(&mut group, "ours", text, &instants, |time| {
                    ours.next_after(*time, zone, DstPolicy::default())
                });
            }
            if let Ok(cron) = text.parse::<cron::Schedule>() {
                ask(&mut group, "cron", text, &local, |time| cron.after(time).next());
            }
            if let Some(croner) = croner(text) {
                ask(&mut group, "croner", text, &local, |time| croner.find_next_occurrence(time, false));
            }
        }
        for text in RULES {
            if let Ok(rule) = RecurrenceRule::parse(text) {
                let start = instants[0];
                ask(&mut group, "ours", text, &instants, |time| {
                    rule.next_after(start, *time, zone, DstPolicy::RFC_5545)
                });
            }
        }
        group.finish();
    }
}

/// Triggers of every kind, from the description to the next fire time.
fn kinds(criterion: &mut Criterion) {
    let (instants, zone) = (instants(), "Europe/Berlin");
    let begin = instants[0] - TimeDelta::days(365);
    let daily = DailySchedule::new(Duration::from_secs(900), Tz::Europe__Berlin);
    let cron = || Trigger::cron("0 15 10 ? * 6L").time_zone(zone);
    let kinds = [
        ("every", Trigger::every(Duration::from_secs(90))),
        ("cron", cron()),
        ("calendar interval", Trigger::calendar_interval(1, Unit::Month).time_zone(zone)),
        ("daily times", Trigger::scheduled(daily)),
        ("rrule", Trigger::rrule("FREQ=MONTHLY;BYDAY=-1FR").time_zone(zone)),
    ];
    let mut group = criterion.benchmark_group("next/kinds");
    for (name, trigger) in kinds {
        let trigger = trigger.name(name).for_job("work").start_at(begin).build(begin).expect("a trigger");
        ask(&mut group, "ours", name, &instants, |time| trigger.fire_time_after(*time));
    }
    group.finish();
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for text in EXPRESSIONS.into_iter().chain([IMPOSSIBLE]) {
        group.bench_function(format!("{text}/ours"), |bencher| {
            bencher.iter(|| CronExpr::parse(black_box(text)));
        });
        if text.parse::<cron::Schedule>().is_ok() {
            group.bench_function(format!("{text}/cron"), |bencher| {
                bencher.iter(|| black_box(text).parse::<cron::Schedule>());
            });
        }
        if croner(text).is_some() {
            group
                .bench_function(format!("{text}/croner"), |bencher| bencher.iter(|| croner(black_box(text))));
        }
    }
    group.finish();
}

criterion_group!(benches, next, kinds, parse);
criterion_main!(benches);
