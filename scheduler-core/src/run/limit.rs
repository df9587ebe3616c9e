//! Limits: how many runs of one key may be under way at the same time, or begin in a time, over all nodes.

use std::fmt::Display;
use std::time::Duration;

use super::gate::{Gate, GateId, Gates, Hold, WhenFull};
use super::rate::Pace;
use super::unique::push_part;

/// A run has at most so many limits.
pub(crate) const MOST_LIMITS: usize = 4;

/// The shortest and the longest window of a rate.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 86_400);

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
    when_full: WhenFull,
    hold: Hold,
}

impl Limit {
    /// At most `max` runs of this limit at the same time. Without a [key](Self::key) all runs with this name share it.
    pub fn new(name: impl Into<String>, max: u32) -> Self {
        let (name, when_full, hold) = (name.into(), WhenFull::Wait, Hold::Attempt);
        Self { name, key: None, max, weight: 1, rate: None, when_full, hold }
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

    /// What becomes of the run if the limit has no room when the run is due. Default: [`WhenFull::Wait`].
    ///
    /// ```
    /// # use scheduler_core::run::{Limit, WhenFull};
    /// // Of the previews of a document that wait, only the latest is of use.
    /// let limit = Limit::new("preview", 1).key("document 7").when_full(WhenFull::KeepNewest);
    /// ```
    #[must_use]
    pub fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }

    /// How long the run holds its slot. Default: [`Hold::Attempt`]. Without meaning for a rate, which refuses [`Hold::Run`].
    ///
    /// ```
    /// # use scheduler_core::run::{Hold, Limit};
    /// // While a migration is retried, no other one of the tenant begins.
    /// let limit = Limit::new("migration", 1).key("tenant 7").hold(Hold::Run);
    /// ```
    #[must_use]
    pub fn hold(self, hold: Hold) -> Self {
        Self { hold, ..self }
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
            if self.hold == Hold::Run {
                return Some(format!(
                    "the rate `{name}` is to be held to the end of the run, and a rate only counts beginnings; leave `hold` out"
                ));
            }
            if self.when_full == WhenFull::CancelRunning {
                return Some(format!(
                    "the rate `{name}` is to cancel what is running when it is full, which makes no room for it; use a limit of what is under way"
                ));
            }
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
        let id = GateId::of(&self.name, self.key.as_deref());
        let (when_full, hold) = (self.when_full, self.hold);
        Gate { pace, when_full, hold, ..Gate::new(id, self.max, self.weight) }
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
