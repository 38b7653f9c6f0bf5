//! `gantry why`: the cause in one sentence, what shows it, and what to do next. kubectl has no such verb; the server needs
//! nothing for it.
//!
//! [`explain`] decides, and is pure: everything that it looks at is gathered first, into [`Facts`]. What the user may not
//! see is left out of them, and whoever decides takes its absence for not knowing.

mod facts;
mod others;
mod pod;
mod scheduling;
mod service;
#[cfg(test)]
mod tests;
mod workloads;

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::describe::list_all;
use super::describe::page::{Clock, list, shown};
use crate::resources::{Resource, escape};
use crate::select::select_named;
use crate::session::Ask;
use crate::{Error, Session};
use facts::{Explanation, Facts};

/// How many objects are asked for at a time.
const CHUNK: u32 = 500;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Which objects: KIND/NAME or KIND NAME.
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
}

/// Says why.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let selected = select_named(session, &arguments.what).await?;
    let namespace = session.namespace().await?;
    let mut is_first = true;
    for selected in selected {
        for name in &selected.names {
            let object = session.json(Ask::get(&selected.resource.object_path(&namespace, name))).await?;
            let facts = gather(session, &selected.resource, object).await?;
            if !is_first {
                session.say("")?;
            }
            is_first = false;
            session.write(&explain(&facts).text())?;
        }
    }
    Ok(())
}

/// What is the matter with an object.
fn explain(facts: &Facts) -> Explanation {
    match facts.kind.as_str() {
        "Pod" => return pod::why(facts),
        "Namespace" => return others::namespace(facts),
        _ => {}
    }
    if let Some(explanation) = others::deleted(facts) {
        return explanation;
    }
    match facts.kind.as_str() {
        // tidy: sorted
        "DaemonSet" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => workloads::set(facts),
        "Deployment" => workloads::deployment(facts),
        "Job" => workloads::job(facts),
        "Node" => others::node(facts),
        "PersistentVolumeClaim" => others::claim(facts),
        "Service" => service::why(facts),
        // tidy: end
        _ => others::any(facts),
    }
}

/// The lists that an explanation may need: the names of resources, and where they are.
fn lists(resource: &Resource, object: &Value) -> Vec<(&'static str, String)> {
    let namespace = escape(&shown(&object["metadata"]["namespace"]));
    let core = |plural: &str| format!("/api/v1/namespaces/{namespace}/{plural}");
    let group = match resource.group.as_str() {
        "" | "apps" | "batch" => resource.kind.as_str(),
        _ => "",
    };
    match group {
        "Pod" => {
            vec![("nodes", "/api/v1/nodes".to_owned()), ("persistentvolumeclaims", core("persistentvolumeclaims"))]
        }
        "Deployment" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "StatefulSet" | "Job" => vec![
            ("pods", core("pods")),
            ("nodes", "/api/v1/nodes".to_owned()),
            ("persistentvolumeclaims", core("persistentvolumeclaims")),
            ("replicasets", format!("/apis/apps/v1/namespaces/{namespace}/replicasets")),
        ],
        "Service" => vec![
            ("pods", core("pods")),
            ("nodes", "/api/v1/nodes".to_owned()),
            ("persistentvolumeclaims", core("persistentvolumeclaims")),
        ],
        "PersistentVolumeClaim" => vec![
            ("pods", core("pods")),
            ("persistentvolumes", "/api/v1/persistentvolumes".to_owned()),
            ("storageclasses", "/apis/storage.k8s.io/v1/storageclasses".to_owned()),
        ],
        "Node" => {
            let name = escape(&shown(&object["metadata"]["name"]));
            vec![("lease", format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"))]
        }
        _ => Vec::new(),
    }
}

/// Asks for all that may have to do with it.
async fn gather(session: &mut Session<'_>, resource: &Resource, object: Value) -> Result<Facts, Error> {
    let mut related = BTreeMap::new();
    let mut wanted = lists(resource, &object);
    wanted.push(("events", super::describe::events_path(&object)));
    for (name, path) in wanted {
        match list_all(session, &path, "", "", CHUNK).await {
            Ok(objects) => {
                related.insert(name.to_owned(), objects);
            }
            // It is not there, or not for this user to see.
            Err(Error::Server(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if resource.group.is_empty() && resource.kind == "Service" {
        let meta = &object["metadata"];
        let (namespace, name) = (escape(&shown(&meta["namespace"])), shown(&meta["name"]));
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let labels = format!("kubernetes.io/service-name={name}");
        if let Ok(slices) = list_all(session, &path, &labels, "", CHUNK).await {
            related.insert("endpointslices".to_owned(), slices);
        }
    }
    let mut last_lines = BTreeMap::new();
    if resource.group.is_empty() && resource.kind == "Pod" {
        last_lines = last(session, resource, &object).await;
    }
    Ok(Facts { kind: resource.kind.clone(), object, related, last_lines, clock: Clock::here() })
}

/// The last lines of the containers that have ended badly.
async fn last(session: &mut Session<'_>, resource: &Resource, pod: &Value) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    let meta = &pod["metadata"];
    let path = format!("{}/log", resource.object_path(&shown(&meta["namespace"]), &shown(&meta["name"])));
    let status = &pod["status"];
    for container in list(&status["initContainerStatuses"]).iter().chain(list(&status["containerStatuses"])) {
        let (now, before) = (&container["state"]["terminated"], &container["lastState"]["terminated"]);
        if now.is_null() && before.is_null() {
            continue;
        }
        let name = shown(&container["name"]);
        let previous = if now.is_null() { "true" } else { "" };
        let ask = Ask { accept: "*/*", ..Ask::get(&path) }.query("container", name.as_str());
        // Logs are a hint: a node that has none any more is no reason to say nothing.
        if let Ok(log) = session.ask(ask.query("tailLines", "1").query("previous", previous)).await {
            let line = String::from_utf8_lossy(&log).trim().to_owned();
            if !line.is_empty() {
                lines.insert(name, line);
            }
        }
    }
    lines
}
