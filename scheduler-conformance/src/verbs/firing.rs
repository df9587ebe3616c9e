//! Acquire, fire, release.

use chrono::TimeDelta;
use scheduler_core::store::*;
use scheduler_core::trigger::OverlapPolicy;

use crate::bench::*;

checks! { ($) firing, __store_checks_of_firing;

/// By due time, then higher priority, then key.
async fn hand_out_has_one_order(bench) {
    let rows = [("late", 2, 9), ("b", 1, 5), ("a", 1, 5), ("high", 1, 7), ("z/a", 1, 5)];
    let triggers = rows.map(|(name, due, priority)| every_minute(name, due).priority(priority));
    bench.put(&job("work").build(), triggers).await;
    assert_eq!(names(&bench.acquire(5, 10).await), ["high", "a", "b", "z/a", "late"]);
}

async fn a_batch_takes_the_first_ones(bench) {
    let triggers = ["c", "a", "d", "b"].map(|name| every_minute(name, 1));
    bench.put(&job("work").build(), triggers).await;
    assert_eq!(names(&bench.acquire(1, 3).await), ["a", "b", "c"]);
    assert_eq!(names(&bench.acquire(1, 3).await), ["d"]);
    assert_eq!(names(&bench.acquire(1, 3).await), [""; 0], "a claim is handed out once");
}

/// A backlog does not starve what is on time, nor the other way round.
async fn late_triggers_come_first_up_to_their_share(bench) {
    let late = ["late1", "late2", "late3", "late4", "late5"].map(|name| every_minute(name, 1));
    let punctual = ["on_time1", "on_time2"].map(|name| every_minute(name, 50));
    bench.put(&job("work").build(), late.into_iter().chain(punctual)).await;
    let ask = async |max| {
        let (limits, late) = (QueueLimits::default(), Some(LateShare { before: at(50), most: 2 }));
        bench.store.acquire_due(AcquireDue { session: ONE, now: at(50), until: at(50), max, limits, shares: Vec::new(), late, heard: None }).await.unwrap()
    };
    let first = ask(3).await;
    assert_eq!(names(&first.triggers), ["late1", "late2", "on_time1"]);
    assert_eq!(first.next_due, Some(at(1)), "late ones are left");
    let rest = ask(10).await;
    assert_eq!(names(&rest.triggers), ["late3", "late4", "on_time2", "late5"], "what is left over goes to late ones");
}

async fn nothing_comes_before_its_time(bench) {
    bench.put(&job("work").build(), [every_minute("a", 10), every_minute("b", 11)]).await;
    let early = bench.ask(ONE, 9, 10, QueueLimits::default()).await;
    assert!(early.triggers.is_empty());
    assert_eq!(early.next_due, Some(at(10)));
    let (limits, late) = (QueueLimits::default(), None);
    let ahead = AcquireDue { session: ONE, now: at(9), until: at(10), max: 10, limits, shares: Vec::new(), late, heard: None };
    let ahead = bench.store.acquire_due(ahead).await.unwrap();
    assert_eq!(names(&ahead.triggers), ["a"], "acquired ahead of its time");
    let asked = bench.ask(ONE, 11, 0, QueueLimits::default()).await;
    assert!(asked.triggers.is_empty(), "none were asked for");
    assert_eq!(asked.next_due, Some(at(11)));
}

async fn an_empty_store_is_never_due(bench) {
    let nothing = bench.ask(ONE, 0, 10, QueueLimits::default()).await;
    assert!(nothing.triggers.is_empty() && nothing.cancel.is_empty());
    assert_eq!(nothing.next_due, None);
}

async fn a_claim_carries_what_the_scheduler_needs(bench) {
    let calendar = std::sync::Arc::new(scheduler_core::calendar::StandardCalendar::new(
        scheduler_core::calendar::Exclusion::Nothing,
        chrono_tz::UTC,
    ));
    bench.store.put_calendar("open".into(), calendar, false).await.unwrap();
    bench.put(&job("work").build(), [every_minute("a", 1).calendar("open"), every_minute("b", 1)]).await;
    let acquired = bench.acquire(1, 2).await;
    assert_eq!(acquired[0].progress.next, Some(at(1)));
    assert!(acquired[0].calendar.is_some() && acquired[1].calendar.is_none());
    assert_eq!(acquired[0].claim.session(), ONE);
    assert_ne!(acquired[0].claim, acquired[1].claim);
}

async fn a_fired_trigger_moves_on(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1)]).await;
    let run = bench.run(1).await;
    let status = bench.status("a").await.unwrap();
    assert_eq!(status.progress.next, Some(at(61)));
    assert_eq!(status.progress.previous, Some(at(1)));
    assert_eq!(status.state, TriggerState::Executing);
    assert_eq!(names(&bench.acquire(61, 1).await), ["a"], "another run may go on beside it");
    bench.complete(&run).await;
    assert_eq!(bench.state("a").await, TriggerState::Normal);
}

