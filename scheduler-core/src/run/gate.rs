//! Gates: what a stored run needs before it begins.

use std::borrow::Borrow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use super::rate::Pace;
use super::unique::KeyId;

/// A key has at most so many bytes as it is given. Of a longer one the begin and a hash are kept.
const MOST_OF_KEY: usize = 200;

/// What becomes of a run that is due while its [limit](super::Limit) has no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// It waits, in the order of due times.
    #[default]
    Wait,
    /// It ends as [superseded](super::RunEnd::Superseded), without an attempt.
    Skip,
    /// It waits, and those that wait already end as superseded: of all that would wait, the one that is due last stays.
    KeepNewest,
    /// It waits unless another one does. If one does, the one that is due later ends as superseded.
    KeepOldest,
    /// It waits, and the attempt that has held the limit for the longest time is asked to stop. Its run ends as cancelled.
    CancelRunning,
}

impl WhenFull {
    const WORDS: [(Self, &'static str, char); 4] = [
        (Self::Skip, "skip", 's'),
        (Self::KeepNewest, "keep_newest", 'n'),
        (Self::KeepOldest, "keep_oldest", 'o'),
        (Self::CancelRunning, "cancel_running", 'c'),
    ];

    /// As it is written in code and files: `wait`, `skip`, `keep_newest`, `keep_oldest` or `cancel_running`.
    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(known, ..)| *known == self).map_or("wait", |(_, name, _)| name)
    }

    fn letter(self) -> Option<char> {
        Self::WORDS.iter().find(|(known, ..)| *known == self).map(|(.., letter)| *letter)
    }
}

impl FromStr for WhenFull {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::WORDS.iter().find(|(_, name, _)| *name == text).map(|(known, ..)| *known);
        known.or((text == "wait").then_some(Self::Wait)).ok_or_else(|| {
            format!("`{text}` is nothing that can become of a run when its limit is full; write `wait`, `skip`, `keep_newest`, `keep_oldest` or `cancel_running`")
        })
    }
}

/// How long a run holds a [limit](super::Limit).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hold {
    /// While an attempt is under way. Between two attempts others may have the slot.
    #[default]
    Attempt,
    /// From its first attempt to its end, also while it waits for a retry. So nobody else sees what a failed attempt has left half done.
    Run,
}

/// By what a gate is known: the name of a limit, and the key if it has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GateId(Arc<str>);

impl GateId {
    /// The gate of this limit for this key.
    pub fn of(name: &str, key: Option<&str>) -> Self {
        match key {
            Some(key) => Self(format!("{name}\0{}", short(key)).into()),
            None => Self(name.into()),
        }
    }

    /// For a store: the gate of a [text](Self::text).
    pub fn read(text: &str) -> Self {
        Self(text.into())
    }

    /// For a store: name and key as one text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// For a store: a number for an index.
    pub fn hash(&self) -> KeyId {
        KeyId::of("", &self.0)
    }

    /// The name of the limit.
    pub fn name(&self) -> &str {
        self.0.split_once('\0').map_or(&*self.0, |(name, _)| name)
    }

    /// The key; none for a limit without keys.
    pub fn key(&self) -> Option<&str> {
        Some(self.0.split_once('\0')?.1)
    }
}

