//! The lines around a rule, as calendar programs export them: the rule itself, and where each other line belongs here.

use super::error::RuleError;
use super::parse::PARTS;
use crate::zone::parse_zone;

/// Lines of RFC 5545, section 3.8, beside a rule, and what says the same for a trigger.
const ELSEWHERE: [(&str, &str); 5] = [
    ("DTEND", "leave it out, since a trigger only starts a job"),
    ("DURATION", "leave it out, since a trigger only starts a job"),
    ("EXDATE", "leave its dates out by a calendar that the trigger names"),
    ("EXRULE", "leave its times out by a calendar that the trigger names"),
    ("RDATE", "make another trigger for each of its times"),
];

/// Lines that are never the rest of a folded one, also where somebody has indented them.
const STARTS: [&str; 9] =
    ["RRULE", "DTSTART", "DTEND", "DURATION", "EXDATE", "EXRULE", "RDATE", "BEGIN", "END"];

/// The only rule of a text, without the folding of long lines.
///
/// # Errors
///
/// There are other lines as well. The error names each of them and where it belongs.
pub(super) fn rule_of(text: &str) -> Result<String, RuleError> {
    let lines = unfolded(text);
    let problems_alone = || lines.iter().all(|line| elsewhere(line).is_none());
    if lines.len() < 2 && problems_alone() {
        return Ok(lines.into_iter().next().unwrap_or_default());
    }
    let (mut rules, mut problems, mut in_zone) = (Vec::new(), Vec::new(), false);
    for line in &lines {
        let upper = line.trim().to_ascii_uppercase();
        let ends_zone = upper == "END:VTIMEZONE";
        in_zone |= upper == "BEGIN:VTIMEZONE";
        // The rules of a zone are not those of the event.
        let problem = if in_zone && !ends_zone { zone_of(&upper, line) } else { elsewhere(line) };
        match problem {
            _ if ends_zone => in_zone = false,
            Some(problem) if problems.contains(&problem) => {}
            Some(problem) => problems.push(problem),
            None if in_zone => {}
            None if rules.is_empty() => rules.push(line),
            None => problems.push(second(line)),
        }
    }
    match rules.pop() {
        Some(rule) if problems.is_empty() => Ok(rule.clone()),
        _ => Err(RuleError::new(1, problems.join("; "))),
    }
}

/// RFC 5545, 3.1: a line goes on where the next one begins with white space.
fn unfolded(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n').filter(|line| !line.trim().is_empty()) {
        match (lines.last_mut(), line.strip_prefix([' ', '\t'])) {
            (Some(before), Some(rest)) if !starts_anew(rest) => before.push_str(rest.trim_end()),
            _ => lines.push(line.trim_end().to_owned()),
        }
    }
    lines
}

fn starts_anew(line: &str) -> bool {
    name_of(line).is_some_and(|name| STARTS.contains(&name.as_str()))
}

/// The name of a line of a calendar, which a colon or the options of the line follow.
fn name_of(line: &str) -> Option<String> {
    let line = line.trim();
    let end = line.find([':', ';'])?;
    let name = line[..end].to_ascii_uppercase();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_name && (line.contains(':') || STARTS.contains(&name.as_str()))).then_some(name)
}

/// What says the same for a trigger as a property that stands among the parts of a rule.
pub(super) fn as_part(name: &str) -> Option<String> {
    let hint = match name {
        "DTSTART" => "set the start of the trigger",
        "TZID" => "set the time zone of the trigger",
        known => ELSEWHERE.iter().find(|(other, _)| *other == known)?.1,
    };
    Some(format!("`{name}` is no part of a rule; {hint}"))
}

/// Where a line belongs that is no rule.
fn elsewhere(line: &str) -> Option<String> {
    let name = name_of(line).filter(|name| !PARTS.contains(&name.as_str()))?;
    if name == "RRULE" {
        let has_options = line.trim().as_bytes().get(name.len()) == Some(&b';');
        return has_options
            .then(|| "`RRULE` has options; leave out what stands in front of its colon".to_owned());
    }
    let hint = match name.as_str() {
        "DTSTART" => start(line),
        "TZID" => format!("set the time zone of the trigger {}", to_zone(line.split_once(':')?.1.trim())),
        "BEGIN" | "END" => {
            let block = line.split_once(':')?.1.trim().to_ascii_uppercase();
            return Some(format!("`{block}` is no part of a rule; write only its `RRULE`"));
        }
        known => ELSEWHERE
            .iter()
            .find(|(other, _)| *other == known)
            .map_or("leave it out", |(_, hint)| hint)
            .to_owned(),
    };
    Some(format!("`{name}` is no part of a rule; {hint}"))
}

/// What a line of a description of a time zone says for a trigger: its name alone.
fn zone_of(upper: &str, line: &str) -> Option<String> {
    if upper == "BEGIN:VTIMEZONE" {
        return Some(
            "`VTIMEZONE` is no part of a rule; leave it out, since the rules of each zone are built in"
                .to_owned(),
        );
    }
    elsewhere(line).filter(|_| upper.starts_with("TZID"))
}

/// What the start of an event is for a trigger: an instant, or a time of a zone, or a day.
fn start(line: &str) -> String {
    let (options, value) = line.trim().split_once(':').unwrap_or((line, ""));
    let zone = options.split(';').find_map(|option| {
        let (name, zone) = option.split_once('=')?;
        name.trim().eq_ignore_ascii_case("TZID").then(|| zone.trim_matches('"'))
    });
    let value = value.split_whitespace().next().unwrap_or(value);
    match zone {
        Some(zone) => format!("set the start of the trigger, and its time zone {}", to_zone(zone)),
        None if value.ends_with(['Z', 'z']) => {
            "set the start of the trigger, and its time zone to `UTC`".to_owned()
        }
        None if !value.contains(['T', 't']) => {
            "set the start of the trigger to the beginning of that day in its time zone".to_owned()
        }
        None => "set the start of the trigger to that time in its time zone".to_owned(),
    }
}

fn to_zone(zone: &str) -> String {
    match parse_zone(zone) {
        Ok(_) => format!("to `{zone}`"),
        Err(error) => format!("to that of the `TZID` ({error})"),
    }
}

/// A second rule, or a piece of the first one.
fn second(line: &str) -> String {
    let line = line.trim();
    let part = line.split_once('=').map(|(name, _)| name.trim().to_ascii_uppercase());
    if part.is_some_and(|part| part != "FREQ" && PARTS.contains(&part.as_str())) {
        return format!(
            "`{line}` stands on a line of its own; write the rule on one line, with `;` between its parts"
        );
    }
    format!("`{line}` is a second line; put each rule into a trigger of its own or into a part of a union")
}
