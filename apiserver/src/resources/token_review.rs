//! TokenReviews: whose a token is, by the same means by which requests are authenticated.

use api::field::ErrorList;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewStatus, UserInfo};

use crate::authn::{Identity, TokenOwner};
use crate::engine::Call;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::strategy::{Names, Source, Strategy};

pub(crate) struct TokenReviews;

impl Strategy for TokenReviews {
    type Object = TokenReview;

    fn names(&self) -> Names {
        Names::of::<TokenReview>("tokenreview", false)
    }

    fn source(&self) -> Source<TokenReview> {
        Source::Answered(answer)
    }

    fn validate(&self, _: &TokenReview) -> ErrorList {
        // What is wrong is said when it is answered.
        ErrorList::new()
    }

    fn validate_update(&self, _: &TokenReview, _: &TokenReview) -> ErrorList {
        ErrorList::new()
    }
}

fn answer<'a>(
    mut review: TokenReview,
    call: &'a Call<'a>,
    _: &'a WriteOptions,
) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
    async move {
        let token = review.spec.token.as_str();
        if token.is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        let audiences = review.spec.audiences.as_deref().unwrap_or_default();
        let owner = call.engine.access().authenticators.owner(token, audiences, call.now.into()).await;
        review.status = Some(match owner {
            Ok(TokenOwner { identity, audiences }) => TokenReviewStatus {
                authenticated: Some(true),
                user: Some(user_info(&identity)),
                audiences: Some(audiences),
                error: None,
            },
            Err(why) => TokenReviewStatus {
                error: Some(why.to_string()),
                user: Some(UserInfo::default()),
                ..TokenReviewStatus::default()
            },
        });
        review.to_json().map_err(Status::internal_error)
    }
    .boxed()
}

/// An identity as reviews show it.
pub(crate) fn user_info(identity: &Identity) -> UserInfo {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    UserInfo {
        username: text(&identity.user),
        uid: text(&identity.uid),
        groups: Some(identity.groups.clone()).filter(|groups| !groups.is_empty()),
        extra: Some(identity.extra.clone()).filter(|extra| !extra.is_empty()),
    }
}
