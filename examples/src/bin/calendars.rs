//! Calendars: times at which nothing runs, on top of any schedule.
//!
//! ```text
//! cargo run --bin calendars
//! ```
//!
//! A report is due at 9:00 and 17:00 every day in Berlin. A calendar leaves out weekends and holidays; in the middle of the
//! month a day off is added while the scheduler runs, and a calendar of the user's own type leaves out full moons. Time
//! is simulated. What you see: the days of December with the runs of each.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use examples::println;
use scheduler_core::calendar::{Calendar, Exclusion, StandardCalendar};
use scheduler_core::prelude::*;
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;
use serde::{Deserialize, Serialize};

const BERLIN: Tz = chrono_tz::Europe::Berlin;

/// Writes a report.
#[job]
async fn report() {}

/// Leaves out the 24 hours around each full moon.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct FullMoons;

impl FullMoons {
    /// The middle of the full moon nearest to `time`, from one that is known.
    fn nearest(time: DateTime<Utc>) -> DateTime<Utc> {
        let known = DateTime::from_timestamp(1_767_434_580, 0).unwrap_or_default();
        let month = TimeDelta::seconds(2_551_443);
        let passed = (time - known).num_seconds() as f64 / month.num_seconds() as f64;
        known + TimeDelta::seconds((passed.round() * month.num_seconds() as f64) as i64)
    }
}

#[typetag::serde(name = "full-moons")]
impl Calendar for FullMoons {
    fn includes(&self, time: DateTime<Utc>) -> bool {
        (time - Self::nearest(time)).abs() > TimeDelta::hours(12)
    }

    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = Self::nearest(time) + TimeDelta::hours(12) + TimeDelta::milliseconds(1);
        Some(if self.includes(time) { time } else { after })
    }
}

fn holidays(days: &[u32]) -> StandardCalendar {
    let dates = days.iter().filter_map(|day| NaiveDate::from_ymd_opt(2026, 12, *day));
    let weekends = StandardCalendar::new(Exclusion::weekly(&[Weekday::Sat, Weekday::Sun]), BERLIN);
    StandardCalendar::new(Exclusion::holidays(dates), BERLIN).based_on(weekends)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let twice = |name: &str, calendar: &str| {
        Trigger::cron("0 0 9,17 * * ?").time_zone("Europe/Berlin").name(name).calendar(calendar)
    };
    let builder = Scheduler::builder()
        .register(report::definition())
        .calendar("workdays", holidays(&[24, 25, 26]))
        .calendar("no-full-moon", FullMoons)
        .schedule(report::with(), twice("office", "workdays"))
        .schedule(report::with(), twice("werewolves", "no-full-moon"));
    let test = TestScheduler::start("2026-11-30T23:00:00Z", builder).await?;
    test.advance_to("2026-12-15T12:00:00Z").await;
    println!("on the 15th, the 16th becomes a day off\n");
    test.scheduler().put_calendar("workdays", holidays(&[16, 24, 25, 26]), true).await?;
    test.advance_to("2026-12-31T23:00:00Z").await;
    let mut days: BTreeMap<NaiveDate, [Vec<String>; 2]> = BTreeMap::new();
    for fired in test.fired() {
        let local = fired.scheduled.with_timezone(&BERLIN);
        let column = usize::from(fired.trigger.name() == "werewolves");
        days.entry(local.date_naive()).or_default()[column].push(local.format("%H:%M").to_string());
    }
    println!("{:<16} {:<16} werewolves", "", "office");
    for day in (1..=31).filter_map(|day| NaiveDate::from_ymd_opt(2026, 12, day)) {
        let [office, wolves] = days.remove(&day).unwrap_or_default();
        println!(
            "{:<16} {:<16} {}",
            day.format("%a %d %B").to_string(),
            office.join(", "),
            wolves.join(", ")
        );
    }
    Ok(())
}
