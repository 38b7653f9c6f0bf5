//! Bearer tokens from a file: lines of `token,user,uid,"group1,group2"`, as upstream's `--token-auth-file` has them.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::Identity;

/// The tokens of a file, and whose they are.
///
/// Tokens are found by their digest. How long that takes tells nothing of a token, because nobody can choose a guess
/// whose digest comes closer to that of a token; and the tokens themselves are not kept in memory.
#[derive(Clone, Default)]
pub struct TokenFile {
    identities: HashMap<[u8; 32], Arc<Identity>>,
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("tokens", &self.identities.len()).finish()
    }
}

/// Why a token file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("token file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("token file {path}, line {line}: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl TokenFile {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<TokenFile, TokenFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TokenFileError::Unreadable { path: path.to_owned(), source })?;
        TokenFile::parse(&text).map_err(|(line, why)| TokenFileError::Malformed { path: path.to_owned(), line, why })
    }

    /// Whose `token` is.
    #[must_use]
    pub fn identity(&self, token: &str) -> Option<Arc<Identity>> {
        self.identities.get(&fingerprint(token)).cloned()
    }

    /// Everybody who has a token.
    pub fn identities(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.identities.values()
    }

    /// The number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    pub(crate) fn parse(text: &str) -> Result<TokenFile, (usize, String)> {
        let mut identities = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line_number = at + 1;
            if line.is_empty() {
                continue;
            }
            let fields = fields(line).map_err(|why| (line_number, why.to_owned()))?;
            let [token, user, uid, rest @ ..] = &fields[..] else {
                let why = format!("must have at least 3 columns (token, user name, user uid), found {}", fields.len());
                return Err((line_number, why));
            };
            if token.is_empty() {
                tracing::warn!(line = line_number, "the token file has an empty token, which is ignored");
                continue;
            }
            let groups = rest.first().filter(|groups| !groups.is_empty());
            let groups = groups.map_or_else(Vec::new, |groups| groups.split(',').map(str::to_owned).collect());
            let identity = Identity { user: user.clone(), uid: uid.clone(), groups, ..Identity::default() };
            let identity = Arc::new(identity.authenticated());
            if identities.insert(fingerprint(token), identity).is_some() {
                tracing::warn!(line = line_number, "the token file has this line's token before; this line counts");
            }
        }
        Ok(TokenFile { identities })
    }
}

fn fingerprint(token: &str) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    fingerprint
}

/// Takes a line of comma-separated values apart (RFC 4180). A value in quotes ends on its line, because a quote that is
/// forgotten would otherwise hide the users after it.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err("bare \" in non-quoted field");
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err("extraneous or missing \" in quoted-field"),
        }
    }
}

/// The field whose opening quote stands before `text`, and what comes after its closing one.
fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let quote = rest.find('"').ok_or("extraneous or missing \" in quoted-field")?;
        field.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_users() {
        let file = TokenFile::parse("t1,alice,u1,\"dev,ops\"\n\nt2,bob,u2\r\n,nobody,u3\nt3,\"x, \"\"y\"\"\",u4,one\n");
        let file = file.unwrap();
        assert_eq!(file.len(), 3);
        let check = |token: &str, expected: Option<(&str, &str, &[&str])>| {
            let found = file.identity(token);
            let found = found.as_deref().map(|id| {
                (id.user.as_str(), id.uid.as_str(), id.groups.iter().map(String::as_str).collect::<Vec<_>>())
            });
            assert_eq!(found, expected.map(|(user, uid, groups)| (user, uid, groups.to_vec())), "{token}");
        };
        check("t1", Some(("alice", "u1", &["dev", "ops", "system:authenticated"])));
        check("t2", Some(("bob", "u2", &["system:authenticated"])));
        check("t3", Some(("x, \"y\"", "u4", &["one", "system:authenticated"])));
        check("t", None);
        check("t11", None);
        check("", None);
    }

    #[test]
    fn the_last_of_equal_tokens_counts() {
        let file = TokenFile::parse("t,alice,1\nt,bob,2").unwrap();
        assert_eq!(file.identity("t").unwrap().user, "bob");
    }

    #[test]
    fn malformed_lines_are_named() {
        let check = |text: &str, line: usize, why: &str| {
            assert_eq!(TokenFile::parse(text).unwrap_err(), (line, why.to_owned()), "{text}");
        };
        check("t,alice,1\n\nt2,bob", 3, "must have at least 3 columns (token, user name, user uid), found 2");
        check("t,alice,1,\"dev\nt2,bob,2", 1, "extraneous or missing \" in quoted-field");
        check("t,alice,1\nt2,\"b\"x,2", 2, "extraneous or missing \" in quoted-field");
        check("t,a\"b,1", 1, "bare \" in non-quoted field");
    }

    #[test]
    fn errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.csv");
        assert!(matches!(TokenFile::read(&path), Err(TokenFileError::Unreadable { .. })));
        std::fs::write(&path, "a,b").unwrap();
        let error = TokenFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("tokens.csv, line 1: must have at least 3 columns"), "{error}");
    }
}
