//! The log of this process, for tests of what operators read. There is one for all tests of a process, so each test looks for
//! names of its own.
//!
//! The tests of `scheduler-core` include this file, too.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test says what went wrong by failing, and uses what it needs"
)]

use std::io;
use std::sync::LazyLock;

use parking_lot::Mutex;
use scheduler_core::job::RunLogLayer;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// Everything from the first use on.
static LINES: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| {
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Lines).with_ansi(false).without_time();
    let of_us = EnvFilter::new("scheduler_core=debug,scheduler_redis=debug,scheduler::history=info");
    let of_runs = RunLogLayer::new().with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines.with_filter(of_us)).with(of_runs).try_init().unwrap();
    Mutex::default()
});

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

/// Keeps the lines that are logged from now on, on whatever thread.
pub fn listen() {
    LazyLock::force(&LINES);
}

/// All lines.
#[must_use]
pub fn text() -> String {
    String::from_utf8_lossy(&LINES.lock()).into_owned()
}

/// The lines that contain all of these parts.
#[must_use]
pub fn lines_with(parts: &[&str]) -> Vec<String> {
    let fits = |line: &&str| parts.iter().all(|part| line.contains(part));
    text().lines().filter(fits).map(ToOwned::to_owned).collect()
}

/// Fails unless a line of this level contains the sentence.
///
/// # Panics
///
/// No line does.
#[track_caller]
pub fn assert_logged(level: &str, sentence: &str) {
    let lines = lines_with(&[sentence]);
    let is_logged = lines.iter().any(|line| line.trim_start().starts_with(level));
    assert!(is_logged, "no {level} `{sentence}` in\n{}", text());
}

/// Fails if a line has a form that only a Rust programmer can read.
///
/// # Panics
///
/// A line has one.
#[track_caller]
pub fn assert_no_debug_forms() {
    for line in text().lines() {
        for form in ["Some(", "None", " { ", "JobKey(", "Smart", "[\"", "Duration"] {
            assert!(!line.contains(form), "`{form}` in: {line}");
        }
    }
}
