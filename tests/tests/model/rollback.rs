//! A server that comes back with older data: the nodes tell it what they know.
//!
//! One job that allows one run at a time and asks for no recovery, with two triggers, on two nodes that run one thing at a
//! time. Once the server comes back with what it had saved at some moment, and once it may be restarted without loss. A node
//! may crash or be slow, answers may be lost, and a commit that tells of a run may be late.
//!
//! Telling takes two steps: a node says what has ended and reads, then it decides and commits. The commit compares what was read: the
//! row of the trigger, and the holder of the job, which is also the claim of the trigger if it has one that is not fired. Each other call is one step here, since its commit
//! compares everything that its sender has read; what becomes of it otherwise is in `commit`.
//!
//! After that, firings since that moment may be run again, and runs may overlap with those of which the server does not
//! know yet. The promises are about the store: in what it remembers each firing is accepted once, by one claim at a time,
//! and nothing stays blocked. Frozen nodes, leases and other calls that are late are in `claims` and `lease`; sessions that
//! the server has forgotten are left out.

mod state;

use state::{Broken, CRASHED, Claim, FIRINGS, IDS, Id, Node, Place, Read, Record, State, Told, set};

use crate::Mutation;
use crate::promise;
use crate::search::{Model, Step, Steps};

pub(crate) struct Rollback {
    pub(crate) mutation: Option<Mutation>,
    /// So much may go wrong, beside the server's return.
    pub(crate) faults: u8,
    /// The server may be restarted without loss, too.
    pub(crate) restart: bool,
}

impl Model for Rollback {
    type State = State;

    fn start(&self) -> State {
        State::start(self.faults, self.restart)
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut moves = Moves { from: state, mutation: self.mutation, steps };
        for at in (0..2).filter(|at| state.nodes[*at].up) {
            moves.turn(at);
            moves.heart(at);
            moves.take_over(at);
            if state.nodes[1 - at].up {
                moves.fault("{node} crashes", at, 0, |to| to.nodes[at] = CRASHED);
            }
        }
        state.store.all().filter(|row| row.1 == Record::Acquired).for_each(|(id, _)| moves.lapse(id));
        moves.server();
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        match state.broken {
            Broken::Advance => return Some(promise::ONCE),
            Broken::Fence => return Some(promise::FENCES_GROW),
            Broken::Refused => return Some(promise::HEARD),
            Broken::Nothing => {}
        }
        let store = &state.store;
        for (item, place) in (0..).zip(store.places) {
            let claims = store.all().filter(|(_, record)| *record == Record::Acquired);
            let claimed = claims.filter(|(id, _)| state.claim(*id).item == item).count();
            let due = store.next[usize::from(item)] < FIRINGS[usize::from(item)];
            if claimed != usize::from(place == Place::Claimed) || due != (place != Place::Nowhere) {
                return Some(promise::ONE_PLACE);
            }
            if place == Place::Parked && store.busy == 0 {
                return Some(promise::PARKED);
            }
        }
        if store.busy != 0 && store.known(store.busy) == Record::Unknown {
            return Some(promise::HELD);
        }
        let lives = |id| store.sessions[usize::from(state.claim(id).owner)];
        if store.all().any(|(id, record)| record != Record::Orphaned && !lives(id)) {
            return Some(promise::OWNED);
        }
        let valid = store.all().filter(|(_, record)| *record != Record::Acquired).count();
        (valid > 1).then_some(promise::ONE_CLAIM)
    }

    /// Every trigger has fired as often as it was to, and nothing is left of it.
    fn is_done(&self, state: &State) -> bool {
        state.store.next == FIRINGS && state.store.all().next().is_none()
    }

    fn canonical(&self, state: &State) -> State {
        state.canonical()
    }
}

/// A firing in words.
fn name(item: u8, firing: u8) -> &'static str {
    match (item, firing) {
        (0, 0) => "`first` 1",
        (0, _) => "`first` 2",
        _ => "`second` 1",
    }
}

/// Collects what can happen next.
struct Moves<'a> {
    from: &'a State,
    mutation: Option<Mutation>,
    steps: &'a mut Steps<State>,
}

