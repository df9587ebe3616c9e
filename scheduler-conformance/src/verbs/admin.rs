//! Put, change, remove, look up.

use std::sync::Arc;

use scheduler_core::Text;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::store::*;
use scheduler_core::trigger::Progress;

use crate::bench::*;

fn open_always() -> Arc<StandardCalendar> {
    Arc::new(StandardCalendar::new(Exclusion::Nothing, chrono_tz::UTC))
}

checks! { ($) admin, __store_checks_of_admin;

async fn a_query_by_keys_keeps_to_its_other_conditions_and_the_order(bench) {
    for name in ["a", "b", "c", "d"] {
        bench.put(&job(name).durable(true).build(), [every_minute(name, 1)]).await;
    }
    let keys = ["d", "b", "a", "nowhere"];
    let found = async |after: Option<&str>, limit: Option<usize>| {
        let query = JobQuery {
            keys: keys.map(|name| name.parse().unwrap()).into(),
            after: after.map(|name| name.parse().unwrap()),
            limit,
            ..JobQuery::default()
        };
        let jobs = bench.store.all_jobs(query).await.unwrap();
        let query = TriggerQuery {
            keys: keys.map(key).into(),
            after: after.map(key),
            limit,
            ..TriggerQuery::default()
        };
        let triggers = bench.store.all_triggers(query).await.unwrap();
        let jobs: Vec<_> = jobs.iter().map(|job| job.key().name().to_owned()).collect();
        let triggers: Vec<_> = triggers.iter().map(|status| status.trigger.key().name().to_owned()).collect();
        assert_eq!(jobs, triggers);
        jobs
    };
    assert_eq!(found(None, None).await, ["a", "b", "d"]);
    assert_eq!(found(Some("a"), None).await, ["b", "d"]);
    assert_eq!(found(None, Some(2)).await, ["a", "b"]);
}

async fn nodes_are_known_from_attach_to_detach(bench) {
    let sessions = async || {
        let nodes = bench.store.nodes().await.unwrap();
        nodes.iter().map(|node| (node.session, node.types.as_ref().map(std::collections::BTreeSet::len), node.executions)).collect::<Vec<_>>()
    };
    assert_eq!(sessions().await, [(ONE, None, 0), (TWO, Some(1), 0)]);
    bench.put(&job("work").disallow_concurrent(true).build(), [every_minute("a", 1)]).await;
    bench.put(&job("other").build(), [every_minute("b", 1), every_minute("c", 1)]).await;
    bench.run(1).await;
    let unfired = bench.acquire(1, 1).await;
    assert_eq!(sessions().await, [(ONE, None, 1), (TWO, Some(1), 0)]);
    bench.store.detach(ONE).await.unwrap();
    assert_eq!(sessions().await, [(TWO, Some(1), 0)]);
    assert!(bench.store.executions(Executions::All).await.unwrap().is_empty(), "its runs are those of nobody");
    let again = bench.ask(TWO, 61, 10, QueueLimits::default()).await;
    assert_eq!(names(&again.triggers), ["b", "c", "a"], "the busy job is free, and what was claimed is too");
    assert_ne!(again.triggers[0].claim, unfired[0].claim);
    bench.store.detach(ONE).await.unwrap();
}

async fn a_call_that_conflicts_stores_nothing(bench) {
    let (of_work, of_new) = (job("work").build(), job("new").build());
    bench.put(&of_work, [every_minute("a", 0)]).await;
    let put = Put {
        jobs: vec![Arc::new(of_new.clone()), Arc::new(of_work.clone())],
        existing_jobs: Existing::Refuse,
        triggers: vec![built(&of_new, every_minute("b", 0)), built(&of_work, every_minute("a", 5))],
        existing_triggers: Existing::Refuse,
    };
    let error = bench.store.put(put).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert!(error.to_string().contains("`work`") && error.to_string().contains("`a`"), "{error}");
    assert_eq!((bench.jobs().await, bench.triggers().await), (vec!["work".into()], vec!["a".into()]));
    assert_eq!(bench.status("a").await.unwrap().progress.next, Some(at(0)));
}

async fn a_name_that_is_there_twice_in_a_call_is_refused(bench) {
    let of_job = job("work").build();
    for existing in [Existing::Refuse, Existing::Keep, Existing::Replace, Existing::Update] {
        let twice = [every_minute("a", 0), every_minute("a", 5)];
        let error = bench.try_put(&of_job, twice, existing).await.unwrap_err();
        assert!(error.is_conflict() && error.to_string().contains("`a`"), "{error}");
    }
    assert!(bench.triggers().await.is_empty());
}

async fn a_trigger_needs_its_job_and_its_calendar(bench) {
    let (stored, nowhere) = (job("work").build(), job("nowhere").build());
    let put = |jobs: Vec<Arc<scheduler_core::job::JobDetail>>, triggers| Put {
        jobs,
        existing_jobs: Existing::Keep,
        triggers,
        existing_triggers: Existing::Keep,
    };
    let orphan = put(vec![Arc::new(stored.clone())], vec![built(&nowhere, every_minute("a", 0))]);
    let error = bench.store.put(orphan).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("`nowhere`"), "{error}");
    let closed = put(vec![Arc::new(stored.clone())], vec![built(&stored, every_minute("a", 0).calendar("closed"))]);
    let error = bench.store.put(closed).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("`closed`"), "{error}");
    assert!(bench.jobs().await.is_empty());
}

