//! Applying by the server, which knows whose each field is.
//!
//! What was applied by the client before is handed over: the fields that it was said to own become the server-side manager's,
//! so that what the file no longer says goes. As kubectl does it.

use http::Method;
use serde_json::{Map, Value, json};

use super::{Arguments, SERVER_SIDE, client};
use crate::dry_run::DryRun;
use crate::last_applied::{self, ANNOTATION};
use crate::manifest::Placed;
use crate::session::Ask;
use crate::{Error, Session};

/// Who owns the annotation once the server applies.
const OF_ANNOTATION: &str = "kubectl-last-applied";
/// How often an object may change while its owners are being changed.
const MOST_CONFLICTS: usize = 5;

const OF_CONFLICTS: &str = "\
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts";

/// Applies an object. Gives what has become of it.
pub(super) async fn apply(arguments: &Arguments, session: &mut Session<'_>, placed: &Placed) -> Result<Value, Error> {
    let mut applied = send(arguments, session, placed, &placed.object, arguments.manager()).await.map_err(explained)?;
    if arguments.dry_run == DryRun::None {
        match hand_over(arguments, session, placed, applied.clone()).await {
            Ok(Some(after)) => applied = after,
            Ok(None) => {}
            // The object is what was wanted, and the next time it is tried again.
            Err(error @ Error::Server(_)) => session.remark(&format!(
                "Warning: server rejected managed fields migration to Server-Side Apply. This is non-fatal and will be \
                 retried next time you apply. Error: {}",
                error.among_others()
            ))?,
            Err(error) => return Err(error),
        }
    }
    client::warn_if_deleting(session, &applied)?;
    Ok(applied)
}

/// Has the server apply an object as this manager.
async fn send(
    arguments: &Arguments,
    session: &mut Session<'_>,
    placed: &Placed,
    object: &Value,
    manager: &str,
) -> Result<Value, Error> {
    let path = placed.resource.object_path(&placed.namespace, placed.name());
    let ask = Ask { content_type: Some("application/apply-patch+yaml"), ..Ask::with(Method::PATCH, &path, object) };
    let ask = ask.query("fieldManager", manager).query("fieldValidation", arguments.validate.parameter());
    let ask = ask.query("force", if arguments.force_conflicts { "true" } else { "false" });
    session.json(ask.query("dryRun", arguments.dry_run.parameter())).await
}

/// What to do about it.
fn explained(error: Error) -> Error {
    let Error::Server(status) = &error else { return error };
    let message = status["message"].as_str().unwrap_or_default();
    match error.reason() {
        Some("Conflict") => Error::said(format!("{message}\n{OF_CONFLICTS}")),
        Some("UnsupportedMediaType") => {
            Error::said(format!("Server-side apply not available on the server: ({message})"))
        }
        _ => error,
    }
}

