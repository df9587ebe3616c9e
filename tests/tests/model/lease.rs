//! Leases: nobody takes over from a node that runs and has not noticed.
//!
//! One node, which may crash or freeze, and the rest of the cluster, which never does and takes every chance. Each call of
//! the node may take any time, be lost, or be carried out late, and it beats when it likes. The server's clock is set once
//! forward and once back. All times are told from the present, so that there is no end to them.
//!
//! What becomes of a claim is left out, since `claims` has it: here the job is held by the node, by the rest, or by nobody.

use crate::promise;
use crate::search::{Model, Step, Steps};
use crate::{Life, Mutation};

/// How long everything takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// How long a node may be silent.
    lease: u8,
    /// The longest step of the lease clock.
    cap: u8,
    /// So long before the end of its lease a node gives up.
    margin: u8,
    /// How far the server's clock is set.
    jump: i8,
}

/// The proportions of the store, whose step is 5/18 and whose margin 6/18 of a lease.
pub(crate) const EXACT: Times = Times { lease: 18, cap: 5, margin: 6, jump: 19 };

/// Nearly the same, in an eighth of the states.
pub(crate) const COARSE: Times = Times { lease: 9, cap: 2, margin: 3, jump: 10 };

/// A call by which the node says that it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    None,
    /// On its way, for so long.
    Sent(u8),
    /// Carried out, so long after it was sent; the answer says whether the session lives.
    Answered(u8, bool),
}

/// A call that asks to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fire {
    None,
    Sent,
    Allowed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Nobody,
    Node,
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// How far the server's clock has gone since the lease clock was looked at.
    unseen: i8,
    /// The session of the node is in the store.
    alive: bool,
    /// What the lease clock leaves of its lease.
    left: u8,
    holder: Holder,
    life: Life,
    registered: bool,
    /// For how long the node may go on.
    safe: u8,
    fenced: bool,
    call: Call,
    /// A beat is under way for which nobody waits any more.
    late: bool,
    fire: Fire,
    body: bool,
    /// The body was there while its node was frozen.
    froze: bool,
    /// The server's clock may still be set forward.
    forward: bool,
    /// And back.
    back: bool,
    /// Somebody has taken over too early.
    robbed: bool,
}

impl State {
    fn is_safe(&self) -> bool {
        self.registered && !self.fenced && self.safe > 0
    }

    /// The node runs, and its clock says that it must give up.
    fn must_fence(&self) -> bool {
        self.life == Life::Up && self.registered && !self.fenced && self.safe == 0
    }

    fn without(&self, holder: Holder) -> Holder {
        if self.holder == holder { Holder::Nobody } else { self.holder }
    }
}

pub(crate) struct Leases {
    pub(crate) mutation: Option<Mutation>,
    pub(crate) times: Times,
}

impl Leases {
    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// For so long after a beat was sent the node may go on.
    fn safe_for(&self) -> u8 {
        if self.has(Mutation::NoMargin) { self.times.lease } else { self.times.lease - self.times.margin }
    }

    fn cap(&self) -> i8 {
        if self.has(Mutation::NoCap) { self.times.lease as i8 } else { self.times.cap as i8 }
    }

    /// The lease clock goes forward with the server's, by one step at most, and never back.
    fn tick(&self, state: &mut State) {
        let step = state.unseen.clamp(0, self.cap()) as u8;
        (state.left, state.unseen) = (state.left.saturating_sub(step), 0);
    }

    fn stop(&self, state: &mut State) {
        if !self.has(Mutation::StopsWait) {
            (state.body, state.froze) = (false, false);
        }
    }

