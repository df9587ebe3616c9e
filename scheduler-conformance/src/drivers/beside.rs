//! What stands beside rows: pauses, calendars, marks, alarms.

use std::sync::Arc;

use chrono::{DateTime, Utc, Weekday};
use chrono_tz::Tz;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::store::rows::*;
use scheduler_core::store::{GroupKind, Mark, PauseNote, StoredState};
use scheduler_core::trigger::OverlapPolicy;
use scheduler_core::{JobKey, TriggerKey};

use super::DriverUnderTest;
use super::bench::*;

fn calendar(day: Weekday) -> Arc<StandardCalendar> {
    Arc::new(StandardCalendar::new(Exclusion::weekly(&[day]), Tz::UTC))
}

fn note(until: i64) -> PauseNote {
    PauseNote { until: Some(at(until)), ..PauseNote::at(t0()) }
}

fn key(key: &str) -> TriggerKey {
    key.parse().expect("a key")
}

/// What rings by then: names of triggers, and whether pauses do.
fn rings<D: DriverUnderTest>(bench: &Bench<D>, now: DateTime<Utc>) -> (Vec<String>, bool) {
    bench.run(|rows| {
        let (mut triggers, mut pauses) = (Vec::new(), false);
        for alarm in rows.alarms(now)? {
            match alarm {
                Alarm::Trigger(id) => triggers.extend(rows.get(id)?.map(|row| row.trigger.key().to_string())),
                Alarm::Pauses => pauses = true,
                Alarm::Claim(_) | Alarm::Run(_) | Alarm::Batch(_) | Alarm::Excess(_) => {}
            }
        }
        triggers.sort_unstable();
        Ok((triggers, pauses))
    })
}

