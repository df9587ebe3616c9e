//! What one administrator, who writes ever higher numbers into one record, was told, and whether it may have been.
//!
//! The administrator asks one thing after the other. An answer is judged by the two times between which the server gave
//! it, never by what others knew then: a server may have been replaced long before a test notices.

use super::{Faults, Window, time};

/// What the administrator was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// This number was written.
    Written(u64),
    /// Whether it was written is unknown.
    Unknown(u64),
    /// It stands there.
    Read(u64),
}

/// What the administrator was told, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The answer.
    pub told: Told,
    /// When the question was sent, in milliseconds.
    pub sent: i64,
    /// When its answer was there.
    pub answered: i64,
}

/// The least number that may be read from now on, and since when it stands there.
struct Floor {
    number: u64,
    since: i64,
}

impl Floor {
    /// Nothing has been written yet.
    const NONE: Self = Self { number: 0, since: i64::MIN };

    /// Whether a server that was replaced may have taken the number with it before this answer.
    fn is_forgotten(&self, until: i64, replaced: &[Window]) -> bool {
        replaced.iter().any(|window| window.begin <= until && self.since <= window.end)
    }
}

/// The answers that no order of the writes explains, with the servers that were replaced meanwhile.
pub(super) fn faults(changes: &[Change], replaced: &[Window]) -> Faults {
    let (mut floor, mut last) = (Floor::NONE, 0);
    let mut faults = Faults::new();
    for Change { told, sent, answered } in changes {
        match told {
            Told::Written(number) => (floor, last) = (Floor { number: *number, since: *sent }, *number),
            Told::Unknown(number) => last = *number,
            Told::Read(number) => {
                if floor.is_forgotten(*answered, replaced) {
                    floor = Floor::NONE;
                }
                if !(floor.number..=last).contains(number) {
                    faults.push(format!(
                        "read {number} between {} and {}, and only {} to {last} can be there",
                        time(*sent),
                        time(*answered),
                        floor.number
                    ));
                }
                floor = Floor { number: floor.number.max(*number), since: *sent };
            }
        }
    }
    faults
}
