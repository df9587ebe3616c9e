//! Claims: who may fire what, whatever becomes of calls and nodes.
//!
//! One job that allows one run at a time and asks for recovery, with two triggers, on two nodes. A call may be lost, be carried
//! out without an answer, twice, or late; a node may crash, freeze or lose touch with the store; a session ends, its
//! claims are listed and consumed one by one, and a node that was held for dead begins anew under the same number.
//!
//! Time is left out: a claim lapses whenever it likes, and a session ends as soon as its node has crashed, is frozen or
//! knows that it has lost touch. That it does not end earlier is what `lease` shows. A server that forgets is in `rollback`.

use crate::Mutation;
use crate::search::{Model, Step, Steps};

/// How often each trigger is due.
const FIRINGS: [u8; 2] = [2, 1];
/// All firings, those of the first trigger first.
const ALL: usize = 3;
/// The triggers, and for each firing the trigger that repeats it when its run was lost.
const ITEMS: usize = 2 + ALL;
/// As many claims as anybody can know of at once.
const IDS: usize = 7;

/// A claim; 0 stands for none.
type Id = u8;

/// Where a trigger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// Nowhere: it is not there, or is never due again.
    Nowhere,
    /// To be had by whoever asks.
    Offered,
    /// Until its job is free.
    Parked,
    /// Claimed and not fired.
    Claimed,
}

/// What the store knows of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Record {
    Unknown,
    Acquired,
    Fired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Claim {
    owner: u8,
    item: u8,
    firing: u8,
    record: Record,
    /// Its session is over.
    buried: bool,
}

const NO_CLAIM: Claim = Claim { owner: 0, item: 0, firing: 0, record: Record::Unknown, buried: false };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Up,
    Frozen,
    Crashed,
}

/// What a node knows of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Touch {
    Safe,
    /// Its clock says that the lease is over, and it has not looked yet.
    Overdue,
    /// Its runs were told to stop.
    Fenced,
    /// The store held it for dead; it is to register anew.
    Unregistered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    life: Life,
    touch: Touch,
    /// Claimed, to be fired.
    ahead: Id,
    /// The claim is of an earlier life of the session.
    forgotten: bool,
    /// An answer is on its way that allows to run what is ahead.
    answer: bool,
    body: Id,
    /// The body was there while its node was frozen.
    body_froze: bool,
    /// Nobody will tell the body to stop.
    body_untold: bool,
    /// A run that has ended, which the store does not know.
    ended: Id,
    /// A lost run of a dead node, to be buried.
    lost: Id,
}

const FRESH: Node = Node {
    life: Life::Up,
    touch: Touch::Safe,
    ahead: 0,
    forgotten: false,
    answer: false,
    body: 0,
    body_froze: false,
    body_untold: false,
    ended: 0,
    lost: 0,
};

/// A call that is under way although nobody waits for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Late {
    Nothing,
    Acquire(u8),
    Fire(Id),
    Complete(Id),
    Bury(Id),
    Attach(u8),
}

/// What may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Faults {
    calls: u8,
    crashes: u8,
    freezes: u8,
    partitions: u8,
}

/// Which promise a step has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Broken {
    Nothing,
    Advance,
    Twice,
    Overlap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    places: [Place; ITEMS],
    /// How often each trigger has fired.
    next: [u8; 2],
    busy: Id,
    claims: [Claim; IDS],
    sessions: [bool; 2],
    nodes: [Node; 2],
    late: Late,
    /// Firings that have begun a run that is no recovery, bit by bit.
    begun: u8,
    left: Faults,
    broken: Broken,
}

/// The firing of a trigger, by its number among all.
fn firing(item: u8, next: u8) -> u8 {
    if item == 0 { next } else { FIRINGS[0] + next }
}

impl State {
    fn claim(&mut self, id: Id) -> &mut Claim {
        &mut self.claims[usize::from(id) - 1]
    }

    fn known(&self, id: Id) -> Claim {
        self.claims[usize::from(id) - 1]
    }

