//! What a transaction writes, as operations of the script `commit.lua`.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use scheduler_core::Result;
use scheduler_core::job::CancelReason;
use scheduler_core::run::GateId;
use scheduler_core::store::rows::{ClaimRow, Id, Item, JobRow, RunRow, TriggerRow};
use scheduler_core::store::view::{Change, Version, View, record};

use crate::bundles::Places;
use crate::codec;
use crate::commit_runs::{Alone, Over, over_of};
use crate::firings;
use crate::names::Names;
use crate::ops::record as whole;
pub(crate) use crate::ops::{Ops, Step, Words, known, lane_name, operation, text};
pub(crate) use crate::stand::{Stand, stand_of, stand_of_run};

/// What a check was about.
#[derive(Debug, Clone)]
pub(crate) enum Checked {
    Job(Id<JobRow>),
    Trigger(Id<TriggerRow>),
    Run(Id<RunRow>),
    Claim(Id<ClaimRow>),
    Chore,
    Other,
}

/// An entry of the list of chores, of the version that was read; without a record it goes.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) number: String,
    pub(crate) version: Version,
    pub(crate) record: Option<Vec<u8>>,
    /// There must be no other.
    pub(crate) is_alone: bool,
}

impl Entry {
    /// None is written; there must be none.
    pub(crate) fn alone() -> Self {
        Self { number: String::new(), version: 0, record: None, is_alone: true }
    }
}

/// Why a run is to stop, as `stop:<session>` has it.
pub(crate) fn reason(reason: CancelReason) -> &'static str {
    if reason == CancelReason::Superseded { "superseded" } else { "requested" }
}

/// Puts together what a view wants to be checked and written.
pub(crate) struct Commit {
    checks: Words,
    checked: Vec<Checked>,
    /// Runs that are stored only if they are not there yet, in the order of their words.
    pub(crate) added: Vec<Id<RunRow>>,
    pub(crate) ops: Ops,
    /// Whether runs end and are kept: there may be too many of them now.
    pub(crate) ends: bool,
    /// By how much the claims of queues change.
    pub(crate) queues: BTreeMap<Arc<str>, i64>,
    /// By how much the use of gates changes.
    pub(crate) gates: BTreeMap<GateId, i64>,
    pub(crate) version: Version,
}

impl Commit {
    /// None if nothing is to be written. With `compares`, checks alone are a commit, too.
    pub(crate) fn of(
        view: &mut View<Names>,
        version: Version,
        keeps: usize,
        entry: Option<&Entry>,
        compares: bool,
    ) -> Result<Option<Self>> {
        let (checks, checked, added, ops, queues, gates) = Default::default();
        let mut commit = Self { checks, checked, added, ops, ends: false, queues, gates, version };
        if let Some(entry) = entry {
            commit.chore(entry);
        }
        let is_woken = view.is_woken();
        let ended: Vec<_> = view.ended().iter().map(|run| text(run.to_string())).collect();
        // The names are only looked up, but belong to the view.
        let names = std::mem::replace(view.names(), Names::nothing());
        let done = commit.write(view, &names, keeps);
        *view.names() = names;
        done?;
        if commit.ops.is_empty() && (!compares || commit.checked.is_empty()) {
            return Ok(None);
        }
        if is_woken {
            commit.ops.add(Step::Wake, "", []);
        }
        if !ended.is_empty() {
            commit.ops.add(Step::Ended, "", ended);
        }
        Ok(Some(commit))
    }

    fn write(&mut self, view: &View<Names>, names: &Names, keeps: usize) -> Result<()> {
        for change in view.jobs().changes() {
            self.job(&change, names)?;
        }
        let shown: HashSet<_> = view.shown().iter().copied().collect();
        for change in view.triggers().changes() {
            self.trigger(&change, names, shown.contains(&change.id))?;
        }
        let written: HashSet<_> = view.triggers().changes().map(|change| change.id).collect();
        for id in shown.difference(&written) {
            if let Some(stand) = view.triggers().row(*id).and_then(|row| stand_of(row, names)) {
                self.stand(stand, None);
            }
        }
        let over = over_of(view, names);
        self.runs_and_claims(view, names, &over)?;
        if let (_, Some(rest)) = view.changed_rest() {
            let rest = whole(self.version, crate::rest::write(rest)?);
            self.ops.add(Step::Set, "rest", [rest]);
            self.ops.add(Step::Wake, "", []);
        }
        for (name, mark) in view.changed_marks() {
            let mut words = mark.revision.to_be_bytes().to_vec();
            words.extend(mark.text.as_bytes());
            self.ops.add(Step::HSet, "marks", [text(&**name), whole(self.version, words)]);
        }
        if keeps > 0 && !view.records().is_empty() {
            self.ops.add(Step::Firings, keeps.to_string(), firings::write(view.records()));
        }
        for (queue, change) in std::mem::take(&mut self.queues) {
            self.ops.add(Step::Queue, "", [text(codec::queue(&queue)), text(change.to_string())]);
        }
        for (gate, change) in std::mem::take(&mut self.gates) {
            self.ops.add(Step::Gate, "", [text(gate.text()), text(change.to_string())]);
        }
        self.batches(view, names);
        for (gate, since) in view.unbegun() {
            let Some(pace) = gate.pace else { continue };
            let numbers =
                [gate.weight, gate.cap, pace.window, pace.burst].map(|number| text(number.to_string()));
            let since = text(since.timestamp_millis().to_string());
            self.ops.add(
                Step::Unbegin,
                "",
                [vec![text(gate.id.text())], numbers.to_vec(), vec![since]].concat(),
            );
        }
        for (limit, cap) in view.caps() {
            let set = cap.as_ref().map(crate::limits::write).transpose()?.unwrap_or_default();
            self.ops.add(Step::Cap, "", [text(limit.text()), text(set)]);
        }
        for (gate, until) in view.shut_gates() {
            let until = text(until.timestamp_millis().to_string());
            self.ops.add(Step::Shut, "", [text(gate.text()), until]);
        }
        self.check(view, names, &over);
        Ok(())
    }

