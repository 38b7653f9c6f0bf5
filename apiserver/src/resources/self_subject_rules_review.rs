//! SelfSubjectRulesReviews: what whoever asks may do in a namespace.

use api::field::ErrorList;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SubjectRulesReviewStatus};

use super::access_review;
use crate::authz::Rules;
use crate::engine::Call;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::strategy::{Names, Source, Strategy};

pub(crate) struct SelfSubjectRulesReviews;

impl Strategy for SelfSubjectRulesReviews {
    type Object = SelfSubjectRulesReview;

    fn names(&self) -> Names {
        Names::of::<SelfSubjectRulesReview>("selfsubjectrulesreview", false)
    }

    fn source(&self) -> Source<SelfSubjectRulesReview> {
        Source::Answered(answer)
    }

    fn validate(&self, _: &SelfSubjectRulesReview) -> ErrorList {
        // What is wrong is said when it is answered.
        ErrorList::new()
    }

    fn validate_update(&self, _: &SelfSubjectRulesReview, _: &SelfSubjectRulesReview) -> ErrorList {
        ErrorList::new()
    }
}

fn answer<'a>(
    mut review: SelfSubjectRulesReview,
    call: &'a Call<'a>,
    _: &'a WriteOptions,
) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
    async move {
        let identity = access_review::requester(call)?;
        let namespace = review.spec.namespace.as_deref().unwrap_or_default();
        if namespace.is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        let Rules { resources, paths, error } = call.engine.access().authorizer.rules(identity, namespace);
        review.status = Some(SubjectRulesReviewStatus {
            resource_rules: resources,
            non_resource_rules: paths,
            incomplete: !error.is_empty(),
            evaluation_error: Some(error).filter(|error| !error.is_empty()),
        });
        review.to_json().map_err(Status::internal_error)
    }
    .boxed()
}
