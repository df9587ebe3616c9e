//! Looks at every state that a model can come to, the nearest first.

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Display, Formatter};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::promise;

/// Some steps of a protocol, and what it promises.
pub(crate) trait Model {
    type State: Copy + Eq + Hash;

    fn start(&self) -> Self::State;

    /// Everything that can happen next.
    fn steps(&self, state: &Self::State, steps: &mut Steps<Self::State>);

    /// The promise that does not hold in this state, if there is one.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;

    /// Everything that was to happen has happened.
    fn is_done(&self, state: &Self::State) -> bool;

    /// One of all states that differ in names only.
    fn canonical(&self, state: &Self::State) -> Self::State {
        *state
    }
}

/// What can happen next.
pub(crate) type Steps<S> = Vec<Step<S>>;

/// One thing that can happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<S> {
    /// In words, with `{node}` for who does it and `{what}` for what it is about.
    pub(crate) words: &'static str,
    pub(crate) node: u8,
    pub(crate) what: &'static str,
    /// It happens some day if nothing more goes wrong.
    pub(crate) calm: bool,
    pub(crate) to: S,
}

impl<S> Step<S> {
    pub(crate) fn in_words(&self) -> String {
        let node = if self.node == 0 { "A" } else { "B" };
        self.words.replace("{node}", node).replace("{what}", self.what)
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Report {
    /// Or steps of random histories.
    pub(crate) states: usize,
    pub(crate) violation: Option<Violation>,
}

/// A promise that is not kept, and the shortest way there.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) path: Vec<String>,
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "not kept: {}", self.promise)?;
        let mut lines = self.path.iter().enumerate();
        lines.try_for_each(|(number, step)| writeln!(f, "{:>4}. {step}", number + 1))
    }
}

/// Quick, and good enough for small numbers.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.write_u64(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        let rest = chunks.remainder().iter().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
        self.write_u64(rest);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
}

/// Where a search has been.
struct Seen<S> {
    numbers: HashMap<S, u32, BuildHasherDefault<Mix>>,
    /// From where each state was come to first.
    before: Vec<u32>,
    /// Steps that happen some day, by the numbers of the states.
    calm: Vec<(u32, u32)>,
    done: Vec<u32>,
}

/// Goes everywhere, and stops at the first promise that is not kept.
pub(crate) fn search<M: Model>(model: &M) -> Report {
    let start = model.canonical(&model.start());
    let mut seen = Seen { numbers: HashMap::default(), before: vec![0], calm: Vec::new(), done: Vec::new() };
    seen.numbers.insert(start, 0);
    let (mut ahead, mut steps) = (VecDeque::from([start]), Vec::new());
    let mut number = 0;
    while let Some(state) = ahead.pop_front() {
        if let Some(promise) = model.broken(&state) {
            let path = path(model, &seen, number);
            return Report { states: seen.before.len(), violation: Some(Violation { promise, path }) };
        }
        if model.is_done(&state) {
            seen.done.push(number);
        }
        model.steps(&state, &mut steps);
        for step in steps.drain(..) {
            let to = model.canonical(&step.to);
            let next = u32::try_from(seen.before.len()).unwrap();
            let to_number = *seen.numbers.entry(to).or_insert(next);
            if to_number == next {
                seen.before.push(number);
                ahead.push_back(to);
            }
            if step.calm && to_number != number {
                seen.calm.push((number, to_number));
            }
        }
        number += 1;
    }
    let violation = stuck(&seen)
        .map(|number| Violation { promise: promise::NOT_STUCK, path: path(model, &seen, number) });
    Report { states: seen.before.len(), violation }
}

/// The first state from which calm steps do not lead to where everything is done.
fn stuck<S>(seen: &Seen<S>) -> Option<u32> {
    let count = seen.before.len();
    // The steps by where they lead, one after the other.
    let mut begins = vec![0_u32; count + 1];
    seen.calm.iter().for_each(|(_, to)| begins[*to as usize + 1] += 1);
    (0..count).for_each(|to| begins[to + 1] += begins[to]);
    let (mut places, mut sources) = (begins.clone(), vec![0; seen.calm.len()]);
    for (from, to) in &seen.calm {
        sources[places[*to as usize] as usize] = *from;
        places[*to as usize] += 1;
    }
    let (mut reached, mut ahead) = (vec![false; count], seen.done.clone());
    ahead.iter().for_each(|state| reached[*state as usize] = true);
    while let Some(to) = ahead.pop() {
        for from in &sources[begins[to as usize] as usize..begins[to as usize + 1] as usize] {
            if !std::mem::replace(&mut reached[*from as usize], true) {
                ahead.push(*from);
            }
        }
    }
    reached.iter().position(|reached| !reached).and_then(|state| u32::try_from(state).ok())
}

/// The steps to a state, told of the same nodes throughout.
fn path<M: Model>(model: &M, seen: &Seen<M::State>, to: u32) -> Vec<String> {
    let mut numbers = vec![to];
    while let Some(last) = numbers.last().filter(|last| **last != 0) {
        numbers.push(seen.before[*last as usize]);
    }
    let (mut state, mut steps, mut words) = (model.start(), Vec::new(), Vec::new());
    for number in numbers.iter().rev().skip(1) {
        model.steps(&state, &mut steps);
        let leads = |step: &Step<M::State>| seen.numbers.get(&model.canonical(&step.to)) == Some(number);
        let step = steps.drain(..).find(leads).expect("the search came this way");
        words.push(step.in_words());
        state = step.to;
    }
    in_words(words)
}

/// What happens several times on end is said once.
pub(crate) fn in_words(steps: Vec<String>) -> Vec<String> {
    let same = steps.chunk_by(|one, next| one == next);
    same.map(
        |same| if same.len() == 1 { same[0].clone() } else { format!("{}, {} times", same[0], same.len()) },
    )
    .collect()
}
