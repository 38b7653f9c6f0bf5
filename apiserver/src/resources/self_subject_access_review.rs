//! SelfSubjectAccessReviews: whether whoever asks may do something.

use api::field::ErrorList;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;

use super::access_review::{self, Subject};
use crate::engine::Call;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::strategy::{Names, Source, Strategy};

pub(crate) struct SelfSubjectAccessReviews;

impl Strategy for SelfSubjectAccessReviews {
    type Object = SelfSubjectAccessReview;

    fn names(&self) -> Names {
        Names::of::<SelfSubjectAccessReview>("selfsubjectaccessreview", false)
    }

    fn source(&self) -> Source<SelfSubjectAccessReview> {
        Source::Answered(answer)
    }

    fn validate(&self, _: &SelfSubjectAccessReview) -> ErrorList {
        // What is wrong is said when it is answered.
        ErrorList::new()
    }

    fn validate_update(&self, _: &SelfSubjectAccessReview, _: &SelfSubjectAccessReview) -> ErrorList {
        ErrorList::new()
    }
}

fn answer<'a>(
    mut review: SelfSubjectAccessReview,
    call: &'a Call<'a>,
    _: &'a WriteOptions,
) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
    async move {
        let (resource, path) = (review.spec.resource_attributes.as_ref(), review.spec.non_resource_attributes.as_ref());
        let mut errors = access_review::validate(resource, path);
        access_review::validate_no_metadata(&review.metadata, &mut errors);
        access_review::refuse(&errors)?;
        let identity = access_review::requester(call)?;
        let subject = Subject { identity, authorizer: &*call.engine.access().authorizer };
        review.status = Some(access_review::decide(&subject, resource, path));
        review.to_json().map_err(Status::internal_error)
    }
    .boxed()
}
