//! Carries out actions at the API server, in order.
//!
//! Creations that follow each other, and deletions, go out in batches that double in size as long as they succeed: if the
//! first is refused the others would be, too. After the first failure nothing more is tried.

use std::sync::Arc;

use client::cache::Written;
use client::events::{EventType, Recorder};
use client::resource::Key;
use futures::future::join_all;
use http::{Method, Request};
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Environment;
use crate::certify::Authority;
use crate::claims::is_used_by;
use crate::plan::{Action, Deletion, Effect, Fact, Failure, Propagation, Refused, Report, Target, refusal};

/// How many requests of one plan may be under way.
const MOST_AT_ONCE: usize = 64;
/// How many objects are asked for at a time.
const PAGE: u32 = 500;
/// By whom fields are set, as far as the server keeps record.
const MANAGER: &str = "fieldManager=kube-controller-manager";
/// The content type of merge patches.
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON: &str = "application/json";
/// What asks for the metadata alone.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// An action that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// Whether it only shows that the cache was behind.
    pub(super) is_stale: bool,
}

/// Carries out the plans of one controller.
pub(super) struct Executor {
    client: Client,
    recorder: Recorder,
    authority: Option<Arc<Authority>>,
}

/// What of an answer matters.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    /// Of a list.
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    deletion_timestamp: Option<String>,
    deletion_grace_period_seconds: Option<i64>,
    #[serde(default)]
    finalizers: Vec<String>,
}

impl Answer {
    /// Whether an answer to a deletion says that the object stays for now: it has been marked, and waits for somebody.
    fn is_pending(&self) -> bool {
        let Metadata { deletion_timestamp, deletion_grace_period_seconds, finalizers, .. } = &self.metadata;
        let waits = !finalizers.is_empty() || *deletion_grace_period_seconds != Some(0);
        self.kind != "Status" && deletion_timestamp.is_some() && waits
    }
}

impl Executor {
    pub(super) fn new(environment: &Environment, recorder: Recorder) -> Executor {
        let Environment { client, authority, .. } = environment.clone();
        Executor { client, recorder, authority }
    }

    /// Carries out actions until one fails. What was written is added to `written` either way.
    pub(super) async fn execute(&self, actions: &[Action], written: &mut Vec<(Key, Written)>) -> Result<(), Failed> {
        let mut rest = actions;
        let mut size = 1;
        while let Some(first) = rest.first() {
            let alike = rest.iter().take_while(|action| may_go_with(first, action)).count().max(1);
            let (batch, behind) = rest.split_at(alike.min(size));
            let mut failed = None;
            for (action, outcome) in batch.iter().zip(join_all(batch.iter().map(|action| self.act(action))).await) {
                self.report(action, &outcome);
                match outcome {
                    Ok(answer) => written.extend(trace_of(action, &answer)),
                    Err(refused) => failed = failed.or(Some(stale_or_not(action, refused))),
                }
            }
            if let Some(failed) = failed {
                return Err(failed);
            }
            size = if alike > batch.len() { (size * 2).min(MOST_AT_ONCE) } else { 1 };
            rest = behind;
        }
        Ok(())
    }

    async fn act(&self, action: &Action) -> Result<Answer, Refused> {
        let Action { target, effect, .. } = action;
        match effect {
            Effect::Create(body) => self.send(Method::POST, &collection(target, MANAGER), JSON, body).await,
            Effect::Patch { subresource, version, body } => {
                let body = conditional(body.clone(), target, version);
                self.send(Method::PATCH, &object(target, *subresource, MANAGER), MERGE_PATCH, &body).await
            }
            Effect::Replace { subresource, body } => {
                let body = conditional(body.clone(), target, "");
                self.send(Method::PUT, &object(target, Some(subresource), MANAGER), JSON, &body).await
            }
            Effect::Post { subresource, body } => {
                self.send(Method::POST, &object(target, Some(subresource), ""), JSON, body).await
            }
            Effect::Delete(deletion) => {
                let body = delete_options(target, deletion);
                let outcome = self.send(Method::DELETE, &object(target, None, ""), JSON, &body).await;
                match outcome {
                    // Somebody else has done it.
                    Err(refused) if refused.reason == "NotFound" => Ok(Answer::default()),
                    outcome => outcome,
                }
            }
            Effect::DeleteAll => {
                // Some kinds would keep what their objects own.
                let deletion = Deletion { propagation: Some(Propagation::Background), ..Deletion::default() };
                let options = delete_options(target, &deletion);
                self.send(Method::DELETE, &collection(target, ""), JSON, &options).await
            }
            Effect::Confirm(fact) => self.confirm(target, *fact).await,
            Effect::ConfirmUnused { controller } => self.confirm_unused(target, controller).await,
            Effect::Review(reviews) => self.review(reviews).await,
            Effect::Event(says) => {
                self.recorder.event(regarding(target), says.event_type, says.reason, says.message.as_str());
                Ok(Answer::default())
            }
            Effect::Certify(certification) => {
                let Some(authority) = &self.authority else {
                    return Err(Refused::new("", "this process does not have the cluster's authority"));
                };
                let certificate = authority.certify(certification).map_err(unsent)?;
                let patch = json!({"status": {"certificate": encode(&certificate)}});
                let body = conditional(patch, target, &certification.version);
                self.send(Method::PATCH, &object(target, Some("status"), MANAGER), MERGE_PATCH, &body).await
            }
        }
    }

