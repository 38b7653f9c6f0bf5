//! `gantry describe`.
//!
//! What is told of an object is a page that its kind's function writes out of a [`Subject`]: the object, what belongs to it
//! and its events. Those are gathered first, by [`needs`], so that pages are made of data alone. Kinds without a function
//! of their own are told field by field.

mod access;
mod addresses;
mod autoscaler;
mod budget;
mod classes;
mod config;
mod containers;
mod generic;
mod ingress;
mod namespace;
mod network_policy;
mod node;
pub(super) mod page;
mod pod;
mod priority_class;
mod service;
mod signing_request;
mod storage;
#[cfg(test)]
mod tests;
mod volumes;
pub(super) mod workloads;

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::manifest::Files;
use crate::output::items;
use crate::resources::{Resource, escape};
use crate::select::{Selected, select};
use crate::session::Ask;
use crate::{Error, Session};
use page::{Clock, Page, pairs, selector, shown};

/// How many objects are asked for at a time, unless it is said.
const CHUNK: u32 = 500;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE, TYPE NAME..., TYPE/NAME... or TYPE with what names begin with.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// Whether to show events [default: for a single object].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    show_events: Option<bool>,
    /// How many objects are asked for at a time; 0 asks for all at once.
    #[arg(long, value_name = "NUMBER", default_value_t = CHUNK)]
    chunk_size: u32,
}

/// An object with what its page is made of.
#[derive(Debug, Default)]
pub(super) struct Subject {
    group: String,
    kind: String,
    object: Value,
    related: BTreeMap<String, Result<Vec<Value>, String>>,
    /// None, if they are not to be shown.
    events: Option<Vec<Value>>,
}

impl Subject {
    /// Other objects that were asked for by this name.
    fn related(&self, name: &str) -> &[Value] {
        self.related.get(name).and_then(|found| found.as_deref().ok()).unwrap_or_default()
    }

    /// Why they could not be had.
    fn failure(&self, name: &str) -> Option<&str> {
        self.related.get(name).and_then(|found| found.as_ref().err()).map(String::as_str)
    }
}

/// Other objects that the page of an object needs.
#[derive(Debug, PartialEq, Eq)]
struct Need {
    name: String,
    path: String,
    labels: String,
    fields: String,
}

/// Describes objects.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if arguments.what.is_empty() && arguments.files.is_empty() {
        return Err(Error::said(
            "You must specify the type of resource to describe. Use \"gantry api-resources\" for a complete list of \
             supported resources.",
        ));
    }
    let selected = if arguments.files.is_empty() {
        select(session, &arguments.what).await?
    } else if arguments.what.is_empty() {
        let placed = arguments.files.place(session).await?.into_iter();
        let selected = placed.map(|placed| Selected {
            names: vec![placed.name().to_owned()],
            namespace: placed.resource.namespaced.then_some(placed.namespace),
            resource: placed.resource,
        });
        selected.collect()
    } else {
        return Err(Error::said(
            "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
        ));
    };
    let has_names = selected.iter().any(|selected| !selected.names.is_empty());
    if has_names && !arguments.selector.is_empty() {
        return Err(Error::said("name cannot be provided when a selector is specified"));
    }
    if has_names && arguments.all_namespaces {
        return Err(Error::said("a resource cannot be retrieved by name across all namespaces"));
    }
    Describe { arguments, session }.all(&selected).await
}

struct Describe<'a, 'b> {
    arguments: Arguments,
    session: &'a mut Session<'b>,
}

