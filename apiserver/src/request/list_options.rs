//! The options of list, watch and deletecollection (`metav1.ListOptions`).

use api::field::{Error, ErrorList, Path};
use api::selector::{field, label};
use api::status::{GroupKind, Status};
use store::Revision;

use super::Query;

/// How `resourceVersion` binds a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// The state at exactly that version.
    Exact,
    /// That version or a later one.
    NotOlderThan,
}

/// What a list or a watch is to contain.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Only objects with these labels.
    pub labels: label::Selector,
    /// Only objects with these fields.
    pub fields: field::Selector,
    /// The version, if one was given; 0 stands for any.
    pub resource_version: Option<Revision>,
    /// How it binds.
    pub version_match: Option<VersionMatch>,
    /// The most items; 0 for all.
    pub limit: usize,
    /// The token of the page before.
    pub continue_token: Option<String>,
    /// Whether a watch is to be told from time to time how far it has come.
    pub bookmarks: bool,
    /// Whether a watch begins with what there is.
    pub send_initial_events: Option<bool>,
    /// The longest that the request may take, in seconds.
    pub timeout_seconds: Option<u64>,
}

impl ListOptions {
    /// Reads the options of a list or, if `watch` is set, of a watch.
    pub fn parse(query: &Query, watch: bool) -> Result<ListOptions, Status> {
        let bad = |message: String| Status::bad_request(message);
        let labels = query.text("labelSelector").unwrap_or_default();
        let labels = label::Selector::parse(labels).map_err(|error| {
            bad(format!(
                "unable to parse requirement: {}",
                error.to_string().trim_start_matches("unable to parse requirement: ")
            ))
        })?;
        let fields = query.text("fieldSelector").unwrap_or_default();
        let fields = field::Selector::parse(fields).map_err(|error| bad(error.to_string()))?;
        let limit = query.number("limit")?.unwrap_or(0);
        let timeout = query.number("timeoutSeconds")?;
        let options = ListOptions {
            labels,
            fields,
            resource_version: resource_version(query.text("resourceVersion"))?,
            version_match: None,
            limit: usize::try_from(limit).unwrap_or(0),
            continue_token: query.text("continue").map(str::to_owned),
            bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
            send_initial_events: query.flag("sendInitialEvents"),
            timeout_seconds: timeout.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0),
        };
        options.with_match(query.text("resourceVersionMatch"), query, watch)
    }

    /// Checks the rules between the options (upstream's `ValidateListOptions`) and takes the version match in.
    fn with_match(self, version_match: Option<&str>, query: &Query, watch: bool) -> Result<ListOptions, Status> {
        let path = Path::new("resourceVersionMatch");
        let mut errors = ErrorList::default();
        let initial_events = self.send_initial_events;
        if let Some(text) = version_match {
            let version = query.text("resourceVersion");
            if watch {
                if initial_events.is_none() {
                    let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                    errors.push(Error::forbidden(&path, why));
                }
                if text != "NotOlderThan" {
                    errors.push(Error::not_supported(&path, text, &["NotOlderThan"]));
                }
            } else {
                if version.is_none() {
                    let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                    errors.push(Error::forbidden(&path, why));
                }
                if self.continue_token.is_some() {
                    let why = "resourceVersionMatch is forbidden when continue is provided";
                    errors.push(Error::forbidden(&path, why));
                }
                if !matches!(text, "Exact" | "NotOlderThan") {
                    errors.push(Error::not_supported(&path, text, &["Exact", "NotOlderThan", ""]));
                }
                if text == "Exact" && version == Some("0") {
                    let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                    errors.push(Error::forbidden(&path, why));
                }
            }
        }
        if let Some(wanted) = initial_events {
            let path = Path::new("sendInitialEvents");
            if !watch {
                errors.push(Error::forbidden(&path, "sendInitialEvents is forbidden for list"));
            } else if version_match.is_none() {
                let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                errors.push(Error::forbidden(&Path::new("resourceVersionMatch"), why));
            } else if wanted && !self.bookmarks {
                let why = "sendInitialEvents requires setting allowWatchBookmarks to true";
                errors.push(Error::forbidden(&Path::new("allowWatchBookmarks"), why));
            }
        }
        if !errors.is_empty() {
            return Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &errors));
        }
        let version_match = match version_match {
            Some("Exact") => Some(VersionMatch::Exact),
            Some(_) => Some(VersionMatch::NotOlderThan),
            None => None,
        };
        Ok(ListOptions { version_match, ..self })
    }
}

/// Reads a resource version from a request.
pub(crate) fn resource_version(text: Option<&str>) -> Result<Option<Revision>, Status> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(revision) => Ok(Some(Revision(revision))),
        Err(error) => {
            let why = match error.kind() {
                std::num::IntErrorKind::PosOverflow => "value out of range",
                _ => "invalid syntax",
            };
            let quoted = api::field::go_quote(text);
            let message =
                format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: {why}");
            Err(Status::bad_request(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_between_options_are_upstreams() {
        let cases = [
            ("resourceVersionMatch=Exact", false, Some("resourceVersionMatch is forbidden unless resourceVersion")),
            ("resourceVersionMatch=Exact&resourceVersion=0", false, Some("forbidden for resourceVersion \"0\"")),
            ("resourceVersionMatch=Exact&resourceVersion=5", false, None),
            ("resourceVersionMatch=NotOlderThan&resourceVersion=0", false, None),
            ("resourceVersionMatch=Other&resourceVersion=5", false, Some("Unsupported value: \"Other\"")),
            ("sendInitialEvents=true", false, Some("sendInitialEvents is forbidden for list")),
            ("sendInitialEvents=true", true, Some("requires setting resourceVersionMatch to NotOlderThan")),
            ("resourceVersionMatch=NotOlderThan", true, Some("forbidden for watch unless sendInitialEvents")),
            (
                "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
                true,
                Some("requires setting allowWatchBookmarks"),
            ),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", true, None),
            ("limit=x", false, Some("strconv.ParseInt: parsing \"x\": invalid syntax")),
            ("resourceVersion=abc", false, Some("Invalid value: \"abc\"")),
            ("labelSelector=a%3D%3D%3D", false, Some("unable to parse requirement")),
        ];
        for (query, watch, expected) in cases {
            let outcome = ListOptions::parse(&Query::parse(query), watch);
            match (outcome, expected) {
                (Ok(_), None) => {}
                (Err(status), Some(part)) => assert!(status.message.contains(part), "{query}: {}", status.message),
                (outcome, _) => panic!("{query}: {:?}", outcome.err()),
            }
        }
    }
}
