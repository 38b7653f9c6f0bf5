//! `gantry apply --prune`: deletes what was applied once and is in the files no more.
//!
//! Nobody keeps a list of what was applied. So only objects of certain kinds are looked at, in the namespaces of the files, and of
//! them only those with the labels that remember having been applied. Nothing is deleted if anything could not be applied.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use super::Arguments;
use crate::dry_run::DryRun;
use crate::last_applied;
use crate::manifest::Placed;
use crate::report::Report;
use crate::resources::Resource;
use crate::session::Ask;
use crate::{Error, Session};

/// The kinds that are looked at unless it is said: the same as kubectl's, in its order.
const NAMESPACED: [(&str, &str, &str); 14] = [
    ("", "v1", "ConfigMap"),
    ("", "v1", "Endpoints"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "Pod"),
    ("", "v1", "ReplicationController"),
    ("", "v1", "Secret"),
    ("", "v1", "Service"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("apps", "v1", "DaemonSet"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "ReplicaSet"),
    ("apps", "v1", "StatefulSet"),
];
/// Those that are in no namespace.
const OF_CLUSTER: [(&str, &str, &str); 2] = [("", "v1", "Namespace"), ("", "v1", "PersistentVolume")];

/// What has been applied, so that it stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Where it is, and others are looked for.
    pub(super) namespaces: BTreeSet<String>,
    uids: BTreeSet<String>,
}

impl Kept {
    /// Takes note of an object that was applied.
    pub(super) fn note(&mut self, placed: &Placed, object: &Value) {
        if placed.resource.namespaced {
            self.namespaces.insert(placed.namespace.clone());
        }
        // What would have been created, and was not, has none.
        self.uids.extend(object["metadata"]["uid"].as_str().map(str::to_owned));
    }
}

/// The resources of `--prune-allowlist`.
pub(super) fn allowed(known: &[Resource], allowlist: &[String]) -> Result<Vec<Resource>, Error> {
    let resource = |word: &String| {
        let [group, version, kind] = word.split('/').collect::<Vec<&str>>()[..] else {
            let form = "please follow <group/version/kind>";
            return Err(Error::said(format!("invalid GroupVersionKind format: {word}, {form}")));
        };
        of_kind(known, (if group == "core" { "" } else { group }, version, kind)).map_err(Error::said)
    };
    allowlist.iter().map(resource).collect()
}

/// The resources that are looked at where there is no `--prune-allowlist`.
fn usual(known: &[Resource]) -> Result<Vec<Resource>, Error> {
    let resource = |(kind, namespaced): ((&str, &str, &str), bool)| {
        of_kind(known, kind).map_err(|why| {
            let (group, version, kind) = kind;
            let words = format!("invalid resource {group}/{version}, Kind={kind}, Namespaced={namespaced}: {why}");
            Error::said(format!("error retrieving RESTMappings to prune: {words}"))
        })
    };
    let all = NAMESPACED.map(|kind| (kind, true)).into_iter().chain(OF_CLUSTER.map(|kind| (kind, false)));
    all.map(resource).collect()
}

/// The resource of a kind, which may be written without capitals.
fn of_kind(known: &[Resource], (group, version, kind): (&str, &str, &str)) -> Result<Resource, String> {
    let is_it = |resource: &&Resource| {
        let is_called = resource.kind == kind || resource.kind.to_lowercase() == kind;
        resource.group == group && resource.version == version && is_called
    };
    known.iter().find(is_it).cloned().ok_or_else(|| {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        format!("no matches for kind {kind:?} in version {api_version:?}")
    })
}

/// Deletes what is not among what was applied, and says so. `allowed` are the only resources that are looked at, if there are any.
pub(super) async fn prune(
    arguments: &Arguments,
    session: &mut Session<'_>,
    allowed: Vec<Resource>,
    kept: &Kept,
    report: &mut Report,
) -> Result<(), Error> {
    let resources = if allowed.is_empty() { usual(session.catalog().await?.all())? } else { allowed };
    let (namespaced, of_cluster): (Vec<Resource>, Vec<Resource>) =
        resources.into_iter().partition(|resource| resource.namespaced);
    for namespace in &kept.namespaces {
        for resource in &namespaced {
            let pruned = of_resource(arguments, session, resource, Some(namespace), kept, report).await;
            pruned.map_err(|error| in_context(error, "namespaced", resource))?;
        }
    }
    for resource in &of_cluster {
        let pruned = of_resource(arguments, session, resource, None, kept, report).await;
        pruned.map_err(|error| in_context(error, "nonNamespaced", resource))?;
    }
    Ok(())
}