    fn runs_and_claims(&mut self, view: &View<Names>, names: &Names, over: &Over) -> Result<()> {
        let run_of = |claim: &ClaimRow| match claim.item {
            Item::Run(run) => Some(run),
            Item::Trigger(_) => None,
        };
        let claimed = view.claims().changes().filter(|change| !over.contains_key(&change.id));
        let claimed = claimed.filter(|change| change.before.is_none() || change.after.is_none());
        let claimed = claimed.filter_map(|change| change.before.or(change.after).and_then(run_of));
        let claimed: HashSet<_> = claimed.collect();
        let shown: HashSet<_> = view.shown_runs().iter().copied().collect();
        let of_over: HashMap<_, _> = over.values().copied().collect();
        let absent = view.runs().reads().filter(|(_, version)| *version == 0);
        let absent: HashSet<_> = absent.map(|(id, _)| id).collect();
        for change in view.runs().changes() {
            let run = names.run_id(change.id);
            let is_over = match of_over.get(&run) {
                // The record is all that there is of the run, and the step that ends its claim removes it.
                Some(Alone(false)) if change.before.is_none_or(|row| row.alarm().is_none()) => continue,
                found => found.is_some(),
            };
            self.run(
                &change,
                names,
                (is_over || claimed.contains(&run), is_over),
                (shown.contains(&change.id), absent.contains(&change.id)),
            )?;
        }
        for id in &shown {
            let is_written = view.runs().changes().any(|change| change.id == *id);
            let stand = view.runs().row(*id).and_then(|row| stand_of_run(row, names));
            stand.into_iter().filter(|_| !is_written).for_each(|stand| self.stand(stand, None));
        }
        for change in view.claims().changes() {
            let is_named = view.claims().loaded_version(change.id).is_some_and(codec::is_only_named);
            self.claim(&change, names, (over.contains_key(&change.id), is_named))?;
            if let (None, Some(run)) = (change.before, change.after.and_then(run_of)) {
                // It is claimed as before, by a node of which the server did not know any more.
                let row = view.runs().known().find(|row| row.id == run);
                row.and_then(|row| stand_of_run(row, names)).into_iter().for_each(|stand| self.leave(stand));
            }
        }
        Ok(())
    }

    fn check(&mut self, view: &View<Names>, names: &Names, over: &Over) {
        let mut rows = BTreeMap::<Arc<str>, (Words, Vec<Checked>)>::new();
        let mut is = |hash: &str, key: String, version: Version, about: Checked| {
            let known = known(version);
            let (words, checked) = rows.entry(hash.into()).or_default();
            words.extend([text(key), known]);
            checked.push(about);
        };
        for (id, version) in view.jobs().reads() {
            is("jobs", codec::key(names.key_of_job(id)), version, Checked::Job(id));
        }
        for (id, version) in view.triggers().reads() {
            is("triggers", codec::key(names.trigger_key(id)), version, Checked::Trigger(id));
        }
        let added: HashSet<_> = self.added.iter().copied().collect();
        for (id, version) in view.runs().reads().filter(|(id, _)| !added.contains(id)) {
            is("runs", codec::run(names.run_id(id)), version, Checked::Run(id));
        }
        let (mut held, mut unheld, mut ended) = <(Places<_>, Places<_>, Places<_>)>::default();
        for (id, version) in view.claims().reads() {
            let Some((home, execution)) = names.home_of(id) else { continue };
            if codec::is_only_named(version) {
                held.add(home, *execution, Checked::Claim(id));
                continue;
            }
            is(home, codec::claim(*execution), version, Checked::Claim(id));
            if version == 0 {
                unheld.add(home, *execution, Checked::Claim(id));
            }
        }
        for (name, version) in view.read_marks() {
            is("marks", name.to_string(), version, Checked::Other);
        }
        for id in over.keys() {
            if let Some((home, execution)) = names.home_of(*id) {
                ended.add(home, *execution, ());
            }
        }
        for (name, places) in [("held", held), ("unheld", unheld)] {
            for (home, (words, checked)) in places.words() {
                self.add_check(name, &home, words, checked);
            }
        }
        for (home, (words, _)) in ended.words() {
            self.ops.add(Step::Over, home, words);
        }
        for (hash, (words, checked)) in rows {
            self.add_check("is", &hash, words, checked);
        }
        if let (Some(version), _) = view.changed_rest() {
            self.add_check("only", "rest", vec![known(version)], vec![Checked::Other]);
        }
        self.check_what_versions_do_not_cover(view, names);
    }