/// By its [text](GateId::text).
impl Borrow<str> for GateId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Display for GateId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key() {
            Some(key) => write!(f, "{}/{key}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

pub(super) fn short(key: &str) -> String {
    if key.len() <= MOST_OF_KEY {
        return key.to_owned();
    }
    let end = (0..=MOST_OF_KEY).rev().find(|end| key.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…{:032x}", &key[..end], KeyId::of("", key).number())
}

/// What a run needs to begin: a place among those of its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gate {
    /// By what it is known.
    pub id: GateId,
    /// The sum of weights that may be under way, as it was declared when the run was enqueued.
    pub cap: u32,
    /// What the run adds to it.
    pub weight: u32,
    /// Of a rate, its window: so many attempts may begin in it. None for a limit of what is under way.
    pub pace: Option<Pace>,
    /// What becomes of the run if it finds no room.
    pub when_full: WhenFull,
    /// How long the run holds it.
    pub hold: Hold,
    /// The run itself holds it, so that none of its attempts takes it.
    pub is_held: bool,
}

impl Gate {
    /// A gate.
    pub const fn new(id: GateId, cap: u32, weight: u32) -> Self {
        let (when_full, hold) = (WhenFull::Wait, Hold::Attempt);
        Self { id, cap, weight, pace: None, when_full, hold, is_held: false }
    }

    /// A gate where so many attempts may begin in a time.
    pub fn rate(id: GateId, cap: u32, pace: Pace, weight: u32) -> Self {
        Self { pace: Some(pace), ..Self::new(id, cap, weight) }
    }

    /// The same gate with another cap.
    #[must_use]
    pub fn capped(&self, cap: u32) -> Self {
        let burst = |pace: Pace| if pace.burst == 0 { 0 } else { pace.burst.min(cap).max(1) };
        let pace = self.pace.map(|pace| Pace { burst: burst(pace), ..pace });
        Self { cap, pace, ..self.clone() }
    }

    /// In the record of a run: what is not as with most gates, as letters.
    pub(crate) fn letters(&self) -> String {
        let hold = match self.hold {
            _ if self.is_held => Some('H'),
            Hold::Run => Some('h'),
            Hold::Attempt => None,
        };
        self.when_full.letter().into_iter().chain(hold).collect()
    }

    /// The gate with what these [letters](Self::letters) say.
    pub(crate) fn with_letters(mut self, letters: &str) -> Self {
        for letter in letters.chars() {
            match WhenFull::WORDS.iter().find(|(.., known)| *known == letter) {
                Some((when_full, ..)) => self.when_full = *when_full,
                None => (self.hold, self.is_held) = (Hold::Run, letter == 'H'),
            }
        }
        self
    }

    /// Whether the run finds room at all, if nothing else is under way.
    pub fn is_enough(&self) -> bool {
        let burst = self.pace.map(|pace| pace.burst).filter(|burst| *burst > 0);
        self.weight <= burst.unwrap_or(self.cap).min(self.cap)
    }

    /// Whether there is room if so much is used. Not for a rate.
    pub fn has_room(&self, used: u64) -> bool {
        used.saturating_add(self.weight.into()) <= self.cap.into()
    }
}

/// What a run needs to begin: its gates, and the key by which it takes turns with others of its queue. Most runs have neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates {
    gates: Option<Arc<[Gate]>>,
    fair: Option<Arc<str>>,
}

impl Gates {
    pub(crate) const NONE: Self = Self { gates: None, fair: None };

    /// These gates.
    pub fn new(gates: Vec<Gate>) -> Self {
        Self { gates: (!gates.is_empty()).then(|| gates.into()), fair: None }
    }

    /// The same gates, for a run that takes turns by this key.
    #[must_use]
    pub fn with_fair(self, key: Option<Arc<str>>) -> Self {
        Self { fair: key, ..self }
    }

    /// The key by which the run takes turns with others of its queue, if it has one.
    pub const fn fair(&self) -> Option<&Arc<str>> {
        self.fair.as_ref()
    }

    /// Whether there are no gates and no key.
    pub const fn is_empty(&self) -> bool {
        self.gates.is_none() && self.fair.is_none()
    }

    /// Those that an attempt takes: all but those that the run itself holds.
    #[must_use]
    pub fn of_attempt(&self) -> Self {
        match self.iter().any(|gate| gate.is_held) {
            true => self.only(|gate| !gate.is_held).with_fair(self.fair.clone()),
            false => self.clone(),
        }
    }

    /// Those that the run itself holds, attempt or not.
    #[must_use]
    pub fn of_run(&self) -> Self {
        self.only(|gate| gate.is_held)
    }

    fn only(&self, is_meant: impl Fn(&Gate) -> bool) -> Self {
        Self::new(self.iter().filter(|gate| is_meant(gate)).cloned().collect())
    }

    /// The run itself holds those that are held [to its end](Hold::Run) from now on, or none any more.
    pub(crate) fn set_held(&mut self, is_held: bool) {
        if self.iter().any(|gate| gate.hold == Hold::Run && gate.is_held != is_held) {
            let held = |gate: &Gate| Gate { is_held: is_held && gate.hold == Hold::Run, ..gate.clone() };
            *self = Self::new(self.iter().map(held).collect()).with_fair(self.fair.clone());
        }
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Gate> {
        self.gates.as_deref().unwrap_or_default().iter()
    }
}

impl<'a> IntoIterator for &'a Gates {
    type Item = &'a Gate;
    type IntoIter = std::slice::Iter<'a, Gate>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
