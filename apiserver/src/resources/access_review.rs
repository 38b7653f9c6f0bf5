//! What the reviews of authorization share: what may be asked, and how it is answered.

use api::field::{BadValue, Error, ErrorList, Path};
use api::selector::{field, label};
use api::status::{GroupKind, Status};
use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldSelectorRequirement, ObjectMeta};

use crate::authn::Identity;
use crate::authz::{Attributes, Authorizer, Decision, Requirements};
use crate::engine::Call;

/// Who is asked about, and who answers.
pub(crate) struct Subject<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) authorizer: &'a dyn Authorizer,
}

/// Who sent the review.
pub(crate) fn requester<'a>(call: &Call<'a>) -> Result<&'a Identity, Status> {
    call.identity.ok_or_else(|| Status::bad_request("no user present on request"))
}

/// Whom a review is about that names somebody.
pub(crate) fn identity(spec: &SubjectAccessReviewSpec) -> Identity {
    Identity {
        user: spec.user.clone().unwrap_or_default(),
        uid: spec.uid.clone().unwrap_or_default(),
        groups: spec.groups.clone().unwrap_or_default(),
        extra: spec.extra.clone().unwrap_or_default(),
    }
}

/// The answer to a review with errors. Upstream leaves out the kind.
pub(crate) fn refuse(errors: &ErrorList) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("authorization.k8s.io", ""), "", errors))
}

/// Whether the subject may, as a review's status says it.
pub(crate) fn decide(
    subject: &Subject<'_>,
    resource: Option<&ResourceAttributes>,
    path: Option<&NonResourceAttributes>,
) -> SubjectAccessReviewStatus {
    let attributes = match (resource, path) {
        (Some(resource), _) => of_resource(resource),
        (None, path) => of_path(path),
    };
    let (allowed, denied, reason) = match subject.authorizer.authorize(subject.identity, &attributes) {
        Decision::Allow(reason) => (true, false, reason),
        Decision::Deny(reason) => (false, true, reason),
        Decision::NoOpinion(reason) => (false, false, reason),
    };
    SubjectAccessReviewStatus {
        allowed,
        denied: denied.then_some(true),
        reason: Some(reason).filter(|reason| !reason.is_empty()),
        evaluation_error: evaluation_error(&attributes),
    }
}

fn of_resource(stated: &ResourceAttributes) -> Attributes {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Attributes {
        verb: text(&stated.verb),
        group: text(&stated.group),
        version: stated.version.clone().filter(|version| !version.is_empty()).unwrap_or_else(|| "*".to_owned()),
        resource: text(&stated.resource),
        subresource: text(&stated.subresource),
        namespace: text(&stated.namespace),
        name: text(&stated.name),
        path: String::new(),
        fields: Requirements::<field::Requirement>::of_review(stated.field_selector.as_ref()),
        labels: Requirements::<label::Requirement>::of_review(stated.label_selector.as_ref()),
    }
}

fn of_path(stated: Option<&NonResourceAttributes>) -> Attributes {
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    let (verb, path) = (stated.and_then(|path| path.verb.as_ref()), stated.and_then(|path| path.path.as_ref()));
    Attributes { verb: text(verb), path: text(path), ..Attributes::default() }
}

/// What of the selectors could not be read.
fn evaluation_error(asked: &Attributes) -> Option<String> {
    let said = [("fieldSelector", asked.fields.ignored()), ("labelSelector", asked.labels.ignored())]
        .into_iter()
        .filter_map(|(name, how)| how.map(|how| format!("spec.resourceAttributes.{name} {how} due to parse error")));
    let said = said.collect::<Vec<_>>().join("; ");
    (!said.is_empty()).then_some(said)
}

/// What is wrong with a review that names somebody, its metadata excepted.
pub(crate) fn validate_subject(spec: &SubjectAccessReviewSpec) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = validate_choice(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref());
    let user = spec.user.as_deref().unwrap_or_default();
    if user.is_empty() && spec.groups.as_ref().is_none_or(Vec::is_empty) {
        errors.push(Error::invalid(&path.child("user"), user, "at least one of user or group must be specified"));
    }
    errors.extend(validate_selectors(spec.resource_attributes.as_ref()));
    errors
}

