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

fn refused(text: &str) -> String {
    RecurrenceRule::parse(text).unwrap_err().to_string()
}

#[test]
fn a_start_is_explained_by_its_form() {
    for (line, expected) in [
        ("DTSTART;TZID=Europe/Berlin:20260302T090000", "its time zone to `Europe/Berlin`"),
        (
            "DTSTART;VALUE=DATE-TIME;TZID=\"Europe/Berlin\":20260302T090000",
            "its time zone to `Europe/Berlin`",
        ),
        ("dtstart;tzid=Europe/Berln:20260302T090000", "did you mean `Europe/Berlin`?"),
        ("DTSTART:20260302T090000Z", "its time zone to `UTC`"),
        ("DTSTART;VALUE=DATE:20260302", "to the beginning of that day in its time zone"),
        ("DTSTART:20260302T090000", "to that time in its time zone"),
        ("TZID:Europe/Berlin", "set the time zone of the trigger to `Europe/Berlin`"),
    ] {
        for text in [format!("{line}\nRRULE:FREQ=DAILY"), format!("\r\n{line}\r\nRRULE:FREQ=DAILY\r\n\r\n")] {
            assert!(refused(&text).contains(expected), "{text}: {}", refused(&text));
        }
    }
    assert!(refused("DTSTART:20260302T090000Z RRULE:FREQ=DAILY").contains("its time zone to `UTC`"));
}

#[test]
fn a_whole_event_is_refused_line_by_line() {
    let event = "BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:DAYLIGHT\r\n\
                 DTSTART:19810329T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\nEND:DAYLIGHT\r\n\
                 END:VTIMEZONE\r\nBEGIN:VEVENT\r\nSUMMARY:Tea; biscuits\r\nRRULE:FREQ=DAILY\r\n\
                 EXDATE:20260303T090000Z,\r\n 20260304T090000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let error = refused(event);
    for expected in [
        "`VCALENDAR` is no part of a rule; write only its `RRULE`",
        "`VTIMEZONE` is no part of a rule; leave it out",
        "set the time zone of the trigger to `Europe/Berlin`",
        "`SUMMARY` is no part of a rule; leave it out",
        "`EXDATE` is no part of a rule",
    ] {
        assert_eq!(error.matches(expected).count(), 1, "{expected}: {error}");
    }
    assert!(
        !error.contains("DTSTART") && !error.contains("second line"),
        "the zone has rules of its own: {error}"
    );
    assert!(refused("begin:vevent\nrrule:freq=daily\nend:vevent").contains("`VEVENT` is no part"));
}

#[test]
fn lines_that_an_editor_has_moved_are_read_or_explained() {
    let daily = RecurrenceRule::parse("FREQ=DAILY").unwrap();
    for text in
        ["\n\n  \nRRULE:FREQ=DAILY\n\n  \n", "  RRULE:FREQ=DAILY", "RRULE:FREQ=DAILY\r", "\trrule:freq=daily"]
    {
        assert_eq!(RecurrenceRule::parse(text).unwrap(), daily, "{text:?}");
    }
    for (text, expected) in [
        ("    RRULE:FREQ=DAILY\n    EXDATE:20260303T090000Z", "`EXDATE` is no part of a rule"),
        ("DTSTART:20260302T090000Z\rRRULE:FREQ=DAILY", "`DTSTART` is no part of a rule"),
        ("FREQ=DAILY;\nCOUNT=3", "`COUNT=3` stands on a line of its own"),
        ("RRULE;X-A=1:FREQ=DAILY", "leave out what stands in front of its colon"),
        ("FREQ=DAILY;DTSTART=20260302T090000Z", "`DTSTART` is no part of a rule; set the start"),
        ("TZID=Europe/Berlin;FREQ=DAILY", "`TZID` is no part of a rule; set the time zone"),
    ] {
        assert!(refused(text).contains(expected), "{text:?}: {}", refused(text));
    }
}

#[test]
fn a_rule_that_a_hint_spells_is_read() {
    for (text, meant) in [
        ("FREQ=DAILY,INTERVAL=2", "FREQ=DAILY;INTERVAL=2"),
        ("FREQ=DAILY INTERVAL=2", "FREQ=DAILY;INTERVAL=2"),
        ("FREQ=WEEKLY;BYDAY=MO,TU, COUNT=3", "FREQ=WEEKLY;BYDAY=MO,TU;COUNT=3"),
        ("FREQ=DAILY; INTERVAL=2", "FREQ=DAILY;INTERVAL=2"),
        ("FREQ = DAILY", "FREQ=DAILY"),
        ("FREQ=DAILY;BYHOUR=9 ,10", "FREQ=DAILY;BYHOUR=9,10"),
        ("FREQ=DAILY;BYHOUR=9-12", "9,10,11,12"),
        ("FREQ=DAILY;UNTIL=2026-01-01T00:00:00Z", "20260101T000000Z"),
        ("FREQ=MONTHLY;BYDAY=MO-1", "-1MO"),
        ("FREQ=WEEKLY;BYDAY=THURSDAYS", "TH"),
        ("FREQ=DAY", "DAILY"),
        ("FREQ=WEEKS", "WEEKLY"),
    ] {
        assert!(refused(text).contains(&format!("`{meant}`")), "{text}: {}", refused(text));
        assert!(!meant.starts_with("FREQ") || RecurrenceRule::parse(meant).is_ok(), "{meant}");
    }
    for text in
        ["FREQ=DAILY;BYHOUR=1 2", "FREQ=DAILY;COUNT=1 0", "FREQ=DAILY;UNTIL=2026-01-01T00:00:00+01:00"]
    {
        assert!(!refused(text).contains("; write `"), "{}", refused(text));
    }
}