async fn existing_ones_are_kept_replaced_or_updated(bench) {
    let of_job = job("work").build();
    for (existing, next, priority) in
        [(Existing::Keep, 61, 5), (Existing::Update, 61, 9), (Existing::Replace, 30, 9)]
    {
        bench.store.clear().await.unwrap();
        bench.put(&of_job, [every_minute("a", 1)]).await;
        let run = bench.run(1).await;
        bench.complete(&run).await;
        bench.try_put(&of_job, [every_minute("a", 30).priority(9)], existing).await.unwrap();
        let status = bench.status("a").await.unwrap();
        assert_eq!(status.progress.next, Some(at(next)), "{existing:?}");
        assert_eq!(status.trigger.priority(), priority, "{existing:?}");
        assert_eq!(status.progress.previous.is_some(), existing != Existing::Replace, "{existing:?}");
    }
}

async fn a_trigger_that_is_updated_to_another_job_begins_anew(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0)]).await;
    bench.run(0).await;
    bench.try_put(&job("other").build(), [every_minute("a", 30)], Existing::Update).await.unwrap();
    let status = bench.status("a").await.unwrap();
    assert_eq!((status.progress.next, status.trigger.job().name()), (Some(at(30)), "other"));
}

async fn a_replaced_job_keeps_its_triggers_and_an_updated_one_its_data(bench) {
    let with = |n: u32| job("work").persist_data(true).data(data("n", n)).build();
    let n = async || bench.store.all_jobs(JobQuery::default()).await.unwrap()[0].data().get::<u32>("n").unwrap().unwrap();
    bench.put(&with(1), [every_minute("a", 0)]).await;
    let put = |job, existing_jobs| Put {
        jobs: vec![Arc::new(job)],
        existing_jobs,
        triggers: Vec::new(),
        existing_triggers: Existing::Refuse,
    };
    for (existing, expected) in [(Existing::Keep, 1), (Existing::Update, 1), (Existing::Replace, 2)] {
        bench.store.put(put(with(2), existing)).await.unwrap();
        assert_eq!(n().await, expected, "{existing:?}");
    }
    let plain = job("work").data(data("n", 3)).build();
    bench.store.put(put(plain, Existing::Update)).await.unwrap();
    assert_eq!(n().await, 3, "a job that keeps nothing takes over the new data");
    assert_eq!(bench.triggers().await, ["a"]);
}

/// The rule of concurrency is read when a claim is made.
async fn a_job_can_change_its_rule_while_triggers_wait(bench) {
    bench.put(&job("work").build(), ["a", "b", "c"].map(|name| every_minute(name, 0))).await;
    let first = bench.run(0).await;
    bench.try_put(&exclusive("work"), [], Existing::Refuse).await.unwrap();
    let second = bench.run(0).await;
    assert!(bench.acquire(0, 10).await.is_empty(), "one at a time from now on");
    bench.complete(&first).await;
    assert!(bench.acquire(0, 10).await.is_empty());
    bench.complete(&second).await;
    let third = bench.run(0).await;
    assert_eq!(names(std::slice::from_ref(&third)), ["c"]);
    bench.try_put(&job("work").build(), [], Existing::Refuse).await.unwrap();
    assert_eq!(names(&bench.acquire(60, 10).await), ["a", "b", "c"]);
}

