//! Migrations as administrators ask for them, and as the migrator reports on them.

use serde_json::json;

use super::*;

fn migration(group: &str, resource: &str, status: Value) -> StorageVersionMigration {
    let spec = json!({"resource": {"group": group, "resource": resource}});
    serde_json::from_value(json!({"metadata": {"name": "m1"}, "spec": spec, "status": status})).unwrap()
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn context() -> Context<'static> {
    Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None }
}

const LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                     character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
                         is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn refusals() {
    let check = |group: &str, resource: &str, expected: &[&str]| {
        assert_eq!(messages(&StorageVersionMigrations.validate(&migration(group, resource, json!({})))), expected);
    };
    check("", "pods", &[]);
    check("example.com", "widgets", &[]);
    check("", "", &["spec.resource.resource: Required value: resource is required to be set"]);
    check("example.com", "", &["spec.resource.resource: Required value: resource is required to be set"]);
    for resource in [".", "Pods", "1pods", "pods/status"] {
        check("", resource, &[&format!("spec.resource.resource: Invalid value: \"{resource}\": {LABEL}")]);
    }
    let long = "r".repeat(64);
    check("", &long, &[&format!("spec.resource.resource: Invalid value: \"{long}\": must be no more than 63 bytes")]);
    check(
        "",
        &format!("{long}."),
        &[&format!("spec.resource.resource: Invalid value: \"{long}.\": must be no more than 63 bytes,{LABEL}")],
    );
    for group in ["-", "Example.com"] {
        check(group, "widgets", &[&format!("spec.resource.group: Invalid value: \"{group}\": {SUBDOMAIN}")]);
    }
    check(
        "-",
        "",
        &[
            "spec.resource.resource: Required value: resource is required to be set",
            &format!("spec.resource.group: Invalid value: \"-\": {SUBDOMAIN}"),
        ],
    );
    let none = StorageVersionMigration::default();
    let required = "spec.resource.resource: Required value: resource is required to be set";
    assert_eq!(messages(&StorageVersionMigrations.validate(&none)), [required]);
}

