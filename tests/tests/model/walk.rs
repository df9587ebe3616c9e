//! Goes random ways through a model, where more goes wrong than a search can look at.

use std::collections::{HashSet, VecDeque};

use crate::promise;
use crate::search::{Model, Report, Step, Violation, in_words};

/// A way has so many steps before nothing more goes wrong.
const LENGTH: usize = 80;

/// Numbers that look random, and are the same for one seed.
struct Random(u64);

impl Random {
    /// One of so many, but for a bias that does not matter here.
    fn below(&mut self, many: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % many as u64) as usize
    }
}

/// Takes so many steps, on one way after the other. Stops at the first promise that is not kept, and says the way there; the nodes
/// may change their names on it, as those do in a model that takes them for one.
pub(crate) fn walk<M: Model>(model: &M, seed: u64, steps: usize) -> Report {
    let (mut random, mut taken) = (Random(seed), 0);
    while taken < steps {
        let mut path = Vec::new();
        let violation = one_way(model, &mut random, &mut path);
        taken += path.len().max(1);
        if let Some(promise) = violation {
            let path = in_words(path);
            return Report { states: taken, violation: Some(Violation { promise, path }) };
        }
    }
    Report { states: taken, violation: None }
}

/// From the start to the end of everything.
fn one_way<M: Model>(model: &M, random: &mut Random, path: &mut Vec<String>) -> Option<&'static str> {
    let (mut state, mut steps) = (model.canonical(&model.start()), Vec::<Step<M::State>>::new());
    let length = 1 + random.below(LENGTH);
    for _ in 0..length {
        model.steps(&state, &mut steps);
        if steps.is_empty() {
            break;
        }
        let step = steps.swap_remove(random.below(steps.len()));
        path.push(step.in_words());
        state = model.canonical(&step.to);
        if let Some(promise) = model.broken(&state) {
            return Some(promise);
        }
        steps.clear();
    }
    (!comes_to_its_end(model, state)).then_some(promise::NOT_STUCK)
}

/// Whether calm steps lead from here to where everything is done.
fn comes_to_its_end<M: Model>(model: &M, from: M::State) -> bool {
    let (mut seen, mut ahead, mut steps) = (HashSet::from([from]), VecDeque::from([from]), Vec::new());
    while let Some(state) = ahead.pop_front() {
        if model.is_done(&state) {
            return true;
        }
        model.steps(&state, &mut steps);
        let calm = steps.drain(..).filter(|step| step.calm).map(|step| model.canonical(&step.to));
        ahead.extend(calm.filter(|state| seen.insert(*state)));
    }
    false
}
