//! Code around every call that enqueues.

use std::sync::Arc;

use parking_lot::Mutex;
use scheduler_core::client::{Enqueuing, WhenFull};
use scheduler_core::job::{JobContext, JobDefinition};
use scheduler_core::store::{MemoryJobStore, NewRun, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Client, Error, JobData, Result, Scheduler};

use crate::retrying::{NOW, detail};

/// Notes a tenant, and has the runs of strangers refused.
struct Tenant(&'static str);

impl Enqueuing for Tenant {
    fn enqueuing(&self, run: &mut NewRun) -> Result<()> {
        if run.job.name() == "forbidden" {
            return Err(Error::config(format!("`{}` has no right to it", self.0)));
        }
        let before = run.data.get::<String>("tenant").ok().flatten().unwrap_or_default();
        run.data = run.data.clone().with("tenant", format!("{before}{}", self.0));
        Ok(())
    }
}

type Seen = Arc<Mutex<Vec<String>>>;

fn job(name: &str, seen: &Seen) -> JobDefinition {
    let seen = seen.clone();
    JobDefinition::new(detail(name), move |context: JobContext| {
        let tenant = context.data().get::<String>("tenant").unwrap_or_default();
        seen.lock().push(format!("{} {}", context.job_key(), tenant.unwrap_or_default()));
        async {}
    })
}

#[tokio::test]
async fn every_run_that_is_enqueued_passes_the_hooks() {
    let seen = Seen::default();
    let names = ["one", "many", "hand", "parent", "child", "member", "after"];
    let builder = Scheduler::builder().enqueuing(Tenant("a")).enqueuing(Tenant("b"));
    let builder = names.iter().fold(builder, |builder, name| builder.register(job(name, &seen)));
    let scheduled = job("scheduled", &seen).with_trigger(Trigger::now().name("once"));
    let test = TestScheduler::start(NOW, builder.register(scheduled)).await.unwrap();
    let scheduler = test.scheduler();
    scheduler.enqueue(detail("one")).await.unwrap();
    scheduler.enqueue_all([detail("many")]).await.unwrap();
    scheduler.trigger_job(&"hand".parse().unwrap(), JobData::new()).await.unwrap();
    scheduler.enqueue(detail("parent")).then(scheduler.enqueue(detail("child"))).await.unwrap();
    let batch = scheduler.batch("letters").on_complete(detail("after")).open().await.unwrap();
    batch.add(detail("member")).await.unwrap();
    batch.seal().await.unwrap();
    test.drain().await;
    let mut seen = seen.lock().clone();
    seen.sort_unstable();
    let mut expected: Vec<_> = names.iter().map(|name| format!("{name} ab")).collect();
    expected.push("scheduled ".to_owned());
    expected.sort_unstable();
    assert_eq!(seen, expected, "an occurrence of a trigger is not enqueued");
}

#[tokio::test]
async fn an_error_refuses_the_whole_call() {
    let client = Client::new(MemoryJobStore::new()).enqueuing(Tenant("acme"));
    let error = client.enqueue_all([detail("fine"), detail("forbidden")]).await.unwrap_err().to_string();
    assert!(error.contains("`acme` has no right to it"), "{error}");
    assert!(client.all_runs(RunQuery::default()).await.unwrap().is_empty());
}

/// Puts everything into one queue.
struct Slow;

impl Enqueuing for Slow {
    fn enqueuing(&self, run: &mut NewRun) -> Result<()> {
        run.queue = Some("slow".into());
        Ok(())
    }
}

#[tokio::test]
async fn the_maximum_of_a_chosen_queue_holds() {
    let client = Client::new(MemoryJobStore::new()).enqueuing(Slow).max_waiting("slow", 1, WhenFull::Refuse);
    client.enqueue(detail("work")).await.unwrap();
    assert!(client.enqueue(detail("work")).await.unwrap_err().is_full());
}
