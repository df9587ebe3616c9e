//! Taking what is due.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use redis::Value;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::TriggerRow;
use scheduler_core::store::view::record::{self, Kind};
use scheduler_core::store::view::{Names as _, Version, View};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, Result};
use serde_json::json;
use std::time::Duration;

use crate::codec;
use crate::commit::text;
use crate::connection::Failure;
use crate::load::{Broken, Loader, parts};
use crate::names::Names;
use crate::rest::is_foreign;
use crate::run::{Mode, each};
use crate::running::take_run;
use crate::script::{self, bytes, list, number, word};
use crate::session::{Held, Loose, Origin, Session, Sessions, knows};
use crate::shared::Shared;
use crate::store::touch_lost;

/// How far ahead triggers are acquired: about two round trips.
const LOOK_AHEAD: Duration = Duration::from_millis(20);

/// How long after its due time a claim lapses that was not fired.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) const USE: Attached = Attached {
    look_ahead: LOOK_AHEAD,
    batch: 5 * BATCH,
    grace: GRACE,
    stop_within: Duration::ZERO,
    keeps_history: false,
};

/// How long after nothing was handed out, since a server has to be told what it has forgotten, to ask again.
const HELD: TimeDelta = TimeDelta::milliseconds(100);

/// No call takes or fires more at once, so that none holds the server up for long.
pub(crate) const BATCH: usize = 100;

/// So often alarms and pauses are looked after before triggers are taken all the same.
const MOST_ALARMS: usize = 20;

pub(crate) fn millis(time: DateTime<Utc>) -> String {
    time.timestamp_millis().to_string()
}

/// A trigger or a run was due, and its record is gone.
fn tell_lost(name: &Value) {
    let name = word(Some(name));
    let shown = codec::shown(&name);
    if codec::read_run(&name).is_some() {
        tracing::error!(
            run = shown,
            "the job store in Redis has lost something: the record of run {shown}; `RedisJobStore::audit` finds the rest"
        );
    } else {
        tracing::error!(
            trigger = shown,
            "the job store in Redis has lost something: the record of trigger `{shown}`; `RedisJobStore::audit` finds the rest"
        );
    }
}

/// The answer of the server to a request for due work.
pub(crate) enum Asked {
    /// Something, or that there is nothing.
    Taken(Vec<Value>),
    /// Nothing now; it may be asked again then.
    Nothing(DateTime<Utc>),
}

/// Claims that nobody can fire.
#[derive(Default)]
pub(crate) struct Unusable {
    /// Their triggers are put into the error state.
    spoilt: Vec<ExecutionId>,
    /// Their triggers or runs cannot be read; with their queues.
    pub(crate) unreadable: Vec<(ExecutionId, Option<String>)>,
}

/// From which queues the node takes, and the shares of this request; none if there is nothing of it.
fn queues_of(request: &AcquireDue, filter: Option<&QueueFilter>) -> Option<String> {
    let filter = filter.filter(|filter| !filter.takes_all());
    if filter.is_none() && request.shares.is_empty() {
        return None;
    }
    let names =
        |names: &BTreeSet<Arc<str>>| json!(names.iter().map(|name| codec::queue(name)).collect::<Vec<_>>());
    let share = |QueueShare { queues, most }: &QueueShare| {
        let (of, is_rest) = match queues {
            QueueSet::Named(of) => (of, false),
            QueueSet::AllBut(of) => (of, true),
        };
        json!({ "of": names(of), "but": is_rest, "most": most })
    };
    let mut queues = json!({ "shares": request.shares.iter().map(share).collect::<Vec<_>>() });
    if let Some(QueueFilter { only, except }) = filter {
        (queues["only"], queues["except"]) = (names(only), names(except));
    }
    Some(queues.to_string())
}

impl Shared {
    /// What is due, as many as wished; no more than a batch with each call.
    pub(crate) async fn acquire(&self, request: AcquireDue) -> Result<Acquired> {
        let Ok(_nothing_is_told) = self.tells.try_read() else {
            if request.heard.is_some() {
                return Err(Error::transient(
                    "the Redis server is being told what it has forgotten; try again",
                ));
            }
            // Nothing is handed out meanwhile.
            return Ok(Acquired { next_due: Some(request.now + HELD), ..Acquired::default() });
        };
        let may_be_excess = self.give_back_before(&request).await?;
        let (session, now, losses) = (request.session, request.now, self.losses_of(request.session));
        let mut all = Acquired::default();
        let taken = self.take_parts(request, losses, &mut all).await;
        if self.losses_of(session) != losses {
            self.let_go_unheard(session, &all);
            return Err(touch_lost());
        }
        if let Err(error) = taken {
            if all.triggers.is_empty() && all.runs.is_empty() {
                return Err(error);
            }
            // Work that is already claimed is handed out, and the node asks for the rest at once.
            all.next_due = Some(now);
        }
        let lapse = self.sessions.lock().values().flat_map(Session::lapses).map(|(_, at)| at).min();
        let pauses = self.rest.lock().0.pauses.next_ending();
        all.next_due = all.next_due.into_iter().chain(lapse).chain(pauses).min();
        let rung = std::mem::take(&mut *self.rung.lock());
        all.dropped = rung.dropped;
        all.expired = rung.expired;
        all.dead = rung.dead;
        if may_be_excess {
            all.next_due = Some(now);
        }
        Ok(all)
    }