async fn a_job_can_change_its_function(bench) {
    let elsewhere = scheduler_core::job::JobDetail::builder("work".parse().unwrap(), "elsewhere").build();
    bench.put(&elsewhere, [every_minute("a", 0)]).await;
    assert!(bench.ask(TWO, 0, 1, QueueLimits::default()).await.triggers.is_empty());
    bench.try_put(&job("work").build(), [], Existing::Refuse).await.unwrap();
    assert_eq!(names(&bench.ask(TWO, 0, 1, QueueLimits::default()).await.triggers), ["a"]);
}

async fn replacing_a_trigger_takes_its_claim_away(bench) {
    let of_job = exclusive("work");
    bench.put(&of_job, [every_minute("a", 0)]).await;
    let acquired = bench.acquire(0, 1).await;
    bench.try_put(&of_job, [every_minute("a", 5)], Existing::Replace).await.unwrap();
    assert!(matches!(bench.fire(0, &acquired[0]).await, FireResult::Stale));
    assert_eq!(names(&bench.acquire(5, 1).await), ["a"]);
}

async fn rescheduling_replaces_one_trigger(bench) {
    let (of_job, of_other) = (job("work").build(), job("other").build());
    bench.put(&of_job, [every_minute("a", 0), every_minute("b", 0)]).await;
    bench.put(&of_other, [every_minute("c", 0)]).await;
    let change = |old: &str, of: &scheduler_core::job::JobDetail, new: scheduler_core::trigger::TriggerBuilder| {
        let (trigger, progress) = built(of, new);
        Reschedule { old: key(old), revision: None, trigger, progress: Some(progress) }
    };
    let unknown = bench.store.reschedule(change("x", &of_job, every_minute("d", 9))).await.unwrap();
    assert!(!unknown);
    for (old, of, new) in [("a", &of_other, "d"), ("a", &of_job, "b")] {
        let error = bench.store.reschedule(change(old, of, every_minute(new, 9))).await.unwrap_err();
        assert!(error.is_conflict(), "{error}");
    }
    let closed = bench.store.reschedule(change("a", &of_job, every_minute("d", 9).calendar("closed"))).await;
    assert!(closed.unwrap_err().is_not_found());
    assert_eq!(bench.triggers().await, ["a", "b", "c"], "a call that fails changes nothing");
    assert!(bench.store.reschedule(change("a", &of_job, every_minute("d", 9))).await.unwrap());
    assert_eq!(bench.triggers().await, ["b", "c", "d"]);
    assert_eq!(bench.status("d").await.unwrap().progress.next, Some(at(9)));
}

/// The only trigger of a job that is not durable is replaced, and the job stays.
async fn rescheduling_orphans_no_job(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [every_minute("a", 0)]).await;
    let (trigger, progress) = built(&of_job, every_minute("b", 9));
    let change = Reschedule { old: key("a"), revision: None, trigger, progress: Some(progress) };
    assert!(bench.store.reschedule(change).await.unwrap());
    assert_eq!(bench.jobs().await, ["work"]);
}

async fn rescheduling_can_insist_on_what_was_read(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [every_minute("a", 0)]).await;
    let revision = bench.status("a").await.unwrap().revision;
    let change = |revision| {
        let (trigger, _) = built(&of_job, every_minute("a", 0).priority(9));
        Reschedule { old: key("a"), revision: Some(revision), trigger, progress: None }
    };
    let run = bench.run(0).await;
    bench.complete(&run).await;
    assert!(bench.store.reschedule(change(revision)).await.unwrap(), "firing is no change of the description");
    assert!(!bench.store.reschedule(change(revision)).await.unwrap(), "somebody else was faster");
    let status = bench.status("a").await.unwrap();
    assert_eq!(status.progress.next, Some(at(60)), "it goes on from where it is");
    assert_ne!(status.revision, revision);
}

