//! The view of the program: a live table in a terminal, and totals every two seconds in a pipe or a file.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{IsTerminal, Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use scheduler_core::JobKey;
use scheduler_core::scheduler::{Event, Events, WeakScheduler};
use scheduler_core::store::TriggerQuery;
use scheduler_core::time::{Clock, SystemClock};

use crate::args::Workspace;
use crate::out;

/// Between two tables.
const REFRESH: Duration = Duration::from_millis(200);

/// Between two sums.
const SUM_UP: Duration = Duration::from_secs(2);

/// The jobs that do not succeed here, and why.
pub(crate) const ON_PURPOSE: [(&str, &str); 2] =
    [("audit", "takes longer than its timeout"), ("load_rates", "fails at a mistake in its table")];

/// Behind the failure of such a job.
fn purpose(job: &JobKey) -> &'static str {
    if ON_PURPOSE.iter().any(|(name, _)| *name == job.name()) { " (on purpose)" } else { "" }
}

/// How many runs ended in which way.
#[derive(Default)]
pub(crate) struct Counts(BTreeMap<&'static str, usize>);

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let parts: Vec<_> = self.0.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// What is known about one job.
#[derive(Default)]
struct Row {
    schedule: String,
    runs: usize,
    running: usize,
    started: Option<DateTime<Utc>>,
    late: Option<chrono::TimeDelta>,
    took: Option<Duration>,
    outcome: &'static str,
    failure: Option<String>,
    next: Option<DateTime<Utc>>,
}

/// The state of the screen.
pub(crate) struct View {
    workspace: Arc<Workspace>,
    rows: BTreeMap<JobKey, Row>,
    counts: Counts,
    /// How many runs of a job have ended in which way since the last sums, and how the last of them failed.
    recent: BTreeMap<(JobKey, &'static str), (usize, Option<String>)>,
    live: bool,
    drawn: usize,
    begun: DateTime<Utc>,
}

impl View {
    /// An empty table.
    pub(crate) fn new(workspace: Arc<Workspace>) -> Self {
        let (rows, recent) = (BTreeMap::new(), BTreeMap::new());
        let (counts, live) = (Counts::default(), stdout().is_terminal());
        Self { workspace, rows, counts, recent, live, drawn: 0, begun: SystemClock.now() }
    }

    /// Shows events until the scheduler is gone, and returns the account.
    pub(crate) async fn show(mut self, mut events: Events, scheduler: WeakScheduler) -> Counts {
        let mut refresh = tokio::time::interval(if self.live { REFRESH } else { SUM_UP });
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.note(event),
                    None => break,
                },
                _ = refresh.tick() => self.refresh(&scheduler).await,
            }
        }
        if self.live {
            self.draw();
        } else {
            self.sum_up();
        }
        self.counts
    }

    async fn refresh(&mut self, scheduler: &WeakScheduler) {
        if self.live {
            self.look_up(scheduler).await;
            self.draw();
        } else {
            self.sum_up();
        }
    }

    /// A line for each job and outcome since the last time.
    fn sum_up(&mut self) {
        let time = SystemClock.now().with_timezone(&Local).format("%H:%M:%S");
        for ((job, outcome), (count, failure)) in std::mem::take(&mut self.recent) {
            let detail = failure.map(|text| format!("{}: {text}", purpose(&job))).unwrap_or_default();
            out::line(&format!("{time} {:<18} {count:>4} {outcome}{detail}", job.name()));
        }
    }

    /// Schedules in words and next fire times.
    async fn look_up(&mut self, scheduler: &WeakScheduler) {
        let Some(scheduler) = scheduler.upgrade() else { return };
        let Ok(triggers) = scheduler.all_triggers(TriggerQuery::default()).await else { return };
        for status in
            triggers.iter().filter(|status| status.trigger.key().name() == status.trigger.job().name())
        {
            let row = self.rows.entry(status.trigger.job().clone()).or_default();
            row.schedule = status.trigger.schedule().to_string();
            row.next = status.progress.next;
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Fired { job, scheduled, fired, .. } => {
                let row = self.rows.entry(job).or_default();
                row.running += 1;
                row.started = Some(fired);
                row.late = Some(fired - scheduled);
            }
            Event::Ended { job, took, outcome, failure, .. } => {
                *self.counts.0.entry(outcome).or_default() += 1;
                let row = self.rows.entry(job.clone()).or_default();
                row.running = row.running.saturating_sub(1);
                row.runs += 1;
                (row.took, row.outcome, row.failure) = (Some(took), outcome, failure.clone());
                let (count, last) = self.recent.entry((job, outcome)).or_default();
                *count += 1;
                *last = failure;
            }
            _ => {}
        }
    }

    fn draw(&mut self) {
        let mut lines = vec![self.progress()];
        lines.push(format!(
            "{:<18} {:<30} {:>5} {:<9} {:>9} {:<11} {:<9} {:>8}",
            "JOB", "SCHEDULE", "RUNS", "LAST RUN", "TOOK", "OUTCOME", "NEXT", "LATE"
        ));
        for (job, row) in &self.rows {
            lines.push(row.line(job));
            lines.extend(row.failure.iter().map(|failure| format!("   {}: {failure}", purpose(job))));
        }
        let mut out = stdout().lock();
        let up = if self.drawn > 0 { format!("\x1b[{}A\r", self.drawn) } else { String::new() };
        let body: String = lines.iter().map(|line| format!("{}\x1b[K\n", clip(line))).collect();
        // A terminal that has gone away is no reason to stop the work.
        write!(out, "{up}{body}\x1b[J").and_then(|()| out.flush()).ok();
        self.drawn = lines.len();
    }

    fn progress(&self) -> String {
        let passed =
            (SystemClock.now() - self.begun).to_std().unwrap_or_default().min(self.workspace.run_for);
        let share = passed.as_secs_f64() / self.workspace.run_for.as_secs_f64();
        let full = (share * 30.0) as usize;
        format!(
            "[{}{}] {:.0?} of {:?}, Ctrl-C stops",
            "#".repeat(full),
            "-".repeat(30 - full),
            passed,
            self.workspace.run_for
        )
    }
}

impl Row {
    fn line(&self, job: &JobKey) -> String {
        let time =
            |at: Option<DateTime<Utc>>| at.map(|at| at.with_timezone(&Local).format("%H:%M:%S").to_string());
        let outcome = if self.running > 0 {
            "▶ running".to_owned()
        } else {
            format!("{} {}", symbol(self.outcome), self.outcome)
        };
        format!(
            "{:<18} {:<30} {:>5} {:<9} {:>9} {:<11} {:<9} {:>8}",
            job.name(),
            if self.schedule.is_empty() { "on demand" } else { &self.schedule },
            self.runs,
            time(self.started).unwrap_or_default(),
            self.took.map(|took| format!("{took:.1?}")).unwrap_or_default(),
            outcome,
            time(self.next).unwrap_or_default(),
            self.late
                .map(|late| format!("{:.1}ms", late.num_microseconds().unwrap_or_default() as f64 / 1000.0))
                .unwrap_or_default(),
        )
    }
}

fn symbol(outcome: &str) -> &'static str {
    match outcome {
        "" => " ",
        "succeeded" => "✓",
        "timed out" => "⏱",
        "cancelled" => "■",
        _ => "✗",
    }
}

/// A line that fits a terminal of usual width, so that the table can be drawn over itself.
fn clip(line: &str) -> String {
    line.chars().take(118).collect()
}