impl Describe<'_, '_> {
    async fn all(&mut self, selected: &[Selected]) -> Result<(), Error> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for selected in selected {
            let resource = &selected.resource;
            let namespace = match &selected.namespace {
                Some(namespace) => namespace.clone(),
                None => self.session.namespace().await?,
            };
            if selected.names.is_empty() {
                let namespace = (!self.arguments.all_namespaces).then_some(namespace.as_str());
                let selector = self.arguments.selector.clone();
                let all = self.list(&resource.path(namespace), &selector, "").await?;
                found.extend(all.into_iter().map(|object| (resource.clone(), object)));
            }
            for name in &selected.names {
                match self.session.json(Ask::get(&resource.object_path(&namespace, name))).await {
                    Ok(object) => found.push((resource.clone(), object)),
                    Err(error) if error.reason() == Some("NotFound") => missing.push(error),
                    Err(error) => return Err(error),
                }
            }
        }
        if missing.len() == 1 && self.arguments.what.len() == 2 {
            let error = missing.remove(0);
            return match selected {
                // A name behind a slash is whole.
                _ if self.arguments.what[0].contains('/') => Err(error),
                [one] => self.by_prefix(&one.resource, &one.names[0], error).await,
                _ => Err(Error::said("you may only specify a single resource type")),
            };
        }
        let with_events = self.arguments.show_events.unwrap_or(found.len() == 1 && missing.is_empty());
        for (index, (resource, object)) in found.iter().enumerate() {
            if index > 0 {
                self.session.write("\n\n")?;
            }
            let text = self.page(resource, object, with_events).await?;
            self.session.write(&text)?;
        }
        for error in &missing {
            self.session.remark(&error.to_string())?;
        }
        if !missing.is_empty() {
            return Err(Error::Exit(1));
        }
        if found.is_empty() {
            let namespace = self.session.namespace().await?;
            let is_namespaced = !self.arguments.all_namespaces;
            let place = if is_namespaced { format!(" in {namespace} namespace.") } else { String::new() };
            self.session.remark(&format!("No resources found{place}"))?;
        }
        Ok(())
    }

    /// All whose names begin with what is no name itself.
    async fn by_prefix(&mut self, resource: &Resource, prefix: &str, missing: Error) -> Result<(), Error> {
        let namespace = self.session.namespace().await?;
        let all = self.list(&resource.path(Some(&namespace)), "", "").await?;
        let is_meant = |object: &&Value| shown(&object["metadata"]["name"]).starts_with(prefix);
        let meant: Vec<&Value> = all.iter().filter(is_meant).collect();
        if meant.is_empty() {
            return Err(missing);
        }
        let with_events = self.arguments.show_events.unwrap_or(false);
        for object in meant {
            let text = self.page(resource, object, with_events).await?;
            self.session.say(&text)?;
        }
        Ok(())
    }

    /// All objects of a list, page after page; an object that is no list is the only one.
    async fn list(&mut self, path: &str, labels: &str, fields: &str) -> Result<Vec<Value>, Error> {
        list_all(self.session, path, labels, fields, self.arguments.chunk_size).await
    }

    async fn page(&mut self, resource: &Resource, object: &Value, with_events: bool) -> Result<String, Error> {
        let mut object = object.clone();
        if let Some(object) = object.as_object_mut() {
            object.entry("apiVersion").or_insert_with(|| json!(resource.api_version()));
            object.entry("kind").or_insert_with(|| json!(resource.kind));
        }
        let mut related = BTreeMap::new();
        for need in needs(&resource.group, &resource.kind, &object) {
            let answer = self.list(&need.path, &need.labels, &need.fields).await;
            related.insert(
                need.name,
                match answer {
                    Ok(objects) => Ok(objects),
                    Err(Error::Server(status)) => Err(shown(&status["message"])),
                    Err(error) => return Err(error),
                },
            );
        }
        let mut events = None;
        if with_events {
            let mut all = Vec::new();
            for fields in event_fields(&resource.kind, &object) {
                let path = events_path(&object);
                // Whoever may not see events sees the object without them.
                all.extend(self.list(&path, "", &fields).await.unwrap_or_default());
            }
            events = Some(all);
        }
        let (group, kind) = (resource.group.clone(), resource.kind.clone());
        Ok(text(&Subject { group, kind, object, related, events }, &Clock::here()))
    }
}

/// All objects at a path.
pub(super) async fn list_all(
    session: &mut Session<'_>,
    path: &str,
    labels: &str,
    fields: &str,
    chunk: u32,
) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let limit = if chunk > 0 { chunk.to_string() } else { String::new() };
        let ask = Ask::get(path).query("labelSelector", labels).query("fieldSelector", fields);
        let answer = session.json(ask.query("limit", limit).query("continue", next)).await?;
        all.extend(items(&answer).into_iter().cloned());
        next = shown(&answer["metadata"]["continue"]);
        if next.is_empty() {
            return Ok(all);
        }
    }
}

/// The page of an object.
fn text(subject: &Subject, clock: &Clock) -> String {
    let write: fn(&mut Page, &Subject) = match (subject.group.as_str(), subject.kind.as_str()) {
        // tidy: sorted
        ("", "ConfigMap") => config::config_map,
        ("", "Endpoints") => service::endpoints_object,
        ("", "LimitRange") => namespace::limit_range,
        ("", "Namespace") => namespace::describe,
        ("", "Node") => node::describe,
        ("", "PersistentVolume") => storage::volume,
        ("", "PersistentVolumeClaim") => storage::claim,
        ("", "Pod") => pod::describe,
        ("", "ReplicationController") => workloads::replica_set,
        ("", "ResourceQuota") => namespace::quota,
        ("", "Secret") => config::secret,
        ("", "Service") => service::describe,
        ("", "ServiceAccount") => config::service_account,
        ("apps", "DaemonSet") => workloads::daemon_set,
        ("apps", "Deployment") => workloads::deployment,
        ("apps", "ReplicaSet") => workloads::replica_set,
        ("apps", "StatefulSet") => workloads::stateful_set,
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler::describe,
        ("batch", "CronJob") => workloads::cron_job,
        ("batch", "Job") => workloads::job,
        ("certificates.k8s.io", "CertificateSigningRequest") => signing_request::describe,
        ("discovery.k8s.io", "EndpointSlice") => service::slice,
        ("networking.k8s.io", "IPAddress") => addresses::address,
        ("networking.k8s.io", "Ingress") => ingress::describe,
        ("networking.k8s.io", "IngressClass") => ingress::class,
        ("networking.k8s.io", "NetworkPolicy") => network_policy::describe,
        ("networking.k8s.io", "ServiceCIDR") => addresses::service_cidr,
        ("policy", "PodDisruptionBudget") => budget::describe,
        ("rbac.authorization.k8s.io", "ClusterRole" | "Role") => access::role,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding" | "RoleBinding") => access::binding,
        ("scheduling.k8s.io", "PriorityClass") => priority_class::describe,
        ("storage.k8s.io", "CSINode") => classes::node,
        ("storage.k8s.io", "StorageClass") => classes::storage,
        ("storage.k8s.io", "VolumeAttributesClass") => classes::attributes,
        // tidy: end
        _ => generic::describe,
    };
    let mut page = Page::new(clock);
    write(&mut page, subject);
    page.finish()
}

