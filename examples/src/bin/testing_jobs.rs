//! An application with jobs, and the tests of them.
//!
//! ```text
//! cargo run --bin testing_jobs                 # the application: one night of it
//! cargo test -p examples --bin testing_jobs    # its tests: weeks of it, at once
//! ```
//!
//! The application writes an invoice file for each order every night and sends a reminder for what is not paid after two
//! weeks. What you see in `main` is ordinary; the tests at the end of `examples/src/bin/testing_jobs.rs` move time by hand,
//! run one job alone, look at what was enqueued, and let the store fail.

use std::path::PathBuf;
use std::time::Duration;

use examples::println;
use scheduler_core::SchedulerBuilder;
use scheduler_core::prelude::*;
use scheduler_core::scheduler::Event;
use scheduler_core::trigger::Trigger;

/// Where files are written.
#[derive(Debug, Clone)]
struct Folder(PathBuf);

/// Writes an invoice for each order, every night at two in Berlin.
#[job(cron = "0 0 2 * * ?", time_zone = "Europe/Berlin")]
async fn write_invoices(State(folder): State<Folder>, scheduler: Scheduler) -> JobResult {
    for order in std::fs::read_to_string(folder.0.join("orders.txt"))?.lines() {
        std::fs::write(folder.0.join(format!("invoice-{order}.txt")), format!("order {order}: please pay"))?;
        let in_two_weeks =
            Trigger::after(Duration::from_secs(14 * 86_400)).name(&format!("reminders/{order}"));
        scheduler.schedule(remind::with(order.to_owned()), in_two_weeks).await?;
    }
    std::fs::write(folder.0.join("orders.txt"), "")?;
    Ok(())
}

/// Reminds of an invoice that is still there.
#[job]
async fn remind(order: String, State(folder): State<Folder>) -> JobResult {
    let invoice = folder.0.join(format!("invoice-{order}.txt"));
    if invoice.exists() {
        std::fs::write(folder.0.join(format!("reminder-{order}.txt")), "you may have forgotten")?;
    }
    Ok(())
}

fn application(folder: Folder) -> SchedulerBuilder {
    Scheduler::builder().provide(folder).register(write_invoices::definition()).register(remind::definition())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("orders.txt"), "1001\n1002\n")?;
    let scheduler = application(Folder(folder.path().to_owned())).build()?;
    scheduler.start().await?;
    let mut events = scheduler.events();
    scheduler.enqueue(write_invoices::with()).await?;
    while let Some(event) = events.next().await {
        if matches!(event, Event::Ended { .. }) {
            break;
        }
    }
    for entry in std::fs::read_dir(folder.path())? {
        println!("{}", entry?.file_name().to_string_lossy());
    }
    scheduler.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use scheduler_core::store::MemoryJobStore;
    use scheduler_core::testing::{Fault, FaultyStore, TestScheduler, Verb, assert_enqueued, assert_fired};

    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        test: TestScheduler,
    }

    async fn bench(orders: &str) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("orders.txt"), orders).expect("orders");
        let builder = application(Folder(folder.path().to_owned()));
        let test = TestScheduler::start("2026-03-28T12:00:00Z", builder).await.expect("started");
        Bench { folder, test }
    }

    #[tokio::test]
    async fn invoices_are_written_at_two_in_berlin_also_when_clocks_change() {
        let bench = bench("1\n2\n").await;
        bench.test.advance(Duration::from_secs(2 * 86_400)).await;
        // On the 29th there is no 2:00 in Berlin; the job runs right after the gap.
        assert_fired!(bench.test, "write_invoices", at "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z");
        assert!(bench.folder.path().join("invoice-2.txt").exists());
    }

    #[tokio::test]
    async fn who_has_not_paid_is_reminded_after_two_weeks() {
        let bench = bench("1\n2\n").await;
        bench.test.advance(Duration::from_secs(86_400)).await;
        std::fs::remove_file(bench.folder.path().join("invoice-1.txt")).expect("paid");
        bench.test.advance(Duration::from_secs(14 * 86_400)).await;
        assert_fired!(bench.test, "remind", 2);
        assert!(!bench.folder.path().join("reminder-1.txt").exists());
        assert!(bench.folder.path().join("reminder-2.txt").exists());
    }

    #[tokio::test]
    async fn reminders_are_enqueued_with_their_orders() {
        let bench = bench("77\n").await;
        let outcome = bench.test.run_one(write_invoices::with()).await;
        assert!(outcome.is_success());
        assert_enqueued!(bench.test, "remind", "77");
    }

    #[tokio::test]
    async fn a_missing_file_fails_the_run_and_says_which() {
        let bench = bench("").await;
        std::fs::remove_file(bench.folder.path().join("orders.txt")).expect("removed");
        let failure = bench.test.run_one(write_invoices::with()).await.failure().expect("it fails");
        assert!(failure.contains("No such file"), "{failure}");
    }

    #[tokio::test]
    async fn a_store_that_is_away_for_a_night_loses_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("orders.txt"), "1\n").expect("orders");
        let store = FaultyStore::new(MemoryJobStore::new());
        let builder = application(Folder(folder.path().to_owned())).store(store.clone());
        let test = TestScheduler::start("2026-03-10T12:00:00Z", builder).await.expect("started");
        store.inject(Verb::AcquireDue, Fault::Fails, usize::MAX);
        test.advance_to("2026-03-11T06:00:00Z").await;
        assert_fired!(test, "write_invoices", 0);
        store.heal();
        test.advance(Duration::from_secs(60)).await;
        assert_fired!(test, "write_invoices", 1);
    }
}