async fn fences_grow_with_the_claims_of_a_job(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1), every_minute("b", 2)]).await;
    let mut last = 0;
    for second in [1, 2, 61, 62, 121] {
        let acquired = bench.acquire(second, 1).await;
        let FireResult::Run { fence, job } = bench.fire(second, &acquired[0]).await else { panic!("it may run") };
        assert!(fence > last, "{fence} after {last}");
        assert_eq!(job.key().to_string(), "work");
        last = fence;
    }
}

/// Its reply may have been lost.
async fn firing_twice_is_firing_once(bench) {
    bench.put(&exclusive("work"), [every_minute("a", 1)]).await;
    let acquired = bench.acquire(1, 1).await;
    let FireResult::Run { fence, .. } = bench.fire(1, &acquired[0]).await else { panic!("it may run") };
    let FireResult::Run { fence: again, .. } = bench.fire(1, &acquired[0]).await else { panic!("it may run") };
    assert_eq!(fence, again);
    assert_eq!(bench.status("a").await.unwrap().progress.next, Some(at(61)), "moved on once");
    assert_eq!(bench.store.executions(Executions::All).await.unwrap().len(), 1);
    bench.complete(&acquired[0]).await;
    assert!(matches!(bench.fire(1, &acquired[0]).await, FireResult::Stale), "it is over");
    assert_eq!(bench.state("a").await, TriggerState::Normal);
}

async fn a_batch_is_answered_in_its_order(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1), every_minute("b", 1)]).await;
    let acquired = bench.acquire(1, 2).await;
    bench.store.remove_triggers(vec![key("a")]).await.unwrap();
    let firing = |acquired: &AcquiredTrigger| Firing {
        claim: acquired.claim,
        progress: acquired.trigger.fired(&acquired.progress, None),
        dropped: None,
    };
    let firings = acquired.iter().map(firing).collect();
    let results = bench.store.fire(Fire { now: at(1), firings }).await.unwrap();
    assert!(matches!(results[..], [FireResult::Stale, FireResult::Run { .. }]), "{results:?}");
}

async fn a_dropped_firing_moves_the_trigger_on_without_a_run(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1), once("b", 1)]).await;
    for acquired in bench.acquire(1, 2).await {
        let progress = acquired.trigger.fired(&acquired.progress, None);
        let result = bench.fire_as(1, acquired.claim, progress, Some(FiringReason::Misfired)).await;
        assert!(matches!(result, FireResult::Advanced), "{result:?}");
    }
    assert_eq!(bench.state("a").await, TriggerState::Normal);
    assert_eq!(bench.status("a").await.unwrap().progress.next, Some(at(61)));
    assert_eq!(bench.state("b").await, TriggerState::Complete, "it stays to be seen");
    assert!(bench.store.executions(Executions::All).await.unwrap().is_empty());
}

