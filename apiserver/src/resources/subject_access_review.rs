//! SubjectAccessReviews: whether somebody may do something.

use api::field::ErrorList;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;

use super::access_review::{self, Subject};
use crate::engine::Call;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::strategy::{Names, Source, Strategy};

pub(crate) struct SubjectAccessReviews;

impl Strategy for SubjectAccessReviews {
    type Object = SubjectAccessReview;

    fn names(&self) -> Names {
        Names::of::<SubjectAccessReview>("subjectaccessreview", false)
    }

    fn source(&self) -> Source<SubjectAccessReview> {
        Source::Answered(answer)
    }

    fn validate(&self, _: &SubjectAccessReview) -> ErrorList {
        // What is wrong is said when it is answered.
        ErrorList::new()
    }

    fn validate_update(&self, _: &SubjectAccessReview, _: &SubjectAccessReview) -> ErrorList {
        ErrorList::new()
    }
}

fn answer<'a>(
    mut review: SubjectAccessReview,
    call: &'a Call<'a>,
    _: &'a WriteOptions,
) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
    async move {
        let mut errors = access_review::validate_subject(&review.spec);
        access_review::validate_no_metadata(&review.metadata, &mut errors);
        access_review::refuse(&errors)?;
        let identity = access_review::identity(&review.spec);
        let subject = Subject { identity: &identity, authorizer: &*call.engine.access().authorizer };
        let (resource, path) = (review.spec.resource_attributes.as_ref(), review.spec.non_resource_attributes.as_ref());
        review.status = Some(access_review::decide(&subject, resource, path));
        review.to_json().map_err(Status::internal_error)
    }
    .boxed()
}
