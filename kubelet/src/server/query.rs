//! A request's query, decoded.

use std::borrow::Cow;

/// Names and values, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands after the question mark.
    pub(super) fn of(query: Option<&str>) -> Query {
        Query(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of a name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(there, _)| there == name).map(|(_, value)| &**value)
    }

    /// All values of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(there, _)| there == name).map(|(_, value)| &**value)
    }

    /// Whether something is wanted. As by upstream, what is there without a value is, and `0` and `false` are not.
    pub(super) fn flag(&self, name: &str) -> bool {
        match self.first(name) {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some(_) => true,
        }
    }
}

/// A path with its `%xx` decoded, if what comes out is text.
pub(super) fn decoded(path: &str) -> Option<Cow<'_, str>> {
    percent_encoding::percent_decode_str(path).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_by_upstream() {
        let query = Query::of(Some("command=ls&command=-l+%2F&follow&previous=false&timestamps=1"));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["ls", "-l /"]);
        assert_eq!(query.first("command"), Some("ls"));
        assert_eq!(query.first("none"), None);
        for (name, expected) in [("follow", true), ("previous", false), ("timestamps", true), ("none", false)] {
            assert_eq!(query.flag(name), expected, "{name}");
        }
    }

    #[test]
    fn paths_are_decoded_once() {
        let cases = [
            ("/a/b", Some("/a/b")),
            ("/a%2Fb", Some("/a/b")),
            ("/%252e", Some("/%2e")),
            ("/%C3%A4", Some("/ä")),
            ("/%ff", None),
            ("/%zz", Some("/%zz")),
        ];
        for (path, expected) in cases {
            assert_eq!(decoded(path).as_deref(), expected, "{path}");
        }
    }
}
