//! Which pod and which container an argument means: a pod by name, or one of those that something selects.
//!
//! Of several pods the one is chosen that kubectl would choose. What is said about it goes to standard error.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::time::Duration;

use futures::TryStreamExt;
use serde_json::Value;
use tokio::io::AsyncBufReadExt;

use crate::resources::escape;
use crate::select::select_named;
use crate::session::Ask;
use crate::{Error, Session};

/// Names the container that is meant when none is.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

impl Preference {
    /// What cannot be done with what has no pods.
    pub(crate) const fn failure(self) -> &'static str {
        match self {
            Preference::Running => "cannot attach to",
            Preference::Talking => "cannot get the logs from",
        }
    }
}

/// Which pods of an owner come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preference {
    /// For what runs in them: those that have had the least trouble.
    Running,
    /// For what they have said: those that have had the most trouble.
    Talking,
}

/// What an argument of the form NAME, TYPE/NAME, or TYPE NAME means.
pub(crate) async fn object(session: &mut Session<'_>, arguments: &[String]) -> Result<Value, Error> {
    let namespace = session.namespace().await?;
    if let [name] = arguments
        && !name.contains('/')
    {
        return pod(session, &namespace, name).await;
    }
    let selected = select_named(session, arguments).await?;
    match &selected[..] {
        [one] if one.names.len() == 1 => {
            session.json(Ask::get(&one.resource.object_path(&namespace, &one.names[0]))).await
        }
        _ => Err(Error::said("expected a resource")),
    }
}

/// A pod by name.
pub(crate) async fn pod(session: &mut Session<'_>, namespace: &str, name: &str) -> Result<Value, Error> {
    session.json(Ask::get(&path(namespace, name))).await
}

/// The path of a pod.
pub(crate) fn path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", escape(namespace), escape(name))
}

/// The pods that a selector selects.
pub(crate) async fn selected(session: &mut Session<'_>, selector: &str) -> Result<Value, Error> {
    let namespace = session.namespace().await?;
    let path = format!("/api/v1/namespaces/{}/pods", escape(&namespace));
    session.json(Ask::get(&path).query("labelSelector", selector)).await
}

/// The pod that is meant by an object, and how many others there are to choose from. Without any it is waited for.
pub(crate) async fn of(
    session: &mut Session<'_>,
    object: &Value,
    timeout: Duration,
    preference: Preference,
) -> Result<(Value, usize), Error> {
    if object["kind"] == "Pod" {
        return Ok((object.clone(), 1));
    }
    let selector = selector(object, preference.failure())?;
    let list = selected(session, &selector).await?;
    let mut pods: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
    pods.sort_by(|left, right| compare(left, right, preference));
    if !pods.is_empty() {
        let count = pods.len();
        return Ok((pods.swap_remove(0), count));
    }
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let first = tokio::time::timeout(timeout, first(session, &selector, version)).await;
    Ok((first.map_err(|_| Error::said("timed out waiting for the condition"))??, 1))
}

/// The first pod that comes to be selected.
async fn first(session: &mut Session<'_>, selector: &str, version: &str) -> Result<Value, Error> {
    let namespace = session.namespace().await?;
    let path = format!("/api/v1/namespaces/{}/pods", escape(&namespace));
    let watch = Ask::get(&path).query("labelSelector", selector).query("watch", "true");
    let body = session.open(watch.query("resourceVersion", version)).await?;
    let frames = http_body_util::BodyExt::into_data_stream(body).map_err(std::io::Error::other);
    let mut lines = tokio_util::io::StreamReader::new(frames).lines();
    while let Some(line) = lines.next_line().await? {
        let Ok(mut event) = serde_json::from_str::<Value>(&line) else { continue };
        match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => return Ok(event["object"].take()),
            Some("ERROR") => return Err(Error::Server(Box::new(event["object"].take()))),
            _ => {}
        }
    }
    Err(Error::said("watch closed before UntilWithoutRetry timeout"))
}

/// The selector of the pods that an object is about. `doing` is what cannot be done without.
pub(crate) fn selector(object: &Value, doing: &str) -> Result<String, Error> {
    let spec = &object["spec"];
    let kind = object["kind"].as_str().unwrap_or_default();
    match kind {
        "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Deployment" | "Job" => Ok(of_selector(&spec["selector"])),
        "ReplicationController" => Ok(of_labels(&spec["selector"])),
        "Service" => match of_labels(&spec["selector"]) {
            none if none.is_empty() => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                Err(Error::said(format!("invalid service '{name}': Service is defined without a selector")))
            }
            selector => Ok(selector),
        },
        _ => {
            let version = object["apiVersion"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            Err(Error::said(format!("{doing} *{version}.{kind}: selector for *{version}.{kind} not implemented")))
        }
    }
}

fn of_labels(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(",")
}

fn of_selector(selector: &Value) -> String {
    let mut terms = vec![of_labels(&selector["matchLabels"])];
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        terms.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.retain(|term| !term.is_empty());
    terms.join(",")
}

