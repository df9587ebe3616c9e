//! Expressions in words.

use scheduler_syntax::cron::CronExpr;

#[track_caller]
fn words(text: &str, expected: &str) {
    assert_eq!(CronExpr::parse(text).unwrap().describe(), expected, "{text}");
}

#[test]
fn times_of_day() {
    words("0 30 2 * * ?", "at 02:30");
    words("15 30 2 * * ?", "at 02:30:15");
    words("0 0 0/6 * * ?", "at 00:00, 06:00, 12:00 and 18:00");
    words("0 15 8-12,14-18 * * ?", "at minute 15, in the hours 08 to 12 and 14 to 18");
    words("0 0 22-2 * * ?", "at 00:00 to 02:00, 22:00 and 23:00");
}

#[test]
fn steady_repetition() {
    words("* * * * * ?", "every second");
    words("0/5 * * * * ?", "every 5 seconds");
    words("0 * * * * ?", "every minute");
    words("0 0/5 * * * ?", "every 5 minutes");
    words("0 0 * * * ?", "every hour");
    words("0 0 0/2 * * ?", "every 2 hours");
    words("0 0 1/2 * * ?", "every 2 hours from 01:00 to 23:00");
    words("0 0 8-18 ? * *", "every hour from 08:00 to 18:00");
    words("0 0/15 8-17 ? JUN-AUG *", "every 15 minutes, between 08:00 and 17:59, in June to August");
}

#[test]
fn uneven_repetition_is_not_called_steady() {
    words("0 0/7 * * * ?", "every 7 minutes from minute 0 to 56");
    words("0 7/10 * * * ?", "every 10 minutes from minute 7 to 57");
    words("0 30 * * * ?", "at minute 30 of every hour");
    words("15 0/5 * * * ?", "at second 15, every 5 minutes");
    words("15,45 * * * * ?", "at second 15 and 45 of every minute");
    words("* 30 * * * ?", "every second, at minute 30 of every hour");
    words("* 0 2 * * ?", "every second, at minute 0, between 02:00 and 02:59");
}

#[test]
fn days() {
    words("0 30 2 ? * MON-FRI", "at 02:30, Monday to Friday");
    words("0 0 12 ? * FRI-MON", "at 12:00, on Monday and Friday to Sunday");
    words("0 0 0 1,15,L * ?", "at 00:00, on the 1st, the 15th and the last day of the month");
    words("0 0 0 L-3 * ?", "at 00:00, on the 3rd day before the last of the month");
    words("0 0 0 1/3 * ?", "at 00:00, on every 3rd day from the 1st to the 31st of the month");
    words("0 15 10 ? * 6L", "at 10:15, on the last Friday of the month");
    words("0 15 10 ? * 6#3", "at 10:15, on the 3rd Friday of the month");
    words(
        "0 0 12 LW,1W * ?",
        "at 12:00, on the weekday nearest to the 1st and the last weekday of the month",
    );
    words("@unix 0 0 13 * 5", "at 00:00, on the 13th of the month or on Friday");
}

#[test]
fn months_and_years() {
    words("0 0 12 ? NOV-FEB MON", "at 12:00, on Monday, in January, February, November and December");
    words("0 0 12 1 1 ? 2030-2032", "at 12:00, on the 1st of the month, in January, in 2030 to 2032");
    words(
        "0 0 12 1 1 ? */2",
        "at 12:00, on the 1st of the month, in January, every 2nd year from 1970 to 2198",
    );
}