async fn an_adjustment_needs_the_expected_progress(bench) {
    bench.put(&exclusive("work"), [every_minute("a", 0), once("b", 500)]).await;
    let from = bench.status("a").await.unwrap().progress;
    let to = Progress { next: Some(at(200)), ..from.clone() };
    let adjustment = |trigger: &str, from: &Progress, to: &Progress| Adjustment {
        trigger: key(trigger),
        from: from.clone(),
        to: to.clone(),
    };
    let claimed = bench.acquire(0, 1).await;
    let calls = vec![adjustment("a", &to, &from), adjustment("x", &from, &to), adjustment("a", &from, &to)];
    assert_eq!(bench.store.adjust(calls).await.unwrap(), [false, false, true]);
    assert!(matches!(bench.fire(0, &claimed[0]).await, FireResult::Stale), "the claim was for the old time");
    assert_eq!(names(&bench.acquire(200, 1).await), ["a"]);
    let from = bench.status("b").await.unwrap().progress;
    let never = Progress { next: None, ..from.clone() };
    assert_eq!(bench.store.adjust(vec![adjustment("b", &from, &never)]).await.unwrap(), [true]);
    assert_eq!(bench.state("b").await, TriggerState::Complete);
}

async fn the_last_trigger_takes_an_orphaned_job(bench) {
    bench.put(&job("gone").build(), [every_minute("a", 0), every_minute("b", 0)]).await;
    bench.put(&job("kept").durable(true).build(), [every_minute("c", 0)]).await;
    let keys = ["a", "x", "b", "c"].map(key).to_vec();
    let removed = bench.store.remove_triggers(keys).await.unwrap();
    let found: Vec<_> = removed.iter().map(|removed| (removed.found, removed.job_removed)).collect();
    assert_eq!(found, [(true, false), (false, false), (true, true), (true, false)]);
    assert_eq!(bench.jobs().await, ["kept"]);
}

async fn a_removed_job_takes_its_triggers(bench) {
    bench.put(&job("work").durable(true).build(), [every_minute("a", 0), every_minute("g/b", 0)]).await;
    bench.put(&job("other").build(), [every_minute("c", 0)]).await;
    let acquired = bench.acquire(0, 1).await;
    let keys = vec!["work".parse().unwrap(), "work".parse().unwrap()];
    assert_eq!(bench.store.remove_jobs(keys).await.unwrap(), [true, false]);
    assert_eq!(bench.triggers().await, ["c"]);
    assert!(matches!(bench.fire(0, &acquired[0]).await, FireResult::Stale));
}

async fn calendars_are_kept_while_triggers_name_them(bench) {
    bench.store.put_calendar("b".into(), open_always(), false).await.unwrap();
    bench.store.put_calendar("a".into(), open_always(), true).await.unwrap();
    let error = bench.store.put_calendar("b".into(), open_always(), false).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    bench.store.put_calendar("b".into(), open_always(), true).await.unwrap();
    let names = async || {
        let calendars = bench.store.calendars().await.unwrap();
        calendars.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["a", "b"]);
    bench.put(&job("work").build(), [every_minute("t", 0).calendar("b")]).await;
    let error = bench.store.remove_calendar("b".into()).await.unwrap_err();
    assert!(error.is_conflict() && error.to_string().contains("`t`"), "{error}");
    bench.store.remove_triggers(vec![key("t")]).await.unwrap();
    assert!(bench.store.remove_calendar("b".into()).await.unwrap());
    assert!(!bench.store.remove_calendar("b".into()).await.unwrap());
    assert_eq!(names().await, ["a"]);
}

async fn clearing_leaves_nothing(bench) {
    bench.store.put_calendar("c".into(), open_always(), false).await.unwrap();
    bench.put(&job("work").durable(true).build(), [every_minute("a", 0)]).await;
    let acquired = bench.acquire(0, 1).await;
    bench.store.clear().await.unwrap();
    assert!(matches!(bench.fire(0, &acquired[0]).await, FireResult::Stale));
    assert!(bench.jobs().await.is_empty() && bench.triggers().await.is_empty());
    assert!(bench.store.calendars().await.unwrap().is_empty());
    assert!(bench.store.groups(GroupKind::Triggers).await.unwrap().is_empty());
    assert_eq!(bench.ask(ONE, 100, 10, QueueLimits::default()).await.next_due, None);
}

