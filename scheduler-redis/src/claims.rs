//! Claims, read from their records.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::run::RunId;
use scheduler_core::store::rows::{ClaimRow, Id, RunRow, TriggerRow};
use scheduler_core::store::view::record::{self, Kind};
use scheduler_core::store::{NewRun, rules};
use scheduler_core::{JobKey, Result};

use crate::cache::Known;
use crate::codec;
use crate::load::{Loader, MANY, broken, parts};
use crate::names::Names;
use crate::script::{bytes, list, word};

impl Loader<'_> {
    pub(crate) async fn claims(&mut self, ids: Vec<Id<ClaimRow>>) -> Result<()> {
        let mut by_home = BTreeMap::<Arc<str>, Vec<(Id<ClaimRow>, ExecutionId)>>::new();
        for id in ids {
            match self.view.names().home_of(id).cloned() {
                Some((home, execution)) => by_home.entry(home).or_default().push((id, execution)),
                // Nobody has said where it could be.
                None => self.view.load_claim(id, None, 0),
            }
        }
        for (home, of_home) in by_home {
            let ids: Vec<_> = of_home.iter().map(|(_, execution)| codec::claim(*execution)).collect();
            let records = self.records(&home, &ids).await?;
            let all = of_home.into_iter().zip(records);
            self.claims_from(all.map(|((id, execution), found)| (id, execution, found)).collect()).await?;
        }
        Ok(())
    }

    /// Claims of these records. What only says which run it is is read with its run.
    pub(crate) async fn claims_from(
        &mut self,
        all: Vec<(Id<ClaimRow>, ExecutionId, Option<Vec<u8>>)>,
    ) -> Result<()> {
        let mut of_runs = Vec::new();
        for (id, execution, found) in all {
            match found.as_deref().and_then(codec::only_named) {
                Some((version, run)) => of_runs.push((id, execution, version, run)),
                None => self.claim(id, execution, found.as_deref()),
            }
        }
        if of_runs.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = of_runs.iter().map(|(.., run)| codec::run(*run)).collect();
        let records = self.records("runs", &names).await?;
        for ((id, execution, version, run), found) in of_runs.into_iter().zip(records) {
            if found.is_none() && !self.is_claimed(id, execution).await? {
                // It has ended since its claim was read.
                self.view.load_claim(id, None, 0);
                continue;
            }
            let claim = of_run(run, found.as_deref(), execution, self.view.names());
            self.view.load_claim(id, Some(claim), version);
        }
        Ok(())
    }

    async fn is_claimed(&mut self, id: Id<ClaimRow>, execution: ExecutionId) -> Result<bool> {
        let Some((home, _)) = self.view.names().home_of(id).cloned() else { return Ok(false) };
        let found = self.one(self.get("HEXISTS", &home).arg(codec::claim(execution))).await?;
        Ok(crate::script::number(Some(&found)) == Some(1))
    }

    pub(crate) fn claim(&mut self, id: Id<ClaimRow>, execution: ExecutionId, found: Option<&[u8]>) {
        let Some((version, record)) = found.and_then(parts) else {
            return self.view.load_claim(id, None, 0);
        };
        match read_claim(record, execution, self.view.names(), &self.shared.known) {
            Ok(row) => self.view.load_claim(id, Some(row), version),
            Err(reason) => {
                let error = broken("run", &codec::claim(execution), record, &reason);
                tracing::error!(%execution, %error, "a run is left out: {error}");
                self.view.load_claim(id, None, version);
            }
        }
    }

    pub(crate) async fn claims_in(&mut self, home: &str) -> Result<Vec<Id<ClaimRow>>> {
        let (home, mut ids, mut cursor) = (Arc::<str>::from(home), HashSet::new(), "0".to_owned());
        loop {
            let mut command = self.get("HSCAN", &home);
            let page = list(Some(self.one(command.arg(&cursor).arg("COUNT").arg(MANY)).await?));
            let mut found = Vec::new();
            for pair in list(page.get(1).cloned()).chunks_exact(2) {
                let Ok(execution) = codec::read_claim(&word(Some(&pair[0]))) else { continue };
                let id = self.view.names().claim(execution, &home);
                if ids.insert(id) {
                    found.push((id, execution, bytes(&pair[1]).map(<[u8]>::to_vec)));
                }
            }
            self.claims_from(found).await?;
            cursor = word(page.first());
            if cursor.is_empty() || cursor == "0" {
                return Ok(ids.into_iter().collect());
            }
        }
    }
}

/// A claim from its record, which is that of its trigger as long as it is not fired.
pub(crate) fn read_claim(
    record: &[u8],
    execution: ExecutionId,
    names: &mut Names,
    known: &Known,
) -> Result<ClaimRow, String> {
    if record::kind_of(record) == Some(Kind::Claim) {
        return record::read_claim(record, names);
    }
    let row = record::read_trigger(record, names, &mut &*known)?;
    Ok(claim_of(row, execution, names))
}

/// The claim of a run, from the record of that.
pub(crate) fn of_run(
    run: RunId,
    whole: Option<&[u8]>,
    execution: ExecutionId,
    names: &mut Names,
) -> ClaimRow {
    let row = whole.and_then(parts).and_then(|(_, record)| record::read_run(record, names).ok());
    let row = row.unwrap_or_else(|| lost_run(run, since(execution), names));
    rules::claimed_run(&row, execution, since(execution)).0
}

/// A run of which somebody has destroyed the record while a node runs it.
fn lost_run(run: RunId, since: DateTime<Utc>, names: &mut Names) -> RunRow {
    let job = JobDetail::builder(JobKey::new("lost").expect("a name"), "lost").build();
    let lane = scheduler_core::store::view::Names::lane(names, None, &"lost".into());
    RunRow::new(NewRun::of(run, &job, since), lane)
}

/// When it was claimed is nowhere; its number grows with the time.
pub(crate) fn since(execution: ExecutionId) -> DateTime<Utc> {
    i64::try_from(execution.count()).ok().and_then(DateTime::from_timestamp_micros).unwrap_or_default()
}

/// The claim of a trigger that is not fired.
pub(crate) fn claim_of(row: TriggerRow, execution: ExecutionId, names: &mut Names) -> ClaimRow {
    let item = scheduler_core::store::view::Names::trigger(names, row.trigger.key());
    let (since, lapse) = (since(execution), DateTime::<Utc>::MAX_UTC);
    rules::claimed(item, &row, execution.session(), since, lapse)
}
