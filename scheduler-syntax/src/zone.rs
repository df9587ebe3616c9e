//! Zone names.

use std::fmt;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::nearest::nearest_within;

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
    let city = || known().find(|zone| is_spelled(city_of(zone), name) || is_spelled(zone, name));
    let typo = || nearest_within(name, SLIPS, known()).filter(|zone| zone.len() > ABBREVIATION);
    if let Some(minutes) = offset_of(name) {
        return fixed_offset(minutes);
    }
    // The nearest name to `Etc/GMT+13` lies twelve hours away.
    if same.is_none() && name.trim().get(4..).is_some_and(|rest| is_etc(name) && offset_of(rest).is_some()) {
        return "fixed offsets are named `Etc/GMT-14` to `Etc/GMT+12`, whose sign counts west".to_owned();
    }
    match same.or_else(city).or_else(|| zone_of_place(name)).or_else(typo) {
        Some(near) => format!("did you mean `{near}`?"),
        None if is_abbreviation(name) => {
            "an abbreviation does not say where clocks change; use a name of the IANA database, such as `Europe/Berlin`"
                .to_owned()
        }
        None => "use a name of the IANA database, such as `Europe/Berlin` or `UTC`".to_owned(),
    }
}

/// A name with more slips than this is another place: `Asia/Beijing` is three letters from `Asia/Beirut`.
const SLIPS: usize = 2;

/// Large cities that have no zone of their own, and the zone whose clock they keep.
const PLACES: [(&str, &str); 40] = [
    ("Abu_Dhabi", "Asia/Dubai"),
    ("Atlanta", "America/New_York"),
    ("Bangalore", "Asia/Kolkata"),
    ("Barcelona", "Europe/Madrid"),
    ("Beijing", "Asia/Shanghai"),
    ("Boston", "America/New_York"),
    ("Brasilia", "America/Sao_Paulo"),
    ("Cape_Town", "Africa/Johannesburg"),
    ("Cologne", "Europe/Berlin"),
    ("Dallas", "America/Chicago"),
    ("Delhi", "Asia/Kolkata"),
    ("Edinburgh", "Europe/London"),
    ("Frankfurt", "Europe/Berlin"),
    ("Geneva", "Europe/Zurich"),
    ("Guangzhou", "Asia/Shanghai"),
    ("Hamburg", "Europe/Berlin"),
    ("Hanoi", "Asia/Ho_Chi_Minh"),
    ("Houston", "America/Chicago"),
    ("Islamabad", "Asia/Karachi"),
    ("Las_Vegas", "America/Los_Angeles"),
    ("Manchester", "Europe/London"),
    ("Miami", "America/New_York"),
    ("Milan", "Europe/Rome"),
    ("Mumbai", "Asia/Kolkata"),
    ("Munich", "Europe/Berlin"),
    ("New_Delhi", "Asia/Kolkata"),
    ("Osaka", "Asia/Tokyo"),
    ("Ottawa", "America/Toronto"),
    ("Philadelphia", "America/New_York"),
    ("Rio_de_Janeiro", "America/Sao_Paulo"),
    ("Rotterdam", "Europe/Amsterdam"),
    ("Saint_Petersburg", "Europe/Moscow"),
    ("San_Diego", "America/Los_Angeles"),
    ("San_Francisco", "America/Los_Angeles"),
    ("Seattle", "America/Los_Angeles"),
    ("Seville", "Europe/Madrid"),
    ("Shenzhen", "Asia/Shanghai"),
    ("The_Hague", "Europe/Amsterdam"),
    ("Washington", "America/New_York"),
    ("Wellington", "Pacific/Auckland"),
];

/// The zone of a place that the database does not name, with or without a region in front.
fn zone_of_place(name: &str) -> Option<&'static str> {
    let city = city_of(name).replace(' ', "_");
    PLACES.iter().find(|(place, _)| place.eq_ignore_ascii_case(&city)).map(|(_, zone)| *zone)
}

/// Whether two names differ only in case and in what stands between their words.
fn is_spelled(known: &str, name: &str) -> bool {
    letters(known).eq(letters(name))
}

fn letters(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().filter(|byte| !matches!(byte, b' ' | b'_' | b'-')).map(|byte| byte.to_ascii_lowercase())
}

fn is_etc(name: &str) -> bool {
    name.trim().get(..4).is_some_and(|region| region.eq_ignore_ascii_case("Etc/"))
}

/// The minutes east of Greenwich that `UTC+2`, `GMT-05:30`, `+02:00` or `Z` say.
fn offset_of(name: &str) -> Option<i32> {
    let upper = name.trim().to_ascii_uppercase();
    if upper == "Z" {
        return Some(0);
    }
    let signed = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT")).unwrap_or(&upper).trim();
    let (sign, digits) = match signed.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, signed.strip_prefix('+')?),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None => digits.split_at_checked(2).filter(|(_, minutes)| minutes.len() == 2).unwrap_or((digits, "0")),
    };
    let number = |text: &str| text.parse::<u8>().ok().map(i32::from);
    Some(sign * (number(hours)? * 60 + number(minutes).filter(|minutes| *minutes < 60)?))
}

/// What names a fixed offset. The names of `Etc` count west of Greenwich, so their sign is the other one.
fn fixed_offset(minutes: i32) -> String {
    let place = "where clocks change, use the name of a place, such as `Europe/Berlin`";
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("write `UTC`; {place}"),
        (hours @ -12..=14, 0) => format!("write `Etc/GMT{:+}`, whose sign counts west; {place}", -hours),
        (_, 0) => "no place is so far from Greenwich; use the name of a place, such as `Europe/Berlin`".to_owned(),
        _ => "an offset that is not of whole hours has no name; use the name of a place, such as `Asia/Kolkata`"
            .to_owned(),
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
