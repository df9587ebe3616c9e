//! Hints in messages are tried: what a hint says to write is valid and means what the user meant.

use std::time::Duration;

use proptest::prelude::*;
use scheduler_syntax::cron::CronExpr;
use scheduler_syntax::{parse_duration, parse_zone};

/// What stands in the last backticks of a hint.
fn written(hint: &str) -> &str {
    hint.rsplit('`').nth(1).unwrap_or_else(|| panic!("nothing to write in: {hint}"))
}

#[track_caller]
fn says(error: impl std::fmt::Display, expected: &str) {
    let message = error.to_string();
    assert!(message.contains(expected), "{message}");
}

fn unix_field(last: u32) -> impl Strategy<Value = String> {
    let value = move || 0..=last;
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => value().prop_map(|a| a.to_string()),
        1 => (value(), value()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (value(), value()).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

proptest! {
    #[test]
    fn t17_the_hint_for_five_fields_is_what_a_crontab_means(
        minute in unix_field(59), hour in unix_field(23), day in unix_field(6), weekday in unix_field(7),
    ) {
        let day = day.replace('0', "7");
        let unix = format!("{minute} {hour} {day} * {weekday}");
        prop_assume!(CronExpr::parse_unix(&unix).is_ok());
        let error = CronExpr::parse(&unix).unwrap_err();
        let meant = CronExpr::parse(written(error.hint())).unwrap();
        prop_assert_eq!(meant, CronExpr::parse_unix(&unix).unwrap());
    }
}

/// A field with a value that the parser refuses, among fields that it takes.
fn with_field(template: &str, value: &str) -> String {
    template.replace('X', value)
}

proptest! {
    #[test]
    fn a_wrapped_range_of_a_crontab_is_two_ranges(
        (index, a, b, step) in (0_usize..5, 0_u16..60, 0_u16..60, 1_u16..8),
    ) {
        let (first, last) = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)][index];
        let (a, b) = (first + a % (last - first + 1), first + b % (last - first + 1));
        prop_assume!(a > b);
        let range = if step == 1 { format!("{a}-{b}") } else { format!("{a}-{b}/{step}") };
        let template = ["X * * * *", "0 X * * *", "0 0 X * *", "0 0 1 X *", "0 0 * * X"][index];
        let error = CronExpr::parse_unix(&with_field(template, &range)).unwrap_err();
        let meant = CronExpr::parse_unix(&with_field(template, written(error.hint()))).unwrap();
        let values = (0..=(last - a + b - first + 1) / step).map(|n| a + n * step);
        let listed = values.map(|v| if v > last { v - (last - first + 1) } else { v }.to_string());
        let listed = listed.collect::<Vec<_>>().join(",");
        let expected = CronExpr::parse_unix(&with_field(template, &listed)).unwrap();
        let asked = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let fires = |expr: &CronExpr| expr.next_n(asked, chrono_tz::UTC, Default::default(), 70);
        prop_assert_eq!(fires(&meant), fires(&expected), "{}", error);
    }
}

#[test]
fn wrapped_ranges_of_a_crontab_are_spelled() {
    let hint = |text: &str| written(CronExpr::parse(text).unwrap_err().hint()).to_owned();
    assert_eq!(hint("@unix 10-5 * * * *"), "10-59,0-5");
    assert_eq!(hint("@unix 0 22-2/2 * * *"), "22,0,2");
    assert_eq!(hint("@unix 0 0 * * 5-1"), "FRI-SAT,SUN-MON");
    assert_eq!(hint("@unix 0 0 * * 6-0"), "SAT,SUN");
    assert_eq!(hint("@unix 0 0 * * FRI-TUE"), "FRI-SAT,SUN-TUE");
    assert_eq!(hint("@unix 0 0 * * 7-1"), "SUN-MON");
    assert_eq!(hint("@unix 0 0 1 NOV-FEB *"), "NOV-DEC,JAN-FEB");
    assert!(CronExpr::parse("0 10-5 * * * ?").is_ok(), "Quartz goes around the end");
}