    fn has(&self, id: Id) -> bool {
        self.known(id).record != Record::Unknown
    }

    fn place(&self, item: u8) -> Place {
        self.places[usize::from(item)]
    }

    /// Lets a trigger wait: to be had, or until the job is free.
    fn wait(&mut self, item: u8) {
        self.places[usize::from(item)] = if self.busy == 0 { Place::Offered } else { Place::Parked };
    }

    fn replace(&mut self, from: Place, to: Place) {
        self.places.iter_mut().filter(|place| **place == from).for_each(|place| *place = to);
    }

    /// A claim is no more; if it holds the job, that is free.
    fn end(&mut self, id: Id) {
        let claim = self.claim(id);
        claim.record = Record::Unknown;
        claim.buried = false;
        if self.busy == id {
            self.free();
        }
    }

    fn free(&mut self) {
        self.busy = 0;
        self.replace(Place::Parked, Place::Offered);
    }

    fn acquire(&mut self, node: u8, item: u8) -> Id {
        let free = (1..=IDS).find(|id| !self.is_mentioned(*id as Id)).expect("there are enough claims");
        let id = free as Id;
        let firing = if item < 2 { firing(item, self.next[usize::from(item)]) } else { item - 2 };
        *self.claim(id) = Claim { owner: node, item, firing, record: Record::Acquired, buried: false };
        self.busy = id;
        self.places[usize::from(item)] = Place::Claimed;
        self.replace(Place::Offered, Place::Parked);
        id
    }

    /// Gives back what was not fired.
    fn release(&mut self, id: Id, mutation: Option<Mutation>) {
        let claim = self.known(id);
        if claim.record != Record::Acquired {
            return;
        }
        self.end(id);
        if mutation == Some(Mutation::LapsedIsNotGivenBack) {
            self.places[usize::from(claim.item)] = Place::Nowhere;
        } else {
            self.wait(claim.item);
        }
    }

    /// Whether the claim allows to run.
    fn fire(&mut self, id: Id, mutation: Option<Mutation>) -> bool {
        let claim = self.known(id);
        let owned = self.sessions[usize::from(claim.owner)]
            && (!claim.buried || mutation == Some(Mutation::BuriedClaimsFire));
        let known = self.has(id) || mutation == Some(Mutation::ClaimsAreNotCompared);
        if !owned || !known {
            return false;
        }
        if claim.record == Record::Fired {
            return true;
        }
        self.claim(id).record = Record::Fired;
        self.busy = id;
        if claim.item < 2 {
            let next = self.next[usize::from(claim.item)];
            if firing(claim.item, next) != claim.firing {
                self.broken = Broken::Advance;
                return true;
            }
            self.next[usize::from(claim.item)] = next + 1;
            self.places[usize::from(claim.item)] = Place::Nowhere;
            if next + 1 < FIRINGS[usize::from(claim.item)] {
                self.wait(claim.item);
            }
        } else {
            self.places[usize::from(claim.item)] = Place::Nowhere;
        }
        true
    }

    fn complete(&mut self, id: Id, mutation: Option<Mutation>) {
        match self.known(id).record {
            Record::Fired => self.end(id),
            Record::Unknown if mutation == Some(Mutation::UnknownClaimsComplete) => self.free(),
            _ => {}
        }
    }

    /// Ends a run whose node is gone, and puts in place what repeats it.
    fn bury(&mut self, id: Id, mutation: Option<Mutation>) {
        let claim = self.known(id);
        if claim.record != Record::Fired {
            return;
        }
        let again = 2 + claim.firing;
        if self.place(again) == Place::Nowhere {
            self.wait(again);
        }
        if mutation != Some(Mutation::LostRunsAreNotEnded) {
            self.end(id);
        }
    }

    /// A session is over: its claims are those of nobody.
    fn entomb(&mut self, node: u8) {
        self.sessions[usize::from(node)] = false;
        let owned = self.claims.iter_mut().filter(|claim| claim.owner == node && claim.record != Record::Unknown);
        owned.for_each(|claim| claim.buried = true);
    }

