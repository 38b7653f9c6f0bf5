//! What a workload has rolled out: the ReplicaSets of a Deployment, and the ControllerRevisions of the others.

use serde_json::{Value, json};

use crate::session::Ask;
use crate::target::Target;
use crate::{Error, Session};

/// Why it was rolled out, if somebody said so.
pub(super) const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// Which one it is, of ReplicaSets.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// What was rolled out once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    pub(super) number: i64,
    /// The ReplicaSet or ControllerRevision.
    pub(super) object: Value,
    pub(super) template: Value,
}

impl Revision {
    /// Why it was rolled out.
    pub(super) fn cause(&self) -> Option<&str> {
        self.object["metadata"]["annotations"][CHANGE_CAUSE].as_str().filter(|cause| !cause.is_empty())
    }
}

/// All revisions of a workload, in their order. `None` if it is of a kind that has none.
pub(super) async fn revisions(session: &mut Session<'_>, target: &Target) -> Result<Option<Vec<Revision>>, Error> {
    let (plural, kind) = match target.resource.kind.as_str() {
        "Deployment" => ("replicasets", "ReplicaSet"),
        "DaemonSet" | "StatefulSet" => ("controllerrevisions", "ControllerRevision"),
        _ => return Ok(None),
    };
    let resource = session.catalog().await?.find(plural)?.first().map(|resource| (*resource).clone());
    let resource = resource.ok_or_else(|| Error::said(format!("the server has no {plural}")))?;
    let selector = selector(&target.object["spec"]["selector"]);
    let path = resource.path(Some(&target.namespace));
    let list = session.json(Ask::get(&path).query("labelSelector", selector)).await?;
    let uid = &target.object["metadata"]["uid"];
    let items = list["items"].as_array().into_iter().flatten();
    let is_own = |item: &&Value| {
        let mut owners = item["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|owner| owner["controller"] == true && owner["uid"] == *uid)
    };
    let mut revisions: Vec<Revision> = items
        .filter(is_own)
        .filter_map(|item| {
            let mut object = item.clone();
            object["apiVersion"] = json!(resource.api_version());
            object["kind"] = json!(kind);
            revision(object)
        })
        .collect();
    revisions.sort_by_key(|revision| revision.number);
    Ok(Some(revisions))
}

fn revision(object: Value) -> Option<Revision> {
    let is_set = object["kind"] == "ReplicaSet";
    let (number, template) = if is_set {
        (object["metadata"]["annotations"][REVISION].as_str()?.parse().ok()?, object["spec"]["template"].clone())
    } else {
        (object["revision"].as_i64()?, object["data"]["spec"]["template"].clone())
    };
    let mut revision = Revision { number, object, template };
    if let Some(template) = revision.template.as_object_mut() {
        // A directive of the patch that the ControllerRevision is.
        template.remove("$patch");
    }
    Some(revision)
}

/// A label selector as a parameter has it.
fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
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
    terms.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_written_as_parameters() {
        let check = |value: Value, expected: &str| assert_eq!(selector(&value), expected);
        check(json!({"matchLabels": {"a": "b", "c": "d"}}), "a=b,c=d");
        let expressions = json!([{"key": "a", "operator": "In", "values": ["b", "c"]}, {"key": "d", "operator": "Exists"},
            {"key": "e", "operator": "DoesNotExist"}, {"key": "f", "operator": "NotIn", "values": ["g"]}]);
        check(json!({"matchExpressions": expressions}), "a in (b,c),d,!e,f notin (g)");
    }

    #[test]
    fn revisions_are_of_both_kinds() {
        let set = json!({"kind": "ReplicaSet", "metadata": {"annotations": {REVISION: "3", CHANGE_CAUSE: "why"}},
            "spec": {"template": {"spec": {}}}});
        let found = revision(set).unwrap();
        assert_eq!((found.number, found.cause(), found.template.clone()), (3, Some("why"), json!({"spec": {}})));
        let data = json!({"spec": {"template": {"$patch": "replace", "spec": {"a": 1}}}});
        let found = revision(json!({"kind": "ControllerRevision", "revision": 2, "data": data})).unwrap();
        assert_eq!((found.number, found.cause(), found.template.clone()), (2, None, json!({"spec": {"a": 1}})));
        assert_eq!(revision(json!({"kind": "ReplicaSet"})), None);
    }
}
