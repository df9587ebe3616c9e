//! What the store and the nodes know, and what each call does in the store.

use std::cmp::Ordering;

use crate::{Life, Mutation};

/// How often each trigger is due.
pub(super) const FIRINGS: [u8; 2] = [2, 1];
/// All firings, those of the first trigger first.
const ALL: usize = 3;
/// The triggers, and for each firing the trigger that repeats it when its run was lost.
pub(super) const ITEMS: usize = 2 + ALL;
/// As many claims as anybody can know of at once.
pub(super) const IDS: u8 = 7;

/// A claim; 0 stands for none.
pub(super) type Id = u8;

/// Where a trigger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// It is not there, or never due again.
    Nowhere,
    /// Any node may take it.
    Offered,
    /// It waits until its job is free.
    Parked,
    /// It is claimed and not fired.
    Claimed,
}

/// What the store knows of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Record {
    Unknown,
    Acquired,
    Fired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Claim {
    pub(super) owner: u8,
    pub(super) item: u8,
    pub(super) firing: u8,
    pub(super) record: Record,
    /// The session that it was given to is over.
    pub(super) orphaned: bool,
}

const NO_CLAIM: Claim = Claim { owner: 0, item: 0, firing: 0, record: Record::Unknown, orphaned: false };

/// What a node knows of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Touch {
    Safe,
    /// Its clock says that the lease is over, and it has not looked yet.
    Overdue,
    /// Its runs were told to stop.
    Fenced,
    /// The store held it for dead; it is to register anew.
    Unregistered,
}

/// An answer that is on its way and allows to run what is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Answer {
    None,
    ToFire,
    /// It was fired as it was acquired.
    ToAcquire,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node {
    pub(super) life: Life,
    pub(super) touch: Touch,
    /// Claimed, to be fired.
    pub(super) ahead: Id,
    pub(super) answer: Answer,
    /// What has become of its last call to acquire is unknown.
    pub(super) unsure: bool,
    pub(super) body: Id,
    /// The body was there while its node was frozen.
    pub(super) froze: bool,
    /// A run that has ended, which the store may not know.
    pub(super) ended: Id,
    /// A lost run of a dead session, to be taken over.
    pub(super) lost: Id,
}

pub(super) const FRESH: Node = Node {
    life: Life::Up,
    touch: Touch::Safe,
    ahead: 0,
    answer: Answer::None,
    unsure: false,
    body: 0,
    froze: false,
    ended: 0,
    lost: 0,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Call {
    None,
    Acquire,
    Fire,
    Complete,
    TakeOver,
}

/// A call that is under way although nobody waits for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Late {
    pub(super) call: Call,
    pub(super) node: u8,
    pub(super) claim: Id,
}

const NOTHING_LATE: Late = Late { call: Call::None, node: 0, claim: 0 };

/// A promise that the last step has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Broken {
    Nothing,
    Advance,
    Twice,
    Overlap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(super) places: [Place; ITEMS],
    /// How often each trigger has fired.
    pub(super) next: [u8; 2],
    /// The claim that holds the job.
    pub(super) busy: Id,
    claims: [Claim; IDS as usize],
    /// The sessions that are in the store.
    pub(super) sessions: [bool; 2],
    pub(super) nodes: [Node; 2],
    pub(super) late: Late,
    /// The firings whose first run has begun, bit by bit.
    begun: u8,
    /// So much may still go wrong.
    pub(super) left: u8,
    pub(super) broken: Broken,
}

/// A firing of a trigger, by its number among all.
fn firing(item: u8, next: u8) -> u8 {
    if item == 0 { next } else { FIRINGS[0] + next }
}

impl State {
    pub(super) fn start(faults: u8) -> Self {
        let mut places = [Place::Nowhere; ITEMS];
        places[..2].fill(Place::Offered);
        Self {
            places,
            next: [0; 2],
            busy: 0,
            claims: [NO_CLAIM; IDS as usize],
            sessions: [true; 2],
            nodes: [FRESH; 2],
            late: NOTHING_LATE,
            begun: 0,
            left: faults,
            broken: Broken::Nothing,
        }
    }

    pub(super) fn claim(&self, id: Id) -> Claim {
        self.claims[usize::from(id) - 1]
    }

    fn claim_mut(&mut self, id: Id) -> &mut Claim {
        &mut self.claims[usize::from(id) - 1]
    }