/// Cases H3 and N12.
async fn a_mark_is_written_by_whoever_has_read_the_latest_and_shown_in_no_list(bench) {
    let name: Arc<str> = "migrate".into();
    let put = async |text: &str, revision| {
        bench.store.put_mark(PutMark { name: name.clone(), text: text.into(), revision }).await.unwrap()
    };
    assert_eq!(bench.store.mark(name.clone()).await.unwrap(), None);
    assert_eq!(put("early", Some(1)).await, None, "there is nothing to replace");
    let first = put("one", None).await.unwrap();
    assert_eq!(put("late", None).await, None, "somebody was faster");
    let second = put("two", Some(first)).await.unwrap();
    assert!(second > first);
    assert_eq!(put("again", Some(first)).await, None);
    bench.store.clear().await.unwrap();
    let mark = bench.store.mark(name.clone()).await.unwrap();
    assert_eq!(mark, Some(Mark { text: "two".into(), revision: second }), "clearing leaves it");
    assert!(bench.jobs().await.is_empty() && bench.triggers().await.is_empty());
    for kind in [GroupKind::Jobs, GroupKind::Triggers] {
        assert!(bench.store.groups(kind).await.unwrap().is_empty());
    }
}

async fn r12_a_run_goes_on_when_the_store_is_cleared_and_keeps_its_job_and_queue_busy(bench) {
    let queued = |name: &str| every_minute(name, 0).queue("g");
    bench.put(&exclusive("work"), [queued("a")]).await;
    let run = bench.run(0).await;
    bench.store.clear().await.unwrap();
    let runs = bench.store.executions(Executions::OfQueue("g".into())).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run.claim]);
    assert_eq!(runs[0].queue.as_deref(), Some("g"));
    bench.put(&exclusive("work"), [queued("a")]).await;
    bench.put(&job("other").build(), [queued("b")]).await;
    let shared = QueueLimits { shared: [("g".into(), 1)].into(), ..QueueLimits::default() };
    assert!(bench.ask(ONE, 0, 10, shared.clone()).await.triggers.is_empty(), "the queue is full");
    assert_eq!(names(&bench.acquire(0, 10).await), ["b"], "the job is busy");
    assert_ne!(bench.complete(&run).await, CompleteResult::Gone);
    assert_eq!(names(&bench.acquire(0, 10).await), ["a"]);
}

/// Many triggers of one job come with a copy of it each.
async fn r3_a_job_that_comes_several_times_in_a_call_is_one(bench) {
    for existing in [Existing::Refuse, Existing::Keep, Existing::Replace, Existing::Update] {
        bench.store.clear().await.unwrap();
        let copy = |n: u32| job("work").data(data("n", n)).build();
        let put = || Put {
            jobs: (0..1_200).map(|n| Arc::new(copy(n))).collect(),
            existing_jobs: existing,
            triggers: (0..3).map(|n| built(&copy(0), once(&format!("t{n}"), n))).collect(),
            existing_triggers: existing,
        };
        bench.store.put(put()).await.unwrap();
        let n = bench.store.all_jobs(JobQuery::default()).await.unwrap()[0].data().get::<u32>("n").unwrap();
        assert_eq!(n, Some(if existing == Existing::Keep { 0 } else { 1_199 }), "{existing:?}");
        assert_eq!(bench.jobs().await, ["work"], "{existing:?}");
        assert_eq!(bench.store.put(put()).await.is_err(), existing == Existing::Refuse, "{existing:?}");
        for _ in 0..3 {
            let run = bench.run(5).await;
            bench.complete_with(&run, Instruction::RemoveTrigger).await;
        }
        assert!(bench.jobs().await.is_empty(), "{existing:?}: it goes with its last trigger");
    }
}

/// Case H17: whoever answers with fields need not read the sentence.
async fn h17_refusals_have_the_trigger_and_the_job_as_fields(bench) {
    let work = job("work").build();
    bench.put(&work, [every_minute("a", 0)]).await;
    let put = async |jobs: Vec<_>, trigger: &str, of: &str| {
        let (trigger, progress) = built(&job(of).build(), every_minute(trigger, 0));
        let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
        let put = Put { jobs, existing_jobs, triggers: vec![(trigger, progress)], existing_triggers };
        bench.store.put(put).await.unwrap_err()
    };
    let taken = put(vec![], "a", "work").await;
    assert!(taken.is_conflict(), "{taken}");
    assert_eq!(taken.trigger(), Some(&key("a")));
    let taken = put(vec![Arc::new(work.clone())], "b", "work").await;
    assert_eq!(taken.job(), Some(work.key()));
    let jobless = put(vec![], "b", "gone").await;
    assert!(jobless.is_not_found(), "{jobless}");
    assert_eq!((jobless.trigger(), jobless.job()), (Some(&key("b")), Some(job("gone").build().key())));
    let (trigger, progress) = built(&work, every_minute("b", 0).calendar("nowhere"));
    let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
    let put = Put { jobs: vec![], existing_jobs, triggers: vec![(trigger, progress)], existing_triggers };
    let undated = bench.store.put(put).await.unwrap_err();
    assert!(undated.is_not_found(), "{undated}");
    assert_eq!(undated.trigger(), Some(&key("b")));
    let (trigger, progress) = built(&job("other").build(), every_minute("a", 0));
    let change = Reschedule { old: key("a"), revision: None, trigger, progress: Some(progress) };
    assert_eq!(bench.store.reschedule(change).await.unwrap_err().trigger(), Some(&key("a")));
}