/// What is wrong with a review of whoever asks, its metadata excepted.
pub(crate) fn validate(resource: Option<&ResourceAttributes>, path: Option<&NonResourceAttributes>) -> ErrorList {
    let mut errors = validate_choice(resource, path);
    errors.extend(validate_selectors(resource));
    errors
}

/// Adds what is wrong with metadata where there is to be none.
pub(crate) fn validate_no_metadata(meta: &ObjectMeta, errors: &mut ErrorList) {
    if *meta != ObjectMeta::default() {
        errors.push(Error::invalid(&Path::new("metadata"), BadValue::json(meta), "must be empty"));
    }
}

fn validate_choice(resource: Option<&ResourceAttributes>, path: Option<&NonResourceAttributes>) -> ErrorList {
    let mut errors = ErrorList::new();
    if resource.is_some() == path.is_some() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(Error::invalid(&Path::new("spec"), path, detail));
    }
    errors
}

fn validate_selectors(attributes: Option<&ResourceAttributes>) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(attributes) = attributes else { return errors };
    let path = Path::new("spec").child("resourceAttributes");
    if let Some(FieldSelectorAttributes { raw_selector, requirements }) = &attributes.field_selector {
        let path = path.child("fieldSelector");
        let requirements = requirements.as_deref().unwrap_or_default();
        errors.extend(validate_form(raw_selector.as_deref(), requirements.is_empty(), &path));
        for (at, requirement) in requirements.iter().enumerate() {
            errors.extend(validate_field(requirement, &path.child("requirements").index(at)));
        }
    }
    if let Some(LabelSelectorAttributes { raw_selector, requirements }) = &attributes.label_selector {
        let path = path.child("labelSelector");
        let requirements = requirements.as_deref().unwrap_or_default();
        errors.extend(validate_form(raw_selector.as_deref(), requirements.is_empty(), &path));
        for (at, requirement) in requirements.iter().enumerate() {
            errors.extend(label::validate_expression(requirement, &path.child("requirements").index(at)));
        }
    }
    errors
}

fn validate_form(raw: Option<&str>, no_requirements: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let raw = raw.unwrap_or_default();
    if !raw.is_empty() && !no_requirements {
        let detail = "may not specified at the same time as requirements";
        errors.push(Error::invalid(&path.child("rawSelector"), raw, detail));
    }
    if raw.is_empty() && no_requirements {
        let detail = format!("when {path} is specified, requirements or rawSelector is required");
        errors.push(Error::required(&path.child("requirements"), detail));
    }
    errors
}

