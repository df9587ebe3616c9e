//! Services that run on one node of those that share a store.

use scheduler_core::host::{FirstTick, every};
use scheduler_core::job::{JobContext, Launcher};
use tokio_util::sync::CancellationToken;

use super::*;

const LEASE: Duration = Duration::from_secs(15);
const BEAT: Duration = Duration::from_secs(5);

/// A node whose service writes down when it begins and ends, with its fence.
fn node(name: &'static str, log: &Log, store: &FaultyStore) -> HostBuilder {
    let log = log.clone();
    let serves = move |stop: CancellationToken, run: JobContext| {
        let log = log.clone();
        async move {
            log.note(format!("{name} begins {}", run.fence()));
            run.clock().sleep(Duration::ZERO).await;
            stop.cancelled().await;
            log.note(format!("{name} ends"));
        }
    };
    Host::builder()
        .scheduler(Scheduler::builder().store(store.clone()).node_name(name))
        .service(background("relay", serves).one_per_cluster())
}

fn store() -> (MemoryJobStore, FaultyStore, FaultyStore) {
    let shared = MemoryJobStore::new();
    let (one, two) = (FaultyStore::new(shared.clone()), FaultyStore::new(shared.clone()));
    (shared, one, two)
}

/// The lines without fences, which have to grow.
fn lines(log: &Log) -> Vec<String> {
    let lines = log.0.lock().clone();
    let fences: Vec<u64> = lines.iter().filter_map(|line| line.split(' ').nth(2)?.parse().ok()).collect();
    assert!(fences.is_sorted_by(|a, b| a < b), "{lines:?}");
    lines.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// A node that is gone from one moment to the next.
async fn kill(bench: Bench) {
    bench.running.abort();
    bench.running.await.unwrap_err();
}

#[tokio::test]
async fn a_service_runs_on_one_node_and_is_handed_over_when_that_stops() {
    let (log, clock, (_, first, second)) = (Log::default(), clock(), store());
    let one = Bench::start(&clock, node("one", &log, &first)).await;
    let two = Bench::start(&clock, node("two", &log, &second)).await;
    one.advance(600).await;
    assert_eq!(lines(&log), ["one begins"], "its lease is renewed");
    assert!(one.handle.health().ready && two.handle.health().ready);
    assert_eq!(two.handle.health().services["relay"], ServiceState::Waiting);
    one.stop().await.unwrap();
    two.advance(1).await;
    assert_eq!(lines(&log), ["one begins", "one ends", "two begins"]);
    assert_eq!(two.handle.health().services["relay"], ServiceState::Running);
    two.stop().await.unwrap();
    assert_eq!(lines(&log), ["one begins", "one ends", "two begins", "two ends"]);
}

#[tokio::test]
async fn a_node_that_dies_is_replaced_within_a_lease_and_a_beat() {
    let (log, clock, (_, first, second)) = (Log::default(), clock(), store());
    let one = Bench::start(&clock, node("one", &log, &first)).await;
    let two = Bench::start(&clock, node("two", &log, &second)).await;
    // Just before a beat, so that its last one is as old as can be.
    two.clock.advance(Duration::from_secs(62)).await;
    first.inject_everywhere(Fault::Fails);
    kill(one).await;
    let dead = clock.monotonic();
    while lines(&log).last().unwrap() != "two begins" {
        assert!(clock.monotonic() - dead < LEASE + BEAT, "{:?}", lines(&log));
        two.advance(1).await;
    }
    two.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_that_cannot_renew_its_lease_stops_before_another_one_begins() {
    let (log, clock, (_, first, second)) = (Log::default(), clock(), store());
    let one = Bench::start(&clock, node("one", &log, &first)).await;
    let two = Bench::start(&clock, node("two", &log, &second)).await;
    two.advance(61).await;
    first.inject(Verb::PutMark, Fault::Fails, usize::MAX);
    for _ in 0..(LEASE + BEAT).as_secs() {
        two.advance(1).await;
        let lines = lines(&log);
        let begins = lines.iter().position(|line| line == "two begins");
        let ends = lines.iter().position(|line| line == "one ends");
        assert!(begins.is_none() || ends < begins, "{lines:?}");
    }
    assert_eq!(lines(&log), ["one begins", "one ends", "two begins"]);
    first.heal();
    two.advance(120).await;
    assert_eq!(lines(&log), ["one begins", "one ends", "two begins"], "the first one waits for its turn");
    two.stop().await.unwrap();
    one.advance(1).await;
    assert_eq!(lines(&log), ["one begins", "one ends", "two begins", "two ends", "one begins"]);
    one.stop().await.unwrap();
}

/// It has its token and does not go by it, so it is dropped.
#[tokio::test]
async fn a_service_that_does_not_stop_is_gone_before_another_node_begins() {
    struct Gone(Log, &'static str);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.note(format!("{} gone", self.1));
        }
    }
    let (log, clock, (_, first, second)) = (Log::default(), clock(), store());
    let deaf = |name: &'static str, store: &FaultyStore| {
        let log = log.clone();
        let serves = move |stop: CancellationToken, run: JobContext| {
            let log = log.clone();
            async move {
                log.note(format!("{name} begins"));
                let _gone = Gone(log, name);
                run.clock().sleep(Duration::from_secs(99_999)).await;
                drop(stop);
            }
        };
        Host::builder()
            .scheduler(Scheduler::builder().store(store.clone()))
            .stop_budget(Duration::from_secs(1))
            .service(background("relay", serves).lease(Duration::from_secs(6)))
    };
    let one = Bench::start(&clock, deaf("one", &first)).await;
    let two = Bench::start(&clock, deaf("two", &second)).await;
    first.inject(Verb::PutMark, Fault::Fails, usize::MAX);
    two.advance(9).await;
    assert_eq!(log.take(), ["one begins", "one gone", "two begins"]);
    one.stop().await.unwrap();
    two.stop().await.unwrap_err();
}

