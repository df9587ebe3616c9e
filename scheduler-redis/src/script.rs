//! The script, put together from the files of its folder: each part uses what the ones before it have made.
//!
//! What a call defines costs time before it does anything, so there are three cuts, each with all that its verbs need and no
//! more. And each twice: most verbs are carried out also when the memory of the server is full, for they free some; those that
//! need more are refused then.

use std::collections::HashMap;

use redis::Script;

macro_rules! script {
    ($($part:literal)*) => {
        concat!(
            include_str!("script/base.lua"),
            include_str!("script/places.lua"),
            include_str!("script/claims.lua"),
            include_str!("script/triggers.lua"),
            $(include_str!(concat!("script/", $part, ".lua")),)*
            include_str!("script/call.lua"),
        )
    };
}

const FIRING: &str = script!("epoch" "firing");
const ADMIN: &str = script!("chores" "admin");
const NODES: &str = script!("epoch" "chores" "nodes" "queries");

/// Verbs that need memory.
const GROWS: &[&str] = &["put", "reschedule", "put_calendar", "acquire", "fire"];

/// One cut.
struct Cut {
    growing: Script,
    draining: Script,
}

impl Cut {
    fn new(text: &str) -> Self {
        let text = &with_constants(text);
        let draining = text.replacen("#!lua", "#!lua flags=allow-oom", 1);
        Self { growing: Script::new(text), draining: Script::new(&draining) }
    }
}

/// The script with the values of its constants in their places. Lua has none: each would be looked up wherever it is used, and
/// every function that names one would cost more to define.
fn with_constants(text: &str) -> String {
    let (mut values, mut rest) = (HashMap::new(), String::with_capacity(text.len()));
    for line in text.lines() {
        match constants(line) {
            Some(found) => values.extend(found),
            None => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    let (mut script, mut word, mut quoted) = (String::with_capacity(rest.len()), String::new(), false);
    for letter in rest.chars() {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        script.push_str(values.get(word.as_str()).filter(|_| !quoted).copied().unwrap_or(&word));
        word.clear();
        script.push(letter);
        quoted ^= letter == '\'';
        if letter == '\n' {
            // A comment may have one apostrophe.
            quoted = false;
        }
    }
    script
}

/// `local NAME, OTHER = 1, 'two'`.
fn constants(line: &str) -> Option<Vec<(&str, &str)>> {
    let (names, values) = line.strip_prefix("local ")?.split_once(" = ")?;
    let names: Vec<_> = names.split(", ").collect();
    let values: Vec<_> = values.split(", ").collect();
    let is_name = |name: &&str| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    let is_value =
        |value: &&str| value.parse::<f64>().is_ok() || (value.starts_with('\'') && value.ends_with('\''));
    let all = names.len() == values.len() && names.iter().all(is_name) && values.iter().all(is_value);
    all.then(|| names.into_iter().zip(values).collect())
}

pub(crate) struct Scripts {
    firing: Cut,
    admin: Cut,
    nodes: Cut,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self { firing: Cut::new(FIRING), admin: Cut::new(ADMIN), nodes: Cut::new(NODES) }
    }

    /// The one that has this verb.
    pub(crate) fn of(&self, verb: &str) -> &Script {
        let cut = match verb {
            "acquire" | "unheard" | "unfire" | "fire" | "complete" | "abandon" | "spoil" | "bury"
            | "tell" | "told" => &self.firing,
            "boot" | "attach" | "beat" | "detach" | "lost" | "unknown" | "nodes" | "audit" | "jobs"
            | "triggers" | "calendars" | "groups" | "history" => &self.nodes,
            _ => &self.admin,
        };
        if GROWS.contains(&verb) { &cut.growing } else { &cut.draining }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_is_in_the_cut_that_is_asked_for_it() {
        let scripts = Scripts::new();
        for text in [FIRING, ADMIN, NODES] {
            let (growing, draining) = (Cut::new(text).growing, Cut::new(text).draining);
            let verbs = text.lines().filter_map(|line| line.strip_prefix("function V.")?.split_once('('));
            let mut count = 0;
            for (verb, _) in verbs {
                let hash = scripts.of(verb).get_hash();
                assert!([growing.get_hash(), draining.get_hash()].contains(&hash), "{verb}");
                count += 1;
            }
            assert!(count > 5, "the verbs of a cut are found");
        }
    }

    #[test]
    fn constants_stand_where_they_are_used() {
        let script =
            "local ONE, DOT = 1, '.'\nlocal P = KEYS[1]\nf(s[ONE], 'ONE', ONES, DOT) -- it's ONE\ng(ONE)\n";
        assert_eq!(
            with_constants(script),
            "local P = KEYS[1]\nf(s[1], 'ONE', ONES, '.') -- it's ONE\ng(1)\n"
        );
    }
}
