//! What the server and the nodes know, and what a claim and a commit do to it.

use super::records::*;
use crate::Mutation;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(super) rows: [Row; ITEMS],
    pub(super) places: [Place; ITEMS],
    /// How many claims the gate of the job has counted.
    pub(super) holders: u8,
    claims: [Claim; IDS as usize],
    pub(super) sessions: [bool; 2],
    /// The number of the commit that a node makes at present, or next, was carried out.
    used: [bool; 2],
    pub(super) nodes: [Node; 2],
    pub(super) late: Late,
    /// The firings whose run has begun, bit by bit.
    begun: u8,
    /// The run has ended for good.
    pub(super) over: bool,
    /// How many attempts of the run have begun and not been given back.
    pub(super) attempts: u8,
    pub(super) may_pause: bool,
    pub(super) may_stop: bool,
    /// So much may still go wrong.
    pub(super) left: u8,
    pub(super) broken: Broken,
}

/// A firing of a trigger, by its number among all.
fn firing(item: u8, done: u8) -> u8 {
    if item == 0 { done } else { FIRINGS[0] + done }
}

impl State {
    pub(super) fn start(work: Work, faults: u8) -> Self {
        let triggers = work == Work::Triggers;
        let row = Row { there: triggers, done: 0, paused: false };
        let place = if triggers { Place::Lane } else { Place::Nowhere };
        Self {
            rows: [row, row, Row { there: false, ..row }],
            places: [place, place, Place::Nowhere],
            holders: 0,
            claims: [NO_CLAIM; IDS as usize],
            sessions: [true; 2],
            used: [false; 2],
            nodes: [FRESH; 2],
            late: NOTHING_LATE,
            begun: 0,
            over: triggers,
            attempts: 0,
            may_pause: triggers,
            // Giving back is explored with the run, so that the model of the triggers stays small.
            may_stop: !triggers,
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

    /// What the server knows.
    pub(super) fn claims(&self) -> impl Iterator<Item = (Id, &Claim)> {
        (1..).zip(&self.claims).filter(|(_, claim)| claim.record != Record::Unknown)
    }

    pub(super) fn is_due(&self, item: u8) -> bool {
        let row = self.rows[usize::from(item)];
        row.there && !row.paused && (item == RUN || row.done < FIRINGS[usize::from(item)])
    }

    /// The number of a claim of which nobody has ever heard, or has forgotten.
    fn free_id(&self) -> Id {
        let named = |id: Id| {
            let late = matches!(self.late.call, Call::Commit(commit) if commit.claim == id);
            late || self.nodes.iter().any(|node| {
                let open = node.open.is_some_and(|open| open.claim == id);
                let ended = node.ended.is_some_and(|(ended, _)| ended == id);
                open || ended || node.ahead == id || node.body == id
            })
        };
        let free = |id: &Id| self.claim(*id).record == Record::Unknown && !named(*id);
        (1..=IDS).find(free).expect("there are as many as anybody can know of")
    }

    /// Whoever has read this row has read an older version of it.
    fn write(&mut self, item: u8) {
        let claims = self.claims;
        let concerned = |claim: Id| claim != 0 && claims[usize::from(claim) - 1].item == item;
        for node in &mut self.nodes {
            node.fresh &= !concerned(node.ahead);
            if let Some(open) = node.open.as_mut().filter(|open| concerned(open.claim)) {
                open.fresh = false;
            }
        }
        if let Call::Commit(commit) = &mut self.late.call {
            commit.fresh &= !concerned(commit.claim);
        }
    }
}

/// What the server does.
impl State {
    /// Takes an item out of its lane, and notes a claim.
    pub(super) fn take(&mut self, node: u8, item: u8, mutation: Option<Mutation>) -> Id {
        let (id, at) = (self.free_id(), usize::from(item));
        if item == RUN && mutation == Some(Mutation::ClaimsChangeRows) {
            self.rows[at].done += 1;
            self.write(item);
        }
        let record = if item == RUN { Record::Fired } else { Record::Taken };
        let firing = self.rows[at].done;
        *self.claim_mut(id) =
            Claim { owner: node, item, firing, record, valid: true, holds: false, orphaned: false };
        self.places[at] = Place::Nowhere;
        id
    }

    /// A take of the node, or its question what it has, is carried out: earlier ones are refused from now on.
    pub(super) fn turn(&mut self, node: usize) {
        let Late { call, node: sender, old, .. } = self.late;
        self.late.newer &= call != Call::Take || usize::from(sender) != node || old;
    }

    pub(super) fn enqueue(&mut self) {
        let row = &mut self.rows[usize::from(RUN)];
        if !row.there {
            *row = Row { there: true, done: 0, paused: false };
            self.places[usize::from(RUN)] = Place::Lane;
        }
    }

    /// Somebody pauses or resumes the first trigger.
    pub(super) fn pause(&mut self, paused: bool, mutation: Option<Mutation>) {
        self.write(0);
        self.rows[0].paused = paused;
        self.claims.iter_mut().filter(|claim| claim.item == 0).for_each(|claim| claim.valid = false);
        self.places[0] = if self.is_due(0) { Place::Lane } else { Place::Nowhere };
        if mutation != Some(Mutation::PausesWakeNobody) {
            self.wake(mutation);
        }
    }

    /// What a commit of a node does, if it has not been done.
    pub(super) fn carry_out(&mut self, node: usize, commit: Commit, mutation: Option<Mutation>) -> Answer {
        if self.used[node] && mutation != Some(Mutation::NumbersAreNotCompared) {
            return Answer::Done;
        }
        let answer = self.commit(commit, mutation);
        if answer == Answer::Done {
            self.used[node] = true;
            self.late.newer &= usize::from(self.late.node) != node || self.late.old;
        }
        answer
    }

    /// A call that nobody waits for is carried out at last.
    pub(super) fn carry_out_late(&mut self, mutation: Option<Mutation>) {
        let Late { call, node, newer, same, .. } = std::mem::replace(&mut self.late, NOTHING_LATE);
        let Call::Commit(commit) = call else {
            return;
        };
        if !newer && mutation != Some(Mutation::NumbersAreNotCompared) {
            return;
        }
        if self.commit(commit, mutation) == Answer::Done && same {
            self.used[usize::from(node)] = true;
        }
    }

    /// The next commit of the node has another number.
    pub(super) fn answered(&mut self, node: usize, answer: Answer, mutation: Option<Mutation>) {
        self.nodes[node].open = None;
        if answer == Answer::Done || mutation != Some(Mutation::NumbersAreUsedTwice) {
            self.used[node] = false;
            self.late.same &= usize::from(self.late.node) != node;
        }
    }

    /// Compares, then writes; or writes nothing.
    fn commit(&mut self, Commit { verb, claim: id, fresh }: Commit, mutation: Option<Mutation>) -> Answer {
        let (claim, is_not) = (self.claim(id), |other| mutation != Some(other));
        let at = usize::from(claim.item);
        let fresh = fresh || !is_not(Mutation::VersionsAreNotCompared);
        let may = match verb {
            Verb::Admit => {
                let room = self.holders == 0 || !is_not(Mutation::BoundIsNotChecked);
                claim.record == Record::Taken && !claim.holds && room
            }
            Verb::Park => {
                let full = self.holders > 0 || !is_not(Mutation::FullIsNotChecked);
                claim.record == Record::Taken && !claim.holds && full && fresh
            }
            Verb::Fire => claim.record == Record::Taken && claim.holds && fresh,
            Verb::Drop => claim.record == Record::Taken,
            Verb::Over | Verb::Again => claim.record == Record::Fired,
            Verb::GiveBack | Verb::TakeOver => {
                let unread = claim.record == Record::Fired || !is_not(Mutation::ChangedRowsArePutBack);
                claim.record != Record::Unknown && (fresh || unread)
            }
        };
        if !may || (verb != Verb::TakeOver && claim.orphaned) {
            return Answer::Changed;
        }
        match verb {
            Verb::Admit => {
                self.holders += 1;
                self.claim_mut(id).holds = true;
            }
            Verb::Park => {
                self.claim_mut(id).record = Record::Unknown;
                self.places[at] = Place::Parked;
            }
            Verb::Fire if !is_not(Mutation::PlacesComeFirst) => self.places[at] = Place::Lane,
            Verb::Fire => self.fire(id),
            Verb::Drop => self.end(id, mutation),
            Verb::Over => {
                if claim.item == RUN {
                    (self.rows[at].there, self.over) = (false, true);
                }
                self.end(id, mutation);
            }
            Verb::Again => self.try_again(id, mutation),
            Verb::TakeOver if claim.record == Record::Fired && claim.item == RUN => {
                self.try_again(id, mutation);
            }
            Verb::TakeOver if claim.record == Record::Fired => self.end(id, mutation),
            Verb::TakeOver | Verb::GiveBack => {
                if claim.valid || !is_not(Mutation::ChangedRowsArePutBack) {
                    self.places[at] = Place::Lane;
                }
                self.end(id, mutation);
            }
        }
        Answer::Done
    }

    fn fire(&mut self, id: Id) {
        let Claim { item, firing, .. } = self.claim(id);
        let at = usize::from(item);
        if self.rows[at].paused {
            self.broken = Broken::Paused;
        } else if self.rows[at].done != firing {
            self.broken = Broken::Advance;
        }
        self.write(item);
        self.rows[at].done = firing + 1;
        self.claim_mut(id).record = Record::Fired;
        self.places[at] = if self.is_due(item) { Place::Lane } else { Place::Nowhere };
    }

    /// An attempt has failed, and counts; the run waits for the next.
    fn try_again(&mut self, id: Id, mutation: Option<Mutation>) {
        let at = usize::from(RUN);
        self.attempts += 1;
        if mutation != Some(Mutation::ClaimsChangeRows) {
            self.rows[at].done += 1;
        }
        self.write(RUN);
        self.places[at] = Place::Lane;
        self.end(id, mutation);
    }

    /// A claim is no more. Whoever waits at the gate is shown if there is room, also if the claim held no place: it may be the
    /// one for whose sake the others were not shown.
    fn end(&mut self, id: Id, mutation: Option<Mutation>) {
        let claim = self.claim_mut(id);
        claim.record = Record::Unknown;
        if std::mem::take(&mut claim.holds) {
            self.holders -= 1;
        }
        self.wake(mutation);
    }

    fn wake(&mut self, mutation: Option<Mutation>) {
        let waits = self.places.iter().position(|place| *place == Place::Parked);
        if let Some(at) = waits.filter(|_| self.holders == 0 && mutation != Some(Mutation::NobodyIsWoken)) {
            self.places[at] = Place::Lane;
        }
    }

    /// The session of a node is over: what it had is taken over claim by claim.
    pub(super) fn entomb(&mut self, dead: usize) {
        self.sessions[dead] = false;
        self.used[dead] = false;
        self.claims
            .iter_mut()
            .filter(|claim| usize::from(claim.owner) == dead)
            .for_each(|claim| claim.orphaned = true);
        if usize::from(self.late.node) == dead {
            (self.late.same, self.late.old) = (false, true);
        }
    }
}

/// What nodes do.
impl State {
    pub(super) fn begin(&mut self, node: usize) {
        let id = std::mem::take(&mut self.nodes[node].ahead);
        let Claim { item, firing: done, .. } = self.claim(id);
        self.nodes[node].may_run = false;
        self.nodes[node].body = id;
        if item == RUN {
            if self.over {
                self.broken = Broken::Twice;
            }
            return;
        }
        let bit = 1 << firing(item, done);
        if self.begun & bit != 0 {
            self.broken = Broken::Twice;
        }
        self.begun |= bit;
        let runs = |node: &Node| node.body != 0 && self.claim(node.body).item != RUN;
        if self.nodes.iter().filter(|node| runs(node)).count() > 1 {
            self.broken = Broken::Overlap;
        }
    }

    /// What its session has in the server, and the node does not know of.
    pub(super) fn unheard(&self, at: usize) -> Option<Id> {
        let Node { ahead, body, ended, .. } = self.nodes[at];
        let known = |id: Id| id == ahead || id == body || ended.is_some_and(|(ended, _)| ended == id);
        let mine = |claim: &Claim| usize::from(claim.owner) == at && !claim.orphaned;
        self.claims().find(|(id, claim)| mine(claim) && !known(*id)).map(|(id, _)| id)
    }
}
