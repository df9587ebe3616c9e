//! Claim and commit: nodes decide, and the server compares and writes.
//!
//! One job that allows one run at a time, with two triggers; or one run that is enqueued and may be tried again. Two
//! nodes, of which the first may crash or lose touch. A *take* notes claims and changes no row. A *commit* says what its
//! sender has read and what it writes, and carries a number that grows: the server refuses it as a whole if something has
//! changed since, and does nothing if it has carried out that number before. Somebody pauses and resumes a trigger meanwhile.
//!
//! A call may be lost, be carried out without an answer, twice, or late. Versions of rows are left out: a copy knows whether
//! its row was written since. When leases end is in `lease`, and a server that comes back with older data in `rollback`.

mod records;
mod state;

pub(crate) use records::Work;
use records::{
    Answer, Broken, Call, Commit, FIRINGS, FRESH, Id, Late, Life, NOTHING_LATE, Node, Place, RUN, Record,
    Verb,
};
use state::State;

use crate::Mutation;
use crate::promise;
use crate::search::{Model, Step, Steps};

pub(crate) struct Commits {
    pub(crate) mutation: Option<Mutation>,
    pub(crate) work: Work,
    /// So much may go wrong.
    pub(crate) faults: u8,
}

impl Model for Commits {
    type State = State;

    fn start(&self) -> State {
        State::start(self.work, self.faults)
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut moves = Moves { from: state, mutation: self.mutation, steps };
        (0..2).for_each(|at| moves.node(at));
        moves.others();
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        match state.broken {
            Broken::Advance => return Some(promise::ONCE),
            Broken::Twice => return Some(promise::RUN_ONCE),
            Broken::Overlap => return Some(promise::NO_OVERLAP),
            Broken::Paused => return Some(promise::PAUSED),
            Broken::Nothing => {}
        }
        for item in 0..=RUN {
            let place = state.places[usize::from(item)];
            let claims = state.claims().filter(|(_, claim)| {
                claim.item == item && (item == RUN || (claim.valid && claim.record == Record::Taken))
            });
            let places = claims.count() + usize::from(place != Place::Nowhere);
            if places != usize::from(state.is_due(item)) {
                return Some(promise::ONE_PLACE);
            }
        }
        let holding = state.claims().filter(|(_, claim)| claim.holds).count();
        if holding != usize::from(state.holders) {
            return Some(promise::HELD);
        }
        if holding > 1 {
            return Some(promise::ONE_CLAIM);
        }
        let comes = |item: u8| {
            let claimed =
                state.claims().any(|(_, claim)| claim.item == item && claim.record == Record::Taken);
            state.places[usize::from(item)] == Place::Lane || claimed
        };
        if state.places.contains(&Place::Parked) && holding == 0 && !comes(0) && !comes(1) {
            return Some(promise::PARKED);
        }
        if state.claims().any(|(_, claim)| !claim.orphaned && !state.sessions[usize::from(claim.owner)]) {
            return Some(promise::OWNED);
        }
        let run = state.rows[usize::from(RUN)];
        let waits = state.places[usize::from(RUN)] == Place::Lane;
        (waits && run.done != state.attempts).then_some(promise::ATTEMPTS)
    }

    /// Every trigger has fired as often as it was to, the run is over, and nothing is left of them.
    fn is_done(&self, state: &State) -> bool {
        let fired = (0..2).all(|item| !state.rows[item].there || state.rows[item].done == FIRINGS[item]);
        fired && state.over && state.claims().next().is_none()
    }
}

