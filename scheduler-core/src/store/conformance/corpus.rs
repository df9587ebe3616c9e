//! Reading the cases.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use serde_json::Value;

/// All cases of a file: of the folder that `CONFORMANCE_DIR` names, or those that are carried, compressed.
pub fn cases(name: &str, carried: &[u8]) -> Vec<Value> {
    let source: Box<dyn Read + '_> = match std::env::var_os("CONFORMANCE_DIR") {
        Some(folder) => Box::new(open(&Path::new(&folder).join(format!("{name}.jsonl")))),
        None => Box::new(GzDecoder::new(carried)),
    };
    let lines = BufReader::new(source).lines().map(Result::unwrap).filter(|line| !line.trim().is_empty());
    lines.enumerate().map(|(number, line)| parse(name, number + 1, &line)).collect()
}

fn open(path: &Path) -> File {
    File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(name: &str, line: usize, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}.jsonl line {line}: {error}"))
}

/// A text of a case.
#[track_caller]
pub fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_else(|| panic!("{}: `{field}` is no text", case["id"]))
}

/// A time of a case, in epoch milliseconds.
pub fn time(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(value.as_i64()?)
}

/// A list of times of a case.
pub fn times(value: &Value) -> Vec<DateTime<Utc>> {
    value.as_array().into_iter().flatten().filter_map(time).collect()
}

/// The zone of a case.
#[track_caller]
pub fn zone(case: &Value) -> chrono_tz::Tz {
    text(case, "zone").parse().unwrap()
}
