//! Claims: who may fire what, whatever becomes of calls and nodes.
//!
//! One job that allows one run at a time and asks for recovery, with two triggers, on two nodes. What is acquired may be fired
//! in the same step or in one of its own. A call may be lost, be carried out without an answer, twice, or late; a node may
//! crash, freeze, be slow, or lose touch with the store. A session
//! that is over is removed first, then its claims are listed and consumed one by one; a node that was held for dead begins
//! anew under the same number.
//!
//! Time is left out: a claim lapses whenever it likes, and a session ends as soon as its node has crashed, is frozen or
//! knows that it has lost touch. That it does not end earlier is what `lease` shows. Fences, and a server that forgets, are
//! in `rollback`.

mod state;

use state::{Answer, Broken, Call, FIRINGS, FRESH, IDS, ITEMS, Id, Late, Node, Place, Record, State, Touch};

use crate::promise;
use crate::search::{Model, Step, Steps};
use crate::{Life, Mutation};

pub(crate) struct Claims {
    pub(crate) mutation: Option<Mutation>,
    /// So much may go wrong.
    pub(crate) faults: u8,
}

impl Model for Claims {
    type State = State;

    fn start(&self) -> State {
        State::start(self.faults)
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut moves = Moves { from: state, mutation: self.mutation, steps };
        (0..2).for_each(|node| moves.node(node));
        (1..=IDS).for_each(|id| moves.lapse(id));
        if state.late.call != Call::None {
            let words = "a late call is carried out";
            moves.add(words, 0, 0, false, |to| to.carry_out_late(false, self.mutation));
        }
        if state.late.call == Call::Acquire {
            let words = "a late call is carried out, and fires what it acquires";
            moves.add(words, 0, 0, false, |to| to.carry_out_late(true, self.mutation));
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        match state.broken {
            Broken::Advance => return Some(promise::ONCE),
            Broken::Twice => return Some(promise::RUN_ONCE),
            Broken::Overlap => return Some(promise::NO_OVERLAP),
            Broken::Nothing => {}
        }
        for (item, place) in (0..).zip(state.places) {
            let of_item = |record| state.claims().any(|claim| claim.item == item && claim.record == record);
            let due = item < 2 && state.next[usize::from(item)] < FIRINGS[usize::from(item)];
            if of_item(Record::Acquired) != (place == Place::Claimed) || (due && place == Place::Nowhere) {
                return Some(promise::ONE_PLACE);
            }
            if place == Place::Parked && state.busy == 0 {
                return Some(promise::PARKED);
            }
        }
        if state.busy != 0 && !state.has(state.busy) {
            return Some(promise::HELD);
        }
        if state.claims().any(|claim| !claim.orphaned && !state.sessions[usize::from(claim.owner)]) {
            return Some(promise::OWNED);
        }
        let fired = state.claims().filter(|claim| claim.record == Record::Fired).count();
        (fired > 1).then_some(promise::ONE_CLAIM)
    }

    /// Every trigger has fired as often as it was to, and what was lost was repeated.
    fn is_done(&self, state: &State) -> bool {
        state.next == FIRINGS && state.places == [Place::Nowhere; ITEMS] && state.claims().next().is_none()
    }

    fn canonical(&self, state: &State) -> State {
        state.canonical()
    }
}

/// What is due, by item and firing.
fn name(item: u8, firing: u8) -> &'static str {
    match (item < 2, firing) {
        (true, 0) => "`first` 1",
        (true, 1) => "`first` 2",
        (true, _) => "`second` 1",
        (false, 0) => "the repetition of `first` 1",
        (false, 1) => "the repetition of `first` 2",
        (false, _) => "the repetition of `second` 1",
    }
}

/// Collects what can happen next.
struct Moves<'a> {
    from: &'a State,
    mutation: Option<Mutation>,
    steps: &'a mut Steps<State>,
}

