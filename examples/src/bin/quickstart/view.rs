//! What the terminal shows: a live table, or one line for each run where the output is no terminal.

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

const REFRESH: Duration = Duration::from_millis(200);

/// How many runs ended in which way.
#[derive(Default)]
pub(crate) struct Counts(BTreeMap<&'static str, usize>);

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    live: bool,
    drawn: usize,
    begun: DateTime<Utc>,
}

impl View {
    /// An empty table.
    pub(crate) fn new(workspace: Arc<Workspace>) -> Self {
        let (rows, counts, live) = (BTreeMap::new(), Counts::default(), stdout().is_terminal());
        Self { workspace, rows, counts, live, drawn: 0, begun: SystemClock.now() }
    }

    /// Shows events until the scheduler is gone, and returns the account.
    pub(crate) async fn show(mut self, mut events: Events, scheduler: WeakScheduler) -> Counts {
        let mut refresh = tokio::time::interval(REFRESH);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.note(event),
                    None => break,
                },
                _ = refresh.tick(), if self.live => {
                    self.look_up(&scheduler).await;
                    self.draw();
                }
            }
        }
        if self.live {
            self.draw();
        }
        self.counts
    }

    /// Schedules in words and next fire times.
    async fn look_up(&mut self, scheduler: &WeakScheduler) {
        let Some(scheduler) = scheduler.upgrade() else { return };
        let Ok(triggers) = scheduler.triggers(TriggerQuery::default()).await else { return };
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
                if !self.live {
                    let detail = failure.map(|text| format!(": {text}")).unwrap_or_default();
                    println!(
                        "{} {job} {outcome} after {took:.1?}{detail}",
                        SystemClock.now().with_timezone(&Local).format("%H:%M:%S%.3f")
                    );
                }
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
            lines.extend(row.failure.iter().map(|failure| format!("    {failure}")));
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