async fn a_released_claim_is_handed_out_again(bench) {
    bench.put(&exclusive("work"), [every_minute("a", 1), every_minute("b", 1)]).await;
    let first = bench.acquire(1, 2).await;
    assert_eq!(names(&first), ["a"]);
    bench.store.release(vec![first[0].claim]).await.unwrap();
    bench.store.release(vec![first[0].claim]).await.unwrap();
    assert!(matches!(bench.fire(1, &first[0]).await, FireResult::Stale));
    let second = bench.run(1).await;
    assert_eq!(names(std::slice::from_ref(&second)), ["a"]);
    bench.store.release(vec![second.claim]).await.unwrap();
    assert_eq!(bench.state("a").await, TriggerState::Executing, "a run cannot be given back");
}

async fn a_claim_that_is_not_fired_lapses(bench) {
    bench.put(&exclusive("work"), [every_minute("a", 1)]).await;
    let first = bench.acquire(1, 1).await;
    let lapse = bench.attached.lapse(at(1), at(1));
    let seconds = (lapse - t0()).num_seconds();
    let before = bench.ask(ONE, 2, 1, QueueLimits::default()).await;
    assert!(before.triggers.is_empty());
    assert!(before.next_due.is_some_and(|due| due <= lapse), "{:?} is after {lapse}", before.next_due);
    let second = bench.acquire(seconds + 1, 1).await;
    assert_eq!(names(&second), ["a"]);
    assert!(matches!(bench.fire(seconds + 1, &first[0]).await, FireResult::Stale));
    assert!(matches!(bench.fire(seconds + 1, &second[0]).await, FireResult::Run { .. }));
}

async fn a_run_never_lapses(bench) {
    bench.put(&exclusive("work"), [every_minute("a", 1)]).await;
    bench.run(1).await;
    let much_later = (bench.attached.lapse(at(1), at(1)) - t0() + TimeDelta::days(30)).num_seconds();
    assert!(bench.acquire(much_later, 1).await.is_empty());
    assert_eq!(bench.state("a").await, TriggerState::Executing);
}

async fn a_job_that_disallows_concurrent_runs_has_one_claim(bench) {
    bench.put(&exclusive("work"), ["a", "b", "c"].map(|name| every_minute(name, 0))).await;
    let first = bench.acquire(0, 10).await;
    assert_eq!(names(&first), ["a"]);
    assert!(bench.acquire(0, 10).await.is_empty());
    assert_eq!(bench.state("b").await, TriggerState::Normal, "nothing runs yet");
    assert!(matches!(bench.fire(0, &first[0]).await, FireResult::Run { .. }));
    assert_eq!(bench.state("b").await, TriggerState::Blocked);
    assert_eq!(bench.state("a").await, TriggerState::Executing);
    bench.pause(Selection::Trigger(key("b"))).await;
    assert!(bench.acquire(0, 10).await.is_empty());
    bench.complete(&first[0]).await;
    let second = bench.acquire(0, 10).await;
    assert_eq!(names(&second), ["c"], "b is paused");
    bench.resume(Selection::All).await;
    assert!(bench.acquire(0, 10).await.is_empty(), "c holds the job");
    bench.store.remove_triggers(vec![key("c")]).await.unwrap();
    assert!(matches!(bench.fire(0, &second[0]).await, FireResult::Stale));
    assert_eq!(names(&bench.acquire(0, 10).await), ["b"], "removing c has freed the job");
}

/// Many due triggers of one busy job keep nobody else waiting.
async fn a_busy_job_holds_nobody_up(bench) {
    bench.put(&exclusive("busy"), (0..500).map(|n| every_minute(&format!("busy/{n}"), 0))).await;
    bench.put(&job("other").build(), [every_minute("z", 1)]).await;
    bench.run(1).await;
    assert_eq!(names(&bench.acquire(1, 1).await), ["z"]);
}

