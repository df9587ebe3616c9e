//! Patterns over keys: which jobs, triggers and groups are meant.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::{JobKey, TriggerKey};

/// A pattern over one text, such as the name of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Text {
    /// Any text.
    #[default]
    Any,
    /// Exactly this one.
    Is(Arc<str>),
    /// Those that begin so.
    StartsWith(Arc<str>),
    /// Those that end so.
    EndsWith(Arc<str>),
    /// Those in which this occurs.
    Contains(Arc<str>),
}

impl Text {
    /// Exactly this text.
    pub fn is(text: &str) -> Self {
        Self::Is(text.into())
    }

    /// Texts that begin so.
    pub fn starts_with(text: &str) -> Self {
        Self::StartsWith(text.into())
    }

    /// Texts that end so.
    pub fn ends_with(text: &str) -> Self {
        Self::EndsWith(text.into())
    }

    /// Texts in which this occurs.
    pub fn contains(text: &str) -> Self {
        Self::Contains(text.into())
    }

    /// Whether the text fits.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => text == &**wanted,
            Self::StartsWith(begin) => text.starts_with(&**begin),
            Self::EndsWith(end) => text.ends_with(&**end),
            Self::Contains(part) => text.contains(&**part),
        }
    }
}

/// What a key is made of; [`JobKey`] and [`TriggerKey`] are such.
pub trait Key: Clone + PartialEq {
    /// The group.
    fn group(&self) -> &str;
    /// The name within the group.
    fn name(&self) -> &str;
}

impl Key for JobKey {
    fn group(&self) -> &str {
        self.group()
    }

    fn name(&self) -> &str {
        self.name()
    }
}

impl Key for TriggerKey {
    fn group(&self) -> &str {
        self.group()
    }

    fn name(&self) -> &str {
        self.name()
    }
}

/// A pattern over keys.
///
/// ```
/// use scheduler_core::{JobKey, Matcher, Text};
///
/// let nightly = Matcher::<JobKey>::group(Text::is("reports")).and(Matcher::name(Text::starts_with("tmp")).negated());
/// assert!(nightly.matches(&"reports/sales".parse()?));
/// assert!(!nightly.matches(&"reports/tmp-1".parse()?));
/// # Ok::<(), scheduler_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Matcher<K> {
    /// Every key.
    #[default]
    Everything,
    /// This key.
    Key(K),
    /// Keys of such groups.
    Group(Text),
    /// Keys with such names.
    Name(Text),
    /// Keys that fit both.
    And(Box<Self>, Box<Self>),
    /// Keys that fit one of the two or both.
    Or(Box<Self>, Box<Self>),
    /// Keys that do not fit.
    Not(Box<Self>),
}

impl<K: Key> Matcher<K> {
    /// This key.
    pub fn key(key: K) -> Self {
        Self::Key(key)
    }

    /// Keys of such groups.
    pub fn group(text: Text) -> Self {
        Self::Group(text)
    }

    /// Keys with such names.
    pub fn name(text: Text) -> Self {
        Self::Name(text)
    }

    /// Keys that fit both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::And(Box::new(self), Box::new(other))
    }

    /// Keys that fit one of the two or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::Or(Box::new(self), Box::new(other))
    }

    /// Keys that do not fit.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Whether the key fits.
    pub fn matches(&self, key: &K) -> bool {
        match self {
            Self::Everything => true,
            Self::Key(wanted) => wanted == key,
            Self::Group(text) => text.matches(key.group()),
            Self::Name(text) => text.matches(key.name()),
            Self::And(one, other) => one.matches(key) && other.matches(key),
            Self::Or(one, other) => one.matches(key) || other.matches(key),
            Self::Not(inner) => !inner.matches(key),
        }
    }
}
