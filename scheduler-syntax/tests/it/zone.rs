//! Zone names, right and wrong.

use chrono_tz::Tz;
use scheduler_syntax::parse_zone;

#[track_caller]
fn refused(name: &str, expected: &str) {
    let message = parse_zone(name).unwrap_err().to_string();
    assert!(message.starts_with(&format!("`{name}` is no time zone; ")), "{message}");
    assert!(message.contains(expected), "{message}");
}

#[test]
fn wrong_names_get_a_suggestion() {
    assert_eq!(parse_zone("Europe/Berlin"), Ok(Tz::Europe__Berlin));
    assert_eq!(parse_zone("UTC"), Ok(Tz::UTC));
    refused("Europe/Berln", "did you mean `Europe/Berlin`?");
    refused("europe/berlin", "did you mean `Europe/Berlin`?");
    refused("Berlin", "did you mean `Europe/Berlin`?");
    refused("utc", "did you mean `UTC`?");
    refused(" UTC", "did you mean `UTC`?");
    refused("America/NewYork", "did you mean `America/New_York`?");
}

#[test]
fn abbreviations_are_no_zones() {
    for name in ["CEST", "PDT", "IST", "BST"] {
        refused(name, "IANA");
    }
    refused("Mars/Base", "use a name of the IANA database, such as `Europe/Berlin` or `UTC`");
    refused("", "IANA");
}
