//! The lines around a rule, as calendar programs export them: the rule itself, and where each other line belongs here.

use super::error::RuleError;

/// Lines of RFC 5545, section 3.8, beside a rule, and what says the same for a trigger.
const ELSEWHERE: [(&str, &str); 6] = [
    ("DTSTART", "set the start of the trigger, and its time zone to the `TZID`"),
    ("DTEND", "leave it out, since a trigger only starts a job"),
    ("DURATION", "leave it out, since a trigger only starts a job"),
    ("EXDATE", "leave its dates out by a calendar that the trigger names"),
    ("EXRULE", "leave its times out by a calendar that the trigger names"),
    ("RDATE", "make another trigger for each of its times"),
];

/// The only rule of a text, without the folding of long lines.
///
/// # Errors
///
/// There are other lines as well. The error names each of them and where it belongs.
pub(super) fn rule_of(text: &str) -> Result<String, RuleError> {
    let text = unfolded(text);
    let lines = || text.split('\n').filter(|line| !line.trim().is_empty());
    if lines().count() < 2 && lines().all(|line| elsewhere(line).is_none()) {
        return Ok(text);
    }
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for line in lines() {
        match elsewhere(line) {
            Some(problem) => problems.push(problem),
            None if rules.is_empty() => rules.push(line),
            None => problems.push(format!(
                "`{}` is a second line; put each rule into a trigger of its own or into a part of a union",
                line.trim()
            )),
        }
    }
    match rules.pop() {
        Some(rule) if problems.is_empty() => Ok(rule.to_owned()),
        _ => Err(RuleError::new(1, problems.join("; "))),
    }
}

/// RFC 5545, 3.1: a line goes on where the next one begins with white space.
fn unfolded(text: &str) -> String {
    let text = text.trim_end().replace("\r\n", "\n");
    text.replace("\n ", "").replace("\n\t", "")
}

fn elsewhere(line: &str) -> Option<String> {
    let name = line.trim().split([':', ';']).next()?.to_ascii_uppercase();
    let (name, hint) = ELSEWHERE.iter().find(|(known, _)| *known == name)?;
    Some(format!("`{name}` is no part of a rule; {hint}"))
}