rules! { ($) beside, __driver_rules_of_beside;

fn pauses_are_remembered(bench) {
    let groups = [Arc::from("a"), Arc::from("")];
    bench.run(|rows| rows.edit_pauses(|pauses| pauses.remember(GroupKind::Triggers, &groups, &note(9))));
    let known = |group: &str| {
        bench.run(|rows| Ok(rows.pauses()?.of_group(GroupKind::Triggers, group).map(|note| note.until)))
    };
    assert_eq!((known("a"), known(""), known("b")), (Some(Some(at(9))), Some(Some(at(9))), None));
    bench.run(|rows| rows.edit_pauses(Pauses::forget_all));
    assert_eq!(known("a"), None);
}

fn calendars_are_found_by_name_and_listed_in_order(bench) {
    let set = |name: &str, day: Option<Weekday>| {
        let calendar = |day| calendar(day) as Arc<dyn scheduler_core::calendar::Calendar>;
        bench.run(|rows| rows.set_calendar(name.into(), day.map(calendar)));
    };
    let listed = || -> Vec<_> {
        bench.run(Rows::calendars).into_iter().map(|(name, _)| name.to_string()).collect()
    };
    let allows = |name: &str| bench.run(|rows| Ok(rows.calendar(name)?.map(|calendar| calendar.includes(t0()))));
    // It is a Friday.
    set("b", Some(Weekday::Fri));
    set("á", Some(Weekday::Fri));
    set("ab", Some(Weekday::Fri));
    assert_eq!(listed(), ["ab", "b", "á"]);
    assert_eq!((allows("b"), allows("a")), (Some(false), None));
    set("b", Some(Weekday::Mon));
    set("ab", None);
    assert_eq!(allows("b"), Some(true), "it was replaced");
    assert_eq!(listed(), ["b", "á"]);
}

fn a_trigger_that_names_a_calendar_is_found(bench) {
    for name in ["a", "ab"] {
        bench.run(|rows| rows.set_calendar(name.into(), Some(calendar(Weekday::Fri))));
    }
    bench.put(&[trigger("t", 1), trigger("u", 1)]);
    let name_it = |trigger: &str, calendar: Option<&str>| bench.run(|rows| {
        let Some(id) = rows.trigger(&key(trigger))? else { return Ok(None) };
        rows.edit(id, |row| {
            let mut builder = Work { priority: 1, ..super::bench::trigger(trigger, 1) }.trigger().0.to_builder();
            if let Some(calendar) = calendar {
                builder = builder.calendar(calendar);
            }
            row.trigger = Arc::new(builder.build(t0()).expect("a trigger"));
        })
    });
    let user = |calendar: &str| bench.run(|rows| rows.user_of(calendar)).map(|key| key.to_string());
    assert_eq!(user("a"), None);
    name_it("t", Some("ab"));
    assert_eq!((user("a"), user("ab").as_deref()), (None, Some("t")), "a name is not its beginning");
    name_it("u", Some("ab"));
    bench.remove(&trigger("t", 1).name);
    assert_eq!(user("ab").as_deref(), Some("u"));
    name_it("u", None);
    assert_eq!(user("ab"), None);
}

fn marks_are_written_and_read(bench) {
    let read = |name: &str| bench.run(|rows| rows.mark(&name.into()));
    let write = |name: &str, text: &str, revision| bench.run(|rows| {
        rows.mark(&name.into())?;
        rows.set_mark(name.into(), Mark { text: text.into(), revision });
        Ok(())
    });
    assert_eq!(read("a"), None);
    write("a", "", 1);
    write("ab", "schön\0", u64::MAX);
    let is = |text: &str, revision| Some(Mark { text: text.into(), revision });
    assert_eq!((read("a"), read("ab")), (is("", 1), is("schön\0", u64::MAX)));
    write("a", "b", 2);
    assert_eq!((read("a"), read("")), (is("b", 2), None));
}

/// When a pause ends, and when a run is to make room for the next one.
fn alarms_ring_when_their_time_has_come(bench) {
    bench.put(&[trigger("paused", 1), trigger("cancels", 5), trigger("waits", 1)]);
    let edit = |name: &str, edit: fn(&mut TriggerRow)| bench.run(|rows| {
        rows.trigger(&key(name))?.map_or(Ok(None), |id| rows.edit(id, edit))
    });
    edit("paused", |row| {
        row.state = StoredState::Paused;
        row.set_pause(Some(note(7)));
    });
    edit("cancels", |row| {
        let trigger = row.trigger.to_builder().overlap(OverlapPolicy::CancelPrevious).build(t0());
        (row.trigger, row.running) = (Arc::new(trigger.expect("a trigger")), 1);
    });
    bench.run(|rows| rows.edit_pauses(|pauses| pauses.remember(GroupKind::Jobs, &["g".into()], &note(8))));
    let triggers = |seconds| rings(&bench, at(seconds)).0;
    assert_eq!(triggers(4), [""; 0]);
    assert_eq!(triggers(5), ["cancels"]);
    assert_eq!(triggers(7), ["cancels", "paused"]);
    assert!(!rings(&bench, at(7)).1 && rings(&bench, at(8)).1, "pauses of groups end, too");
    edit("cancels", |row| row.superseded = true);
    edit("paused", |row| row.state = StoredState::Waiting);
    assert_eq!(triggers(9), [""; 0], "the alarm goes with its reason");
    edit("paused", |row| row.state = StoredState::Paused);
    bench.remove(&trigger("paused", 1).name);
    assert_eq!(triggers(9), [""; 0], "and with its trigger");
}

fn a_job_can_be_replaced(bench) {
    bench.put(&[trigger("a", 1)]);
    let job = JobKey::new("job").expect("a key");
    bench.run(|rows| {
        let Some(id) = rows.job(&job)? else { return Ok(None) };
        rows.edit(id, |row| row.detail = Arc::new(row.detail.to_builder().description("new").build()))
    });
    let described = bench.run(|rows| Ok(rows.jobs(std::slice::from_ref(&job), |_| true)?.pop()));
    assert_eq!(described.and_then(|job| job.description().map(str::to_owned)).as_deref(), Some("new"));
    assert_eq!((bench.members("job"), bench.due(1)), (1, vec!["a".to_owned()]));
}

}
