//! Tasks that run before the services start: retries, tasks that run once per cluster, nodes that die.

use super::*;

#[tokio::test]
async fn start_up_tasks_come_before_everything_and_are_tried_again() {
    let (log, clock, tries) = (Log::default(), clock(), Arc::new(AtomicUsize::new(0)));
    let (notes, counter) = (log.clone(), tries.clone());
    let migrate = move || {
        notes.note("migrate");
        let failed = counter.fetch_add(1, Ordering::SeqCst) < 2;
        async move { if failed { Err(JobError::new("the database is not up yet")) } else { Ok(()) } }
    };
    let builder = Host::builder()
        .service(hosted("web", Probe::new("web", &log)))
        .service(start_up("migrate", migrate.clone()).attempts(3));
    let bench = Bench::start(&clock, builder).await;
    assert!(!bench.handle.health().ready);
    bench.advance(3).await;
    let lines = log.take();
    let starts = lines.iter().position(|line| line == "web start").unwrap();
    assert_eq!(lines.iter().filter(|line| *line == "migrate").count(), 3);
    assert!(lines.iter().rposition(|line| line == "migrate").unwrap() < starts, "{lines:?}");
    bench.stop().await.unwrap();

    let slow = |context: ServiceContext| async move { context.clock().sleep(Duration::from_secs(99)).await };
    let host = Host::builder().clock(clock.clone());
    let host = host.service(start_up("slow", slow).start_within(Duration::from_secs(2))).build().unwrap();
    let (ended, ()) = tokio::join!(host.run_until(std::future::pending()), async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(3)).await;
    });
    assert!(ended.unwrap_err().to_string().contains("not done within 2s"));
}

#[tokio::test]
async fn a_start_up_task_runs_once_for_all_nodes_and_versions() {
    let (store, clock, runs) = (MemoryJobStore::new(), clock(), Arc::new(Mutex::new(Vec::new())));
    let node = |version: u64| {
        let runs = runs.clone();
        let migrate = move |context: ServiceContext| {
            runs.lock().push(version);
            async move { context.clock().sleep(Duration::from_secs(45)).await }
        };
        Host::builder()
            .scheduler(Scheduler::builder().store(store.clone()))
            .service(start_up("migrate", migrate).once_per_cluster(version))
    };
    let (one, two) = (Bench::start(&clock, node(1)).await, Bench::start(&clock, node(1)).await);
    bench_until(&clock, || one.handle.health().ready && two.handle.health().ready).await;
    assert_eq!(*runs.lock(), [1], "the other node has waited");
    let three = Bench::start(&clock, node(2)).await;
    bench_until(&clock, || three.handle.health().ready).await;
    let old = Bench::start(&clock, node(1)).await;
    bench_until(&clock, || old.handle.health().ready).await;
    assert_eq!(*runs.lock(), [1, 2], "an older version counts as done");
    for bench in [one, two, three, old] {
        bench.stop().await.unwrap();
    }
}

async fn bench_until(clock: &ManualClock, done: impl Fn() -> bool) {
    for _ in 0..120 {
        for _ in 0..50 {
            tokio::task::yield_now().await;
            clock.settle().await;
        }
        if done() {
            return;
        }
        clock.advance(Duration::from_secs(1)).await;
    }
    panic!("not within two minutes");
}

#[tokio::test]
async fn a_dead_node_is_replaced() {
    let (store, clock, runs) = (MemoryJobStore::new(), clock(), Arc::new(AtomicUsize::new(0)));
    let node = || {
        let runs = runs.clone();
        let migrate = move |context: ServiceContext| {
            let first = runs.fetch_add(1, Ordering::SeqCst) == 0;
            async move { context.clock().sleep(Duration::from_secs(if first { 9999 } else { 1 })).await }
        };
        Host::builder()
            .scheduler(Scheduler::builder().store(store.clone()))
            .service(start_up("migrate", migrate).once_per_cluster(1))
    };
    let dies = Bench::start(&clock, node()).await;
    dies.running.abort();
    let heir = Bench::start(&clock, node()).await;
    bench_until(&clock, || heir.handle.health().ready).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    heir.stop().await.unwrap();
}