fn name(item: u8, firing: u8) -> &'static str {
    match (item, firing) {
        (0, 0) => "`first` 1",
        (0, _) => "`first` 2",
        (1, _) => "`second` 1",
        _ => "`import`",
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
        let what = if id == 0 { "" } else { name(self.from.claim(id).item, self.from.claim(id).firing) };
        let mut to = *self.from;
        change(&mut to);
        self.steps.push(Step { words, node: at as u8, what, calm, to });
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

    /// Steps of callers that enqueue, pause and resume, and calls that nobody waits for.
    fn others(&mut self) {
        let (from, mutation) = (self.from, self.mutation);
        if !from.rows[usize::from(RUN)].there && !from.over {
            self.calm("`import` is enqueued", 0, 0, State::enqueue);
            if from.late.call == Call::None {
                self.fault("`import` is enqueued, and the call will be carried out again", 0, 0, |to| {
                    to.enqueue();
                    to.late = Late { call: Call::Enqueue, node: 2, newer: false, ..NOTHING_LATE };
                });
            }
        }
        if from.rows[0].paused {
            self.calm("somebody resumes `first`", 0, 0, |to| to.pause(false, mutation));
        } else if from.may_pause && from.is_due(0) {
            self.add("somebody pauses `first`", 0, 0, false, |to| {
                to.may_pause = false;
                to.pause(true, mutation);
            });
        }
        match from.late.call {
            Call::None => {}
            Call::Take => self.late_take(),
            Call::Commit(Commit { claim, .. }) => {
                let at = usize::from(from.late.node);
                self.add("a late commit of {node} about {what} is carried out", at, claim, false, |to| {
                    to.carry_out_late(mutation);
                });
            }
            Call::Enqueue => self.add("a late call enqueues `import` again", 0, 0, false, |to| {
                if mutation == Some(Mutation::NumbersAreNotCompared) {
                    to.enqueue();
                }
                to.carry_out_late(mutation);
            }),
        }
    }

    fn late_take(&mut self) {
        let (from, mutation) = (self.from, self.mutation);
        let Late { node, newer, old, .. } = from.late;
        let counts = newer || mutation == Some(Mutation::EarlierTakesCount);
        if !counts || old {
            return self.add("a late take of {node} is refused", usize::from(node), 0, false, |to| {
                to.carry_out_late(mutation);
            });
        }
        for item in (0..=RUN).filter(|item| from.places[usize::from(*item)] == Place::Lane) {
            self.add("a late take of {node} is carried out", usize::from(node), 0, false, |to| {
                to.carry_out_late(mutation);
                to.take(node, item, mutation);
            });
        }
    }

    fn node(&mut self, at: usize) {
        let (node, from) = (self.from.nodes[at], self.from);
        let dead = node.life != Life::Up;
        if dead && from.sessions[at] {
            self.calm("the session of {node} is over", at, 0, |to| to.entomb(at));
        } else if node.life == Life::Fenced {
            self.calm("{node} registers anew", at, 0, |to| {
                (to.sessions[at], to.nodes[at]) = (true, FRESH);
            });
        }
        if dead {
            return;
        }
        self.turn(at);
        if node.body != 0 && node.ended.is_none() {
            let item = from.claim(node.body).item;
            self.calm("the run of {what} on {node} ends", at, node.body, |to| {
                (to.nodes[at].body, to.nodes[at].ended) = (0, Some((node.body, Verb::Over)));
            });
            if item == RUN && from.attempts == 0 {
                self.add("the run of {what} on {node} fails", at, node.body, false, |to| {
                    (to.nodes[at].body, to.nodes[at].ended) = (0, Some((node.body, Verb::Again)));
                });
            }
        }
        if at == 0 {
            self.fault("{node} crashes", at, 0, |to| to.nodes[at] = Node { life: Life::Crashed, ..FRESH });
            self.fault("{node} loses touch, and knows it", at, 0, |to| {
                to.nodes[at] = Node { life: Life::Fenced, ..FRESH };
            });
        }
    }

    /// One call after the other: what is open, what has ended, what is ahead, then something new.
    fn turn(&mut self, at: usize) {
        let (node, from) = (self.from.nodes[at], self.from);
        if let Some(open) = node.open {
            return self.send(at, open, true);
        }
        if let Some((claim, verb)) = node.ended {
            return self.send(at, Commit { verb, claim, fresh: true }, false);
        }
        let orphaned = from.claims().filter(|(_, claim)| claim.orphaned).map(|(id, _)| id);
        for claim in orphaned {
            self.send(at, Commit { verb: Verb::TakeOver, claim, fresh: true }, false);
        }
        match (node.ahead, node.unsure) {
            (0, true) => self.ask(at),
            (0, false) => self.take(at),
            _ => self.ahead(at),
        }
    }

    fn take(&mut self, at: usize) {
        let (from, mutation) = (self.from, self.mutation);
        for item in (0..=RUN).filter(|item| from.places[usize::from(*item)] == Place::Lane) {
            let taken = |to: &mut State| {
                to.turn(at);
                to.take(at as u8, item, mutation)
            };
            self.calm("{node} takes what is due", at, 0, |to| {
                to.nodes[at].ahead = taken(to);
                (to.nodes[at].fresh, to.nodes[at].may_run) = (true, item == RUN);
            });
            self.fault("{node} takes what is due, and the answer is lost", at, 0, |to| {
                taken(to);
                to.nodes[at].unsure = true;
            });
        }
        if from.late.call == Call::None {
            self.fault("{node} takes what is due, but the call is late", at, 0, |to| {
                to.nodes[at].unsure = true;
                to.late = Late { call: Call::Take, node: at as u8, newer: true, ..NOTHING_LATE };
            });
        }
    }

    /// What its session has of which no answer has told it. The question counts as a take.
    fn ask(&mut self, at: usize) {
        let (from, mutation) = (self.from, self.mutation);
        let found = from.unheard(at).filter(|_| mutation != Some(Mutation::LostTakesStayLost));
        self.calm("{node} asks what it has", at, found.unwrap_or(0), |to| {
            to.turn(at);
            to.nodes[at].unsure = false;
            if let Some(id) = found {
                to.nodes[at].ahead = id;
                (to.nodes[at].fresh, to.nodes[at].may_run) = (true, to.claim(id).item == RUN);
            }
        });
    }

    /// What it has claimed: begun, let in at its gate, fired, or given back.
    fn ahead(&mut self, at: usize) {
        let (node, from) = (self.from.nodes[at], self.from);
        let (id, claim) = (node.ahead, from.claim(node.ahead));
        let commit = |verb| Commit { verb, claim: id, fresh: node.fresh };
        if from.may_stop && (!node.may_run || claim.item == RUN) {
            self.send(at, commit(Verb::GiveBack), false);
        }
        if node.may_run {
            if node.body == 0 {
                self.calm("{node} begins to run {what}", at, id, |to| to.begin(at));
            }
            return;
        }
        let looks = self.mutation != Some(Mutation::EpochsOfRowsAreNotCompared);
        if node.fresh && !claim.valid && looks {
            return self.send(at, commit(Verb::Drop), false);
        }
        if claim.holds {
            return self.send(at, commit(Verb::Fire), false);
        }
        // What it has read of the gate may be old.
        self.send(at, commit(Verb::Admit), false);
        self.send(at, commit(Verb::Park), false);
    }

    fn send(&mut self, at: usize, commit: Commit, again: bool) {
        let (id, mutation) = (commit.claim, self.mutation);
        let [done, lost, late, twice] = words(commit.verb);
        let answer = |to: &mut State| {
            to.nodes[at].open = Some(commit);
            to.carry_out(at, commit, mutation)
        };
        self.calm(done, at, id, |to| {
            let answer = answer(to);
            hear(to, at, commit, answer, mutation);
        });
        self.fault(lost, at, id, |to| {
            answer(to);
        });
        if self.from.late.call != Call::None || again {
            return;
        }
        let copy = Late { call: Call::Commit(commit), node: at as u8, newer: true, same: true, old: false };
        self.fault(late, at, id, |to| (to.nodes[at].open, to.late) = (Some(commit), copy));
        self.fault(twice, at, id, |to| {
            to.late = copy;
            let answer = answer(to);
            hear(to, at, commit, answer, mutation);
        });
    }
}

