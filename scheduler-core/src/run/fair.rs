//! Keys by which the runs of a queue take turns.

use std::fmt::{self, Display};
use std::sync::Arc;

use super::gate::short;
use super::unique::push_part;

/// A key of several parts, by which the runs of a queue [take turns](crate::client::Enqueue::fair).
///
/// A key of one part needs no `FairKey`: any value with a text will do.
///
/// ```
/// # use scheduler_core::prelude::*;
/// # use scheduler_core::run::FairKey;
/// # #[job] async fn import(file: String) {}
/// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
/// let key = FairKey::of("tenant 17").and("imports");
/// scheduler.enqueue(import::with("a.csv".into())).fair(key).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FairKey(String);

impl FairKey {
    /// The key of a part: any value with a text, such as a number, a name or an id. An empty text is a key like any other.
    pub fn of(part: impl Display) -> Self {
        Self(String::new()).with(&part)
    }

    /// One part more: the key is that of all its parts in their order.
    #[must_use]
    pub fn and(mut self, part: impl Display) -> Self {
        self.0.push('/');
        self.with(&part)
    }

    fn with(mut self, part: &dyn Display) -> Self {
        push_part(&mut self.0, part);
        self
    }
}

impl Display for FairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key as a run is stored with it. Of a long one the begin and a hash are kept.
pub(crate) fn stored_key(key: &impl Display) -> Arc<str> {
    short(&key.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_that_of_its_parts() {
        assert_eq!(FairKey::of(7).to_string(), "7");
        assert_eq!(FairKey::of("").to_string(), "");
        assert_ne!(FairKey::of("a").and("b"), FairKey::of("a/b"));
        assert_ne!(FairKey::of("").and(""), FairKey::of(""));
    }

    #[test]
    fn long_keys_are_short_and_different() {
        let long = |end: &str| stored_key(&format!("{}{end}", "x".repeat(1000)));
        assert!(long("a").len() < 300);
        assert_ne!(long("a"), long("b"));
        assert_eq!(&*stored_key(&"*"), "*");
    }
}
