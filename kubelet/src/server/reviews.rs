//! What the API server is asked about those who ask the node: who a token belongs to, and what somebody may do.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};

/// How long the API server may take to answer (upstream's number for webhooks).
const ANSWER: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReviewError {
    /// The API server cannot be asked, or refuses to answer.
    #[error("the API server cannot be asked: {0}")]
    Failed(String),
    /// It did not answer in time.
    #[error("the API server did not answer within {} s", ANSWER.as_secs())]
    Late,
    /// It answered without saying anything.
    #[error("the API server answered without a status")]
    Empty,
}

/// Who answers reviews: the API server, over the network or in this process.
pub trait Reviews: Send + Sync + 'static {
    /// Who a token belongs to.
    fn token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>>;

    /// Whether somebody may do something.
    fn access(&self, asked: SubjectAccessReviewSpec) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, ReviewError>>;
}

impl Reviews for Client {
    fn token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>> {
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        async move {
            let api = Api::<TokenReview>::all(self.clone());
            let answer = answered(api.create(&PostParams::default(), &review)).await?;
            answer.status.ok_or(ReviewError::Empty)
        }
        .boxed()
    }

    fn access(&self, spec: SubjectAccessReviewSpec) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, ReviewError>> {
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        async move {
            let api = Api::<SubjectAccessReview>::all(self.clone());
            let answer = answered(api.create(&PostParams::default(), &review)).await?;
            answer.status.ok_or(ReviewError::Empty)
        }
        .boxed()
    }
}

async fn answered<T>(asking: impl Future<Output = kube::Result<T>>) -> Result<T, ReviewError> {
    match tokio::time::timeout(ANSWER, asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ReviewError::Failed(error.to_string())),
        Err(_) => Err(ReviewError::Late),
    }
}