impl Moves<'_> {
    fn add(&mut self, words: &'static str, node: u8, id: Id, calm: bool, change: impl FnOnce(&mut State)) {
        let what = if id == 0 { "" } else { name(self.from.claim(id).item, self.from.claim(id).firing) };
        let mut to = *self.from;
        change(&mut to);
        self.steps.push(Step { words, node, what, calm, to });
    }

    /// What happens some day, if nothing more goes wrong.
    fn calm(&mut self, words: &'static str, at: usize, id: Id, change: impl FnOnce(&mut State)) {
        self.add(words, at as u8, id, true, change);
    }

    /// Something that goes wrong, if that may happen again.
    fn fault(&mut self, words: &'static str, at: usize, id: Id, change: impl FnOnce(&mut State)) {
        if self.from.left > 0 {
            self.add(words, at as u8, id, false, |to| {
                to.left -= 1;
                change(to);
            });
        }
    }

    /// A call that is carried out some day, or once more.
    fn late(&mut self, words: &'static str, at: usize, call: Call, id: Id, change: impl FnOnce(&mut State)) {
        if self.from.late.call == Call::None {
            self.fault(words, at, id, |to| {
                change(to);
                to.late = Late { call, node: at as u8, claim: id };
            });
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
        self.heartbeat(at);
        if node.body != 0 && node.ended == 0 {
            self.calm("the run of {what} on {node} ends", at, node.body, |to| to.stop(at));
        }
        let fence = |to: &mut State| {
            to.stop(at);
            to.drop_answer(at);
            to.nodes[at].touch = Touch::Fenced;
        };
        match node.touch {
            Touch::Safe => self.fault("{node} loses touch, and knows it", at, 0, fence),
            Touch::Overdue => self.calm("{node} knows that it has lost touch", at, 0, fence),
            Touch::Fenced | Touch::Unregistered => {}
        }
        if from.nodes[1 - at].life != Life::Crashed {
            let crashed = Node { life: Life::Crashed, ..FRESH };
            self.fault("{node} crashes", at, 0, |to| to.nodes[at] = crashed);
        }
        self.fault("{node} freezes", at, 0, |to| {
            (to.nodes[at].life, to.nodes[at].froze) = (Life::Frozen, node.body != 0);
        });
    }

    fn thaw(&mut self, at: usize) {
        let (node, other) = (self.from.nodes[at], self.from.nodes[1 - at]);
        // Nobody may depend on it who could do without.
        let calm = other.life != Life::Up;
        self.add("{node} goes on", at as u8, 0, calm, |to| to.nodes[at].life = Life::Up);
        if node.touch == Touch::Safe {
            self.add("{node} goes on, and its lease is over", at as u8, 0, calm, |to| {
                (to.nodes[at].life, to.nodes[at].touch) = (Life::Up, Touch::Overdue);
            });
        }
    }

    /// A claim that was not fired is given back after a while.
    fn lapse(&mut self, id: Id) {
        let claim = self.from.claim(id);
        if claim.record != Record::Acquired {
            return;
        }
        let (owner, mutation) = (self.from.nodes[usize::from(claim.owner)], self.mutation);
        let words = "the claim of {node} on {what} lapses";
        let at = usize::from(claim.owner);
        if owner.life == Life::Up && owner.touch == Touch::Safe && owner.ahead == id {
            // It could fire, and is slow.
            self.fault(words, at, id, |to| to.release(id, mutation));
        } else {
            self.calm(words, at, id, |to| to.release(id, mutation));
        }
    }
}

/// The firing loop: one call after the other.
impl Moves<'_> {
    /// Writes what has ended, then fires what was acquired, then acquires.
    fn turn(&mut self, at: usize) {
        let Node { answer, ended, touch, ahead, unsure, .. } = self.from.nodes[at];
        if answer != Answer::None {
            self.hear(at);
        } else if ended != 0 {
            self.complete(at);
        } else if touch == Touch::Safe {
            match (ahead, unsure) {
                (0, true) => self.ask_again(at),
                (0, false) => self.acquire(at),
                _ => self.fire(at),
            }
        }
    }

    fn complete(&mut self, at: usize) {
        let (ended, mutation) = (self.from.nodes[at].ended, self.mutation);
        self.calm("{node} completes {what}", at, ended, |to| {
            to.complete(ended, mutation);
            to.nodes[at].ended = 0;
        });
        let words = "{node} completes {what}, and the answer is lost";
        self.fault(words, at, ended, |to| to.complete(ended, mutation));
        self.late("{node} completes {what}, but the call is late", at, Call::Complete, ended, |_| {});
    }

    fn acquire(&mut self, at: usize) {
        let (node, from) = (at as u8, self.from);
        if !from.sessions[at] {
            return;
        }
        for item in from.offers(self.mutation) {
            let what = name(item, from.firing_of(item));
            for fires in [false, true] {
                let mut to = *from;
                to.take_turn(at, self.mutation);
                let id = to.acquire(node, item);
                to.nodes[at].ahead = id;
                let words = if fires { "{node} acquires and fires {what}" } else { "{node} acquires {what}" };
                if fires {
                    to.fire(id, self.mutation);
                    to.nodes[at].answer = Answer::ToAcquire;
                }
                self.steps.push(Step { words, node, what, calm: true, to });
                if from.left > 0 {
                    to.left = from.left - 1;
                    (to.nodes[at].ahead, to.nodes[at].answer) = (0, Answer::None);
                    to.nodes[at].unsure = true;
                    let words = if fires {
                        "{node} acquires and fires {what}, and the answer is lost"
                    } else {
                        "{node} acquires {what}, and the answer is lost"
                    };
                    self.steps.push(Step { words, node, what, calm: false, to });
                }
            }
        }
        let words = "{node} acquires, but the call is late";
        self.late(words, at, Call::Acquire, 0, |to| to.nodes[at].unsure = true);
    }

    /// What has been fired by a call whose answer was lost.
    fn ask_again(&mut self, at: usize) {
        let (from, mutation) = (self.from, self.mutation);
        if !from.sessions[at] {
            return;
        }
        let found = from.unheard(at).filter(|_| mutation != Some(Mutation::LostAnswersStayLost));
        let words = match found {
            Some(_) => "{node} hears that {what} was fired",
            None => "{node} hears that nothing was fired",
        };
        self.calm(words, at, found.unwrap_or_default(), |to| {
            to.take_turn(at, mutation);
            to.nodes[at].unsure = false;
            if let Some(id) = found {
                (to.nodes[at].ahead, to.nodes[at].answer) = (id, Answer::ToAcquire);
            }
        });
        let words = "{node} asks what was fired, and the answer is lost";
        self.fault(words, at, 0, |to| to.take_turn(at, mutation));
    }

    fn fire(&mut self, at: usize) {
        let (ahead, mutation) = (self.from.nodes[at].ahead, self.mutation);
        let answered = |to: &mut State| {
            to.fire(ahead, mutation);
            to.nodes[at].answer = Answer::ToFire;
        };
        if self.from.clone().fire(ahead, mutation) {
            self.calm("{node} fires {what}", at, ahead, answered);
            self.fault("{node} fires {what}, and the answer is lost", at, ahead, |to| {
                to.fire(ahead, mutation);
            });
            let words = "{node} fires {what}, and the call will be carried out again";
            self.late(words, at, Call::Fire, ahead, answered);
        } else {
            let words = "{node} hears that its claim on {what} is void";
            self.calm(words, at, ahead, |to| to.nodes[at].ahead = 0);
        }
        self.late("{node} fires {what}, but the call is late", at, Call::Fire, ahead, |_| {});
    }

    /// The answer comes that allows to run. One that comes too late counts as none.
    fn hear(&mut self, at: usize) {
        let Node { touch, ahead, .. } = self.from.nodes[at];
        if touch == Touch::Safe || self.mutation == Some(Mutation::LateAnswersBegin) {
            self.calm("{node} begins to run {what}", at, ahead, |to| to.begin(at));
        } else {
            let words = "{node} hears too late that it may run {what}";
            self.calm(words, at, ahead, |to| to.drop_answer(at));
        }
    }
}

