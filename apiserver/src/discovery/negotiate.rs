//! The `Accept` and `Accept-Encoding` headers of documents, whose media types are not those of objects.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING};

/// How many media ranges of a header are looked at.
const MAX_RANGES: usize = 64;

/// One media range, with the parameters that say which form of a document is wanted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Range {
    /// In lower case, without parameters.
    pub(crate) media_type: String,
    /// `as`, `g` and `v`; empty when not stated.
    pub(crate) kind: String,
    pub(crate) group: String,
    pub(crate) version: String,
    quality: f32,
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().filter(|part| !part.is_empty())?.to_ascii_lowercase();
        let mut range = Range { media_type, quality: 1.0, ..Range::default() };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "as" => value.clone_into(&mut range.kind),
                "g" => value.clone_into(&mut range.group),
                "v" => value.clone_into(&mut range.version),
                "q" => range.quality = value.parse().unwrap_or(0.0),
                _ => {}
            }
        }
        (range.quality > 0.0).then_some(range)
    }

    /// Whether it means `media_type`, by name or by wildcard.
    pub(crate) fn means(&self, media_type: &str) -> bool {
        self.media_type == media_type || matches!(self.media_type.as_str(), "*/*" | "application/*")
    }
}

/// What the client accepts, the most wanted first; anything if it does not say.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<Range> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut texts = values.flat_map(|value| value.split(',')).filter(|text| !text.trim().is_empty()).peekable();
    if texts.peek().is_none() {
        return Range::parse("*/*").into_iter().collect();
    }
    let mut ranges: Vec<Range> = texts.take(MAX_RANGES).filter_map(Range::parse).collect();
    ranges.sort_by(|one, other| other.quality.total_cmp(&one.quality));
    ranges
}

/// Whether the client takes gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(Range::parse).any(|range| range.media_type == "gzip")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn orders_by_quality_and_drops_what_is_refused() {
        let check = |accept: &'static str, expected: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            let found = accepted(&headers);
            assert_eq!(found.iter().map(|range| &*range.media_type).collect::<Vec<_>>(), expected, "{accept}");
        };
        check("", &["*/*"]);
        check("a/b;q=0.5, C/D", &["c/d", "a/b"]);
        check("a/b;q=0", &[]);
        check("a/b;q=x, c/d;v=1", &["c/d"]);
    }

    #[test]
    fn gzip_is_taken_when_offered_and_not_refused() {
        for (value, expected) in [("gzip", true), ("br, gzip;q=0.5", true), ("gzip;q=0", false), ("identity", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