async fn a_node_takes_only_what_it_can_run(bench) {
    let foreign = scheduler_core::job::JobDetail::builder("foreign".parse().unwrap(), "elsewhere").build();
    bench.put(&foreign, (0..200).map(|n| every_minute(&format!("foreign/{n}"), 0))).await;
    bench.put(&job("work").build(), [every_minute("own", 5)]).await;
    let asked = bench.ask(TWO, 0, 10, QueueLimits::default()).await;
    assert!(asked.triggers.is_empty());
    assert_eq!(asked.next_due, Some(at(5)), "what others run is not due here");
    assert_eq!(names(&bench.ask(TWO, 5, 10, QueueLimits::default()).await.triggers), ["own"]);
    assert_eq!(bench.acquire(5, 1000).await.len(), 200, "the other node can");
}

async fn limits_of_queues_hold(bench) {
    let of = |queue: &'static str, count: usize| {
        (0..count).map(move |n| every_minute(&format!("{queue}/{n}"), 0).queue(queue))
    };
    let default = (0..3).map(|n| every_minute(&format!("free/{n}"), 0));
    let all = of("big", 5).chain(of("small", 5)).chain(default);
    bench.put(&job("work").build(), all).await;
    let limits = |big: usize, others: Option<usize>, default: Option<usize>| QueueLimits {
        named: [("big".into(), big)].into(),
        others,
        default,
        ..QueueLimits::default()
    };
    let first = bench.ask(ONE, 0, 100, limits(2, Some(1), Some(0))).await;
    assert_eq!(names(&first.triggers), ["big/0", "big/1", "small/0"]);
    let next = bench.ask(ONE, 0, 100, limits(0, Some(0), Some(0))).await;
    assert!(next.triggers.is_empty());
    let lapse = bench.attached.lapse(at(0), at(0));
    assert_eq!(next.next_due, Some(lapse), "what there is no slot for is not due");
    let rest = bench.ask(ONE, 0, 100, limits(0, None, None)).await;
    assert_eq!(rest.triggers.len(), 7);
}

/// Claims of every node count, from the claim to its end, whatever that is.
async fn a_limit_may_hold_for_all_nodes_together(bench) {
    let of_queue = (0..6).map(|n| every_minute(&format!("g/{n}"), n).queue("g"));
    bench.put(&job("work").build(), of_queue).await;
    bench.put(&job("work").build(), [every_minute("free", 0)]).await;
    let two = || QueueLimits { shared: [("g".into(), 2)].into(), ..QueueLimits::default() };
    let first = bench.ask(ONE, 9, 1, two()).await;
    assert_eq!(names(&first.triggers), ["free"]);
    let claimed = bench.ask(ONE, 9, 1, two()).await;
    assert_eq!(names(&claimed.triggers), ["g/0"]);
    let other = bench.ask(TWO, 9, 10, two()).await;
    assert_eq!(names(&other.triggers), ["g/1"], "one is left");
    assert!(bench.ask(ONE, 9, 10, two()).await.triggers.is_empty());
    let run = other.triggers[0].claim;
    assert!(matches!(bench.fire(9, &other.triggers[0]).await, FireResult::Run { .. }));
    assert!(bench.ask(ONE, 9, 10, two()).await.triggers.is_empty(), "it runs");
    let before = bench.wakes();
    bench.store.complete(Complete { now: at(9), executions: vec![Completion::of(run)] }).await.unwrap();
    assert!(bench.wakes() > before, "who waits for the queue hears of it");
    assert_eq!(names(&bench.ask(ONE, 9, 10, two()).await.triggers), ["g/2"]);
    bench.store.release(vec![claimed.triggers[0].claim]).await.unwrap();
    assert_eq!(names(&bench.ask(TWO, 9, 10, two()).await.triggers), ["g/0"], "so does one that was given back");
    let lapse = bench.attached.lapse(at(9), at(9));
    let seconds = (lapse - at(0)).num_seconds() + 1;
    let lapsed = bench.ask(TWO, seconds, 10, two()).await;
    assert_eq!(names(&lapsed.triggers), ["free", "g/0", "g/2"], "and those that lapsed");
}

