//! The script, put together from the files of its folder: each part uses what the ones before it have made.
//!
//! What a call defines costs time before it does anything, so there are three cuts, each with all that its verbs need and no
//! more. And each twice: most verbs are carried out also when the memory of the server is full, for they free some; those that
//! need more are refused then.

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
        let draining = text.replacen("#!lua", "#!lua flags=allow-oom", 1);
        Self { growing: Script::new(text), draining: Script::new(&draining) }
    }
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
            "acquire" | "fire" | "complete" | "spoil" | "bury" | "tell" | "told" => &self.firing,
            "boot" | "attach" | "beat" | "detach" | "lost" | "unknown" | "nodes" | "audit" | "jobs"
            | "triggers" | "calendars" | "groups" | "history" => &self.nodes,
            _ => &self.admin,
        };
        if GROWS.contains(&verb) { &cut.growing } else { &cut.draining }
    }
}
