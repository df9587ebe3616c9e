//! What an error tells a program: its kind, what it is about, and the chain of its causes (`H17`).

use std::error::Error as StdError;
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::host::{Host, JobQueue};
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::store::{Existing, MemoryJobStore, Selection};
use scheduler_core::testing::{Fault, FaultyStore, Verb};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::{Trigger, TriggerBuilder, TriggerError};
use scheduler_core::{DataError, Error, ErrorKind, InvalidKey, JobData, JobKey, Scheduler, TriggerKey};
use scheduler_syntax::cron::CronError;
use scheduler_syntax::rrule::RuleError;

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

/// The first cause of this type.
#[track_caller]
fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> &'a E {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return found;
        }
        next = error.source();
    }
    panic!("no `{}` is among the causes of: {error}", std::any::type_name::<E>())
}

fn refused(builder: TriggerBuilder) -> Error {
    builder.build(NOW.parse::<DateTime<Utc>>().unwrap()).unwrap_err().into()
}

#[test]
fn h17_a_wrong_trigger_names_itself_and_keeps_the_parsers_error() {
    let error = refused(Trigger::cron("0 0 25 * * ?").name("billing/nightly").for_job("bill"));
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.trigger(), Some(&"billing/nightly".parse::<TriggerKey>().unwrap()));
    assert_eq!(error.job(), Some(&"bill".parse::<JobKey>().unwrap()));
    assert_eq!(cause::<CronError>(&error).column(), 5);
    assert_eq!(cause::<TriggerError>(&error).problems().len(), 1);

    let error = refused(Trigger::rrule("FREQ=SOMETIMES").name("t").for_job("bill"));
    cause::<RuleError>(&error);
    let error = refused(Trigger::now().name("").for_job("bill"));
    assert_eq!(cause::<InvalidKey>(&error).part(), "name");
    let error = refused(Trigger::now().name("t").for_job("bill").time_zone("Europe/Berlyn"));
    cause::<TriggerError>(&error);
}

#[test]
fn h17_a_wrong_name_says_which_part_of_which_text() {
    for (text, part) in [("", "name"), ("/x", "group"), ("a/\0", "name")] {
        let error = Error::from(text.parse::<JobKey>().unwrap_err());
        let invalid = cause::<InvalidKey>(&error);
        assert_eq!(invalid.part(), part, "{text:?}");
        assert!(text.contains(invalid.text()) && error.is_config());
    }
}

#[test]
fn h17_a_build_error_keeps_its_cause_through_every_wrapper() {
    let faulty = || {
        let job = JobDefinition::new(detail("bill"), async || {});
        Scheduler::builder().register(job.with_trigger(Trigger::cron("0 0 25 * * ?")))
    };
    let of_scheduler = faulty().build().unwrap_err();
    let of_host = Host::builder().scheduler(faulty()).build().unwrap_err();
    let hosted: scheduler_core::HostError = of_host.clone().into();
    for error in [&of_scheduler as &(dyn StdError + 'static), &of_host, &hosted] {
        assert_eq!(cause::<CronError>(error).column(), 5);
        assert_eq!(cause::<Error>(error).job(), Some(&"bill".parse().unwrap()));
    }
    let error = Error::from(of_scheduler);
    assert_eq!(cause::<CronError>(&error).column(), 5);
}

/// `main` prints the causes, but no text twice.
#[test]
fn h17_the_printed_chain_says_nothing_twice() {
    let error = refused(Trigger::cron("0 0 25 * * ?").name("t").for_job("bill"));
    assert_eq!(format!("{error:?}"), error.to_string());
    let deep = Error::transient("the store does not answer").caused_by(std::io::Error::other("refused"));
    assert_eq!(format!("{deep:?}"), "the store does not answer\n  caused by: refused");
}

#[tokio::test]
async fn h17_errors_of_the_handle_name_operation_job_and_trigger() {
    let (store, clock) = (FaultyStore::new(MemoryJobStore::new()), ManualClock::at(NOW));
    let known = JobDefinition::new(detail("bill"), async || {});
    let builder = Scheduler::builder().clock(clock).store(store.clone()).register(known);
    let scheduler = builder.build().unwrap();
    let (job, key) = ("bill".parse::<JobKey>().unwrap(), "nightly".parse::<TriggerKey>().unwrap());
    let hourly = || Trigger::every(Duration::from_secs(3600)).name("nightly");

    let unknown = scheduler.schedule(detail("bil"), hourly()).await.unwrap_err();
    assert_eq!((unknown.job(), unknown.operation()), (Some(&"bil".parse().unwrap()), Some("schedule")));
    scheduler.schedule(detail("bill"), hourly()).await.unwrap();
    let twice = scheduler.schedule(detail("bill"), hourly()).await.unwrap_err();
    assert_eq!((twice.kind(), twice.trigger(), twice.job()), (ErrorKind::Conflict, Some(&key), Some(&job)));
    let moved = scheduler.update_trigger(&key, |trigger| trigger.repeat(2)).await.unwrap_err();
    assert_eq!((moved.trigger(), moved.operation()), (Some(&key), Some("update_trigger")));
    let nobody = scheduler.trigger_job(&"bil".parse().unwrap(), JobData::new()).await.unwrap_err();
    assert_eq!((nobody.kind(), nobody.operation()), (ErrorKind::NotFound, Some("trigger_job")));
    let calendar = scheduler.reschedule(&key, hourly().calendar("off")).await.unwrap_err();
    assert_eq!((calendar.kind(), calendar.trigger()), (ErrorKind::NotFound, Some(&key)));
    let idle = scheduler.add_job(detail("bill").to_builder().build(), Existing::Keep).await;
    assert!(idle.is_ok(), "it has a trigger");

    store.inject(Verb::Pause, Fault::Fails, 1);
    let away = scheduler.pause(Selection::All).await.unwrap_err();
    assert_eq!((away.kind(), away.operation(), away.job()), (ErrorKind::Transient, Some("pause"), None));
    store.inject(Verb::Triggers, Fault::Fails, 1);
    let away = scheduler.explain(&key).await.unwrap_err();
    assert_eq!((away.operation(), away.trigger()), (Some("explain"), Some(&key)));
}

/// What serde cannot write.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no such thing"))
    }
}

#[tokio::test]
async fn h17_arguments_that_cannot_be_stored_are_told_with_their_job() {
    let scheduler =
        Scheduler::builder().register(JobDefinition::new(detail("bill"), async || {})).build().unwrap();
    let queue = JobQueue::bounded(1).build();
    let faulty = || Invocation::with_args(detail("bill"), &Unwritable);
    let of_scheduler = scheduler.enqueue(faulty()).await.unwrap_err();
    let of_queue = queue.enqueue(faulty()).await.unwrap_err();
    for error in [of_scheduler, of_queue] {
        assert_eq!((error.job(), error.operation()), (Some(&"bill".parse().unwrap()), Some("enqueue")));
        cause::<DataError>(&error);
        assert!(format!("{error:?}").contains("no such thing"), "{error:?}");
    }
}
