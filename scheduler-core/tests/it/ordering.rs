//! The order of services: by what they take, and by what their authors say.

use std::sync::Arc;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::host::{
    Host, HostBuilder, JobQueue, Service, ServiceContext, ServiceDefinition, StopContext, background, hosted,
    start_up,
};
use scheduler_core::job::{JobDefinition, JobDetail, JobResult, State};
use scheduler_core::testing::TestHost;

const NOW: &str = "2026-03-01T00:00:00Z";

type Log = Arc<Mutex<Vec<String>>>;

#[derive(Clone)]
struct Pool;

#[derive(Clone)]
struct Repository;

/// Notes when it starts and stops.
struct Noted(Log);

impl Service for Noted {
    async fn start(&self, context: &ServiceContext) -> JobResult {
        self.0.lock().push(format!("{} starts", context.name()));
        Ok(())
    }

    async fn stop(&self, context: &StopContext) -> JobResult {
        self.0.lock().push(format!("{} stops", context.service().name()));
        Ok(())
    }
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

/// A background service that takes a `T` and says whether the scheduler still takes work when it has stopped.
fn enqueues(log: &Log) -> ServiceDefinition {
    let log = log.clone();
    background("web", move |scheduler: Scheduler, context: ServiceContext| {
        let log = log.clone();
        async move {
            context.stopping().await;
            let taken = scheduler.enqueue(detail("work")).await;
            log.lock().push(format!("web stops, enqueued: {}", taken.is_ok()));
        }
    })
    .into()
}

fn with_scheduler() -> HostBuilder {
    let work = JobDefinition::new(detail("work"), async || {});
    Host::builder().scheduler(Scheduler::builder().register(work))
}

#[tokio::test]
async fn n03_a_service_that_takes_the_scheduler_stops_before_it() {
    let log = Log::default();
    let test = TestHost::start(NOW, with_scheduler().service(enqueues(&log))).await.unwrap();
    test.stop().await.unwrap();
    assert_eq!(*log.lock(), ["web stops, enqueued: true"]);
}

#[tokio::test]
async fn n03_a_service_that_takes_a_queue_stops_before_it() {
    let (log, mails) = (Log::default(), JobQueue::bounded(10).build());
    let noted = log.clone();
    let web = background("web", move |State(mails): State<JobQueue>, context: ServiceContext| {
        let log = noted.clone();
        async move {
            context.stopping().await;
            let taken = mails.enqueue(detail("work")).await;
            log.lock().push(format!("enqueued: {}", taken.is_ok()));
        }
    });
    let work = JobDefinition::new(detail("work"), async || {});
    let builder = Host::builder().register(work).provide(mails.clone()).service(web).queue("mails", mails);
    let test = TestHost::start(NOW, builder).await.unwrap();
    test.stop().await.unwrap();
    // A queue closes in the phase before its stop: what comes then is refused, not lost.
    assert_eq!(log.lock().len(), 1);
}

#[tokio::test]
async fn n03_a_service_that_takes_a_value_outlives_nobody_who_provides_it() {
    let log = Log::default();
    let noted = log.clone();
    // It takes what is made of the pool.
    let poll = background("poll", move |State(_): State<Repository>, context: ServiceContext| {
        let log = noted.clone();
        async move {
            log.lock().push("poll starts".to_owned());
            context.stopping().await;
            log.lock().push("poll stops".to_owned());
        }
    });
    let builder = Host::builder()
        .provide(Pool)
        .provide_with(|State(Pool): State<Pool>| Repository)
        .service(poll)
        .service(hosted("pool", Noted(log.clone())).provides::<Pool>());
    let test = TestHost::start(NOW, builder).await.unwrap();
    test.stop().await.unwrap();
    assert_eq!(*log.lock(), ["pool starts", "poll starts", "poll stops", "pool stops"]);
}

#[tokio::test]
async fn n03_a_start_up_task_that_takes_the_scheduler_moves_nobody() {
    let log = Log::default();
    let builder = with_scheduler()
        .service(start_up("warm-up", async |_scheduler: Scheduler| {}))
        .service(hosted("cache", Noted(log.clone())).after("warm-up"))
        .service(enqueues(&log));
    let test = TestHost::start(NOW, builder).await.unwrap();
    test.stop().await.unwrap();
    assert_eq!(*log.lock(), ["cache starts", "web stops, enqueued: true", "cache stops"]);
}

#[track_caller]
fn assert_circle(builder: HostBuilder, expected: &[&str]) {
    let error = builder.build().unwrap_err().to_string();
    for part in ["services come after each other: "].iter().chain(expected) {
        assert!(error.contains(part), "`{part}` is not in:\n{error}");
    }
}

#[tokio::test]
async fn n03_a_circle_is_reported_with_the_reason_of_each_step() {
    let log = Log::default();
    let noted = || Noted(log.clone());
    assert_circle(
        Host::builder()
            .provide(Pool)
            .service(background("poll", async |_: State<Pool>, context: ServiceContext| {
                context.stopping().await;
            }))
            .service(hosted("pool", noted()).provides::<Pool>().after("poll"))
            .service(hosted("bystander", noted()).after("pool")),
        &["`poll` comes after `pool`, since it takes `State<", "`pool` comes after `poll`, since it says so"],
    );
    // A job takes the pool, and the pool's service takes the scheduler.
    let provider = background("pool", async |_: Scheduler, context: ServiceContext| context.stopping().await);
    let work = JobDefinition::new(detail("work"), async |_: State<Pool>| {});
    assert_circle(
        Host::builder()
            .provide(Pool)
            .service(provider.provides::<Pool>())
            .scheduler(Scheduler::builder().register(work)),
        &[
            "`pool` comes after `scheduler`, since it takes `Scheduler`",
            "`scheduler` comes after `pool`, since job `work` takes",
        ],
    );
    assert_circle(
        Host::builder().service(hosted("a", noted()).after("b")).service(hosted("b", noted()).after("a")),
        &["`a` comes after `b`", "`b` comes after `a`"],
    );
}
