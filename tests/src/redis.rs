//! Real Redis servers for tests: on free loopback ports, several at once.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// Starts the server and ends it when its own input ends: with this process, however that ends.
const GUARD: &str = r#"redis-server "$@" & exec >&-; read _; kill $!; wait"#;

/// A server; gone when it is dropped or the process ends.
#[derive(Debug)]
pub struct Server {
    guard: Child,
    port: u16,
}

impl Server {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn start() -> Self {
        loop {
            let port = free_port();
            let mut guard = Command::new("sh")
                .args(["-c", GUARD, "sh", "--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("a shell starts");
            let mut said =
                BufReader::new(guard.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
            let server = Self { guard, port };
            let mut before = Vec::new();
            loop {
                match said.next() {
                    Some(line) if line.contains("Ready to accept connections") => return server,
                    Some(line) => before.push(line),
                    None => break,
                }
            }
            let taken = before.iter().any(|line| line.contains("Address already in use"));
            assert!(taken, "redis-server did not start (is it installed?): {before:#?}");
        }
    }

    /// The address to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().ok();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
