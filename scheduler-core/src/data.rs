//! The data map of a job or trigger.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where arguments live that are no map by themselves, such as a number or a list.
const WHOLE: &str = "$value";

/// Says of data that are shown to the functions which make keys and limits that a part of the argument is not known.
const AWAITS: &str = "$awaits";

static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// Named values that travel with a job or a trigger, stored as JSON.
///
/// A run sees the job's data overlaid with the trigger's. Cloning shares; changing copies first.
///
/// ```
/// use scheduler_core::JobData;
///
/// let data = JobData::new().with("region", "eu").with("limit", 20);
/// assert_eq!(data.get::<u32>("limit").unwrap(), Some(20));
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobData(Option<Arc<Map<String, Value>>>);

/// A value could not be turned into JSON, or JSON not into the wanted type.
#[derive(Debug, Clone, thiserror::Error)]
#[error("job data {place}")]
pub struct DataError {
    place: String,
    source: Arc<serde_json::Error>,
}

impl DataError {
    fn new(place: impl Into<String>, source: serde_json::Error) -> Self {
        Self { place: place.into(), source: Arc::new(source) }
    }
}

impl DataError {
    /// A part of an argument cannot be written as JSON.
    pub(crate) fn of_arguments(source: serde_json::Error) -> Self {
        Self::new("of the arguments", source)
    }

    /// An argument that is not known before other runs have ended.
    pub(crate) fn not_known() -> Self {
        let text = "only a run that is enqueued can wait for the outputs of others";
        Self::new("consists of the outputs of other runs", serde::de::Error::custom(text))
    }
}

impl JobData {
    /// No data at all; takes no memory.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The data map that stands for one serialisable value: a struct or map becomes named entries, anything else
    /// the single entry `$value`, and `()` nothing.
    ///
    /// # Errors
    ///
    /// The value does not serialise to JSON.
    pub fn from_args<T: Serialize>(args: &T) -> Result<Self, DataError> {
        let map = match serde_json::to_value(args).map_err(|e| DataError::new("of the arguments", e))? {
            Value::Null => return Ok(Self::new()),
            Value::Object(map) => map,
            other => Map::from_iter([(WHOLE.to_owned(), other)]),
        };
        Ok(map.into())
    }