/// The heart: beats, and does what the answers ask for.
impl Moves<'_> {
    fn heartbeat(&mut self, at: usize) {
        let (node, mutation) = (self.from.nodes[at], self.mutation);
        if node.lost != 0 {
            return self.end_lost(at);
        }
        match (node.touch, self.from.sessions[at]) {
            (Touch::Unregistered, false) => {
                self.calm("{node} registers anew", at, 0, |to| {
                    (to.sessions[at], to.nodes[at].touch) = (true, Touch::Safe);
                });
                let words = "{node} registers anew, and the answer is lost";
                self.fault(words, at, 0, |to| to.sessions[at] = true);
            }
            (_, false) => self.calm("{node} hears that it was held for dead", at, 0, |to| {
                to.stop(at);
                to.nodes[at].touch = Touch::Unregistered;
                if mutation != Some(Mutation::LateAnswersBegin) {
                    to.drop_answer(at);
                }
            }),
            (Touch::Safe, true) => self.take_over(at),
            (_, true) => self.calm("{node} beats", at, 0, |to| to.nodes[at].touch = Touch::Safe),
        }
    }

    /// Ends the session of a node that is gone or knows that it has lost touch, and lists what it had.
    fn take_over(&mut self, at: usize) {
        let (other, mutation) = (1 - at, self.mutation);
        let gone = self.from.nodes[other].life != Life::Up || self.from.nodes[other].touch != Touch::Safe;
        let expired = gone && self.from.sessions[other];
        let stays = mutation == Some(Mutation::OrphanedSessionsLive);
        if expired && !stays {
            self.calm("the session of {node} is over", other, 0, |to| to.entomb(other as u8));
        }
        for id in 1..=IDS {
            let claim = self.from.claim(id);
            let listed = claim.orphaned || (stays && expired && usize::from(claim.owner) == other);
            match claim.record {
                Record::Fired if listed => {
                    self.calm("{node} finds the lost run of {what}", at, id, |to| {
                        if stays {
                            to.expire(claim.owner);
                        }
                        to.nodes[at].lost = id;
                    });
                }
                Record::Acquired if listed => {
                    let words = "{node} gives {what} back, which a dead session had";
                    self.calm(words, at, id, |to| to.release(id, mutation));
                }
                Record::Unknown | Record::Acquired | Record::Fired => {}
            }
        }
    }

    fn end_lost(&mut self, at: usize) {
        let (lost, mutation) = (self.from.nodes[at].lost, self.mutation);
        let forget = move |to: &mut State| to.nodes[at].lost = 0;
        self.calm("{node} takes over the lost run of {what}", at, lost, |to| {
            to.take_over(lost, mutation);
            forget(to);
        });
        self.fault("{node} cannot take over the lost run of {what}", at, lost, forget);
        let words = "{node} takes over the lost run of {what}, but the call is late";
        self.late(words, at, Call::TakeOver, lost, forget);
    }
}
