//! What the checks look at: the workspace's text files, and its Rust sources parsed.
//!
//! Files are read as they stand on disk, committed or not, so that a check fails before a commit and not after it.
//! Build output and hidden directories other than `.cargo` and `.ci` are no part of it, nor are symbolic links.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use super::syntax::{self, Source};

/// One text file.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// Relative to the workspace's root, with `/` between its parts.
    pub(crate) path: String,
    /// The whole content.
    pub(crate) text: String,
}

/// The files of the workspace, in order of path.
#[derive(Default)]
pub(crate) struct Workspace {
    /// Every file, read or not.
    pub(crate) paths: Vec<String>,
    /// The files that a rule may apply to, as text.
    pub(crate) files: Vec<TextFile>,
    /// Those of them that are Rust.
    pub(crate) sources: Vec<Source>,
    /// What could not be parsed, or is not text though its name says so.
    pub(crate) unreadable: Vec<Finding>,
}

impl Workspace {
    /// Reads every file below `root`.
    ///
    /// # Errors
    ///
    /// The first file or directory that cannot be read, and why.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut workspace = Self { paths: walk(root)?, ..Self::default() };
        for path in workspace.paths.iter().filter(|path| is_text(path)) {
            let bytes = fs::read(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
            match String::from_utf8(bytes) {
                Ok(text) => workspace.files.push(TextFile { path: path.clone(), text }),
                Err(_) => workspace.unreadable.push(Finding::new(path, 1, "is not UTF-8: save it as UTF-8")),
            }
        }
        workspace.parse();
        Ok(workspace)
    }

    /// A workspace of the given files, as the checks' tests want it.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let text_file = |&(path, text): &(&str, &str)| TextFile { path: path.to_owned(), text: text.to_owned() };
        let mut workspace = Self {
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            files: files.iter().map(text_file).collect(),
            ..Self::default()
        };
        workspace.parse();
        workspace
    }

    fn parse(&mut self) {
        for file in self.files.iter().filter(|file| file.path.ends_with(".rs")) {
            match Source::parse(&file.path, &file.text) {
                Ok(source) => self.sources.push(source),
                Err(finding) => self.unreadable.push(finding),
            }
        }
        let declared: BTreeSet<String> = self.sources.iter().flat_map(syntax::test_modules).collect();
        for source in &mut self.sources {
            source.test |= declared.iter().any(|module| syntax::belongs_to(&source.path, module));
        }
    }
}

/// The workspace that cargo runs this program for, or the one that it was built in.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).join("..")
}

fn walk(root: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let failed = |error: std::io::Error| format!("{}: {error}", root.join(&directory).display());
        for entry in fs::read_dir(root.join(&directory)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            if kind.is_dir() && !is_skipped(&path, name) {
                directories.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_skipped(path: &str, name: &str) -> bool {
    // The fuzz targets are a workspace of their own, built by hand.
    path == "target" || path == "fuzz" || (name.starts_with('.') && name != ".cargo" && name != ".ci")
}

/// Whether a rule may apply to the file. Markdown is left out: it shows the markers of sorted lists in its examples.
fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("rs" | "sh" | "toml" | "txt" | "yaml" | "yml"))
        || name == "Makefile"
        || path.starts_with(".ci/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_to_read() {
        for path in ["Makefile", "api/src/lib.rs", "Cargo.toml", ".ci/run", "xtask/src/tidy/exceptions.txt"] {
            assert!(is_text(path), "{path}");
        }
        for path in ["CONTRIBUTING.md", "LICENSE", "api/tests/data/pod.bin"] {
            assert!(!is_text(path), "{path}");
        }
    }

    #[test]
    fn knows_where_not_to_look() {
        for (path, name) in [("target", "target"), ("fuzz", "fuzz"), (".git", ".git"), ("api/.hidden", ".hidden")] {
            assert!(is_skipped(path, name), "{path}");
        }
        for (path, name) in [("api/src/target", "target"), (".ci", ".ci"), (".cargo", ".cargo")] {
            assert!(!is_skipped(path, name), "{path}");
        }
    }

    #[test]
    fn marks_modules_declared_for_tests_only_as_test_code() {
        let workspace = Workspace::of(&[
            ("api/src/lib.rs", "mod real; #[cfg(test)] mod fixtures;"),
            ("api/src/real.rs", "#[cfg(test)] mod cases;"),
            ("api/src/real/cases.rs", ""),
            ("api/src/real/other.rs", ""),
            ("api/src/fixtures/mod.rs", ""),
            ("api/src/fixtures/pods.rs", ""),
        ]);
        let test: Vec<&str> = workspace.sources.iter().filter(|s| s.test).map(|s| s.path.as_str()).collect();
        assert_eq!(test, ["api/src/real/cases.rs", "api/src/fixtures/mod.rs", "api/src/fixtures/pods.rs"]);
    }

    #[test]
    fn names_the_line_that_does_not_parse() {
        let workspace = Workspace::of(&[("api/src/lib.rs", "fn whole() {}\nfn (\n")]);
        assert_eq!(workspace.unreadable[0].line, 2);
    }
}
