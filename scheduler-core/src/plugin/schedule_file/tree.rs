//! A file of any of the three formats as one kind of tree, each node with its line.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and the line on which it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

/// What is wrong, and on which line.
pub(super) type Mistake = (usize, String);

impl Node {
    /// What a person calls its kind.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Integer(value) => Json::from(*value),
            Value::Float(value) => Json::from(*value),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(all) => all.iter().map(Self::to_json).collect(),
            Value::Table(all) => all.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
        }
    }
}

/// Line numbers from offsets.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn at(&self, offset: usize) -> usize {
        let before = self.0.as_bytes().get(..offset).unwrap_or(self.0.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

pub(super) fn toml(text: &str) -> Result<Node, Mistake> {
    let lines = Lines(text);
    match DeTable::parse(text) {
        Ok(table) => Ok(Node { line: 1, value: of_table(&lines, table.into_inner())? }),
        Err(error) => {
            let line = error.span().map_or(1, |span| lines.at(span.start));
            Err((line, error.message().to_owned()))
        }
    }
}

fn of_table(lines: &Lines<'_>, table: DeTable<'_>) -> Result<Value, Mistake> {
    let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let line = lines.at(key.span().start);
        let key: std::borrow::Cow<'_, str> = key.into_inner();
        Ok(Entry { key: key.into_owned(), line, node: of_value(lines, value)? })
    };
    let mut entries = table.into_iter().map(entry).collect::<Result<Vec<_>, Mistake>>()?;
    entries.sort_by_key(|entry| entry.line);
    Ok(Value::Table(entries))
}

fn of_value(lines: &Lines<'_>, value: Spanned<DeValue<'_>>) -> Result<Node, Mistake> {
    let line = lines.at(value.span().start);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(parsed.map_err(|error| (line, format!("`{}`: {error}", number.as_str())))?)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse();
            Value::Float(parsed.map_err(|error| (line, format!("`{}`: {error}", number.as_str())))?)
        }
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(all) => {
            Value::List(all.into_iter().map(|value| of_value(lines, value)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => of_table(lines, table)?,
    };
    Ok(Node { line, value })
}

/// YAML, and JSON as a part of it.
pub(super) fn yaml(text: &str) -> Result<Node, Mistake> {
    read_yaml(text).map_err(|(line, problem)| (line, unquoted(text, line).unwrap_or(problem)))
}

/// What to write where a value begins with a sign that means something in YAML, as cron expressions do.
fn unquoted(text: &str, line: usize) -> Option<String> {
    let (key, value) = text.lines().nth(line.checked_sub(1)?)?.split_once(':')?;
    let (key, value) = (key.trim_start_matches([' ', '-', '{']), value.trim());
    let sign = value.chars().next().filter(|sign| "*&!%@`|>".contains(*sign))?;
    Some(format!("{key}: a value that begins with `{sign}` needs quotes; write `{key}: \"{value}\"`"))
}

fn read_yaml(text: &str) -> Result<Node, Mistake> {
    match MarkedYaml::load_from_str(text) {
        Ok(mut documents) if documents.len() == 1 => of_yaml(documents.remove(0)),
        Ok(documents) if documents.is_empty() => Ok(Node { line: 1, value: Value::Table(Vec::new()) }),
        Ok(_) => Err((1, "there are several documents; keep one".to_owned())),
        Err(error) => Err((error.marker().line(), error.info().to_owned())),
    }
}

fn of_yaml(node: MarkedYaml<'_>) -> Result<Node, Mistake> {
    let line = node.span.start.line();
    let value = match node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(value)) => Value::Bool(value),
        YamlData::Value(Scalar::Integer(value)) => Value::Integer(value),
        YamlData::Value(Scalar::FloatingPoint(value)) => Value::Float(value.into_inner()),
        YamlData::Value(Scalar::String(text)) => Value::Text(text.into_owned()),
        YamlData::Sequence(all) => Value::List(all.into_iter().map(of_yaml).collect::<Result<_, _>>()?),
        YamlData::Mapping(all) => {
            let entry = |(key, value): (MarkedYaml<'_>, MarkedYaml<'_>)| {
                let line = key.span.start.line();
                let key = match of_yaml(key)?.value {
                    Value::Text(text) => text,
                    Value::Integer(number) => number.to_string(),
                    _ => return Err((line, "a key is a text".to_owned())),
                };
                Ok(Entry { key, line, node: of_yaml(value)? })
            };
            Value::Table(all.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
        _ => return Err((line, "tags and aliases are not read; write the value".to_owned())),
    };
    Ok(Node { line, value })
}
