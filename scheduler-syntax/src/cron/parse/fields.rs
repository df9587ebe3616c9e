//! The text cut into fields.

use std::ops::Range;

use super::CronError;
use super::Field;
use super::hints::{for_five_fields, for_five_of_both};

/// Which form of expression is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Second, minute, hour, day of month, month, day of week (1 = Sunday), and perhaps a year.
    Quartz,
    /// As Quartz, but both day fields must match.
    Both,
    /// Minute, hour, day of month, month, day of week (0 and 7 = Sunday).
    Unix,
}

impl Dialect {
    /// The field with which an expression begins.
    fn first(self) -> usize {
        match self {
            Self::Quartz | Self::Both => Field::Second as usize,
            Self::Unix => Field::Minute as usize,
        }
    }

    fn takes(self, count: usize) -> bool {
        match self {
            Self::Quartz | Self::Both => count == 6 || count == 7,
            Self::Unix => count == 5,
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::Quartz | Self::Both => {
                "write second, minute, hour, day of month, month, day of week and perhaps a year"
            }
            Self::Unix => "the Unix form is minute, hour, day of month, month and day of week",
        }
    }
}

/// Where the fields are: what stands between white space.
pub(super) struct Cut {
    dialect: Dialect,
    spans: [Range<usize>; 7],
    count: usize,
}

impl Cut {
    /// Cuts the text from byte `start` on.
    ///
    /// # Errors
    ///
    /// There are too few or too many fields.
    pub(super) fn new(text: &str, start: usize, dialect: Dialect) -> Result<Self, CronError> {
        let mut cut = Self { dialect, spans: Default::default(), count: 0 };
        let mut extra = None;
        for span in words(text, start) {
            match cut.spans.get_mut(cut.count) {
                Some(place) => *place = span,
                None => extra = extra.or(Some(span.start)),
            }
            cut.count += 1;
        }
        if dialect.takes(cut.count) {
            return Ok(cut);
        }
        let span = extra.unwrap_or(start)..text.len();
        let (problem, hint) = cut.complaint(&text[start..]);
        Err(CronError::new(text, None, span, problem, hint))
    }

    fn complaint(&self, fields: &str) -> (String, String) {
        let shape = self.dialect.shape();
        let hint = match (self.dialect, self.count) {
            (Dialect::Quartz, 5) => match for_five_fields(fields) {
                Some(meant) if meant.starts_with('@') => {
                    format!("{shape}; as a line of a crontab write `{meant}`")
                }
                Some(meant) => format!("{shape}: with the second in front it is `{meant}`"),
                None => shape.to_owned(),
            },
            (Dialect::Both, 5) => match for_five_of_both(fields) {
                Some(meant) => format!("{shape}: with the second in front it is `{meant}`"),
                None => shape.to_owned(),
            },
            (Dialect::Unix, 6 | 7) => format!("{shape}; what begins with a second is Quartz's form"),
            _ => shape.to_owned(),
        };
        match self.count {
            0 => ("the expression is empty".to_owned(), hint),
            1 => ("the expression has 1 field".to_owned(), hint),
            n => (format!("the expression has {n} fields"), hint),
        }
    }

    /// Where a field is. Empty for the second of the Unix form, and for a year that is not given.
    pub(super) fn span(&self, field: Field) -> Range<usize> {
        (field as usize)
            .checked_sub(self.dialect.first())
            .and_then(|index| self.spans.get(index))
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn has_year(&self) -> bool {
        self.count == 7
    }
}

/// The pieces of a text between white space, from byte `start` on.
fn words(text: &str, start: usize) -> impl Iterator<Item = Range<usize>> {
    text[start..].split_whitespace().map(move |word| {
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        at..at + word.len()
    })
}
