//! LocalSubjectAccessReviews: whether somebody may do something in a namespace.

use api::field::{BadValue, Error, ErrorList, Path};
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::LocalSubjectAccessReview;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::access_review::{self, Subject};
use crate::engine::Call;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::strategy::{Names, Source, Strategy};

pub(crate) struct LocalSubjectAccessReviews;

impl Strategy for LocalSubjectAccessReviews {
    type Object = LocalSubjectAccessReview;

    fn names(&self) -> Names {
        Names::of::<LocalSubjectAccessReview>("localsubjectaccessreview", true)
    }

    fn source(&self) -> Source<LocalSubjectAccessReview> {
        Source::Answered(answer)
    }

    fn validate(&self, _: &LocalSubjectAccessReview) -> ErrorList {
        // What is wrong is said when it is answered.
        ErrorList::new()
    }

    fn validate_update(&self, _: &LocalSubjectAccessReview, _: &LocalSubjectAccessReview) -> ErrorList {
        ErrorList::new()
    }
}

/// What is wrong with a review of the namespace that its metadata states.
fn check(review: &LocalSubjectAccessReview) -> ErrorList {
    let mut errors = access_review::validate_subject(&review.spec);
    let rest = ObjectMeta { namespace: None, ..review.metadata.clone() };
    if rest != ObjectMeta::default() {
        let shown = BadValue::json(&review.metadata);
        errors.push(Error::invalid(&Path::new("metadata"), shown, "must be empty except for namespace"));
    }
    let spec = Path::new("spec");
    if let Some(attributes) = &review.spec.resource_attributes {
        let stated = attributes.namespace.as_deref().unwrap_or_default();
        if stated != review.metadata.namespace.as_deref().unwrap_or_default() {
            let path = spec.child("resourceAttributes").child("namespace");
            errors.push(Error::invalid(&path, stated, "must match metadata.namespace"));
        }
    }
    if let Some(attributes) = &review.spec.non_resource_attributes {
        let shown = BadValue::json(attributes);
        let path = spec.child("nonResourceAttributes");
        errors.push(Error::invalid(&path, shown, "disallowed on this kind of request"));
    }
    errors
}

fn answer<'a>(
    mut review: LocalSubjectAccessReview,
    call: &'a Call<'a>,
    _: &'a WriteOptions,
) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
    async move {
        access_review::refuse(&check(&review))?;
        let identity = access_review::identity(&review.spec);
        let subject = Subject { identity: &identity, authorizer: &*call.engine.access().authorizer };
        review.status = Some(access_review::decide(&subject, review.spec.resource_attributes.as_ref(), None));
        review.to_json().map_err(Status::internal_error)
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn rules() {
        let valid = json!({"metadata": {"namespace": "a"},
            "spec": {"user": "u", "resourceAttributes": {"namespace": "a", "verb": "get", "resource": "pods"}}});
        let check = |change: &[(&str, Value)], expected: &[&str]| {
            let mut review = valid.clone();
            for (pointer, value) in change {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                review.pointer_mut(parent).unwrap()[name] = value.clone();
            }
            let found: Vec<_> =
                check(&serde_json::from_value(review).unwrap()).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        check(
            &[("/spec/resourceAttributes/namespace", json!("b"))],
            &[r#"spec.resourceAttributes.namespace: Invalid value: "b": must match metadata.namespace"#],
        );
        check(
            &[("/spec/resourceAttributes/namespace", json!(""))],
            &[r#"spec.resourceAttributes.namespace: Invalid value: "": must match metadata.namespace"#],
        );
        check(
            &[("/metadata/name", json!("n"))],
            &[r#"metadata: Invalid value: {"name":"n","namespace":"a"}: must be empty except for namespace"#],
        );
        check(
            &[("/spec/resourceAttributes", json!(null)), ("/spec/nonResourceAttributes", json!({"path": "/x"}))],
            &[r#"spec.nonResourceAttributes: Invalid value: {"path":"/x"}: disallowed on this kind of request"#],
        );
        check(
            &[("/spec/user", json!(""))],
            &[r#"spec.user: Invalid value: "": at least one of user or group must be specified"#],
        );
    }
}