    async fn confirm(&self, target: &Target, fact: Fact) -> Result<Answer, Refused> {
        let so = match fact {
            Fact::Empty => {
                let found = self.get(&collection(target, "limit=1"), METADATA_LIST).await?;
                found.is_none_or(|found| found.items.is_empty())
            }
            Fact::Alive | Fact::Gone => {
                let found = self.get(&object(target, None, ""), METADATA).await?;
                let same = found.filter(|found| target.uid.is_empty() || found.metadata.uid == target.uid);
                match fact {
                    Fact::Gone => same.is_none(),
                    _ => same.is_some_and(|found| found.metadata.deletion_timestamp.is_none()),
                }
            }
        };
        if so { Ok(Answer::default()) } else { Err(Refused::new("", format!("{fact:?} is not so"))) }
    }

    /// Asks for the pods that could use a claim, by pages, since there may be many.
    async fn confirm_unused(&self, claim: &Target, controller: &str) -> Result<Answer, Refused> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &claim.namespace);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let pods = api.list(&page).await.map_err(refused)?;
            if let Some(user) = pods.items.iter().find(|pod| is_used_by(&claim.name, controller, pod)) {
                let name = user.metadata.name.as_deref().unwrap_or_default();
                return Err(Refused::new("", format!("pod {name} uses {}", claim.name)));
            }
            match pods.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(Answer::default()),
            }
        }
    }

    /// Asks whether one of the accesses is allowed.
    async fn review(&self, reviews: &[SubjectAccessReviewSpec]) -> Result<Answer, Refused> {
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        for spec in reviews {
            let review = SubjectAccessReview { spec: spec.clone(), ..SubjectAccessReview::default() };
            let answer = api.create(&PostParams::default(), &review).await.map_err(refused)?;
            if answer.status.is_some_and(|status| status.allowed) {
                return Ok(Answer::default());
            }
        }
        Err(Refused::new("Forbidden", refusal(reviews)))
    }

    /// What there is, or `None` if there is nothing.
    async fn get(&self, path: &str, accept: &str) -> Result<Option<Answer>, Refused> {
        let request = Request::get(path).header("accept", accept).body(Vec::new());
        let request = request.map_err(unsent)?;
        match self.client.request(request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    async fn send(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Result<Answer, Refused> {
        let body = body.to_string().into_bytes();
        let request = Request::builder().method(method).uri(path).header("content-type", content_type).body(body);
        let request = request.map_err(unsent)?;
        self.client.request(request).await.map_err(refused)
    }

    /// Says what became of an action.
    fn report(&self, action: &Action, outcome: &Result<Answer, Refused>) {
        let Some(Report { regarding, done, failed }) = &action.report else { return };
        let (event_type, words, name, error) = match outcome {
            Ok(answer) if answer.metadata.name.is_empty() => (EventType::Normal, done, &action.target.name, ""),
            Ok(answer) => (EventType::Normal, done, &answer.metadata.name, ""),
            Err(refused) => (EventType::Warning, failed, &action.target.name, refused.message.as_str()),
        };
        if let Some((reason, message)) = words {
            let message = message.replace("{name}", name).replace("{error}", error);
            self.recorder.event(regarding.clone(), event_type, reason, message);
        }
    }
}

/// Whether two actions may be under way at once.
fn may_go_with(first: &Action, other: &Action) -> bool {
    let same_sort = matches!(
        (&first.effect, &other.effect),
        (Effect::Create(_), Effect::Create(_)) | (Effect::Delete(_), Effect::Delete(_))
    );
    same_sort && first.target.resource == other.target.resource
}

/// By what the cache shows that an action was done.
fn trace_of(action: &Action, answer: &Answer) -> Option<(Key, Written)> {
    let target = &action.target;
    let name = if target.name.is_empty() { &answer.metadata.name } else { &target.name };
    let key = Key {
        resource: target.resource.name(),
        namespace: target.namespace.as_str().into(),
        name: name.as_str().into(),
    };
    match &action.effect {
        Effect::Delete(_) if answer.is_pending() => at_version(answer).map(|written| (key, written)),
        Effect::Delete(_) => (!target.uid.is_empty()).then(|| (key, Written::Gone(target.uid.clone()))),
        Effect::Post { subresource: "eviction", .. } => {
            (!target.uid.is_empty()).then(|| (key, Written::Deleted(target.uid.clone())))
        }
        Effect::Confirm(_) | Effect::ConfirmUnused { .. } | Effect::Review(_) => None,
        Effect::Event(_) | Effect::DeleteAll | Effect::Post { .. } => None,
        _ => at_version(answer).map(|written| (key, written)),
    }
}

fn at_version(answer: &Answer) -> Option<Written> {
    answer.metadata.resource_version.parse().ok().map(Written::At)
}

fn stale_or_not(action: &Action, refused: Refused) -> Failed {
    let failure = Failure::of(action, refused);
    let is_stale = match action.effect {
        Effect::Create(_) | Effect::DeleteAll | Effect::Certify(_) | Effect::Review(_) => failure.reason == "Conflict",
        Effect::Confirm(_) | Effect::ConfirmUnused { .. } => true,
        _ => matches!(failure.reason.as_str(), "Conflict" | "NotFound"),
    };
    Failed { failure, is_stale }
}

fn refused(error: kube::Error) -> Refused {
    match error {
        kube::Error::Api(status) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let causes = causes.map(|cause| cause.reason.clone()).collect();
            Refused { causes, ..Refused::new(&status.reason, status.message.as_str()) }
        }
        error => Refused::new("", error.to_string()),
    }
}

/// What did not come as far as the server.
fn unsent(error: impl std::fmt::Display) -> Refused {
    Refused::new("", error.to_string())
}

fn with_query(path: String, query: &str) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn collection(target: &Target, query: &str) -> String {
    with_query(target.resource.path(Some(&target.namespace)), query)
}

fn object(target: &Target, subresource: Option<&str>, query: &str) -> String {
    let path = format!("{}/{}", target.resource.path(Some(&target.namespace)), target.name);
    let path = subresource.map_or(path.clone(), |subresource| format!("{path}/{subresource}"));
    with_query(path, query)
}

/// A patch or an object that is refused if the object is another, or has changed since `version`.
fn conditional(mut body: Value, target: &Target, version: &str) -> Value {
    let Some(object) = body.as_object_mut() else { return body };
    let meta = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(meta) = meta.as_object_mut() {
        if !target.uid.is_empty() {
            meta.insert("uid".to_owned(), json!(target.uid));
        }
        if !version.is_empty() {
            meta.insert("resourceVersion".to_owned(), json!(version));
        }
    }
    body
}

fn delete_options(target: &Target, deletion: &Deletion) -> Value {
    let mut options = Map::new();
    options.insert("apiVersion".to_owned(), json!("v1"));
    options.insert("kind".to_owned(), json!("DeleteOptions"));
    if let Some(propagation) = deletion.propagation {
        let policy = match propagation {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Orphan => "Orphan",
        };
        options.insert("propagationPolicy".to_owned(), json!(policy));
    }
    if let Some(seconds) = deletion.grace_seconds {
        options.insert("gracePeriodSeconds".to_owned(), json!(seconds));
    }
    let mut preconditions = Map::new();
    if !target.uid.is_empty() {
        preconditions.insert("uid".to_owned(), json!(target.uid));
    }
    if !deletion.version.is_empty() {
        preconditions.insert("resourceVersion".to_owned(), json!(deletion.version));
    }
    if !preconditions.is_empty() {
        options.insert("preconditions".to_owned(), Value::Object(preconditions));
    }
    Value::Object(options)
}

fn regarding(target: &Target) -> ObjectReference {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    ObjectReference {
        api_version: Some(target.resource.api_version()),
        kind: Some(target.resource.kind.clone()),
        namespace: some(&target.namespace),
        name: some(&target.name),
        uid: some(&target.uid),
        ..ObjectReference::default()
    }
}

/// PEM as the API has bytes.
fn encode(pem: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(pem.as_bytes().to_vec())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use api::status::CAUSE_NAMESPACE_TERMINATING;

    use super::*;

    #[test]
    fn what_the_server_answers_is_passed_on() {
        let cause = json!({"reason": CAUSE_NAMESPACE_TERMINATING, "message": "it ends", "field": "metadata.namespace"});
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403,
            "details": {"causes": [cause]},
        });
        let expected =
            Refused { causes: vec![CAUSE_NAMESPACE_TERMINATING.to_owned()], ..Refused::new("Forbidden", "no") };
        assert_eq!(refused(kube::Error::Api(serde_json::from_value(status).unwrap())), expected);
        assert_eq!(refused(kube::Error::LinesCodecMaxLineLengthExceeded).reason, "");
    }
}
