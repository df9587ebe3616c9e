//! What the server, its copy and the nodes know, and what each call does in the store.

use std::cmp::Ordering;

use crate::Mutation;

/// How often each trigger is due.
pub(super) const FIRINGS: [u8; 2] = [2, 1];
/// As many claims as can be told apart at once.
pub(super) const IDS: u8 = 12;

/// A claim by its number, which is its fence; 0 stands for none.
pub(super) type Id = u8;

/// Claims, bit by bit.
pub(super) type Set = u16;

pub(super) fn set(id: Id) -> Set {
    if id == 0 { 0 } else { 1 << id }
}

fn all_of(set_of: Set) -> impl Iterator<Item = Id> {
    (1..=IDS).filter(move |id| set_of & set(*id) != 0)
}

/// Where a trigger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// It is never due again.
    Nowhere,
    /// Whoever asks may have it.
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
    /// Fired, and its session is over.
    Orphaned,
}

/// What a claim is for, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Claim {
    pub(super) owner: u8,
    pub(super) item: u8,
    pub(super) firing: u8,
}

const NO_CLAIM: Claim = Claim { owner: 0, item: 0, firing: 0 };

/// The data of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Store {
    pub(super) places: [Place; 2],
    /// How often each trigger has fired.
    pub(super) next: [u8; 2],
    /// The claim that holds the job.
    pub(super) busy: Id,
    records: [Record; IDS as usize + 1],
    pub(super) sessions: [bool; 2],
    /// The last number given out, where that alone decides on the next.
    count: Id,
    /// The run of the server that was seen last.
    pub(super) run: u8,
    pub(super) epoch: u8,
    /// Nothing is handed out as long as there are untold sessions.
    pub(super) hold: bool,
    /// Sessions that have not said yet what they know.
    pub(super) untold: [bool; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node {
    pub(super) up: bool,
    /// Claimed, to be fired.
    pub(super) ahead: Id,
    pub(super) body: Id,
    /// A run that has ended, which the store may not know.
    pub(super) ended: Id,
    /// Runs whose end the store has known, and may have forgotten.
    pub(super) remembered: Set,
    pub(super) epoch: u8,
    /// The epoch in which it tells what it knows; 0 if in none.
    pub(super) telling: u8,
    /// What it has read, and by which it decides on a run that the store may have forgotten.
    pub(super) read: Option<Read>,
}

/// What a commit that tells of a run has gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Read {
    /// How often the trigger had fired: the version of its row, since a firing is all that changes it.
    pub(super) firing: u8,
    /// The claim that held the job.
    pub(super) holder: Id,
}

/// What a node decides on a run that it tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The store has not forgotten it.
    Known,
    /// It is to be known again, by a commit.
    Again,
    /// Another firing or another run has taken its place.
    Overtaken,
    /// Another run holds the job, whose node may know that it has ended.
    Wait,
}

const FRESH: Node =
    Node { up: true, ahead: 0, body: 0, ended: 0, remembered: 0, epoch: 1, telling: 0, read: None };

pub(super) const CRASHED: Node = Node { up: false, epoch: 0, ..FRESH };

/// A promise that the last step has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Broken {
    Nothing,
    Advance,
    Fence,
    /// A run was refused for one of which its node knows that it has ended.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(super) store: Store,
    /// What the server comes back with.
    pub(super) copy: Option<Store>,
    /// The present run of the server.
    pub(super) run: u8,
    claims: [Claim; IDS as usize + 1],
    pub(super) nodes: [Node; 2],
    /// The run of which a commit tells for which nobody waits any more, and what that has gone by.
    pub(super) late: Option<(Id, Read)>,
    /// The highest number that was ever given out.
    highest: Id,
    /// So much may still go wrong.
    pub(super) left: u8,
    /// The server may still save its data.
    pub(super) may_save: bool,
    /// The server may still be restarted without loss.
    pub(super) may_restart: bool,
    pub(super) broken: Broken,
}

impl Store {
    fn record(&mut self, id: Id) -> &mut Record {
        &mut self.records[usize::from(id)]
    }

    pub(super) fn known(&self, id: Id) -> Record {
        self.records[usize::from(id)]
    }

    /// The claims that there are.
    pub(super) fn all(&self) -> impl Iterator<Item = (Id, Record)> {
        (0..).zip(self.records).filter(|(_, record)| *record != Record::Unknown)
    }

    /// Lets a trigger wait: to be had, or until the job is free.
    fn wait(&mut self, item: u8) {
        self.places[usize::from(item)] = if self.busy == 0 { Place::Offered } else { Place::Parked };
    }

    fn replace(&mut self, from: Place, to: Place) {
        self.places.iter_mut().filter(|place| **place == from).for_each(|place| *place = to);
    }

    /// A claim is no more. If it holds the job, that is free.
    pub(super) fn end(&mut self, id: Id) {
        *self.record(id) = Record::Unknown;
        if self.busy == id {
            self.busy = 0;
            self.replace(Place::Parked, Place::Offered);
        }
    }