#[test]
fn a_range_has_two_ends() {
    for (template, open, closed) in [
        ("0 0 X * * ?", "12-", "12-23"),
        ("0 0 X * * ?", "-5", "0-5"),
        ("0 X 0 * * ?", "-", "*"),
        ("0 0 0 X * ?", "-5", "1-5"),
        ("0 0 0 1 X ?", "OCT-", "OCT-DEC"),
        ("0 0 0 ? * X", "-WED", "SUN-WED"),
        ("0 0 0 ? * X", "5-", "5-7"),
        ("0 0 0 1 1 ? X", "2030-", "2030-2199"),
        ("@unix 0 0 * * X", "-5", "0-5"),
        ("@unix 0 0 * * X", "5-", "5-7"),
    ] {
        let error = CronExpr::parse(&with_field(template, open)).unwrap_err();
        assert_eq!(written(error.hint()), closed, "{error}");
        assert!(CronExpr::parse(&with_field(template, closed)).is_ok(), "{error}");
    }
    says(CronExpr::parse("0 0 99- * * ?").unwrap_err(), "use 0-23");
    says(CronExpr::parse("0 0 0 -L * ?").unwrap_err(), "use 1-31");
}

#[test]
fn a_range_before_l_or_an_ordinal_is_a_trigger_for_each_day() {
    for (range, days) in [("MON-WED#2", ["MON#2", "TUE#2", "WED#2"]), ("6-1L", ["FRIL", "SATL", "SUNL"])] {
        let error = CronExpr::parse(&format!("0 0 9 ? * {range}")).unwrap_err();
        for day in days {
            assert!(error.hint().contains(&format!("`{day}`")), "{error}");
            assert!(CronExpr::parse(&format!("0 0 9 ? * {day}")).is_ok(), "{day}");
        }
    }
}

#[test]
fn t17_days_of_the_week_keep_their_meaning() {
    let hint = |text: &str| written(CronExpr::parse(text).unwrap_err().hint()).to_owned();
    assert_eq!(hint("0 9 * * 1-5"), "0 0 9 ? * MON-FRI");
    assert_eq!(hint("0 9 * * 0"), "0 0 9 ? * SUN");
    assert_eq!(hint("0 0 13 * 5"), "@unix 0 0 13 * 5");
    assert_eq!(hint("H 9 * * 1-5"), "@unix H 9 * * 1-5");
    assert_eq!(hint("30 2 ? * MON"), "0 30 2 ? * MON");
}

#[test]
fn n11_six_fields_without_a_question_mark() {
    let refused = |text: &str| CronExpr::parse(text).unwrap_err();
    says(refused("0 0 2 * * *"), "write `0 0 2 * * ?`");
    says(refused("0 0 9 * * MON-FRI"), "write `0 0 9 ? * MON-FRI`");
    says(refused("0 0 9 * * 1-5"), "write `0 0 9 ? * MON-FRI` if Monday is 1, as in Spring");
    says(refused("0 0 9 * * 1-5"), "or `0 0 9 ? * 1-5` if Sunday is 1");
    says(refused("0 0 9 13 * 5"), "or `@unix 0 9 13 * 5` if either day is enough");
}

#[test]
fn zones_and_macros_of_other_crontabs_are_explained() {
    for text in ["CRON_TZ=Europe/Berlin 0 9 * * *", "TZ=Europe/Berlin 0 0 9 * * ?"] {
        says(CronExpr::parse(text).unwrap_err(), "set the time zone of the trigger to `Europe/Berlin`");
        says(CronExpr::parse_unix(text).unwrap_err(), "set the time zone of the trigger");
    }
    says(CronExpr::parse("TZ=Asia/Beijing 0 9 * * *").unwrap_err(), "did you mean `Asia/Shanghai`?");
    says(CronExpr::parse("@every 1.5h").unwrap_err(), "write `1h30m`");
    says(CronExpr::parse("@every now and then").unwrap_err(), "of a valid length");
    says(CronExpr::parse("@every").unwrap_err(), "`Trigger::every(…)`");
    says(CronExpr::parse("@reboot").unwrap_err(), "`before_start`");
    for text in ["@secondly", "@minutely", "@noon", "@quarterly", "@weekdays", "@weekends"] {
        let error = CronExpr::parse(text).unwrap_err();
        assert!(CronExpr::parse(written(error.hint())).is_ok(), "{error}");
    }
    says(CronExpr::parse("@every 5m").unwrap_err(), "`every = \"5m\"`");
    says(CronExpr::parse("@minutely").unwrap_err(), "write `0 * * * * ?`");
    says(CronExpr::parse("@weekdays").unwrap_err(), "write `0 0 0 ? * MON-FRI`");
}

