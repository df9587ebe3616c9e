//! The state of limits in the server of a few maps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use scheduler_core::run::{Gate, GateId, Gates};
use scheduler_core::store::rows::*;
use scheduler_core::store::{FullLimit, GateUse, LimitOverride, LimitQuery};

use crate::server::Server;

impl Server {
    /// What somebody has set for this gate.
    fn cap_of(&self, id: &GateId) -> Option<&LimitOverride> {
        self.caps.get(id).or_else(|| self.caps.get(&GateId::of(id.name(), None)))
    }

    /// The gate with the cap that holds for it.
    pub(crate) fn capped(&self, gate: &Gate) -> Gate {
        self.cap_of(&gate.id).map_or_else(|| gate.clone(), |set| gate.capped(set.cap))
    }

    /// Where a run has to wait.
    pub(crate) fn full_gate(
        &self,
        gates: &Gates,
        used: &HashMap<GateId, u64>,
        full: &HashSet<GateId>,
    ) -> Option<GateId> {
        let is_full = |gate: &&Gate| {
            let used = used.get(&gate.id).copied().unwrap_or_default();
            let gate = self.capped(gate);
            let has_room = match gate.pace {
                Some(pace) => {
                    u64::from(self.rate(&gate.id).left(gate.cap, pace, self.millis()).min(gate.cap))
                        >= u64::from(gate.weight)
                }
                None => gate.has_room(used),
            };
            !has_room || self.shut_until(&gate.id).is_some() || full.contains(&gate.id)
        };
        gates.iter().filter(|gate| !gate.is_held).find(is_full).map(|gate| gate.id.clone())
    }

    /// Runs that have found a gate full, and have not been told of yet.
    pub(crate) fn newly_limited(&mut self) -> Vec<FullLimit> {
        let mut limited = Vec::new();
        for (gate, runs) in self.waiting_at() {
            let waiting: Vec<_> = runs.iter().map(|id| self.runs[id].0.id).collect();
            for id in runs {
                let row = &self.runs[&id].0;
                let mut full = FullLimit::new(row.id, row.job.clone(), gate.clone());
                full.waiting = waiting.clone();
                limited.extend(self.met.insert((full.run, gate.clone())).then_some(full));
            }
        }
        limited
    }

    /// The runs that wait at each gate.
    pub(crate) fn waiting_at(&self) -> BTreeMap<GateId, Vec<Id<RunRow>>> {
        let claims = self.claims.values().map(|(claim, _)| claim.item);
        let claimed: HashSet<_> =
            claims.filter_map(|item| if let Item::Run(run) = item { Some(run) } else { None }).collect();
        let runs = self.runs.iter().filter(|(_, (row, _))| !claimed.contains(&row.id));
        let mut due: Vec<_> = runs
            .filter_map(|(id, (row, _))| {
                let place = self.place_in_turn(row).filter(|place| place.at <= self.present)?;
                Some((place.at, place.rank, row.id, *id))
            })
            .collect();
        due.sort_unstable();
        let (used, mut full, mut waiting) = (self.used(), HashSet::new(), BTreeMap::<_, Vec<_>>::new());
        for (.., id) in due {
            if let Some(gate) = self.full_gate(&self.runs[&id].0.gates(), &used, &full) {
                full.insert(gate.clone());
                waiting.entry(gate).or_default().push(id);
            }
        }
        waiting
    }

    /// The state of the gates that a query asks for, in their order.
    pub(crate) fn uses(&self, query: &LimitQuery) -> Vec<GateUse> {
        let (used, waiting) = (self.used(), self.waiting_at());
        let mut known: BTreeSet<_> =
            used.keys().chain(waiting.keys()).chain(self.caps.keys()).cloned().collect();
        known.extend(self.shut.keys().filter(|id| self.shut_until(id).is_some()).cloned());
        known.retain(|id| query.name.as_ref().is_none_or(|name| id.name() == &**name));
        known.retain(|id| query.after.as_ref().is_none_or(|after| id > after));
        let of = |id: GateId| {
            let mut of = GateUse::new(id.clone());
            of.used = used.get(&id).copied().unwrap_or_default();
            of.rate = self.rate(&id);
            let runs = waiting.get(&id).map(Vec::as_slice).unwrap_or_default();
            of.waiting = runs.len() as u64;
            of.first = runs.first().map(|run| self.runs[run].0.id);
            of.opens = self.opening_of(&id, runs);
            of.shut = self.shut_until(&id).and_then(chrono::DateTime::from_timestamp_millis);
            of.overridden = self.cap_of(&id).cloned();
            of
        };
        if !query.gates.is_empty() {
            return query.gates.iter().cloned().map(of).collect();
        }
        known.into_iter().map(of).collect()
    }

    fn opening_of(&self, id: &GateId, runs: &[Id<RunRow>]) -> Option<chrono::DateTime<chrono::Utc>> {
        let gates = runs.iter().map(|run| self.runs[run].0.gates());
        let of_rate = gates.filter_map(|gates| {
            let gate = self.capped(gates.iter().find(|gate| gate.id == *id)?);
            self.opening_of_rate(&gate)
        });
        of_rate.min().and_then(chrono::DateTime::from_timestamp_millis)
    }

    /// When there is room at a rate, if that ever comes.
    pub(crate) fn opening_of_rate(&self, gate: &Gate) -> Option<i64> {
        let pace = gate.pace.filter(|_| gate.is_enough())?;
        self.rate(&gate.id).take(gate.cap, pace, self.millis(), gate.weight).err()
    }
}
