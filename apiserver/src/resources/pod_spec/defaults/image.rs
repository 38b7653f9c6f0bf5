//! When an image is pulled, by its name.

/// `Always` for an image whose tag is `latest`, stated or not; `IfNotPresent` for every other, and for what is no name
/// of an image.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag of an image, which is `latest` where there is neither a tag nor a digest. `None` where there is a digest
/// alone, and where the text is no name of an image.
fn tag(image: &str) -> Option<&str> {
    let (named, digest) = match image.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (image, None),
    };
    let path_start = named.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match named[path_start..].find(':') {
        Some(colon) => (&named[..path_start + colon], Some(&named[path_start + colon + 1..])),
        None => (named, None),
    };
    if !is_name(name) || tag.is_some_and(|tag| !is_tag(tag)) {
        return None;
    }
    tag.or(digest.is_none().then_some("latest"))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'))
}

/// A repository's name: components of lower case, after a host that looks like one.
fn is_name(name: &str) -> bool {
    let is_host = |first: &str| {
        first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
    };
    let path = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => rest,
        _ => name,
    };
    let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_component = |part: &str| {
        is_edge(part.bytes().next())
            && is_edge(part.bytes().next_back())
            && part.bytes().all(|b| is_edge(Some(b)) || matches!(b, b'.' | b'_' | b'-'))
    };
    // A bare 64-digit name would be taken for an image's ID.
    let is_id = name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    !is_id && path.split('/').all(is_component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_as_upstream() {
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("registry.example:5000/team/app", "Always"),
            ("registry.example:5000/team/app:v1", "IfNotPresent"),
            ("localhost/app", "Always"),
            ("Registry/app", "Always"),
            ("localhost:5000", "IfNotPresent"),
            ("app@sha256:0123456789abcdef0123456789abcdef", "IfNotPresent"),
            ("app:latest@sha256:0123456789abcdef0123456789abcdef", "Always"),
            ("", "IfNotPresent"),
            ("Nginx", "IfNotPresent"),
            (" nginx", "IfNotPresent"),
            ("nginx:", "IfNotPresent"),
            ("a//b", "IfNotPresent"),
        ];
        for (image, expected) in cases {
            assert_eq!(pull_policy(image), expected, "{image:?}");
        }
    }
}