    fn begin(&self, state: &State, add: &mut impl FnMut(&'static str, bool, State)) {
        if state.life != Life::Up {
            return;
        }
        if state.fire == Fire::None && state.is_safe() && !state.body {
            add("{node} asks to run", false, State { fire: Fire::Sent, ..*state });
        }
        if state.fire == Fire::Allowed {
            let to = State { fire: Fire::None, ..*state };
            // An answer that comes too late counts as none.
            if state.is_safe() || self.has(Mutation::LateAnswersBegin) {
                add("{node} begins to run", false, State { body: true, froze: false, ..to });
            } else {
                add("{node} hears too late that it may run", false, to);
            }
        }
        if state.body {
            let to = State { body: false, froze: false, ..*state };
            add("the run on {node} ends", false, State { holder: state.without(Holder::Node), ..to });
        }
        if state.must_fence() {
            let mut to = State { fenced: true, fire: Fire::None, ..*state };
            self.stop(&mut to);
            add("{node} knows that it has lost touch", false, to);
        }
    }

    fn heart(&self, state: &State, add: &mut impl FnMut(&'static str, bool, State)) {
        let (up, idle) = (state.life == Life::Up, State { call: Call::None, ..*state });
        match state.call {
            Call::None if up => {
                let words = if state.registered { "{node} beats" } else { "{node} registers anew" };
                add(words, false, State { call: Call::Sent(0), ..*state });
            }
            Call::None => {}
            Call::Sent(age) => {
                add("the call of {node} is lost", false, idle);
                if state.registered {
                    add("{node} waits for the answer no longer", false, State { late: true, ..idle });
                }
                let mut to = *state;
                self.tick(&mut to);
                to.alive |= !state.registered;
                to.left = if to.alive { self.times.lease } else { 0 };
                to.call = Call::Answered(age, to.alive);
                add("the call of {node} is carried out", false, to);
            }
            Call::Answered(age, alive) => {
                add("the answer to {node} is lost", false, idle);
                if up && alive {
                    let safe = state.safe.max(self.safe_for() - age);
                    let to = State { safe, registered: true, fenced: false, ..idle };
                    add("{node} hears that it lives", false, to);
                } else if up {
                    let fire = if self.has(Mutation::LateAnswersBegin) { state.fire } else { Fire::None };
                    let mut to = State { registered: false, safe: 0, fire, ..idle };
                    self.stop(&mut to);
                    add("{node} hears that it was held for dead", false, to);
                }
            }
        }
        if state.late {
            let mut to = State { late: false, ..*state };
            self.tick(&mut to);
            to.left = if to.alive { self.times.lease } else { 0 };
            add("a late beat of {node} is carried out", false, to);
        }
    }

    fn fail(&self, state: &State, add: &mut impl FnMut(&'static str, bool, State)) {
        match state.life {
            Life::Up => {
                let crashed = State { life: Life::Crashed, body: false, froze: false, ..*state };
                let crashed = State { registered: false, safe: 0, fenced: false, ..crashed };
                add("{node} crashes", false, State { call: Call::None, fire: Fire::None, ..crashed });
                add("{node} freezes", false, State { life: Life::Frozen, froze: state.body, ..*state });
            }
            Life::Frozen => add("{node} goes on", false, State { life: Life::Up, ..*state }),
            Life::Crashed => {}
        }
    }

    fn clocks(&self, state: &State, add: &mut impl FnMut(&'static str, bool, State)) {
        // A node that runs looks at its clock in time.
        if !state.must_fence() {
            let call = match state.call {
                Call::None => Call::None,
                Call::Sent(age) => Call::Sent((age + 1).min(self.safe_for())),
                Call::Answered(age, alive) => Call::Answered((age + 1).min(self.safe_for()), alive),
            };
            let unseen = (state.unseen + 1).min(self.cap());
            add("time passes", true, State { unseen, safe: state.safe.saturating_sub(1), call, ..*state });
        }
        if state.forward {
            let unseen = (state.unseen + self.times.jump).min(self.cap());
            add("the server's clock is set forward", false, State { forward: false, unseen, ..*state });
        }
        if state.back {
            let unseen = state.unseen - self.times.jump;
            add("the server's clock is set back", false, State { back: false, unseen, ..*state });
        }
    }

    /// What the store answers, and what the others do.
    fn rest(&self, state: &State, add: &mut impl FnMut(&'static str, bool, State)) {
        if state.fire == Fire::Sent {
            let allowed = state.alive && state.holder != Holder::Rest;
            let holder = if allowed { Holder::Node } else { state.holder };
            let fire = if allowed { Fire::Allowed } else { Fire::None };
            add("the store answers whether {node} may run", false, State { fire, holder, ..*state });
        }
        if state.unseen != 0 {
            let mut to = *state;
            self.tick(&mut to);
            add("another node beats", true, to);
        }
        if state.alive && state.left == 0 {
            let (robbed, holder) = (state.life == Life::Up && state.is_safe(), state.without(Holder::Node));
            add("another node takes over", true, State { alive: false, holder, robbed, ..*state });
        }
        match state.holder {
            Holder::Nobody => {
                add("another node begins to run", false, State { holder: Holder::Rest, ..*state });
            }
            Holder::Rest => add("its run ends", false, State { holder: Holder::Nobody, ..*state }),
            Holder::Node => {}
        }
    }
}

impl Model for Leases {
    type State = State;

    fn start(&self) -> State {
        State {
            unseen: 0,
            alive: true,
            left: self.times.lease,
            holder: Holder::Nobody,
            life: Life::Up,
            registered: true,
            safe: self.safe_for(),
            fenced: false,
            call: Call::None,
            late: false,
            fire: Fire::None,
            body: false,
            froze: false,
            forward: true,
            back: true,
            robbed: false,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut add = |words, calm, to| steps.push(Step { words, node: 0, what: "", calm, to });
        self.begin(state, &mut add);
        self.heart(state, &mut add);
        self.fail(state, &mut add);
        self.clocks(state, &mut add);
        self.rest(state, &mut add);
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        if state.body && !state.froze && state.holder == Holder::Rest {
            return Some(promise::NO_OVERLAP);
        }
        state.robbed.then_some(promise::NOT_ROBBED)
    }

    /// A dead node does not keep the job.
    fn is_done(&self, state: &State) -> bool {
        state.life != Life::Crashed || state.holder != Holder::Node
    }
}
