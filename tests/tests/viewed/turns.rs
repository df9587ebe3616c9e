//! Turns of runs with fair keys in the server of a few maps: derived anew whenever somebody takes, but for the turns that runs have.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use scheduler_core::run::RunId;
use scheduler_core::store::rows::*;

use crate::server::Server;

/// The turns of a queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    /// The largest at which a run was claimed.
    present: Option<Turn>,
    of: BTreeMap<RunId, Turn>,
}

pub(crate) type TurnsByQueue = HashMap<Option<Arc<str>>, Turns>;

/// A run with a key that waits for a node.
struct Fair {
    place: Place,
    id: RunId,
    queue: Option<Arc<str>>,
    key: Arc<str>,
}

impl Server {
    /// The place of a run, by its turn if it has a fair key; none if it has no turn.
    pub(crate) fn place_in_turn(&self, row: &RunRow) -> Option<Place> {
        let place = row.place()?;
        match row.gates().fair() {
            Some(_) => Some(self.turns.get(&row.queue)?.of.get(&row.id)?.place(place)),
            None => Some(place),
        }
    }

    /// A run is claimed.
    pub(crate) fn take_turn(&mut self, id: Id<RunRow>) {
        let row = &self.runs[&id].0;
        if let Some(turns) = self.turns.get_mut(&row.queue) {
            turns.present = turns.present.max(turns.of.remove(&row.id));
        }
    }

    /// The first run of each lane and key has a turn, unless one of them has that is not parked at a gate.
    pub(crate) fn settle_turns(&mut self) {
        let claims = self.claims.values().map(|(claim, _)| claim.item);
        let claimed: HashSet<_> =
            claims.filter_map(|item| if let Item::Run(run) = item { Some(run) } else { None }).collect();
        let rows = self.runs.values().map(|(row, _)| row).filter(|row| !claimed.contains(&row.id));
        let mut fair: Vec<_> = rows
            .filter_map(|row| {
                let (place, key) = (row.place()?, row.gates().fair()?.clone());
                Some(Fair { place, id: row.id, queue: row.queue.clone(), key })
            })
            .collect();
        fair.sort_by_key(|run| (run.place.at, run.place.rank, run.id));
        // The last one that had a turn was just claimed, or has gone without that.
        self.turns.retain(|queue, turns| {
            let was_claimed = turns.of.is_empty();
            turns.of.retain(|id, _| fair.iter().any(|run| run.id == *id && run.queue == *queue));
            was_claimed || !turns.of.is_empty()
        });
        while self.bring_up(&fair) {}
        self.turns.retain(|_, turns| !turns.of.is_empty());
    }

    fn bring_up(&mut self, fair: &[Fair]) -> bool {
        let parked = self.parked();
        let turn_of = |run: &Fair| self.turns.get(&run.queue).and_then(|turns| turns.of.get(&run.id));
        let mut heads: HashSet<_> = fair
            .iter()
            .filter(|run| turn_of(run).is_some() && !parked.contains(&run.id))
            .map(|run| (run.place.lane, run.key.clone()))
            .collect();
        let next: Vec<_> = fair
            .iter()
            .filter(|run| turn_of(run).is_none() && heads.insert((run.place.lane, run.key.clone())))
            .collect();
        for run in &next {
            let turns = self.turns.entry(run.queue.clone()).or_default();
            let with_turn =
                || fair.iter().filter(|other| other.queue == run.queue && turns.of.contains_key(&other.id));
            let oldest = with_turn().map(|other| other.place.at).chain([run.place.at]).min();
            let last =
                with_turn().filter(|other| other.key == run.key).map(|other| turns.of[&other.id]).max();
            turns.of.insert(run.id, Turn::next(turns.present, last, oldest.unwrap()));
        }
        !next.is_empty()
    }

    /// The runs that have turns and find no room at a gate.
    fn parked(&self) -> HashSet<RunId> {
        self.waiting_at().into_values().flatten().map(|run| self.runs[&run].0.id).collect()
    }
}
