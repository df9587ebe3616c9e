//! The others: built or installed when they are missing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::postgres;

/// The names that subjects ask for.
pub const PEERS: [&str; 5] = ["quartz", "quartz-jdbc", "tokio-cron-scheduler", "apalis", "bullmq"];

const QUARTZ: &str = "/usr/share/java/quartz2.jar";

/// Makes sure that the peers are in this folder. Says of each that is not, why.
#[must_use]
pub fn prepare(root: &Path, target: &Path) -> BTreeMap<&'static str, String> {
    let mut absent = BTreeMap::new();
    for peer in ["tokio-cron-scheduler", "apalis"] {
        let mut command = Command::new("cargo");
        command.args(["build", "--release", "--quiet"]).current_dir(root.join("benches/peers").join(peer));
        if let Err(error) = run(command.env("CARGO_TARGET_DIR", target)) {
            absent.insert(peer, format!("it cannot be built: {error}"));
        }
    }
    if let Err(error) = bullmq(root, target) {
        absent.insert("bullmq", format!("it cannot be installed: {error}"));
    }
    if let Err(error) = quartz(root, target) {
        let reason = format!("it cannot be installed or compiled: {error}");
        absent.insert("quartz-jdbc", reason.clone());
        absent.insert("quartz", reason);
    } else if let Err(error) = quartz_jdbc(target) {
        absent.insert("quartz-jdbc", format!("it cannot be installed: {error}"));
    }
    absent
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed").to_owned())
        }
        Err(error) => Err(format!("{:?}: {error}", command.get_program())),
    }
}

fn install(packages: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    run(command.args(["install", "-y", "--no-install-recommends"]).args(packages))
}

fn bullmq(root: &Path, target: &Path) -> Result<(), String> {
    let (from, to) = (root.join("benches/peers/bullmq"), target.join("bullmq"));
    let copied = std::fs::create_dir_all(&to).and_then(|()| {
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    });
    copied.map_err(|error| error.to_string())?;
    run(Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(to))
}

fn quartz(root: &Path, target: &Path) -> Result<(), String> {
    if !Path::new(QUARTZ).exists() {
        install(&["openjdk-17-jdk-headless", "libquartz2-java", "libslf4j-java"])?;
    }
    let (classes, sources) = (target.join("quartz"), root.join("benches/peers/quartz"));
    std::fs::create_dir_all(&classes).map_err(|error| error.to_string())?;
    let mut command = Command::new("javac");
    command.args(["-nowarn", "-cp", QUARTZ, "-d"]).arg(classes);
    run(command.args(["Bench.java", "Node.java"].map(|name| sources.join(name))))
}

/// What it needs beside Quartz, and its tables.
fn quartz_jdbc(target: &Path) -> Result<(), String> {
    if postgres::programs().is_none() || !Path::new("/usr/share/java/postgresql.jar").exists() {
        install(&["postgresql", "postgresql-contrib", "libpostgresql-jdbc-java"])?;
    }
    let (folder, tables) = (target.join("quartz"), "org/quartz/impl/jdbcjobstore/tables_postgres.sql");
    run(Command::new("jar").args(["xf", QUARTZ, tables]).current_dir(&folder))?;
    std::fs::copy(folder.join(tables), folder.join("tables.sql")).map_err(|error| error.to_string())?;
    Ok(())
}

/// What counts instructions: installed if it is missing.
pub fn valgrind() -> Result<(), String> {
    if Command::new("valgrind").arg("--version").output().is_ok() {
        return Ok(());
    }
    install(&["valgrind"]).map_err(|error| format!("valgrind cannot be installed: {error}"))
}
