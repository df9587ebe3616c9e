//! What a commit writes of runs.

use foldhash::HashMap;
use scheduler_core::Result;
use scheduler_core::run::{RunEnd, RunId};
use scheduler_core::store::rows::{ClaimRow, Id, Item, RunRow};
use scheduler_core::store::view::{Change, View, record};

use crate::codec;
use crate::commit::{Commit, Stand, stand_of_run};
use crate::names::Names;
use crate::ops::{self, Step, text};

/// Whether the job of a run allows one run at a time.
#[derive(Clone, Copy)]
pub(crate) struct Alone(pub(crate) bool);

/// Runs that leave nothing, by their claims.
pub(crate) type Over = HashMap<Id<ClaimRow>, (RunId, Alone)>;

/// Claims that say only the name of their run, of runs that leave nothing.
pub(crate) fn over_of(view: &View<Names>, names: &Names) -> Over {
    let is_gone = |run: RunId| names.number_of_run(run).is_some_and(|number| view.runs().is_removed(number));
    let over = view.claims().changes().filter_map(|change| match (change.before?, change.after) {
        (ClaimRow { item: Item::Run(run), exclusive, cancel: None, linked: false, .. }, None)
            if is_gone(*run) =>
        {
            Some((change.id, (*run, Alone(*exclusive))))
        }
        _ => None,
    });
    over.filter(|(id, _)| view.claims().loaded_version(*id).is_some_and(codec::is_only_named)).collect()
}

/// Where a run stands that is not claimed: the name of a sorted set, and its member.
pub(crate) fn where_it_stands(row: &RunRow, names: &Names) -> Option<(String, Vec<u8>)> {
    if row.has_more_children() {
        return Some(("alarms".to_owned(), codec::run(row.id).into_bytes()));
    }
    if row.end().is_some() {
        return row.rank().map(|(end, _)| (ended(end), codec::run(row.id).into_bytes()));
    }
    if row.is_later() {
        return Some(("alarms".to_owned(), codec::run(row.id).into_bytes()));
    }
    let Stand { lane, member, alone, .. } = stand_of_run(row, names)?;
    Some((alone.map_or_else(|| format!("lane:{lane}"), |job| format!("q:{lane}\u{1}{job}")), member))
}

/// The name under which the key `at` has it; none for a firing, and for the attempt of a run that was removed.
pub(crate) fn claimed_name(claim: &ClaimRow) -> Option<String> {
    match claim.item {
        Item::Run(run) => (!claim.run_removed).then(|| codec::run(run)),
        Item::Trigger(_) => (!claim.fired).then(|| codec::key(claim.trigger.key())),
    }
}

/// The queue of a run that is boosted and not due; none for another run, and without a queue.
pub(crate) fn later_in(row: &RunRow) -> Option<String> {
    let queue = row.queue.as_ref().filter(|_| row.is_later())?;
    Some(codec::queue(queue).into_owned())
}

/// The runs that have ended like this, by the time of their end.
pub(crate) fn ended(end: RunEnd) -> String {
    format!("ended:{end}")
}

impl Commit {
    /// Where a run stands among those that have ended.
    fn rank(&mut self, name: &str, before: Option<&RunRow>, after: Option<&RunRow>) {
        let (from, to) = (before.and_then(RunRow::rank), after.and_then(RunRow::rank));
        if from != to {
            if let Some((end, _)) = from {
                self.ops.add(Step::ZRem, ended(end), [text(name)]);
            }
            if let Some((end, rank)) = to {
                self.ends = true;
                self.ops.add(Step::ZAdd, ended(end), [text(rank.number.to_string()), text(name)]);
            }
        }
    }

    /// The gates that the run itself holds.
    fn hold(&mut self, before: Option<&RunRow>, after: Option<&RunRow>) {
        for (row, sign) in [(before, -1), (after, 1)] {
            for gate in row.filter(|row| row.is_gated()).map(|row| row.gates().of_run()).iter().flatten() {
                *self.gates.entry(gate.id.clone()).or_default() += sign * i64::from(gate.weight);
            }
        }
    }

