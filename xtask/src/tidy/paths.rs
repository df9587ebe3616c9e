//! The paths that a file names: `use a::{b, c::d};` names `a::b` and `a::c::d`.

/// A path with at least one `::`, and the line of its last name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub line: usize,
    pub path: String,
}

impl Mention {
    /// Its first name: a crate, a module, or `crate`, `self`, `super`.
    pub(crate) fn root(&self) -> &str {
        self.path.split("::").next().unwrap_or_default()
    }

    /// Whether its last names are those of `tail`: `time::Instant::now` ends with `Instant::now`.
    pub(crate) fn ends_with(&self, tail: &str) -> bool {
        self.path.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with("::"))
    }
}

/// Finds them in code without comments and literals.
pub(crate) fn mentions(code: &str) -> Vec<Mention> {
    let mut reader = Reader { rest: code, line: 1, found: Vec::new() };
    while let Some(c) = reader.rest.chars().next() {
        if c == '_' || c.is_alphabetic() {
            reader.path(String::new());
        } else {
            reader.skip(c.len_utf8());
        }
    }
    reader.found
}

#[derive(Debug)]
struct Reader<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Mention>,
}

impl Reader<'_> {
    /// Reads one path; `before` are the names in front of its group.
    fn path(&mut self, mut path: String) {
        loop {
            if self.rest.starts_with('{') {
                return self.group(&path);
            }
            let name = self.name();
            if name.is_empty() {
                return self.keep(path);
            }
            join(&mut path, &name);
            // A blank in front of `::` starts another path: `dyn ::std::fmt::Debug`.
            if !self.rest.starts_with("::") {
                return self.keep(path);
            }
            self.skip(2);
        }
    }

    fn group(&mut self, before: &str) {
        self.skip(1);
        self.skip_blanks();
        while !self.rest.is_empty() && !self.rest.starts_with('}') {
            self.path(before.to_owned());
            // Past `as other_name`, to the next member of this group.
            self.skip(self.rest.find([',', '}']).unwrap_or(self.rest.len()));
            self.skip(usize::from(self.rest.starts_with(',')));
            self.skip_blanks();
        }
        self.skip(1);
    }

    /// The next name, or the `*` of a glob.
    fn name(&mut self) -> String {
        let is_end = |c: char| !(c == '_' || c.is_alphanumeric());
        let length =
            if self.rest.starts_with('*') { 1 } else { self.rest.find(is_end).unwrap_or(self.rest.len()) };
        let name = self.rest[..length].to_owned();
        self.skip(length);
        name
    }

    fn skip_blanks(&mut self) {
        self.skip(self.rest.len() - self.rest.trim_start().len());
    }

    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }

    fn keep(&mut self, path: String) {
        if path.contains("::") {
            self.found.push(Mention { line: self.line, path });
        }
    }
}

fn join(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push_str("::");
    }
    path.push_str(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_mentions(code: &str, expected: &[(usize, &str)]) {
        let found = mentions(code);
        let found: Vec<_> = found.iter().map(|mention| (mention.line, mention.path.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn plain_paths() {
        assert_mentions("use a::b;\nc::d::e(f);", &[(1, "a::b"), (2, "c::d::e")]);
        assert_mentions("let a = b; c.d(|| e);", &[]);
        assert_mentions("x: &'a ::std::fmt::Debug", &[(1, "std::fmt::Debug")]);
    }

    #[test]
    fn groups_are_spelled_out() {
        assert_mentions("use a::{b, c::d};", &[(1, "a::b"), (1, "a::c::d")]);
        assert_mentions(
            "use a::{\n  b as x,\n  c::{self, *},\n};\nd::e",
            &[(2, "a::b"), (3, "a::c::self"), (3, "a::c::*"), (5, "d::e")],
        );
    }

    #[test]
    fn generics_end_a_path_and_what_follows_is_read() {
        assert_mentions("Vec::<a::B>::new()", &[(1, "a::B")]);
        assert_mentions("impl a::B { fn c() { d::e } }", &[(1, "a::B"), (1, "d::e")]);
    }

    #[test]
    fn ends_are_whole_names() {
        let mention = Mention { line: 1, path: "std::time::Instant::now".into() };
        assert!(mention.ends_with("Instant::now") && !mention.ends_with("stant::now"));
        assert_eq!(mention.root(), "std");
    }
}
