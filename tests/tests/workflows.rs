//! Workflows, as a program with `#[job]` uses them.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;

use parking_lot::Mutex;
use scheduler_core::client::OnFailure;
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::run::{
    BatchCounts, Condition, Limit, OnConflict, RetryPolicy, RunEnd, RunId, RunState, Unique,
};
use scheduler_core::scheduler::ThisBatch;
use scheduler_core::store::{RunChange, RunEdit, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::{DataError, JobData};
use serde::{Deserialize, Serialize};

const NOW: &str = "2026-03-01T00:00:00Z";

/// What ran, in order.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<Vec<String>>>);

impl Ran {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    fn sorted(&self) -> Vec<String> {
        let mut ran = std::mem::take(&mut *self.0.lock());
        ran.sort();
        ran
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Page {
    url: String,
    words: Vec<String>,
}

#[job(output, retry(max = 0))]
async fn fetch(url: String, State(ran): State<Ran>) -> Result<Page, JobError> {
    ran.note(format!("fetch {url}"));
    match url.as_str() {
        "bad" => Err(JobError::new("no such page")),
        _ => Ok(Page { words: url.split('-').map(str::to_owned).collect(), url }),
    }
}

#[job(output)]
async fn count_words(page: Page, State(ran): State<Ran>) -> usize {
    ran.note(format!("count {}", page.url));
    page.words.len()
}

#[job]
async fn report(counts: Vec<usize>, State(ran): State<Ran>) {
    ran.note(format!("report {counts:?}"));
}

#[job]
async fn compare((page, count, title): (Page, usize, String), State(ran): State<Ran>) {
    ran.note(format!("{title}: {} has {count}", page.url));
}

#[job]
async fn note(text: String, State(ran): State<Ran>) {
    ran.note(text);
}

/// Adds runs of which nobody knew before.
#[job]
async fn unpack(count: usize, ThisBatch(batch): ThisBatch, State(ran): State<Ran>) -> JobResult {
    ran.note("unpack");
    batch.add_all((0..count).map(|part| note::with(format!("part {part}")))).await?;
    Ok(())
}

#[job(output)]
async fn pack(page: Page) -> Archive {
    Archive { url: page.url }
}

#[derive(Debug, Clone, Serialize, Deserialize, Job)]
struct Archive {
    url: String,
}

impl Archive {
    async fn execute(self, State(ran): State<Ran>) {
        ran.note(format!("archive {}", self.url));
    }
}

async fn start() -> (TestScheduler, Ran) {
    let ran = Ran::default();
    let builder =
        Scheduler::builder().retry_enqueued(RetryPolicy::never()).provide(ran.clone()).discover_jobs();
    (TestScheduler::start(NOW, builder).await.unwrap(), ran)
}

async fn end(scheduler: &Scheduler, run: RunId) -> Option<RunEnd> {
    scheduler.all_runs(RunQuery::one(run)).await.unwrap().pop().and_then(|run| run.end)
}

async fn counts(scheduler: &Scheduler, batch: RunId) -> BatchCounts {
    scheduler.batch_of(batch).status().await.unwrap().unwrap().batch.unwrap().counts
}

#[tokio::test]
async fn outputs_reach_the_runs_that_wait_for_them() {
    let (test, ran) = start().await;
    let scheduler = test.scheduler();
    let flow = scheduler.workflow("words").on_success(note::with("all well".to_owned()));
    let pages = ["a-b", "c-d-e"].map(|url| flow.add(fetch::with(url.to_owned())));
    let words = pages.map(|page| flow.add(count_words::with_output(page)));
    flow.add(report::with_output(words));
    flow.add(compare::with_output((pages[0], words[0], "first".to_owned())));
    flow.add(Archive::with_output(flow.add(pack::with_output(pages[1]))));
    let batch = flow.start().await.unwrap();
    assert_eq!(counts(scheduler, batch.id()).await.pending, 8);
    test.drain().await;
    let all = [
        "all well",
        "archive c-d-e",
        "count a-b",
        "count c-d-e",
        "fetch a-b",
        "fetch c-d-e",
        "first: a-b has 2",
        "report [2, 3]",
    ];
    assert_eq!(ran.sorted(), all);
    assert_eq!(end(scheduler, batch.id()).await, Some(RunEnd::Succeeded));
    assert_eq!(words[1].handle().result().await.unwrap(), 3);
}

#[tokio::test]
async fn a_run_outside_of_a_workflow_waits_for_an_output_too() {
    let (test, ran) = start().await;
    let scheduler = test.scheduler();
    let page = scheduler.enqueue(fetch::with("a-b".to_owned())).handle().await.unwrap();
    scheduler.enqueue(count_words::with_output(&page)).await.unwrap();
    test.drain().await;
    assert_eq!(ran.sorted(), ["count a-b", "fetch a-b"]);
    scheduler.enqueue(compare::with_output((&page, 7, "later".to_owned()))).await.unwrap();
    test.drain().await;
    assert_eq!(ran.sorted(), ["later: a-b has 7"], "the page is kept for an hour");
}

#[tokio::test]
async fn only_an_enqueued_run_waits_for_an_output() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let page = scheduler.enqueue(fetch::with("a-b".to_owned())).handle().await.unwrap();
    let error = scheduler.schedule(count_words::with_output(&page), Trigger::now()).await.unwrap_err();
    assert!(format!("{error:?} {error}").contains("outputs of other runs"), "{error}");
}

#[tokio::test]
async fn a_failure_cancels_what_depends_on_it_and_a_replay_brings_it_back() {
    let (test, ran) = start().await;
    let scheduler = test.scheduler();
    let flow = scheduler.workflow("words");
    let bad = flow.add(fetch::with("bad".to_owned()));
    let words = flow.add(count_words::with_output(bad));
    let after = flow.add(note::with("after".to_owned())).after([words.id()]);
    flow.add(note::with("clean up".to_owned())).after_on(Condition::Any, [after.id()]);
    let ids = [bad.id(), words.id(), after.id()];
    let batch = flow.start().await.unwrap();
    test.drain().await;
    assert_eq!(ran.sorted(), ["clean up", "fetch bad"]);
    assert_eq!(end(scheduler, ids[0]).await, Some(RunEnd::Dead));
    assert_eq!(end(scheduler, ids[1]).await, Some(RunEnd::Cancelled));
    assert_eq!(end(scheduler, ids[2]).await, Some(RunEnd::Cancelled));
    assert_eq!(end(scheduler, batch.id()).await, Some(RunEnd::Incomplete));
    assert!(!scheduler.replay(ids[1]).await.unwrap(), "it has no argument");
    let good = JobData::from_args(&"a-b".to_owned()).unwrap();
    scheduler.change_run(ids[0], RunChange::edit(RunEdit::new().data(good))).await.unwrap();
    scheduler.replay(ids[0]).await.unwrap();
    test.drain().await;
    assert_eq!(ran.sorted(), ["after", "count a-b", "fetch a-b"]);
    assert_eq!(end(scheduler, batch.id()).await, Some(RunEnd::Succeeded));
}

#[tokio::test]
async fn a_workflow_goes_on_or_stops_after_a_failure() {
    for (on_failure, expected) in [
        (OnFailure::CancelDependents, vec!["fetch bad", "other"]),
        (OnFailure::Continue, vec!["after", "fetch bad", "other"]),
        (OnFailure::CancelAll, vec!["fetch bad"]),
    ] {
        let (test, ran) = start().await;
        let scheduler = test.scheduler();
        let flow = scheduler.workflow("words").on_failure(on_failure);
        let bad = flow.add(fetch::with("bad".to_owned()));
        flow.add(count_words::with_output(bad));
        flow.add(note::with("after".to_owned())).after([bad.id()]);
        let minute = std::time::Duration::from_secs(60);
        flow.add(note::with("other".to_owned())).with(|call| call.delay(minute));
        let batch = flow.start().await.unwrap();
        test.drain().await;
        assert_eq!(ran.sorted(), expected, "{on_failure:?}");
        assert_eq!(end(scheduler, batch.id()).await, Some(RunEnd::Incomplete), "{on_failure:?}");
    }
}

/// elixirforum.com 75929: what depends on work that is added at run time ran early.
#[tokio::test]
async fn a_part_ends_with_what_its_runs_have_added() {
    let (test, ran) = start().await;
    let flow = test.scheduler().workflow("import");
    let parts = flow.batch("parts");
    parts.add(unpack::with(3));
    let inner = parts.batch("inner");
    inner.add(unpack::with(1));
    let counted = ran.clone();
    flow.add(note::with("last".to_owned())).after([parts.id()]);
    flow.start().await.unwrap();
    test.drain().await;
    let order = counted.0.lock().clone();
    assert_eq!(order.last().map(String::as_str), Some("last"), "{order:?}");
    assert_eq!(order.len(), 7, "{order:?}");
}

#[tokio::test]
async fn a_repeated_start_starts_nothing_twice() {
    let (test, ran) = start().await;
    for _ in 0..2 {
        let flow = test.scheduler().workflow("words").id(RunId::from_key("words of today"));
        let page = flow.add(fetch::with("a-b".to_owned()));
        flow.add(count_words::with_output(page));
        flow.start().await.unwrap();
        test.drain().await;
    }
    assert_eq!(ran.sorted(), ["count a-b", "fetch a-b"]);
}

#[tokio::test]
async fn what_a_workflow_cannot_do_is_an_error_at_its_start() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let flow = scheduler.workflow("words");
    flow.add(note::with("first".to_owned()));
    let error = flow.id(RunId::from_key("words")).start().await.unwrap_err().to_string();
    assert!(error.contains("before `add`"), "{error}");
    let flow = scheduler.workflow("words");
    flow.add(note::with("first".to_owned()))
        .with(|call| call.then(scheduler.enqueue(note::with("second".to_owned()))));
    let error = flow.start().await.unwrap_err().to_string();
    assert!(error.contains("use `after`"), "{error}");
    assert!(scheduler.all_runs(RunQuery::default()).await.unwrap().is_empty(), "nothing is stored");
}

#[job(output, limit(max = 1), rate("100/1m", name = "pages"))]
async fn limited(page: Page) -> usize {
    page.words.len()
}

#[job(limit(name = "per page", key = "url", max = 1))]
async fn by_url(page: Page) {
    let _ = page;
}

#[tokio::test]
async fn a_limit_is_made_of_no_argument_that_has_not_come() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let page = scheduler.enqueue(fetch::with("a-b".to_owned())).handle().await.unwrap();
    scheduler.enqueue(limited::with_output(&page)).await.unwrap();
    let error = scheduler.enqueue(by_url::with_output(&page)).await.unwrap_err().to_string();
    assert!(error.contains("output of a run that has not ended"), "{error}");
    let other = Limit::new("other", 1);
    assert!(
        scheduler.enqueue(by_url::with_output(&page)).limit(other).await.is_err(),
        "one would be missing"
    );
    let limit = Limit::new("per page", 1).key("a-b");
    scheduler.enqueue(by_url::with_output(&page)).limit(limit).await.unwrap();
    test.drain().await;
    assert!(scheduler.all_runs(RunQuery::default().in_state(RunState::Held)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_of_a_held_batch_is_not_merged_into_another_one() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let collect = || {
        let both = |old: &JobData, new: &JobData| -> Result<JobData, DataError> {
            JobData::from_args(&[old.to_args::<Vec<u32>>()?, new.to_args::<Vec<u32>>()?].concat())
        };
        Unique::key("a").on_conflict(OnConflict::Merge(Arc::new(both)))
    };
    let minute = std::time::Duration::from_secs(60);
    let first = scheduler.enqueue(gather::with(vec![1])).unique(collect()).delay(minute).await.unwrap();
    let held = scheduler.batch("letters").held().open().await.unwrap();
    let merged = held.add(gather::with(vec![2])).unique(collect()).await.unwrap();
    assert_eq!(merged, first, "the run that is there");
    let data = scheduler.all_runs(RunQuery::one(first)).await.unwrap().pop().unwrap().data;
    assert_eq!(data.to_args::<Vec<u32>>().unwrap(), [1], "the batch may never be sealed");
    assert_eq!(counts(scheduler, held.id()).await.skipped, 1);
}

#[job]
async fn gather(numbers: Vec<u32>) {
    let _ = numbers;
}

#[tokio::test]
async fn a_step_may_be_after_one_that_is_added_later() {
    let (test, ran) = start().await;
    let flow = test.scheduler().workflow("backwards");
    let last = flow.add(note::with("last".to_owned()));
    let first = flow.add(note::with("first".to_owned()));
    last.after([first.id()]);
    flow.start().await.unwrap();
    test.drain().await;
    assert_eq!(*ran.0.lock(), ["first", "last"]);
}

#[tokio::test]
async fn a_workflow_without_runs_succeeds() {
    let (test, ran) = start().await;
    let flow = test.scheduler().workflow("nothing").on_success(note::with("done".to_owned()));
    let batch = flow.start().await.unwrap();
    test.drain().await;
    assert_eq!(
        (ran.sorted(), end(test.scheduler(), batch.id()).await),
        (vec!["done".to_owned()], Some(RunEnd::Succeeded))
    );
}

#[tokio::test]
async fn runs_that_wait_for_each_other_are_refused_by_name() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let flow = scheduler.workflow("import");
    let parts = flow.batch("parts");
    let last = flow.add(note::with("last".to_owned())).after([parts.id()]);
    parts.add(unpack::with(1)).after([last.id()]);
    flow.add(note::with("free".to_owned()));
    let error = flow.start().await.unwrap_err().to_string();
    assert!(
        error.contains("`parts`") && error.contains("unpack") && error.contains("wait for each other"),
        "{error}"
    );
    assert!(scheduler.all_runs(RunQuery::default()).await.unwrap().is_empty(), "nothing is stored");
}

#[tokio::test]
async fn a_large_workflow_begins_when_all_of_it_is_stored() {
    let (test, ran) = start().await;
    let scheduler = test.scheduler();
    let flow = scheduler.workflow("large").on_complete(note::with("~done".to_owned()));
    let first = flow.add(fetch::with("a-b".to_owned()));
    let many = flow.batch("many");
    let mut last = Vec::new();
    for number in 0..600 {
        many.add(note::with(format!("{number:03}"))).after([first.id()]);
    }
    last.push(flow.add(note::with("~after".to_owned())).after([many.id()]));
    let batch = flow.start().await.unwrap();
    test.drain().await;
    let ran = ran.sorted();
    assert_eq!((ran.len(), &ran[600..]), (603, &["fetch a-b", "~after", "~done"].map(str::to_owned)[..]));
    assert_eq!(end(scheduler, batch.id()).await, Some(RunEnd::Succeeded));
    assert_eq!(counts(scheduler, batch.id()).await.total, 3);
}

#[tokio::test]
async fn a_held_batch_begins_when_it_is_sealed_and_an_open_one_is_given_up() {
    let (test, ran) = start().await;
    let scheduler = test.scheduler();
    let hour = std::time::Duration::from_secs(3600);
    let open = || scheduler.batch("letters").held().open_for(hour);
    let sealed = open().open().await.unwrap();
    let forgotten = open().on_complete(note::with("given up".to_owned())).open().await.unwrap();
    for (batch, text) in [(&sealed, "sealed"), (&forgotten, "forgotten")] {
        batch.add(note::with(text.to_owned())).await.unwrap();
    }
    // Also by another handle.
    scheduler.batch_of(sealed.id()).add(note::with("sealed too".to_owned())).await.unwrap();
    test.run_due().await;
    assert!(ran.sorted().is_empty());
    scheduler.batch_of(sealed.id()).seal().await.unwrap();
    test.run_due().await;
    assert_eq!(ran.sorted(), ["sealed", "sealed too"]);
    test.advance(hour).await;
    test.drain().await;
    assert_eq!(ran.sorted(), ["given up"]);
    assert_eq!(end(scheduler, forgotten.id()).await, Some(RunEnd::Cancelled));
}
