//! The other side of the outbox: a socket on this machine that writes down what it gets and says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A listener with its tasks.
pub(crate) struct Receiver {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    file: Arc<Mutex<File>>,
}

impl Receiver {
    /// Listens on a free port of this machine and writes to `inbox`.
    pub(crate) async fn start(inbox: PathBuf) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let file = File::create(&inbox).await.with_context(|| format!("{}", inbox.display()))?;
        let (stop, tasks, file) = (CancellationToken::new(), TaskTracker::new(), Arc::new(Mutex::new(file)));
        let address = listener.local_addr()?;
        tasks.spawn(accept(listener, file.clone(), stop.clone(), tasks.clone()));
        Ok(Self { address, stop, tasks, file })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections and writes what is left.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.file.lock().await.sync_all().await?;
        Ok(())
    }
}

async fn accept(listener: TcpListener, file: Arc<Mutex<File>>, stop: CancellationToken, tasks: TaskTracker) {
    while let Some(Ok((connection, _))) = stop.run_until_cancelled(listener.accept()).await {
        let (file, stop) = (file.clone(), stop.clone());
        tasks.spawn(async move { stop.run_until_cancelled(receive(connection, file)).await });
    }
}

/// Answers each line with the id in it, once the line is in the file.
async fn receive(connection: TcpStream, file: Arc<Mutex<File>>) -> anyhow::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut line = String::new();
    while connection.read_line(&mut line).await? > 0 {
        let message: serde_json::Value = serde_json::from_str(&line)?;
        file.lock().await.write_all(line.as_bytes()).await?;
        let id = message["id"].as_str().unwrap_or("?").to_owned() + "\n";
        connection.write_all(id.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}
