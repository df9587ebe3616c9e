//! Any text: refused, or read, printed, read again, and searched in order.
#![no_main]

use chrono::DateTime;
use chrono_tz::Tz;
use libfuzzer_sys::fuzz_target;
use scheduler_syntax::DstPolicy;
use scheduler_syntax::rrule::RecurrenceRule;

fuzz_target!(|input: (u32, u32, bool, &str)| {
    let (start, after, berlin, text) = input;
    let Ok(rule) = RecurrenceRule::parse(text) else { return };
    assert_eq!(RecurrenceRule::parse(rule.as_str()).unwrap(), rule);
    let zone = if berlin { Tz::Europe__Berlin } else { Tz::UTC };
    let start = DateTime::from_timestamp(i64::from(start), 0).unwrap();
    let mut asked = DateTime::from_timestamp(i64::from(after), 0).unwrap();
    for _ in 0..3 {
        let Some(next) = rule.next_after(start, asked, zone, DstPolicy::RFC_5545) else { break };
        assert!(next > asked && next >= start);
        asked = next;
    }
});
