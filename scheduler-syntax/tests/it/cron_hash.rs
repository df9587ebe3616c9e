//! `H`: values of a trigger's own.

use std::collections::HashSet;

use scheduler_syntax::cron::CronExpr;

fn resolve(text: &str, seed: &str) -> String {
    CronExpr::parse_hashed(text, seed).unwrap().to_string()
}

/// Stored schedules hold the resolved values, and redeployed ones must come out the same.
#[test]
fn values_never_change() {
    assert_eq!(resolve("H H H * * ?", "billing/nightly"), "28 44 18 * * ?");
    assert_eq!(resolve("0 H/15 * H * ?", "billing/nightly"), "0 14-59/15 * 27 * ?");
    assert_eq!(resolve("@unix H H(1-5) * * H(1-5)", "billing/nightly"), "0 44 3 ? * FRI");
}

#[test]
fn values_differ_from_key_to_key() {
    let seeds: HashSet<_> = (0..50).map(|n| resolve("H H * * * ?", &format!("job-{n}"))).collect();
    assert!(seeds.len() > 45, "only {} of 50", seeds.len());
}

#[test]
fn values_stay_in_their_range() {
    for seed in (0..500).map(|n| n.to_string()) {
        let text = resolve("0 H(20-40) H(9-17)/4 H * ?", &seed);
        let fields: Vec<&str> = text.split(' ').collect();
        assert!((20..=40).contains(&fields[1].parse::<u32>().unwrap()), "{text}");
        let (start, rest) = fields[2].split_once('-').unwrap();
        assert!((9..=12).contains(&start.parse::<u32>().unwrap()) && rest == "17/4", "{text}");
        assert!((1..=28).contains(&fields[3].parse::<u32>().unwrap()), "every month has the day: {text}");
    }
    assert!(resolve("0 5,H(30-31) 2 * * ?", "x").starts_with("0 5,3"));
}

#[test]
fn a_key_is_needed_and_only_then() {
    let error = CronExpr::parse("0 H 2 * * ?").unwrap_err().to_string();
    assert!(
        error.contains("minute field has `H` at column 3") && error.contains("key of a trigger"),
        "{error}"
    );
    for (text, expected) in [
        ("0 H 2 * * ?", true),
        ("0 5,h(1-9) 2 * * ?", true),
        ("@unix H 2 * * *", true),
        ("0 0 2 ? MAR THU", false),
        ("@hourly", false),
        ("", false),
    ] {
        assert_eq!(CronExpr::needs_seed(text), expected, "{text}");
    }
}

#[test]
fn malformed_ones_are_refused() {
    for text in [
        "0 0 2 * * ? H",
        "0 H(5) 2 * * ?",
        "0 H(50-10) 2 * * ?",
        "0 H(0-60) 2 * * ?",
        "0 H-5 2 * * ?",
        "0 H/0 2 * * ?",
        "0 Hello 2 * * ?",
        "0 0 2 HW * ?",
        "0 0 2 ? * H#2",
        "0 0 2 ? * HL",
    ] {
        assert!(CronExpr::parse_hashed(text, "x").is_err(), "{text}");
    }
}
