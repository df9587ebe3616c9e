//! A PostgreSQL server of its own, for the peer that keeps its jobs there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scheduler_core::time::{Clock, SystemClock};
use tests::redis::{free_port, signal};

const LIMIT: Duration = Duration::from_secs(60);

/// The programs of the newest version that is installed.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<_> = versions.flatten().map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.pop().filter(|folder| folder.join("initdb").exists())
}

/// A server; gone when it is dropped. A commit does not wait for the disk.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    pid: String,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Postgres {
    /// Starts it, empty but for the tables of Quartz.
    #[must_use]
    pub fn start() -> Self {
        let programs = programs().expect("PostgreSQL is installed");
        let folder = tempfile::tempdir().expect("a folder for the server");
        let data = folder.path().join("data");
        if is_root() {
            // It refuses to run as root.
            let done = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(done.is_ok_and(|status| status.success()), "the folder can be given to `postgres`");
        }
        let made = command(&programs.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "a database can be made");
        let port = free_port();
        let child = command(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k"])
            .arg(folder.path())
            .args(
                [
                    "listen_addresses=127.0.0.1",
                    "shared_preload_libraries=pg_stat_statements",
                    "pg_stat_statements.track=all",
                    "shared_buffers=512MB",
                    "max_wal_size=4GB",
                    "max_connections=400",
                    "synchronous_commit=off",
                ]
                .iter()
                .flat_map(|setting| ["-c", setting]),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PostgreSQL can be started");
        let mut server = Self { child, pid: String::new(), port, _folder: folder };
        let end = SystemClock.monotonic() + LIMIT;
        while server.ask(&["-c", "select 1"]).is_none() {
            assert!(SystemClock.monotonic() < end, "PostgreSQL does not get ready");
            SystemClock.alarm().wait_until(SystemClock.monotonic() + Duration::from_millis(50));
        }
        // The one that was started may only be what changes the user.
        let pid = server.query("select pg_read_file('postmaster.pid', 0, 12)");
        pid.lines().next().unwrap_or_default().clone_into(&mut server.pid);
        server.query("create extension pg_stat_statements");
        let tables = std::env::current_exe().expect("this program");
        let tables = tables.parent().expect("a folder").join("../peers/quartz/tables.sql");
        let made = server.ask(&["-f", &tables.display().to_string()]);
        assert!(made.is_some(), "{} can be carried out", tables.display());
        server
    }

    /// The address for Java.
    #[must_use]
    pub fn url(&self) -> String {
        format!("jdbc:postgresql://127.0.0.1:{}/postgres", self.port)
    }

    /// The number of its first process.
    #[must_use]
    pub fn pid(&self) -> &str {
        &self.pid
    }

    /// Carries out a statement and gives what it answers.
    #[must_use]
    fn ask(&self, words: &[&str]) -> Option<String> {
        let port = self.port.to_string();
        let output = Command::new("psql")
            .args(["-q", "-A", "-t", "-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
            .args(words)
            .env("PGOPTIONS", "-c client_min_messages=error")
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// As a text.
    pub fn query(&self, statement: &str) -> String {
        self.ask(&["-c", statement]).unwrap_or_else(|| panic!("PostgreSQL carries out `{statement}`"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !self.pid.is_empty() {
            // At once; nobody needs the data.
            signal("QUIT", &self.pid);
        }
        self.child.wait().ok();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// As a user that PostgreSQL accepts.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}
