//! Rows by name, by number and in lists.

use std::collections::BTreeSet;

use scheduler_core::store::rows::*;
use scheduler_core::store::{GroupKind, RunQuery, Selection, TriggerQuery};
use scheduler_core::{JobKey, Text, TriggerKey};

use super::DriverUnderTest;
use super::bench::*;

/// Everything that has a name and is in a list, as texts.
#[derive(Debug, Default, PartialEq)]
struct Lists {
    jobs: Vec<String>,
    triggers: Vec<String>,
    runs: Vec<String>,
}

fn texts<T: ToString>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut texts: Vec<_> = all.into_iter().map(|one| one.to_string()).collect();
    texts.sort_unstable();
    texts
}

fn lists<R: Rows>(rows: &mut R) -> Answer<R, Lists> {
    let jobs = rows.jobs(&[], |_| true)?;
    let triggers = rows.triggers(&TriggerQuery::default(), |_, _| true)?;
    let triggers = keys(rows, triggers)?;
    let runs = rows.runs(&RunQuery::default())?;
    let runs = each(rows, runs, |rows, id| Ok(rows.get(id)?.map(|row| row.id.count())))?;
    let jobs = texts(jobs.iter().map(|job| job.key()));
    Ok(Lists { jobs, triggers: texts(triggers), runs: texts(runs.into_iter().flatten()) })
}

fn keys<R: Rows>(rows: &mut R, triggers: Vec<Id<TriggerRow>>) -> Answer<R, Vec<TriggerKey>> {
    let keys = each(rows, triggers, |rows, id| Ok(rows.get(id)?.map(|row| row.trigger.key().clone())))?;
    Ok(keys.into_iter().flatten().collect())
}

fn selected<D: DriverUnderTest>(bench: &Bench<D>, what: &Selection) -> Vec<String> {
    let keys = bench.run(|rows| {
        let selected = rows.selected(what)?;
        keys(rows, selected)
    });
    texts(keys)
}

fn job(key: &str) -> JobKey {
    key.parse().expect("a key")
}

fn key(key: &str) -> TriggerKey {
    key.parse().expect("a key")
}

/// Whether a trigger and a run are found by their names, and their rows by their numbers.
fn found<R: Rows>(rows: &mut R, trigger: &TriggerKey, number: &Name) -> Answer<R, (bool, bool)> {
    let Name::Run(run) = number else { panic!("{number:?} is no run") };
    let trigger = match rows.trigger(trigger)? {
        Some(id) => rows.get(id)?.is_some_and(|row| row.trigger.key() == trigger),
        None => false,
    };
    let is_there = match rows.run(*run)? {
        Some(id) => rows.get(id)?.is_some_and(|row| row.id == *run),
        None => false,
    };
    Ok((trigger, is_there))
}