#[test]
fn a_spec_does_not_change() {
    let check = |group: &str, resource: &str, expected: &[&str]| {
        let old = migration("example.com", "widgets", json!({}));
        let new = migration(group, resource, json!({}));
        assert_eq!(messages(&StorageVersionMigrations.validate_update(&new, &old)), expected);
    };
    check("example.com", "widgets", &[]);
    check(
        "example.org",
        "widgets",
        &[
            "spec: Invalid value: {\"Resource\":{\"group\":\"example.org\",\"resource\":\"widgets\"}}: field is immutable",
        ],
    );
    check(
        "example.com",
        "",
        &[
            "spec.resource.resource: Required value: resource is required to be set",
            "spec: Invalid value: {\"Resource\":{\"group\":\"example.com\",\"resource\":\"\"}}: field is immutable",
        ],
    );
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[track_caller]
fn check_status(old: &Value, new: &Value, expected: &[&str]) {
    let update = &StorageVersionMigrations.updates()[0];
    let with = |status: &Value| migration("", "pods", status.clone());
    assert_eq!(messages(&(update.validate)(&with(new), &with(old))), expected);
}

fn status(version: &str, conditions: &[(&str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions.iter().map(|(kind, status)| condition(kind, status)).collect();
    json!({"resourceVersion": version, "conditions": conditions})
}

const RUNNING: [(&str, &str); 1] = [("Running", "True")];

#[test]
fn versions() {
    check_status(
        &status("7", &RUNNING),
        &status("8", &RUNNING),
        &["status.resourceVersion: Invalid value: \"8\": field is immutable"],
    );
    for version in ["", "0", "07", "-1", "abc"] {
        let expected = format!(
            "status.resourceVersion: Invalid value: \"{version}\": resource version is not well formed: {version}"
        );
        check_status(&json!({}), &status(version, &[]), &[&expected]);
    }
    check_status(
        &status("7", &[]),
        &json!({}),
        &[
            "status.resourceVersion: Invalid value: \"\": resource version is not well formed: ",
            "status.resourceVersion: Invalid value: \"\": field is immutable",
        ],
    );
}

#[test]
fn outcomes() {
    let invalid = |conditions: &[(&str, &str)], detail: &str| {
        let shown: Vec<String> = conditions
            .iter()
            .map(|(kind, status)| {
                format!(
                    "{{\"type\":\"{kind}\",\"status\":\"{status}\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\",\
                     \"reason\":\"R\",\"message\":\"\"}}"
                )
            })
            .collect();
        format!("status.conditions: Invalid value: [{}]: {detail}", shown.join(","))
    };
    let done = [("Succeeded", "True")];
    check_status(&json!({}), &status("7", &RUNNING), &[]);
    check_status(&status("7", &RUNNING), &status("7", &[("Running", "False"), ("Succeeded", "True")]), &[]);
    check_status(&status("7", &RUNNING), &status("7", &[("Failed", "True")]), &[]);
    let both = [("Succeeded", "True"), ("Failed", "True")];
    let never_both = "Both success and failed conditions cannot be true at the same time";
    check_status(&json!({}), &status("7", &both), &[&invalid(&both, never_both)]);
    let succeeding = [("Succeeded", "True"), ("Running", "True")];
    let not_after = "Running condition cannot be true when success condition is true";
    check_status(&json!({}), &status("7", &succeeding), &[&invalid(&succeeding, not_after)]);
    let failing = [("Failed", "True"), ("Running", "True")];
    let not_after = "Running condition cannot be true when failed condition is true";
    check_status(&json!({}), &status("7", &failing), &[&invalid(&failing, not_after)]);
    let undone = [("Succeeded", "False")];
    let stays = "Success condition cannot be set to false once it is true";
    check_status(&status("7", &done), &status("7", &undone), &[&invalid(&undone, stays)]);
    check_status(
        &status("7", &done),
        &json!({"resourceVersion": "7"}),
        &[&format!("status.conditions: Invalid value: null: {stays}")],
    );
    let stays = "Failed condition cannot be set to false once it is true";
    check_status(&status("7", &[("Failed", "True")]), &status("7", &RUNNING), &[&invalid(&RUNNING, stays)]);
    check_status(
        &json!({}),
        &status("7", &[("Running", "Maybe"), ("Running", "True")]),
        &[
            "status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
            "status.conditions[1].type: Duplicate value: \"Running\"",
        ],
    );
}

#[test]
fn status_and_the_rest_are_apart() {
    let stated = || migration("", "pods", json!({"resourceVersion": "7"}));
    let mut created = stated();
    StorageVersionMigrations.prepare_create(&mut created, context());
    assert_eq!(created.status, Some(StorageVersionMigrationStatus::default()));
    let mut changed = stated();
    StorageVersionMigrations.prepare_update(&mut changed, &created, context());
    assert_eq!(changed, created);
    let mut reported = migration("apps", "deployments", json!({"resourceVersion": "7"}));
    reported.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    (StorageVersionMigrations.updates()[0].prepare)(&mut reported, &created, context());
    assert_eq!((&reported.spec, &reported.metadata), (&created.spec, &created.metadata));
    assert_eq!(reported.status.unwrap().resource_version.as_deref(), Some("7"));
}

#[test]
fn rows() {
    let row =
        |group: &str| StorageVersionMigrations.row(&migration(group, "widgets", json!({})), Timestamp::UNIX_EPOCH);
    assert_eq!(row("example.com"), ["m1", "widgets.example.com"].map(Value::from));
    assert_eq!(row(""), ["m1", "widgets."].map(Value::from));
    assert_eq!(StorageVersionMigrations.columns().iter().map(|column| column.format).collect::<Vec<_>>(), ["", ""]);
}
