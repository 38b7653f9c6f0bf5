//! Tokens of service accounts, each bound to one pod: kept, and asked for anew before they run out.
//!
//! The times are upstream's: a token is renewed when a fifth of its time is left, or after a day, some seconds early so that
//! not everybody asks at once. While that fails the old one is given out for as long as it is valid.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::problem::said;

/// How long any token is used.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// By how much a renewal may be early.
const JITTER_SECONDS: i64 = 10;
/// How long a token is valid that nobody says anything of (the API's default).
const DEFAULT_SECONDS: i64 = 3600;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The most tokens that are kept. Beyond that those that have expired go, and then nothing is kept.
const KEPT: usize = 8192;

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Purpose {
    uid: String,
    audience: Option<String>,
    seconds: i64,
}

#[derive(Clone)]
struct Token {
    text: Arc<str>,
    expires: Timestamp,
    /// When it is to be renewed.
    due: Timestamp,
    issued: Timestamp,
}

/// The tokens of this node's pods.
pub(super) struct Tokens {
    client: Client,
    clock: Clock,
    known: Mutex<HashMap<Purpose, Token>>,
}

impl Tokens {
    pub(super) fn new(client: Client, clock: Clock) -> Tokens {
        Tokens { client, clock, known: Mutex::default() }
    }

    /// A token of the pod's service account, for an audience or the API server.
    ///
    /// # Errors
    /// In upstream's words, if there is none that is still valid.
    pub(super) async fn get(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        seconds: Option<i64>,
    ) -> Result<Arc<str>, String> {
        let audience = audience.filter(|audience| !audience.is_empty()).map(str::to_owned);
        let seconds = seconds.unwrap_or(DEFAULT_SECONDS);
        let purpose = Purpose { uid: pod.metadata.uid.clone().unwrap_or_default(), audience, seconds };
        let known = self.known.lock().get(&purpose).cloned();
        let now = self.clock.now();
        // A token from the future is one that a clock that was set back makes look so.
        if let Some(token) = known.as_ref().filter(|token| now < token.due && now >= token.issued) {
            return Ok(Arc::clone(&token.text));
        }
        match self.request(pod, &purpose).await {
            Ok(token) => {
                let text = Arc::clone(&token.text);
                self.keep(purpose, token);
                Ok(text)
            }
            Err(error) => match known {
                None => Err(format!("failed to fetch token: {error}")),
                Some(token) if now > token.expires => Err(format!("token expired and refresh failed: {error}")),
                Some(token) => {
                    tracing::warn!(uid = purpose.uid, error, "a token could not be renewed; it is still valid");
                    Ok(token.text)
                }
            },
        }
    }

    /// Forgets the tokens of a pod.
    pub(super) fn forget(&self, uid: &str) {
        self.known.lock().retain(|purpose, _| purpose.uid != uid);
    }

    fn keep(&self, purpose: Purpose, token: Token) {
        let mut known = self.known.lock();
        if known.len() >= KEPT {
            let now = self.clock.now();
            known.retain(|_, token| now <= token.expires);
        }
        if known.len() < KEPT || known.contains_key(&purpose) {
            known.insert(purpose, token);
        }
    }

    async fn request(&self, pod: &Pod, purpose: &Purpose) -> Result<Token, String> {
        let spec = pod.spec.as_ref().ok_or("the pod has no spec")?;
        let account = spec.service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        };
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(purpose.audience.iter().cloned().collect()),
                bound_object_ref: Some(bound),
                expiration_seconds: Some(purpose.seconds),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        let answer = timeout(ANSWER, api.create_token_request(account, &PostParams::default(), &request)).await;
        let answer = answer.map_err(|_| "the API server does not answer")?.map_err(said)?;
        let status = answer.status.ok_or("the answer has no token")?;
        let (Some(text), Some(expires)) = (status.token, status.expiration_timestamp) else {
            return Err("the answer has no token, or no time at which it expires".to_owned());
        };
        let seconds = answer.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(purpose.seconds);
        let jitter = rand::random_range(0..JITTER_SECONDS);
        let (issued, due) = times(expires.0, seconds, jitter);
        Ok(Token { text: text.into(), expires: expires.0, due, issued })
    }
}

/// When a token was issued that expires then and is valid for so many seconds, and when it is to be renewed.
fn times(expires: Timestamp, seconds: i64, jitter: i64) -> (Timestamp, Timestamp) {
    let early = SignedDuration::from_secs(jitter);
    let whole = SignedDuration::from_secs(seconds.max(0));
    // What the calendar cannot express is as good as now.
    let issued = expires.checked_sub(whole).unwrap_or(Timestamp::UNIX_EPOCH);
    let a_day_on = issued.checked_add(LONGEST - early).unwrap_or(expires);
    let most_is_over = expires.checked_sub(whole / 5 + early).unwrap_or(issued);
    (issued, a_day_on.min(most_is_over))
}

#[cfg(test)]
mod tests;