/// The clock of the frozen node stands still until the other one has taken its service over.
#[tokio::test]
async fn a_node_that_was_frozen_does_not_go_on() {
    let (log, (_, first, second)) = (Log::default(), store());
    let (of_frozen, of_heir) = (clock(), clock());
    let ticks = |name: &'static str, store: &FaultyStore| {
        let log = log.clone();
        let tick = move |run: JobContext| {
            let log = log.clone();
            assert!(matches!(run.launcher(), Launcher::Timer { .. }));
            log.note(format!("{name} ticks {}", run.fence()));
            async move { run.clock().sleep(Duration::from_secs(10)).await }
        };
        let timer = every("tick", Duration::from_secs(60), tick).first(FirstTick::AtOnce).one_per_cluster();
        Host::builder().scheduler(Scheduler::builder().store(store.clone())).service(timer)
    };
    let frozen = Bench::start(&of_frozen, ticks("frozen", &first)).await;
    let heir = Bench::start(&of_heir, ticks("heir", &second)).await;
    heir.advance(20).await;
    assert_eq!(lines(&log), ["frozen ticks", "heir ticks"]);
    // Shorter than a lease, since the clock of the heir stands still meanwhile.
    frozen.advance(14).await;
    assert_eq!(lines(&log), ["frozen ticks", "heir ticks"], "it waits for its turn");
    heir.stop().await.unwrap();
    frozen.advance(1).await;
    assert_eq!(lines(&log), ["frozen ticks", "heir ticks", "frozen ticks"]);
    frozen.stop().await.unwrap();
}

/// A renewal whose answer is lost has moved the mark on, and an acquisition has taken it.
#[tokio::test]
async fn an_answer_that_is_lost_costs_nothing() {
    let (log, clock, (_, first, second)) = (Log::default(), clock(), store());
    first.inject(Verb::PutMark, Fault::LosesReply, 1);
    let one = Bench::start(&clock, node("one", &log, &first)).await;
    let two = Bench::start(&clock, node("two", &log, &second)).await;
    one.advance(1).await;
    assert_eq!(lines(&log), ["one begins"]);
    first.inject(Verb::PutMark, Fault::LosesReply, 1);
    two.advance(60).await;
    assert_eq!(lines(&log), ["one begins"]);
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_that_fails_gives_its_turn_up() {
    let (log, clock, (_, first, second)) = (Log::default(), clock(), store());
    let fails = |name: &'static str, store: &FaultyStore| {
        let log = log.clone();
        let serves = move || {
            log.note(format!("{name} begins"));
            async { Err::<(), _>(JobError::new("no route")) }
        };
        let restart = Restart { first: Duration::from_secs(3), ..Restart::default() };
        let service = background("relay", serves).supervise(Supervision::Restart(restart)).one_per_cluster();
        Host::builder().scheduler(Scheduler::builder().store(store.clone())).service(service)
    };
    let one = Bench::start(&clock, fails("one", &first)).await;
    let two = Bench::start(&clock, fails("two", &second)).await;
    two.advance(1).await;
    assert_eq!(log.take(), ["one begins", "two begins"]);
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[test]
fn it_needs_a_scheduler() {
    let service = background("relay", async || {}).one_per_cluster();
    let error = Host::builder().service(service).build().unwrap_err().to_string();
    assert!(error.contains("service `relay` (") && error.contains("needs a `Scheduler`"), "{error}");
}
