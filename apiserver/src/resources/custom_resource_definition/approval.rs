//! Groups of the Kubernetes community: who defines a resource of theirs says where it was approved, or that it was not.

use api::field::{Error, ErrorList, Path, go_quote};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::resources::go_url;

const ANNOTATION: &str = "api-approved.kubernetes.io";
const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

#[derive(PartialEq, Eq)]
enum State {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

/// What is wrong with the annotation. Whoever changes something else may leave it as it is.
pub(super) fn validate(new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> ErrorList {
    let mut errors = ErrorList::new();
    let group = &new.spec.group;
    let within = |domain: &str| group == domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !within("k8s.io") && !within("kubernetes.io") {
        return errors;
    }
    let found = state(new);
    if old.is_some_and(|old| state(old) == found) {
        return errors;
    }
    let path = Path::new("metadata").child("annotations").key(ANNOTATION);
    let required = format!("protected groups must have approval annotation {}", go_quote(ANNOTATION));
    match found {
        State::Approved | State::Bypassed => {}
        State::Missing => errors.push(Error::required(&path, format!("{required}, {SEE}"))),
        State::Invalid => {
            let detail = format!("{required} with either a URL or a reason starting with \"unapproved\", {SEE}");
            errors.push(Error::invalid(&path, annotation(new), detail));
        }
    }
    errors
}

fn annotation(definition: &CustomResourceDefinition) -> &str {
    let annotations = definition.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(ANNOTATION)).map_or("", String::as_str)
}

fn state(definition: &CustomResourceDefinition) -> State {
    let text = annotation(definition);
    if text.is_empty() {
        return State::Missing;
    }
    if text.starts_with("unapproved") {
        return State::Bypassed;
    }
    let url = go_url::parse_request(text);
    if url.is_ok_and(|url| !url.host.is_empty() && !url.scheme.is_empty()) { State::Approved } else { State::Invalid }
}
