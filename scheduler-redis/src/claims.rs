//! Claims, read from their records.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use redis::Value;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::run::RunId;
use scheduler_core::store::rows::{ClaimRow, Id, RunRow, TriggerRow};
use scheduler_core::store::view::record::{self, Kind};
use scheduler_core::store::view::{Members, Set};
use scheduler_core::store::{NewRun, rules};
use scheduler_core::{JobKey, Result};

use crate::bundles::{self, Claim};
use crate::cache::Known;
use crate::codec;
use crate::commit_runs::where_it_stands;
use crate::load::{Loader, broken, parts};
use crate::names::Names;
use crate::script::{bytes, list, word, words};

/// So many entries of a hash of claims are read at once.
const ENTRIES: usize = 100;

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
            let ids: Vec<_> = of_home.iter().map(|(_, execution)| *execution).collect();
            let records = self.shared.claim_records(&home, &ids).await?;
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

    /// All hashes of claims.
    pub(crate) async fn homes(&self) -> Result<Vec<Arc<str>>> {
        let homes = words(Some(self.one(&self.get("SMEMBERS", "homes")).await?));
        let orphans = words(Some(self.one(&self.get("SMEMBERS", "orphans")).await?));
        let homes = homes.iter().map(|session| format!("cl:{session}").into());
        Ok(homes.chain(orphans.iter().map(|name| format!("orphan:{name}").into())).collect())
    }

    /// Finds the claims of runs. A run that stands where its record says has none; one whose claim says only its name is looked for
    /// among all claims.
    pub(crate) async fn claims_of_runs(
        &mut self,
        runs: Vec<Id<RunRow>>,
        claims: &mut Vec<Id<ClaimRow>>,
    ) -> Result<()> {
        let mut commands = Vec::with_capacity(2 * runs.len());
        for run in &runs {
            let row = self.view.runs().row(*run).cloned();
            let names = self.view.names();
            let name = codec::run(names.run_id(*run));
            let place = row.and_then(|row| where_it_stands(&row, names)).unwrap_or_default();
            commands.push(self.get("HGET", "at").arg(name).to_owned());
            commands.push(self.get("ZSCORE", &place.0).arg(&place.1).to_owned());
            self.view.names().note_place(*run, place);
        }
        let answers = self.shared.ask_all(commands).await?;
        let mut by_run = None;
        for (run, found) in runs.into_iter().zip(answers.as_chunks().0) {
            let [noted, stands] = found;
            let known = match codec::read_claim(&word(Some(noted))) {
                Ok(execution) => Some((format!("cl:{}", execution.session()).into(), execution)),
                Err(_) if bytes(stands).is_some() => None,
                Err(_) if self.is_parked(run).await? => None,
                Err(_) => {
                    if by_run.is_none() {
                        by_run = Some(self.claims_by_run().await?);
                    }
                    let id = self.view.names().run_id(run);
                    by_run.as_ref().and_then(|all| all.get(&id).cloned())
                }
            };
            let mut members = Members::default();
            if let Some((home, execution)) = known {
                members.claims.push(self.view.names().claim(execution, &home));
                claims.extend(&members.claims);
            }
            self.view.load_set(Set::OfRun(run), members);
        }
        Ok(())
    }

    /// Whether the run waits at a gate, so that it has no claim.
    async fn is_parked(&mut self, run: Id<RunRow>) -> Result<bool> {
        if !self.view.runs().row(run).is_some_and(RunRow::is_gated) {
            return Ok(false);
        }
        let name = codec::run(self.view.names().run_id(run));
        let noted = self.one(self.get("HEXISTS", "parked").arg(name)).await?;
        Ok(crate::script::number(Some(&noted)) == Some(1))
    }

    /// All claims that say only the name of their run: where each stands, and its id.
    async fn claims_by_run(&self) -> Result<HashMap<RunId, (Arc<str>, ExecutionId)>> {
        let mut by_run = HashMap::new();
        for home in self.homes().await? {
            let mut cursor = Some("0".to_owned());
            while let Some(at) = cursor {
                let (page, next) = self.page_of_claims(&home, &at).await?;
                let runs = page.into_iter().filter_map(|(execution, record)| {
                    Some((codec::only_named(&record)?.1, (home.clone(), execution)))
                });
                by_run.extend(runs);
                cursor = next;
            }
        }
        Ok(by_run)
    }

    /// Some claims of a hash and their records, and where to go on.
    async fn page_of_claims(&self, home: &str, cursor: &str) -> Result<(Vec<Claim>, Option<String>)> {
        let mut command = self.get("HSCAN", home);
        let page = list(Some(self.one(command.arg(cursor).arg("COUNT").arg(ENTRIES)).await?));
        let entries = list(page.get(1).cloned());
        // An audit takes care of an entry that is no claim.
        let claims =
            |[field, value]: &[Value; 2]| bundles::claims_of(home, &word(Some(field)), bytes(value)?);
        let next = Some(word(page.first())).filter(|next| !next.is_empty() && next != "0");
        Ok((entries.as_chunks().0.iter().filter_map(claims).flatten().collect(), next))
    }

    async fn is_claimed(&mut self, id: Id<ClaimRow>, execution: ExecutionId) -> Result<bool> {
        let Some((home, _)) = self.view.names().home_of(id).cloned() else { return Ok(false) };
        Ok(self.shared.claim_records(&home, &[execution]).await?.into_iter().any(|found| found.is_some()))
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
        let (home, mut ids, mut cursor) = (Arc::<str>::from(home), HashSet::new(), Some("0".to_owned()));
        while let Some(at) = cursor {
            let (page, next) = self.page_of_claims(&home, &at).await?;
            let mut found = Vec::new();
            for (execution, record) in page {
                let id = self.view.names().claim(execution, &home);
                if ids.insert(id) {
                    found.push((id, execution, Some(record)));
                }
            }
            self.claims_from(found).await?;
            cursor = next;
        }
        Ok(ids.into_iter().collect())
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
