//! Zone names.

use std::fmt;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::nearest::nearest;

/// A name that is no zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneError {
    name: String,
    hint: String,
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no time zone; {}", self.name, self.hint)
    }
}

impl std::error::Error for ZoneError {}

/// The zone of this IANA name, such as `Europe/Berlin` or `UTC`.
///
/// # Errors
///
/// There is none; the message suggests the nearest name.
pub fn parse_zone(name: &str) -> Result<Tz, ZoneError> {
    name.parse().map_err(|_| ZoneError { name: name.to_owned(), hint: hint(name) })
}

fn hint(name: &str) -> String {
    let known = || TZ_VARIANTS.iter().map(|zone| zone.name());
    // `Berlin` alone is a common slip, and no letter of it is wrong.
    let city =
        known().find(|zone| zone.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(name)));
    match city.or_else(|| nearest(name, known())) {
        Some(near) if near.len() > 3 => format!("did you mean `{near}`?"),
        _ => "use a name of the IANA database, such as `Europe/Berlin` or `UTC`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_names_get_a_suggestion() {
        assert_eq!(parse_zone("Europe/Berlin"), Ok(Tz::Europe__Berlin));
        let message = |name: &str| parse_zone(name).unwrap_err().to_string();
        assert_eq!(message("Europe/Berln"), "`Europe/Berln` is no time zone; did you mean `Europe/Berlin`?");
        assert_eq!(
            message("europe/berlin"),
            "`europe/berlin` is no time zone; did you mean `Europe/Berlin`?"
        );
        assert_eq!(message("Berlin"), "`Berlin` is no time zone; did you mean `Europe/Berlin`?");
        assert!(message("CEST").contains("IANA"));
    }
}
