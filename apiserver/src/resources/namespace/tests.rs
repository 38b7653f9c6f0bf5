//! Namespaces from creation to removal.

use serde_json::json;

use super::*;

fn namespace(value: Value) -> Namespace {
    serde_json::from_value(value).unwrap()
}

fn named(name: &str, extra: Value) -> Namespace {
    let mut value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    namespace(value)
}

fn json_of(namespace: &Namespace) -> Value {
    serde_json::to_value(namespace).unwrap()
}

fn context() -> Context<'static> {
    Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None }
}

fn subresource(name: &str) -> UpdateSubresource<Namespace> {
    Namespaces.updates().into_iter().find(|update| update.name == name).unwrap()
}

#[test]
fn defaults() {
    let mut object = named("web", json!({}));
    Namespaces.default(&mut object);
    let expected = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "web", "labels": {"kubernetes.io/metadata.name": "web"}}, "status": {"phase": "Active"}});
    assert_eq!(json_of(&object), expected);
    Namespaces.default(&mut object);
    assert_eq!(json_of(&object), expected);
}

#[test]
fn creation_states_the_finalizer_and_the_phase() {
    let check = |finalizers: Value, expected: Value| {
        let mut object = named("web", json!({"spec": {"finalizers": finalizers}, "status": {"phase": "Terminating"}}));
        Namespaces.prepare_create(&mut object, context());
        assert_eq!(json_of(&object)["spec"]["finalizers"], expected);
        assert_eq!(json_of(&object)["status"], json!({"phase": "Active"}));
        assert_eq!(json_of(&object)["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "web"}));
    };
    check(json!(null), json!(["kubernetes"]));
    check(json!(["kubernetes"]), json!(["kubernetes"]));
    check(json!(["example.com/a"]), json!(["example.com/a", "kubernetes"]));
}

#[test]
fn updates_keep_what_belongs_to_subresources() {
    let old = named("web", json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}));
    let changed = json!({"spec": {"finalizers": []}, "status": {"phase": "Terminating"}});
    let label = json!({"kubernetes.io/metadata.name": "web"});

    let mut new = named("web", changed.clone());
    Namespaces.prepare_update(&mut new, &old, context());
    assert_eq!((json_of(&new)["spec"].clone(), phase(&new)), (json!({"finalizers": ["kubernetes"]}), "Active"));
    assert_eq!(json_of(&new)["metadata"]["labels"], label);

    let mut new = named("web", changed.clone());
    (subresource("finalize").prepare)(&mut new, &old, context());
    assert_eq!((may_be_removed(&new), phase(&new)), (true, "Active"));
    assert_eq!(json_of(&new)["metadata"]["labels"], label);

    let mut new = named("web", changed);
    (subresource("status").prepare)(&mut new, &old, context());
    assert_eq!((may_be_removed(&new), phase(&new)), (false, "Terminating"));
    assert_eq!(json_of(&new)["metadata"]["labels"], label);
}

const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                   alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                   '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const UNQUALIFIED: &str = "name is neither a standard finalizer name nor is it fully qualified";

#[test]
fn finalizers_are_standard_or_qualified() {
    let cases: [(&str, Vec<String>); 7] = [
        ("kubernetes", vec![]),
        ("orphan", vec![]),
        ("foregroundDeletion", vec![]),
        ("example.com/cleanup", vec![]),
        ("cleanup", vec![format!("Invalid value: \"cleanup\": {UNQUALIFIED}")]),
        ("-", vec![format!("Invalid value: \"-\": {KEY}"), format!("Invalid value: \"-\": {UNQUALIFIED}")]),
        ("example.com/-", vec![format!("Invalid value: \"example.com/-\": {KEY}")]),
    ];
    for (finalizer, bodies) in cases {
        let object = named("web", json!({"spec": {"finalizers": ["kubernetes", finalizer]}}));
        let at = |path: &str| bodies.iter().map(|body| format!("{path}: {body}")).collect::<Vec<_>>();
        let shown = |errors: ErrorList| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(Namespaces.validate(&object)), at("spec.finalizers"));
        assert_eq!(shown(Namespaces.validate_update(&object, &object)), at("spec.finalizers"));
        assert_eq!(shown((subresource("finalize").validate)(&object, &object)), at("spec.finalizers[1]"));
    }
}

#[test]
fn names_are_labels() {
    let check = |name: &str, prefix, valid: bool| {
        assert_eq!(Namespaces.validate_name(name, prefix).is_empty(), valid, "{name}");
    };
    check("web", false, true);
    check("a.b", false, false);
    check("Web", false, false);
    check("web-", false, false);
    check("web-", true, true);
    check(&"a".repeat(64), false, false);
}

#[test]
fn the_phase_follows_deletion() {
    let validate = subresource("status").validate;
    let check = |deleted: bool, phase: &str, expected: &str| {
        let mut object = named("web", json!({"status": {"phase": phase}}));
        if deleted {
            object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        }
        let errors = validate(&object, &object);
        assert_eq!(if errors.is_empty() { String::new() } else { errors.to_string() }, expected);
    };
    check(false, "Active", "");
    check(true, "Terminating", "");
    let active = "may only be 'Active' if `deletionTimestamp` is empty";
    let terminating = "may only be 'Terminating' if `deletionTimestamp` is not empty";
    check(false, "Terminating", &format!("status.Phase: Invalid value: \"Terminating\": {active}"));
    check(false, "", &format!("status.Phase: Invalid value: \"\": {active}"));
    check(true, "Active", &format!("status.Phase: Invalid value: \"Active\": {terminating}"));
    check(true, "Gone", &format!("status.Phase: Invalid value: \"Gone\": {terminating}"));
}

#[test]
fn deletion_marks_and_waits() {
    let mut object = named("web", json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}));
    mark_terminating(&mut object, Timestamp::new(5, 700_000_000).unwrap());
    assert_eq!(json_of(&object)["metadata"]["deletionTimestamp"], "1970-01-01T00:00:05Z");
    assert_eq!(object.metadata.deletion_timestamp, Some(Time(Timestamp::new(5, 0).unwrap())));
    assert_eq!((phase(&object), may_be_removed(&object)), ("Terminating", false));
    mark_terminating(&mut object, Timestamp::new(9, 0).unwrap());
    assert_eq!(object.metadata.deletion_timestamp, Some(Time(Timestamp::new(5, 0).unwrap())));
    object.spec.as_mut().unwrap().finalizers = Some(vec![]);
    assert!(may_be_removed(&object));
    assert!(may_be_removed(&named("web", json!({}))));
}

#[test]
fn rows() {
    let object = namespace(json!({"metadata": {"name": "web", "creationTimestamp": "1970-01-01T00:00:00Z"},
        "status": {"phase": "Terminating"}}));
    assert_eq!(
        Namespaces.row(&object, Timestamp::new(90, 0).unwrap()),
        [json!("web"), json!("Terminating"), json!("90s")]
    );
    assert_eq!(
        Namespaces.row(&named("new", json!({})), Timestamp::UNIX_EPOCH),
        ["new", "", "<unknown>"].map(Value::from)
    );
    assert_eq!(Namespaces.columns().iter().map(|column| column.name).collect::<Vec<_>>(), ["Name", "Status", "Age"]);
}