    /// Claims that may have come, and counts.
    fn check_what_versions_do_not_cover(&mut self, view: &View<Names>, names: &Names) {
        let mut unfired = Words::new();
        for (trigger, _) in view.unfired() {
            unfired.extend([text(codec::key(names.trigger_key(trigger))), text(names.noted_at(trigger))]);
        }
        self.check_unclaimed(view, names);
        self.check_counts(view);
        let holders =
            view.holders().flat_map(|(job, _)| [text(codec::key(job)), text(names.noted_holder(job))]);
        let holders: Words = holders.collect();
        let of = view.counted().flat_map(|(job, count)| {
            [text(format!("{}\0\0", codec::key(names.key_of_job(job)))), text(count.to_string())]
        });
        let of: Words = of.collect();
        let several = view.several().flat_map(|(job, least)| {
            [text(format!("{}\0\0", codec::key(names.key_of_job(job)))), text(least.to_string())]
        });
        let several: Words = several.collect();
        let tags = view.tags().flat_map(|(tag, count)| [text(codec::tag(tag)), text(count.to_string())]);
        let tags: Words = tags.collect();
        let by: Words =
            view.unused().flat_map(|calendar| [text(format!("{calendar}\0\0")), text("0")]).collect();
        for (queue, most) in view.rooms() {
            self.add_check("room", &codec::queue(queue), vec![text(most.to_string())], vec![Checked::Other]);
        }
        let all = [
            ("value", "at", unfired),
            ("value", "busy", holders),
            ("count", "of", of),
            ("several", "of", several),
            ("count", "by", by),
            ("count", "tags", tags),
        ];
        for (name, key, words) in all {
            let many = words.len() / 2;
            if many > 0 {
                self.add_check(name, key, words, vec![Checked::Other; many]);
            }
        }
    }

    /// Of a run that is claimed, its claim is compared.
    fn check_unclaimed(&mut self, view: &View<Names>, names: &Names) {
        let mut unclaimed = BTreeMap::<&str, Words>::new();
        for (run, _) in view.claims_of_runs().filter(|(_, claim)| claim.is_none()) {
            let name = codec::run(names.run_id(run));
            let (zset, member) =
                names.noted_place(run).map_or(("", &[][..]), |(zset, member)| (zset, member));
            unclaimed.entry(zset).or_default().extend([member.to_vec(), text(name)]);
        }
        for (zset, words) in unclaimed {
            let many = words.len() / 2;
            self.add_check("unclaimed", zset, words, vec![Checked::Other; many]);
        }
    }

    pub(crate) fn add_check(&mut self, name: &str, key: &str, words: Words, checked: Vec<Checked>) {
        self.checks.extend([text(name), text(key), text(words.len().to_string())]);
        self.checks.extend(words);
        self.checked.extend(checked);
    }

    fn chore(&mut self, entry: &Entry) {
        if entry.is_alone {
            self.add_check("none", "chores", Vec::new(), vec![Checked::Chore]);
        }
        if entry.number.is_empty() {
            return;
        }
        let number = text(&entry.number);
        self.add_check("is", "chores", vec![number.clone(), known(entry.version)], vec![Checked::Chore]);
        match &entry.record {
            Some(chore) => self.ops.add(Step::HSet, "chores", [number, whole(self.version, chore.clone())]),
            None => self.ops.add(Step::HDel, "chores", [number]),
        }
    }

    fn job(&mut self, change: &Change<'_, JobRow>, names: &Names) -> Result<()> {
        let key = text(codec::key(names.key_of_job(change.id)));
        match change.after {
            Some(row) => {
                let record = whole(self.version, record::job(row)?);
                self.ops.add(Step::HSet, "jobs", [key.clone(), record]);
                if change.before.is_none() {
                    self.ops.add(Step::ZAdd, "nj", [text("0"), key]);
                }
            }
            None => {
                self.ops.add(Step::HDel, "jobs", [key.clone()]);
                self.ops.add(Step::ZRem, "nj", [key]);
            }
        }
        Ok(())
    }