#[test]
fn t18_offsets_and_places_get_their_own_zone() {
    for (name, zone) in [
        ("GMT+2", "Etc/GMT-2"),
        ("UTC+2", "Etc/GMT-2"),
        ("utc-05:00", "Etc/GMT+5"),
        ("+0200", "Etc/GMT-2"),
        ("UTC+0", "UTC"),
        ("America/San_Francisco", "America/Los_Angeles"),
        ("Asia/Beijing", "Asia/Shanghai"),
        ("Europe/Frankfurt", "Europe/Berlin"),
        ("Asia/Bangalore", "Asia/Kolkata"),
        ("Rio de Janeiro", "America/Sao_Paulo"),
        ("Cape_Town", "Africa/Johannesburg"),
    ] {
        let error = parse_zone(name).unwrap_err();
        assert!(error.hint().contains(&format!("`{zone}`")), "{error}");
        assert!(parse_zone(zone).is_ok(), "{zone}");
    }
    for name in ["UTC+5:30", "GMT+15", "America/Nowhere_At_All"] {
        let error = parse_zone(name).unwrap_err();
        assert!(!error.hint().contains("did you mean") && !error.hint().contains("Etc/"), "{error}");
    }
}

#[test]
fn durations_of_other_programs_are_spelled() {
    for (text, seconds) in [
        ("PT1H30M", 5_400),
        ("P1DT12H", 129_600),
        ("00:05:00", 300),
        ("5 min", 300),
        ("2 hours 30 minutes", 9_000),
        ("1.5h", 5_400),
    ] {
        let error = parse_duration(text).unwrap_err().to_string();
        assert_eq!(parse_duration(written(&error)).unwrap(), Duration::from_secs(seconds), "{error}");
    }
    for text in ["P1M", "05:00", "1.0000000001s", "P", "PT"] {
        let error = parse_duration(text).unwrap_err().to_string();
        assert!(!error.contains("; write `"), "{error}");
    }
}

proptest! {
    #[test]
    fn five_fields_with_a_range_around_the_end_mean_its_values(
        (index, a, b, step) in (0_usize..5, 0_u16..60, 0_u16..60, 1_u16..8),
    ) {
        let (first, last) = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)][index];
        let (a, b) = (first + a % (last - first + 1), first + b % (last - first + 1));
        prop_assume!(a > b);
        let template = ["X * * * *", "0 X * * *", "0 0 X * *", "0 0 1 X *", "0 0 * * X"][index];
        let error = CronExpr::parse(&with_field(template, &format!("{a}-{b}/{step}"))).unwrap_err();
        let meant = CronExpr::parse(written(error.hint())).unwrap();
        let size = last - first + 1;
        let values = (a..=b + size).step_by(step.into());
        let values = values.map(|value| if value > last { value - size } else { value }.to_string());
        let listed = with_field(template, &values.collect::<Vec<_>>().join(","));
        let expected = CronExpr::parse_unix(&listed).unwrap();
        let asked = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let fires = |expr: &CronExpr| expr.next_n(asked, chrono_tz::UTC, Default::default(), 70);
        prop_assert_eq!(fires(&meant), fires(&expected), "{}", error);
    }
}

#[test]
fn five_fields_are_mended_before_the_second_is_put_in_front() {
    for (five, meant) in [
        ("10-5 * * * *", "0 10-59,0-5 * * * ?"),
        ("0 22-6 13 * 5", "@unix 0 22-23,0-6 13 * 5"),
        ("0 9 13 * 5-1", "@unix 0 9 13 * FRI-SAT,SUN-MON"),
        ("22-6 22-6 * * MONDAY", "0 22-59,0-6 22-23,0-6 ? * MON"),
        ("0 9 1 JANUARY *", "0 0 9 1 JAN ?"),
        ("0 9 L * *", "0 0 9 L * ?"),
        ("0 9 15W * *", "0 0 9 15W * ?"),
        ("0 9 * * 5L", "0 0 9 ? * FRIL"),
        ("0 9 * * 1#2", "0 0 9 ? * MON#2"),
        ("0 9 ? * 2", "0 0 9 ? * 2"),
        ("@both 0 9 1-7 * 1", "@both 0 0 9 1-7 * MON"),
    ] {
        let error = CronExpr::parse(five).unwrap_err();
        assert_eq!(written(error.hint()), meant, "{error}");
        assert!(CronExpr::parse(meant).is_ok(), "{meant}");
    }
    for five in ["61 * * * *", "0 9 L * 5", "0 9 * * JUN"] {
        let error = CronExpr::parse(five).unwrap_err();
        assert!(!error.hint().contains('`'), "{error}");
    }
}

