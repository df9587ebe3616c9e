//! What a store remembers of the nodes of its own process: how long they may go on, and what they have in hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use foldhash::HashMap;
use scheduler_core::job::{CancelReason, ExecutionId};
use scheduler_core::run::RunId;
use scheduler_core::store::rows::{ClaimRow, Id, Item, RunRow, TriggerRow};
use scheduler_core::store::view::{Names as _, Version, View};
use scheduler_core::store::{Completion, Node};
use scheduler_core::trigger::Progress;

use crate::names::Names;

/// For so long endings are remembered: longer than what a server that has come back may have lost.
const REMEMBER: Duration = Duration::from_secs(60);

/// No more endings than this are remembered.
const MOST: usize = 10_000;

pub(crate) type Sessions = BTreeMap<u64, Session>;

/// One node.
pub(crate) struct Session {
    pub(crate) node: Node,
    /// Until this moment of the monotonic clock nobody takes its work over. None as long as it is not registered.
    pub(crate) safe_until: Option<Duration>,
    /// When it was last registered, if it was.
    pub(crate) since: Option<Duration>,
    /// That moment has passed, and its runs were told.
    pub(crate) fenced: bool,
    /// How often that has happened.
    pub(crate) losses: u64,
    /// Whether its last question was for triggers, and not only for what is to stop.
    pub(crate) takes: bool,
    /// How many calls for triggers it has made.
    pub(crate) turn: u64,
    /// Calls for triggers without an answer. If no node waits for them any more, there may be claims of which it does not know.
    pub(crate) unanswered: u32,
    /// There are such claims.
    pub(crate) is_unheard: bool,
    /// What time it was when it asked last, by its own word, and by the monotonic clock.
    pub(crate) asked: Option<(DateTime<Utc>, Duration)>,
    /// The last time it asked, there was more than it wished.
    pub(crate) had_more: bool,
    claims: HashMap<ExecutionId, Held>,
    ended: VecDeque<(Duration, Ending)>,
}

/// The end of a run, with all that is needed to say it again.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) completion: Completion,
    /// What has ended, if it was fired here: a server that has forgotten it whole is told of that too.
    pub(crate) of: Option<Ended>,
}

/// What has ended. There are many of a run, and a server that has forgotten the attempt knows the rest.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    Firing(Box<Held>),
    Attempt { run: RunId, epoch: u32 },
}

impl From<Held> for Ended {
    fn from(held: Held) -> Self {
        match &held.of {
            Origin::Run(row, _) => Self::Attempt { run: row.id, epoch: held.claim.epoch },
            Origin::Trigger { .. } => Self::Firing(held.into()),
        }
    }
}

/// A row of a trigger as it is in no transaction.
#[derive(Debug, Clone)]
pub(crate) struct Loose {
    row: TriggerRow,
    job_type: Arc<str>,
    version: Version,
}

impl Loose {
    pub(crate) fn of(row: TriggerRow, names: &Names, version: Version) -> Self {
        let job_type = names.lane_of(row.lane).1;
        Self { row, job_type, version }
    }

    fn load(&self, view: &mut View<Names>) -> Id<TriggerRow> {
        let (mut row, names) = (self.row.clone(), view.names());
        row.lane = names.lane(row.trigger.queue(), &self.job_type);
        row.job = names.job(row.trigger.job());
        let id = names.trigger(row.trigger.key());
        view.load_trigger(id, Some(row), self.version);
        id
    }
}

/// A claim, fired or not, with all that is needed to say so again to a server that has forgotten it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) claim: ClaimRow,
    pub(crate) version: Version,
    pub(crate) of: Origin,
}

/// What was claimed.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Trigger {
        /// As it was claimed, or after its firing.
        row: Loose,
        /// The progress of the trigger when it was claimed.
        from: Progress,
    },
    /// As it was claimed.
    Run(Box<RunRow>, Version),
}

/// The rows that a rule needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// The claim, what was claimed, and the job.
    ForAll,
    /// Of a run only the claim, unless the run has an alarm.
    ForClaim,
}

impl Loose {
    /// The progress of the trigger after the firing.
    pub(crate) fn to(&self) -> Progress {
        self.row.progress()
    }
}

/// The row of a run in a transaction.
pub(crate) fn run_in(row: &RunRow, names: &mut Names) -> RunRow {
    let mut row = row.clone();
    row.lane = names.lane(row.queue.as_ref(), &row.job_type);
    row
}

impl Held {
    pub(crate) const fn of_run(&self) -> bool {
        matches!(self.of, Origin::Run(..))
    }