    /// Claims that the node does not use are given back before it takes more, and pauses whose time is over end. Says whether more runs may
    /// have ended than are kept.
    async fn give_back_before(&self, request: &AcquireDue) -> Result<bool> {
        // A call that was not sent has taken nothing.
        self.hot.reach().await.map_err(Failure::into_error)?;
        self.look_for_unheard(request).await?;
        if let Some(heard) = request.heard {
            let unheard = self.sessions.lock().get(&request.session).map(|known| known.runs_after(heard));
            if let Some(unheard) = unheard.filter(|unheard| !unheard.is_empty()) {
                self.release(unheard).await?;
            }
        }
        if let Some(known) = self.sessions.lock().get_mut(&request.session) {
            known.asked = Some((request.now, SystemClock.monotonic()));
        }
        self.release_lapsed(Some(request.now)).await?;
        if self.has_pauses_to_end(request.now) {
            self.ring(request).await?;
        }
        self.drop_excess(request).await
    }

    fn has_pauses_to_end(&self, now: DateTime<Utc>) -> bool {
        self.rest.lock().0.pauses.next_ending().is_some_and(|end| end <= now)
    }

    /// The answer of the server once it has taken something, or has nothing.
    pub(crate) async fn ask_due(&self, request: &AcquireDue) -> Result<Asked> {
        for attempt in 0..=MOST_ALARMS {
            let turn =
                if request.max > 0 { self.turn_of(request.session).to_string() } else { String::new() };
            let answer = match self.take(request, &turn, attempt < MOST_ALARMS).await {
                Err(error) if error.to_string().contains("OOM") => {
                    // There is no room for claims. Runs are stopped all the same, so that there will be some.
                    self.stop_runs(request).await?;
                    return Err(error);
                }
                answer => answer?,
            };
            if self.state.lock().epoch != word(answer.get(1)) {
                self.nudge.notify_one();
            }
            match word(answer.first()).as_str() {
                "ok" => return Ok(Asked::Taken(answer)),
                "held" => break,
                "rest" => {
                    let mut view = self.empty_view();
                    let rest =
                        Loader { shared: self, view: &mut view, broken: Broken::IsTold }.rest().await?;
                    *self.rest.lock() = rest;
                    if self.has_pauses_to_end(request.now) {
                        self.ring(request).await?;
                    }
                }
                "alarm" => self.ring(request).await?,
                "late" => return Ok(Asked::Nothing(request.now)),
                _ => {
                    self.nudge.notify_one();
                    return Err(Error::transient("the store holds this node for dead; it registers anew"));
                }
            }
        }
        Ok(Asked::Nothing(request.now + HELD))
    }

    pub(crate) async fn take(
        &self,
        request: &AcquireDue,
        turn: &str,
        looks_for_alarms: bool,
    ) -> Result<Vec<Value>> {
        let (types, queues) = {
            let sessions = self.sessions.lock();
            let node = sessions.get(&request.session).map(|known| &known.node);
            let types = node.and_then(|node| node.types.as_ref()).map(codec::encode).transpose()?;
            (types, queues_of(request, node.map(|node| &node.queues)))
        };
        let mut of_node = request.limits.clone();
        self.rest.lock().0.pauses.close(&mut of_node);
        let limits = (of_node != QueueLimits::default()).then(|| {
            let QueueLimits { named, others, default, shared } = &of_node;
            let [named, shared] = [named, shared].map(codec::by_queue);
            let mut limits = json!({ "named": named, "shared": shared });
            // The script takes a null for a value.
            let single = [("others", others), ("default", default)];
            single
                .into_iter()
                .filter(|(_, most)| most.is_some())
                .for_each(|(name, most)| limits[name] = json!(most));
            limits.to_string()
        });
        let (late, share) = request
            .late
            .map_or_else(Default::default, |late| (millis(late.before), late.most.min(request.max)));
        let version = self.rest.lock().1;
        let known = if version == 0 { Vec::new() } else { version.to_be_bytes().to_vec() };
        let mut words = vec![
            text("take"),
            text(request.session.to_string()),
            text(turn),
            text(millis(request.now)),
            text(millis(request.until)),
            text(request.max.min(BATCH).to_string()),
            text(late),
            text(share.to_string()),
            known,
            text(types.unwrap_or_default()),
            text(limits.unwrap_or_default()),
            text(u8::from(looks_for_alarms).to_string()),
        ];
        words.extend(queues.map(text));
        let script = if request.max == 0 { &script::LOOK } else { &script::TAKE };
        let count = |step: fn(&mut Session)| self.sessions.lock().get_mut(&request.session).map(step);
        if request.max > 0 {
            count(|known| known.unanswered += 1);
        }
        let answer = self.evaluate(&self.hot, script, "take", &words).await;
        if answer.is_ok() && request.max > 0 {
            count(|known| known.unanswered = known.unanswered.saturating_sub(1));
        }
        answer
    }

