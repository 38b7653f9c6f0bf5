//! What one kustomization may read: files in or below its directory, and bases that do not lead back to it.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::files::Files;

/// The names that a kustomization's file may have, in the order in which they are looked for.
pub(crate) const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// How many bases may lead from one to the next.
const DEEPEST: usize = 100;

/// A kustomization's view of the files.
#[derive(Clone)]
pub(crate) struct Loader<'a> {
    files: &'a dyn Files,
    root: PathBuf,
    /// The directories whose kustomizations led here.
    visited: Vec<PathBuf>,
    /// Whether files elsewhere are refused.
    restricted: bool,
}

impl<'a> Loader<'a> {
    /// At the directory that is built.
    pub(crate) fn new(files: &'a dyn Files, path: &Path, restricted: bool) -> Result<Loader<'a>, Error> {
        if is_remote(&path.to_string_lossy()) {
            return Err(Error::Remote(path.display().to_string()));
        }
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let named = path.display().to_string();
        let root =
            directory(files, &clean(&absolute), named).map_err(|error| error.doing("must build at directory"))?;
        Ok(Loader { files, root, visited: Vec::new(), restricted })
    }

    /// The directory.
    pub(crate) fn root(&self) -> String {
        self.root.display().to_string()
    }

    /// What is in a file that the kustomization names.
    pub(crate) fn load(&self, name: &str) -> Result<Vec<u8>, Error> {
        if is_url(name) {
            return Err(Error::Remote(name.to_owned()));
        }
        let path = clean(&self.root.join(name));
        let problem = |error| cannot(self.files, &path, path.display().to_string(), error);
        let found = self.files.resolve(&path).map_err(problem)?;
        if self.files.is_directory(&found) {
            return Err(Error::NotAFile(path.display().to_string()));
        }
        let directory = found.parent().unwrap_or(&found);
        if self.restricted && !directory.starts_with(&self.root) {
            return Err(Error::Outside { path: path.display().to_string(), root: self.root() });
        }
        self.files.read(&found).map_err(problem)
    }

    /// The same as text.
    pub(crate) fn text(&self, name: &str) -> Result<String, Error> {
        let bytes = self.load(name)?;
        String::from_utf8(bytes).map_err(|_| Error::Malformed(format!("{name} is not UTF-8")))
    }

    /// The kustomization's file: its name and what it says.
    pub(crate) fn kustomization(&self) -> Result<(&'static str, String), Error> {
        let mut found = None;
        for name in FILE_NAMES {
            if self.files.resolve(&self.root.join(name)).is_err() {
                continue;
            }
            if found.is_some() {
                return Err(Error::ManyKustomizations(self.root()));
            }
            found = Some((name, self.text(name)?));
        }
        found.ok_or_else(|| Error::NoKustomization(self.root()))
    }

    /// The view of a base.
    pub(crate) fn base(&self, name: &str) -> Result<Loader<'a>, Error> {
        if name.is_empty() {
            return Err(Error::said("new root cannot be empty"));
        }
        if is_remote(name) {
            return Err(Error::Remote(name.to_owned()));
        }
        if Path::new(name).is_absolute() {
            return Err(Error::said(format!("new root '{name}' cannot be absolute")));
        }
        let path = clean(&self.root.join(name));
        let named = path.display().to_string();
        let root = directory(self.files, &path, named).map_err(|error| error.doing("must build at directory"))?;
        for visited in std::iter::once(&self.root).chain(self.visited.iter().rev()) {
            if visited.starts_with(&root) {
                let (candidate, visited) = (root.display().to_string(), visited.display().to_string());
                return Err(Error::Cycle { candidate, visited });
            }
        }
        if self.visited.len() >= DEEPEST {
            return Err(Error::said(format!("more than {DEEPEST} bases lead from one to the next, up to '{name}'")));
        }
        let mut visited = self.visited.clone();
        visited.push(self.root.clone());
        Ok(Loader { files: self.files, root, visited, restricted: self.restricted })
    }
}

/// The directory of a path that was named so.
fn directory(files: &dyn Files, path: &Path, named: String) -> Result<PathBuf, Error> {
    let problem = |error| cannot(files, path, named, error).doing("not a valid directory");
    let found = files.resolve(path).map_err(problem)?;
    if files.is_directory(&found) { Ok(found) } else { Err(Error::NotADirectory(path.display().to_string())) }
}

fn cannot(files: &dyn Files, path: &Path, named: String, error: std::io::Error) -> Error {
    if error.kind() != std::io::ErrorKind::NotFound {
        return Error::Unreadable { path: named, error };
    }
    // Of a way that leads nowhere, where it ends.
    let way: Vec<&Path> = path.ancestors().collect();
    let end = way.iter().rev().find(|part| files.resolve(part).is_err()).unwrap_or(&path);
    Error::Missing { named, path: end.display().to_string() }
}

fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// Whether a base is a repository, by how upstream tells.
fn is_remote(name: &str) -> bool {
    let begins = ["git@", "git::", "github.com/", "github.com:", "gh:", "oci://"];
    name.contains("://") || begins.iter().any(|begin| name.starts_with(begin)) || name.contains("?ref=")
}

/// A path without dots, by its text alone.
pub(crate) fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match cleaned.components().next_back() {
                Some(Component::Normal(_)) => drop(cleaned.pop()),
                Some(Component::RootDir) => {}
                _ => cleaned.push(".."),
            },
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_dots() {
        let check = |path: &str, expected: &str| assert_eq!(clean(Path::new(path)), Path::new(expected), "{path}");
        check("/a/./b/../c", "/a/c");
        check("../a/../../b", "../../b");
        check("/../a", "/a");
        check("a/..", "");
    }

    #[test]
    fn repositories_are_told_from_directories() {
        let check = |name: &str, expected: bool| assert_eq!(is_remote(name), expected, "{name}");
        check("../base", false);
        check("github.com", false);
        check("https://example.com/x", true);
        check("git@example.com:a/b", true);
        check("github.com/a/b/c?ref=v1", true);
        check("ssh://example.com/a", true);
    }
}
