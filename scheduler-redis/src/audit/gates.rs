//! How much of each gate is used, and who waits there.

use std::collections::{BTreeMap, BTreeSet};

use scheduler_core::Result;
use scheduler_core::store::rows::{self, Rows};

use super::Audit;
use super::question::Question;
use crate::codec;
use crate::commit::{Step, operation, text};

impl Audit<'_> {
    /// The use of each gate, counted anew from the claims and from the runs that hold one themselves.
    pub(super) async fn gates(&mut self) -> Result<()> {
        let known: BTreeMap<_, _> = self.scan_all("gates").await?.into_iter().collect();
        // Runs that hold a gate themselves have a tag for that.
        let holders = self.list("ZRANGEBYLEX", "tags", &["[h", "(i"]).await?;
        let holders: BTreeSet<_> =
            holders.iter().filter_map(|tag| codec::read_run(tag.rsplit('\0').next()?)).collect();
        let counts = self.shared.look(|view| {
            let mut counts = BTreeMap::<String, u64>::new();
            for id in Rows::claims(view, |_, claim| !claim.gates.is_empty())? {
                let claim = rows::Table::get(view, id)?.map(|claim| claim.gates.clone());
                for gate in claim.iter().flatten().filter(|gate| gate.pace.is_none()) {
                    *counts.entry(gate.id.text().to_owned()).or_default() += u64::from(gate.weight);
                }
            }
            for run in &holders {
                let Some(run) = Rows::run(view, *run)? else { continue };
                let gates = rows::Table::get(view, run)?.map(rows::RunRow::gates).unwrap_or_default();
                for gate in &gates.of_run() {
                    *counts.entry(gate.id.text().to_owned()).or_default() += u64::from(gate.weight);
                }
            }
            Ok(counts)
        });
        let counts = counts.await?;
        self.listed(counts.keys().cloned().collect()).await?;
        let gates: BTreeSet<_> = known.keys().chain(counts.keys()).cloned().collect();
        for gate in gates {
            let found = known.get(&gate).map(|found| String::from_utf8_lossy(found).into_owned());
            let count = counts.get(&gate).map(ToString::to_string);
            if found == count {
                continue;
            }
            let (found, count) = (found.unwrap_or_default(), count.unwrap_or_default());
            let shown = |number: &str| if number.is_empty() { "0".to_owned() } else { number.to_owned() };
            let fault = format!("`{}` of it are used in place of {}", shown(&found), shown(&count));
            // If it is still what it was: what is used otherwise has changed meanwhile.
            let guard = Some(("value", "gates".to_owned(), vec![text(&gate), text(&found)]));
            let write = match count.as_str() {
                "" => (Step::HDel, "gates".to_owned(), vec![text(&gate)]),
                count => (Step::HSet, "gates".to_owned(), vec![text(&gate), text(count)]),
            };
            let look = (Step::Gate, String::new(), vec![text(&gate), text("0")]);
            let question = Question { kind: "limit", key: gate, guard, checks: Vec::new() };
            self.settle(vec![question.certain(&fault, vec![write, look])]).await?;
        }
        self.waiting().await
    }

    /// Gates that are in use are listed.
    async fn listed(&mut self, gates: BTreeSet<String>) -> Result<()> {
        let listed: BTreeSet<_> = self.list("ZRANGE", "limits", &["0", "-1"]).await?.into_iter().collect();
        // Those of fair keys begin with this byte, and are no limits.
        for gate in gates.difference(&listed).filter(|gate| !gate.starts_with('\u{2}')) {
            let mends = vec![(Step::ZAdd, "limits".to_owned(), vec![text("0"), text(gate)])];
            let question = Question { kind: "limit", key: gate.clone(), guard: None, checks: Vec::new() };
            self.settle(vec![question.certain("it is in use, and no list shows it", mends)]).await?;
        }
        Ok(())
    }

    /// Runs that are noted to wait at a gate. A run that is noted by mistake stands in its lane again, as its record says.
    async fn waiting(&mut self) -> Result<()> {
        let noted = self.scan_all("parked").await?;
        let (mut gates, mut out) = (BTreeSet::new(), BTreeSet::new());
        for (run, note) in &noted {
            let note = String::from_utf8_lossy(note).into_owned();
            let Some(gate) = note.strip_prefix(['p', 'o']) else {
                let guard = Some(("value", "parked".to_owned(), vec![text(run), text(&note)]));
                let question = Question { kind: "run", key: run.clone(), guard, checks: Vec::new() };
                let mends = vec![(Step::HDel, "parked".to_owned(), vec![text(run)])];
                self.settle(vec![question.certain("where it waits cannot be read", mends)]).await?;
                continue;
            };
            gates.insert(gate.to_owned());
            if note.starts_with('o') {
                out.insert((gate.to_owned(), run.clone()));
            }
        }
        self.listed(gates.clone()).await?;
        for gate in gates {
            for lane in self.list("SMEMBERS", &format!("gl:{gate}"), &[]).await? {
                let key = format!("go:{lane}\u{1}{gate}");
                for run in self.list("SMEMBERS", &key, &[]).await? {
                    if out.contains(&(gate.clone(), run.clone())) {
                        continue;
                    }
                    let guard = Some(("value", "parked".to_owned(), vec![text(&run), Vec::new()]));
                    let question = Question { kind: "run", key: run.clone(), guard, checks: Vec::new() };
                    let mends = vec![(Step::SRem, key.clone(), vec![text(run)])];
                    self.settle(vec![question.certain("a limit counts it, and it is not there", mends)])
                        .await?;
                }
            }
            if self.repair {
                // A run for which there is room is let out.
                let body = operation("gate", "", &[text(gate), text("0")]);
                self.shared.commit_plain("audit", body).await?;
            }
        }
        Ok(())
    }
}
