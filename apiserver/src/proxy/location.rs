//! Where a request is passed on to: what its path and the names in it say.

use percent_encoding::percent_decode_str;

use super::transport::Endpoint;

/// A place on another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// The server, and how it is spoken to.
    pub(super) endpoint: Endpoint,
    /// The path there, encoded. It is empty, or begins with `/`.
    pub(super) path: String,
    /// The query there, encoded and without its `?`.
    pub(super) query: Option<String>,
}

impl Location {
    /// Path and query, as the first line of a request has them.
    pub(super) fn path_and_query(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match &self.query {
            Some(query) if !query.is_empty() => format!("{path}?{query}"),
            _ => path.to_owned(),
        }
    }

    /// The whole as a URL, for messages.
    pub(super) fn url(&self) -> String {
        format!("{}://{}{}", self.endpoint.scheme(), self.endpoint.authority(), self.path_and_query())
    }
}

/// A name with what goes before and behind it: `name`, `name:port` or `scheme:name:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    /// Whether the scheme is `https`.
    pub(super) https: bool,
    pub(super) name: &'a str,
    /// A number or a name; empty if none is stated.
    pub(super) port: &'a str,
}

impl<'a> Reference<'a> {
    /// Takes it apart. `None` if it has more parts, no name, or another scheme than `http` and `https`.
    pub(super) fn parse(text: &'a str) -> Option<Reference<'a>> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match *parts.as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        let valid = !name.is_empty() && matches!(scheme, "" | "http" | "https");
        valid.then_some(Reference { https: scheme == "https", name, port })
    }
}

/// What stands behind the subresource in the path of a request, as it is to be asked for over there: encoded as it came,
/// and without segments that are empty or lead upwards, however they are encoded. `behind` is how many segments come
/// before it. Empty if the path ends with the subresource itself.
pub(super) fn rest_of_path(path: &str, behind: usize) -> String {
    let segments = path.split('/').filter(|segment| !segment.is_empty()).skip(behind);
    let mut kept: Vec<&str> = Vec::new();
    let mut any = false;
    for segment in segments {
        any = true;
        match percent_decode_str(segment).decode_utf8_lossy().as_ref() {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    if kept.is_empty() {
        return if any || path.ends_with('/') { "/".to_owned() } else { String::new() };
    }
    let end = if path.ends_with('/') { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let check = |text: &str, expected: Option<(bool, &str, &str)>| {
            let found = Reference::parse(text).map(|found| (found.https, found.name, found.port));
            assert_eq!(found, expected, "{text}");
        };
        check("web", Some((false, "web", "")));
        check("web:80", Some((false, "web", "80")));
        check("web:http", Some((false, "web", "http")));
        check("https:web:", Some((true, "web", "")));
        check("http:web:80", Some((false, "web", "80")));
        check(":web:80", Some((false, "web", "80")));
        check("ftp:web:80", None);
        check(":80", None);
        check("", None);
        check("a:b:c:d", None);
        check("https::443", None);
    }

    #[test]
    fn what_is_behind_the_subresource_cannot_lead_above_it() {
        let check = |rest: &str, expected: &str| {
            let path = format!("/api/v1/nodes/n/proxy{rest}");
            assert_eq!(rest_of_path(&path, 5), expected, "{rest}");
        };
        check("", "");
        check("/", "/");
        check("/logs", "/logs");
        check("/logs/", "/logs/");
        check("/a//b", "/a/b");
        check("/a/./b", "/a/b");
        check("/a/../b", "/b");
        check("/../../etc", "/etc");
        check("/%2e%2E/%2e%2e/etc", "/etc");
        check("/..", "/");
        check("/a/..", "/");
        check("/a%2Fb/c%20d", "/a%2Fb/c%20d");
        check("/...", "/...");
    }
}
