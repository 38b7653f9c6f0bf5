//! Keys, key prefixes and revisions.
//!
//! A key is a path: it begins with `/`, its segments are not empty, and it does not end with `/`. A prefix ends with
//! `/`, so that it always stands for whole segments: `/registry/core/pods/default/` never matches a key of the
//! namespace `default-2`.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest key, in bytes. The longest that Kubernetes' names allow is under 700.
pub const MAX_KEY_BYTES: usize = 1024;

/// Where in the one order of all changes something stands. Revision 0 is before every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision before every change.
    pub const ZERO: Revision = Revision(0);

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a string is not a key or a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The string does not begin with `/`.
    #[error("key {0:?} does not begin with '/'")]
    NotAbsolute(String),
    /// The string has an empty segment; a key may not end with `/`.
    #[error("key {0:?} has an empty segment")]
    EmptySegment(String),
    /// The string contains a control character.
    #[error("key {0:?} contains a control character")]
    ControlCharacter(String),
    /// The string is longer than [`MAX_KEY_BYTES`].
    #[error("key of {0} bytes is longer than {MAX_KEY_BYTES}")]
    TooLong(usize),
    /// A prefix does not end with `/`.
    #[error("prefix {0:?} does not end with '/'")]
    OpenPrefix(String),
}

/// The name of one stored value, for example `/registry/core/pods/default/web-0`. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Checks `path` and takes it as a key.
    pub fn new(path: &str) -> Result<Key, KeyError> {
        check_path(path)?;
        if path[1..].split('/').any(str::is_empty) {
            return Err(KeyError::EmptySegment(path.to_owned()));
        }
        Ok(Key(path.into()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every prefix that this key stands under, the shortest (`/`) first.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..=at])
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of keys: all that stand under a path, for example `/registry/core/pods/default/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// Checks `path` and takes it as a prefix; `/` is the prefix of everything.
    pub fn new(path: &str) -> Result<Prefix, KeyError> {
        check_path(path)?;
        let Some(segments) = path.strip_suffix('/') else {
            return Err(KeyError::OpenPrefix(path.to_owned()));
        };
        if segments.split('/').skip(1).any(str::is_empty) {
            return Err(KeyError::EmptySegment(path.to_owned()));
        }
        Ok(Prefix(path.into()))
    }

    /// The prefix as text, with its closing `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix that `key` stands directly under.
    #[must_use]
    pub fn of_parent(key: &Key) -> Prefix {
        let end = key.0.rfind('/').map_or(0, |slash| slash + 1);
        Prefix(key.0[..end].into())
    }

    /// Whether `key` stands under this prefix.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        key.0.starts_with(&*self.0)
    }

    /// The first text after every key under this prefix, in the order of keys.
    #[must_use]
    pub fn end(&self) -> String {
        // '0' is the character after '/', so it follows whatever stands below the closing slash.
        format!("{}0", &self.0[..self.0.len() - 1])
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check_path(path: &str) -> Result<(), KeyError> {
    if path.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong(path.len()));
    }
    if !path.starts_with('/') {
        return Err(KeyError::NotAbsolute(path.to_owned()));
    }
    if path.chars().any(char::is_control) {
        return Err(KeyError::ControlCharacter(path.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_absolute_paths_of_whole_segments() {
        let long = format!("/{}", "x".repeat(MAX_KEY_BYTES));
        let cases: &[(&str, Option<KeyError>)] = &[
            ("/registry/core/pods/default/web-0", None),
            ("/a", None),
            ("", Some(KeyError::NotAbsolute(String::new()))),
            ("a/b", Some(KeyError::NotAbsolute("a/b".into()))),
            ("/", Some(KeyError::EmptySegment("/".into()))),
            ("/a/", Some(KeyError::EmptySegment("/a/".into()))),
            ("/a//b", Some(KeyError::EmptySegment("/a//b".into()))),
            ("/a\0b", Some(KeyError::ControlCharacter("/a\0b".into()))),
            (&long, Some(KeyError::TooLong(MAX_KEY_BYTES + 1))),
        ];
        for (path, expected) in cases {
            assert_eq!(Key::new(path).err(), *expected, "{path:?}");
        }
    }

    #[test]
    fn prefixes_end_with_a_slash() {
        let cases: &[(&str, Option<KeyError>)] = &[
            ("/", None),
            ("/registry/core/pods/", None),
            ("/registry", Some(KeyError::OpenPrefix("/registry".into()))),
            ("//", Some(KeyError::EmptySegment("//".into()))),
            ("/a//", Some(KeyError::EmptySegment("/a//".into()))),
        ];
        for (path, expected) in cases {
            assert_eq!(Prefix::new(path).err(), *expected, "{path:?}");
        }
    }

    #[test]
    fn a_prefix_holds_its_namespace_and_no_neighbour() {
        let prefix = Prefix::new("/registry/core/pods/default/").unwrap();
        for (path, inside) in [
            ("/registry/core/pods/default/a", true),
            ("/registry/core/pods/default/zz/z", true),
            ("/registry/core/pods/default-2/a", false),
            ("/registry/core/pods/default", false),
        ] {
            let key = Key::new(path).unwrap();
            assert_eq!(prefix.contains(&key), inside, "{path}");
            let ordered = key.as_str() >= prefix.as_str() && key.as_str() < prefix.end().as_str();
            assert_eq!(ordered, inside, "{path} by order");
        }
    }

    #[test]
    fn a_key_names_its_prefixes() {
        let key = Key::new("/registry/core/pods").unwrap();
        assert_eq!(key.prefixes().collect::<Vec<_>>(), ["/", "/registry/", "/registry/core/"]);
    }
}
