//! Changes of users: which numbers a process gives them, and what the server notes of those.
//!
//! One process makes three changes: it enqueues a run, removes it, and enqueues another one at any time. Calls that are under
//! way at the same time arrive in any order. A caller whose answer does not come gives up, and its call may still arrive, once
//! or twice. A call says its number, the lowest number that the process still waits for, and which numbers above that were given up. The
//! server carries out each number once, none below the lowest, and none that it was told was given up.

use crate::Mutation;
use crate::promise;
use crate::search::{Model, Step, Steps};

const CHANGES: usize = 3;
const ENQUEUE: usize = 0;
const REMOVE: usize = 1;
const NAMES: [&str; CHANGES] = ["enqueue `import`", "remove `import`", "enqueue `report`"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Caller {
    /// It has not begun.
    Ahead,
    /// It waits for the answer to the call of this number.
    Waits(u8),
    Answered,
    GaveUp,
}

/// A call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Call {
    number: u8,
    /// The lowest number that was waited for when it was sent.
    lowest: u8,
    /// Numbers above that which were given up by then, bit by bit.
    given_up: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Broken {
    Nothing,
    Twice,
    Undone,
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    callers: [Caller; CHANGES],
    calls: [Option<Call>; CHANGES],
    /// Copies that arrive after the calls themselves.
    copies: [Option<Call>; CHANGES],
    last: u8,
    given_up: u8,
    /// The numbers that the server has carried out, bit by bit, and the lowest that it carries out.
    noted: u8,
    lowest: u8,
    effects: [u8; CHANGES],
    is_there: bool,
    left: u8,
    broken: Broken,
}

pub(crate) struct Changes {
    pub(crate) mutation: Option<Mutation>,
    /// So much may go wrong.
    pub(crate) faults: u8,
}

impl State {
    fn waited_for(&self) -> impl Iterator<Item = u8> {
        self.callers.into_iter().filter_map(|caller| match caller {
            Caller::Waits(number) => Some(number),
            _ => None,
        })
    }

    fn begin(&mut self, change: usize) {
        self.last += 1;
        self.callers[change] = Caller::Waits(self.last);
        let lowest = self.waited_for().min().unwrap_or(self.last);
        let given_up = self.given_up & !((1 << lowest) - 1);
        self.calls[change] = Some(Call { number: self.last, lowest, given_up });
    }

    fn give_up(&mut self, change: usize, number: u8) {
        self.callers[change] = Caller::GaveUp;
        self.given_up |= 1 << number;
        self.left -= 1;
    }

    /// Whether the server carries it out.
    fn carry_out(&mut self, change: usize, call: Call, mutation: Option<Mutation>) -> bool {
        let is_not = |other| mutation != Some(other);
        if is_not(Mutation::LowestIsNotNoted) {
            self.lowest = self.lowest.max(call.lowest);
        }
        if is_not(Mutation::GivenUpIsNotTold) {
            self.noted |= call.given_up;
        }
        let bit = 1 << call.number;
        let was_done = self.noted & bit != 0 && is_not(Mutation::DoneIsNotNoted);
        let was_passed = self.noted >= bit && !is_not(Mutation::OnlyTheLastIsNoted);
        if call.number < self.lowest || was_done || was_passed {
            return false;
        }
        self.noted |= bit;
        self.effects[change] += 1;
        match change {
            ENQUEUE => self.is_there = true,
            REMOVE => self.is_there = false,
            _ => {}
        }
        if self.effects[change] > 1 {
            self.broken = Broken::Twice;
        } else if change == ENQUEUE
            && self.callers[ENQUEUE] == Caller::GaveUp
            && self.callers[REMOVE] == Caller::Answered
        {
            self.broken = Broken::Undone;
        }
        true
    }
}

impl Changes {
    fn arrives(&self, state: &State, change: usize, steps: &mut Steps<State>) {
        let step = |words, calm, to| Step { words, node: 0, what: NAMES[change], calm, to };
        if let Some(call) = state.copies[change] {
            let mut to = State { ..*state };
            to.copies[change] = None;
            to.carry_out(change, call, self.mutation);
            steps.push(step("a copy of the call to {what} arrives", false, to));
        }
        let Some(call) = state.calls[change] else { return };
        let mut to = *state;
        to.calls[change] = None;
        let is_done = to.carry_out(change, call, self.mutation);
        if state.callers[change] != Caller::Waits(call.number) {
            return steps.push(step("the call to {what} arrives, for which nobody waits", false, to));
        }
        let mut heard = to;
        heard.callers[change] = Caller::Answered;
        if !is_done && to.broken == Broken::Nothing {
            heard.broken = Broken::Refused;
        }
        steps.push(step("the call to {what} is answered", true, heard));
        if state.left == 0 {
            return;
        }
        let mut lost = to;
        lost.give_up(change, call.number);
        steps.push(step("the call to {what} arrives, and the answer is lost", false, lost));
        if state.copies[change].is_none() {
            (heard.left, heard.copies[change]) = (state.left - 1, Some(call));
            steps.push(step("the call to {what} is answered, and a copy of it will arrive", false, heard));
        }
    }
}

impl Model for Changes {
    type State = State;

    fn start(&self) -> State {
        State {
            callers: [Caller::Ahead; CHANGES],
            calls: [None; CHANGES],
            copies: [None; CHANGES],
            last: 0,
            given_up: 0,
            noted: 0,
            lowest: 0,
            effects: [0; CHANGES],
            is_there: false,
            left: self.faults,
            broken: Broken::Nothing,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        for (change, what) in NAMES.into_iter().enumerate() {
            let step = |words, calm, to| Step { words, node: 0, what, calm, to };
            let comes_later = matches!(state.callers[ENQUEUE], Caller::Ahead | Caller::Waits(_));
            if state.callers[change] == Caller::Ahead && !(change == REMOVE && comes_later) {
                let mut to = *state;
                to.begin(change);
                steps.push(step("somebody calls to {what}", true, to));
            }
            if let (Caller::Waits(number), Some(_)) = (state.callers[change], state.calls[change])
                && state.left > 0
            {
                let mut to = *state;
                to.give_up(change, number);
                steps.push(step("who calls to {what} gives up", false, to));
            }
            self.arrives(state, change, steps);
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        match state.broken {
            Broken::Nothing => None,
            Broken::Twice => Some(promise::CHANGED_ONCE),
            Broken::Undone => Some(promise::NOT_UNDONE),
            Broken::Refused => Some(promise::CHANGED),
        }
    }

    /// No caller waits for an answer any more.
    fn is_done(&self, state: &State) -> bool {
        state.callers.iter().all(|caller| matches!(caller, Caller::Answered | Caller::GaveUp))
    }
}
