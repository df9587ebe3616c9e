//! Names of jobs and triggers: a name within a group.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use arcstr::ArcStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The group of a key that names none.
pub const DEFAULT_GROUP: &str = "DEFAULT";

const SEPARATOR: char = '\0';

/// What is wrong with the text of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} of key {text:?} {problem}")]
pub struct InvalidKey {
    part: &'static str,
    text: String,
    problem: &'static str,
}

impl InvalidKey {
    /// Which part is wrong: `group` or `name`.
    pub fn part(&self) -> &'static str {
        self.part
    }

    /// The text of that part.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// `group NUL name` in one allocation behind a thin pointer; the default group is the empty one, so it sorts first as in
/// Quartz, and the order of the bytes is the order of the keys.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct KeyText(ArcStr);

impl KeyText {
    fn new(group: &str, name: &str) -> Result<Self, InvalidKey> {
        check("group", group)?;
        check("name", name)?;
        let group = if group == DEFAULT_GROUP { "" } else { group };
        let text = ArcStr::init_with(group.len() + 1 + name.len(), |bytes| {
            let (first, second) = bytes.split_at_mut(group.len());
            first.copy_from_slice(group.as_bytes());
            second[1..].copy_from_slice(name.as_bytes());
        });
        // The separator is the zero that was there.
        Ok(Self(text.expect("two texts are one")))
    }

    /// How the group of this key is ordered beside another group.
    fn cmp_group(&self, group: &str) -> Ordering {
        let own = self.0.split_once(SEPARATOR).map_or("", |(group, _)| group);
        own.cmp(if group == DEFAULT_GROUP { "" } else { group })
    }

    fn parts(&self) -> (&str, &str) {
        let (group, name) = self.0.split_once(SEPARATOR).unwrap_or(("", &self.0));
        (if group.is_empty() { DEFAULT_GROUP } else { group }, name)
    }
}

fn check(part: &'static str, text: &str) -> Result<(), InvalidKey> {
    let problem = if text.is_empty() {
        "is empty; give it at least one character"
    } else if text.contains(SEPARATOR) {
        "contains a NUL character; leave it out"
    } else {
        return Ok(());
    };
    Err(InvalidKey { part, text: text.to_owned(), problem })
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Written `group/name`, or `name` alone in the group `DEFAULT`. Keys are case sensitive and ordered as
        /// in Quartz: the default group first, then by group, then by name. Cloning copies a pointer.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(KeyText);

        impl $name {
            /// The key `name` in the default group.
            ///
            /// # Errors
            ///
            /// The name is empty or contains a NUL character.
            pub fn new(name: &str) -> Result<Self, InvalidKey> {
                Self::in_group(DEFAULT_GROUP, name)
            }

            /// The key `name` in `group`.
            ///
            /// # Errors
            ///
            /// Either part is empty or contains a NUL character.
            pub fn in_group(group: &str, name: &str) -> Result<Self, InvalidKey> {
                KeyText::new(group, name).map(Self)
            }

            /// The group, `DEFAULT` unless named.
            pub fn group(&self) -> &str {
                self.0.parts().0
            }

            /// The name within the group.
            pub fn name(&self) -> &str {
                self.0.parts().1
            }

            /// How the group of this key is ordered beside another group.
            pub(crate) fn cmp_group(&self, group: &str) -> Ordering {
                self.0.cmp_group(group)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0.parts() {
                    (DEFAULT_GROUP, name) if !name.contains('/') => f.write_str(name),
                    (group, name) => write!(f, "{group}/{name}"),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidKey;

            /// Reads `group/name` (split at the first slash) or `name`.
            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                let (group, name) = text.split_once('/').unwrap_or((DEFAULT_GROUP, text));
                Self::in_group(group, name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.parts().serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let (group, name) = <(String, String)>::deserialize(deserializer)?;
                Self::in_group(&group, &name).map_err(serde::de::Error::custom)
            }
        }
    };
}

key! {
    /// The unique name of a job.
    JobKey
}
key! {
    /// The unique name of a trigger.
    TriggerKey
}

impl From<&JobKey> for TriggerKey {
    /// The trigger of the same group and name, the one that a job declares in its own definition.
    fn from(job: &JobKey) -> Self {
        Self(job.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_group_sorts_first_then_group_then_name() {
        let mut keys: Vec<JobKey> =
            ["b/a", "zeta", "a/z", "DEFAULT/alpha", "a/b"].map(|text| text.parse().unwrap()).into();
        keys.sort();
        assert_eq!(
            keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["alpha", "zeta", "a/b", "a/z", "b/a"]
        );
    }

    #[test]
    fn text_round_trips() {
        for text in ["nightly", "billing/nightly", "a/b/c"] {
            let key: TriggerKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<TriggerKey>(&json).unwrap(), key);
        }
    }

    #[test]
    fn empty_parts_and_nul_are_refused() {
        for text in ["", "/x", "x/", "a\0b"] {
            let error = text.parse::<JobKey>().unwrap_err().to_string();
            assert!(error.contains("of key"), "{error}");
        }
    }
}