impl Moves<'_> {
    fn add(&mut self, words: &'static str, at: usize, id: Id, calm: bool, change: impl FnOnce(&mut State)) {
        let Claim { item, firing, .. } = self.from.claim(id);
        let mut to = *self.from;
        change(&mut to);
        self.steps.push(Step { words, node: at as u8, what: name(item, firing), calm, to });
    }

    /// What happens some day, if nothing more goes wrong.
    fn calm(&mut self, words: &'static str, at: usize, id: Id, change: impl FnOnce(&mut State)) {
        self.add(words, at, id, true, change);
    }

    /// Something that goes wrong, if that may happen again.
    fn fault(&mut self, words: &'static str, at: usize, id: Id, change: impl FnOnce(&mut State)) {
        if self.from.left > 0 {
            self.add(words, at, id, false, |to| {
                to.left -= 1;
                change(to);
            });
        }
    }

    /// The firing loop: writes what has ended, then fires what was acquired, then acquires.
    fn turn(&mut self, at: usize) {
        let (node, from) = (self.from.nodes[at], self.from);
        if node.body != 0 {
            self.calm("the run of {what} on {node} ends", at, node.body, |to| {
                (to.nodes[at].ended, to.nodes[at].body) = (node.body, 0);
            });
        } else if node.ended != 0 {
            self.complete(at);
        } else if node.ahead != 0 {
            self.fire(at);
        } else if from.store.run == from.run && !(from.store.hold && from.store.untold.contains(&true)) {
            for item in (0..2).filter(|item| from.store.places[usize::from(*item)] == Place::Offered) {
                let what = name(item, from.store.next[usize::from(item)]);
                let (mut to, node) = (*from, at as u8);
                to.acquire(node, item, self.mutation);
                self.steps.push(Step { words: "{node} acquires {what}", node, what, calm: true, to });
            }
        }
    }

    /// A store of another epoch refuses: what it does not know it may have forgotten.
    fn complete(&mut self, at: usize) {
        let Node { ended, epoch, .. } = self.from.nodes[at];
        let mut seen = self.from.store;
        seen.look(self.from.run, self.mutation);
        if seen.epoch != epoch {
            return;
        }
        seen.complete(ended);
        self.calm("{node} completes {what}", at, ended, |to| {
            to.store = seen;
            (to.nodes[at].ended, to.nodes[at].remembered) = (0, to.nodes[at].remembered | set(ended));
        });
        self.fault("{node} completes {what}, and the answer is lost", at, ended, |to| to.store = seen);
    }

    /// Not while the node tells what it knows.
    fn fire(&mut self, at: usize) {
        let Node { ahead, telling, .. } = self.from.nodes[at];
        if telling != 0 {
            return;
        }
        if self.from.clone().fire(ahead) {
            self.calm("{node} fires {what} and runs it", at, ahead, |to| {
                to.fire(ahead);
                (to.nodes[at].body, to.nodes[at].ahead) = (ahead, 0);
            });
            self.fault("{node} fires {what}, and the answer is lost", at, ahead, |to| {
                to.fire(ahead);
            });
        } else {
            let words = "{node} hears that its claim on {what} is void";
            self.calm(words, at, ahead, |to| to.nodes[at].ahead = 0);
        }
    }

    /// The heart hears of another epoch, and tells what the node knows.
    fn heart(&mut self, at: usize) {
        let (Node { body, ended, epoch, telling, read, .. }, mutation) = (self.from.nodes[at], self.mutation);
        match read {
            Some(read) => return self.tell_of(at, body | ended, read),
            None if telling != 0 => return self.disown(at),
            None => {}
        }
        let mut seen = self.from.store;
        seen.look(self.from.run, mutation);
        if seen.epoch == epoch {
            if seen != self.from.store {
                self.calm("{node} beats", at, 0, |to| to.store = seen);
            }
        } else if mutation == Some(Mutation::NothingIsTold) {
            self.calm("{node} hears of another epoch", at, 0, |to| {
                (to.store, to.nodes[at].epoch) = (seen, seen.epoch);
            });
        } else {
            let tells = |to: &mut State| {
                (to.store, to.nodes[at].telling) = (seen, seen.epoch);
                to.tell_ends(at);
            };
            self.calm("{node} hears of another epoch, and tells what has ended", at, 0, tells);
        }
    }

    /// Tells of the run that the node has in hand: decides by what it has read, and commits.
    fn tell_of(&mut self, at: usize, id: Id, read: Read) {
        let (from, mutation) = (self.from, self.mutation);
        match from.decide(id, read, mutation) {
            Told::Known => self.calm("{node} hears that the server knows of {what}", at, id, |to| {
                to.nodes[at].read = None;
            }),
            Told::Overtaken => {
                self.calm("{node} sees that {what} was overtaken, and stops it", at, id, |to| {
                    let waited = read.firing == to.claim(id).firing;
                    if waited && to.is_known_to_have_ended(read.holder) {
                        to.broken = Broken::Refused;
                    }
                    (to.nodes[at].body, to.nodes[at].ended, to.nodes[at].read) = (0, id, None);
                });
            }
            Told::Wait => self.calm("{node} waits for what others tell, and reads again", at, id, |to| {
                to.tell_ends(at);
            }),
            Told::Again => {
                self.calm("{node} tells that it runs {what}", at, id, |to| {
                    // What was refused is decided anew.
                    if to.tell_of(id, read, mutation) { to.nodes[at].read = None } else { to.tell_ends(at) }
                });
                self.fault("{node} tells that it runs {what}, and the answer is lost", at, id, |to| {
                    to.tell_of(id, read, mutation);
                    to.tell_ends(at);
                });
                if from.late.is_none() {
                    let words = "{node} tells that it runs {what}, but the call is late";
                    self.fault(words, at, id, |to| {
                        to.late = Some((id, read));
                        to.tell_ends(at);
                    });
                }
            }
        }
    }

    /// Claims of its session of which the node knows nothing are ended.
    fn disown(&mut self, at: usize) {
        let (node, from) = (self.from.nodes[at], self.from);
        let known = [node.ahead, node.body, node.ended];
        let is_its_own = |id: &Id| usize::from(from.claim(*id).owner) == at && !known.contains(id);
        for id in (1..=IDS).filter(is_its_own) {
            match from.store.known(id) {
                Record::Acquired => {
                    let words = "{node} gives {what} back, of which it knows nothing";
                    return self.calm(words, at, id, |to| to.store.release(id, from.claim(id).item));
                }
                Record::Fired => {
                    let words = "{node} ends the run of {what}, of which it knows nothing";
                    return self.calm(words, at, id, |to| to.store.end(id));
                }
                Record::Unknown | Record::Orphaned => {}
            }
        }
        self.calm("{node} has told everything", at, 0, |to| {
            if to.store.epoch == node.telling {
                to.store.untold[at] = false;
            }
            (to.nodes[at].epoch, to.nodes[at].telling) = (node.telling, 0);
        });
    }

    /// The other node takes over from one that has crashed.
    fn take_over(&mut self, at: usize) {
        let (dead, from) = (1 - at, self.from);
        if from.store.sessions[dead] && !from.nodes[dead].up {
            self.calm("the session of {node} is over", dead, 0, |to| to.entomb(dead as u8));
        }
        for (id, _) in from.store.all().filter(|(_, record)| *record == Record::Orphaned) {
            self.calm("{node} takes over the lost run of {what}", at, id, |to| to.store.end(id));
        }
    }

    /// A claim that was not fired is given back after a while.
    fn lapse(&mut self, id: Id) {
        let Claim { owner, item, .. } = self.from.claim(id);
        let (node, words) = (self.from.nodes[usize::from(owner)], "the claim of {node} on {what} lapses");
        if node.up && node.ahead == id {
            // It could fire, and is slow.
            self.fault(words, usize::from(owner), id, |to| to.store.release(id, item));
        } else {
            self.calm(words, usize::from(owner), id, |to| to.store.release(id, item));
        }
    }

    fn server(&mut self) {
        let (from, mutation) = (self.from, self.mutation);
        if from.store.hold {
            self.calm("the time to tell is over", 0, 0, |to| to.store.hold = false);
        }
        if let Some((id, read)) = from.late {
            self.add("the late call tells of {what}", 0, id, false, |to| {
                to.tell_of(id, read, mutation);
                to.late = None;
            });
        }
        if from.may_save {
            self.add("the server saves its data", 0, 0, false, |to| {
                (to.copy, to.may_save) = (Some(from.store), false);
            });
        }
        if let Some(copy) = from.copy {
            self.add("the server comes back with what it had saved", 0, 0, false, |to| {
                (to.store, to.copy, to.run) = (copy, None, from.run + 1);
            });
        }
        if from.may_restart {
            self.add("the server is restarted", 0, 0, false, |to| {
                (to.may_restart, to.run) = (false, from.run + 1);
            });
        }
    }
}
