//! Nodes, administrators and a shutdown, on the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::TriggerKey;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use shuttle::future::block_on;
use shuttle::sync::Mutex;
use shuttle::thread;

use super::explore;

fn begin() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

/// Every trigger has been due for long, and comes three times.
fn now() -> DateTime<Utc> {
    begin() + TimeDelta::hours(1)
}

const TIMES: usize = 3;

fn node(session: u64) -> Node {
    let (wake, stop) = (Arc::new(|| {}), Arc::new(|_, _| {}));
    Node { session, name: "node".into(), types: None, queues: QueueFilter::default(), wake, stop }
}

/// A store, and what has run.
#[derive(Clone)]
struct World {
    store: Arc<MemoryJobStore>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    runs: HashMap<(TriggerKey, DateTime<Utc>), usize>,
    running: HashMap<String, usize>,
    fences: HashMap<String, u64>,
}

impl World {
    fn new(jobs: &[(JobDetail, &[&str])]) -> Self {
        let store = Arc::new(MemoryJobStore::new());
        for session in [1, 2] {
            block_on(store.attach(node(session))).unwrap();
        }
        let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
        for (job, names) in jobs {
            let built = |builder: TriggerBuilder| {
                let trigger = builder.job(job.key().clone()).build(begin()).unwrap();
                let progress = trigger.first(None);
                (Arc::new(trigger), progress)
            };
            let minutely = |name: &&str| {
                built(Trigger::every(Duration::from_secs(60)).name(*name).start_at(begin()).repeat(2))
            };
            let triggers = names.iter().map(minutely).collect();
            let jobs = vec![Arc::new(job.clone())];
            block_on(store.put(Put { jobs, existing_jobs, triggers, existing_triggers })).unwrap();
        }
        Self { store, log: Arc::default() }
    }

    fn acquire(&self, session: u64, max: usize) -> Vec<AcquiredTrigger> {
        let limits = QueueLimits::default();
        let request = AcquireDue {
            session,
            now: now(),
            until: now(),
            max,
            limits,
            shares: Vec::new(),
            late: None,
            heard: None,
        };
        block_on(self.store.acquire_due(request)).unwrap().triggers
    }

    fn fire(&self, acquired: &AcquiredTrigger) -> Option<ExecutionId> {
        let progress = acquired.trigger.fired(&acquired.progress, None);
        let firing = Firing { claim: acquired.claim, progress, dropped: None };
        let result = block_on(self.store.fire(Fire { now: now(), firings: vec![firing] })).unwrap().remove(0);
        let FireResult::Run { fence, job } = result else { return None };
        let mut log = self.log.lock().unwrap();
        let due = acquired.progress.next.unwrap();
        *log.runs.entry((acquired.trigger.key().clone(), due)).or_default() += 1;
        let name = job.key().to_string();
        let running = log.running.entry(name.clone()).or_default();
        *running += 1;
        assert!(!job.disallow_concurrent() || *running == 1, "two runs of `{name}` at once");
        let last = log.fences.insert(name, fence).unwrap_or_default();
        assert!(!job.disallow_concurrent() || fence > last, "the fence {fence} comes after {last}");
        Some(acquired.claim)
    }

    fn complete(&self, acquired: &AcquiredTrigger) {
        // The run is over before the store hears of it.
        *self.log.lock().unwrap().running.get_mut(&acquired.trigger.job().to_string()).unwrap() -= 1;
        let completion = Completion::of(acquired.claim);
        let complete = Complete { now: now(), executions: vec![completion] };
        let result = block_on(self.store.complete(complete)).unwrap()[0];
        assert_ne!(result, CompleteResult::Gone);
    }

    /// What a node does in one round; false if there was nothing to do.
    fn round(&self, session: u64, max: usize) -> bool {
        let acquired = self.acquire(session, max);
        for claim in &acquired {
            thread::yield_now();
            if self.fire(claim).is_some() {
                thread::yield_now();
                self.complete(claim);
            }
        }
        !acquired.is_empty()
    }

    /// A node that goes on until nothing is left, looking again a few times.
    fn node(&self, session: u64, max: usize) {
        let mut idle = 0;
        while idle < 3 {
            idle = if self.round(session, max) { 0 } else { idle + 1 };
            thread::yield_now();
        }
    }

    fn pause(&self, what: Selection) {
        block_on(self.store.pause(Pause { what, note: PauseNote::at(now()) })).unwrap();
    }

    fn resume(&self, what: Selection) {
        block_on(self.store.resume(what)).unwrap();
    }

    /// One node finishes what is left; then everything has run exactly once.
    fn account(&self, triggers: &[&str]) {
        self.node(1, 10);
        let log = self.log.lock().unwrap();
        for name in triggers {
            let key: TriggerKey = name.parse().unwrap();
            for number in 0..TIMES {
                let due = begin() + TimeDelta::minutes(i64::try_from(number).unwrap());
                assert_eq!(log.runs.get(&(key.clone(), due)), Some(&1), "runs of `{name}` at {due}");
            }
        }
        assert_eq!(log.runs.len(), triggers.len() * TIMES);
        assert!(block_on(self.store.executions(Executions::All)).unwrap().is_empty());
    }
}