/// What comes first is chosen.
fn compare(left: &Value, right: &Value, preference: Preference) -> Ordering {
    let by = |key: &dyn Fn(&Value) -> u64| key(left).cmp(&key(right));
    let unassigned = |pod: &Value| u64::from(pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty());
    let phase = |pod: &Value| match pod["status"]["phase"].as_str() {
        Some("Pending") => 2,
        Some("Unknown") => 1,
        _ => 0,
    };
    let restarts = |pod: &Value| {
        let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        statuses.filter_map(|status| status["restartCount"].as_u64()).max().unwrap_or(0)
    };
    let trouble = match preference {
        Preference::Running => by(&restarts),
        Preference::Talking => by(&restarts).reverse(),
    };
    // Times of the API are text of one form, in which the earlier one comes first.
    let created = |pod: &Value| pod["metadata"]["creationTimestamp"].as_str().unwrap_or("~").to_owned();
    by(&unassigned)
        .then(by(&phase))
        .then(ready_since(left).is_none().cmp(&ready_since(right).is_none()))
        .then_with(|| ready_since(left).cmp(&ready_since(right)))
        .then(trouble)
        .then_with(|| created(left).cmp(&created(right)))
}

/// Since when a pod is ready, if it is.
fn ready_since(pod: &Value) -> Option<&str> {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.find(|condition| condition["type"] == "Ready" && condition["status"] == "True")?;
    Some(ready["lastTransitionTime"].as_str().unwrap_or("~"))
}

/// Whether a pod has ended.
pub(crate) fn is_completed(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// A text field of an object's metadata.
pub(crate) fn metadata<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The field of a pod's spec with containers of a kind, and how their names are marked.
const KINDS: [(&str, &str); 3] =
    [("containers", ""), ("ephemeralContainers", " (ephem)"), ("initContainers", " (init)")];

/// A pod's containers of a kind.
fn of_kind<'a>(pod: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    pod["spec"][field].as_array().into_iter().flatten()
}

/// The names of all of a pod's containers, in the order in which they begin.
pub(crate) fn container_names(pod: &Value) -> Vec<&str> {
    let fields = ["initContainers", "containers", "ephemeralContainers"];
    let all = fields.into_iter().flat_map(|field| of_kind(pod, field));
    all.filter_map(|container| container["name"].as_str()).collect()
}

/// A container by name, and whether it is an ephemeral one.
pub(crate) fn find<'a>(pod: &'a Value, name: &str) -> Option<(&'a Value, bool)> {
    KINDS.iter().find_map(|(field, _)| {
        let found = of_kind(pod, field).find(|container| container["name"] == name)?;
        Some((found, *field == "ephemeralContainers"))
    })
}

/// The names of all of a pod's containers, as they are shown.
fn listed(pod: &Value) -> String {
    let mut names = String::new();
    for (field, mark) in KINDS {
        for container in of_kind(pod, field) {
            let comma = if names.is_empty() { "" } else { ", " };
            let _ = write!(names, "{comma}{}{mark}", container["name"].as_str().unwrap_or_default());
        }
    }
    names
}

/// The container that is meant, and what is to be said about it.
pub(crate) fn container(pod: &Value, asked: &str) -> Result<(String, Option<String>), Error> {
    let annotated = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str().unwrap_or_default();
    let name = if asked.is_empty() { annotated } else { asked };
    if !name.is_empty() {
        if find(pod, name).is_some() {
            return Ok((name.to_owned(), None));
        }
        return Err(invalid(pod, name));
    }
    Ok(first_container(pod))
}

fn invalid(pod: &Value, name: &str) -> Error {
    let (pod_name, names) = (metadata(pod, "name"), listed(pod));
    Error::said(format!("container {name} is not valid for pod {pod_name} out of: {names}"))
}

/// The first container of a pod, and what is to be said about its being chosen.
fn first_container(pod: &Value) -> (String, Option<String>) {
    let first = of_kind(pod, "containers").next().and_then(|container| container["name"].as_str());
    let first = first.unwrap_or_default().to_owned();
    let is_choice = container_names(pod).len() > 1;
    let remark = is_choice.then(|| format!("Defaulted container {first:?} out of: {}", listed(pod)));
    (first, remark)
}

/// The container whose logs are meant, and what is to be said about it. An annotation that names none is passed over.
pub(crate) fn talking_container(pod: &Value, asked: &str) -> Result<(String, Vec<String>), Error> {
    let pod_name = metadata(pod, "name");
    if !asked.is_empty() {
        return match find(pod, asked) {
            Some(_) => Ok((asked.to_owned(), Vec::new())),
            None => Err(invalid(pod, asked)),
        };
    }
    let annotated = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str().unwrap_or_default();
    let mut remarks = Vec::new();
    if !annotated.is_empty() {
        if find(pod, annotated).is_some() {
            return Ok((annotated.to_owned(), remarks));
        }
        remarks.push(format!("Default container name {annotated:?} not found in pod {pod_name}"));
    }
    let (first, remark) = first_container(pod);
    remarks.extend(remark);
    Ok((first, remarks))
}

#[cfg(test)]
mod tests;
