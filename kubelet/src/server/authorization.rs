//! What somebody may do: the API server is asked whether they may do it to a subresource of this node.
//!
//! Which subresource a path stands for is upstream's (`KubeletFineGrainedAuthz`): some paths are covered by a fine-grained
//! one or by `proxy`, whichever is allowed.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};

use super::authentication::Identity;
use super::remembered::Remembered;
use super::reviews::{ReviewError, Reviews};

/// How long it counts that something is allowed (upstream's `authorization.webhook.cacheAuthorizedTTL`).
const ALLOWED: Duration = Duration::from_secs(300);
/// How long it counts that it is not (upstream's `cacheUnauthorizedTTL`).
const REFUSED: Duration = Duration::from_secs(30);
/// How many answers are remembered.
const ANSWERS: usize = 1024;
/// What is longer than this is asked each time (upstream's bound on what is kept for one question), in bytes.
const KEPT: usize = 10_000;

/// What a request wants, in the API's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    /// The API's verb; empty if there is none for the method.
    pub(super) verb: &'static str,
    /// Subresources of `nodes`, any of which will do.
    pub(super) subresources: &'static [&'static str],
}

impl Attributes {
    /// What a method and a path, decoded, stand for.
    pub(super) fn of(method: &Method, path: &str) -> Attributes {
        let verb = match *method {
            Method::POST => "create",
            Method::GET => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        let first = path.strip_prefix('/').map_or("", |rest| rest.split('/').next().unwrap_or_default());
        let subresources: &'static [&'static str] = match first {
            "pods" | "runningpods" => &["pods", "proxy"],
            "healthz" => &["healthz", "proxy"],
            "configz" => &["configz", "proxy"],
            "statusz" => &["statusz", "proxy"],
            "stats" => &["stats"],
            "metrics" => &["metrics"],
            "logs" => &["log"],
            "checkpoint" => &["checkpoint"],
            _ => &["proxy"],
        };
        Attributes { verb, subresources }
    }
}

/// Why something is not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    /// They may not.
    #[error("Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{}])\n", subresources.join(" "))]
    Forbidden { user: String, verb: &'static str, subresources: &'static [&'static str] },
    /// It cannot be told.
    #[error("Authorization error (user={user}, verb={verb}, resource=nodes, subresource={subresource})")]
    Unknown { user: String, verb: &'static str, subresource: &'static str },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    identity: Arc<Identity>,
    verb: &'static str,
    subresource: &'static str,
}

/// Finds out what somebody may do to this node.
pub(super) struct Authorization {
    node: String,
    reviews: Arc<dyn Reviews>,
    answers: Remembered<Question, bool>,
}

impl Authorization {
    pub(super) fn new(node: String, reviews: Arc<dyn Reviews>) -> Authorization {
        Authorization { node, reviews, answers: Remembered::new(ANSWERS) }
    }

    /// Succeeds if `identity` may do what `wanted` says.
    pub(super) async fn authorize(&self, identity: &Arc<Identity>, wanted: &Attributes) -> Result<(), Denied> {
        let user = || identity.user.clone();
        for &subresource in wanted.subresources {
            match self.may(identity, wanted.verb, subresource).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, user = identity.user, verb = wanted.verb, subresource, "no answer to a review");
                    return Err(Denied::Unknown { user: user(), verb: wanted.verb, subresource });
                }
            }
        }
        Err(Denied::Forbidden { user: user(), verb: wanted.verb, subresources: wanted.subresources })
    }

    async fn may(
        &self,
        identity: &Arc<Identity>,
        verb: &'static str,
        subresource: &'static str,
    ) -> Result<bool, ReviewError> {
        let question = Question { identity: Arc::clone(identity), verb, subresource };
        if let Some(answer) = self.answers.get(&question) {
            return Ok(answer);
        }
        let status = self.reviews.access(asked(&self.node, identity, verb, subresource)).await?;
        let allowed = status.allowed && status.denied != Some(true);
        if size_of(identity) <= KEPT {
            self.answers.put(question, allowed, if allowed { ALLOWED } else { REFUSED });
        }
        Ok(allowed)
    }
}

fn asked(node: &str, identity: &Identity, verb: &str, subresource: &str) -> SubjectAccessReviewSpec {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    SubjectAccessReviewSpec {
        user: Some(identity.user.clone()),
        uid: some(&identity.uid),
        groups: Some(identity.groups.clone()),
        extra: (!identity.extra.is_empty()).then(|| identity.extra.clone()),
        resource_attributes: Some(ResourceAttributes {
            verb: Some(verb.to_owned()),
            version: Some("v1".to_owned()),
            resource: Some("nodes".to_owned()),
            subresource: Some(subresource.to_owned()),
            name: Some(node.to_owned()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    }
}

fn size_of(identity: &Identity) -> usize {
    let lists = std::iter::once(&identity.groups).chain(identity.extra.values());
    let values: usize = lists.flatten().map(String::len).sum();
    identity.user.len() + identity.uid.len() + values + identity.extra.keys().map(String::len).sum::<usize>()
}

#[cfg(test)]
mod tests;
