//! Durations, backoffs, zones and names: any text is refused or means something that can be printed and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scheduler_core::JobKey;
use scheduler_syntax::{format_duration, parse_backoff, parse_duration, parse_zone};

fuzz_target!(|text: &str| {
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
    }
    if let Ok(backoff) = parse_backoff(text) {
        assert_eq!(parse_backoff(&backoff.to_string()).unwrap(), backoff);
    }
    if let Ok(zone) = parse_zone(text) {
        assert_eq!(parse_zone(zone.name()).unwrap(), zone);
    }
    if let Ok(key) = text.parse::<JobKey>() {
        assert_eq!(key.to_string().parse::<JobKey>().unwrap(), key);
    }
});
