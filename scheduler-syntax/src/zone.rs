//! Zone names.

use std::fmt;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::nearest::nearest;

/// A name that is no zone of the IANA database.
///
/// Prints the name and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneError {
    name: String,
    hint: String,
}

impl ZoneError {
    /// What to write instead.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no time zone; {}", self.name, self.hint)
    }
}

impl std::error::Error for ZoneError {}

/// The zone of this IANA name, such as `Europe/Berlin` or `UTC`.
///
/// Upper and lower case count: a name is stored as it is written, and other programs that read it may be strict.
///
/// ```
/// let error = scheduler_syntax::parse_zone("europe/berlin").unwrap_err();
/// assert_eq!(error.to_string(), "`europe/berlin` is no time zone; did you mean `Europe/Berlin`?");
/// ```
///
/// # Errors
///
/// There is none; the message suggests the nearest name.
pub fn parse_zone(name: &str) -> Result<Tz, ZoneError> {
    name.parse().map_err(|_| ZoneError { name: name.to_owned(), hint: hint(name) })
}

fn hint(name: &str) -> String {
    let known = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let same = known().find(|zone| zone.eq_ignore_ascii_case(name.trim()));
    // `Berlin` alone is a common slip, and no letter of it is wrong.
    let city = || known().find(|zone| city_of(zone).eq_ignore_ascii_case(name));
    let typo = || nearest(name, known()).filter(|zone| zone.len() > ABBREVIATION);
    match same.or_else(city).or_else(typo) {
        Some(near) => format!("did you mean `{near}`?"),
        None if is_abbreviation(name) => {
            "an abbreviation does not say where clocks change; use a name of the IANA database, such as `Europe/Berlin`"
                .to_owned()
        }
        None => "use a name of the IANA database, such as `Europe/Berlin` or `UTC`".to_owned(),
    }
}

fn city_of(zone: &str) -> &str {
    zone.rsplit('/').next().unwrap_or_default()
}

/// Abbreviations have at most so many letters. Those near `CEST` in spelling lie far from it on the map.
const ABBREVIATION: usize = 5;

fn is_abbreviation(name: &str) -> bool {
    (2..=ABBREVIATION).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_uppercase())
}