/// The starvation rule: what finds no slot takes no place of the batch.
async fn a_full_queue_starves_nobody(bench) {
    let hungry = (0..300).map(|n| every_minute(&format!("hungry/{n}"), 0).queue("hungry").priority(10));
    bench.put(&job("work").build(), hungry).await;
    bench.put(&job("work").build(), [every_minute("z", 1)]).await;
    let limits = QueueLimits { named: [("hungry".into(), 1)].into(), ..QueueLimits::default() };
    assert_eq!(names(&bench.ask(ONE, 1, 2, limits).await.triggers), ["hungry/0", "z"]);
}

async fn a_full_queue_does_not_hold_its_job(bench) {
    let of_queue = every_minute("a", 0).queue("g");
    bench.put(&exclusive("work"), [of_queue, every_minute("b", 1)]).await;
    let limits = QueueLimits { named: [("g".into(), 0)].into(), ..QueueLimits::default() };
    assert_eq!(names(&bench.ask(ONE, 1, 10, limits).await.triggers), ["b"]);
    assert!(bench.acquire(1, 10).await.is_empty(), "b holds it");
}

async fn a_job_that_disallows_concurrent_runs_is_held_by_a_trigger_of_any_queue(bench) {
    let of_queue = every_minute("a", 0).queue("g");
    bench.put(&exclusive("work"), [of_queue, every_minute("b", 0)]).await;
    let limits = QueueLimits { named: [("g".into(), 1)].into(), ..QueueLimits::default() };
    assert_eq!(names(&bench.ask(ONE, 0, 10, limits.clone()).await.triggers), ["a"]);
    assert!(bench.ask(ONE, 0, 10, limits).await.triggers.is_empty());
}

/// Case N4: a scheduler gives each trigger the queue of its job, whatever starts the run.
async fn runs_of_a_job_count_towards_its_queue_whatever_starts_them(bench) {
    let of_job = job("work").queue("g").build();
    let later = every_minute("c", 900).queue("g");
    bench.put(&of_job, [every_minute("a", 0), once("b", 1)].map(|trigger| trigger.queue("g"))).await;
    bench.put(&of_job, [later]).await;
    let (trigger, progress) = built(&of_job, once("c", 2).queue("g"));
    bench.store.reschedule(Reschedule { old: key("c"), revision: None, trigger, progress: Some(progress) }).await.unwrap();
    let one = || QueueLimits { shared: [("g".into(), 1)].into(), ..QueueLimits::default() };
    for expected in ["a", "b", "c"] {
        let claimed = bench.ask(ONE, 9, 10, one()).await.triggers;
        assert_eq!(names(&claimed), [expected]);
        let FireResult::Run { job, .. } = bench.fire(9, &claimed[0]).await else { panic!("{expected} does not run") };
        assert_eq!(job.queue().map(|queue| &**queue), Some("g"), "the job of {expected}");
        let of_queue = bench.store.executions(Executions::OfQueue("g".into())).await.unwrap();
        assert_eq!(of_queue.iter().map(|run| run.id).collect::<Vec<_>>(), [claimed[0].claim]);
        let limits = QueueLimits { named: [("g".into(), 0)].into(), ..QueueLimits::default() };
        assert_eq!(names(&bench.ask(TWO, 9, 10, limits).await.triggers), [""; 0], "beside {expected}");
        bench.complete(&claimed[0]).await;
    }
}

