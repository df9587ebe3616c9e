//! What a workload is told, what it can read of its own process, and how it says what it has found.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The workload and its settings: `W1 n=100000 store=memory`.
#[derive(Debug)]
pub struct Task {
    /// Which one.
    pub workload: String,
    settings: HashMap<String, String>,
}

impl Task {
    /// What the command line says.
    ///
    /// # Panics
    ///
    /// It names no workload, or a setting without a value.
    #[must_use]
    pub fn from_command_line() -> Self {
        let mut words = std::env::args().skip(1);
        let workload = words.next().expect("a workload, such as `W1 n=100000`");
        let pair = |word: String| {
            let (name, value) = word.split_once('=').expect("settings as name=value");
            (name.to_owned(), value.to_owned())
        };
        Self { workload, settings: words.map(pair).collect() }
    }

    /// A setting, or what it is by default.
    ///
    /// # Panics
    ///
    /// It cannot be read.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> T {
        let read =
            |text: &String| text.parse().ok().unwrap_or_else(|| panic!("`{name}={text}` cannot be read"));
        self.settings.get(name).map_or(default, read)
    }

    /// Prints what was found, with what was asked, in one line.
    pub fn report(&self, found: Value) {
        let mut line = json!({ "workload": self.workload });
        for (name, value) in &self.settings {
            line[name] = value.parse::<f64>().map_or_else(|_| json!(value), |number| json!(number));
        }
        if let Value::Object(found) = found {
            for (name, value) in found {
                line[name] = value;
            }
        }
        println!("{line}");
    }
}

/// The processor time that this process has used, to the hundredth of a second.
#[must_use]
pub fn processor_time() -> Duration {
    processor_time_of("self")
}

/// The processor time that a process has used, by its number.
#[must_use]
pub fn processor_time_of(process: &str) -> Duration {
    ticks(process, 2)
}

/// As [`processor_time_of`], with that of its children, there or gone.
#[must_use]
pub fn processor_time_of_tree(process: &str) -> Duration {
    let is_child = |name: &String| {
        let parent = fields(name).into_iter().nth(1);
        parent.is_some_and(|parent| parent == process)
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = all.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_child);
    ticks(process, 4) + children.map(|child| ticks(&child, 4)).sum::<Duration>()
}

/// What the system says of a process, from its state on.
fn fields(process: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program may contain blanks.
    text.rsplit(')').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// The time of a user and that of the system, and with 4 those of children that are gone.
fn ticks(process: &str, kinds: usize) -> Duration {
    let fields = fields(process);
    let ticks: u64 = fields.iter().skip(11).take(kinds).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The memory that this process has in use, in bytes.
#[must_use]
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

/// How late runs began, in microseconds; a negative number means too early.
#[derive(Debug, Default)]
pub struct Lateness(Mutex<Vec<i64>>);

impl Lateness {
    /// Has room for so many.
    #[must_use]
    pub fn with_room(count: usize) -> Self {
        Self(Mutex::new(Vec::with_capacity(count)))
    }

    /// A run that was due then has begun now.
    pub fn note(&self, scheduled: DateTime<Utc>, began: DateTime<Utc>) {
        self.0.lock().push((began - scheduled).num_microseconds().unwrap_or(i64::MAX));
    }

    /// How many runs there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// In milliseconds.
    #[must_use]
    pub fn summary(&self) -> Value {
        let mut sorted = self.0.lock().clone();
        sorted.sort_unstable();
        let part = |part: f64| {
            let index = (sorted.len().saturating_sub(1) as f64 * part) as usize;
            sorted.get(index).map(|micros| *micros as f64 / 1000.0)
        };
        json!({ "min_ms": part(0.0), "p50_ms": part(0.5), "p99_ms": part(0.99), "max_ms": part(1.0) })
    }
}