    /// Tells the node which of its runs are to stop.
    async fn stop_runs(&self, request: &AcquireDue) -> Result<()> {
        let nothing = AcquireDue { max: 0, ..request.clone() };
        let answer = self.take(&nothing, "", false).await?;
        let node = self.sessions.lock().get(&request.session).map(|known| known.node.clone());
        let (asked, ..) = self.read_taken(&nothing, answer);
        if let Some(node) = node {
            asked.cancel.into_iter().for_each(|(run, reason)| (node.stop)(run, reason));
        }
        Ok(())
    }

    /// The number of the next call by which a node asks for triggers.
    pub(crate) fn turn_of(&self, session: u64) -> u64 {
        self.sessions.lock().get_mut(&session).map_or(1, |known| {
            known.turn += 1;
            known.turn
        })
    }

    /// Also says whether something was given back to where it may be taken again.
    pub(crate) async fn taken(
        &self,
        request: &AcquireDue,
        answer: Vec<Value>,
        losses: u64,
    ) -> Result<(Acquired, bool)> {
        if self.losses_of(request.session) != losses {
            // Its node does not wait for this any more.
            return Err(touch_lost());
        }
        let (of_jobs, limited) = (word(answer.get(8)), list(answer.get(10).cloned()));
        let (mut acquired, unusable) = self.read_taken(request, answer);
        let is_done = async {
            self.drop_unreadable(request.session, &unusable).await?;
            self.spoil(unusable.spoilt).await?;
            let has_moved = self.settle(&mut acquired.runs, &of_jobs, request).await?;
            self.hold_paused(&mut acquired.runs).await?;
            (acquired.limited, acquired.superseded) = self.meet_full_limits(request, &limited).await?;
            Ok(has_moved)
        };
        let has_moved = is_done.await;
        if let Err(error) = has_moved {
            self.let_go_unheard(request.session, &acquired);
            return Err(error);
        }
        Ok((acquired, has_moved?))
    }

    /// Forgets claims that the node will not hear of. The next take finds them in the store and gives them back.
    fn let_go_unheard(&self, session: u64, acquired: &Acquired) {
        let mut sessions = self.sessions.lock();
        let Some(known) = sessions.get_mut(&session) else { return };
        let triggers = acquired.triggers.iter().map(|one| one.claim);
        let runs = acquired.runs.iter().map(|one| one.claim);
        triggers.chain(runs).for_each(|claim| drop(known.let_go(claim)));
        known.is_unheard = true;
    }

    /// How often the node has lost touch.
    fn losses_of(&self, session: u64) -> u64 {
        self.sessions.lock().get(&session).map_or(0, |known| known.losses)
    }

