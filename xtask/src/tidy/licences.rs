//! Every package of the lock file may be shipped: the licences that `deny.toml` allows satisfy its licence expression.
//!
//! `cargo deny` checks the same and more, where it is installed.

use super::report::Report;
use super::tree::Tree;
use crate::machine::output_of;

const LIST: &str = "deny.toml";

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let allowed = allowed(tree.text(LIST).unwrap_or_default());
    let question =
        "tree --workspace --all-features --target all --edges normal,build,dev --prefix none --format";
    let question = question.split(' ').chain(["{p};{l}"]).collect::<Vec<_>>();
    match output_of("cargo", &question) {
        Ok(listing) => judge(&listing, &allowed, report),
        Err(error) => report.violation("Cargo.lock", 1, format!("{error}; mend the manifest")),
    }
}

/// The licences of `allow = [...]`.
fn allowed(list: &str) -> Vec<&str> {
    let names = list.split_once("\nallow = [").and_then(|(_, rest)| rest.split_once(']'));
    names.map_or(Vec::new(), |(names, _)| names.split('"').skip(1).step_by(2).collect())
}

/// `name version;licence`, one package a line; a package that was listed before ends with `(*)`.
fn judge(listing: &str, allowed: &[&str], report: &mut Report) {
    let mut packages: Vec<_> = listing.lines().filter_map(|line| line.split_once(';')).collect();
    packages.iter_mut().for_each(|(_, licence)| *licence = licence.trim_end_matches(" (*)"));
    packages.sort_unstable();
    packages.dedup();
    for (package, licence) in packages {
        if satisfies(licence, allowed) != Some(true) {
            let shown = if licence.is_empty() { "no licence" } else { licence };
            let what = format!(
                "`{package}` has {shown}, and the licences on this list do not suffice; do without the package, or add its \
                 licence if it is permissive"
            );
            report.violation(LIST, 1, what);
        }
    }
}

/// Whether the allowed licences satisfy an SPDX expression; none if it is no such expression. Older manifests write `/` for
/// `OR`.
fn satisfies(expression: &str, allowed: &[&str]) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let satisfied = any(&mut rest, allowed)?;
    rest.is_empty().then_some(satisfied)
}

fn any(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut satisfied = all(rest, allowed)?;
    while take(rest, "OR") {
        satisfied |= all(rest, allowed)?;
    }
    Some(satisfied)
}

fn all(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut satisfied = one(rest, allowed)?;
    while take(rest, "AND") {
        satisfied &= one(rest, allowed)?;
    }
    Some(satisfied)
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    if take(rest, "(") {
        let satisfied = any(rest, allowed)?;
        return take(rest, ")").then_some(satisfied);
    }
    let mut name = next(rest).filter(|name| !["AND", "OR", "WITH", ")"].contains(name))?.to_owned();
    if take(rest, "WITH") {
        name = format!("{name} WITH {}", next(rest)?);
    }
    Some(allowed.contains(&name.as_str()))
}

fn next<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let is_next = rest.first() == Some(&word);
    if is_next {
        *rest = &rest[1..];
    }
    is_next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_judged() {
        let rows = [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("MIT OR GPL-3.0", Some(true)),
            ("MIT/GPL-3.0", Some(true)),
            ("GPL-3.0 / MIT", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("MIT AND ISC", Some(true)),
            ("GPL-3.0 OR MIT AND ISC", Some(true)),
            ("MIT OR GPL-3.0 AND LGPL-3.0", Some(true)),
            ("(MIT OR GPL-3.0) AND LGPL-3.0", Some(false)),
            ("(MIT OR GPL-3.0) AND ISC", Some(true)),
            ("MIT WITH an-exception", Some(false)),
            ("GPL-2.0 WITH Classpath-exception-2.0", Some(true)),
            ("", None),
            ("MIT OR", None),
            ("MIT ISC", None),
            ("(MIT", None),
            ("MIT)", None),
            ("AND", None),
        ];
        for (expression, expected) in rows {
            let allowed = ["MIT", "ISC", "GPL-2.0 WITH Classpath-exception-2.0"];
            assert_eq!(satisfies(expression, &allowed), expected, "`{expression}`");
        }
    }

    #[test]
    fn the_list_is_that_of_cargo_deny() {
        assert_eq!(
            allowed("[licenses]\n# allow = no\nallow = [\"MIT\",\n  \"ISC\"]\n[bans]"),
            ["MIT", "ISC"]
        );
        assert!(allowed("[licenses]").is_empty());
    }

    #[test]
    fn each_package_is_named_once() {
        let listing = "a v1.0.0;MIT\nb v2.0.0;GPL-3.0\nb v2.0.0;GPL-3.0 (*)\nc v1.0.0 (proc-macro);\n";
        let mut report = Report::default();
        judge(listing, &["MIT"], &mut report);
        let [first, second] = report.violations() else { panic!("{report:?}") };
        assert!(first.starts_with("deny.toml:1: `b v2.0.0` has GPL-3.0, and"), "{first}");
        assert!(second.starts_with("deny.toml:1: `c v1.0.0 (proc-macro)` has no licence, and"), "{second}");
    }
}