#[test]
fn two_day_fields_are_joined_by_the_way_that_can_say_it() {
    let refused = |text: &str| CronExpr::parse(text).unwrap_err();
    says(refused("0 0 9 13 * FRI"), "or `@both 0 0 9 13 * FRI` if a day must match both");
    says(refused("5 0 9 1-7 * MON 2027"), "or `@both 5 0 9 1-7 * MON 2027` if a day must match both");
    let numbered = refused("0 0 9 13 * 5");
    says(&numbered, "`@unix 0 9 13 * 5` if either day is enough");
    says(&numbered, "`@both 0 0 9 13 * FRI` if a day must match both and Monday is 1, as in Spring");
    says(&numbered, "or `@both 0 0 9 13 * 5` if Sunday is 1");
    for text in ["0 0 9 L * FRI", "0 0 9 15W * FRI", "0 0 9 1 * MON#1"] {
        assert!(!refused(text).hint().contains('@'), "{}", refused(text));
    }
    says(refused("0 0 9 * * 5L"), "write `0 0 9 ? * FRIL` if Monday is 1");
    says(refused("0 0 9 * * 5#2"), "or `0 0 9 ? * 5#2` if Sunday is 1");
    says(refused("0 0 9 * * FRI#2"), "write `0 0 9 ? * FRI#2`");
}

#[test]
fn names_and_marks_of_days_are_hinted_without_doubt() {
    for (text, meant) in [
        ("0 0 0 1 SEPT ?", "did you mean SEP?"),
        ("0 0 0 1 MA ?", "did you mean MAR or MAY?"),
        ("0 0 0 1 JU ?", "did you mean JUN or JUL?"),
        ("0 0 0 ? * TUN", "did you mean SUN or TUE?"),
        ("0 0 0 ? * THURS", "did you mean THU?"),
        ("0 0 0 ? * LFRI", "did you mean `FRIL`?"),
        ("0 0 0 W15 * ?", "did you mean `15W`?"),
        ("0 0 0 WL * ?", "did you mean `LW`?"),
        ("0 0 0 1 JAN/3 ?", "`JAN-DEC/3`"),
        ("0 0 0 ? * MON/4", "`MON-SAT/4`"),
        ("0 0 9 ? * 0-4", "1 is Sunday"),
        ("@every5m", "`every = \"5m\"`"),
    ] {
        says(CronExpr::parse(text).unwrap_err(), meant);
    }
}

#[test]
fn a_unit_with_two_meanings_has_no_hint() {
    for text in ["1M", "2h 1M"] {
        let error = parse_duration(text).unwrap_err().to_string();
        assert!(!error.contains("write"), "{error}");
    }
}

#[test]
fn a_number_in_front_of_other_text_is_not_called_seconds() {
    for text in ["1 000 s", "1_000ms", "5'", "1+2s"] {
        let error = parse_duration(text).unwrap_err().to_string();
        assert!(!error.contains("for seconds"), "{error}");
    }
    assert!(parse_duration("1h 30").unwrap_err().to_string().contains("write `30s` for seconds"));
}

#[test]
fn hints_for_zones_do_not_move_the_clock() {
    for (text, meant) in [
        ("New York", "`America/New_York`"),
        ("los angeles", "`America/Los_Angeles`"),
        ("America/NewYork", "`America/New_York`"),
        ("PORT-AU-PRINCE", "`America/Port-au-Prince`"),
        ("Z", "`UTC`"),
        ("UTC-13", "no place is so far from Greenwich"),
        ("+15:00", "no place is so far from Greenwich"),
        ("UTC+5:45", "Asia/Kolkata"),
    ] {
        says(parse_zone(text).unwrap_err(), meant);
    }
    for text in ["Etc/GMT+13", "etc/gmt-15", "Etc/UTC+2", "Etc/GMT+2:30"] {
        let error = parse_zone(text).unwrap_err();
        assert!(!error.hint().contains("did you mean"), "{error}");
    }
    says(parse_zone("etc/gmt-5").unwrap_err(), "did you mean `Etc/GMT-5`?");
}
