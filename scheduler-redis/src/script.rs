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
    include_str!("script/call.lua"),
);

/// The table of verbs.
const VERBS: &str = "V";

/// Verbs that need memory. All others are carried out also when the memory of the server is full, for they free some.
const GROWS: &[&str] = &["put", "reschedule", "put_calendar", "acquire", "fire"];

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
enum Part<'a> {
    /// A definition of these names.
    Names(Vec<&'a str>, &'a str),
    /// A function of a table, and its name there.
    Field(&'a str, &'a str, &'a str),
    /// What is always done.
    Step(&'a str),
}

impl<'a> Part<'a> {
    fn of(text: &'a str) -> Self {
        let head = text.lines().next().unwrap_or_default();
        if let Some(function) = head.strip_prefix("local function ") {
            Self::Names(function.split('(').take(1).collect(), text)
        } else if let Some(names) = head.strip_prefix("local ") {
            let names = names.split(" = ").next().unwrap_or_default();
            Self::Names(names.split(", ").collect(), text)
        } else if let Some((table, function)) =
            head.strip_prefix("function ").and_then(|name| name.split_once('.'))
        {
            Self::Field(table, function.split('(').next().unwrap_or_default(), text)
        } else {
            Self::Step(text)
        }
    }

    fn text(&self) -> &'a str {
        match self {
            Self::Names(_, text) | Self::Field(_, _, text) | Self::Step(text) => text,
        }
    }
}

struct Parts<'a> {
    all: Vec<Part<'a>>,
    /// Name -> the parts that define it.
    named: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (mut all, mut named) = (Vec::new(), HashMap::<_, Vec<_>>::new());
        let mut begin = 0;
        let starts =
            |line: &str| !line.starts_with(' ') && !line.starts_with("end") && !line.starts_with('}');
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if at > begin && starts(line) {
                all.push(Part::of(&text[begin..at]));
                begin = at;
            }
            at += line.len();
        }
        all.push(Part::of(&text[begin..]));
        for (number, part) in all.iter().enumerate() {
            match part {
                Part::Names(names, _) => {
                    names.iter().for_each(|name| named.entry(*name).or_default().push(number));
                }
                Part::Field(table, ..) => named.entry(*table).or_default().push(number),
                Part::Step(_) => {}
            }
        }
        Self { all, named }
    }

    fn verbs(&self) -> impl Iterator<Item = &'a str> {
        self.all.iter().filter_map(|part| match part {
            Part::Field(VERBS, verb, _) => Some(*verb),
            _ => None,
        })
    }

    /// What this verb needs, in order.
    fn script(&self, verb: &str) -> String {
        let is_other = |part: &Part<'_>| matches!(part, Part::Field(VERBS, other, _) if *other != verb);
        let mut is_needed = vec![false; self.all.len()];
        let steps = self.all.iter().enumerate().filter(|(_, part)| matches!(part, Part::Step(_)));
        let mut open: Vec<_> = steps.map(|(number, _)| number).collect();
        while let Some(number) = open.pop() {
            if is_other(&self.all[number]) || std::mem::replace(&mut is_needed[number], true) {
                continue;
            }
            for (word, is_name) in words(self.all[number].text()) {
                if is_name {
                    open.extend(self.named.get(word).into_iter().flatten());
                }
            }
        }
        let head = if GROWS.contains(&verb) { "#!lua\n" } else { "#!lua flags=allow-oom\n" };
        let needed = self.all.iter().zip(is_needed).filter(|(_, is_needed)| *is_needed);
        std::iter::once(head).chain(needed.map(|(part, _)| part.text())).collect()
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
        for part in &parts.all {
            let Part::Names(defined, _) = part else { continue };
            for name in defined {
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