    pub(super) fn complete(&mut self, id: Id) {
        if matches!(self.known(id), Record::Fired | Record::Orphaned) {
            self.end(id);
        }
    }

    /// Gives back what was not fired.
    pub(super) fn release(&mut self, id: Id, item: u8) {
        self.end(id);
        self.wait(item);
    }

    fn hold(&mut self, id: Id) {
        self.busy = id;
        self.replace(Place::Offered, Place::Parked);
    }

    /// The trigger has fired, and its job is busy.
    fn advance(&mut self, item: u8, next: u8) {
        let at = usize::from(item);
        self.next[at] = next;
        self.places[at] = if next < FIRINGS[at] { Place::Parked } else { Place::Nowhere };
    }

    /// Sees that the server was restarted.
    pub(super) fn look(&mut self, run: u8, mutation: Option<Mutation>) {
        if self.run != run {
            self.epoch = if mutation == Some(Mutation::EpochsAreCounted) { self.epoch + 1 } else { run };
            (self.run, self.hold, self.untold) = (run, true, self.sessions);
        }
    }
}

impl State {
    pub(super) fn start(faults: u8, may_restart: bool) -> Self {
        let store = Store {
            places: [Place::Offered; 2],
            next: [0; 2],
            busy: 0,
            records: [Record::Unknown; IDS as usize + 1],
            sessions: [true; 2],
            count: 0,
            run: 1,
            epoch: 1,
            hold: false,
            untold: [false; 2],
        };
        Self {
            store,
            copy: None,
            run: 1,
            claims: [NO_CLAIM; IDS as usize + 1],
            nodes: [FRESH; 2],
            late: None,
            highest: 0,
            left: faults,
            may_save: true,
            may_restart,
            broken: Broken::Nothing,
        }
    }

    pub(super) fn claim(&self, id: Id) -> Claim {
        self.claims[usize::from(id)]
    }

    pub(super) fn acquire(&mut self, node: u8, item: u8, mutation: Option<Mutation>) {
        let mut id = self.highest + 1;
        if mutation == Some(Mutation::FencesStartOver) {
            id = self.store.count + 1;
            self.store.count = id;
        }
        if id <= self.highest {
            self.broken = Broken::Fence;
        }
        self.highest = id.max(self.highest);
        let firing = self.store.next[usize::from(item)];
        self.claims[usize::from(id)] = Claim { owner: node, item, firing };
        *self.store.record(id) = Record::Acquired;
        self.store.hold(id);
        self.store.places[usize::from(item)] = Place::Claimed;
        self.nodes[usize::from(node)].ahead = id;
    }

    /// Says whether the claim allows to run.
    pub(super) fn fire(&mut self, id: Id) -> bool {
        match self.store.known(id) {
            Record::Fired => return true,
            Record::Unknown | Record::Orphaned => return false,
            Record::Acquired => {}
        }
        let Claim { item, firing, .. } = self.claim(id);
        if self.store.next[usize::from(item)] != firing {
            self.broken = Broken::Advance;
        }
        *self.store.record(id) = Record::Fired;
        self.store.advance(item, firing + 1);
        true
    }

    pub(super) fn entomb(&mut self, dead: u8) {
        (self.store.sessions[usize::from(dead)], self.store.untold[usize::from(dead)]) = (false, false);
        for id in 1..=IDS {
            let Claim { owner, item, .. } = self.claim(id);
            match self.store.known(id) {
                Record::Acquired if owner == dead => self.store.release(id, item),
                Record::Fired if owner == dead => *self.store.record(id) = Record::Orphaned,
                Record::Unknown | Record::Acquired | Record::Fired | Record::Orphaned => {}
            }
        }
    }

    /// A node says what has ended, and reads what decides on the run that it has in hand.
    pub(super) fn tell_ends(&mut self, at: usize) {
        let Node { remembered, body, ended, .. } = self.nodes[at];
        all_of(remembered).for_each(|id| self.store.complete(id));
        let id = body | ended;
        self.nodes[at].read = (id != 0).then(|| self.read(id));
    }

    fn read(&self, id: Id) -> Read {
        Read { firing: self.store.next[usize::from(self.claim(id).item)], holder: self.store.busy }
    }

    pub(super) fn decide(&self, id: Id, read: Read, mutation: Option<Mutation>) -> Told {
        let (Claim { firing, .. }, store, is_not) =
            (self.claim(id), &self.store, |other| mutation != Some(other));
        if matches!(store.known(id), Record::Fired | Record::Orphaned) {
            return Told::Known;
        }
        if read.firing != firing && is_not(Mutation::ProgressIsNotCompared) {
            return Told::Overtaken;
        }
        let is_open = store.untold[usize::from(self.claim(read.holder).owner)];
        match store.known(read.holder) {
            Record::Fired if is_open && is_not(Mutation::NobodyWaitsForHolders) => Told::Wait,
            Record::Fired | Record::Orphaned if is_not(Mutation::HoldersThatToldGiveWay) => Told::Overtaken,
            _ => Told::Again,
        }
    }

