//! The history log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{JobDefinition, JobDetail, JobError};
use scheduler_core::plugin::HistoryLog;
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Matcher, Scheduler, Text};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_history_has_a_line_for_each_step() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .without_time()
        .with_env_filter("scheduler::history=info")
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let detail = |name: &str| JobDetail::builder(name.parse().unwrap(), name).build();
    let minutely = |name: &str| Trigger::every(Duration::from_secs(60)).name(name);
    let fails = async || Err::<(), _>(JobError::new("no route to the bank"));
    let builder = Scheduler::builder()
        .register(JobDefinition::new(detail("pay"), fails).with_trigger(minutely("t")))
        .register(JobDefinition::new(detail("quiet"), async || {}).with_trigger(minutely("quiet")))
        .plugin(
            HistoryLog::new()
                .of_jobs(Matcher::name(Text::is("pay")))
                .of_triggers(Matcher::name(Text::is("t"))),
        );
    let test = TestScheduler::start("2026-03-01T00:00:00Z", builder).await.unwrap();
    test.run_due().await;
    let written = String::from_utf8(lines.0.lock().clone()).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 3, "{written}");
    assert!(
        lines[0]
            .contains("INFO scheduler::history: trigger `t` fired trigger=t job=pay scheduled=2026-03-01"),
        "{written}"
    );
    assert!(
        lines[1].contains("INFO scheduler::history: job `pay` runs for trigger `t` job=pay trigger=t"),
        "{written}"
    );
    assert!(
        lines[2].contains("WARN scheduler::history: job `pay` failed: no route to the bank"),
        "{written}"
    );
}
