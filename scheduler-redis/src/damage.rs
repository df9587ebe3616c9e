//! Keys of the wrong kind, moved out of the way.

use redis::{Value, cmd};
use scheduler_core::Error;

use crate::connection::Failure;
use crate::script::word;
use crate::shared::Shared;

/// What the types of the keys are, as `common.lua` has them; of those of which there may be many, by what they begin with.
pub(crate) const KINDS: &[(&str, &str)] = &[
    ("jobs", "hash"),
    ("triggers", "hash"),
    ("runs", "hash"),
    ("at", "hash"),
    ("lanes", "zset"),
    ("alone", "hash"),
    ("busy", "hash"),
    ("gates", "hash"),
    ("shut", "hash"),
    ("caps", "hash"),
    ("limits", "zset"),
    ("parked", "hash"),
    ("fv", "hash"),
    ("queues", "hash"),
    ("awaited", "set"),
    ("alarms", "zset"),
    ("lengths", "set"),
    ("later", "hash"),
    ("measured", "string"),
    ("nj", "zset"),
    ("nt", "zset"),
    ("of", "zset"),
    ("by", "zset"),
    ("rest", "string"),
    ("marks", "hash"),
    ("firings", "set"),
    ("ss", "hash"),
    ("sl", "zset"),
    ("sn", "hash"),
    ("sc", "hash"),
    ("tn", "hash"),
    ("orphans", "set"),
    ("owners", "hash"),
    ("untold", "set"),
    ("chores", "hash"),
    ("aside", "set"),
    ("meta", "hash"),
    ("homes", "set"),
];

const FAMILIES: &[(&str, &str)] = &[
    ("cl", "hash"),
    ("bc", "hash"),
    ("lane", "zset"),
    ("q", "zset"),
    ("ended", "zset"),
    ("ql", "set"),
    ("g", "zset"),
    ("gl", "set"),
    ("go", "set"),
    ("ft", "zset"),
    ("fd", "zset"),
    ("rt", "string"),
    ("wait", "set"),
    ("stop", "hash"),
    ("orphan", "hash"),
    ("ad", "string"),
    ("fr", "string"),
    ("cnt", "hash"),
];

/// What kind of key this is to be.
pub(crate) fn kind_of(name: &str) -> Option<&'static str> {
    let of = |all: &'static [(&str, &str)], name: &str| {
        all.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    };
    of(KINDS, name).or_else(|| of(FAMILIES, name.split_once(':')?.0))
}

/// What [`set_aside`] says.
pub(crate) fn is_moved(error: &Error) -> bool {
    error.to_string().contains("it was moved to")
}

/// Moves a key of the wrong kind out of the way, so that the next call goes on without what stood there. Says what was found; nothing
/// if the key is as it is to be.
pub(crate) async fn set_aside(shared: &Shared, name: &str) -> Option<Error> {
    let moved = async {
        let found = word(Some(&shared.slow.carry_out(&shared.command("TYPE", name)).await?));
        let Some(kind) = kind_of(name).filter(|kind| *kind != found && found != "none") else {
            return Ok(None);
        };
        let aside = format!("aside:{name}");
        let mut rename = shared.command("RENAME", name);
        shared.slow.carry_out(rename.arg(shared.key(&aside))).await?;
        let mut note = cmd("SADD");
        let _: Value = shared.slow.carry_out(note.arg(shared.key("aside")).arg(name)).await?;
        Ok(Some((found, kind)))
    };
    let moved: Result<Option<(String, &str)>, Failure> = moved.await;
    match moved {
        Err(failure) => Some(failure.into_error()),
        Ok(None) => None,
        Ok(Some((found, kind))) => {
            let prefix = &shared.settings.prefix;
            let text = format!(
                "the key `{prefix}{name}` is a {found} and not a {kind}: it was moved to `{prefix}aside:{name}`, and what it held is \
                 lost; run `RedisJobStore::audit` to mend what can be mended"
            );
            tracing::error!("{text}");
            Some(Error::transient(text))
        }
    }
}
