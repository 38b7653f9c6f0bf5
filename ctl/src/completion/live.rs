//! Names that a cluster or a kubeconfig has.

use kube::config::Kubeconfig;
use serde_json::Value;

use super::line::Line;
use super::wants::Live;
use crate::resources::Resource;
use crate::session::Ask;
use crate::{Error, Session};

/// How many names are offered at most. Nobody reads more, and a shell should not have to.
pub(super) const MOST: usize = 1000;

/// Lists that only say what objects are called, from servers that know how.
const NAMES_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// The names.
pub(super) async fn names(live: &Live, line: &Line, session: &mut Session<'_>) -> Result<Vec<String>, Error> {
    match live {
        Live::Kinds => Ok(kinds(session.catalog().await?.all(), line.typed())),
        Live::Groups => {
            let groups = session.catalog().await?.all().iter().map(|resource| resource.group.clone());
            Ok(groups.filter(|group| !group.is_empty()).collect())
        }
        Live::Objects(of) => objects(of, line, session).await,
        Live::Copied => Ok(objects("pods", line, session).await?.into_iter().map(|name| format!("{name}:")).collect()),
        Live::Containers(of) => {
            let spec = pod_spec(&object(of, session).await?);
            let of_kind = |kind: &str| names_of(&spec[kind], |one| &one["name"]);
            Ok(["containers", "initContainers", "ephemeralContainers"].map(of_kind).concat())
        }
        Live::Ports(of) => {
            let object = object(of, session).await?;
            if object["spec"]["ports"].is_array() {
                return Ok(names_of(&object["spec"]["ports"], |port| &port["port"]));
            }
            let containers = pod_spec(&object)["containers"].clone();
            let containers = containers.as_array().into_iter().flatten();
            Ok(containers.flat_map(|one| names_of(&one["ports"], |port| &port["containerPort"])).collect())
        }
        Live::Entries(of) => Ok(entries(of, session)),
    }
}

/// What people call kinds: plurals, and what is short as soon as something is typed. With a dot, with the group.
fn kinds(all: &[Resource], typed: &str) -> Vec<String> {
    let mut found = Vec::new();
    // What a plural begins with a shell could not tell from it.
    let is_beginning = |name: &&String| all.iter().any(|other| other.plural.starts_with(name.as_str()));
    for resource in all {
        found.push(if typed.contains('.') { resource.qualified() } else { resource.plural.clone() });
        if !typed.is_empty() {
            let short = resource.short_names.iter().chain([&resource.singular]);
            found.extend(short.filter(|name| !is_beginning(name)).cloned());
        }
    }
    found
}

/// The objects of what people call so, where the line is, but for those that it has already.
async fn objects(of: &str, line: &Line, session: &mut Session<'_>) -> Result<Vec<String>, Error> {
    let resources: Vec<Resource> = session.catalog().await?.find(of)?.into_iter().cloned().collect();
    let namespace = session.namespace().await?;
    let everywhere = line.option("all-namespaces").is_some();
    let mut found = Vec::new();
    for resource in resources.iter().filter(|resource| resource.can("list")) {
        let path = resource.path((!everywhere).then_some(namespace.as_str()));
        let ask = Ask { accept: NAMES_ONLY, ..Ask::get(&path) }.query("limit", MOST.to_string());
        let list = session.json(ask).await?;
        found.extend(names_of(&list["items"], |item| &item["metadata"]["name"]));
    }
    let is_there = |name: &String| {
        line.arguments.iter().any(|there| there == name || (there.strip_prefix(of) == Some(&format!("/{name}"))))
    };
    found.retain(|name| !is_there(name));
    Ok(found)
}

/// A pod of this name, or an object as TYPE/NAME.
async fn object(what: &str, session: &mut Session<'_>) -> Result<Value, Error> {
    let (kind, name) = what.split_once('/').unwrap_or(("pods", what));
    let resource = session.catalog().await?.find(kind)?.into_iter().next().cloned().unwrap_or_default();
    let namespace = session.namespace().await?;
    session.json(Ask::get(&resource.object_path(&namespace, name))).await
}

/// What the pods of an object are, or the pod is.
fn pod_spec(object: &Value) -> Value {
    let spec = &object["spec"];
    let of_cron_job = &spec["jobTemplate"]["spec"]["template"]["spec"];
    let of_template = &spec["template"]["spec"];
    let inner = [of_cron_job, of_template].into_iter().find(|inner| inner.is_object());
    inner.unwrap_or(spec).clone()
}

fn names_of(list: &Value, name: impl Fn(&Value) -> &Value) -> Vec<String> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    list.as_array().into_iter().flatten().filter_map(|one| plain(name(one))).collect()
}

/// What kubeconfigs have.
fn entries(of: &str, session: &Session<'_>) -> Vec<String> {
    let files = session.connection().files().into_iter();
    let configs = files.filter_map(|path| Kubeconfig::read_from(path).ok());
    let of_config = |config: Kubeconfig| match of {
        "clusters" => config.clusters.into_iter().map(|named| named.name).collect::<Vec<_>>(),
        "users" => config.auth_infos.into_iter().map(|named| named.name).collect(),
        _ => config.contexts.into_iter().map(|named| named.name).collect(),
    };
    configs.flat_map(of_config).collect()
}
