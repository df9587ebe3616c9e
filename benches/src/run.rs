//! Carries a plan out: every subject of a table once, then all of them again, so that what changes on the machine meets all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::plan::{Figure, Measure, Program, Subject};

/// Where the programs are.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
    java: String,
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
        let jars =
            ["quartz2.jar", "slf4j-api.jar", "slf4j-nop.jar"].map(|jar| format!("/usr/share/java/{jar}"));
        Self { folder: folder.expect("a folder"), java: jars.join(":") }
    }

    /// Where the others are built.
    fn peers(&self) -> PathBuf {
        self.folder.parent().unwrap_or(&self.folder).join("peers")
    }

    fn command(&self, subject: &Subject) -> Command {
        let peers = self.peers();
        let mut command = match subject.program {
            Program::Ours => Command::new(self.folder.join("ours")),
            Program::TokioCron => Command::new(peers.join("release/peer-tokio-cron-scheduler")),
            Program::Quartz => {
                let classes = format!("{}:{}", peers.join("quartz").display(), self.java);
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
                let ratio = ours.filter(|_| subject.program != Program::Ours || subject.peer.is_some());
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

/// Makes sure that the peers are there. Says of each that is not, why.
#[must_use]
pub fn prepare_peers(root: &Path, programs: &Programs) -> BTreeMap<&'static str, String> {
    let mut absent = BTreeMap::new();
    let target = programs.peers();
    let run = |command: &mut Command| match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed").to_owned())
        }
        Err(error) => Err(format!("{:?}: {error}", command.get_program())),
    };
    for (peer, folder) in [("tokio-cron-scheduler", "tokio-cron-scheduler"), ("apalis", "apalis")] {
        let mut command = Command::new("cargo");
        command.args(["build", "--release", "--quiet"]).current_dir(root.join("benches/peers").join(folder));
        if let Err(error) = run(command.env("CARGO_TARGET_DIR", &target)) {
            absent.insert(peer, format!("it cannot be built: {error}"));
        }
    }
    let copy = |from: &str, to: &str| {
        let to = target.join(to);
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(root.join("benches/peers").join(from))? {
            let entry = entry?;
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        std::io::Result::Ok(to)
    };
    let bullmq = copy("bullmq", "bullmq").map_err(|error| error.to_string());
    let bullmq = bullmq.and_then(|folder| {
        run(Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(folder))
    });
    if let Err(error) = bullmq {
        absent.insert("bullmq", format!("it cannot be installed: {error}"));
    }
    if let Err(error) = quartz(root, &target, run) {
        absent.insert("quartz", format!("it cannot be installed or compiled: {error}"));
    }
    absent
}

fn quartz(
    root: &Path,
    target: &Path,
    run: impl Fn(&mut Command) -> Result<(), String>,
) -> Result<(), String> {
    let jar = Path::new("/usr/share/java/quartz2.jar");
    if !jar.exists() {
        let packages = ["openjdk-17-jdk-headless", "libquartz2-java", "libslf4j-java"];
        let mut command = Command::new("apt-get");
        run(command.args(["install", "-y", "--no-install-recommends"]).args(packages))?;
    }
    let classes = target.join("quartz");
    std::fs::create_dir_all(&classes).map_err(|error| error.to_string())?;
    let mut command = Command::new("javac");
    command.args(["-nowarn", "-cp", "/usr/share/java/quartz2.jar", "-d"]).arg(classes);
    run(command.arg(root.join("benches/peers/quartz/Bench.java")))
}
