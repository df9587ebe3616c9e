//! A Rust file as the rules read it: without comments, strings and characters, and knowing its test code.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::paths::{Mention, mentions};

/// The code of one file, line by line as in the file.
#[derive(Debug)]
pub(crate) struct Source {
    code: String,
    is_test_file: bool,
    test_items: Vec<RangeInclusive<usize>>,
    exports: Vec<RangeInclusive<usize>>,
}

/// What stands in front of the name that an item defines.
const DEFINING: &[&str] =
    &["struct", "enum", "trait", "fn", "type", "const", "static", "union", "macro_rules"];

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let code = blanked(text);
        let test_items = test_items(&code);
        let exports = exports(&code);
        Self { code, is_test_file: is_test_file(path), test_items, exports }
    }

    /// The lines with code on them, counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines()).filter(|(_, line)| !line.trim().is_empty())
    }

    /// Every path with `::` in the code, import groups spelled out.
    pub(crate) fn mentions(&self) -> Vec<Mention> {
        mentions(&self.code)
    }

    /// Every name and keyword in the code.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|c| !is_word(c)).filter(|word| !word.is_empty())
    }

    /// The names of its items, also of those inside of others.
    pub(crate) fn definitions(&self) -> BTreeSet<&str> {
        let names = self.words().zip(self.words().skip(1));
        names.filter(|(before, _)| DEFINING.contains(before)).map(|(_, name)| name).collect()
    }

    /// Whether the line is part of a re-export.
    pub(crate) fn is_export(&self, line: usize) -> bool {
        self.exports.iter().any(|lines| lines.contains(&line))
    }

    /// Whether the line is compiled for tests only.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.is_test_file || self.test_items.iter().any(|lines| lines.contains(&line))
    }
}

/// Files of a `tests` folder and `tests.rs` beside the code.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// The text with a blank for every character of a comment or a literal; lines stay where they are.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let opaque = opaque_length(rest, code.chars().next_back());
        if opaque == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..opaque].chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = &rest[opaque..];
        }
    }
    code
}

/// How many bytes the comment or literal takes that starts here; 0 where none does.
fn opaque_length(rest: &str, before: Option<char>) -> usize {
    let length = match rest.as_bytes() {
        [b'/', b'/', ..] => rest.find('\n'),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => string(rest),
        [b'\'', ..] => return character(rest),
        [b'r' | b'b' | b'c', ..] if !before.is_some_and(is_word) => return raw_string(rest),
        _ => return 0,
    };
    length.unwrap_or(rest.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, pair) in rest.as_bytes().windows(2).enumerate() {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 2);
        }
    }
    None
}

fn string(rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// A character literal; 0 for a lifetime, which starts alike.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    let Some((_, first)) = characters.next() else { return 0 };
    if first == '\\' {
        characters.next();
        return characters.find(|(_, c)| *c == '\'').map_or(0, |(index, _)| index + 1);
    }
    characters.next().filter(|(_, c)| *c == '\'').map_or(0, |(index, _)| index + 1)
}

/// `r"…"`, `br#"…"#` and their like; 0 where the letters start a name.
fn raw_string(rest: &str) -> usize {
    let letters = if rest.starts_with('r') { 1 } else { 2 };
    if !rest[letters - 1..].starts_with('r') {
        return 0;
    }
    let hashes = rest[letters..].bytes().take_while(|byte| *byte == b'#').count();
    let quote = letters + hashes;
    if !rest[quote..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    rest[quote + 1..].find(&end).map_or(rest.len(), |index| quote + 1 + index + end.len())
}

/// The lines of the items that are compiled for tests only.
fn test_items(code: &str) -> Vec<RangeInclusive<usize>> {
    let line_of = |index: usize| 1 + code[..index].matches('\n').count();
    let starts = ["#[cfg(test)]", "#[cfg(all(test"].into_iter().flat_map(|start| code.match_indices(start));
    starts.map(|(start, _)| line_of(start)..=line_of(item_end(code, start))).collect()
}

/// The lines of the re-exports.
fn exports(code: &str) -> Vec<RangeInclusive<usize>> {
    let line_of = |index: usize| 1 + code[..index].matches('\n').count();
    let end = |start: usize| code[start..].find(';').map_or(code.len(), |length| start + length);
    let starts = ["pub use ", "pub(crate) use ", "pub(super) use "].into_iter();
    let starts = starts.flat_map(|start| code.match_indices(start));
    starts.map(|(start, _)| line_of(start)..=line_of(end(start))).collect()
}

/// The index of the `;` or `}` that ends the item whose attributes start at `start`.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, c) in code[start..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            return start + index;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_blanked(text: &str, expected: &str) {
        let code = blanked(text);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{code:?}");
        assert_eq!(code.lines().count(), text.lines().count(), "lines moved");
    }

    #[test]
    fn comments_are_blank() {
        assert_blanked("a // b\nc", "a c");
        assert_blanked("a /* b /* c */ d\n */ e", "a e");
        assert_blanked("//! says `x::y`\nfn a() {}", "fn a() {}");
        assert_blanked("a / b", "a / b");
    }

    #[test]
    fn literals_are_blank() {
        assert_blanked(r#"a("b\"c", d)"#, "a( , d)");
        assert_blanked("a(\"b\nc\", d)", "a( , d)");
        assert_blanked(r##"a(r#"b"c"#, br"\", d)"##, "a( , , d)");
        assert_blanked(r"a('b', '\'', '\u{1F}', '「')", "a( , , , )");
    }

    #[test]
    fn lifetimes_and_raw_names_stay() {
        assert_blanked("fn a<'b, 'c>(d: &'b r#type) {}", "fn a<'b, 'c>(d: &'b r#type) {}");
        assert_blanked("bar(b, r, car)", "bar(b, r, car)");
    }

    #[test]
    fn test_code_is_known() {
        let text = "fn a() {}\n#[cfg(test)]\nuse b::{c, d};\nfn e() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n fn f() {}\n}\nfn g() {}";
        let source = Source::parse("core/src/a.rs", text);
        let test_lines: Vec<usize> = (1..=10).filter(|line| source.is_test(*line)).collect();
        assert_eq!(test_lines, [2, 3, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn test_files_are_known_by_their_path() {
        assert!(Source::parse("core/tests/it/main.rs", "").is_test(1));
        assert!(Source::parse("tests/src/lib.rs", "").is_test(1));
        assert!(Source::parse("core/src/a/tests.rs", "").is_test(1));
        assert!(!Source::parse("core/src/testing/mod.rs", "").is_test(1));
    }
}
