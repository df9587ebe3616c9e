//! Carries a plan out: every subject of a table once, then all of them again, so that what changes on the machine meets all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::plan::{Figure, Measure, Program, Subject};

/// What Quartz needs.
pub const JAVA: [&str; 5] = [
    "/usr/share/java/quartz2.jar",
    "/usr/share/java/slf4j-api.jar",
    "/usr/share/java/slf4j-nop.jar",
    "/usr/share/java/HikariCP.jar",
    "/usr/share/java/postgresql.jar",
];

/// Where the programs are.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Beside this program.
    ///
    /// # Panics
    ///
    /// This program has no place.
    #[must_use]
    pub fn here() -> Self {
        let folder = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
        Self { folder: folder.expect("a folder") }
    }

    /// Where the others are built.
    #[must_use]
    pub fn peers(&self) -> PathBuf {
        self.folder.parent().unwrap_or(&self.folder).join("peers")
    }

    fn command(&self, subject: &Subject) -> Command {
        let peers = self.peers();
        let mut command = match subject.program {
            Program::Ours => Command::new(self.folder.join("ours")),
            Program::TokioCron => Command::new(peers.join("release/peer-tokio-cron-scheduler")),
            Program::Apalis => Command::new(peers.join("release/peer-apalis")),
            Program::Counted => {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
                command.arg(self.folder.join("ours"));
                command
            }
            Program::Quartz => {
                let classes = format!("{}:{}", peers.join("quartz").display(), JAVA.join(":"));
                let mut command = Command::new("java");
                command.args(["-Xmx8g", "-XX:+UseParallelGC", "-cp", &classes, "Bench"]);
                command
            }
        };
        command.args(subject.words.split(' '));
        command
    }

    /// What a program prints, as JSON.
    ///
    /// # Errors
    ///
    /// It cannot be started, fails, or prints something else.
    pub fn run(&self, subject: &Subject) -> Result<Value, String> {
        if subject.program == Program::Counted {
            return self.count(subject);
        }
        let output =
            self.command(subject).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().rev().find(|line| line.starts_with('{'));
        line.and_then(|line| serde_json::from_str(line).ok()).ok_or_else(|| {
            let error = String::from_utf8_lossy(&output.stderr);
            error.lines().find(|line| !line.is_empty()).unwrap_or("it said nothing").to_owned()
        })
    }
}

impl Programs {
    /// The instructions of one time: the difference between so many times and twice as many, so that the start does not count.
    fn count(&self, subject: &Subject) -> Result<Value, String> {
        let total = |subject: &Subject| {
            let output = self.command(subject).output().map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().find_map(|line| line.split_once("Collected : "));
            let count = line.and_then(|(_, count)| count.trim().parse::<f64>().ok());
            count.ok_or_else(|| text.lines().next().unwrap_or("it said nothing").to_owned())
        };
        let (words, times) = subject.words.rsplit_once("n=").ok_or("it has no size")?;
        let times: f64 = times.parse().map_err(|_| "its size is no number")?;
        let twice = Subject { words: format!("{words}n={}", 2.0 * times), ..subject.clone() };
        Ok(json!({ "instructions": (total(&twice)? - total(subject)?) / times }))
    }
}

/// The runs of one subject.
#[derive(Debug, Default)]
pub struct Runs(Vec<Value>);

impl Runs {
    /// Smallest, middle and largest of a figure.
    #[must_use]
    pub fn of(&self, figure: Figure) -> Option<[f64; 3]> {
        let mut found: Vec<f64> = self.0.iter().filter_map(|run| run[figure.field].as_f64()).collect();
        found.sort_by(f64::total_cmp);
        Some([*found.first()?, found[(found.len() - 1) / 2], *found.last()?])
    }
}

/// What was found.
#[derive(Debug)]
pub struct Table {
    /// What was measured.
    pub measure: Measure,
    /// The runs of each subject.
    pub runs: Vec<Runs>,
    /// Why a subject has none.
    pub missing: Vec<String>,
}

impl Table {
    /// Measures, so often.
    #[must_use]
    pub fn measure(
        measure: Measure,
        programs: &Programs,
        repeats: usize,
        absent: &BTreeMap<&str, String>,
    ) -> Self {
        let mut table = Self {
            runs: measure.subjects.iter().map(|_| Runs::default()).collect(),
            missing: Vec::new(),
            measure,
        };
        for round in 0..repeats {
            for (subject, runs) in table.measure.subjects.iter().zip(&mut table.runs) {
                if round >= subject.most {
                    continue;
                }
                if let Some(reason) = subject.peer.and_then(|peer| absent.get(peer)) {
                    if round == 0 {
                        table.missing.push(format!("{}: {reason}", subject.name));
                    }
                    continue;
                }
                match programs.run(subject) {
                    Ok(run) => runs.0.push(run),
                    Err(error) => table.missing.push(format!("{}, run {}: {error}", subject.name, round + 1)),
                }
            }
        }
        table
    }

    /// For people.
    pub fn print(&self) {
        println!("\n{}  {}", self.measure.workload, self.measure.title);
        for figure in &self.measure.figures {
            let ours = self.runs.first().and_then(|runs| runs.of(*figure));
            println!("    {}", figure.title);
            for (subject, runs) in self.measure.subjects.iter().zip(&self.runs) {
                let Some([least, middle, most]) = runs.of(*figure) else { continue };
                let spread = format!("({}–{})", shown(least), shown(most));
                let ratio = ours.filter(|_| *subject != self.measure.subjects[0]);
                let ratio =
                    ratio.map(|[_, ours, _]| ours / middle).filter(|ratio| ratio.is_finite() && *ratio > 0.0);
                let ratio = ratio.map(|ratio| format!("ours: {} ×", shown(ratio))).unwrap_or_default();
                println!("      {:<48} {:>12}  {spread:<24} {ratio}", subject.name, shown(middle));
            }
        }
        self.missing.iter().for_each(|what| println!("    not measured: {what}"));
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let subject = |(subject, runs): (&Subject, &Runs)| json!({ "name": subject.name, "command": subject.words, "runs": runs.0 });
        let subjects: Vec<_> = self.measure.subjects.iter().zip(&self.runs).map(subject).collect();
        json!({
            "workload": self.measure.workload, "title": self.measure.title, "subjects": subjects,
            "missing": self.missing,
        })
    }
}

/// A number with as many digits as say something.
fn shown(number: f64) -> String {
    match number.abs() {
        1000.0.. => {
            let digits = format!("{number:.0}");
            let mut text = String::new();
            for (place, digit) in digits.chars().enumerate() {
                if place > 0 && (digits.len() - place) % 3 == 0 {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{number:.3}"),
    }
}

/// The machine and what it runs.
#[must_use]
pub fn machine() -> Value {
    let first_line = |program: &str, word: &str| {
        let output = Command::new(program).arg(word).stderr(Stdio::piped()).output().ok()?;
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        Some(String::from_utf8_lossy(&text).lines().next()?.to_owned())
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "model": model.map(|(_, name)| name),
        "rustc": first_line("rustc", "--version"),
        "redis": first_line("redis-server", "--version"),
        "java": first_line("java", "-version"),
        "node": first_line("node", "--version"),
    })
}
