//! Content negotiation: in which encoding, and in which form, a client wants its answer.

use api::status::Status;
use http::HeaderMap;
use http::header::ACCEPT;

/// How bytes represent objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

impl Encoding {
    /// The encoding that a media type (without parameters) names.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Encoding> {
        match media_type {
            "application/json" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Encoding::Protobuf),
            _ => None,
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// What an answer shows of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of them.
    Object,
    /// A table for people (`meta.k8s.io/v1` `Table`).
    Table,
    /// Only the metadata (`PartialObjectMetadata`, or its list).
    Metadata,
}

/// The media types that a resource can be had in, as errors list them.
pub(crate) const SERVED: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// Picks the first form that the client accepts and we have. `list` is whether the answer is a list, `protobuf` whether its
/// objects have a form in protobuf; the metadata of objects always has.
pub fn negotiate(headers: &HeaderMap, list: bool, protobuf: bool) -> Result<(Encoding, Form), Status> {
    let offer = Offer { list, protobuf, yaml: true };
    offer.choose(headers).ok_or_else(|| Status::not_acceptable(&SERVED[..if protobuf { 3 } else { 2 }]))
}

/// The same for a watch, whose events have no form as YAML.
pub fn negotiate_stream(headers: &HeaderMap, protobuf: bool) -> Result<(Encoding, Form), Status> {
    let served = [Encoding::Json.media_type(), Encoding::Protobuf.media_type()];
    let offer = Offer { list: false, protobuf, yaml: false };
    offer.choose(headers).ok_or_else(|| Status::not_acceptable(&served[..if protobuf { 2 } else { 1 }]))
}

/// What there is to choose from.
#[derive(Clone, Copy, Debug)]
struct Offer {
    list: bool,
    protobuf: bool,
    yaml: bool,
}

impl Offer {
    fn choose(self, headers: &HeaderMap) -> Option<(Encoding, Form)> {
        clauses(headers).iter().find_map(|clause| clause.matches(self))
    }
}

/// One media range of an `Accept` header.
#[derive(Debug)]
struct Clause {
    media_type: String,
    kind: String,
    group: String,
    version: String,
    quality: f32,
}

impl Clause {
    fn parse(text: &str) -> Option<Clause> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().filter(|part| !part.is_empty())?.to_ascii_lowercase();
        let mut clause =
            Clause { media_type, kind: String::new(), group: String::new(), version: String::new(), quality: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "as" => value.clone_into(&mut clause.kind),
                "g" => value.clone_into(&mut clause.group),
                "v" => value.clone_into(&mut clause.version),
                "q" => clause.quality = value.parse().unwrap_or(0.0),
                _ => {}
            }
        }
        Some(clause)
    }

    fn matches(&self, offer: Offer) -> Option<(Encoding, Form)> {
        let encoding = match self.media_type.as_str() {
            "*/*" | "application/*" => Encoding::Json,
            media_type => Encoding::of_media_type(media_type)?,
        };
        if self.quality <= 0.0 || (!offer.yaml && encoding == Encoding::Yaml) {
            return None;
        }
        if self.kind.is_empty() {
            return (offer.protobuf || encoding != Encoding::Protobuf).then_some((encoding, Form::Object));
        }
        let known = self.group == "meta.k8s.io" && matches!(self.version.as_str(), "v1" | "v1beta1");
        let form = match self.kind.as_str() {
            // There is no protobuf of tables.
            "Table" if encoding != Encoding::Protobuf => Form::Table,
            "PartialObjectMetadata" if !offer.list => Form::Metadata,
            "PartialObjectMetadataList" if offer.list => Form::Metadata,
            _ => return None,
        };
        known.then_some((encoding, form))
    }
}

/// The client's media ranges, the most wanted first.
fn clauses(headers: &HeaderMap) -> Vec<Clause> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut clauses: Vec<Clause> = values.flat_map(|value| value.split(',')).filter_map(Clause::parse).collect();
    if clauses.is_empty() {
        clauses.extend(Clause::parse("*/*"));
    }
    clauses.sort_by(|one, two| two.quality.total_cmp(&one.quality));
    clauses
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn picks_what_the_client_wants_most_and_we_have() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        let kubectl = format!("{table},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json");
        let protobuf = "application/vnd.kubernetes.protobuf";
        let cases = [
            ("", Some((Encoding::Json, Form::Object))),
            ("*/*", Some((Encoding::Json, Form::Object))),
            (&*kubectl, Some((Encoding::Json, Form::Table))),
            (metadata, Some((Encoding::Json, Form::Metadata))),
            ("application/vnd.kubernetes.protobuf,application/json", Some((Encoding::Protobuf, Form::Object))),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
                Some((Encoding::Json, Form::Object)),
            ),
            ("text/html,application/yaml;q=0.9,*/*;q=0.8", Some((Encoding::Yaml, Form::Object))),
            ("application/json;q=0.1,application/yaml;q=0.9", Some((Encoding::Yaml, Form::Object))),
            (protobuf, Some((Encoding::Protobuf, Form::Object))),
            ("text/html", None),
            ("application/json;as=Table;v=v2;g=meta.k8s.io", None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            }
            assert_eq!(negotiate(&headers, true, true).ok(), expected, "{accept}");
        }
    }
    #[test]
    fn protobuf_is_passed_over_where_there_is_none() {
        let check = |accept: &'static str, expected: Option<(Encoding, Form)>| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(negotiate(&headers, false, false).ok(), expected, "{accept}");
            let streamed = expected.filter(|(encoding, _)| *encoding != Encoding::Yaml);
            assert_eq!(negotiate_stream(&headers, false).ok(), streamed, "{accept}");
        };
        check("application/vnd.kubernetes.protobuf,application/json", Some((Encoding::Json, Form::Object)));
        check("application/vnd.kubernetes.protobuf,application/yaml", Some((Encoding::Yaml, Form::Object)));
        check("application/vnd.kubernetes.protobuf", None);
        check(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            Some((Encoding::Protobuf, Form::Metadata)),
        );
    }
}