    /// The reverse of [`from_args`](Self::from_args).
    ///
    /// # Errors
    ///
    /// The entries do not deserialise to `T`; the message names the type, and the field or what is missing.
    pub fn to_args<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        let whole = self.entries().get(WHOLE).cloned();
        let value = whole.unwrap_or_else(|| Value::Object(self.entries().clone()));
        serde_path_to_error::deserialize(value).or_else(|error| {
            let found = if self.is_empty() { serde_json::from_value(Value::Null).ok() } else { None };
            found.ok_or_else(|| self.misfit::<T>(&error.path().to_string(), error.into_inner()))
        })
    }

    /// Why these entries are no `T`; `path` leads to the field that does not fit.
    fn misfit<T>(&self, path: &str, error: serde_json::Error) -> DataError {
        let wanted = std::any::type_name::<T>();
        let names = || self.entries().keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let place = if self.is_empty() {
            format!(
                "is empty: the arguments are missing, and the job takes `{wanted}`; schedule it with arguments"
            )
        } else if path != "." {
            format!("does not fit the job's arguments, `{wanted}`, in field `{path}`")
        } else if self.entries().contains_key(WHOLE) {
            format!("does not fit the job's arguments, `{wanted}`")
        } else {
            format!("with the entries {} does not fit the job's arguments, `{wanted}`", names())
        };
        DataError::new(place, error)
    }

    /// This data with `value` under `name`. A value that does not serialise is stored as null, and the log says so.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_else(|error| {
            tracing::error!(entry = name, %error, "the entry `{name}` of job data cannot be written as JSON and is stored as null: {error}");
            Value::Null
        });
        self.insert(name, value);
        self
    }

    /// Makes `value` the argument, or the element of this index of an argument that is a list.
    pub(crate) fn fill(&mut self, item: Option<usize>, value: Value) -> Result<(), DataError> {
        let Some(item) = item else {
            *self = Self::from_args(&value)?;
            return Ok(());
        };
        let whole = self.edit().entry(WHOLE).or_insert(Value::Null);
        if let Some(place) = whole.get_mut(item) {
            *place = value;
        }
        Ok(())
    }

    /// The same data, parts of which are the outputs of runs that have not ended.
    pub(crate) fn awaiting_outputs(mut self) -> Self {
        self.insert(AWAITS, Value::Bool(true));
        self
    }

    /// Whether parts of it are the outputs of runs that have not ended, so that no argument can be read from it.
    pub(crate) fn awaits_outputs(&self) -> bool {
        self.entries().contains_key(AWAITS)
    }

    /// Puts `value` under `name` and returns what was there.
    pub fn insert(&mut self, name: &str, value: Value) -> Option<Value> {
        self.edit().insert(name.to_owned(), value)
    }

    /// Takes the entry away and returns it.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        if self.entries().contains_key(name) { self.edit().remove(name) } else { None }
    }

    /// The entry `name` as a `T`, or none.
    ///
    /// # Errors
    ///
    /// The entry is there but is no `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DataError> {
        let Some(value) = self.entries().get(name) else { return Ok(None) };
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|e| DataError::new(format!("entry `{name}`"), e))
    }

    /// All entries.
    pub fn entries(&self) -> &Map<String, Value> {
        self.0.as_deref().unwrap_or(&EMPTY)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// This data overlaid with `over`, whose entries win. Shares when either is empty.
    #[must_use]
    pub fn merged(&self, over: &Self) -> Self {
        if over.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return over.clone();
        }
        let mut merged = self.clone();
        merged.edit().extend(over.entries().clone());
        merged
    }

    fn edit(&mut self) -> &mut Map<String, Value> {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl From<Map<String, Value>> for JobData {
    fn from(map: Map<String, Value>) -> Self {
        Self((!map.is_empty()).then(|| Arc::new(map)))
    }
}

impl fmt::Debug for JobData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Mail {
        to: String,
        copies: u8,
    }

    #[track_caller]
    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T) {
        assert_eq!(JobData::from_args(&value).unwrap().to_args::<T>().unwrap(), value);
    }

    #[test]
    fn arguments_of_any_shape_round_trip() {
        round_trip(Mail { to: "a@b".into(), copies: 2 });
        round_trip(7u32);
        round_trip(vec!["a".to_owned()]);
        round_trip(());
        round_trip(Some(3));
        round_trip(None::<u8>);
    }

    #[test]
    fn trigger_entries_win_and_single_fields_can_be_overridden() {
        let job = JobData::from_args(&Mail { to: "a@b".into(), copies: 2 }).unwrap();
        let merged = job.merged(&JobData::new().with("copies", 5));
        assert_eq!(merged.to_args::<Mail>().unwrap(), Mail { to: "a@b".into(), copies: 5 });
        assert_eq!(job.get::<u8>("copies").unwrap(), Some(2), "the job's own map is untouched");
    }

    #[test]
    fn v1_what_does_not_fit_is_named_with_its_field_and_types() {
        #[track_caller]
        fn check<T: DeserializeOwned + fmt::Debug>(data: &JobData, expected: &[&str]) {
            let error = data.to_args::<T>().unwrap_err();
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let text = format!("{error}: {cause}");
            for part in expected {
                assert!(text.contains(part), "`{part}` is not in: {text}");
            }
        }
        #[derive(Debug, Deserialize)]
        struct Order {
            #[allow(dead_code, reason = "only its reading matters")]
            mails: Vec<Mail>,
        }
        let mail = JobData::new().with("to", "x").with("copies", "many");
        check::<Mail>(&mail, &["Mail`", "field `copies`", "string \"many\"", "expected u8"]);
        let order = JobData::new().with("mails", [serde_json::json!({ "to": 7, "copies": 1 })]);
        check::<Order>(&order, &["field `mails[0].to`", "integer `7`", "expected a string"]);
        check::<u32>(&mail, &["the entries `copies`, `to`", "`u32`", "invalid type: map"]);
        check::<Mail>(&JobData::from_args(&7).unwrap(), &["Mail`", "integer `7`"]);
        check::<Mail>(&JobData::new(), &["the arguments are missing", "Mail`", "schedule it with arguments"]);
        check::<u32>(&JobData::new(), &["the arguments are missing", "`u32`"]);
    }

    #[test]
    fn errors_name_the_field() {
        let error = JobData::new().with("to", "x").to_args::<Mail>().unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains("copies"), "{cause}");
        let error = JobData::new().with("n", "x").get::<u8>("n").unwrap_err().to_string();
        assert!(error.contains("`n`"), "{error}");
    }
}
