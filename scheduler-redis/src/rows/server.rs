//! The server as this driver sees it: two scripts, and commands that read.

use std::sync::{Arc, LazyLock};

use redis::{Cmd, Pipeline, Script, Value, cmd};
use scheduler_core::{Error, Result};

use super::commit::Checked;
use crate::inner::Inner;
use crate::link::Failure;

static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!("#!lua\n", include_str!("script/common.lua"), include_str!("script/take.lua")))
});

static COMMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "#!lua flags=allow-oom\n",
        include_str!("script/common.lua"),
        include_str!("script/commit.lua")
    ))
});

static BURY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "#!lua flags=allow-oom\n",
        include_str!("script/common.lua"),
        include_str!("script/bury.lua")
    ))
});

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Committed {
    Done {
        is_woken: bool,
    },
    /// These checks have failed.
    Changed(Vec<Checked>),
    /// The server lives another life than the node knows.
    Epoch(String),
}

/// So many commands are sent at once.
const MANY: usize = 1000;

pub(crate) struct Server(pub(crate) Arc<Inner>);

pub(crate) fn number(text: &Value) -> Option<u64> {
    String::from_utf8(bytes(text)?.to_vec()).ok()?.parse().ok()
}

pub(crate) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(crate) fn word(value: Option<&Value>) -> String {
    value.and_then(bytes).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

pub(crate) fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(values)) => values,
        _ => Vec::new(),
    }
}

fn no_answer(verb: &str) -> Error {
    let text = format!(
        "the answer of Redis to the call `{verb}` is none of this store; make sure that nothing between this program and the server changes answers"
    );
    Error::transient(text)
}

impl Server {
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.0.settings.prefix)
    }

    pub(crate) fn get(&self, command: &str, key: &str) -> Cmd {
        let mut command = cmd(command);
        command.arg(self.key(key));
        command
    }

    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value> {
        Ok(self.ask_all(vec![command.clone()]).await?.pop().unwrap_or(Value::Nil))
    }

    /// All at once: an answer for each.
    pub(crate) async fn ask_all(&self, commands: Vec<Cmd>) -> Result<Vec<Value>> {
        if self.0.is_gone() {
            return Err(self.0.all_gone());
        }
        let mut answers = Vec::with_capacity(commands.len());
        for part in commands.chunks(MANY) {
            let mut pipeline = Pipeline::with_capacity(part.len());
            for command in part {
                pipeline.add_command(command.clone());
            }
            answers.extend(self.0.hot.ask(&pipeline).await.map_err(Failure::into_error)?);
        }
        Ok(answers)
    }

    async fn call(&self, verb: &str, script: &Script, words: &[Vec<u8>]) -> Result<Vec<Value>> {
        if self.0.is_gone() {
            return Err(self.0.all_gone());
        }
        match self.0.hot.evaluate(verb, script, words).await.map_err(Failure::into_error)? {
            Value::Array(answer) if !answer.is_empty() => Ok(answer),
            _ => Err(no_answer(verb)),
        }
    }

    pub(crate) async fn take(&self, words: &[Vec<u8>]) -> Result<Vec<Value>> {
        self.call("take", &TAKE, words).await
    }

    pub(crate) async fn bury(&self, words: &[Vec<u8>]) -> Result<Vec<Value>> {
        self.call("bury", &BURY, words).await
    }

    pub(crate) async fn commit(
        &self,
        verb: &str,
        words: &[Vec<u8>],
        checked: &[Checked],
    ) -> Result<Committed> {
        let answer = self.call(verb, &COMMIT, words).await?;
        let is_woken = word(answer.get(3)) == "1";
        match word(answer.first()).as_str() {
            "done" => Ok(Committed::Done { is_woken }),
            "epoch" => Ok(Committed::Epoch(word(answer.get(1)))),
            "late" => Err(Error::transient(format!(
                "the change `{verb}` did not take effect, since its caller has given it up; repeat it if it is still wanted"
            ))),
            "changed" => {
                let failed = |number: Value| match number {
                    Value::Int(number) => checked.get(usize::try_from(number).ok()?.checked_sub(1)?).cloned(),
                    _ => None,
                };
                Ok(Committed::Changed(
                    list(answer.into_iter().nth(2)).into_iter().filter_map(failed).collect(),
                ))
            }
            _ => Err(no_answer(verb)),
        }
    }
}
