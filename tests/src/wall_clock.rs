//! A wall clock of its own for a server, set forward and back while it runs.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use chrono::TimeDelta;

/// The clock of the servers that are started with its [`variables`](Self::variables).
#[derive(Debug)]
pub struct WallClock {
    folder: tempfile::TempDir,
}

impl WallClock {
    /// One that agrees with the machine's; none where nothing can be put before a server.
    ///
    /// # Panics
    ///
    /// There is no C compiler; Rust needs one to link, too.
    #[must_use]
    pub fn new() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let clock = Self { folder: tempfile::tempdir().expect("a folder") };
        let source = clock.file("wall_clock.c");
        std::fs::write(&source, include_str!("wall_clock.c")).expect("a file");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(clock.file("wall_clock.so")).arg(source);
        assert!(compile.status().expect("there is a C compiler, `cc`").success(), "{compile:?}");
        clock.set(TimeDelta::zero());
        Some(clock)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For the environment of a server.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, OsString)> {
        [("LD_PRELOAD", "wall_clock.so"), ("WALL_CLOCK", "ahead")]
            .map(|(name, file)| (name.to_owned(), self.file(file).into()))
            .into()
    }

    /// So far ahead of the machine's clock from now on.
    ///
    /// # Panics
    ///
    /// The folder is gone.
    pub fn set(&self, ahead: TimeDelta) {
        let microseconds = ahead.num_microseconds().expect("no more than an age");
        // In place: the servers have it before their eyes.
        let mut file = std::fs::OpenOptions::new();
        let file = file.create(true).truncate(false).write(true).open(self.file("ahead"));
        file.and_then(|mut file| file.write_all(&microseconds.to_ne_bytes())).expect("a file");
    }
}