/// Which other objects the page of an object needs.
fn needs(group: &str, kind: &str, object: &Value) -> Vec<Need> {
    let meta = &object["metadata"];
    let (name, namespace) = (shown(&meta["name"]), escape(&shown(&meta["namespace"])));
    let need =
        |name: &str, path: String, labels: String, fields: String| Need { name: name.to_owned(), path, labels, fields };
    let by_labels = || match kind {
        "ReplicationController" => pairs(&object["spec"]["selector"]).join(","),
        _ => selector(&object["spec"]["selector"]),
    };
    let in_namespace = |name: &str, labels: String| {
        need(name, format!("/api/v1/namespaces/{namespace}/{name}"), labels, String::new())
    };
    let slices = |name: &str, service: &str| {
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        need(name, path, format!("kubernetes.io/service-name={service}"), String::new())
    };
    match (group, kind) {
        ("apps", "Deployment") => {
            let path = format!("/apis/apps/v1/namespaces/{namespace}/replicasets");
            vec![need("replicasets", path, by_labels(), String::new())]
        }
        ("apps", "DaemonSet" | "ReplicaSet" | "StatefulSet") | ("", "ReplicationController") => {
            vec![in_namespace("pods", by_labels())]
        }
        ("", "PersistentVolumeClaim") => vec![in_namespace("pods", String::new())],
        ("", "Namespace") => ["resourcequotas", "limitranges"]
            .map(|plural| {
                need(plural, format!("/api/v1/namespaces/{}/{plural}", escape(&name)), String::new(), String::new())
            })
            .into(),
        ("", "Node") => {
            let fields = format!("spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed");
            let lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}", escape(&name));
            vec![
                need("pods", "/api/v1/pods".to_owned(), String::new(), fields),
                need("lease", lease, String::new(), String::new()),
                need(
                    "resourceslices",
                    "/apis/resource.k8s.io/v1/resourceslices".to_owned(),
                    String::new(),
                    format!("spec.nodeName={name}"),
                ),
            ]
        }
        ("", "Service") => {
            vec![slices("endpointslices", &name)]
        }
        ("autoscaling", "HorizontalPodAutoscaler") if object["apiVersion"] == "autoscaling/v1" => {
            let second = autoscaler::SECOND;
            let path = format!("/apis/{second}/namespaces/{namespace}/horizontalpodautoscalers/{}", escape(&name));
            vec![need(second, path, String::new(), String::new())]
        }
        ("networking.k8s.io", "Ingress") => {
            let needs = ingress::services(object).into_iter().flat_map(|service| {
                let [as_service, as_slices] = ingress::found_as(&service);
                let path = format!("/api/v1/namespaces/{namespace}/services/{}", escape(&service));
                [need(&as_service, path, String::new(), String::new()), slices(&as_slices, &service)]
            });
            needs.collect()
        }
        _ => Vec::new(),
    }
}

/// Where the events about an object are.
pub(super) fn events_path(object: &Value) -> String {
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/api/v1/namespaces/{}/events", escape(namespace)),
        None => "/api/v1/events".to_owned(),
    }
}

/// What events about an object say of it. Agents call a node by its name where its UID should be, and a static pod is
/// known to them by the UID that an annotation of its mirror has.
pub(super) fn event_fields(kind: &str, object: &Value) -> Vec<String> {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    let meta = &object["metadata"];
    let (name, namespace) = (shown(&meta["name"]), shown(&meta["namespace"]));
    let with = |uid: &str| {
        let kind = if kind == "Pod" { String::new() } else { format!(",involvedObject.kind={kind}") };
        format!("involvedObject.name={name},involvedObject.namespace={namespace}{kind},involvedObject.uid={uid}")
    };
    let uid = shown(&meta["uid"]);
    match kind {
        "Node" => vec![with(&uid), with(&name)],
        "Pod" => vec![with(meta["annotations"][MIRROR].as_str().unwrap_or(&uid))],
        _ => vec![with(&uid)],
    }
}