rules! { ($) names, __driver_rules_of_names;

fn what_is_added_is_found_by_name_by_number_and_in_lists(bench) {
    bench.put(&[trigger("a", 1), trigger("group/b", 1).of("other"), run(3, 1)]);
    let found = bench.run(|rows| Ok((found(rows, &key("group/b"), &run(3, 1).name)?, lists(rows)?)));
    let strings = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    let all = Lists { jobs: strings(&["job", "other"]), triggers: strings(&["a", "group/b"]), runs: strings(&["3"]) };
    assert_eq!(found, ((true, true), all));
    let of_job = bench.run(|rows| {
        let Some(id) = rows.job(&job("other"))? else { return Ok(None) };
        Ok(rows.get(id)?.map(|row| row.detail.key().to_string()))
    });
    assert_eq!(of_job.as_deref(), Some("other"));
    let queried = TriggerQuery { keys: vec![key("a"), key("none")], ..TriggerQuery::default() };
    assert_eq!(bench.run(|rows| rows.triggers(&queried, |_, _| true)).len(), 1);
    assert_eq!(bench.run(|rows| rows.jobs(&[job("job"), job("none")], |_| true)).len(), 1);
}

fn a_name_that_was_never_added_finds_nothing(bench) {
    bench.put(&[trigger("a", 1), run(3, 1)]);
    assert_eq!(bench.run(|rows| found(rows, &key("b"), &run(4, 1).name)), (false, false));
    assert!(bench.run(|rows| rows.job(&job("b"))).is_none());
    let query = RunQuery::one(scheduler_core::run::RunId::new(7, 4));
    assert!(bench.run(|rows| rows.runs(&query)).is_empty());
}

fn a_transaction_finds_by_name_what_it_has_added_itself(bench) {
    let seen = bench.run(|rows| {
        add(rows, &trigger("a", 1))?;
        add(rows, &run(3, 1))?;
        let members = rows.job(&job("job"))?.map_or(Ok(0), |job| rows.members(job))?;
        Ok((found(rows, &key("a"), &run(3, 1).name)?, members))
    });
    assert_eq!(seen, ((true, true), 1));
}

/// From names, lists, counts, groups and lanes.
fn what_is_removed_is_nowhere_any_more(bench) {
    bench.put(&[trigger("group/a", 1).of("jobs/a"), run(3, 1)]);
    for name in [trigger("group/a", 1).name, run(3, 1).name] {
        bench.remove(&name);
    }
    assert_eq!(bench.run(|rows| found(rows, &key("group/a"), &run(3, 1).name)), (false, false));
    assert_eq!(bench.members("jobs/a"), 0);
    bench.run(|rows| rows.job(&job("jobs/a"))?.map_or(Ok(()), |job| rows.remove(job)));
    assert!(bench.run(|rows| rows.job(&job("jobs/a"))).is_none());
    assert_eq!(bench.run(lists), Lists::default());
    assert_eq!(selected(&bench, &Selection::All), [""; 0]);
    for kind in [GroupKind::Jobs, GroupKind::Triggers] {
        let groups = bench.run(|rows| rows.groups(kind));
        assert!(groups.is_empty(), "{groups:?}");
    }
    assert_eq!(names(&bench.take(ONE, 10, 10)), [""; 0]);
}

/// The new row is another one: what is left of the old one does not concern it.
fn a_name_can_be_used_again(bench) {
    let old = trigger("a", 1);
    bench.put(std::slice::from_ref(&old));
    let (taken, birth) = (bench.take_one(1), bench.run(|rows| birth_of(rows, &key("a"))));
    bench.fire(&taken, 100);
    bench.remove(&old.name);
    bench.put(&[old.due(at(5)), run(3, 5)]);
    assert_ne!(bench.run(|rows| birth_of(rows, &key("a"))), birth, "its birth is another one");
    assert_eq!(bench.due(5), ["a", "run 3"], "only the new one stands in the lane");
    bench.remove(&run(3, 5).name);
    bench.put(&[run(3, 6)]);
    assert_eq!(bench.due(6), ["a", "run 3"]);
    bench.run(|rows| end_claim(rows, taken.claim));
    assert_eq!(bench.due(6), ["a", "run 3"], "the end of the old one's claim changes nothing");
}

fn numbers_never_come_twice(bench) {
    let numbers: Vec<_> = (0..50).flat_map(|_| bench.run(|rows| Ok([rows.number(), rows.number()]))).collect();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "{numbers:?}");
}

fn names_that_begin_alike_are_not_mixed_up(bench) {
    for (n, name) in ["a", "ab", "a b", "a/b", "ab/c", "a/bc", "A", "á"].into_iter().enumerate() {
        bench.put(&[trigger(name, 1).of(name)]);
        assert_eq!(bench.members(name), 1, "`{name}` is the only trigger of its job");
        assert_eq!(selected(&bench, &Selection::Job(job(name))), [name]);
        assert_eq!(selected(&bench, &Selection::All).len(), n + 1);
    }
    assert_eq!(bench.run(|rows| rows.groups(GroupKind::Jobs)).get("a"), Some(&2));
    bench.remove(&trigger("a", 1).name);
    assert_eq!((bench.members("a"), bench.members("ab"), bench.members("a/b")), (0, 1, 1));
}