/// Case H3: the clock of the frozen node stands still until the other one has taken its task over.
#[tokio::test]
async fn h03_a_frozen_node_learns_that_it_has_lost_its_task() {
    let (store, runs) = (MemoryJobStore::new(), Arc::new(Mutex::new(Vec::new())));
    let node = |name: &'static str| {
        let runs = runs.clone();
        let migrate = move |context: ServiceContext| {
            let runs = runs.clone();
            async move {
                let (stop, noted) = (context.stop_token().clone(), runs.clone());
                let helper = tokio::spawn(async move {
                    stop.cancelled().await;
                    noted.lock().push(format!("{name} stopped"));
                });
                runs.lock().push(format!("{name} begins"));
                context.clock().sleep(Duration::from_secs(45)).await;
                runs.lock().push(format!("{name} ends"));
                helper.abort();
            }
        };
        Host::builder()
            .scheduler(Scheduler::builder().store(store.clone()))
            .service(start_up("migrate", migrate).once_per_cluster(1))
    };
    let (of_frozen, of_heir) = (clock(), clock());
    let frozen = Bench::start(&of_frozen, node("frozen")).await;
    let heir = Bench::start(&of_heir, node("heir")).await;
    bench_until(&of_heir, || runs.lock().contains(&"heir begins".to_owned())).await;
    of_frozen.advance(Duration::from_secs(60)).await;
    let error = frozen.stop().await.unwrap_err().to_string();
    assert!(error.contains("another node may have taken over the start-up task `migrate`"), "{error}");
    bench_until(&of_heir, || heir.handle.health().ready).await;
    assert_eq!(*runs.lock(), ["frozen begins", "heir begins", "frozen stopped", "heir ends"]);
    let scheduler = heir.handle.scheduler().unwrap();
    assert!(
        scheduler.all_triggers(TriggerQuery::default()).await.unwrap().is_empty(),
        "case N12: no list shows the mark"
    );
    assert!(scheduler.all_jobs(JobQuery::default()).await.unwrap().is_empty());
    heir.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_up_job_of_the_scheduler_ends_with_a_stop_during_the_start() {
    let (clock, ended) = (ManualClock::at(NOW), Arc::new(AtomicUsize::new(0)));
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let (count, begins) = (ended.clone(), begun.clone());
    let warm = move || {
        begins.fetch_add(1, Ordering::SeqCst);
        let count = Count(count.clone());
        async move {
            std::future::pending::<()>().await;
            drop(count);
        }
    };
    let detail = JobDetail::builder("warm".parse().unwrap(), "warm").build();
    let scheduler = Scheduler::builder()
        .register(JobDefinition::new(detail.clone(), warm))
        .before_start(Invocation::new(detail));
    let host = Host::builder().clock(clock.clone()).scheduler(scheduler).build().unwrap();
    let handle = host.handle();
    let running = tokio::spawn(host.run_until(std::future::pending()));
    while begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    handle.stop();
    running.await.unwrap().unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 1, "the task was aborted");
    assert_eq!(handle.health().scheduler.unwrap().state, scheduler_core::SchedulerState::Shutdown);
}

/// A store that fails once costs neither the task nor its mark.
#[tokio::test]
async fn a_start_up_task_survives_a_store_that_fails() {
    let clock = ManualClock::at(NOW);
    let store = FaultyStore::new(MemoryJobStore::new());
    let runs = Arc::new(AtomicUsize::new(0));
    let builder = || {
        let runs = runs.clone();
        let migrate = move |context: ServiceContext| {
            let runs = runs.clone();
            async move {
                context.clock().sleep(Duration::from_secs(15)).await;
                runs.fetch_add(1, Ordering::SeqCst);
            }
        };
        Host::builder()
            .service(start_up("migrate", migrate).once_per_cluster(1))
            .scheduler(Scheduler::builder().store(store.clone()))
    };
    let bench = Bench::start(&clock, builder()).await;
    bench.advance(5).await;
    store.inject(Verb::Mark, Fault::Fails, 2);
    bench.advance(8).await;
    store.inject(Verb::PutMark, Fault::LosesReply, 1);
    bench.advance(5).await;
    assert!(bench.handle.health().ready, "{:?}", bench.handle.health());
    bench.stop().await.unwrap();
    let again = Bench::start(&clock, builder()).await;
    assert!(again.handle.health().ready, "it is marked as done");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    again.stop().await.unwrap();
}
