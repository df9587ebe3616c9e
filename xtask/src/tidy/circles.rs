//! Circles of files inside core: each file should be readable without one that reads it back.
//!
//! A path is followed through re-exports to the file that defines its last name, so a `mod.rs` that only hands names on
//! makes no circle. The circles that are still there stand in [`OPEN`], which can only shrink.

use std::collections::{BTreeMap, BTreeSet};

use super::arrows::{CORE, module_of};
use super::paths::Mention;
use super::report::Report;
use super::source::Source;
use super::tree::Tree;

/// The circles of files that are open, and why each is there.
const OPEN: &[(&[&str], &str)] = &[
    (
        &["host/core.rs", "host/health.rs"],
        "the handle in `core` answers `health`, which is computed from `core`",
    ),
    (&["host/queue/mod.rs", "host/queue/service.rs"], "a queue makes its service, which works on the queue"),
    (
        &[
            "job/context.rs",
            "job/extract.rs",
            "job/handler.rs",
            "job/provide.rs",
            "job/run.rs",
            "job/scope.rs",
        ],
        "a run carries its values, whose factories are given the context of the run",
    ),
    (
        &[
            "declare/reconcile.rs",
            "plugin/mod.rs",
            "plugin/schedule_file/mod.rs",
            "scheduler/builder.rs",
            "scheduler/handle.rs",
            "scheduler/start.rs",
        ],
        "the builder makes the handle, whose start needs what was declared, also by a plugin of the builder",
    ),
    (
        &["time/activity.rs", "time/manual.rs"],
        "the manual clock counts activities, which tell it when they rest",
    ),
    (
        &[
            "trigger/calendar_interval/mod.rs",
            "trigger/cron.rs",
            "trigger/daily.rs",
            "trigger/recurrence.rs",
            "trigger/schedule.rs",
            "trigger/union.rs",
        ],
        "`Schedule` holds each kind, and each kind converts into it",
    ),
];

/// How many re-exports a name may be handed through.
const MOST_HANDS: usize = 8;

type Circle = BTreeSet<String>;

pub(crate) fn check(tree: &Tree, report: &mut Report) {
    compare(&circles(&Files::of(tree)), OPEN, report);
}

fn compare(found: &[Circle], open: &[(&[&str], &str)], report: &mut Report) {
    let open: Vec<Circle> =
        open.iter().map(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect()).collect();
    for circle in found.iter().filter(|circle| !open.contains(circle)) {
        let names: Vec<&str> = circle.iter().map(String::as_str).collect();
        let at = format!("{CORE}{}", names[0]);
        report.violation(&at, 1, format!("these files name each other in a circle: {}; take one out, or write the smaller circle into xtask/src/tidy/circles.rs", names.join(", ")));
    }
    for circle in open.iter().filter(|circle| !found.contains(circle)) {
        let names: Vec<&str> = circle.iter().map(String::as_str).collect();
        report.violation(
            "xtask/src/tidy/circles.rs",
            1,
            format!("this circle is not there any more, take it out of the list: {}", names.join(", ")),
        );
    }
}

/// The files of core by their modules, with what each names and defines.
struct Files<'a>(BTreeMap<String, File<'a>>);

struct File<'a> {
    path: &'a str,
    source: &'a Source,
    mentions: Vec<Mention>,
    defines: BTreeSet<&'a str>,
}

impl<'a> Files<'a> {
    fn of(tree: &'a Tree) -> Self {
        let file = |(path, source): (&'a str, &'a Source)| {
            let (mentions, defines) = (source.mentions(), source.definitions());
            (module_of(path).join("::"), File { path: &path[CORE.len()..], source, mentions, defines })
        };
        Self(tree.sources_in(CORE).map(file).collect())
    }

    /// What each file names outside of its tests and re-exports.
    fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        self.0.iter().map(|(module, file)| (file.path, self.named_by(module, file))).collect()
    }

    fn named_by(&self, module: &str, file: &File<'_>) -> BTreeSet<&str> {
        let mut named = BTreeSet::new();
        for mention in &file.mentions {
            if file.source.is_test(mention.line) || file.source.is_export(mention.line) {
                continue;
            }
            let Some(path) = self.absolute(module, &mention.path) else { continue };
            match path.strip_suffix("::*") {
                None => named.extend(self.home(&path, MOST_HANDS)),
                Some(folder) => named
                    .extend(file.source.words().filter_map(|word| self.home_in(folder, word, MOST_HANDS))),
            }
        }
        named.remove(file.path);
        named
    }

    /// The path from the root of the crate; none if it leads out of it.
    fn absolute(&self, module: &str, path: &str) -> Option<String> {
        let mut place: Vec<&str> = module.split("::").filter(|name| !name.is_empty()).collect();
        let mut names = path.split("::").peekable();
        match names.peek().copied()? {
            "crate" => {
                names.next();
                place.clear();
            }
            "self" => drop(names.next()),
            "super" => {
                while names.next_if_eq(&"super").is_some() {
                    place.pop()?;
                }
            }
            first => {
                let child = place.iter().copied().chain([first]).collect::<Vec<_>>().join("::");
                self.0.contains_key(&child).then_some(())?;
            }
        }
        place.extend(names);
        Some(place.join("::"))
    }

    /// The file that defines what an absolute path names.
    fn home(&self, path: &str, hands: usize) -> Option<&str> {
        let mut module = path;
        while !self.0.contains_key(module) {
            module = module.rsplit_once("::").map_or("", |(head, _)| head);
        }
        let rest = path[module.len()..].trim_start_matches("::");
        let name = rest.split("::").next().unwrap_or_default();
        if name.is_empty() { Some(self.0[module].path) } else { self.home_in(module, name, hands) }
    }

    /// The file that defines a name of a module: its own, or one whose names it hands on.
    fn home_in(&self, module: &str, name: &str, hands: usize) -> Option<&str> {
        let file = self.0.get(module)?;
        if file.defines.contains(name) {
            return Some(file.path);
        }
        let hands = hands.checked_sub(1)?;
        file.mentions.iter().find_map(|mention| {
            let (head, last) = mention.path.rsplit_once("::")?;
            match last {
                "*" if file.source.is_export(mention.line) => {
                    self.home_in(&self.absolute(module, head)?, name, hands)
                }
                _ if last == name => self.home(&self.absolute(module, &mention.path)?, hands),
                _ => None,
            }
        })
    }
}

