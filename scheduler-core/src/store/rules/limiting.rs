//! Limits that somebody changes while runs wait for them, and what is known of limits.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::job::ExecutionId;
use crate::run::GateId;
use crate::store::limits::{GateUse, LimitHolder, LimitOverride, LimitStatus};
use crate::store::rows::*;

/// An attempt was asked for a pause: of its gates, those of this limit open for nobody before that time.
pub(super) fn throttle<R: Rows>(
    rows: &mut R,
    claim: Id<ClaimRow>,
    limit: &str,
    until: DateTime<Utc>,
) -> Answer<R, ()> {
    let gates = rows.get(claim)?.map(|claim| claim.gates.clone()).unwrap_or_default();
    for gate in gates.iter().filter(|gate| gate.id.name() == limit) {
        rows.shut(&gate.id, until)?;
    }
    Ok(())
}

/// This cap holds in place of those with which runs were enqueued; with none, those of the runs hold again.
pub fn set_limit<R: Rows>(rows: &mut R, limit: &GateId, cap: Option<&LimitOverride>) -> Answer<R, ()> {
    rows.set_cap(limit, cap)?;
    rows.wake();
    Ok(())
}

/// Adds the runs that hold this gate themselves.
fn add_runs<R: Rows>(
    rows: &mut R,
    status: &mut LimitStatus,
    of: &GateUse,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    let most = LimitStatus::MOST_HOLDERS.saturating_sub(status.holders.len());
    let (runs, _) = rows.some_tagged(&RunTag::Holder(of.id.hash()), most)?;
    for id in runs.into_iter().take(most) {
        let claim = rows.claim_of(id)?;
        let claimed = match claim {
            Some(claim) => rows.get(claim)?.map(|row| (ExecutionId::new(row.session, claim.0), row.since)),
            None => None,
        };
        let Some(row) = rows.get(id)? else { continue };
        let Some(gate) = row.gates().iter().find(|gate| gate.id == of.id).cloned() else { continue };
        status.note_gate(&gate, of, now);
        let since = row.first().or(claimed.map(|(_, since)| since)).unwrap_or(row.due);
        let (execution, run, job) = (claimed.map(|(execution, _)| execution), row.id, row.job.clone());
        status.holders.push(LimitHolder { execution, run, job, weight: gate.weight, since });
    }
    Ok(())
}

/// The status of these gates: their holders and their caps.
pub fn limits<R: Rows>(rows: &mut R, gates: &[GateUse], now: DateTime<Utc>) -> Answer<R, Vec<LimitStatus>> {
    let places: HashMap<_, _> = gates.iter().enumerate().map(|(place, of)| (&of.id, place)).collect();
    let mut all: Vec<_> = gates.iter().map(|of| LimitStatus::new(of, now)).collect();
    let mut claims = rows.claims(|_, claim| claim.gates.iter().any(|gate| places.contains_key(&gate.id)))?;
    claims.sort_unstable();
    for id in claims {
        let Some(claim) = rows.get(id)? else { continue };
        let Item::Run(run) = claim.item else { continue };
        for gate in &claim.gates {
            let Some(place) = places.get(&gate.id) else { continue };
            all[*place].note_gate(gate, &gates[*place], now);
            let holders = &mut all[*place].holders;
            if holders.len() < LimitStatus::MOST_HOLDERS {
                let (execution, job) = (ExecutionId::new(claim.session, id.0), claim.trigger.job().clone());
                let (execution, weight, since) = (Some(execution), gate.weight, claim.since);
                holders.push(LimitHolder { execution, run, job, weight, since });
            }
        }
    }
    for (status, of) in all.iter_mut().zip(gates).filter(|(_, of)| of.used > 0) {
        add_runs(rows, status, of, now)?;
    }
    for (status, of) in all.iter_mut().zip(gates) {
        let Some(first) = of.first.filter(|_| status.declared.is_none()) else { continue };
        let Some(run) = rows.run(first)? else { continue };
        let gates = rows.get(run)?.map(RunRow::gates).unwrap_or_default();
        if let Some(gate) = gates.iter().find(|gate| gate.id == of.id) {
            status.note_gate(gate, of, now);
        }
    }
    Ok(all)
}
