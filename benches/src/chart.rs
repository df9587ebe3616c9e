//! Pictures of the growth curves: plain SVG, both axes by powers of ten.

use std::fmt::Write;
use std::path::Path;

use crate::plan::Figure;
use crate::run::Table;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 60.0;

/// One picture for each figure of the growth tables.
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
            std::fs::write(folder.join(file), draw(title, &points))?;
        }
    }
    Ok(())
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

fn draw(title: &str, points: &[(f64, f64)]) -> String {
    let (left, right) = decades(points.iter().map(|(x, _)| *x));
    let (low, high) = decades(points.iter().map(|(_, y)| *y));
    let x = |value: f64| MARGIN + (value.log10() - left) / (right - left) * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| HEIGHT - MARGIN - (value.log10() - low) / (high - low) * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
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
    let path: Vec<_> = points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
    writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#0a6\" stroke-width=\"2\"/>",
        path.join(" ")
    )
    .ok();
    for (a, b) in points {
        writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#0a6\"/>", x(*a), y(*b)).ok();
    }
    svg + "</svg>\n"
}