/// What a node does when it has the answer to a commit.
fn hear(to: &mut State, at: usize, commit: Commit, answer: Answer, mutation: Option<Mutation>) {
    to.answered(at, answer, mutation);
    let (id, node) = (commit.claim, &mut to.nodes[at]);
    if commit.verb == Verb::GiveBack {
        to.may_stop = false;
    }
    let done = answer == Answer::Done;
    match commit.verb {
        Verb::TakeOver => return,
        Verb::Over | Verb::Again => {
            node.ended = None;
            return;
        }
        Verb::Admit if done => return,
        Verb::Fire if done => {
            node.may_run = true;
            return;
        }
        Verb::Park | Verb::Drop | Verb::GiveBack if done => {
            (node.ahead, node.may_run) = (0, false);
            return;
        }
        _ => {}
    }
    // It looks again.
    let claim = to.claim(id);
    let gone = claim.record == Record::Unknown || claim.orphaned;
    let node = &mut to.nodes[at];
    node.fresh = true;
    if gone {
        (node.ahead, node.may_run) = (0, false);
    }
}

/// How a commit goes: well, without an answer, late, and well but to be carried out once more.
fn words(verb: Verb) -> [&'static str; 4] {
    macro_rules! commit {
        ($does:literal) => {
            [
                concat!("{node} ", $does),
                concat!("{node} ", $does, ", and the answer is lost"),
                concat!("{node} ", $does, ", but the call is late"),
                concat!("{node} ", $does, ", and the call will be carried out again"),
            ]
        };
    }
    match verb {
        Verb::Admit => commit!("lets {what} in at its gate"),
        Verb::Park => commit!("parks {what} at its gate"),
        Verb::Fire => commit!("fires {what}"),
        Verb::Drop => commit!("drops its claim on {what}, which was changed"),
        Verb::Over => commit!("says that {what} is over"),
        Verb::Again => commit!("says that {what} is to be tried again"),
        Verb::GiveBack => commit!("gives {what} back"),
        Verb::TakeOver => commit!("takes over a claim of a dead session on {what}"),
    }
}
