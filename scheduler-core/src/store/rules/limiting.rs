//! Limits that somebody changes while runs wait for them.

use chrono::{DateTime, Utc};

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