    /// Whether the node knows that this run has ended, which the store has been told, and may have forgotten.
    pub(super) fn is_known_to_have_ended(&self, id: Id) -> bool {
        self.nodes.iter().any(|node| node.remembered & set(id) != 0)
    }

    /// A commit tells of a run, and says whether it is done: the store knows the run again, if all is as it was read.
    pub(super) fn tell_of(&mut self, id: Id, read: Read, mutation: Option<Mutation>) -> bool {
        let (Claim { owner, item, .. }, now) = (self.claim(id), self.read(id));
        let (is_not, of_others) = (|other| mutation != Some(other), self.claim(now.holder).item != item);
        let store = &mut self.store;
        let same = (read.firing == now.firing || !is_not(Mutation::VersionsOfToldAreNotCompared))
            // The claim of the trigger itself is compared apart.
            && (read.holder == now.holder || (of_others && !is_not(Mutation::HoldersAreNotCompared)));
        let may = store.untold[usize::from(owner)] || !is_not(Mutation::WhoeverTellsIsHeard);
        if !same || !may || matches!(store.known(id), Record::Fired | Record::Orphaned) {
            return false;
        }
        if read.holder != 0 {
            let (taken, claim) =
                (store.known(read.holder) == Record::Acquired, self.claims[usize::from(read.holder)]);
            if !taken && is_not(Mutation::HoldersThatToldGiveWay) {
                // The decision has gone by this claim, so it is compared, too.
                return false;
            }
            if taken && (claim.item == item || is_not(Mutation::HoldersAreOverridden)) {
                store.release(read.holder, claim.item);
            }
        }
        let firing = self.claims[usize::from(id)].firing;
        if store.next[usize::from(item)] != firing {
            self.broken = Broken::Advance;
        }
        *store.record(id) = Record::Fired;
        store.hold(id);
        store.advance(item, firing + 1);
        true
    }
}

/// States that differ in names only are taken for one.
impl State {
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
        let Node { up, ahead, body, ended, epoch, telling, read, .. } = self.nodes[node];
        let of_store = [self.store.sessions[node], self.store.untold[node]];
        let flags = [up, ahead != 0, body != 0, ended != 0, read.is_some(), of_store[0], of_store[1]];
        let bits = flags.iter().fold(0, |bits, flag| bits << 1 | u32::from(*flag));
        (bits * 8 + u32::from(epoch)) * 8 + u32::from(telling)
    }

    /// The nodes take each other's place.
    fn swap(&mut self) {
        self.nodes.swap(0, 1);
        for store in std::iter::once(&mut self.store).chain(&mut self.copy) {
            store.sessions.swap(0, 1);
            store.untold.swap(0, 1);
        }
        self.claims.iter_mut().for_each(|claim| claim.owner = 1 - claim.owner);
    }

    /// Claims get the smallest numbers that keep their order, and those of which nobody knows are forgotten.
    fn renumbered(&self) -> Self {
        let mut to = *self;
        let reads = |read: Option<Read>| read.map_or(0, |read| set(read.holder));
        let mut useful = to.late.map_or(0, |(id, read)| set(id) | reads(Some(read)));
        for store in std::iter::once(&to.store).chain(&to.copy) {
            useful |= store.all().fold(0, |all, (id, _)| all | set(id));
        }
        for node in &mut to.nodes {
            // The others will never be known again.
            node.remembered &= useful;
        }
        for node in &to.nodes {
            useful |= set(node.ahead) | set(node.body) | set(node.ended) | reads(node.read);
        }
        let counts = [to.store.count, to.copy.map_or(0, |copy| copy.count)];
        if counts == [0; 2] {
            to.highest = all_of(useful).last().unwrap_or(0);
        }
        let named = useful | set(to.highest) | set(counts[0]) | set(counts[1]);
        let number = |id: Id| (named & (set(id) | set(id).saturating_sub(1))).count_ones() as Id;
        to.claims = [NO_CLAIM; IDS as usize + 1];
        all_of(useful).for_each(|id| to.claims[usize::from(number(id))] = self.claim(id));
        let renamed = |read: Read| Read { holder: number(read.holder), ..read };
        (to.highest, to.late) = (number(to.highest), to.late.map(|(id, read)| (number(id), renamed(read))));
        for store in std::iter::once(&mut to.store).chain(&mut to.copy) {
            let before = *store;
            store.records = [Record::Unknown; IDS as usize + 1];
            before.all().for_each(|(id, record)| *store.record(number(id)) = record);
            (store.busy, store.count) = (number(store.busy), number(store.count));
        }
        for node in &mut to.nodes {
            (node.ahead, node.body, node.ended) = (number(node.ahead), number(node.body), number(node.ended));
            node.remembered = all_of(node.remembered).fold(0, |all, id| all | set(number(id)));
            node.read = node.read.map(renamed);
        }
        to
    }
}
