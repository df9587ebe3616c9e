//! Reading tables field by field: every mistake is noted with file, line and key, and none stops the reading.

use std::cell::RefCell;
use std::fmt::Display;
use std::time::Duration;

use chrono::{NaiveTime, Weekday};
use chrono_tz::Tz;
use scheduler_syntax::{nearest, parse_duration, parse_zone};

use super::tree::{Entry, Node, Value};
use crate::data::JobData;

/// The mistakes of a file.
#[derive(Debug)]
pub(super) struct Notes {
    file: String,
    problems: RefCell<Vec<(usize, String)>>,
}

impl Notes {
    pub(super) fn of(file: String) -> Self {
        Self { file, problems: RefCell::default() }
    }

    pub(super) fn note(&self, line: usize, key: &str, problem: impl Display) {
        let colon = if key.is_empty() { "" } else { ": " };
        let problem = format!("{}:{line}: {key}{colon}{problem}", self.file);
        self.problems.borrow_mut().push((line, problem));
    }

    /// In the order of lines.
    pub(super) fn into_problems(self) -> Vec<String> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(line, _)| *line);
        problems.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// What a key holds that takes a table, or a number as its short form.
pub(super) enum Either<'a> {
    Number(u32),
    Table(Fields<'a>),
}

/// A table that is being read.
pub(super) struct Fields<'a> {
    pub(super) notes: &'a Notes,
    pub(super) line: usize,
    pub(super) path: String,
    entries: &'a [Entry],
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// The fields of a table; without any if it is none, which is noted.
    pub(super) fn new(notes: &'a Notes, path: &str, node: &'a Node) -> Self {
        let entries = match &node.value {
            Value::Table(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                notes.note(node.line, path, format_args!("expected is a table, not {}", node.kind()));
                &[]
            }
        };
        Self { notes, line: node.line, path: path.to_owned(), entries, known: RefCell::default() }
    }

    /// All entries, for tables whose keys are names.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'a str, Self)> {
        self.entries.iter().map(|entry| {
            let path = self.path_of(&entry.key);
            let fields = Self::new(self.notes, &path, &entry.node);
            (entry.key.as_str(), Self { line: entry.line, ..fields })
        })
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn note(&self, problem: impl Display) {
        self.notes.note(self.line, &self.path, problem);
    }

    pub(super) fn note_at(&self, key: &str, problem: impl Display) {
        self.notes.note(self.line_of(key), &self.path_of(key), problem);
    }

    fn line_of(&self, key: &str) -> usize {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.line, |entry| entry.line)
    }

    /// File, line and path of a key.
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}:{}: {}", self.notes.file, self.line_of(key), self.path_of(key))
    }

    fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().push(key);
        let node = &self.entries.iter().find(|entry| entry.key == key)?.node;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    pub(super) fn has(&self, key: &'static str) -> bool {
        self.node(key).is_some()
    }

    pub(super) fn table(&self, key: &'static str) -> Option<Self> {
        Some(Self::new(self.notes, &self.path_of(key), self.node(key)?))
    }

    pub(super) fn table_or_number(&self, key: &'static str) -> Option<Either<'a>> {
        let node = self.node(key)?;
        match node.value {
            Value::Integer(_) => self.number(key).map(Either::Number),
            Value::Table(_) => self.table(key).map(Either::Table),
            _ => self.wrong(key, "a whole number or a table", node),
        }
    }

    /// A list of tables, each of which has to be finished.
    pub(super) fn tables(&self, key: &'static str) -> Option<Vec<Self>> {
        let node = self.node(key)?;
        let Value::List(all) = &node.value else { return self.wrong(key, "a list of tables", node) };
        let path = self.path_of(key);
        let tables = all.iter().enumerate();
        Some(tables.map(|(place, node)| Self::new(self.notes, &format!("{path}[{place}]"), node)).collect())
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) => Some(text),
            _ => self.wrong(key, "a text", node),
        }
    }

    fn wrong<T>(&self, key: &str, expected: &str, node: &Node) -> Option<T> {
        self.note_at(key, format_args!("expected is {expected}, not {}", node.kind()));
        None
    }

    /// A text that means something.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let parsed = parse(self.text(key)?);
        parsed.map_err(|problem| self.note_at(key, problem)).ok()
    }

    pub(super) fn word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        self.parsed(key, |text| word(text, words))
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        match node.value {
            Value::Bool(value) => Some(value),
            _ => self.wrong(key, "true or false", node),
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, key: &'static str) -> Option<T> {
        let node = self.node(key)?;
        match node.value {
            Value::Integer(value) => match T::try_from(value) {
                Ok(value) => Some(value),
                Err(_) => {
                    self.note_at(key, format_args!("{value} is out of range"));
                    None
                }
            },
            _ => self.wrong(key, "a whole number", node),
        }
    }

    /// A number with or without decimals.
    pub(super) fn fraction(&self, key: &'static str) -> Option<f64> {
        let node = self.node(key)?;
        match node.value {
            Value::Float(value) => Some(value),
            Value::Integer(_) => self.number(key).map(|value: i32| value.into()),
            _ => self.wrong(key, "a number", node),
        }
    }

    pub(super) fn duration(&self, key: &'static str) -> Option<Duration> {
        if let Some(Node { value: Value::Integer(number), .. }) = self.node(key) {
            self.note_at(key, format_args!("{number} has no unit; write \"{number}s\" for seconds"));
            return None;
        }
        self.parsed(key, parse_duration)
    }

    pub(super) fn zone(&self, key: &'static str) -> Option<Tz> {
        self.parsed(key, parse_zone)
    }

    pub(super) fn time_of_day(&self, key: &'static str) -> Option<NaiveTime> {
        self.parsed(key, |text| {
            NaiveTime::parse_from_str(text, "%H:%M")
                .or_else(|_| text.parse())
                .map_err(|error| format!("`{text}` is no time of day such as 17:30: {error}"))
        })
    }

    /// A list of things that are written as texts or numbers.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let node = self.node(key)?;
        let Value::List(all) = &node.value else { return self.wrong(key, "a list", node) };
        let one = |node: &Node| {
            let value = read(node);
            if value.is_none() {
                let shown = node.to_json();
                self.notes.note(node.line, &self.path_of(key), format_args!("{shown} is no {expected}"));
            }
            value
        };
        Some(all.iter().filter_map(one).collect())
    }

    /// A list of at least one thing.
    pub(super) fn some<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        if matches!(&self.node(key)?.value, Value::List(all) if all.is_empty()) {
            self.note_at(key, format_args!("is empty; name a {expected}, or leave it out"));
            return None;
        }
        self.list(key, expected, read)
    }

    pub(super) fn some_texts<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.some(key, expected, |node| of_text(node, &parse))
    }

    pub(super) fn texts<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.list(key, expected, |node| of_text(node, &parse))
    }

    pub(super) fn weekdays(&self, key: &'static str) -> Option<Vec<Weekday>> {
        self.some_texts(key, "day of the week such as `monday`", |text| text.parse().ok())
    }

    /// `data`, a table, with the argument of the job function from `args` laid over it.
    pub(super) fn data(&self) -> Option<JobData> {
        let data = self.node("data").and_then(|node| match node.to_json() {
            serde_json::Value::Object(map) => Some(JobData::from(map)),
            _ => self.wrong("data", "a table", node),
        });
        let args = self.node("args").and_then(|node| {
            JobData::from_args(&node.to_json()).map_err(|problem| self.note_at("args", problem)).ok()
        });
        match (data, args) {
            (Some(data), Some(args)) => Some(data.merged(&args)),
            (data, args) => data.or(args),
        }
    }

    /// Notes fields that nobody has asked for.
    pub(super) fn finish(self) {
        let mut known = self.known.into_inner();
        known.sort_unstable();
        known.dedup();
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let path =
                if self.path.is_empty() { entry.key.clone() } else { format!("{}.{}", self.path, entry.key) };
            let hint = match nearest(&entry.key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of {}", known.join(", ")),
            };
            self.notes.note(entry.line, &path, format_args!("unknown; {hint}"));
        }
        // At the top, a heading with nothing below it says nothing wrong.
        let nested = self.entries.iter().filter(|_| !self.path.is_empty());
        for entry in nested.filter(|entry| known.contains(&entry.key.as_str())) {
            if matches!(entry.node.value, Value::Null) {
                let path = format!("{}.{}", self.path, entry.key);
                self.notes.note(entry.line, &path, "has no value; give it one, or leave it out");
            }
        }
    }
}

fn of_text<T>(node: &Node, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    match &node.value {
        Value::Text(text) => parse(text),
        _ => None,
    }
}

fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, String> {
    let known = || words.iter().map(|(word, _)| *word);
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        match nearest(text, known()) {
            Some(near) => format!("`{text}` is unknown; did you mean `{near}`?"),
            None => format!("`{text}` is unknown; use one of {}", known().collect::<Vec<_>>().join(", ")),
        }
    })
}