fn the_triggers_of_a_job_are_counted(bench) {
    bench.put(&[trigger("a", 1), trigger("b", 1), trigger("c", 1).of("other")]);
    assert_eq!((bench.members("job"), bench.members("other")), (2, 1));
    bench.change(&trigger("b", 1).of("other"));
    assert_eq!((bench.members("job"), bench.members("other")), (1, 2), "one has moved to the other job");
    bench.remove(&trigger("c", 1).name);
    bench.remove(&trigger("a", 1).name);
    assert_eq!((bench.members("job"), bench.members("other")), (0, 1));
    let counted = bench.run(|rows| {
        add(rows, &trigger("d", 1))?;
        remove(rows, &trigger("b", 1).name)?;
        let mut counts = Vec::new();
        for key in ["job", "other"] {
            counts.push(rows.job(&job(key))?.map_or(Ok(9), |job| rows.members(job))?);
        }
        Ok(counts)
    });
    assert_eq!(counted, [1, 0], "also within the transaction");
}

/// By job types and priorities alike; neither claimed nor held runs, nor triggers.
fn the_runs_that_wait_in_a_queue_are_counted(bench) {
    let queue = std::sync::Arc::from("q");
    let length = || bench.run(|rows| rows.room_in(&queue, 1, 0)).expect_err("no room for one more");
    assert_eq!(length(), 0);
    bench.put(&[run(1, 1).in_queue("q"), run(2, 2).in_queue("q").in_lane("other"), run(3, 3).in_queue("p"), trigger("a", 9).in_queue("q")]);
    assert_eq!(length(), 2);
    assert_eq!(bench.run(|rows| rows.room_in(&queue, 1, 3)), Ok(()));
    assert_eq!(bench.run(|rows| rows.room_in(&queue, 2, 3)), Err(2));
    let taken = bench.take_one(1);
    assert_eq!(length(), 1, "one is claimed");
    bench.give_back(&taken);
    assert_eq!(length(), 2);
    bench.remove(&taken.name);
    assert_eq!(length(), 1);
}

fn groups_are_counted(bench) {
    bench.put(&[trigger("x/a", 1), trigger("x/b", 1), trigger("c", 1), trigger("y/a", 1).of("j/a")]);
    let groups = |kind| -> Vec<_> {
        let groups = bench.run(|rows| rows.groups(kind));
        groups.into_iter().map(|(name, count)| (name.to_string(), count)).collect()
    };
    let is = |name: &str, count| (name.to_owned(), count);
    assert_eq!(groups(GroupKind::Triggers), [is("DEFAULT", 1), is("x", 2), is("y", 1)]);
    assert_eq!(groups(GroupKind::Jobs), [is("DEFAULT", 1), is("j", 1)]);
    bench.remove(&trigger("x/a", 1).name);
    bench.remove(&trigger("y/a", 1).name);
    assert_eq!(groups(GroupKind::Triggers), [is("DEFAULT", 1), is("x", 1)]);
}

fn triggers_are_selected_by_name_job_and_group(bench) {
    bench.put(&[trigger("x/a", 1), trigger("y/a", 1).of("j/other"), trigger("a", 1).of("j/other")]);
    let select = |what: Selection| selected(&bench, &what);
    assert_eq!(select(Selection::Trigger(key("x/a"))), ["x/a"]);
    assert_eq!(select(Selection::Trigger(key("x/b"))), [""; 0]);
    assert_eq!(select(Selection::Job(job("j/other"))), ["a", "y/a"]);
    assert_eq!(select(Selection::TriggerGroup(Text::Is("x".into()))), ["x/a"]);
    assert_eq!(select(Selection::JobGroup(Text::Is("j".into()))), ["a", "y/a"]);
    assert_eq!(select(Selection::All), ["a", "x/a", "y/a"]);
}

}

fn birth_of<R: Rows>(rows: &mut R, key: &TriggerKey) -> Answer<R, Option<u64>> {
    let Some(id) = rows.trigger(key)? else { return Ok(None) };
    Ok(rows.get(id)?.map(|row| row.birth))
}