    /// What the store knows.
    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(|claim| claim.record != Record::Unknown)
    }

    pub(super) fn has(&self, id: Id) -> bool {
        self.claim(id).record != Record::Unknown
    }

    /// The firing that the trigger, or what repeats one, is for.
    pub(super) fn firing_of(&self, item: u8) -> u8 {
        if item < 2 { firing(item, self.next[usize::from(item)]) } else { item - 2 }
    }

    /// Lets a trigger wait: to be had, or until the job is free.
    fn wait(&mut self, item: u8) {
        self.places[usize::from(item)] = if self.busy == 0 { Place::Offered } else { Place::Parked };
    }

    fn replace(&mut self, from: Place, to: Place) {
        self.places.iter_mut().filter(|place| **place == from).for_each(|place| *place = to);
    }

    /// A claim is no more. If it holds the job, that is free.
    fn end(&mut self, id: Id) {
        let claim = self.claim_mut(id);
        (claim.record, claim.orphaned) = (Record::Unknown, false);
        if self.busy == id {
            self.free();
        }
    }

    fn free(&mut self) {
        self.busy = 0;
        self.replace(Place::Parked, Place::Offered);
    }

    /// What can be acquired.
    pub(super) fn offers(&self, mutation: Option<Mutation>) -> impl Iterator<Item = u8> + use<> {
        let (places, unchecked) = (self.places, mutation == Some(Mutation::BusyIsNotChecked));
        (0..).zip(places).filter_map(move |(item, place)| {
            let offered = place == Place::Offered || (unchecked && place == Place::Parked);
            offered.then_some(item)
        })
    }

    pub(super) fn acquire(&mut self, node: u8, item: u8) -> Id {
        let id = (1..=IDS).find(|id| !self.is_mentioned(*id)).expect("there are enough claims");
        let firing = self.firing_of(item);
        *self.claim_mut(id) = Claim { owner: node, item, firing, record: Record::Acquired, orphaned: false };
        self.busy = id;
        self.places[usize::from(item)] = Place::Claimed;
        self.replace(Place::Offered, Place::Parked);
        id
    }

    /// Gives back what was not fired.
    pub(super) fn release(&mut self, id: Id, mutation: Option<Mutation>) {
        let claim = self.claim(id);
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

    /// Says whether the claim allows to run.
    pub(super) fn fire(&mut self, id: Id, mutation: Option<Mutation>) -> bool {
        let claim = self.claim(id);
        let of_this_life = !claim.orphaned || mutation == Some(Mutation::OrphanedClaimsFire);
        let known = self.has(id) || mutation == Some(Mutation::ClaimsAreNotCompared);
        if !self.sessions[usize::from(claim.owner)] || !of_this_life || !known {
            return false;
        }
        if claim.record == Record::Fired {
            return true;
        }
        if claim.firing != self.firing_of(claim.item) {
            self.broken = Broken::Advance;
        }
        self.claim_mut(id).record = Record::Fired;
        self.busy = id;
        let item = usize::from(claim.item);
        self.places[item] = Place::Nowhere;
        if item < 2 {
            self.next[item] += 1;
            if self.next[item] < FIRINGS[item] {
                self.wait(claim.item);
            }
        }
        true
    }

    pub(super) fn complete(&mut self, id: Id, mutation: Option<Mutation>) {
        match self.claim(id).record {
            Record::Fired => self.end(id),
            Record::Unknown if mutation == Some(Mutation::UnknownClaimsComplete) => self.free(),
            Record::Unknown | Record::Acquired => {}
        }
    }

    /// Ends a run whose node is gone, and puts in place what repeats it.
    pub(super) fn take_over(&mut self, id: Id, mutation: Option<Mutation>) {
        let claim = self.claim(id);
        if claim.record != Record::Fired {
            return;
        }
        let again = 2 + claim.firing;
        if self.places[usize::from(again)] == Place::Nowhere {
            self.wait(again);
        }
        if mutation != Some(Mutation::LostRunsAreNotEnded) {
            self.end(id);
        }
    }

    /// The lease of a session is over. If its node is frozen, the node's own clock will say so.
    pub(super) fn expire(&mut self, owner: u8) {
        let node = &mut self.nodes[usize::from(owner)];
        if node.life == Life::Frozen && node.touch == Touch::Safe {
            node.touch = Touch::Overdue;
        }
    }

    /// A session is over: its claims are those of nobody.
    pub(super) fn entomb(&mut self, owner: u8) {
        self.expire(owner);
        self.sessions[usize::from(owner)] = false;
        let known = self.claims.iter_mut().filter(|claim| claim.record != Record::Unknown);
        known.filter(|claim| claim.owner == owner).for_each(|claim| claim.orphaned = true);
    }

    /// With `fires` what a call acquires is fired as well.
    pub(super) fn carry_out_late(&mut self, fires: bool, mutation: Option<Mutation>) {
        let Late { call, node, claim } = std::mem::replace(&mut self.late, NOTHING_LATE);
        match call {
            Call::None => {}
            Call::Acquire => {
                let item = self.offers(mutation).next();
                if let Some(item) = item.filter(|_| self.sessions[usize::from(node)]) {
                    let id = self.acquire(node, item);
                    if fires {
                        self.fire(id, mutation);
                    }
                }
            }
            Call::Fire => {
                self.fire(claim, mutation);
            }
            Call::Complete => self.complete(claim, mutation),
            Call::TakeOver => self.take_over(claim, mutation),
        }
    }

    /// The node has asked later: an earlier call to acquire does nothing any more.
    pub(super) fn take_turn(&mut self, node: usize, mutation: Option<Mutation>) {
        let is_earlier = self.late.call == Call::Acquire && usize::from(self.late.node) == node;
        if is_earlier && mutation != Some(Mutation::EarlierTurnsCount) {
            self.late = NOTHING_LATE;
        }
    }

    /// A run of which its node, which lives, knows nothing.
    pub(super) fn unheard(&self, node: usize) -> Option<Id> {
        let Node { ahead, body, ended, .. } = self.nodes[node];
        let is_unheard = |id: &Id| {
            let claim = self.claim(*id);
            claim.record == Record::Fired && !claim.orphaned && usize::from(claim.owner) == node
        };
        (1..=IDS).filter(is_unheard).find(|id| ![ahead, body, ended].contains(id))
    }

    /// The answer comes too late to act on it. What it has fired is asked for again.
    pub(super) fn drop_answer(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if node.answer == Answer::ToAcquire {
            (node.ahead, node.unsure) = (0, true);
        }
        node.answer = Answer::None;
    }

    /// The node stops its run.
    pub(super) fn stop(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if node.body != 0 {
            (node.ended, node.body, node.froze) = (node.body, 0, false);
        }
    }

    pub(super) fn begin(&mut self, node: usize) {
        let id = self.nodes[node].ahead;
        let claim = self.claim(id);
        if self.nodes.iter().any(|node| node.body != 0 && !node.froze) {
            self.broken = Broken::Overlap;
        }
        if claim.item < 2 {
            if self.begun & 1 << claim.firing != 0 {
                self.broken = Broken::Twice;
            }
            self.begun |= 1 << claim.firing;
        }
        let node = &mut self.nodes[node];
        (node.body, node.froze, node.ahead, node.answer) = (id, false, 0, Answer::None);
    }
}