async fn lists_are_paged_in_the_order_of_keys(bench) {
    for name in ["c", "a", "g/b", "b"] {
        bench.put(&job(name).build(), [every_minute(name, 0)]).await;
    }
    let page = |after: Option<&str>| TriggerQuery { after: after.map(key), limit: Some(3), ..Default::default() };
    assert_eq!(bench.listed(page(None)).await, ["a", "b", "c"]);
    assert_eq!(bench.listed(page(Some("c"))).await, ["g/b"]);
    assert_eq!(bench.listed(page(Some("bb"))).await, ["c", "g/b"], "the key need not exist");
    let query = JobQuery { after: Some("b".parse().unwrap()), limit: Some(1), ..Default::default() };
    assert_eq!(bench.store.all_jobs(query).await.unwrap()[0].key().to_string(), "c");
    assert_eq!(bench.jobs().await, ["a", "b", "c", "g/b"]);
}

async fn lists_are_filtered(bench) {
    bench.store.put_calendar("open".into(), open_always(), false).await.unwrap();
    let of_job = job("g/work").build();
    let a = every_minute("a", 0).calendar("open");
    bench.put(&of_job, [a, every_minute("g/ab", 0), every_minute("g/b", 9)]).await;
    bench.put(&job("other").build(), [every_minute("z", 0)]).await;
    bench.pause(Selection::Trigger(key("g/b"))).await;
    let query = TriggerQuery::default;
    for (query, expected) in [
        (TriggerQuery { group: Text::is("g"), ..query() }, vec!["g/ab", "g/b"]),
        (TriggerQuery { name: Text::starts_with("a"), ..query() }, vec!["a", "g/ab"]),
        (TriggerQuery { name: Text::contains("b"), state: Some(TriggerState::Paused), ..query() }, vec!["g/b"]),
        (TriggerQuery { job: Some("other".parse().unwrap()), ..query() }, vec!["z"]),
        (TriggerQuery { calendar: Some("open".into()), ..query() }, vec!["a"]),
        (TriggerQuery { declared_by: Some("app".into()), ..query() }, vec![]),
        (TriggerQuery { keys: ["z", "x", "a"].map(key).to_vec(), ..query() }, vec!["a", "z"]),
    ] {
        let shown = format!("{query:?}");
        assert_eq!(bench.listed(query).await, expected, "{shown}");
    }
    let jobs = async |query| bench.store.all_jobs(query).await.unwrap().len();
    assert_eq!(jobs(JobQuery { group: Text::is("g"), ..Default::default() }).await, 1);
    assert_eq!(jobs(JobQuery { name: Text::ends_with("er"), ..Default::default() }).await, 1);
    assert_eq!(jobs(JobQuery { job_type: Some("work".into()), ..Default::default() }).await, 2);
    assert_eq!(jobs(JobQuery { job_type: Some("x".into()), ..Default::default() }).await, 0);
}

async fn what_is_stored_comes_back_as_it_was(bench) {
    let of_job = job("work").durable(true).disallow_concurrent(true).requests_recovery(true)
        .queue("nightly").description("nightly").data(data("n", 1)).build();
    let trigger = every_minute("a", 7).priority(-3).queue("g").end_at(at(9000)).data(data("m", 2));
    bench.put(&of_job, [trigger.clone()]).await;
    assert_eq!(*bench.store.all_jobs(JobQuery::default()).await.unwrap()[0], of_job);
    let (trigger, progress) = built(&of_job, trigger);
    let status = bench.status("a").await.unwrap();
    assert_eq!((status.trigger, status.progress), (trigger, progress));
    assert_eq!((status.state, status.pause), (TriggerState::Normal, None));
}
}
