//! Hosts as processes: signals, exit codes, an end within the budget.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};

use tests::redis::Server;

struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
    err: ChildStderr,
}

impl Process {
    fn start(scenario: &str) -> Self {
        Self::start_with(&[scenario], &[])
    }

    fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_host_under_test"))
            .args(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (BufReader::new(child.stdout.take().unwrap()), child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// Reads up to a line that begins so.
    fn wait_for(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "it ended before it said `{start}`");
            if line.starts_with(start) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.out.read_to_string(&mut said).unwrap();
        self.err.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

#[test]
fn a_host_with_running_jobs_drains_and_ends_with_zero() {
    let mut process = Process::start("drains");
    process.wait_for("job begins");
    process.signal("TERM");
    process.wait_for("job ends");
    let report = process.wait_for("report:");
    assert_eq!(report, "report: 2 services, reason signal SIGTERM");
    let (status, _) = process.end();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn each_signal_asks_for_the_stop() {
    for signal in ["INT", "TERM", "QUIT"] {
        let mut process = Process::start("plain");
        process.wait_for("ready");
        process.signal(signal);
        assert_eq!(process.wait_for("stops:"), format!("stops: signal SIG{signal}"));
        assert_eq!(process.end().0.code(), Some(0));
    }
}

#[test]
fn a_service_that_ignores_the_stop_is_named_and_the_process_ends() {
    let mut process = Process::start("deaf");
    process.wait_for("ready");
    process.signal("TERM");
    let (status, said) = process.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("service `deaf` did not stop in time"), "{said}");
}

#[test]
fn a_service_that_blocks_its_thread_does_not_keep_the_process() {
    let mut process = Process::start("blocks");
    process.wait_for("ready");
    process.signal("TERM");
    let (status, said) = process.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("blocks"), "{said}");
}

#[test]
fn a_job_that_blocks_its_thread_does_not_keep_the_process() {
    for (scenario, named) in [
        ("queue_blocks", "service `mails` did not stop in time"),
        ("job_blocks", "runs of `work` still block their threads"),
    ] {
        let mut process = Process::start(scenario);
        process.wait_for("job begins");
        process.signal("TERM");
        let (status, said) = process.end();
        assert_eq!(status.code(), Some(1));
        assert!(said.contains(named), "{said}");
    }
}

#[test]
fn a_service_that_panics_ends_the_process_with_an_error() {
    let (status, said) = Process::start("panics").end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("service `panics` has failed: panicked: index out of bounds"), "{said}");
}

/// N6.
#[test]
fn n06_without_a_subscriber_the_first_failure_is_shown_with_the_way_to_see_all() {
    let ends = |scenario: &str| {
        let mut process = Process::start(scenario);
        (0..3).for_each(|_| drop(process.wait_for("job begins")));
        process.signal("TERM");
        let (status, said) = process.end();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    };
    let silent = ends("fails");
    assert_eq!(silent.matches("no route to the bank").count(), 1, "{silent}");
    assert!(silent.contains("job `work` failed after "), "{silent}");
    assert!(silent.contains("Install a subscriber at the start of the program"), "{silent}");
    let logged = ends("fails_and_logs");
    assert!(logged.matches("no route to the bank").count() >= 2, "{logged}");
    assert!(!logged.contains("Install a subscriber"), "{logged}");
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_hears_when_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "60000")];
    let mut process = Process::start_with(&["plain"], &variables);
    let hear = || {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "STATUS=ready, 0 running");
    assert_eq!(hear(), "WATCHDOG=1");
    assert_eq!(hear(), "STATUS=ready, 0 running");
    assert_eq!(hear(), "WATCHDOG=1", "again and again");
    process.wait_for("ready");
    process.signal("TERM");
    let mut last = hear();
    while !last.starts_with("STOPPING=1") {
        last = hear();
    }
    assert_eq!(last, "STOPPING=1\nEXTEND_TIMEOUT_USEC=6500000");
    assert_eq!(process.end().0.code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut process = Process::start("slow");
        process.wait_for("ready");
        process.signal(signal);
        process.wait_for("stops:");
        process.signal(signal);
        let (status, said) = process.end();
        assert_eq!(status.code(), Some(code), "{said}");
    }
}

/// Three hosts on one Redis. The node that has the service is frozen, killed, stopped; another one begins each time.
#[test]
fn a_service_that_runs_once_per_cluster_survives_its_node() {
    let server = Server::start();
    let url = server.url();
    let start = || {
        let mut process = Process::start_with(&["relays", &url], &[]);
        process.wait_for("ready");
        process
    };
    let begins = |process: &mut Process| -> u64 {
        process.wait_for("relay begins").rsplit(' ').next().unwrap().parse().unwrap()
    };
    let mut one = Process::start_with(&["relays", &url], &[]);
    let first = begins(&mut one);
    let mut two = start();
    one.signal("STOP");
    let second = begins(&mut two);
    one.signal("CONT");
    one.wait_for("relay gone");
    two.signal("KILL");
    let third = begins(&mut one);
    let mut other = start();
    one.signal("TERM");
    one.wait_for("relay gone");
    let fourth = begins(&mut other);
    assert!(first < second && second < third && third < fourth, "{first} {second} {third} {fourth}");
    assert_eq!(one.end().0.code(), Some(0));
    other.signal("TERM");
    assert_eq!(other.end().0.code(), Some(0));
    two.end();
}
