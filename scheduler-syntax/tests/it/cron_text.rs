//! Which texts are expressions, and what is said about the others.

use scheduler_syntax::cron::CronExpr;

#[track_caller]
fn refused(text: &str, expected: &str) {
    match CronExpr::parse(text) {
        Ok(parsed) => panic!("`{text}` was read as {parsed:?}"),
        Err(error) => assert!(error.to_string().contains(expected), "`{text}`: {error}"),
    }
}

#[test]
fn errors_name_field_column_value_and_way_out() {
    refused("0 0 12 1 13 ?", "month field has `13` at column 10; use 1-12 or JAN-DEC");
    refused("0 0 24 * * ?", "hour field has `24` at column 5; use 0-23");
    refused("0 0 12 ? * MOM", "day-of-week field has `MOM` at column 12; did you mean MON?");
    refused("*/5 * * * *", "with the second in front it is `0 */5 * * * ?`");
    refused("0 30 2 * * *", "write `?` in exactly one of the two");
    refused("0 30 2 ? * ?", "`?` in both day fields");
    refused("0 0/0 2 * * ?", "a step is a number from 1 to 59");
    refused("0 0 12 ? * MON/2", "ambiguous");
    refused("0 0 12 ? * 6#6", "third Friday");
    refused("0 0 12 ? * 6#1,2", "stands alone");
    refused("0 0 12 L-31 * ?", "n of at most 30");
    refused("0 0 12 1, * ?", "empty item");
    refused("? 0 12 1 * ?", "write `*`");
    refused("0 0 12 1 * ? 2030-2020", "write `2020-2030`");
    refused("0 0 12 1 * ? 2020 x", "has 8 fields");
    refused("@dayly", "did you mean `@daily`?");
    refused("@reboot", "start-up job");
    refused("H 0 12 1 * ?", "known where the trigger has a name");
    refused("", "empty");
}

#[test]
fn the_text_is_normalised() {
    let text = |text: &str| CronExpr::parse(text).unwrap().to_string();
    assert_eq!(text("  0 0\t12 ? jan-mar   mon "), "0 0 12 ? JAN-MAR MON");
    assert_eq!(text("@daily"), "0 0 0 * * ?");
}

#[test]
fn hashed_values_are_stable_and_differ_by_seed() {
    let resolve = |seed: &str| CronExpr::parse_hashed("H H(0-29)/10 H(1-5) * * ?", seed).unwrap().to_string();
    assert_eq!(resolve("billing/nightly"), resolve("billing/nightly"));
    let seeds: std::collections::HashSet<_> = (0..50).map(|n| resolve(&format!("job-{n}"))).collect();
    assert!(seeds.len() > 40, "only {} of 50", seeds.len());
}

#[test]
fn words() {
    for (text, expected) in [
        ("0 30 2 ? * MON-FRI", "at 02:30, Monday to Friday"),
        ("0 0/5 * * * ?", "every 5 minutes"),
        ("0/5 * * * * ?", "every 5 seconds"),
        ("* * * * * ?", "every second"),
        ("0 * * * * ?", "every minute"),
        ("0 0 * * * ?", "every hour"),
        ("0 0 0 L * ?", "at 00:00, on the last day of the month"),
        ("0 15 10 ? * 6L", "at 10:15, on the last Friday of the month"),
        ("0 15 10 ? * 6#3", "at 10:15, on the 3rd Friday of the month"),
        ("0 0 12 1W * ? 2030", "at 12:00, on the weekday nearest to the 1st of the month, in 2030"),
        ("0 0/15 8-17 ? JUN-AUG *", "every 15 minutes, in hour 08 to 17, in June to August"),
        ("0 0 0/6 * * ?", "at 00:00, 06:00, 12:00 and 18:00"),
    ] {
        assert_eq!(CronExpr::parse(text).unwrap().describe(), expected, "{text}");
    }
}
