//! Taking what is due.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::Result;
use scheduler_core::job::{CancelReason, ExecutionId};
use scheduler_core::store::view::record;
use scheduler_core::store::view::{Names as _, View};
use scheduler_core::store::*;
use serde_json::json;

use super::hands::{Held, Trigger};
use super::load::{Loader, parts};
use super::names::Names;
use super::run::{Core, Mode};
use super::server::{bytes, list, number, word};
use crate::codec;
use crate::firing::{GRACE, HELD, LOOK_AHEAD};

/// No call takes or fires more at once, so that none holds the server up for long.
pub(crate) const BATCH: usize = 100;

/// So often alarms are looked after before triggers are taken all the same.
const MOST_ALARMS: usize = 20;

const USE: Attached = Attached {
    look_ahead: LOOK_AHEAD,
    grace: GRACE,
    stop_within: std::time::Duration::ZERO,
    keeps_history: false,
};

impl Core {
    /// Claims due triggers, a batch with each call.
    pub(crate) async fn acquire(self: Arc<Self>, mut request: AcquireDue) -> Result<Acquired> {
        let (lapsed, _) = self.hands.lock().lapsed(request.now);
        if !lapsed.is_empty() {
            self.release(lapsed).await?;
        }
        if self.rest.lock().0.pauses.next_ending().is_some_and(|end| end <= request.now) {
            self.ring(&request).await?;
        }
        let mut all = Acquired::default();
        loop {
            let part = self.acquire_part(&request).await?;
            let many = part.triggers.len();
            for one in part.triggers {
                request.took(&one);
                all.triggers.push(one);
            }
            request.max -= many;
            (all.cancel, all.next_due) = (part.cancel, part.next_due);
            if many < BATCH || request.max == 0 {
                break;
            }
        }
        let (_, lapse) = self.hands.lock().lapsed(DateTime::<Utc>::MIN_UTC);
        let pauses = self.rest.lock().0.pauses.next_ending();
        all.next_due = all.next_due.into_iter().chain(lapse).chain(pauses).min();
        Ok(all)
    }

    async fn ring(&self, request: &AcquireDue) -> Result<()> {
        let (now, session) = (request.now, request.session);
        self.run("ring", Mode::Chore, self.view(), move |view| rules::ring(view, now, session)).await?;
        Ok(())
    }

    async fn acquire_part(&self, request: &AcquireDue) -> Result<Acquired> {
        for attempt in 0..=MOST_ALARMS {
            let words = self.take_words(request, attempt < MOST_ALARMS)?;
            let answer = self.server.take(&words).await?;
            let status = word(answer.first());
            let epoch = word(answer.get(1));
            if self.inner.state.lock().epoch != epoch {
                self.inner.nudge.notify_one();
            }
            match status.as_str() {
                "ok" => return self.taken(request, answer),
                "held" => return Ok(Acquired { next_due: Some(request.now + HELD), ..Acquired::default() }),
                "late" => return Ok(Acquired { next_due: Some(request.now), ..Acquired::default() }),
                "rest" => {
                    let mut view = View::new(Names::nothing());
                    let loader = Loader { server: &self.server, known: &self.known, view: &mut view };
                    let rest = loader.rest().await?;
                    *self.rest.lock() = rest;
                    if self.rest.lock().0.pauses.next_ending().is_some_and(|end| end <= request.now) {
                        self.ring(request).await?;
                    }
                }
                "alarm" => self.ring(request).await?,
                _ => {
                    self.inner.nudge.notify_one();
                    let text = "the store holds this node for dead; it registers anew";
                    return Err(scheduler_core::Error::transient(text));
                }
            }
        }
        // Pauses or calendars have changed with each try.
        Ok(Acquired { next_due: Some(request.now + HELD), ..Acquired::default() })
    }

    fn take_words(&self, request: &AcquireDue, looks_for_alarms: bool) -> Result<Vec<Vec<u8>>> {
        let text = |text: String| text.into_bytes();
        let millis = |time: DateTime<Utc>| text(time.timestamp_millis().to_string());
        let types = {
            let sessions = self.inner.sessions.lock();
            let known = sessions.get(&request.session).and_then(|known| known.node.types.clone());
            known.map(|types| codec::encode(&types)).transpose()?
        };
        let limits = (request.limits != ExecutionLimits::default()).then(|| {
            let limits = &request.limits;
            let ExecutionLimits { named, others, ungrouped, shared } = limits;
            let mut limits = json!({ "named": named, "shared": shared });
            // The script takes a null for a value.
            let single = [("others", others), ("ungrouped", ungrouped)];
            single
                .into_iter()
                .filter(|(_, most)| most.is_some())
                .for_each(|(name, most)| limits[name] = json!(most));
            limits
        });
        let version = self.rest.lock().1;
        let (late, share) = match request.late {
            Some(late) => (millis(late.before), late.most.min(request.max)),
            None => (Vec::new(), 0),
        };
        Ok(vec![
            text(request.session.to_string()),
            text(self.inner.turn_of(request.session).to_string()),
            millis(request.now),
            millis(request.until),
            text(request.max.min(BATCH).to_string()),
            late,
            text(share.to_string()),
            if version == 0 { Vec::new() } else { version.to_be_bytes().to_vec() },
            types.map(text).unwrap_or_default(),
            limits.map(|limits| text(limits.to_string())).unwrap_or_default(),
            text(u8::from(looks_for_alarms).to_string()),
        ])
    }

    fn taken(&self, request: &AcquireDue, answer: Vec<redis::Value>) -> Result<Acquired> {
        let mut answer = answer.into_iter().skip(2);
        let base = answer.next().as_ref().and_then(number).unwrap_or_default();
        let next_due = answer
            .next()
            .as_ref()
            .and_then(number)
            .and_then(|millis| i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis));
        let _late_left = answer.next();
        let mut acquired = Acquired { next_due, ..Acquired::default() };
        let stops = list(answer.next());
        for pair in stops.chunks_exact(2) {
            let reason = match word(Some(&pair[1])).as_str() {
                "superseded" => CancelReason::Superseded,
                _ => CancelReason::Requested,
            };
            acquired.cancel.extend(codec::read_claim(&word(Some(&pair[0]))).ok().map(|run| (run, reason)));
        }
        acquired.cancel.sort_unstable_by_key(|(run, _)| *run);
        let records = list(answer.next());
        let mut names = Names::new(Arc::default(), request.now);
        let rest = self.rest.lock().0.clone();
        let timing = USE;
        for (count, record) in (base + 1..).zip(&records) {
            let Some((version, record)) = bytes(record).and_then(parts) else { continue };
            let execution = ExecutionId::new(request.session, count);
            let row = match record::read_trigger(record, &mut names, &mut &self.known) {
                Ok(row) => row,
                Err(reason) => {
                    tracing::error!(%execution, reason, "this node cannot read a trigger and leaves it to other nodes: {reason}");
                    continue;
                }
            };
            let item = names.trigger(row.trigger.key());
            let due = row.next().unwrap_or(request.now);
            let lapse = timing.lapse(due, request.now);
            let claim = rules::claimed(item, &row, request.session, request.now, lapse);
            acquired.triggers.push(AcquiredTrigger {
                claim: execution,
                trigger: row.trigger.clone(),
                progress: row.progress(),
                calendar: row.trigger.calendar().and_then(|name| rest.calendars.get(name)).cloned(),
                freed: row.freed(),
                fired: None,
            });
            let trigger = Trigger::of(row, &names, version);
            self.hands.lock().hold(execution, Held { claim, version, trigger });
        }
        Ok(acquired)
    }
}
