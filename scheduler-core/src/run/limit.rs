//! Limits: how many runs of one key may be under way at the same time, or begin in a time, over all nodes.

use std::borrow::Borrow;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::rate::Pace;
use super::unique::push_part;

/// A run has at most so many limits.
pub(crate) const MOST_LIMITS: usize = 4;

/// The shortest and the longest window of a rate.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 86_400);

/// A key has at most so many bytes as it is given. Of a longer one the begin and a hash are kept.
const MOST_OF_KEY: usize = 200;

/// Allows at most so many runs to be under way at the same time, over all nodes.
///
/// A run that has a limit takes a slot when a node claims it, in the same step, and gives it back with its claim: when the attempt ends,
/// when its node dies, when it is given back. So a slot is never lost, and no second timeout decides about it. Between two attempts a run has
/// no slot. While no slot is free the run waits in the order of due times, and neither a thread nor a place in a queue is taken.
///
/// Limits of the same name and key are one limit, whichever jobs their runs belong to.
///
/// ```
/// # use scheduler_core::prelude::*;
/// # use scheduler_core::run::Limit;
/// # #[job] async fn fetch(repository: String) {}
/// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
/// // At most 20 runs of an organisation are under way, and this one counts as two.
/// let limit = Limit::new("github", 20).key("rust-lang").weight(2);
/// scheduler.enqueue(fetch::with("rust".into())).limit(limit).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    name: String,
    key: Option<String>,
    max: u32,
    weight: u32,
    rate: Option<(Duration, u32)>,
}

impl Limit {
    /// At most `max` runs of this limit at the same time. Without a [key](Self::key) all runs with this name share it.
    pub fn new(name: impl Into<String>, max: u32) -> Self {
        Self { name: name.into(), key: None, max, weight: 1, rate: None }
    }

    /// At most `max` attempts begin in any time of this length, whenever it begins. Retries and replays count, too; an attempt that is given
    /// back before it has begun does not. What is over waits.
    ///
    /// Up to 32 attempts in a window are counted exactly. Of more, the rate is up to a twentieth lower than `max`, and never higher. The clock is that
    /// of the store; one that goes back is read as the newest time seen.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::run::Limit;
    /// # use std::time::Duration;
    /// # #[job] async fn fetch(repository: String) {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// // 100 calls a minute for each organisation.
    /// let rate = Limit::rate("github", 100, Duration::from_secs(60)).key("rust-lang");
    /// scheduler.enqueue(fetch::with("rust".into())).limit(rate).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rate(name: impl Into<String>, max: u32, window: Duration) -> Self {
        Self { rate: Some((window, 0)), ..Self::new(name, max) }
    }

    /// The attempts of a [rate](Self::rate) are spread evenly over its window, and not begun as soon as the rate allows.
    #[must_use]
    pub fn smooth(self) -> Self {
        self.burst(1)
    }

    /// As [`smooth`](Self::smooth), and so many attempts of a rate may begin at once when none have begun for a while.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.rate.iter_mut().for_each(|(_, known)| *known = burst.max(1));
        self
    }

    /// The limit holds for each key apart: any value with a text, such as a number, a name or an id. A second call adds a part to
    /// the key.
    #[must_use]
    pub fn key(mut self, part: impl Display) -> Self {
        let key = match &mut self.key {
            Some(key) => {
                key.push('/');
                key
            }
            none => none.insert(String::new()),
        };
        push_part(key, &part);
        self
    }

    /// The run takes so many slots; of a rate, it counts as so many attempts. Default: 1.
    #[must_use]
    pub fn weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The fault of the limit, if it has one.
    fn problem(&self) -> Option<String> {
        let Self { name, max, weight, .. } = self;
        if name.is_empty() || name.contains(char::is_control) {
            return Some(format!(
                "the name `{}` of a limit is empty or has control characters; use letters",
                name.escape_debug()
            ));
        }
        if *weight == 0 {
            return Some(format!(
                "the weight of limit `{name}` is 0, so it would limit nothing; use at least 1 or leave the limit out"
            ));
        }
        if let Some((window, burst)) = self.rate {
            if window < SHORTEST || window > LONGEST {
                return Some(format!(
                    "the rate `{name}` is one of {window:?}; use a time from a millisecond to 24 days"
                ));
            }
            if burst > *max || (burst > 0 && *weight > burst) {
                return Some(format!(
                    "the rate `{name}` allows {max}, with a burst of {burst} and a weight of {weight}; the weight is at most the burst, and the burst at most the rate"
                ));
            }
        }
        (weight > max).then(|| {
            format!("limit `{name}` allows {max} and the weight of the run is {weight}, so the run could never begin; raise the limit or lower the weight")
        })
    }

    fn gate(&self) -> Gate {
        let pace = self.rate.map(|(window, burst)| Pace::of(window, burst));
        Gate { id: GateId::of(&self.name, self.key.as_deref()), cap: self.max, weight: self.weight, pace }
    }
}

/// The gates of these limits.
///
/// # Errors
///
/// The first fault of these limits.
pub(crate) fn gates_of(limits: &[Limit]) -> Result<Gates, String> {
    if let Some(problem) = limits.iter().find_map(Limit::problem) {
        return Err(problem);
    }
    if limits.len() > MOST_LIMITS {
        return Err(format!("a run has {} limits; use at most {MOST_LIMITS}", limits.len()));
    }
    let gates: Vec<_> = limits.iter().map(Limit::gate).collect();
    for (place, gate) in gates.iter().enumerate() {
        if gates[..place].iter().any(|other| other.id == gate.id) {
            return Err(format!("a run has the limit `{}` twice; keep one", gate.id));
        }
    }
    Ok(Gates::new(gates))
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
    format!("{}…{:032x}", &key[..end], super::KeyId::of("", key).number())
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
}

impl Gate {
    /// A gate.
    pub const fn new(id: GateId, cap: u32, weight: u32) -> Self {
        Self { id, cap, weight, pace: None }
    }

    /// A gate where so many attempts may begin in a time.
    pub const fn rate(id: GateId, cap: u32, pace: Pace, weight: u32) -> Self {
        Self { id, cap, weight, pace: Some(pace) }
    }

    /// The same gate with another cap.
    #[must_use]
    pub fn capped(&self, cap: u32) -> Self {
        let burst = |pace: Pace| if pace.burst == 0 { 0 } else { pace.burst.min(cap).max(1) };
        let pace = self.pace.map(|pace| Pace { burst: burst(pace), ..pace });
        Self { cap, pace, ..self.clone() }
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