/// The groups of files each of which leads to all others of its group.
fn circles(files: &Files<'_>) -> Vec<Circle> {
    let arrows = files.arrows();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (*file, reached_from(file, &arrows))).collect();
    let mut circles: Vec<Circle> = Vec::new();
    for (file, ahead) in &reached {
        let circle: Circle = ahead
            .iter()
            .filter(|other| reached[*other].contains(file))
            .map(|other| (*other).to_owned())
            .collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reached_from<'a>(file: &'a str, arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
    while let Some(file) = next.pop() {
        next.extend(arrows[file].iter().copied().filter(|other| reached.insert(*other)));
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let files = files.iter().map(|(path, text)| (format!("{CORE}{path}"), *text));
        let tree = Tree::of(files.chain([(format!("{CORE}lib.rs"), "mod a; mod b; mod c;")]));
        circles(&Files::of(&tree)).into_iter().map(|circle| circle.into_iter().collect()).collect()
    }

    #[test]
    fn h19_files_that_name_each_other_are_a_circle() {
        let circle = found(&[
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use super::c::C; pub struct B;"),
            ("c.rs", "pub struct C; fn a() { crate::a::A }"),
        ]);
        assert_eq!(circle, [["a.rs", "b.rs", "c.rs"]]);
        let chain =
            found(&[("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;"), ("c.rs", "use crate::a;")]);
        assert!(chain.is_empty(), "{chain:?}");
    }

    #[test]
    fn h19_a_name_counts_where_it_is_defined_also_through_globs() {
        let handed = found(&[
            ("a/mod.rs", "mod x; mod y; pub use x::X; pub use y::*;"),
            ("a/x.rs", "use crate::b::B; pub struct X;"),
            ("a/y.rs", "pub struct Y;"),
            ("b.rs", "use crate::a::*; pub struct B(Y);"),
        ]);
        assert!(handed.is_empty(), "{handed:?}");
        let circle = found(&[
            ("a/mod.rs", "mod x; pub use x::X;"),
            ("a/x.rs", "use crate::b::B; pub struct X;"),
            ("b.rs", "use crate::a::*; pub struct B(X);"),
        ]);
        assert_eq!(circle, [["a/x.rs", "b.rs"]]);
    }

    #[test]
    fn h19_a_folder_that_only_hands_names_on_makes_no_circle_but_one_with_code_does() {
        let hands_on = ("a/mod.rs", "mod x;\npub use x::X;\npub struct Base;");
        let child = ("a/x.rs", "use super::Base; pub struct X(Base);");
        assert!(found(&[hands_on, child]).is_empty());
        let uses = ("a/mod.rs", "mod x;\npub use x::X;\npub struct Base(x::X);");
        assert_eq!(found(&[uses, child]), [["a/mod.rs", "a/x.rs"]]);
    }

    #[test]
    fn h19_tests_may_name_anything() {
        let tests = found(&[
            ("a.rs", "pub struct A;\n#[cfg(test)]\nmod tests { use crate::b::B; }"),
            ("b.rs", "use crate::a::A; pub struct B;"),
        ]);
        assert!(tests.is_empty(), "{tests:?}");
    }

    #[test]
    fn h19_the_list_of_open_circles_can_only_shrink() {
        let circle = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect::<Circle>();
        let violations = |found: &[Circle]| {
            let mut report = Report::default();
            compare(found, &[(&["a.rs", "b.rs"], "for a reason")], &mut report);
            report.violations().len()
        };
        assert_eq!(violations(&[circle(&["a.rs", "b.rs"])]), 0);
        assert_eq!(violations(&[]), 1, "it has to be taken out");
        assert_eq!(violations(&[circle(&["a.rs", "b.rs"]), circle(&["c.rs", "d.rs"])]), 1);
        assert_eq!(violations(&[circle(&["a.rs", "b.rs", "c.rs"])]), 2, "it has grown");
    }
}