async fn nodes_wake_when_something_may_be_due_earlier(bench) {
    let mut seen = bench.wakes();
    let mut woken = |what: &str| {
        let now = bench.wakes();
        assert!(now > seen, "{what} wakes nobody");
        seen = now;
    };
    bench.put(&job("work").build(), [every_minute("a", 10)]).await;
    woken("a new trigger");
    let acquired = bench.acquire(10, 1).await;
    bench.store.release(vec![acquired[0].claim]).await.unwrap();
    woken("a released claim");
    bench.pause(Selection::All).await;
    woken("a pause");
    bench.resume(Selection::All).await;
    woken("a resumption");
    let status = bench.status("a").await.unwrap();
    let to = scheduler_core::trigger::Progress { next: Some(at(5)), ..status.progress.clone() };
    bench.store.adjust(vec![Adjustment { trigger: key("a"), from: status.progress, to }]).await.unwrap();
    woken("an adjustment");
    let run = bench.run(10).await;
    bench.complete_with(&run, Instruction::FailTrigger).await;
    bench.store.reset(vec![key("a")]).await.unwrap();
    woken("a reset");
    let (trigger, progress) = built(&job("work").build(), every_minute("b", 3));
    let change = Reschedule { old: key("a"), revision: None, trigger, progress: Some(progress) };
    bench.store.reschedule(change).await.unwrap();
    woken("a reschedule");
    bench.run(3).await;
    bench.store.cancel(Executions::All).await.unwrap();
    woken("a request to stop");
}

/// Another node may have room for what was kept back.
async fn nodes_wake_when_a_run_or_a_claim_ends_that_kept_something_back(bench) {
    bench.put(&exclusive("one"), [every_minute("a", 0), every_minute("b", 0)]).await;
    let run = bench.run(0).await;
    let before = bench.wakes();
    bench.complete(&run).await;
    assert!(bench.wakes() > before, "b can be claimed");
    let acquired = bench.acquire(0, 1).await;
    let (before, progress) = (bench.wakes(), acquired[0].progress.clone());
    let later = scheduler_core::trigger::Progress { next: Some(at(500)), ..progress };
    bench.fire_as(0, acquired[0].claim, later, Some(FiringReason::Misfired)).await;
    assert!(bench.wakes() > before, "a can be claimed");
    let acquired = bench.acquire(60, 1).await;
    let before = bench.wakes();
    bench.put(&exclusive("one"), [every_minute("c", 0)]).await;
    bench.store.remove_triggers(vec![acquired[0].trigger.key().clone()]).await.unwrap();
    assert!(bench.wakes() > before + 1, "c can be claimed");
}

async fn priority_decides_within_the_same_time_only(bench) {
    bench.put(&job("work").build(), [every_minute("low", 1).priority(1), every_minute("high", 2).priority(9)]).await;
    assert_eq!(names(&bench.acquire(2, 1).await), ["low"]);
}

/// The end of the run before does not let a second node have what one has claimed already.
async fn a_claim_stays_the_only_one_when_its_trigger_is_given_another_overlap_policy(bench) {
    let work = job("work").build();
    bench.put(&work, [every_minute("a", 0).overlap(OverlapPolicy::AllowAll)]).await;
    let run = bench.run(0).await;
    let claimed = bench.acquire(60, 1).await;
    for overlap in [OverlapPolicy::BufferOne, OverlapPolicy::AllowAll, OverlapPolicy::BufferOne] {
        let triggers = vec![built(&work, every_minute("a", 0).overlap(overlap))];
        let (existing_jobs, existing_triggers) = (Existing::Keep, Existing::Update);
        bench.store.put(Put { jobs: vec![], existing_jobs, triggers, existing_triggers }).await.unwrap();
        assert!(bench.acquire(60, 9).await.is_empty(), "{overlap:?}");
    }
    bench.complete(&run).await;
    assert!(bench.acquire(60, 9).await.is_empty());
    assert!(matches!(bench.fire(60, &claimed[0]).await, FireResult::Run { .. }));
    assert!(bench.acquire(60, 9).await.is_empty());
}

async fn a_trigger_that_allows_all_runs_beside_itself(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0).overlap(OverlapPolicy::AllowAll)]).await;
    bench.run(0).await;
    bench.run(60).await;
    assert_eq!(bench.store.executions(Executions::OfTrigger(key("a"))).await.unwrap().len(), 2);
}
}
