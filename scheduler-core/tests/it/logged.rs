//! The log of this process, for tests of what it says. It is one for all tests, so each looks for names of its own.

use std::io;
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

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

/// Keeps warnings and errors from now on.
pub(crate) fn listen() {
    static SET: OnceLock<()> = OnceLock::new();
    SET.get_or_init(|| {
        let subscriber =
            tracing_subscriber::fmt().with_writer(|| Lines).with_ansi(false).with_env_filter("warn");
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    });
}

/// The lines that contain all of these parts.
pub(crate) fn lines_with(parts: &[&str]) -> Vec<String> {
    let text = String::from_utf8(LINES.lock().clone()).unwrap();
    let fits = |line: &&str| parts.iter().all(|part| line.contains(part));
    text.lines().filter(fits).map(ToOwned::to_owned).collect()
}
