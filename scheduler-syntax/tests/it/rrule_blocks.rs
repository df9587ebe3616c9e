//! Rules with the lines that calendar programs export around them.

use scheduler_syntax::rrule::RecurrenceRule;

#[test]
fn m4_lines_beside_a_rule_say_where_they_belong() {
    let rule = "RRULE:FREQ=WEEKLY;BYDAY=MO";
    for (line, expected) in [
        (
            "DTSTART;TZID=Europe/Berlin:20260302T090000",
            "`DTSTART` is no part of a rule; set the start of the trigger, and its time zone",
        ),
        ("dtstart:20260302T090000Z", "`DTSTART` is no part of a rule; set the start of the trigger"),
        (
            "EXDATE;TZID=Europe/Berlin:20260309T090000",
            "`EXDATE` is no part of a rule; leave its dates out by a calendar",
        ),
        ("EXRULE:FREQ=YEARLY", "`EXRULE` is no part of a rule; leave its times out by a calendar"),
        ("RDATE:20260310T090000Z", "`RDATE` is no part of a rule; make another trigger"),
        ("DTEND:20260302T100000Z", "`DTEND` is no part of a rule; leave it out"),
        ("DURATION:PT1H", "`DURATION` is no part of a rule; leave it out"),
        ("RRULE:FREQ=DAILY", "`RRULE:FREQ=DAILY` is a second line; put each rule into a trigger of its own"),
    ] {
        for text in [format!("{rule}\n{line}"), format!("{rule}\r\n{line}\r\n")] {
            let error = RecurrenceRule::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        if !line.starts_with("RRULE") {
            for text in [line.to_owned(), format!("{line}\n{rule}")] {
                let error = RecurrenceRule::parse(&text).unwrap_err().to_string();
                assert!(error.contains(expected), "{text}: {error}");
            }
        }
    }
    let whole = "DTSTART:20260302T090000Z\nRRULE:FREQ=DAILY\nEXDATE:20260303T090000Z";
    let error = RecurrenceRule::parse(whole).unwrap_err().to_string();
    assert!(error.contains("DTSTART") && error.contains("EXDATE"), "every line is named: {error}");
}

#[test]
fn m4_a_rule_alone_may_be_folded() {
    let plain = RecurrenceRule::parse("FREQ=MONTHLY;BYDAY=MO,TU,WE").unwrap();
    for text in [
        "RRULE:FREQ=MONTHLY;BY\r\n DAY=MO,TU,WE\r\n",
        "\nRRULE:FREQ=MONTHLY;BYDAY=MO,\n\tTU,WE\n\n",
        "rrule:freq=monthly;byday=mo,tu,we",
    ] {
        assert_eq!(RecurrenceRule::parse(text).unwrap(), plain, "{text}");
    }
}
