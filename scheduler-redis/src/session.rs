//! What a store remembers of the nodes of its own process: how long they may go on, and what they have in hand.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use scheduler_core::job::{CancelReason, ExecutionId};
use scheduler_core::store::Node;
use serde_json::{Value, json};

use crate::codec;

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
    /// Of a call for triggers no answer has come: what that has fired has larger numbers than this.
    pub(crate) unheard: Option<u64>,
    /// What is claimed and not fired: the trigger's progress as it was.
    pub(crate) claimed: HashMap<ExecutionId, Claimed>,
    pub(crate) flights: HashMap<ExecutionId, Flight>,
    ended: VecDeque<(Duration, Ending)>,
}

/// The end of a run, with all that is needed to say it again.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) claim: String,
    pub(crate) instruction: &'static str,
    pub(crate) data: Option<String>,
    pub(crate) record: Option<String>,
    /// The run, if it was fired here: a server that has forgotten it whole is told of that too.
    pub(crate) flight: Option<(ExecutionId, Flight)>,
}

impl Ending {
    /// With nothing but an instruction.
    pub(crate) fn plain(run: ExecutionId, instruction: &'static str) -> Self {
        Self { claim: codec::claim(run), instruction, data: None, record: None, flight: None }
    }

    /// As a row of a call that goes on after this trigger, or begins.
    pub(crate) fn words(&self, after: String) -> [String; 5] {
        let word = |part: &Option<String>| part.clone().unwrap_or_default();
        [self.claim.clone(), self.instruction.to_owned(), word(&self.data), word(&self.record), after]
    }

    /// As the script reads it when it is told again.
    pub(crate) fn row(&self) -> Value {
        json!({
            "c": self.claim,
            "i": self.instruction,
            "data": self.data,
            "record": self.record,
            "flight": self.flight.as_ref().map(|(id, flight)| flight.row(*id)),
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    /// When.
    pub(crate) at: Duration,
    pub(crate) trigger: String,
    pub(crate) due: Option<String>,
    pub(crate) from: String,
}

/// A run under way, with all that is needed to say so again to a server that has forgotten it.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) claimed: Claimed,
    pub(crate) progress: String,
    pub(crate) next: Option<String>,
    pub(crate) fired: String,
    /// Its job allows one run at a time.
    pub(crate) exclusive: bool,
}

impl Session {
    pub(crate) fn new(node: Node) -> Self {
        let (safe_until, since, losses, turn, unheard, claimed, flights, ended) = Default::default();
        let (fenced, takes) = (false, true);
        Self { node, safe_until, since, fenced, losses, takes, turn, unheard, claimed, flights, ended }
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
        self.flights.iter().filter(|(_, flight)| flight.exclusive).map(|(id, _)| *id).collect()
    }

    pub(crate) fn claimed(&mut self, id: ExecutionId, claimed: Claimed) {
        if self.claimed.len() >= MOST {
            // What was claimed so long ago has lapsed.
            self.claimed.retain(|_, known| claimed.at.saturating_sub(known.at) < REMEMBER);
        }
        self.claimed.insert(id, claimed);
    }

    /// The trigger of a claim, fired or not.
    pub(crate) fn trigger_of(&self, claim: ExecutionId) -> Option<&str> {
        let fired = || self.flights.get(&claim).map(|flight| &flight.claimed);
        self.claimed.get(&claim).or_else(fired).map(|claimed| claimed.trigger.as_str())
    }

    /// Its claims were given to others.
    pub(crate) fn lost(&mut self) -> Vec<ExecutionId> {
        let stop = self.fence();
        self.safe_until = None;
        self.claimed.clear();
        self.flights.clear();
        stop
    }

    pub(crate) fn ended(&mut self, id: ExecutionId, ending: Ending, now: Duration) {
        let flight = self.flights.remove(&id).map(|flight| (id, flight));
        self.ended.push_back((now, Ending { flight, ..ending }));
        let is_old = |(at, _): &(Duration, Ending)| now.saturating_sub(*at) > REMEMBER;
        while self.ended.len() > MOST || self.ended.front().is_some_and(is_old) {
            self.ended.pop_front();
        }
    }

    pub(crate) fn recently_ended(&self) -> Vec<Value> {
        self.ended.iter().map(|(_, ending)| ending.row()).collect()
    }

    /// The claims that the node knows of.
    pub(crate) fn known(&self) -> Vec<String> {
        self.claimed.keys().chain(self.flights.keys()).map(|id| codec::claim(*id)).collect()
    }

    pub(crate) fn stop(&self, runs: &[ExecutionId]) {
        runs.iter().for_each(|run| (self.node.stop)(*run, CancelReason::ClaimLost));
    }
}

impl Flight {
    pub(crate) fn row(&self, id: ExecutionId) -> Value {
        json!({
            "c": codec::claim(id),
            "k": self.claimed.trigger,
            "from": self.claimed.from,
            "d": self.claimed.due,
            "p": self.progress,
            "n": self.next,
            "s": self.fired,
        })
    }
}