    fn carry_out(&mut self, late: Late, mutation: Option<Mutation>) {
        match late {
            Late::Nothing => {}
            Late::Acquire(node) => {
                let item = self.offers(mutation).next();
                if let Some(item) = item.filter(|_| self.sessions[usize::from(node)]) {
                    self.acquire(node, item);
                }
            }
            Late::Fire(id) => drop(self.fire(id, mutation)),
            Late::Complete(id) => self.complete(id, mutation),
            Late::Bury(id) => self.bury(id, mutation),
            Late::Attach(node) => self.sessions[usize::from(node)] = true,
        }
    }

    /// What can be acquired.
    fn offers(&self, mutation: Option<Mutation>) -> impl Iterator<Item = u8> + use<> {
        let places = self.places;
        let to_be_had = move |place| match place {
            Place::Offered => true,
            Place::Parked => mutation == Some(Mutation::BusyIsNotChecked),
            _ => false,
        };
        (0..ITEMS as u8).filter(move |item| to_be_had(places[usize::from(*item)]))
    }

    /// Everywhere that a claim can be named.
    fn mentions(&mut self) -> impl Iterator<Item = &mut Id> {
        let late = match &mut self.late {
            Late::Fire(id) | Late::Complete(id) | Late::Bury(id) => Some(id),
            Late::Nothing | Late::Acquire(_) | Late::Attach(_) => None,
        };
        let nodes = self.nodes.iter_mut();
        let of_nodes = nodes.flat_map(|node| [&mut node.ahead, &mut node.body, &mut node.ended, &mut node.lost]);
        std::iter::once(&mut self.busy).chain(of_nodes).chain(late)
    }

    fn is_mentioned(&self, id: Id) -> bool {
        self.has(id) || self.clone().mentions().any(|named| *named == id)
    }

    /// The node stops its run, if anybody tells it.
    fn stop(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if node.body != 0 && !node.body_untold {
            (node.ended, node.body, node.body_froze) = (node.body, 0, false);
        }
    }

    fn begin(&mut self, node: usize, mutation: Option<Mutation>) {
        let id = self.nodes[node].ahead;
        let claim = self.known(id);
        let overlaps = |node: &Node| node.body != 0 && !node.body_froze && node.life != Life::Frozen;
        if self.nodes.iter().any(overlaps) {
            self.broken = Broken::Overlap;
        }
        if claim.item < 2 {
            if self.begun & 1 << claim.firing != 0 {
                self.broken = Broken::Twice;
            }
            self.begun |= 1 << claim.firing;
        }
        let known = &mut self.nodes[node];
        known.body_untold = mutation == Some(Mutation::LateAnswersBegin) && known.forgotten;
        (known.body, known.ahead, known.forgotten, known.answer) = (id, 0, false, false);
    }
}

const NAMES: [&str; ITEMS] =
    ["`first`", "`second`", "the repetition of `first` 1", "the repetition of `first` 2", "the repetition of `second`"];

pub(crate) struct Claims {
    pub(crate) mutation: Option<Mutation>,
}

/// Collects what can happen next.
struct Moves<'a> {
    from: &'a State,
    mutation: Option<Mutation>,
    steps: &'a mut Steps<State>,
}

