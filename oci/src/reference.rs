//! Names of images: `busybox`, `registry.example:5000/team/web:1.2@sha256:…`.
//!
//! The grammar and the defaults are those of the `distribution/reference` library, which every runtime and registry
//! follows: a name without a domain is Docker Hub's, and one without an owner is of `library` there.

use std::fmt;
use std::str::FromStr;

/// Where images are whose names say no domain.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// What a name without tag and digest stands for.
pub const DEFAULT_TAG: &str = "latest";
/// The most characters of domain and path.
const LONGEST_NAME: usize = 255;
/// The most characters of a tag.
const LONGEST_TAG: usize = 128;

/// A name with nothing left to default but the tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why something is no name of an image. The sentences are the ones that users of other tools know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// It does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// Only tags may have capitals.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Capitals(String),
    /// It could be mistaken for an image's ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// Domain and path are too long.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// The digest is of an algorithm that nobody knows.
    #[error("unsupported digest algorithm")]
    Algorithm,
    /// The digest is not as long as its algorithm makes it.
    #[error("invalid checksum digest length")]
    DigestLength,
}

impl Reference {
    /// The registry, such as `docker.io` or `registry.example:5000`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, such as `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The registry and the repository.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The tag, if it says one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it says one, such as `sha256:…`.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The same with the tag `latest`, unless it says a tag or a digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        if text.len() == 64 && text.bytes().all(is_hex) {
            return Err(InvalidReference::Identifier(text.to_owned()));
        }
        let (domain, rest) = split_domain(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidReference::Capitals(path.to_owned()));
        }
        // Only a name without a domain is of `library`.
        let path =
            if domain == DEFAULT_DOMAIN && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        if !is_domain(domain) || !path.split('/').all(is_component) || !tag.is_none_or(is_tag) {
            return Err(InvalidReference::Format);
        }
        digest.map_or(Ok(()), check_digest)?;
        if domain.len() + 1 + path.len() > LONGEST_NAME {
            return Err(InvalidReference::TooLong);
        }
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Ok(Reference { domain: domain.to_owned(), path, tag: owned(tag), digest: owned(digest) })
    }
}

/// The domain, and what is behind it. What looks like a domain is one: it has a dot, a port or a capital, or is `localhost`.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some(("index.docker.io", rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => return is_address(address),
            Some((address, port)) if is_address(address) && port.starts_with(':') => return is_port(&port[1..]),
            _ => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_address(address: &str) -> bool {
    !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is runs of small letters and digits with one separator between each two: `.`, `_`, `__` or dashes.
fn is_component(component: &str) -> bool {
    let is_alphanumeric = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let separators = component.split(is_alphanumeric).filter(|separator| !separator.is_empty());
    let is_separator =
        |separator: &str| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
    component.starts_with(is_alphanumeric) && component.ends_with(is_alphanumeric) && { separators }.all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn check_digest(digest: &str) -> Result<(), InvalidReference> {
    let (algorithm, value) = digest.split_once(':').ok_or(InvalidReference::Format)?;
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if !algorithm.split(['-', '_', '+', '.']).all(is_part)
        || value.len() < 32
        || !value.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Err(InvalidReference::Format);
    }
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(InvalidReference::Algorithm),
    };
    if value.len() != length {
        return Err(InvalidReference::DigestLength);
    }
    if !value.bytes().all(is_hex) {
        return Err(InvalidReference::Format);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn names_get_what_they_leave_out() {
        let check = |text: &str, expected: &str| assert_eq!(text.parse::<Reference>().unwrap().to_string(), expected);
        check("busybox", "docker.io/library/busybox");
        check("busybox:1", "docker.io/library/busybox:1");
        check("team/web", "docker.io/team/web");
        check("docker.io/busybox", "docker.io/library/busybox");
        check("index.docker.io/busybox", "docker.io/library/busybox");
        check("localhost/web", "localhost/web");
        check("registry:5000/web", "registry:5000/web");
        check("registry:5000", "docker.io/library/registry:5000");
        check("Registry/web", "Registry/web");
        check("[fd00::1]:5000/web:a", "[fd00::1]:5000/web:a");
        check("[fd00::1]/web", "[fd00::1]/web");
        check("gantry.local/a__b/c--d/e.f_g:V1.0-x_", "gantry.local/a__b/c--d/e.f_g:V1.0-x_");
        check(&format!("busybox@{DIGEST}"), &format!("docker.io/library/busybox@{DIGEST}"));
        check(&format!("a.b/c:d@{DIGEST}"), &format!("a.b/c:d@{DIGEST}"));
    }

    #[test]
    fn what_is_no_name_is_told_as_elsewhere() {
        let check =
            |text: &str, expected: &str| assert_eq!(text.parse::<Reference>().unwrap_err().to_string(), expected);
        for text in
            ["", ":tag", "a/", "/a", "a//b", "a b", "-a", "a-", "a..b", "a___b", "a._b", "a:", "a:-b", "a@", "a@b"]
        {
            check(text, "invalid reference format");
        }
        check("-b.c/a", "invalid reference format");
        check("b.c:x/a", "invalid reference format");
        check(&format!("a:{}", "t".repeat(129)), "invalid reference format");
        check("a/Web", "invalid reference format: repository name (a/Web) must be lowercase");
        check(
            &DIGEST[7..],
            &format!("invalid repository name ({}), cannot specify 64-byte hexadecimal strings", &DIGEST[7..]),
        );
        check(&format!("a.b{}", "/a".repeat(127)), "repository name must not be more than 255 characters");
        check(&format!("a@{}", DIGEST.replace("256", "255")), "unsupported digest algorithm");
        check(&format!("a@{DIGEST}00"), "invalid checksum digest length");
        check(&format!("a@{}", DIGEST.replace('f', "F")), "invalid reference format");
    }

    #[test]
    fn only_a_bare_name_means_the_latest() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(text.parse::<Reference>().unwrap().with_default_tag().tag(), expected, "{text}");
        };
        check("busybox", Some("latest"));
        check("busybox:1", Some("1"));
        check(&format!("busybox@{DIGEST}"), None);
    }

    proptest! {
        #[test]
        fn anything_may_be_parsed_and_what_is_a_name_stays_one(text in "[a-z0-9A-Z./:@_\\-\\[\\]]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }
    }
}
