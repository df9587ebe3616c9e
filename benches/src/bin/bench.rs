//! All workloads side by side: `bench [--small] [--peers] [--workload W1]… [--repeats N] [--json FILE] [--charts FOLDER]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::chart;
use benches::peers::{self, PEERS};
use benches::plan::{FULL, SMALL, plan};
use benches::run::{Programs, Table, machine};
use clap::Parser;
use serde_json::json;

/// Measures the workloads and prints medians, spread and ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// Small sizes, once: to see that everything runs
    #[arg(long)]
    small: bool,
    /// Installs and measures the peers too
    #[arg(long)]
    peers: bool,
    /// Only these
    #[arg(long, ignore_case = true, value_parser = ["W1", "W2", "W3", "W4", "W5", "W5q", "W5r", "W6", "W7", "growth", "instructions"])]
    workload: Vec<String>,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    /// Writes everything that was measured into this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes pictures into this folder
    #[arg(long)]
    charts: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let programs = Programs::here();
    let mut absent: BTreeMap<&str, String> = if arguments.peers {
        peers::prepare(root, &programs.peers())
    } else {
        PEERS.map(|peer| (peer, "peers are measured with --peers only".to_owned())).into()
    };
    if let Err(error) = peers::valgrind() {
        absent.insert("valgrind", error);
    }
    let (sizes, repeats) = if arguments.small { (SMALL, 1) } else { (FULL, arguments.repeats.into()) };
    let mut tables = Vec::new();
    let machine = machine();
    println!("{machine}");
    for mut measure in plan(sizes) {
        let is_asked = |name: &String| name.eq_ignore_ascii_case(measure.workload);
        if !arguments.workload.is_empty() && !arguments.workload.iter().any(is_asked) {
            continue;
        }
        if !arguments.peers {
            measure.subjects.retain(|subject| subject.peer.is_none_or(|peer| !PEERS.contains(&peer)));
        }
        let table = Table::measure(measure, &programs, repeats, &absent);
        table.print();
        tables.push(table);
    }
    let all: Vec<_> = tables.iter().map(Table::json).collect();
    if let Some(file) = &arguments.json
        && let Err(error) =
            std::fs::write(file, format!("{:#}\n", json!({ "machine": machine, "tables": all })))
    {
        eprintln!("{} cannot be written: {error}", file.display());
        return ExitCode::FAILURE;
    }
    if let Some(folder) = &arguments.charts
        && let Err(error) = chart::write(folder, &tables)
    {
        eprintln!("pictures cannot be written into {}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    let failed = tables.iter().flat_map(|table| &table.missing).any(|line| line.contains(", run "));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
