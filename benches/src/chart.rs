//! Pictures of the growth curves and of many processes: plain SVG, both axes by powers of ten.

use std::fmt::Write;
use std::path::Path;

use crate::plan::Figure;
use crate::run::Table;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 60.0;
/// For the names of the lines, if there are several.
const LEGEND: f64 = 300.0;
const COLOURS: [&str; 8] = ["#0a6", "#6b8", "#06c", "#c60", "#a0a", "#888", "#000", "#c00"];

/// A line: its name and its points.
type Line = (&'static str, Vec<(f64, f64)>);

/// One picture for each figure of the growth tables, and one of what several processes do.
///
/// # Errors
///
/// The folder cannot be written to.
pub fn write(folder: &Path, tables: &[Table]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // The workload, its setting, and the figure.
    let pictures = [
        ("growth-fire.svg", "W1", "far", "cpu_us_per_fire", "µs of CPU for a firing, by stored triggers"),
        ("growth-fire-rate.svg", "W1", "far", "per_s", "firings per second, by stored triggers"),
        ("growth-add.svg", "W4", "n", "one_per_s", "added one by one per second, by how many"),
        ("growth-memory.svg", "W4", "n", "bytes", "bytes for a job and its trigger, by how many"),
        ("growth-redis-fire.svg", "W5", "far", "server_us", "µs of Redis for a run, by stored triggers"),
        ("growth-redis-add.svg", "W5", "far", "far_per_s", "added to Redis per second, by how many"),
    ];
    for (file, workload, setting, field, title) in pictures {
        let figure = Figure { field, title, less: false };
        let of_growth = tables.iter().filter(|table| table.measure.workload == "growth");
        let point = |table: &Table| {
            let words = &table.measure.subjects.first()?.words;
            let size = words.strip_prefix(workload)?.rsplit_once(&format!(" {setting}="))?.1;
            let [_, middle, _] = table.runs.first()?.of(figure)?;
            Some((size.parse().ok()?, middle))
        };
        let points: Vec<(f64, f64)> = of_growth.filter_map(point).collect();
        if points.len() > 1 {
            std::fs::write(folder.join(file), draw(title, &[("", points)]))?;
        }
    }
    let lines = by_processes(tables);
    if lines.iter().any(|(_, points)| points.len() > 1) {
        let title = "stored jobs run and acknowledged per second, by processes";
        std::fs::write(folder.join("processes.svg"), draw(title, &lines))?;
    }
    Ok(())
}

fn by_processes(tables: &[Table]) -> Vec<Line> {
    let figure = Figure { field: "per_s", title: "", less: false };
    let mut lines: Vec<Line> = Vec::new();
    let of_processes =
        |table: &&Table| table.measure.workload == "W5" && table.measure.title.ends_with("processes");
    for table in tables.iter().filter(of_processes) {
        for (subject, runs) in table.measure.subjects.iter().zip(&table.runs) {
            let processes = subject.words.split(' ').find_map(|word| word.strip_prefix("p=")?.parse().ok());
            let (Some(x), Some([_, y, _])) = (processes, runs.of(figure)) else { continue };
            match lines.iter_mut().find(|(name, _)| *name == subject.name) {
                Some((_, points)) => points.push((x, y)),
                None => lines.push((subject.name, vec![(x, y)])),
            }
        }
    }
    lines
}

/// From the power of ten below the smallest to the one above the largest.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let least = values.clone().fold(f64::MAX, f64::min).log10().floor();
    let most = values.fold(f64::MIN, f64::max).log10().ceil();
    (least, most.max(least + 1.0))
}

/// A power of ten in few letters.
fn short(value: f64) -> String {
    match value {
        1_000_000.0.. => format!("{} M", value / 1_000_000.0),
        1_000.0.. => format!("{} k", value / 1_000.0),
        _ => value.to_string(),
    }
}

fn draw(title: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let (left, right) = decades(points().map(|(x, _)| *x));
    let (low, high) = decades(points().map(|(_, y)| *y));
    let width = if lines.len() > 1 { WIDTH + LEGEND } else { WIDTH };
    let x = |value: f64| MARGIN + (value.log10() - left) / (right - left) * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| HEIGHT - MARGIN - (value.log10() - low) / (high - low) * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"30\" font-size=\"15\">{title}</text>\n"
    );
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64| {
        writeln!(svg, "<line x1=\"{x1:.0}\" y1=\"{y1:.0}\" x2=\"{x2:.0}\" y2=\"{y2:.0}\" stroke=\"#ccc\"/>")
            .ok();
    };
    let steps = |from: f64, to: f64| (from as i32..=to as i32).map(|power| 10_f64.powi(power));
    for value in steps(left, right) {
        line(x(value), MARGIN, x(value), HEIGHT - MARGIN);
    }
    for value in steps(low, high) {
        line(MARGIN, y(value), WIDTH - MARGIN, y(value));
    }
    for value in steps(left, right) {
        let (x, y) = (x(value), HEIGHT - MARGIN + 18.0);
        writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\">{}</text>", short(value)).ok();
    }
    for value in steps(low, high) {
        let (x, y) = (MARGIN - 6.0, y(value) + 4.0);
        writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{}</text>", short(value)).ok();
    }
    for ((place, (name, points)), colour) in lines.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let path: Vec<_> = points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let path = path.join(" ");
        writeln!(svg, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>")
            .ok();
        for (a, b) in points {
            writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", x(*a), y(*b)).ok();
        }
        if lines.len() > 1 {
            let (x, y) = (WIDTH - MARGIN + 18.0, MARGIN + 20.0 * place as f64);
            writeln!(svg, "<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{name}</text>").ok();
        }
    }
    svg + "</svg>\n"
}
