//! Services with a start and a stop: a directory of words, and a server that answers from it.
//!
//! ```text
//! cargo run --bin hosted_service                 # asks itself three questions, then stops
//! cargo run --bin hosted_service -- --serve      # until Ctrl-C; try: echo scheduler | nc 127.0.0.1 <port>
//! ```
//!
//! The directory reads the Rust sources of this repository when it starts and writes its account when it stops. The server
//! starts after it and stops before it, so that no question meets an empty directory. What you see: the phases in their
//! order, the answers, and the report of the host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use examples::println;
use scheduler_core::host::{Host, HostError, Service, ServiceContext, StopContext, background, hosted};
use scheduler_core::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scheduler-core/src");

/// How often each word stands in the sources.
#[derive(Clone, Default)]
struct Directory(Arc<OnceLock<HashMap<String, usize>>>, Arc<AtomicUsize>);

impl Directory {
    fn count(&self, word: &str) -> usize {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get().and_then(|words| words.get(word)).copied().unwrap_or_default()
    }
}

impl Service for Directory {
    async fn start(&self, _: &ServiceContext) -> JobResult {
        let words = tokio::task::spawn_blocking(|| -> JobResult<HashMap<String, usize>> {
            let mut words = HashMap::new();
            for entry in walkdir::WalkDir::new(SOURCES) {
                let entry = entry?;
                if entry.path().extension().is_some_and(|ending| ending == "rs") {
                    let text = std::fs::read_to_string(entry.path())?;
                    for word in
                        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
                    {
                        *words.entry(word.to_lowercase()).or_default() += 1;
                    }
                }
            }
            Ok(words)
        });
        let words = words.await??;
        println!("directory: {} words", words.len());
        self.0.set(words).ok();
        Ok(())
    }

    async fn stop(&self, context: &StopContext) -> JobResult {
        let questions = self.1.load(Ordering::Relaxed);
        println!(
            "directory: {questions} questions answered; {:?} of the budget is left",
            context.remaining()
        );
        Ok(())
    }
}

/// Answers until it is told to stop.
async fn serve(
    context: ServiceContext,
    State(listener): State<Arc<TcpListener>>,
    State(directory): State<Directory>,
) -> JobResult {
    println!("server: listens on {}", listener.local_addr()?);
    context.ready();
    loop {
        tokio::select! {
            connection = listener.accept() => answer(connection?.0, &directory).await?,
            () = context.stopping() => return Ok(()),
        }
    }
}

async fn answer(mut connection: TcpStream, directory: &Directory) -> JobResult {
    let (reader, mut writer) = connection.split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(word) = lines.next_line().await? {
        let count = directory.count(&word.trim().to_lowercase());
        writer.write_all(format!("{word}: {count}\n").as_bytes()).await?;
    }
    Ok(())
}

/// Asks three questions, then ends the host.
async fn ask(context: ServiceContext, State(listener): State<Arc<TcpListener>>) -> JobResult {
    for word in ["scheduler", "fire", "quartz"] {
        let mut connection = TcpStream::connect(listener.local_addr()?).await?;
        connection.write_all(format!("{word}\n").as_bytes()).await?;
        connection.shutdown().await?;
        let answer = BufReader::new(connection).lines().next_line().await?;
        println!("client: {}", answer.unwrap_or_default());
    }
    context.stop_host();
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let directory = Directory::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut builder = Host::builder()
        .provide(directory.clone())
        .provide(Arc::new(listener))
        .service(hosted("directory", directory))
        .service(background("server", serve).after("directory").waits_until_ready());
    if !std::env::args().any(|argument| argument == "--serve") {
        builder = builder.service(background("client", ask).after("server").may_end());
    }
    let report = builder.build()?.run().await?;
    println!("the host has stopped after {:?}: {}", report.took, report.reason);
    Ok(())
}
