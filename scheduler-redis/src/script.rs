//! The scripts, put together from the files of their folder, one for each verb.
//!
//! What a call defines costs time before it does anything; in a small call that is most of it. So a script has what its verb
//! uses and no more, and constants stand where they are used. `base.lua` ends with the begin of a function in which all that
//! follows is defined, for Lua looks for what a function takes from the one around it among all that others have taken.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::Script;

const ALL: &str = concat!(
    include_str!("script/base.lua"),
    include_str!("script/places.lua"),
    include_str!("script/claims.lua"),
    include_str!("script/triggers.lua"),
    include_str!("script/epoch.lua"),
    include_str!("script/chores.lua"),
    include_str!("script/firing.lua"),
    include_str!("script/admin.lua"),
    include_str!("script/nodes.lua"),
    include_str!("script/queries.lua"),
    include_str!("script/audit.lua"),
    include_str!("script/call.lua"),
);

/// The table of verbs.
const VERBS: &str = "V";

/// Verbs that need memory. All others are carried out also when the memory of the server is full, for they free some.
const GROWS: &[&str] = &["put", "reschedule", "put_calendar", "put_mark", "acquire", "fire"];

static SCRIPTS: LazyLock<HashMap<String, Script>> = LazyLock::new(|| {
    let text = with_constants(ALL);
    let parts = Parts::of(&text);
    parts.verbs().map(|verb| (verb.to_owned(), Script::new(&parts.script(verb)))).collect()
});

/// The one of this verb.
pub(crate) fn script(verb: &str) -> &'static Script {
    SCRIPTS.get(verb).unwrap_or_else(|| panic!("there is no verb {verb}"))
}

/// What stands in the first column, with all that is indented below it.
struct Part<'a> {
    text: &'a str,
    /// What it defines, or the table that it adds a function to; none if it does something.
    names: Vec<&'a str>,
    verb: Option<&'a str>,
}

impl<'a> Part<'a> {
    fn of(text: &'a str) -> Self {
        let head = text.lines().next().unwrap_or_default();
        let function = |rest: &'a str| rest.split_once('(').map_or(rest, |(name, _)| name);
        let (names, verb) = if let Some(rest) = head.strip_prefix("local function ") {
            (vec![function(rest)], None)
        } else if let Some(rest) = head.strip_prefix("local ") {
            (rest.split_once(" = ").map_or(rest, |(names, _)| names).split(", ").collect(), None)
        } else if let Some((table, rest)) =
            head.strip_prefix("function ").and_then(|rest| rest.split_once('.'))
        {
            (vec![table], (table == VERBS).then(|| function(rest)))
        } else {
            (Vec::new(), None)
        };
        Self { text, names, verb }
    }
}

struct Parts<'a> {
    all: Vec<Part<'a>>,
    /// Name -> the parts that define it or add to it.
    named: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let goes_on = |line: &str| line.starts_with([' ', '}']) || line.starts_with("end");
        let (mut all, mut named) = (Vec::new(), HashMap::<_, Vec<_>>::new());
        let (mut begin, mut at) = (0, 0);
        for line in text.split_inclusive('\n').chain([""]) {
            if at > begin && !goes_on(line) {
                all.push(Part::of(&text[begin..at]));
                begin = at;
            }
            at += line.len();
        }
        for (number, part) in all.iter().enumerate() {
            part.names.iter().for_each(|name| named.entry(*name).or_default().push(number));
        }
        Self { all, named }
    }

    fn verbs(&self) -> impl Iterator<Item = &'a str> {
        self.all.iter().filter_map(|part| part.verb)
    }

    /// What this verb needs, in order.
    fn script(&self, verb: &str) -> String {
        let mut is_needed = vec![false; self.all.len()];
        let mut open: Vec<_> =
            (0..self.all.len()).filter(|number| self.all[*number].names.is_empty()).collect();
        while let Some(number) = open.pop() {
            let part = &self.all[number];
            let is_other = part.verb.is_some_and(|other| other != verb);
            if is_other || std::mem::replace(&mut is_needed[number], true) {
                continue;
            }
            let names = words(part.text).filter_map(|(word, is_name)| is_name.then_some(word));
            open.extend(names.filter_map(|name| self.named.get(name)).flatten());
        }
        let head = if GROWS.contains(&verb) { "#!lua\n" } else { "#!lua flags=allow-oom\n" };
        let needed = self.all.iter().zip(is_needed).filter(|(_, is_needed)| *is_needed);
        std::iter::once(head).chain(needed.map(|(part, _)| part.text)).collect()
    }
}