impl Moves<'_> {
    fn add(&mut self, name: &'static str, node: usize, id: Id, calm: bool, change: impl FnOnce(&mut State)) {
        let what = if id == 0 { "" } else { NAMES[usize::from(self.from.known(id).item)] };
        let mut to = *self.from;
        change(&mut to);
        self.steps.push(Step { name, node: node as u8, what, calm, to });
    }

    /// Something that goes wrong with a call, if that may happen again.
    fn lose(&mut self, name: &'static str, node: usize, id: Id, change: impl FnOnce(&mut State)) {
        if self.from.left.calls > 0 {
            self.add(name, node, id, false, |to| {
                to.left.calls -= 1;
                change(to);
            });
        }
    }

    /// The same, where the call is carried out some day.
    fn delay(&mut self, name: &'static str, node: usize, id: Id, late: Late, change: impl FnOnce(&mut State)) {
        if self.from.late == Late::Nothing {
            self.lose(name, node, id, |to| {
                change(to);
                to.late = late;
            });
        }
    }

    /// The firing loop takes a turn: first what has ended, then what was acquired, then what is new.
    fn turn(&mut self, at: usize) {
        let (node, mutation) = (self.from.nodes[at], self.mutation);
        let (ahead, ended) = (node.ahead, node.ended);
        if node.answer {
            self.hear(at);
        } else if ended != 0 {
            self.add("{node} completes {what}", at, ended, true, |to| {
                to.complete(ended, mutation);
                to.nodes[at].ended = 0;
            });
            self.lose("{node} completes {what}, and the answer is lost", at, ended, |to| to.complete(ended, mutation));
            self.delay("{node} completes {what}, but the call is late", at, ended, Late::Complete(ended), |_| {});
        } else if node.touch == Touch::Safe {
            if ahead == 0 { self.acquire(at) } else { self.fire(at) }
        }
    }

    fn acquire(&mut self, at: usize) {
        let (node, from) = (at as u8, self.from);
        if !from.sessions[at] {
            return;
        }
        for item in from.offers(self.mutation) {
            let what = NAMES[usize::from(item)];
            let mut to = *from;
            to.nodes[at].ahead = to.acquire(node, item);
            self.steps.push(Step { name: "{node} acquires {what}", node, what, calm: true, to });
            if from.left.calls > 0 {
                to.nodes[at].ahead = 0;
                to.left.calls -= 1;
                let name = "{node} acquires {what}, and the answer is lost";
                self.steps.push(Step { name, node, what, calm: false, to });
            }
        }
        self.delay("{node} acquires, but the call is late", at, 0, Late::Acquire(node), |_| {});
    }

    fn fire(&mut self, at: usize) {
        let (ahead, mutation) = (self.from.nodes[at].ahead, self.mutation);
        let mut probe = *self.from;
        let allowed = probe.fire(ahead, mutation);
        if allowed {
            self.add("{node} fires {what}", at, ahead, true, |to| {
                to.fire(ahead, mutation);
                to.nodes[at].answer = true;
            });
            self.lose("{node} fires {what}, and the answer is lost", at, ahead, |to| {
                to.fire(ahead, mutation);
            });
            self.delay("{node} fires {what}, and the call is carried out again later", at, ahead, Late::Fire(ahead), |to| {
                to.fire(ahead, mutation);
                to.nodes[at].answer = true;
            });
        } else {
            self.add("{node} hears that its claim of {what} is void", at, ahead, true, |to| {
                (to.nodes[at].ahead, to.nodes[at].forgotten) = (0, false);
            });
        }
        self.delay("{node} fires {what}, but the call is late", at, ahead, Late::Fire(ahead), |_| {});
    }

    /// The answer comes that allows to run.
    fn hear(&mut self, at: usize) {
        let (node, mutation) = (self.from.nodes[at], self.mutation);
        let ahead = node.ahead;
        if mutation == Some(Mutation::LateAnswersBegin) || (node.touch == Touch::Safe && !node.forgotten) {
            self.add("{node} begins to run {what}", at, ahead, true, |to| to.begin(at, mutation));
        } else {
            self.add("{node} hears too late that it may run {what}", at, ahead, true, |to| {
                to.nodes[at].answer = false;
                if node.forgotten {
                    (to.nodes[at].ahead, to.nodes[at].forgotten) = (0, false);
                }
            });
        }
    }

    /// The heart beats, and does what the answer says.
    fn beat(&mut self, at: usize) {
        let (node, from, mutation) = (self.from.nodes[at], self.from, self.mutation);
        let (alive, lost) = (from.sessions[at], node.lost);
        if lost != 0 {
            self.add("{node} buries the lost run of {what}", at, lost, true, |to| {
                to.bury(lost, mutation);
                to.nodes[at].lost = 0;
            });
            self.lose("{node} cannot bury the lost run of {what}", at, lost, |to| to.nodes[at].lost = 0);
            self.delay("{node} buries the lost run of {what}, but the call is late", at, lost, Late::Bury(lost), |to| {
                to.nodes[at].lost = 0;
            });
        } else if node.touch != Touch::Unregistered && !alive {
            self.add("{node} hears that it was held for dead", at, 0, true, |to| {
                to.stop(at);
                let known = &mut to.nodes[at];
                (known.touch, known.forgotten) = (Touch::Unregistered, known.ahead != 0);
            });
        } else if node.touch == Touch::Unregistered && !alive {
            self.add("{node} registers anew", at, 0, true, |to| {
                to.sessions[at] = true;
                to.nodes[at].touch = Touch::Safe;
            });
            let again = Late::Attach(at as u8);
            self.lose("{node} registers anew, and the answer is lost", at, 0, |to| to.sessions[at] = true);
            self.delay("{node} registers anew, but the call is late", at, 0, again, |_| {});
        } else if node.touch != Touch::Safe {
            self.add("{node} beats", at, 0, true, |to| to.nodes[at].touch = Touch::Safe);
        } else {
            self.take_over(at);
        }
    }

    /// Ends sessions of nodes that are gone or know that they have lost touch, and lists what they had.
    fn take_over(&mut self, at: usize) {
        let (other, mutation, keeps) = (1 - at, self.mutation, Some(Mutation::BuriedSessionsLive));
        let gone = self.from.nodes[other].life != Life::Up || self.from.nodes[other].touch != Touch::Safe;
        let expired = gone && self.from.sessions[other];
        if expired && mutation != keeps {
            let (name, dead) = ("the session of {node} is over", other as u8);
            self.add(name, other, 0, true, |to| to.entomb(dead));
        }
        for id in 1..=IDS as Id {
            let claim = self.from.known(id);
            let listed = claim.buried || (mutation == keeps && expired && usize::from(claim.owner) == other);
            match claim.record {
                Record::Fired if listed => {
                    self.add("{node} finds the lost run of {what}", at, id, true, |to| to.nodes[at].lost = id);
                }
                Record::Acquired if listed => {
                    self.add("{node} gives back {what} of a dead session", at, id, true, |to| to.release(id, mutation));
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, at: usize) {
        let (node, from) = (self.from.nodes[at], self.from);
        match node.life {
            Life::Crashed => return,
            Life::Frozen => return self.thaw(at),
            Life::Up => {}
        }
        self.turn(at);
        self.beat(at);
        if node.body != 0 && node.ended == 0 {
            self.add("the run of {what} on {node} ends", at, node.body, true, |to| {
                let known = &mut to.nodes[at];
                (known.ended, known.body, known.body_froze, known.body_untold) = (known.body, 0, false, false);
            });
        }
        let fences = node.touch == Touch::Overdue || (node.touch == Touch::Safe && from.left.partitions > 0);
        if fences {
            self.add("{node} knows that it has lost touch", at, 0, node.touch == Touch::Overdue, |to| {
                to.left.partitions -= u8::from(node.touch == Touch::Safe);
                to.stop(at);
                (to.nodes[at].touch, to.nodes[at].answer) = (Touch::Fenced, false);
            });
        }
        if from.left.crashes > 0 {
            self.add("{node} crashes", at, 0, false, |to| {
                to.left.crashes -= 1;
                to.nodes[at] = Node { life: Life::Crashed, ..FRESH };
            });
        }
        if from.left.freezes > 0 {
            self.add("{node} freezes", at, 0, false, |to| {
                to.left.freezes -= 1;
                let known = &mut to.nodes[at];
                (known.life, known.body_froze) = (Life::Frozen, known.body != 0);
            });
        }
    }

    fn thaw(&mut self, at: usize) {
        let (node, other) = (self.from.nodes[at], self.from.nodes[1 - at]);
        // Nobody may depend on it who could do without.
        let calm = other.life != Life::Up;
        if self.from.sessions[at] || node.touch != Touch::Safe {
            self.add("{node} goes on", at, 0, calm, |to| to.nodes[at].life = Life::Up);
        }
        if node.touch == Touch::Safe {
            self.add("{node} goes on, and its lease is over", at, 0, calm, |to| {
                (to.nodes[at].life, to.nodes[at].touch) = (Life::Up, Touch::Overdue);
            });
        }
    }
}

impl Model for Claims {
    type State = State;

    fn start(&self) -> State {
        let mut places = [Place::Nowhere; ITEMS];
        places[..2].fill(Place::Offered);
        State {
            places,
            next: [0; 2],
            busy: 0,
            claims: [NO_CLAIM; IDS],
            sessions: [true; 2],
            nodes: [FRESH; 2],
            late: Late::Nothing,
            begun: 0,
            left: Faults { calls: 1, crashes: 1, freezes: 1, partitions: 1 },
            broken: Broken::Nothing,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut moves = Moves { from: state, mutation: self.mutation, steps };
        (0..2).for_each(|node| moves.node(node));
        for id in 1..=IDS as Id {
            if state.known(id).record == Record::Acquired {
                moves.add("a claim of {what} lapses", 0, id, true, |to| to.release(id, self.mutation));
            }
        }
        if state.late != Late::Nothing {
            moves.add("the late call is carried out", 0, 0, false, |to| {
                to.late = Late::Nothing;
                to.carry_out(state.late, self.mutation);
            });
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        match state.broken {
            Broken::Advance => return Some("G2: a schedule advances once for each firing"),
            Broken::Twice => return Some("G3: a firing is run once, but for recoveries"),
            Broken::Overlap => return Some("G5: runs of the job do not overlap, but where a node was frozen"),
            Broken::Nothing => {}
        }
        let all = || state.claims.iter().filter(|claim| claim.record != Record::Unknown);
        for (item, place) in (0..).zip(state.places) {
            let claims = all().filter(|claim| claim.item == item && claim.record == Record::Acquired).count();
            let due = item < 2 && state.next[usize::from(item)] < FIRINGS[usize::from(item)];
            if claims != usize::from(place == Place::Claimed) || (due && place == Place::Nowhere) {
                return Some("I1: a trigger that is due some day is in one place");
            }
            if place == Place::Parked && state.busy == 0 {
                return Some("I2: the job of a parked trigger is busy");
            }
        }
        if state.busy != 0 && !state.has(state.busy) {
            return Some("I3: the job is held by a claim that exists");
        }
        if all().any(|claim| !claim.buried && !state.sessions[usize::from(claim.owner)]) {
            return Some("I4: a claim belongs to a session that lives, or to one that is being recovered");
        }
        if all().filter(|claim| claim.record == Record::Fired).count() > 1 {
            return Some("G4: one claim of the job is valid at a time");
        }
        None
    }

    fn is_done(&self, state: &State) -> bool {
        let exists = |claim: &Claim| claim.record != Record::Unknown;
        state.next == FIRINGS && state.places == [Place::Nowhere; ITEMS] && !state.claims.iter().any(exists)
    }

    /// Claims are numbered in the order in which they are mentioned, and those of which nobody knows are forgotten.
    fn canonical(&self, state: &State) -> State {
        let (mut to, mut numbers, mut count) = (*state, [0; IDS + 1], 0);
        let mut number = |id: Id| {
            let known = &mut numbers[usize::from(id)];
            if id != 0 && *known == 0 {
                count += 1;
                *known = count;
            }
            *known
        };
        to.mentions().for_each(|id| *id = number(*id));
        (1..=IDS as Id).filter(|id| state.has(*id)).for_each(|id| drop(number(id)));
        to.claims = [NO_CLAIM; IDS];
        for id in 1..=IDS as Id {
            if numbers[usize::from(id)] != 0 {
                *to.claim(numbers[usize::from(id)]) = state.known(id);
            }
        }
        to
    }
}
