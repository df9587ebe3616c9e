//! The rows, claims, nodes and calls that a state is made of.

/// How often each trigger is due.
pub(super) const FIRINGS: [u8; 2] = [2, 1];
/// The run, beside the two triggers.
pub(super) const RUN: u8 = 2;
pub(super) const ITEMS: usize = 3;
/// As many claims as anybody can know of at once.
pub(super) const IDS: u8 = 7;

/// A claim; 0 stands for none.
pub(super) type Id = u8;

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Triggers,
    Run,
}

/// Where an item stands that nobody has claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Nowhere,
    /// Any node may take it.
    Lane,
    /// It waits at the gate of its job.
    Parked,
}

/// What is stored of a trigger or of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) there: bool,
    /// How often the trigger has fired; how many attempts of the run have counted.
    pub(super) done: u8,
    pub(super) paused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Record {
    Unknown,
    /// A trigger is claimed, and not fired.
    Taken,
    Fired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub(super) owner: u8,
    pub(super) item: u8,
    /// How often the trigger had fired when it was claimed.
    pub(super) firing: u8,
    pub(super) record: Record,
    /// Nobody has changed the trigger since: its epoch is that of the claim.
    pub(super) valid: bool,
    /// It counts at the gate of the job.
    pub(super) holds: bool,
    /// The session that it was given to is over.
    pub(super) orphaned: bool,
}

pub(super) const NO_CLAIM: Claim = Claim {
    owner: 0,
    item: 0,
    firing: 0,
    record: Record::Unknown,
    valid: false,
    holds: false,
    orphaned: false,
};

/// What a commit is to do with a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    /// Counts it at the gate.
    Admit,
    /// Ends it, and lets the trigger wait at the gate.
    Park,
    Fire,
    /// Ends it, since the trigger was changed.
    Drop,
    Over,
    /// The run is to be tried again.
    Again,
    GiveBack,
    /// Ends what a dead session had.
    TakeOver,
}

/// A commit as its sender knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Commit {
    pub(super) verb: Verb,
    pub(super) claim: Id,
    /// The row is as its sender has read it: of the same version.
    pub(super) fresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Up,
    /// It has lost touch, and knows it.
    Fenced,
    Crashed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) life: Life,
    /// Claimed, to be fired or begun.
    pub(super) ahead: Id,
    /// Its copy of that row is of the version that is stored.
    pub(super) fresh: bool,
    /// It was told that it may run what is ahead.
    pub(super) may_run: bool,
    pub(super) body: Id,
    /// A run that has ended, which the server may not know, and what becomes of it.
    pub(super) ended: Option<(Id, Verb)>,
    /// What has become of its last take is unknown.
    pub(super) unsure: bool,
    /// A commit of which no answer has come.
    pub(super) open: Option<Commit>,
}

pub(super) const FRESH: Node = Node {
    life: Life::Up,
    ahead: 0,
    fresh: false,
    may_run: false,
    body: 0,
    ended: None,
    unsure: false,
    open: None,
};

/// A call that is carried out some day although nobody waits for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Call {
    None,
    Take,
    Commit(Commit),
    Enqueue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Late {
    pub(super) call: Call,
    pub(super) node: u8,
    /// Its number is larger than that of the last call of its sender that was carried out.
    pub(super) newer: bool,
    /// Its number is that of the commit which its sender makes at present.
    pub(super) same: bool,
    /// Its session is over.
    pub(super) old: bool,
}

pub(super) const NOTHING_LATE: Late =
    Late { call: Call::None, node: 0, newer: false, same: false, old: false };

/// A promise that the last step has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Broken {
    Nothing,
    Advance,
    Twice,
    Overlap,
    Paused,
}

/// What the server says to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// Nothing has happened: something is not as the sender has read it.
    Changed,
}