/// A text in pieces, and of each whether it is looked up as a name: not quoted, and no field of a table.
fn words(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (mut at, mut quoted) = (0, false);
    std::iter::from_fn(move || {
        let (before, rest) = text.split_at(at);
        let first = rest.chars().next()?;
        if !is_letter(first) {
            quoted = (quoted ^ (first == '\'')) && first != '\n';
            at += first.len_utf8();
            return Some((&text[before.len()..at], false));
        }
        let word = &rest[..rest.find(|letter| !is_letter(letter)).unwrap_or(rest.len())];
        at += word.len();
        Some((word, !quoted && (!before.ends_with('.') || before.ends_with(".."))))
    })
}

/// The text without comments and with the values of its constants in their places. Lua has none: each would be looked up wherever
/// it is used, and every function that names one would cost more to define.
fn with_constants(text: &str) -> String {
    let (mut values, mut rest) = (HashMap::new(), String::with_capacity(text.len()));
    for line in text.lines() {
        if let Some(found) = constants(line) {
            values.extend(found);
        } else if !line.is_empty() && !line.trim_start().starts_with("--") {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    words(&rest)
        .map(|(word, is_name)| values.get(word).filter(|_| is_name).copied().unwrap_or(word))
        .collect()
}

/// `local NAME, OTHER = 1, 'two'`.
fn constants(line: &str) -> Option<Vec<(&str, &str)>> {
    let (names, values) = line.strip_prefix("local ")?.split_once(" = ")?;
    let names: Vec<_> = names.split(", ").collect();
    let values: Vec<_> = values.split(", ").collect();
    let is_name = |name: &&str| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    let is_value =
        |value: &&str| value.parse::<f64>().is_ok() || (value.starts_with('\'') && value.ends_with('\''));
    let all = names.len() == values.len() && names.iter().all(is_name) && values.iter().all(is_value);
    all.then(|| names.into_iter().zip(values).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_script_has_what_its_verb_uses() {
        let [p, a, b, c, table, one, two, steps] = [
            "local P = KEYS[1]\n",
            "local function a() return P .. 'b' end\n",
            "local function b()\n  return a().c\nend\n",
            "local function c() end\n",
            "local V = {}\n",
            "function V.one() return b() end\n",
            "function V.two() end\n",
            "local answer = V[verb]()\nreturn answer\n",
        ];
        let text = [p, a, b, c, table, one, two, steps].concat();
        let parts = Parts::of(&text);
        assert_eq!(parts.verbs().collect::<Vec<_>>(), ["one", "two"]);
        let head = "#!lua flags=allow-oom\n";
        assert_eq!(parts.script("one"), [head, p, a, b, table, one, steps].concat());
        assert_eq!(parts.script("two"), [head, table, two, steps].concat());
    }

    #[test]
    fn each_name_is_defined_once() {
        let text = with_constants(ALL);
        let (parts, mut names) = (Parts::of(&text), HashSet::new());
        for part in parts.all.iter().filter(|part| part.text.starts_with("local")) {
            for name in &part.names {
                assert!(names.insert(*name), "{name} is defined twice, and a verb could find the wrong one");
            }
        }
        assert!(names.len() > 50, "the names are found");
    }

    #[test]
    fn constants_stand_where_they_are_used() {
        let script = "-- It's ONE\nlocal ONE, DOT = 1, '.'\n\nlocal P = KEYS[1]\nf(s[ONE], 'ONE', ONES, DOT, s.ONE, 'x'..ONE)\n";
        assert_eq!(with_constants(script), "local P = KEYS[1]\nf(s[1], 'ONE', ONES, '.', s.ONE, 'x'..1)\n");
    }
}
