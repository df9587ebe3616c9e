//! The work of nodes that are gone: given back, ended, and repeated where a job wants it.

use std::sync::Arc;

use scheduler_core::Result;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::Id;
use scheduler_core::store::rules::{self, Lost};
use scheduler_core::store::view::View;
use scheduler_core::time::Clock;
use serde_json::{Value, json};

use crate::bundles;
use crate::codec;
use crate::names::Names;
use crate::run::{Mode, each};
use crate::script::{bytes, list, word};
use crate::shared::Shared;
use crate::take::BATCH;

impl Shared {
    /// Takes over the work of nodes that are gone, and changes that nobody goes on with.
    pub(crate) async fn recover(&self) -> Result<()> {
        self.take_over(Value::Null).await?;
        self.take_chores().await.map(drop)
    }

    /// Ends this session first, if one is given.
    pub(crate) async fn take_over(&self, mut session: Value) -> Result<()> {
        loop {
            let answer = self.node_call("take_over", &json!({ "session": session.take() })).await?;
            match answer["orphan"].as_str() {
                None if answer["ended"].is_string() => {}
                None => return Ok(()),
                Some(orphan) => {
                    let node: Value = serde_json::from_str(codec::text(&answer["node"])).unwrap_or_default();
                    if !self.take_over_part(orphan, codec::text(&node["n"])).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Says whether it has done something.
    async fn take_over_part(&self, orphan: &str, node: &str) -> Result<bool> {
        let home: Arc<str> = format!("orphan:{orphan}").into();
        let found = self.ask(self.command("HRANDFIELD", &home).arg(BATCH).arg("WITHVALUES")).await?;
        let (mut view, mut claims, mut is_tidied) = (self.view(), Vec::new(), false);
        // Pairs in a list or, in the newer protocol, a list of pairs.
        let flat = |value| if let redis::Value::Array(pair) = value { pair } else { vec![value] };
        let entries: Vec<_> = list(Some(found)).into_iter().flat_map(flat).collect();
        for [field, value] in entries.as_chunks().0 {
            let field = word(Some(field));
            if claims.len() >= BATCH {
                break;
            }
            match bundles::claims_of(&home, &field, bytes(value).unwrap_or_default()) {
                Some(found) if !found.is_empty() => claims.extend(found.into_iter().map(|(claim, _)| claim)),
                _ => {
                    tracing::error!(
                        entry = field,
                        "a run of a node that is gone has no number and is forgotten: `{field}`"
                    );
                    self.slow.carry_out(self.command("HDEL", &home).arg(&field)).await.ok();
                    is_tidied = true;
                }
            }
        }
        for claim in &claims {
            view.names().claim(*claim, &home);
        }
        self.lose(view, &claims, node).await.map(|lost| lost || is_tidied)
    }

    /// Says whether any of these claims was there.
    pub(crate) async fn lose(&self, view: View<Names>, claims: &[ExecutionId], node: &str) -> Result<bool> {
        let now = self.clock.now();
        let rule = |view: &mut View<Names>| {
            each(view, claims, |view, execution| rules::lose(view, execution, node, now))
        };
        let mut ran = self.run("lose", Mode::Chore, view, rule).await?;
        let mut changes: Vec<_> =
            ran.view.claims().changes().map(|change| (change.id, change.before.cloned())).collect();
        for (execution, lost) in claims.iter().zip(&ran.answer) {
            let Lost::Ended { is_repeated, is_given_up, dead } = lost else { continue };
            self.rung.lock().dead.extend(dead.clone());
            let place = changes.iter().position(|(id, _)| *id == Id::of(*execution));
            let Some(claim) = place.and_then(|place| changes.swap_remove(place).1) else { continue };
            let (job, trigger) = (claim.trigger.job(), claim.trigger.key());
            if *is_given_up {
                tracing::error!(%job, %trigger, "a run of job `{job}` for trigger `{trigger}` was lost with too many nodes and is not repeated again; find out whether the job ends its process");
            }
            let fate = if *is_repeated { "is repeated" } else { "is not repeated" };
            tracing::warn!(%job, %trigger, %execution, "run {execution} of job `{job}` was lost with its node and {fate}");
        }
        // What cannot be read is left: a newer program may know its format.
        ran.view.reset();
        self.wake();
        Ok(ran.answer.iter().any(|lost| *lost != Lost::Gone))
    }
}