    /// What is the node's from now on, and what no node can fire.
    fn read_taken(&self, request: &AcquireDue, answer: Vec<Value>) -> (Acquired, Unusable) {
        let base = number(answer.get(2)).unwrap_or_default();
        let next_due = word(answer.get(3)).parse().ok().and_then(DateTime::from_timestamp_millis);
        let mut answer = answer.into_iter().skip(5);
        let cancel = script::read_stops(&list(answer.next()));
        let mut acquired = Acquired { next_due, cancel, ..Acquired::default() };
        let records = list(answer.next());
        list(answer.next()).iter().for_each(tell_lost);
        let mut names = Names::new(self.numbers.clone(), request.now);
        // Before them stands the version of all jobs.
        let queues = list(answer.nth(1));
        let mut unusable = Unusable::default();
        let mut cannot_be_read = |claim: ExecutionId| {
            let place = usize::try_from(claim.count() - base - 1).unwrap_or(usize::MAX);
            let queue = Some(word(queues.get(place))).filter(|queue| !queue.is_empty());
            unusable.unreadable.push((claim, queue));
        };
        let rest = self.rest.lock().0.clone();
        let mut sessions = self.sessions.lock();
        for (count, whole) in (base + 1..).zip(&records) {
            let execution = ExecutionId::new(request.session, count);
            let Some((version, text)) = bytes(whole).and_then(parts) else {
                tracing::error!(%execution, "the record of a trigger is destroyed, and it fires no more; run `RedisJobStore::audit` and store the trigger again");
                cannot_be_read(execution);
                continue;
            };
            if record::kind_of(text) == Some(Kind::Run) {
                match take_run(&mut sessions, request, execution, (version, text), &mut names) {
                    Some(run) => acquired.runs.push(run),
                    None => cannot_be_read(execution),
                }
                continue;
            }
            let Some((row, is_unknown)) = self.read_claimed(execution, text, &mut names) else {
                cannot_be_read(execution);
                continue;
            };
            if is_unknown {
                // The claim lapses, and another node may take the trigger.
                self.hold(&mut sessions, request, execution, row, version, &mut names);
                continue;
            }
            let calendar = row.trigger.calendar().map(|name| (name, rest.calendars.get(name).cloned()));
            if let Some((name, None)) = calendar {
                let trigger = row.trigger.key();
                tracing::error!(%trigger, calendar = name, "the calendar `{name}` of trigger `{trigger}` is not there, so the trigger is put into the error state; store the calendar and reset the trigger");
                unusable.spoilt.push(execution);
                continue;
            }
            let calendar = calendar.and_then(|(_, calendar)| calendar);
            let (trigger, progress, freed) = (row.trigger.clone(), row.progress(), row.freed());
            self.hold(&mut sessions, request, execution, row, version, &mut names);
            if calendar.as_deref().is_some_and(is_foreign) {
                let key = trigger.key();
                tracing::error!(trigger = %key, "this node does not know the type of the calendar of trigger `{key}` and leaves the trigger to other nodes");
                continue;
            }
            let claim = execution;
            acquired.triggers.push(AcquiredTrigger { claim, trigger, progress, calendar, freed });
        }
        (acquired, unusable)
    }

    /// A trigger that was claimed, and whether this program does not know its schedule; nothing if no node can read it.
    fn read_claimed(
        &self,
        execution: ExecutionId,
        text: &[u8],
        names: &mut Names,
    ) -> Option<(TriggerRow, bool)> {
        let reason = match record::read_trigger(text, names, &mut &self.known) {
            Ok(row) => return Some((row, false)),
            Err(reason) => reason,
        };
        match record::read_place(text, names) {
            Ok(row) => {
                let trigger = row.trigger.key();
                tracing::error!(%trigger, reason, "this node cannot read the trigger `{trigger}` and leaves it to other nodes: {reason}");
                Some((row, true))
            }
            Err(_) => {
                tracing::error!(%execution, reason, "no node can read a trigger, and it fires no more: {reason}; run `RedisJobStore::audit` and store the trigger again");
                None
            }
        }
    }

    /// A claim of a node, until it is fired, given back or lapses.
    fn hold(
        &self,
        sessions: &mut Sessions,
        request: &AcquireDue,
        execution: ExecutionId,
        row: TriggerRow,
        version: Version,
        names: &mut Names,
    ) {
        let (item, from) = (names.trigger(row.trigger.key()), row.progress());
        let lapse = USE.lapse(row.next().unwrap_or(request.now), request.now);
        let claim = rules::claimed(item, &row, request.session, request.now, lapse);
        if let Some(known) = sessions.get_mut(&request.session) {
            let of = Origin::Trigger { row: Loose::of(row, names, version), from };
            known.hold(execution, Held { claim, version, of });
        }
    }

    /// What no node can fire is put into the error state, so that it does not come up again and again.
    async fn spoil(&self, claims: Vec<ExecutionId>) -> Result<()> {
        if claims.is_empty() {
            return Ok(());
        }
        let mut view = self.view();
        knows(&mut view, claims.iter().copied());
        let rule = |view: &mut View<Names>| each(view, &claims, rules::spoil);
        self.run("spoil", Mode::Chore, view, rule).await?;
        Ok(())
    }

    /// Whether the node may go on, as far as is known here.
    pub(crate) fn is_safe(&self, session: u64) -> bool {
        let now = SystemClock.monotonic();
        self.sessions.lock().get(&session).is_none_or(|known| known.is_safe(now))
    }
}
