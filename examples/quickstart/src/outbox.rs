//! Messages from a file to a socket, each followed by a receipt.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use chrono::{DateTime, Utc};
use scheduler_core::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::args::Workspace;

/// How many messages one run delivers.
const BATCH: usize = 40;

/// A message, and when it was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    to: String,
    subject: String,
    body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sent: Option<DateTime<Utc>>,
}

/// A delivery that wants its receipt.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receipt {
    id: String,
    to: String,
    words: usize,
}

/// Copies the messages into the working folder and empties what earlier runs have left there.
pub(crate) async fn prepare(State(workspace): State<Arc<Workspace>>) -> anyhow::Result<()> {
    let messages = read(&workspace.source)?;
    ensure!(!messages.is_empty(), "{}: there are no messages in it", workspace.source.display());
    write(&workspace.outbox(), &messages)?;
    for old in [workspace.receipts(), workspace.index()] {
        if old.exists() {
            fs::remove_file(&old).with_context(|| format!("{}", old.display()))?;
        }
    }
    Ok(())
}

/// Delivers a batch of unsent messages. A message counts as sent when the other side has acknowledged it, and it is
/// marked so before its receipt is asked for.
#[job(every = "2s", disallow_concurrent, timeout = "10s")]
pub(crate) async fn deliver(
    State(workspace): State<Arc<Workspace>>,
    State(receiver): State<SocketAddr>,
    scheduler: Scheduler,
    context: JobContext,
) -> anyhow::Result<()> {
    let mut messages = read(&workspace.outbox())?;
    let batch: Vec<_> = messages.iter_mut().filter(|message| message.sent.is_none()).take(BATCH).collect();
    if batch.is_empty() {
        return Ok(());
    }
    let mut socket = BufReader::new(TcpStream::connect(receiver).await.context("cannot reach the receiver")?);
    let mut receipts = Vec::new();
    for message in batch {
        send(&mut socket, message).await.with_context(|| format!("message {}", message.id))?;
        message.sent = Some(context.clock().now());
        let words = message.body.split_whitespace().count();
        receipts.push(Receipt { id: message.id.clone(), to: message.to.clone(), words });
    }
    write(&workspace.outbox(), &messages)?;
    for receipt in receipts {
        scheduler.enqueue(file_receipt::with(receipt)).await?;
    }
    Ok(())
}

/// Files the receipt of one delivery.
#[job(disallow_concurrent)]
pub(crate) async fn file_receipt(
    receipt: Receipt,
    State(workspace): State<Arc<Workspace>>,
    context: JobContext,
) -> anyhow::Result<()> {
    let path = workspace.receipts();
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{}", path.display()))?;
    let line = serde_json::json!({ "receipt": receipt, "execution": context.execution_id().to_string() });
    writeln!(file, "{line}")?;
    Ok(())
}

/// Sends one message and waits until the other side has it.
async fn send(socket: &mut BufReader<TcpStream>, message: &Message) -> anyhow::Result<()> {
    let line = serde_json::to_string(message)? + "\n";
    socket.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_line(&mut answer).await?;
    ensure!(answer.trim() == message.id, "the receiver answered {answer:?} instead of the message's id");
    Ok(())
}

/// The messages of a file; an error names the file and the line, of which serde_json sees only one.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Message>> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| {
                let problem = error.to_string();
                let problem = problem.split(" at line ").next().unwrap_or(&problem);
                let (number, column) = (number + 1, error.column());
                anyhow!(
                    "{} line {number} column {column}: {problem}; write one JSON object a line, with `id`, `to`, \
                     `subject` and `body`",
                    path.display()
                )
            })
        })
        .collect()
}

/// Replaces the file as a whole, so that a crash leaves the old or the new one.
fn write(path: &Path, messages: &[Message]) -> anyhow::Result<()> {
    let parent = path.parent().context("the file has no folder")?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    for message in messages {
        serde_json::to_writer(&mut file, message)?;
        file.write_all(b"\n")?;
    }
    file.persist(path)?;
    Ok(())
}