/// Hands over what was applied by the client, if anything was. Gives what has become of the object.
async fn hand_over(
    arguments: &Arguments,
    session: &mut Session<'_>,
    placed: &Placed,
    mut object: Value,
) -> Result<Option<Value>, Error> {
    let keeps_annotation = arguments.manager() == SERVER_SIDE
        && last_applied::of(&object).is_some()
        && owners(&object, "Apply").is_empty();
    if keeps_annotation {
        let own = &object["metadata"];
        let annotation = json!({
            "apiVersion": placed.resource.api_version(),
            "kind": placed.resource.kind,
            "metadata": {
                "annotations": {ANNOTATION: own["annotations"][ANNOTATION]},
                "name": own["name"],
                "namespace": own["namespace"],
            },
        });
        object = send(arguments, session, placed, &annotation, OF_ANNOTATION).await?;
    }
    let path = placed.resource.object_path(&placed.namespace, placed.name());
    let mut conflicts = 0;
    loop {
        let from = owners(&object, "Update");
        let Some(owned) = handed_over(&object["metadata"]["managedFields"], &from, arguments.manager()) else {
            return Ok(None);
        };
        let patch = json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": owned},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]},
        ]);
        let ask = Ask { content_type: Some("application/json-patch+json"), ..Ask::with(Method::PATCH, &path, &patch) };
        match session.json(ask.query("fieldManager", arguments.manager())).await {
            Ok(_) => break,
            Err(error) if error.reason() == Some("Conflict") && conflicts < MOST_CONFLICTS => {
                conflicts += 1;
                object = session.json(Ask::get(&path)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    // Only now what the file no longer says is nobody's, and goes.
    send(arguments, session, placed, &placed.object, arguments.manager()).await.map(Some)
}

/// Who owns the annotation by such an operation.
fn owners(object: &Value, operation: &str) -> Vec<String> {
    let field = format!("f:{ANNOTATION}");
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let owns = |entry: &&Value| {
        entry["operation"] == operation && entry["fieldsV1"]["f:metadata"]["f:annotations"].get(&field).is_some()
    };
    let mut names: Vec<String> =
        entries.filter(owns).filter_map(|entry| Some(entry["manager"].as_str()?.to_owned())).collect();
    names.sort();
    names.dedup();
    names
}

/// Who owns which field once what these own by updates is the applying manager's; none if nothing changes.
fn handed_over(managed: &Value, from: &[String], to: &str) -> Option<Value> {
    let before = managed.as_array()?;
    let mut entries = before.clone();
    let is = |entry: &Value, manager: &str, operation: &str| {
        let of_subresource = entry["subresource"].as_str().is_some_and(|name| !name.is_empty());
        entry["manager"] == manager && entry["operation"] == operation && !of_subresource
    };
    for from in from {
        let target = entries.iter().position(|entry| is(entry, to, "Apply")).or_else(|| {
            let at = entries.iter().position(|entry| is(entry, from, "Update"))?;
            entries[at]["manager"] = json!(to);
            entries[at]["operation"] = json!("Apply");
            Some(at)
        });
        let Some(target) = target else { continue };
        let version = entries[target]["apiVersion"].clone();
        let source = entries.iter().find(|entry| is(entry, from, "Update") && entry["apiVersion"] == version);
        if let Some(Value::Object(fields)) = source.map(|entry| entry["fieldsV1"].clone()) {
            match entries[target]["fieldsV1"].as_object_mut() {
                Some(to) => unite(to, fields),
                None => entries[target]["fieldsV1"] = Value::Object(fields),
            }
        }
        entries.retain(|entry| !is(entry, from, "Update"));
    }
    (entries != *before).then_some(Value::Array(entries))
}

/// Adds one set of fields to another one.
fn unite(to: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (to.get_mut(&name), value) {
            (Some(Value::Object(to)), Value::Object(from)) => unite(to, from),
            (Some(_), _) => {}
            (None, value) => drop(to.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_applied_becomes_the_servers() {
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields});
        let csa = "kubectl-client-side-apply".to_owned();
        let check = |managed: Value, expected: Option<Value>| {
            assert_eq!(handed_over(&managed, std::slice::from_ref(&csa), "kubectl"), expected, "{managed}");
        };
        // Nobody has applied by the client.
        check(json!([entry("other", "Update", json!({}))]), None);
        // The client's entry becomes the server's.
        check(
            json!([entry(&csa, "Update", json!({"f:a": {}}))]),
            Some(json!([entry("kubectl", "Apply", json!({"f:a": {}}))])),
        );
        // It is added to the server's, and others' entries stay.
        check(
            json!([
                entry("kubectl", "Apply", json!({"f:s": {"f:a": {}}})),
                entry(&csa, "Update", json!({"f:s": {"f:b": {}}})),
                entry("other", "Update", json!({"f:c": {}})),
            ]),
            Some(json!([
                entry("kubectl", "Apply", json!({"f:s": {"f:a": {}, "f:b": {}}})),
                entry("other", "Update", json!({"f:c": {}})),
            ])),
        );
    }

    #[test]
    fn who_owns_the_annotation_is_who_applied() {
        let fields = json!({"f:metadata": {"f:annotations": {format!("f:{ANNOTATION}"): {}}}});
        let object = json!({"metadata": {"managedFields": [
            {"manager": "a", "operation": "Update", "fieldsV1": fields},
            {"manager": "b", "operation": "Apply", "fieldsV1": fields},
            {"manager": "c", "operation": "Update", "fieldsV1": {}},
        ]}});
        assert_eq!(owners(&object, "Update"), ["a"]);
        assert_eq!(owners(&object, "Apply"), ["b"]);
    }

    #[test]
    fn conflicts_are_explained() {
        let error =
            |reason: &str| explained(Error::Server(Box::new(json!({"reason": reason, "message": "m"})))).to_string();
        assert!(error("Conflict").starts_with("error: m\nPlease review the fields above"));
        assert_eq!(error("UnsupportedMediaType"), "error: Server-side apply not available on the server: (m)");
        assert_eq!(error("NotFound"), "Error from server (NotFound): m");
    }
}