/// States that differ in names only are taken for one.
impl State {
    /// Everywhere that a claim can be named, beside the list of them.
    fn mentions(&mut self) -> [&mut Id; 10] {
        let [first, second] = &mut self.nodes;
        [
            &mut self.busy,
            &mut self.late.claim,
            &mut first.ahead,
            &mut first.body,
            &mut first.ended,
            &mut first.lost,
            &mut second.ahead,
            &mut second.body,
            &mut second.ended,
            &mut second.lost,
        ]
    }

    fn is_mentioned(&self, id: Id) -> bool {
        let mut own = *self;
        self.has(id) || own.mentions().iter().any(|named| **named == id)
    }

    /// The one of all states that differ by the names of nodes and claims.
    pub(super) fn canonical(&self) -> Self {
        let mut swapped = *self;
        swapped.swap();
        match self.looks(0).cmp(&self.looks(1)) {
            Ordering::Less => self.renumbered(),
            Ordering::Equal => self.renumbered().min(swapped.renumbered()),
            Ordering::Greater => swapped.renumbered(),
        }
    }

    /// What a node looks like, whatever its claims are called.
    fn looks(&self, node: usize) -> u32 {
        let Node { life, touch, ahead, answer, unsure, body, froze, ended, lost } = self.nodes[node];
        let flags = [unsure, froze, ahead != 0, body != 0, ended != 0, lost != 0, self.sessions[node]];
        let bits = flags.iter().fold(0, |bits, flag| bits << 1 | u32::from(*flag));
        ((bits * 4 + life as u32) * 4 + touch as u32) * 4 + answer as u32
    }

    /// The nodes take each other's place.
    fn swap(&mut self) {
        self.nodes.swap(0, 1);
        self.sessions.swap(0, 1);
        self.claims.iter_mut().for_each(|claim| claim.owner = 1 - claim.owner);
        self.late.node = 1 - self.late.node;
    }

    /// Claims are numbered in the order in which they are mentioned, and those of which nobody knows are forgotten.
    fn renumbered(&self) -> Self {
        let (mut to, mut numbers, mut count) = (*self, [0; IDS as usize + 1], 0);
        let mut number = |id: Id| {
            let known = &mut numbers[usize::from(id)];
            if id != 0 && *known == 0 {
                count += 1;
                *known = count;
            }
            *known
        };
        for id in to.mentions() {
            *id = number(*id);
        }
        for id in (1..=IDS).filter(|id| self.has(*id)) {
            number(id);
        }
        to.claims = [NO_CLAIM; IDS as usize];
        for id in (1..=IDS).filter(|id| numbers[usize::from(*id)] != 0) {
            *to.claim_mut(numbers[usize::from(id)]) = self.claim(id);
        }
        if to.late.call != Call::Acquire {
            to.late.node = 0;
        }
        to
    }
}