fn in_context(error: Error, what: &str, resource: &Resource) -> Error {
    let why = match &error {
        Error::Server(status) => status["message"].as_str().unwrap_or_default().to_owned(),
        Error::Said(words) => words.clone(),
        _ => return error,
    };
    let Resource { group, version, kind, .. } = resource;
    Error::said(format!("error pruning {what} object {group}/{version}, Kind={kind}: {why}"))
}

/// Prunes objects of a resource.
async fn of_resource(
    arguments: &Arguments,
    session: &mut Session<'_>,
    resource: &Resource,
    namespace: Option<&str>,
    kept: &Kept,
    report: &mut Report,
) -> Result<(), Error> {
    let path = resource.path(namespace);
    let list = session.json(Ask::get(&path).query("labelSelector", arguments.selector.as_str())).await?;
    for object in list["items"].as_array().into_iter().flatten().filter(|object| is_stale(object, kept)) {
        if arguments.dry_run != DryRun::Client {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let path = resource.object_path(namespace.unwrap_or_default(), name);
            let mut options = arguments.deletion();
            options["preconditions"] = json!({"uid": object["metadata"]["uid"]});
            if arguments.dry_run == DryRun::Server {
                options["dryRun"] = json!(["All"]);
            }
            match session.ask(Ask::with(Method::DELETE, &path, &options)).await {
                // It went with another one.
                Err(error) if error.reason() == Some("NotFound") => continue,
                deleted => deleted?,
            };
        }
        report.done(session, resource, &whole(object, resource), "pruned")?;
    }
    Ok(())
}

/// Whether an object was applied once, and is not among what was applied now.
fn is_stale(object: &Value, kept: &Kept) -> bool {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    last_applied::of(object).is_some() && !kept.uids.contains(uid)
}

/// An object of a list, with what it is.
fn whole(object: &Value, resource: &Resource) -> Value {
    let mut whole = json!({"apiVersion": resource.api_version(), "kind": resource.kind});
    if let (Some(fields), Some(all)) = (object.as_object(), whole.as_object_mut()) {
        all.extend(fields.clone());
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Resource> {
        let resource = |(group, version, kind): (&str, &str, &str)| Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            ..Resource::default()
        };
        [("", "v1", "ConfigMap"), ("apps", "v1", "Deployment")].map(resource).to_vec()
    }

    #[test]
    fn kinds_are_named_by_group_and_version() {
        let check = |word: &str, expected: &str| {
            let found = allowed(&known(), &[word.to_owned()]).map(|found| found[0].kind.clone());
            assert_eq!(found.unwrap_or_else(|error| error.to_string()), expected, "{word}");
        };
        check("core/v1/ConfigMap", "ConfigMap");
        check("/v1/configmap", "ConfigMap");
        check("apps/v1/Deployment", "Deployment");
        check("apps/v2/Deployment", "error: no matches for kind \"Deployment\" in version \"apps/v2\"");
        check("core/v1/DEPLOYMENT", "error: no matches for kind \"DEPLOYMENT\" in version \"v1\"");
        for word in ["ConfigMap", "v1/ConfigMap", "a/core/v1/ConfigMap"] {
            let form = "please follow <group/version/kind>";
            check(word, &format!("error: invalid GroupVersionKind format: {word}, {form}"));
        }
        assert!(allowed(&known(), &[]).unwrap().is_empty());
        let missing = usual(&known()).unwrap_err().to_string();
        let expected = "error: error retrieving RESTMappings to prune: invalid resource /v1, Kind=Endpoints, \
                        Namespaced=true: no matches for kind \"Endpoints\" in version \"v1\"";
        assert_eq!(missing, expected);
    }

    #[test]
    fn only_what_was_applied_once_is_stale() {
        let kept = Kept { uids: ["a".to_owned()].into(), ..Kept::default() };
        let object = |uid: &str, annotations: Value| json!({"metadata": {"uid": uid, "annotations": annotations}});
        let remembers = json!({last_applied::ANNOTATION: "{}"});
        assert!(is_stale(&object("b", remembers.clone()), &kept));
        assert!(!is_stale(&object("a", remembers), &kept));
        assert!(!is_stale(&object("b", json!({"other": ""})), &kept));
        assert!(!is_stale(&object("b", Value::Null), &kept));
    }
}
