//! Parts: a node takes and ends several runs by several calls at once.
//!
//! Two runs, two nodes. The first node takes one part after the other, the next while it still reads the one before, and ends what
//! it has run by calls that are under way together. The answer to each may be lost, and the end of a run may be carried out late. The
//! first node may lose its lease meanwhile: then it stops what it runs, its claims are taken over, and it registers anew. A claim is
//! numbered, so what is late about one that was taken over concerns no other.

use crate::Mutation;
use crate::promise;
use crate::search::{Model, Step, Steps};

const NAMES: [&str; 2] = ["`import`", "`report`"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stored {
    Lane,
    /// By a node, with the number of the claim.
    Claimed(u8, u8),
    Over,
}

/// What a node has of a run, with the number of its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Hand {
    Nothing,
    /// The answer has come, and the node has not read it yet.
    Answer(u8),
    Body(u8),
    Ended(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    hands: [Hand; 2],
    /// What has become of its last take is unknown.
    unsure: bool,
    /// Its lease is over, and it knows.
    fenced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Broken {
    Nothing,
    Overlap,
    Twice,
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    runs: [Stored; 2],
    /// How often each was claimed.
    claims: [u8; 2],
    nodes: [Node; 2],
    /// The end of a run by a claim, for which nobody waits any more.
    late: Option<(usize, u8)>,
    left: u8,
    broken: Broken,
}

pub(crate) struct Parts {
    pub(crate) mutation: Option<Mutation>,
    /// So much may go wrong.
    pub(crate) faults: u8,
}

impl State {
    fn take(&mut self, at: usize, run: usize) {
        self.claims[run] += 1;
        self.runs[run] = Stored::Claimed(at as u8, self.claims[run]);
    }

    fn end(&mut self, run: usize, claim: u8, mutation: Option<Mutation>) {
        let Stored::Claimed(_, stored) = self.runs[run] else { return };
        if stored == claim || mutation == Some(Mutation::EndsGoByTheRun) {
            self.runs[run] = Stored::Over;
        }
        if self.runs[run] == Stored::Over && stored != claim {
            self.broken = Broken::Foreign;
        }
    }

    fn begin(&mut self, at: usize, run: usize, claim: u8) {
        let runs = |node: &Node| matches!(node.hands[run], Hand::Body(_));
        if self.nodes.iter().any(runs) {
            self.broken = Broken::Overlap;
        } else if self.runs[run] == Stored::Over {
            self.broken = Broken::Twice;
        }
        self.nodes[at].hands[run] = Hand::Body(claim);
    }

    /// Claims that the node does not know of are given back.
    fn ask(&mut self, at: usize, mutation: Option<Mutation>) {
        self.nodes[at].unsure = false;
        for run in 0..2 {
            let is_known = match self.nodes[at].hands[run] {
                Hand::Nothing => false,
                Hand::Answer(_) => mutation != Some(Mutation::UnreadPartsAreUnknown),
                Hand::Body(_) | Hand::Ended(_) => true,
            };
            if !is_known && matches!(self.runs[run], Stored::Claimed(owner, _) if usize::from(owner) == at) {
                self.runs[run] = Stored::Lane;
            }
        }
    }
}

struct Moves<'a> {
    from: &'a State,
    mutation: Option<Mutation>,
    steps: &'a mut Steps<State>,
}

impl Moves<'_> {
    fn add(
        &mut self,
        words: &'static str,
        at: usize,
        run: usize,
        calm: bool,
        change: impl FnOnce(&mut State),
    ) {
        let mut to = *self.from;
        change(&mut to);
        self.steps.push(Step { words, node: at as u8, what: NAMES[run], calm, to });
    }

    fn calm(&mut self, words: &'static str, at: usize, run: usize, change: impl FnOnce(&mut State)) {
        self.add(words, at, run, true, change);
    }

    fn fault(&mut self, words: &'static str, at: usize, run: usize, change: impl FnOnce(&mut State)) {
        if self.from.left > 0 {
            self.add(words, at, run, false, |to| {
                to.left -= 1;
                change(to);
            });
        }
    }

    fn node(&mut self, at: usize) {
        let (node, mutation) = (self.from.nodes[at], self.mutation);
        if node.fenced {
            return self.calm("the claims of {node} are taken over, and it registers anew", at, 0, |to| {
                to.nodes[at].fenced = false;
                for run in &mut to.runs {
                    if matches!(run, Stored::Claimed(owner, _) if usize::from(*owner) == at) {
                        *run = Stored::Lane;
                    }
                }
            });
        }
        (0..2).for_each(|run| self.hand(at, run));
        if at == 0 {
            let lost = Node { hands: [Hand::Nothing; 2], unsure: false, fenced: true };
            self.fault("{node} loses touch, and knows it", at, 0, |to| to.nodes[at] = lost);
        }
        if node.unsure {
            return self.calm("{node} gives back what it does not know of", at, 0, |to| to.ask(at, mutation));
        }
        for run in (0..2).filter(|run| self.from.runs[*run] == Stored::Lane) {
            if node.hands[run] != Hand::Nothing {
                continue;
            }
            self.calm("{node} takes {what}", at, run, |to| {
                to.take(at, run);
                to.nodes[at].hands[run] = Hand::Answer(to.claims[run]);
            });
            self.fault("{node} takes {what}, and the answer is lost", at, run, |to| {
                to.take(at, run);
                to.nodes[at].unsure = true;
            });
        }
    }

    fn hand(&mut self, at: usize, run: usize) {
        let mutation = self.mutation;
        match self.from.nodes[at].hands[run] {
            Hand::Nothing => {}
            Hand::Answer(claim) => {
                self.calm("{node} reads the answer and runs {what}", at, run, |to| to.begin(at, run, claim));
            }
            Hand::Body(claim) => self.calm("the run of {what} on {node} ends", at, run, |to| {
                to.nodes[at].hands[run] = Hand::Ended(claim);
            }),
            Hand::Ended(claim) => {
                self.calm("{node} says that {what} is over", at, run, |to| {
                    to.end(run, claim, mutation);
                    to.nodes[at].hands[run] = Hand::Nothing;
                    if mutation == Some(Mutation::OneAnswerCountsForAll) {
                        let ended = |hand: &&mut Hand| matches!(hand, Hand::Ended(_));
                        to.nodes[at].hands.iter_mut().filter(ended).for_each(|hand| *hand = Hand::Nothing);
                    }
                });
                let words = "{node} says that {what} is over, and the answer is lost";
                self.fault(words, at, run, |to| to.end(run, claim, mutation));
                if self.from.late.is_none() {
                    let words = "{node} says that {what} is over, but the call is late";
                    self.fault(words, at, run, |to| to.late = Some((run, claim)));
                }
            }
        }
    }
}

impl Model for Parts {
    type State = State;

    fn start(&self) -> State {
        let node = Node { hands: [Hand::Nothing; 2], unsure: false, fenced: false };
        State {
            runs: [Stored::Lane; 2],
            claims: [0; 2],
            nodes: [node; 2],
            late: None,
            left: self.faults,
            broken: Broken::Nothing,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut moves = Moves { from: state, mutation: self.mutation, steps };
        (0..2).for_each(|at| moves.node(at));
        if let Some((run, claim)) = state.late {
            let mutation = self.mutation;
            moves.add("a late call says that {what} is over", 0, run, false, |to| {
                to.late = None;
                to.end(run, claim, mutation);
            });
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        match state.broken {
            Broken::Nothing => None,
            Broken::Overlap => Some(promise::NO_OVERLAP),
            Broken::Twice => Some(promise::RUN_ONCE),
            Broken::Foreign => Some(promise::OWN_END),
        }
    }

    fn is_done(&self, state: &State) -> bool {
        state.runs == [Stored::Over; 2]
    }
}