fn validate_field(requirement: &FieldSelectorRequirement, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if requirement.key.is_empty() {
        errors.push(Error::required(&path.child("key"), "must be specified"));
    }
    let no_values = requirement.values.as_ref().is_none_or(Vec::is_empty);
    match requirement.operator.as_str() {
        "In" | "NotIn" if no_values => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !no_values => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&path.child("values"), detail));
        }
        // Clients may know operators that this server does not.
        _ => {}
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::authz::Masters;

    const ONE_OF: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";

    #[test]
    fn what_may_be_asked() {
        let check = |spec: Value, expected: &[&str]| {
            let spec: SubjectAccessReviewSpec = serde_json::from_value(spec).unwrap();
            let found: Vec<String> = validate_subject(&spec).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        };
        check(json!({"user": "u", "resourceAttributes": {}}), &[]);
        check(json!({"groups": ["g"], "nonResourceAttributes": {"path": "/a"}}), &[]);
        check(json!({"user": "u"}), &[&format!("spec: Invalid value: null: {ONE_OF}")]);
        check(
            json!({"user": "u", "resourceAttributes": {}, "nonResourceAttributes": {"verb": "get"}}),
            &[&format!(r#"spec: Invalid value: {{"verb":"get"}}: {ONE_OF}"#)],
        );
        check(
            json!({"groups": [], "resourceAttributes": {}}),
            &[r#"spec.user: Invalid value: "": at least one of user or group must be specified"#],
        );
        let fields = |selector: Value| json!({"user": "u", "resourceAttributes": {"fieldSelector": selector}});
        let labels = |selector: Value| json!({"user": "u", "resourceAttributes": {"labelSelector": selector}});
        let one = |key: &str, operator: &str, values: Value| json!({"requirements": [{"key": key, "operator": operator, "values": values}]});
        const AT: &str = "spec.resourceAttributes.fieldSelector";
        const LABELS: &str = "spec.resourceAttributes.labelSelector";
        for (of, at) in [(&fields as &dyn Fn(Value) -> Value, AT), (&labels, LABELS)] {
            check(of(json!({"rawSelector": "a=b"})), &[]);
            check(of(one("a", "In", json!(["b"]))), &[]);
            check(of(one("a", "Like", json!(["b"]))), &[]);
            check(
                of(json!({})),
                &[&format!(
                    "{at}.requirements: Required value: when {at} is specified, requirements or rawSelector is required"
                )],
            );
            check(
                of(json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]})),
                &[&format!(
                    r#"{at}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements"#
                )],
            );
            check(
                of(one("a", "NotIn", json!([]))),
                &[&format!(
                    "{at}.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
                )],
            );
            check(
                of(one("a", "Exists", json!(["b"]))),
                &[&format!(
                    "{at}.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                )],
            );
        }
        check(
            fields(one("", "In", json!(["b"]))),
            &[&format!("{AT}.requirements[0].key: Required value: must be specified")],
        );
        let mut errors = ErrorList::new();
        validate_no_metadata(&ObjectMeta { name: Some("n".to_owned()), ..ObjectMeta::default() }, &mut errors);
        assert_eq!(errors.to_string(), r#"metadata: Invalid value: {"name":"n"}: must be empty"#);
    }

    #[test]
    fn selectors_that_cannot_be_read_are_told_of() {
        let identity = Identity::default();
        let subject = Subject { identity: &identity, authorizer: &Masters };
        let check = |attributes: Value, expected: Option<&str>| {
            let attributes = serde_json::from_value(attributes).unwrap();
            assert_eq!(decide(&subject, Some(&attributes), None).evaluation_error.as_deref(), expected);
        };
        check(json!({}), None);
        check(json!({"fieldSelector": {"rawSelector": "a=b"}, "labelSelector": {"rawSelector": "a in (b)"}}), None);
        check(
            json!({"fieldSelector": {"rawSelector": "key in value"}, "labelSelector": {"rawSelector": "&"}}),
            Some(
                "spec.resourceAttributes.fieldSelector ignored due to parse error; \
                 spec.resourceAttributes.labelSelector ignored due to parse error",
            ),
        );
        check(
            json!({"fieldSelector": {"requirements": [
                {"key": "a", "operator": "In", "values": ["b"]}, {"key": "a", "operator": "Exists"}]}}),
            Some("spec.resourceAttributes.fieldSelector partially ignored due to parse error"),
        );
        check(
            json!({"labelSelector": {"requirements": [{"key": "a", "operator": "Like"}]}}),
            Some("spec.resourceAttributes.labelSelector ignored due to parse error"),
        );
    }

    #[test]
    fn the_authorizer_decides() {
        let check = |groups: &[&str], expected: bool| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            let identity = Identity { user: "u".to_owned(), groups, ..Identity::default() };
            let subject = Subject { identity: &identity, authorizer: &Masters };
            let status = decide(&subject, Some(&ResourceAttributes::default()), None);
            assert_eq!(status, SubjectAccessReviewStatus { allowed: expected, ..Default::default() });
        };
        check(&["system:masters"], true);
        check(&["others"], false);
    }
}
