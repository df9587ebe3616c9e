//! The text files of the repository, in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::manifest::Manifest;
use super::source::Source;
use crate::machine::output_of;

/// Every text file, by its path from the root with forward slashes.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
    sources: BTreeMap<String, Source>,
}

impl Tree {
    /// Reads what git knows or would add; without git, everything but build output.
    ///
    /// # Errors
    ///
    /// The current folder is not the root of the workspace.
    pub(crate) fn read() -> Result<Self, String> {
        let listed = output_of("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
        let paths: Vec<String> = match listed {
            Ok(listed) => listed.lines().map(str::to_owned).collect(),
            Err(_) => walk(Path::new(".")),
        };
        let tree = Self::of(
            paths.into_iter().filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text))),
        );
        if tree.text("Cargo.toml").is_some() {
            Ok(tree)
        } else {
            Err("no Cargo.toml here; start it from the root".into())
        }
    }

    pub(crate) fn of(files: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        let texts: BTreeMap<String, String> =
            files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        let rust = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
        let sources = rust.map(|(path, text)| (path.clone(), Source::parse(path, text))).collect();
        Self { texts, sources }
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.get(path)
    }

    /// The Rust files whose path starts with `folder`; all of them for an empty one.
    pub(crate) fn sources_in(&self, folder: &str) -> impl Iterator<Item = (&str, &Source)> {
        self.sources
            .iter()
            .filter(move |(path, _)| path.starts_with(folder))
            .map(|(path, source)| (path.as_str(), source))
    }

    /// The packages of the workspace.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = Manifest> {
        self.texts()
            .filter(|(path, _)| path.ends_with("Cargo.toml"))
            .filter_map(|(path, text)| Manifest::parse(path, text))
    }
}

fn walk(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let kept = entries.filter(|entry| entry.file_name() != "target" && entry.file_name() != ".git");
    kept.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => walk(&entry.path()),
        _ => vec![entry.path().to_string_lossy().trim_start_matches("./").to_owned()],
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_finds_what_git_would_list() {
        let files = walk(Path::new("src"));
        assert!(files.contains(&"src/tidy/tree.rs".to_owned()), "{files:?}");
    }

    #[test]
    fn sources_are_chosen_by_folder() {
        let tree = Tree::of([("a/x.rs", ""), ("a/x.md", ""), ("b/y.rs", "")]);
        assert_eq!(tree.sources_in("a/").map(|(path, _)| path).collect::<Vec<_>>(), ["a/x.rs"]);
        assert_eq!(tree.sources_in("").count(), 2);
    }
}
