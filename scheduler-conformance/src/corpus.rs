//! Reading the cases.

use std::io::Read;
use std::path::Path;

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use serde_json::Value;

/// A line of a file, which may be no case.
#[derive(Debug)]
pub struct Line {
    pub(super) number: usize,
    bytes: Vec<u8>,
}

impl Line {
    /// The case of the line, or why it is none.
    pub(super) fn read(&self) -> Result<Value, String> {
        let case: Value = serde_json::from_slice(&self.bytes).map_err(|error| error.to_string())?;
        match ["id", "category"].into_iter().find(|field| !case[field].is_string()) {
            Some(field) => Err(format!("`{field}` is no text")),
            None => Ok(case),
        }
    }
}

/// All lines of a file: of the folder that `CONFORMANCE_DIR` names, or those that are carried, compressed.
pub fn cases(name: &str, carried: &[u8]) -> Vec<Line> {
    match std::env::var_os("CONFORMANCE_DIR") {
        Some(folder) => {
            let path = Path::new(&folder).join(format!("{name}.jsonl"));
            lines(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        }
        None => {
            let mut text = Vec::new();
            GzDecoder::new(carried).read_to_end(&mut text).unwrap();
            lines(&text)
        }
    }
}

/// The lines of a text with something on them.
pub fn lines(text: &[u8]) -> Vec<Line> {
    let numbered = (1..).zip(text.split(|byte| *byte == b'\n'));
    let lines = numbered.map(|(number, line)| Line { number, bytes: line.trim_ascii().to_vec() });
    lines.filter(|line| !line.bytes.is_empty()).collect()
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