fn job(name: &str, exclusive: bool) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), "work").disallow_concurrent(exclusive).build()
}

/// Case H1.
#[test]
fn h01_nodes_come_and_go_and_are_listed_while_others_work() {
    explore(3_000, || {
        let world = World::new(&[(job("one", true), &["a"])]);
        let (comes, lists) = (world.clone(), world.clone());
        let comes = thread::spawn(move || {
            block_on(comes.store.attach(node(3))).unwrap();
            block_on(comes.store.detach(3)).unwrap();
        });
        let lists = thread::spawn(move || {
            for _ in 0..2 {
                let nodes = block_on(lists.store.nodes()).unwrap();
                let sessions: Vec<_> = nodes.iter().map(|node| node.session).collect();
                assert!(sessions == [1, 2] || sessions == [1, 2, 3], "{sessions:?}");
            }
        });
        world.node(1, 2);
        comes.join().unwrap();
        lists.join().unwrap();
        world.account(&["a"]);
    });
}

#[test]
fn two_nodes_share_the_work() {
    explore(3_000, || {
        let world = World::new(&[(job("one", true), &["a", "b"]), (job("many", false), &["c"])]);
        let other = world.clone();
        let second = thread::spawn(move || other.node(2, 1));
        world.node(1, 2);
        second.join().unwrap();
        world.account(&["a", "b", "c"]);
    });
}

#[test]
fn pausing_and_resuming_loses_and_doubles_nothing() {
    explore(3_000, || {
        let world = World::new(&[(job("one", true), &["a", "b"]), (job("many", false), &["c"])]);
        let (node, admin) = (world.clone(), world.clone());
        let node = thread::spawn(move || node.node(2, 2));
        let admin = thread::spawn(move || {
            admin.pause(Selection::Trigger("a".parse().unwrap()));
            admin.pause(Selection::All);
            admin.resume(Selection::All);
        });
        world.node(1, 2);
        node.join().unwrap();
        admin.join().unwrap();
        world.account(&["a", "b", "c"]);
    });
}

#[test]
fn a_node_that_shuts_down_gives_its_claims_back() {
    explore(3_000, || {
        let world = World::new(&[(job("one", true), &["a", "b"]), (job("many", false), &["c"])]);
        let leaving = world.clone();
        let leaving = thread::spawn(move || {
            leaving.round(2, 1);
            let claims = leaving.acquire(2, 3).iter().map(|acquired| acquired.claim).collect();
            block_on(leaving.store.release(claims)).unwrap();
        });
        world.node(1, 2);
        leaving.join().unwrap();
        world.account(&["a", "b", "c"]);
    });
}

#[test]
fn removing_a_trigger_while_it_is_fired_leaves_its_job_free() {
    explore(3_000, || {
        let world = World::new(&[(job("one", true), &["a", "b"])]);
        let admin = world.clone();
        let admin = thread::spawn(move || {
            block_on(admin.store.remove_triggers(vec!["a".parse().unwrap()])).unwrap();
        });
        world.node(1, 2);
        admin.join().unwrap();
        world.node(1, 2);
        let log = world.log.lock().unwrap();
        let of_b = log.runs.iter().filter(|((key, _), count)| key.name() == "b" && **count == 1);
        assert_eq!(of_b.count(), TIMES, "b is not held up");
        assert!(log.runs.values().all(|count| *count == 1));
    });
}

#[test]
fn a_repeated_fire_and_a_pause_agree() {
    // Small enough to look at every order.
    shuttle::check_dfs(
        || {
            let world = World::new(&[(job("one", true), &["a"])]);
            let acquired = world.acquire(1, 1).remove(0);
            let admin = world.clone();
            let admin = thread::spawn(move || {
                admin.pause(Selection::All);
                admin.resume(Selection::All);
            });
            let progress = acquired.trigger.fired(&acquired.progress, None);
            let firing = Firing { claim: acquired.claim, progress, dropped: None };
            let fire = || {
                let fire = Fire { now: now(), firings: vec![firing.clone()] };
                block_on(world.store.fire(fire)).unwrap().remove(0)
            };
            let (first, second) = (fire(), fire());
            let ran = |result: &FireResult| matches!(result, FireResult::Run { .. });
            assert_eq!(ran(&first), ran(&second), "a repeated call is answered the same");
            if ran(&first) {
                let complete = Complete { now: now(), executions: vec![Completion::of(acquired.claim)] };
                block_on(world.store.complete(complete)).unwrap();
            }
            admin.join().unwrap();
            let rest = if ran(&first) { TIMES - 1 } else { TIMES };
            for _ in 0..rest {
                assert!(world.round(1, 1));
            }
            assert!(!world.round(1, 1));
        },
        None,
    );
}