    /// When a rule is to look at it. A node that waits for something else has to know of an alarm of a run that waits; the removal of an
    /// ended run may be late.
    fn alarm(&mut self, name: &str, before: Option<&RunRow>, after: Option<&RunRow>) {
        let at = |row: Option<&RunRow>| row.and_then(RunRow::alarm).map(|at| at.timestamp_millis());
        match (at(before), at(after)) {
            (before, after) if before == after => {}
            (_, Some(at)) => {
                let waits = after.is_some_and(|row| row.end().is_none() || row.has_more_children());
                let step = if waits { Step::Alarm } else { Step::ZAdd };
                self.ops.add(step, "alarms", [text(at.to_string()), text(name)]);
            }
            (_, None) => self.ops.add(Step::ZRem, "alarms", [text(name)]),
        }
    }

    /// A boosted run of a queue that is not due waits in no lane, and counts for the length of its queue.
    fn later(&mut self, name: &str, before: Option<&RunRow>, after: Option<&RunRow>) {
        let (before, after) = (before.and_then(later_in), after.and_then(later_in));
        if before == after {
            return;
        }
        before.into_iter().for_each(|queue| self.ops.add(Step::Arrive, queue, [text(name)]));
        after.into_iter().for_each(|queue| self.ops.add(Step::Later, queue, [text(name)]));
    }

    /// A run that was claimed stands nowhere.
    pub(crate) fn run(
        &mut self,
        change: &Change<'_, RunRow>,
        names: &Names,
        (is_claimed, is_over): (bool, bool),
        (is_shown, is_added): (bool, bool),
    ) -> Result<()> {
        let name = codec::run(names.run_id(change.id));
        let (before, after) = (change.before, change.after);
        match after {
            _ if is_over => {}
            Some(row) => {
                let step = if is_added { Step::Add } else { Step::HSet };
                self.ops.add(step, "runs", [text(&name), ops::record(self.version, record::run(row)?)]);
                self.added.extend(is_added.then_some(change.id));
            }
            None => self.ops.add(Step::HDel, "runs", [text(&name)]),
        }
        self.rank(&name, before, after);
        self.hold(before, after);
        let tagged = |row: Option<&RunRow>| -> Vec<_> {
            let tags = row.into_iter().flat_map(RunRow::tags);
            tags.map(|tag| format!("{}{name}", codec::tag(&tag))).collect()
        };
        let (had, has) = (tagged(before), tagged(after));
        for tag in had.iter().filter(|tag| !has.contains(tag)) {
            self.ops.add(Step::ZRem, "tags", [text(tag)]);
        }
        for tag in has.into_iter().filter(|tag| !had.contains(tag)) {
            self.ops.add(Step::ZAdd, "tags", [text("0"), text(tag)]);
        }
        self.alarm(&name, before, after);
        self.later(&name, before, after);
        let alone = |row: &RunRow| row.exclusive.then(|| codec::key(&row.job));
        match (before.and_then(alone), after.and_then(alone)) {
            (before, Some(job)) if before.as_ref() != Some(&job) => {
                self.ops.add(Step::HSet, "alone", [text(&name), text(job)]);
            }
            (Some(_), None) => self.ops.add(Step::HDel, "alone", [text(&name)]),
            // Nobody has looked at it.
            (None, None) if before.is_none() && after.is_none() => {
                self.ops.add(Step::HDel, "alone", [text(&name)]);
            }
            _ => {}
        }
        let stand = |row: &RunRow| stand_of_run(row, names);
        let (before_at, after_at) = (before.filter(|_| !is_claimed).and_then(stand), after.and_then(stand));
        let is_moved = before_at != after_at;
        if let Some(stand) = before_at.filter(|_| is_moved) {
            self.leave(stand);
        }
        if let Some(stand) = after_at.filter(|_| is_shown || (is_moved && !is_claimed)) {
            self.stand(stand, (!is_shown && before.is_some()).then_some(name));
        }
        Ok(())
    }
}