    /// As far as is known here. Where that is out of date the commit is refused. The row of a run is left out if nothing goes by it.
    pub(crate) fn load(&self, execution: ExecutionId, home: &Arc<str>, view: &mut View<Names>, asks: Asks) {
        let id = view.names().claim(execution, home);
        let item = match &self.of {
            Origin::Trigger { row, .. } => Item::Trigger(row.load(view)),
            Origin::Run(..) if asks == Asks::ForClaim && !self.claim.linked => self.claim.item,
            Origin::Run(row, version) => {
                let run = view.names().run(row.id);
                let row = run_in(row, view.names());
                view.load_run(run, Some(row), *version);
                self.claim.item
            }
        };
        view.load_claim(id, Some(ClaimRow { item, ..self.claim.clone() }), self.version);
    }
}

/// These claims, of living sessions, may be asked for.
pub(crate) fn knows(view: &mut View<Names>, claims: impl IntoIterator<Item = ExecutionId>) {
    for claim in claims {
        view.names().claim(claim, &home_of(claim));
    }
}

/// Where the claims of a living session are.
pub(crate) fn home_of(execution: ExecutionId) -> Arc<str> {
    format!("cl:{}", execution.session()).into()
}

impl Session {
    pub(crate) fn new(node: Node) -> Self {
        let (safe_until, since, losses, turn, unanswered, is_unheard, claims, ended) = Default::default();
        let (fenced, takes, had_more, asked) = (false, true, false, None);
        Self {
            node,
            safe_until,
            since,
            fenced,
            losses,
            takes,
            turn,
            unanswered,
            is_unheard,
            asked,
            had_more,
            claims,
            ended,
        }
    }

    pub(crate) fn is_safe(&self, now: Duration) -> bool {
        !self.fenced && self.safe_until.is_some_and(|until| now < until)
    }

    /// Its lease was renewed by a call that was sent at `sent`.
    pub(crate) fn renewed(&mut self, until: Duration) {
        self.safe_until = self.safe_until.max(Some(until));
        self.fenced = false;
    }

    /// Others may take its work over: runs that must not overlap are to stop.
    pub(crate) fn fence(&mut self) -> Vec<ExecutionId> {
        self.fenced = true;
        self.losses += 1;
        let alone = self.claims.iter().filter(|(_, held)| held.claim.fired && held.claim.exclusive);
        alone.map(|(id, _)| *id).collect()
    }

    /// Its claims were given to others.
    pub(crate) fn lost(&mut self) -> Vec<ExecutionId> {
        let stop = self.fence();
        self.safe_until = None;
        self.claims.clear();
        stop
    }

    pub(crate) fn stop(&self, runs: &[ExecutionId]) {
        runs.iter().for_each(|run| (self.node.stop)(*run, CancelReason::ClaimLost));
    }

    pub(crate) fn hold(&mut self, execution: ExecutionId, held: Held) {
        self.claims.insert(execution, held);
    }

    pub(crate) fn held(&self, execution: ExecutionId) -> Option<&Held> {
        self.claims.get(&execution)
    }

    pub(crate) fn let_go(&mut self, execution: ExecutionId) -> Option<Held> {
        self.claims.remove(&execution)
    }

    /// Its runs, in no order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (ExecutionId, &Held)> {
        self.claims.iter().filter(|(_, held)| held.claim.fired).map(|(id, held)| (*id, held))
    }

    /// The present by the clock of the node: what it has said last, and the time since. A node in a test has a clock of its own.
    pub(crate) fn present(&self, monotonic: Duration) -> Option<DateTime<Utc>> {
        let (now, at) = self.asked?;
        now.checked_add_signed(TimeDelta::from_std(monotonic.saturating_sub(at)).ok()?)
    }

    /// Claims that are not fired, with when they lapse.
    pub(crate) fn lapses(&self) -> impl Iterator<Item = (ExecutionId, DateTime<Utc>)> {
        self.claims.iter().filter(|(_, held)| !held.claim.fired).map(|(id, held)| (*id, held.claim.lapse))
    }

    /// Runs that were claimed after this number.
    pub(crate) fn runs_after(&self, heard: u64) -> Vec<ExecutionId> {
        let all = self.claims.iter().filter(|(id, held)| id.count() > heard && held.of_run());
        all.map(|(id, _)| *id).collect()
    }

    pub(crate) fn ended(&mut self, completion: Completion, now: Duration) {
        let held = self.claims.remove(&completion.execution).filter(|held| held.claim.fired);
        self.ended.push_back((now, Ending { completion, of: held.map(Ended::from) }));
        let is_old = |(at, _): &(Duration, Ending)| now.saturating_sub(*at) > REMEMBER;
        while self.ended.len() > MOST || self.ended.front().is_some_and(is_old) {
            self.ended.pop_front();
        }
    }

    pub(crate) fn recently_ended(&self) -> Vec<Ending> {
        self.ended.iter().map(|(_, ending)| ending.clone()).collect()
    }
}