    fn trigger(&mut self, change: &Change<'_, TriggerRow>, names: &Names, is_shown: bool) -> Result<()> {
        let key = codec::key(names.trigger_key(change.id));
        let (before, after) = (change.before, change.after);
        match after {
            Some(row) => {
                let record = whole(self.version, record::trigger(row, names)?);
                self.ops.add(Step::HSet, "triggers", [text(&key), record]);
            }
            None => self.ops.add(Step::HDel, "triggers", [text(&key)]),
        }
        self.index(Step::ZAdd, "nt", before.map(|_| key.clone()), after.map(|_| key.clone()));
        let of = |row: &TriggerRow| format!("{}\0\0{key}", codec::key(row.trigger.job()));
        self.index(Step::ZAdd, "of", before.map(of), after.map(of));
        let by = |row: &TriggerRow| Some(format!("{}\0\0{key}", row.trigger.calendar()?));
        self.index(Step::ZAdd, "by", before.and_then(by), after.and_then(by));
        let alone = |row: &TriggerRow| row.exclusive.then(|| codec::key(row.trigger.job()));
        match (before.and_then(alone), after.and_then(alone)) {
            (before, Some(job)) if before.as_ref() != Some(&job) => {
                self.ops.add(Step::HSet, "alone", [text(&key), text(job)]);
            }
            (Some(_), None) => self.ops.add(Step::HDel, "alone", [text(&key)]),
            _ => {}
        }
        let alarm = |row: &TriggerRow| row.alarm().map(|at| at.timestamp_millis());
        match (before.and_then(alarm), after.and_then(alarm)) {
            (before, Some(at)) if before != Some(at) => {
                self.ops.add(Step::ZAdd, "alarms", [text(at.to_string()), text(&key)]);
                self.ops.add(Step::Wake, "", []);
            }
            (Some(_), None) => self.ops.add(Step::ZRem, "alarms", [text(&key)]),
            _ => {}
        }
        let stand = |row: &TriggerRow| stand_of(row, names);
        let (before_at, after_at) = (before.and_then(stand), after.and_then(stand));
        let is_moved = before_at != after_at;
        let stays =
            before_at.as_ref().zip(after_at.as_ref()).is_some_and(|(before, after)| after.replaces(before));
        if let Some(stand) = before_at.filter(|_| is_moved && !stays) {
            self.leave(stand);
        }
        if let Some(stand) = after_at.filter(|_| is_moved || is_shown) {
            self.stand(stand, (!is_shown && before.is_some()).then_some(key));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, stand: Stand) {
        if !stand.gates.is_empty() {
            let words = [stand.name(), stand.member.clone(), stand.fair()];
            self.ops.add(Step::Unpark, &*stand.lane, words);
        }
        match stand.alone {
            Some(job) => self.ops.add(Step::LeaveAlone, stand.lane, [text(job), stand.member]),
            None => self.ops.add(Step::Leave, stand.lane, [stand.member]),
        }
    }

    pub(crate) fn index(&mut self, step: Step, key: &str, before: Option<String>, after: Option<String>) {
        if before == after {
            return;
        }
        if let Some(member) = before {
            self.ops.add(Step::ZRem, key, [text(member)]);
        }
        if let Some(member) = after {
            self.ops.add(step, key, [text("0"), text(member)]);
        }
    }

    /// With a key only unless that trigger is claimed.
    pub(crate) fn stand(&mut self, stand: Stand, unless_claimed: Option<String>) {
        let time = text(stand.time.to_string());
        if let Some(key) = stand.gates.fair() {
            let unless = text(unless_claimed.unwrap_or_default());
            let words = [time, stand.member.clone(), stand.name(), text(&**key), unless];
            return self.ops.add(Step::LineUp, stand.lane, words);
        }
        match (stand.alone, unless_claimed) {
            (Some(job), key) => {
                let words = [text(job), time, stand.member, text(key.unwrap_or_default())];
                self.ops.add(Step::StandAlone, stand.lane, words);
            }
            (None, Some(key)) => self.ops.add(Step::Shift, stand.lane, [time, stand.member, text(key)]),
            (None, None) => self.ops.add(Step::Stand, stand.lane, [time, stand.member]),
        }
    }

    /// The arguments of the script after its head.
    pub(crate) fn words(self) -> (Words, Vec<Checked>) {
        let mut words = self.checks;
        words.extend(self.ops.words());
        let added = self.added.into_iter().map(Checked::Run);
        (words, self.checked.into_iter().chain(added).collect())
    }
}
