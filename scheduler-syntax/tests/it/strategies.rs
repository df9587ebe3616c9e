//! Random expressions, zones and instants.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::sample::select;
use scheduler_syntax::cron::{CronExpr, DstPolicy, Gap, Overlap};

/// Zones with every kind of change, and the second at which one happens: forward and back, by half an hour and by
/// three, at midnight and at noon, and the day that Samoa left out.
pub(crate) const CHANGES: [(Tz, i64); 22] = [
    (Tz::Europe__Berlin, 1_774_746_000),
    (Tz::Europe__Berlin, 1_792_890_000),
    (Tz::America__New_York, 1_710_054_000),
    (Tz::America__New_York, 1_730_613_600),
    (Tz::Australia__Lord_Howe, 1_554_562_800),
    (Tz::Australia__Lord_Howe, 1_570_289_400),
    (Tz::Antarctica__Troll, 1_711_846_800),
    (Tz::Antarctica__Troll, 1_729_990_800),
    (Tz::Antarctica__Casey, 1_267_714_800),
    (Tz::Antarctica__Casey, 1_255_802_400),
    (Tz::America__Santiago, 1_567_915_200),
    (Tz::America__Santiago, 1_554_606_000),
    (Tz::Asia__Beirut, 1_711_836_000),
    (Tz::Asia__Beirut, 1_729_976_400),
    (Tz::America__St_Johns, 1_130_639_460),
    (Tz::America__St_Johns, 1_143_948_660),
    (Tz::Pacific__Chatham, 1_727_532_000),
    (Tz::Pacific__Chatham, 1_712_412_000),
    (Tz::America__Caracas, 1_197_183_600),
    (Tz::America__Caracas, 1_462_086_000),
    (Tz::Africa__Casablanca, 1_710_036_000),
    (Tz::Pacific__Apia, 1_325_239_200),
];

pub(crate) fn zone() -> impl Strategy<Value = Tz> {
    select(CHANGES.map(|(zone, _)| zone).to_vec()).prop_union(select(chrono_tz::TZ_VARIANTS.to_vec()))
}

/// From 1965 to 2150.
pub(crate) fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (-157_766_400_000..5_680_281_600_000_i64)
        .prop_map(|millis| DateTime::from_timestamp_millis(millis).unwrap())
}

pub(crate) fn policy() -> impl Strategy<Value = DstPolicy> {
    let gap = select(vec![Gap::RunAfter, Gap::Shift, Gap::Skip]);
    let overlap = select(vec![Overlap::First, Overlap::Second, Overlap::Both]);
    (gap, overlap).prop_map(|(gap, overlap)| DstPolicy { gap, overlap })
}

/// Values, ranges and steps of a field, without what only Quartz knows.
pub(crate) fn plain_field(first: u32, last: u32) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        3 => (first..=last).prop_map(|value| value.to_string()),
        1 => (first..=last, first..=last).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (first..=last, 1..=last).prop_map(|(start, step)| format!("{start}/{step}")),
        1 => (first..=last, first..=last, 1..=last)
            .prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        1 => (1..=last).prop_map(|step| format!("*/{step}")),
    ];
    prop_oneof![
        1 => Just("*".to_owned()),
        3 => prop::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
    ]
}

/// As [`plain_field`], with ranges that wrap around.
fn field(first: u32, last: u32) -> impl Strategy<Value = String> {
    let wrapping = (first..=last, first..=last).prop_map(|(a, b)| format!("{a}-{b}"));
    prop_oneof![4 => plain_field(first, last), 1 => wrapping]
}

/// Both day fields with the month between them.
fn days() -> impl Strategy<Value = String> {
    let special = select(vec!["L", "L-3", "LW", "L-2W", "1W", "15W", "31W", "1,15,L", "2W,16", "29"]);
    let of_month = prop_oneof![2 => field(1, 31), 1 => special.prop_map(str::to_owned)];
    let weekly = select(vec!["6L", "2#1", "6#5", "L", "MON-FRI", "FRI-MON"]);
    let of_week = prop_oneof![1 => field(1, 7), 1 => weekly.prop_map(str::to_owned)];
    let month = || prop_oneof![2 => Just("*".to_owned()), 1 => field(1, 12)];
    prop_oneof![
        (of_month, month()).prop_map(|(day, month)| format!("{day} {month} ?")),
        (month(), of_week).prop_map(|(month, day)| format!("? {month} {day}")),
    ]
}

pub(crate) fn expression() -> impl Strategy<Value = CronExpr> {
    let year = prop_oneof![4 => Just(String::new()), 1 => plain_field(1970, 2199)];
    (field(0, 59), field(0, 59), field(0, 23), days(), year)
        .prop_map(|(second, minute, hour, days, year)| format!("{second} {minute} {hour} {days} {year}"))
        .prop_filter_map("steps of years are limited", |text| CronExpr::parse(&text).ok())
}

/// Expressions that fire a few times in the hours around midnight and the usual changes.
pub(crate) fn nightly() -> impl Strategy<Value = CronExpr> {
    let second = select(vec!["0", "0", "30", "5,35", "0/20"]);
    let minute = select(vec!["0", "30", "59", "0,15,45", "1-3", "0/15", "*"]);
    let hour = select(vec!["0", "1", "2", "3", "23", "0,2,3", "1,2", "1-3", "23-2", "0/2", "*"]);
    (second, minute, hour).prop_map(|(second, minute, hour)| {
        CronExpr::parse(&format!("{second} {minute} {hour} * * ?")).unwrap()
    })
}
