//! SelfSubjectReviews: who is asking.

use api::field::ErrorList;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, SelfSubjectReviewStatus};

use super::access_review;
use super::token_review::user_info;
use crate::engine::Call;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::strategy::{Names, Source, Strategy};

pub(crate) struct SelfSubjectReviews;

impl Strategy for SelfSubjectReviews {
    type Object = SelfSubjectReview;

    fn names(&self) -> Names {
        Names::of::<SelfSubjectReview>("selfsubjectreview", false)
    }

    fn source(&self) -> Source<SelfSubjectReview> {
        Source::Answered(answer)
    }

    fn validate(&self, _: &SelfSubjectReview) -> ErrorList {
        // What is wrong is said when it is answered.
        ErrorList::new()
    }

    fn validate_update(&self, _: &SelfSubjectReview, _: &SelfSubjectReview) -> ErrorList {
        ErrorList::new()
    }
}

fn answer<'a>(
    mut review: SelfSubjectReview,
    call: &'a Call<'a>,
    _: &'a WriteOptions,
) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
    async move {
        let identity = access_review::requester(call)?;
        review.status = Some(SelfSubjectReviewStatus { user_info: Some(user_info(identity)) });
        review.to_json().map_err(Status::internal_error)
    }
    .boxed()
}
