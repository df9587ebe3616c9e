//! Any text: refused with a place in it, or read, printed, read again, and searched in order.
#![no_main]

use chrono::DateTime;
use chrono_tz::Tz;
use libfuzzer_sys::fuzz_target;
use scheduler_syntax::cron::CronExpr;
use scheduler_syntax::{DstPolicy, Gap, Overlap};

const POLICIES: [DstPolicy; 3] = [
    DstPolicy { gap: Gap::RunAfter, overlap: Overlap::First },
    DstPolicy { gap: Gap::Shift, overlap: Overlap::Second },
    DstPolicy { gap: Gap::Skip, overlap: Overlap::Both },
];

fuzz_target!(|input: (u32, u8, &str)| {
    let (second, choice, text) = input;
    for parsed in [CronExpr::parse_hashed(text, "group/name"), CronExpr::parse_unix(text)] {
        let expr = match parsed {
            Ok(expr) => expr,
            Err(error) => {
                assert!(text.get(error.span()).is_some() && !error.to_string().is_empty());
                continue;
            }
        };
        assert_eq!(CronExpr::parse(expr.as_str()).unwrap(), expr);
        assert!(!expr.describe().is_empty());
        let zone = [Tz::UTC, Tz::Europe__Berlin, Tz::Australia__Lord_Howe, Tz::Pacific__Apia][usize::from(choice) % 4];
        let policy = POLICIES[usize::from(choice / 4) % 3];
        let mut asked = DateTime::from_timestamp(i64::from(second), 0).unwrap();
        for _ in 0..3 {
            let Some(next) = expr.next_after(asked, zone, policy) else { break };
            assert!(next > asked && expr.matches(next, zone, policy));
            asked = next;
        }
    }
});
