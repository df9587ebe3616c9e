//! What is promised, in words.

pub(crate) const ONE_PLACE: &str = "I1: a trigger that is due some day is in one place";
pub(crate) const PARKED: &str = "I2: the job of a parked trigger is busy";
pub(crate) const HELD: &str = "I3: the job is held by a claim that exists";
pub(crate) const OWNED: &str =
    "I4: a claim belongs to a session that lives, or to one that is being recovered";
pub(crate) const FENCES_GROW: &str = "I6: fences grow";
pub(crate) const ONCE: &str = "G2: a schedule advances once for each firing";
pub(crate) const RUN_ONCE: &str = "G3: a firing is run once, but for recoveries";
pub(crate) const ONE_CLAIM: &str = "G4: one claim of the job is valid at a time";
pub(crate) const NO_OVERLAP: &str = "G5: runs of the job do not overlap, but where a node was frozen";
pub(crate) const NOT_ROBBED: &str = "self-fencing: nobody takes over from a node that may go on";
pub(crate) const NOT_STUCK: &str = "nothing is stuck: what is due fires some day";
pub(crate) const PAUSED: &str = "what is paused does not fire";
pub(crate) const ATTEMPTS: &str = "an attempt counts once, unless it is given back";
pub(crate) const HEARD: &str =
    "a run that a server has forgotten is refused only for another firing, or for a run that goes on";
pub(crate) const CHANGED_ONCE: &str = "a change takes effect once";
pub(crate) const CHANGED: &str = "a change that its caller waits for takes effect";
pub(crate) const NOT_UNDONE: &str = "a change that was given up does not undo a later one";
pub(crate) const OWN_END: &str = "the end of one attempt does not end another";
