//! The history log.

use std::time::Duration;

use scheduler_core::job::{JobDefinition, JobDetail, JobError};
use scheduler_core::plugin::HistoryLog;
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Matcher, Scheduler, Text};

use crate::logged;

#[tokio::test]
async fn the_history_has_a_line_for_each_step() {
    logged::listen();
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
    let lines = logged::lines_with(&["scheduler::history", "job=pay"]);
    let written = lines.join("\n");
    assert_eq!(lines.len(), 3, "{written}");
    assert!(lines[0].contains("INFO run{job=pay trigger=t launcher=trigger run="), "{written}");
    assert!(
        lines[0].contains("scheduler::history: trigger `t` fired trigger=t job=pay scheduled=2026-03-01"),
        "{written}"
    );
    assert!(
        lines[1].contains("scheduler::history: job `pay` runs for trigger `t` job=pay trigger=t"),
        "{written}"
    );
    assert!(lines[2].contains("scheduler::history: job `pay` failed: no route to the bank"), "{written}");
}
