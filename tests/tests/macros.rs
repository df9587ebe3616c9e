//! What `#[job]` and `#[derive(Job)]` make of functions and structs.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use scheduler_core::job::{ExtractError, FromContext, JobDefinition, JobFn};
use scheduler_core::prelude::*;
use scheduler_core::time::{Clock, ManualClock};
use scheduler_core::{JobData, JobKey};
use serde::{Deserialize, Serialize};

type Log = Arc<Mutex<Vec<String>>>;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Mail {
    to: String,
    copies: u8,
}

/// Sends a mail.
///
/// The rest of the comment is for readers of the source.
#[job(group = "mail", name = "mail.send", timeout = "1m30s", durable, disallow_concurrent)]
async fn send(mail: Mail, State(log): State<Log>) -> JobResult {
    log.lock().unwrap().push(format!("{}x{}", mail.to, mail.copies));
    Ok(())
}

#[job(cron = "0 0 2 * * ?", time_zone = "Europe/Berlin")]
async fn nightly(State(log): State<Log>, context: JobContext) {
    log.lock().unwrap().push(context.scheduled_fire_time().to_rfc3339());
}

#[job(every = "20h", blocking)]
fn crunch(State(log): State<Log>) -> Result<(), String> {
    log.lock().unwrap().push("crunched".to_owned());
    Ok(())
}

#[job(every = "1d")]
async fn with_default(mail: Mail, State(log): State<Log>) {
    log.lock().unwrap().push(format!("default {:?}", mail.to));
}

struct Tenant(String);

impl FromContext for Tenant {
    async fn from_context(context: &JobContext) -> Result<Self, ExtractError> {
        let name = context.data().get("tenant").map_err(|error| ExtractError::new(error.to_string()))?;
        name.map(Tenant).ok_or_else(|| ExtractError::new("there is no tenant"))
    }
}

#[job]
async fn many(
    #[extract] tenant: Tenant,
    State(log): State<Log>,
    data: JobData,
    stop: CancellationToken,
    _context: JobContext,
    scheduler: Scheduler,
) -> JobResult {
    log.lock().unwrap().push(format!("{} {} {}", tenant.0, data.entries().len(), stop.is_cancelled()));
    scheduler.enqueue(send::with(Mail { to: tenant.0, copies: 1 })).await?;
    Ok(())
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "report", description = "makes a report")]
struct Report {
    year: u16,
}

impl Report {
    async fn execute(self, State(log): State<Log>) -> JobResult {
        log.lock().unwrap().push(format!("report {}", self.year));
        Ok(())
    }
}

mod shop {
    use super::*;

    /// An argument whose type has the name of one that comes from the run.
    #[derive(Serialize, Deserialize)]
    pub(super) struct Client {
        pub(super) name: String,
    }

    #[job]
    pub(super) async fn greet(
        #[args] client: Client,
        own: scheduler_core::Client,
        State(log): State<Log>,
    ) -> JobResult {
        log.lock().unwrap().push(format!("hello {}", client.name));
        own.enqueue(send::with(Mail { to: client.name, copies: 3 })).await?;
        Ok(())
    }
}

mod elsewhere {
    use scheduler_core as other;

    #[other::job(crate = other)]
    pub(super) async fn renamed() {}
}

async fn discovered(clock: &ManualClock) -> (Scheduler, Log) {
    let log = Log::default();
    let scheduler =
        Scheduler::builder().clock(clock.clone()).provide(log.clone()).discover_jobs().build().unwrap();
    scheduler.start().await.unwrap();
    (scheduler, log)
}

#[tokio::test]
async fn the_function_stays_a_function() {
    let log = Log::default();
    send(Mail { to: "ada".into(), copies: 2 }, State(log.clone())).await.unwrap();
    crunch(State(log.clone())).unwrap();
    assert_eq!(*log.lock().unwrap(), ["adax2", "crunched"]);
}

#[test]
fn the_type_of_the_same_name_tells_everything() {
    assert_eq!((send::NAME, send::key()), ("mail.send", "mail/mail.send".parse::<JobKey>().unwrap()));
    let detail = send::detail();
    assert_eq!(detail.description(), Some("Sends a mail."));
    assert_eq!(detail.timeout(), Some(Duration::from_secs(90)));
    assert!(detail.durable() && detail.disallow_concurrent());
    let invocation = send::with(Mail { to: "ada".into(), copies: 2 });
    assert_eq!(invocation.data().unwrap().get::<u8>("copies").unwrap(), Some(2));
    let place = |definition: JobDefinition| definition.place().file().to_owned();
    assert!(place(<send as JobFn>::definition()).ends_with("macros.rs"));
    assert_eq!(nightly::definition().triggers().len(), 1);
    assert_eq!(elsewhere::renamed::NAME, "renamed");
}

#[tokio::test]
async fn declared_triggers_fire_and_get_default_arguments() {
    let clock = ManualClock::at("2026-03-28T12:00:00Z");
    let (_scheduler, log) = discovered(&clock).await;
    clock.advance(Duration::from_secs(86_400)).await;
    let mut seen = log.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["2026-03-29T01:00:00+00:00", "crunched", "crunched", "default \"\"", "default \"\""]);
}

#[tokio::test]
async fn structs_and_every_kind_of_parameter_run() {
    let clock = ManualClock::at("2026-03-28T12:00:00Z");
    let (scheduler, log) = discovered(&clock).await;
    clock.settle().await;
    log.lock().unwrap().clear();
    scheduler.enqueue(Report { year: 2026 }).await.unwrap();
    scheduler.enqueue(many::with(JobData::new().with("tenant", "acme"))).await.unwrap();
    scheduler.enqueue(shop::greet::with(shop::Client { name: "ada".into() })).await.unwrap();
    clock.settle().await;
    let mut seen = log.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["acme 1 false", "acmex1", "adax3", "hello ada", "report 2026"]);
    assert!(clock.now() < "2026-03-28T12:00:01Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
}
