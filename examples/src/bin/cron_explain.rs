//! What a schedule means: an expression in words, its next fire times, and what clock changes do to it.
//!
//! ```text
//! cargo run --bin cron_explain -- '0 30 2 ? * MON-FRI' Europe/Berlin
//! cargo run --bin cron_explain -- 'FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17' America/New_York --from 2026-10-01T00:00:00Z
//! cargo run --bin cron_explain -- '@unix 0 9 * * 1-5' Asia/Tokyo --count 3
//! ```
//!
//! What you see: the expression in plain English, the next ten fire times with their offsets from UTC, and for the next two
//! changes of clocks in the zone which times they leave out or double, and when the schedule fires then. A mistake is
//! shown at its column, with what to write instead.

use std::process::ExitCode;

use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use clap::{Parser, ValueEnum};
use examples::println;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{
    CronExpr, CronSchedule, DstPolicy, Gap, Overlap, RecurrenceRule, RecurrenceSchedule, Schedule, Trigger,
};

/// Explains a cron expression or a recurrence rule.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// A cron expression, or a rule that begins with FREQ=
    expression: String,
    /// The zone whose wall clock it reads, by its IANA name
    #[arg(default_value = "UTC", value_parser = scheduler_syntax::parse_zone)]
    zone: Tz,
    /// From this moment on, such as 2026-10-01T00:00:00Z; the present unless given
    #[arg(long)]
    from: Option<DateTime<Utc>>,
    /// How many fire times to list
    #[arg(long, default_value_t = 10)]
    count: usize,
    /// What a fixed time does that a day does not have
    #[arg(long)]
    gap: Option<GapChoice>,
    /// What a fixed time does that a day has twice
    #[arg(long)]
    overlap: Option<OverlapChoice>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GapChoice {
    RunAfter,
    Shift,
    Skip,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OverlapChoice {
    First,
    Second,
    Both,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let from = args.from.unwrap_or_else(|| SystemClock.now());
    match args.schedule() {
        Ok(explained) => {
            explained.print(from, &args);
            ExitCode::SUCCESS
        }
        Err(Mistake { column, message }) => {
            eprintln!("{}", args.expression);
            eprintln!("{:>column$}", "^");
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// A schedule and what can be said about it.
struct Explained {
    schedule: Schedule,
    words: String,
    fixed: bool,
}

struct Mistake {
    column: usize,
    message: String,
}

impl Args {
    fn schedule(&self) -> Result<Explained, Mistake> {
        let is_rule = self.expression.trim_start().to_ascii_uppercase();
        if is_rule.starts_with("FREQ=") || is_rule.starts_with("RRULE:") { self.rule() } else { self.cron() }
    }

    fn cron(&self) -> Result<Explained, Mistake> {
        let cron = CronExpr::parse_hashed(&self.expression, "explain/example")
            .map_err(|error| Mistake { column: error.column(), message: error.to_string() })?;
        let (words, fixed) = (cron.describe(), cron.is_fixed_time());
        let schedule = CronSchedule::new(cron, self.zone);
        let dst = self.dst(schedule.dst());
        Ok(Explained { schedule: schedule.with_dst(dst).into(), words, fixed })
    }

    fn rule(&self) -> Result<Explained, Mistake> {
        let rule = RecurrenceRule::parse(&self.expression)
            .map_err(|error| Mistake { column: error.column(), message: error.to_string() })?;
        let (words, fixed) = (format!("by the recurrence rule {rule}"), rule.is_fixed_time());
        let dst = self.dst(DstPolicy::RFC_5545);
        Ok(Explained {
            schedule: RecurrenceSchedule::new(rule, self.zone).with_dst(dst).into(),
            words,
            fixed,
        })
    }

    fn dst(&self, default: DstPolicy) -> DstPolicy {
        let gap = self.gap.map_or(default.gap, |choice| match choice {
            GapChoice::RunAfter => Gap::RunAfter,
            GapChoice::Shift => Gap::Shift,
            GapChoice::Skip => Gap::Skip,
        });
        let overlap = self.overlap.map_or(default.overlap, |choice| match choice {
            OverlapChoice::First => Overlap::First,
            OverlapChoice::Second => Overlap::Second,
            OverlapChoice::Both => Overlap::Both,
        });
        DstPolicy { gap, overlap }
    }
}

impl Explained {
    fn print(&self, from: DateTime<Utc>, args: &Args) {
        println!("{} ({})", self.words, args.zone.name());
        let trigger =
            Trigger::scheduled(self.schedule.clone()).start_at(from).name("explain").for_job("example");
        let trigger = match trigger.build(from) {
            Ok(trigger) => trigger,
            Err(error) => return println!("{error}"),
        };
        let next = |after| trigger.fire_time_after(after);
        let first = trigger.first(None).next;
        println!("\nnext fire times:");
        let mut count = 0;
        for time in std::iter::successors(first, |last| next(*last)).take(args.count) {
            println!("  {}", shown(time, args.zone));
            count += 1;
        }
        if count < args.count {
            println!("  {}", if count == 0 { "none: it never fires" } else { "and no more" });
        }
        if count == 0 {
            return;
        }
        println!(
            "\nclock changes: {}",
            if self.fixed { "it names fixed times of day" } else { "it follows real time" }
        );
        let changes: Vec<_> = changes(args.zone, from).take(2).collect();
        if changes.is_empty() {
            println!("  clocks are not changed in {} in the next two years", args.zone.name());
        }
        for change in changes {
            self.note(change, &trigger, args.zone);
        }
    }

    /// One change, and the fires around it.
    fn note(&self, change: DateTime<Utc>, trigger: &Trigger, zone: Tz) {
        let forward = offset(zone, change) - offset(zone, change - TimeDelta::seconds(1));
        let before = (change - TimeDelta::seconds(1)).with_timezone(&zone) + TimeDelta::seconds(1);
        let local = before.naive_local().format("%A %Y-%m-%d").to_string();
        let old = (before - TimeDelta::seconds(1)).naive_local() + TimeDelta::seconds(1);
        let (kind, span) =
            if forward > TimeDelta::zero() { ("forward", forward) } else { ("back", -forward) };
        println!("  {local}: at {} clocks go {kind} by {} minutes", old.format("%H:%M"), span.num_minutes());
        let (begin, end) = (change - span - TimeDelta::seconds(1), change + span);
        let fires: Vec<_> =
            std::iter::successors(trigger.fire_time_after(begin), |last| trigger.fire_time_after(*last))
                .take_while(|time| *time <= end)
                .map(|time| time.with_timezone(&zone).format("%H:%M:%S %:z").to_string())
                .collect();
        match fires.as_slice() {
            [] => println!("    it does not fire around it"),
            fires if fires.len() <= 6 => println!("    it fires then at {}", fires.join(", ")),
            fires => {
                println!(
                    "    it fires then {} times, from {} to {}",
                    fires.len(),
                    fires[0],
                    fires[fires.len() - 1]
                );
            }
        }
    }
}

fn shown(time: DateTime<Utc>, zone: Tz) -> String {
    time.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S %:z (%Z)").to_string()
}

fn offset(zone: Tz, at: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds(i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()))
}

/// The moments at which clocks are set in the two years after `from`.
fn changes(zone: Tz, from: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    let days = (0..731).map(move |day| from + TimeDelta::days(day));
    days.filter(move |day| offset(zone, *day) != offset(zone, *day + TimeDelta::days(1))).map(move |day| {
        let (mut same, mut at) = (day.timestamp(), (day + TimeDelta::days(1)).timestamp());
        while at - same > 1 {
            let middle = same + (at - same) / 2;
            let middle_time = DateTime::from_timestamp(middle, 0).unwrap_or(day);
            let unchanged = offset(zone, middle_time) == offset(zone, day);
            *(if unchanged { &mut same } else { &mut at }) = middle;
        }
        DateTime::from_timestamp(at, 0).unwrap_or(day)
    })
}
