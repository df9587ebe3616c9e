//! Reads the part of a `Cargo.toml` that the rules ask for: the package's own facts and its dependencies.
//!
//! Line by line and without a TOML parser, which also gives each answer its line.

/// One package.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub path: String,
    pub name: String,
    entries: Vec<Entry>,
}

/// A dependency as the manifest asks for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency<'a> {
    pub line: usize,
    pub name: &'a str,
    /// For tests only.
    pub is_dev: bool,
}

/// `key = value` in a table; a table's header is an entry with an empty key.
#[derive(Debug)]
struct Entry {
    line: usize,
    table: String,
    key: String,
    value: String,
}

impl Manifest {
    /// None where the file describes no package.
    pub(crate) fn parse(path: &str, text: &str) -> Option<Self> {
        let mut manifest = Self { path: path.to_owned(), name: String::new(), entries: entries(text) };
        manifest.name = manifest.package_value("name")?.trim_matches('"').to_owned();
        Some(manifest)
    }

    /// The folder of the package with a slash at its end; empty for the root.
    pub(crate) fn folder(&self) -> &str {
        self.path.trim_end_matches("Cargo.toml")
    }

    pub(crate) fn is_published(&self) -> bool {
        self.package_value("publish") != Some("false")
    }

    /// Whether the package sets `key` itself or takes it from the workspace.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.package_value(key).or_else(|| self.package_value(&format!("{key}.workspace"))).is_some()
    }

    pub(crate) fn dependencies(&self) -> impl Iterator<Item = Dependency<'_>> {
        self.entries.iter().filter_map(Entry::dependency)
    }

    fn package_value(&self, key: &str) -> Option<&str> {
        let is_it = |entry: &&Entry| entry.table == "package" && entry.key == key;
        self.entries.iter().find(is_it).map(|entry| entry.value.as_str())
    }
}

impl Entry {
    /// `[dependencies]` with the name as the key, or `[dependencies.name]`.
    fn dependency(&self) -> Option<Dependency<'_>> {
        let (kind, rest) = self.table.rsplit_once("dependencies")?;
        if kind == "workspace." {
            return None;
        }
        let in_table = rest.is_empty() && !self.key.is_empty();
        let is_header = !rest.is_empty() && self.key.is_empty();
        let name = match (in_table, is_header) {
            (true, _) => self.key.split('.').next()?,
            (_, true) => rest.trim_start_matches('.'),
            _ => return None,
        };
        Some(Dependency {
            line: self.line,
            name: self.renamed().unwrap_or(name),
            is_dev: kind.ends_with("dev-"),
        })
    }

    /// The real name in `{ package = "name" }`.
    fn renamed(&self) -> Option<&str> {
        let (_, rest) = self.value.split_once("package = \"")?;
        rest.split('"').next()
    }
}

fn entries(text: &str) -> Vec<Entry> {
    let mut table = String::new();
    let mut entries = Vec::new();
    for (line, content) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(header) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = header.trim_matches(['[', ']']).to_owned();
            entries.push(Entry { line, table: table.clone(), key: String::new(), value: String::new() });
        } else if let Some((key, value)) = content.split_once('=').filter(|_| !content.starts_with('#')) {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            entries.push(Entry { line, table: table.clone(), key, value });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"[package]
name = "a"
license.workspace = true
# publish = false

[dependencies]
b.workspace = true
c = { workspace = true, features = [
    "x",
] }
d = { package = "e", version = "1" }

[dependencies.f]
version = "1"

[target.'cfg(unix)'.dependencies]
g = "1"

[dev-dependencies]
h = "1"

[workspace.dependencies]
i = "1"
"#;

    #[test]
    fn dependencies_are_found_in_every_form() {
        let manifest = Manifest::parse("a/Cargo.toml", TEXT).unwrap();
        let found: Vec<_> = manifest.dependencies().map(|it| (it.line, it.name, it.is_dev)).collect();
        let expected =
            [(7, "b"), (8, "c"), (11, "e"), (13, "f"), (17, "g")].map(|(line, name)| (line, name, false));
        assert_eq!(found[..5], expected);
        assert_eq!(found[5..], [(20, "h", true)]);
    }

    #[test]
    fn facts_of_the_package_are_read() {
        let manifest = Manifest::parse("a/Cargo.toml", TEXT).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.folder()), ("a", "a/"));
        assert!(manifest.is_published() && manifest.has("license") && !manifest.has("description"));
        assert!(
            !Manifest::parse("b/Cargo.toml", "[package]\nname = \"b\"\npublish = false")
                .unwrap()
                .is_published()
        );
    }

    #[test]
    fn a_workspace_without_a_package_is_none() {
        assert!(Manifest::parse("Cargo.toml", "[workspace]\n[workspace.package]\nname = \"a\"").is_none());
    }
}
