//! APIServices by cases: what is refused, prepared and shown.

use serde_json::json;

use super::*;

fn service(name: &str, spec: Value) -> APIService {
    let metadata = json!({"name": name, "creationTimestamp": "1970-01-01T00:00:00Z"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn spec(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
        "service": {"namespace": "ns", "name": "api", "port": 443},
    });
    change(&mut spec);
    spec
}

/// What is wrong with an APIService that is called as it must be.
#[track_caller]
fn check(change: &dyn Fn(&mut Value), expected: &[&str]) {
    let spec = spec(change);
    let name = format!("{}.{}", spec["version"].as_str().unwrap(), spec["group"].as_str().unwrap_or_default());
    let object = service(&name, spec);
    assert_eq!(shown(&APIServices.validate(&object)), expected);
    assert_eq!(shown(&APIServices.validate_update(&object, &APIService::default())), expected);
}

fn local(spec: &mut Value) {
    spec["service"] = Value::Null;
}

#[test]
fn groups_versions_and_priorities() {
    check(&|_| {}, &[]);
    check(&local, &[]);
    check(
        &|spec| {
            local(spec);
            spec["group"] = Value::Null;
        },
        &[],
    );
    check(&|spec| spec["insecureSkipTLSVerify"] = json!(true), &[]);
    check(
        &|spec| {
            spec["group"] = json!("");
            spec["version"] = json!("v2");
        },
        &["spec.group: Required value: only v1 may have an empty group and it better be legacy kube"],
    );
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                     must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    check(&|spec| spec["group"] = json!("A"), &[&format!("spec.group: Invalid value: \"A\": {subdomain}")]);
    let label = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                 character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                 validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    check(&|spec| spec["version"] = json!("1"), &[&format!("spec.version: Invalid value: \"1\": {label}")]);
    let group = "must be positive and less than 20000";
    check(
        &|spec| spec["groupPriorityMinimum"] = json!(0),
        &[&format!("spec.groupPriorityMinimum: Invalid value: 0: {group}")],
    );
    check(
        &|spec| spec["groupPriorityMinimum"] = json!(20001),
        &[&format!("spec.groupPriorityMinimum: Invalid value: 20001: {group}")],
    );
    let version = "must be positive and less than 1000";
    check(
        &|spec| spec["versionPriority"] = json!(-1),
        &[&format!("spec.versionPriority: Invalid value: -1: {version}")],
    );
    check(
        &|spec| spec["versionPriority"] = json!(1001),
        &[&format!("spec.versionPriority: Invalid value: 1001: {version}")],
    );
}

#[test]
fn who_serves_it() {
    check(
        &|spec| {
            local(spec);
            spec["caBundle"] = json!("eHl6");
            spec["insecureSkipTLSVerify"] = json!(true);
        },
        &[
            "spec.caBundle: Invalid value: \"3 bytes\": local APIServices may not have a caBundle",
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ],
    );
    check(
        &|spec| spec["service"] = json!({}),
        &["spec.service.namespace: Required value", "spec.service.name: Required value"],
    );
    check(
        &|spec| {
            spec["caBundle"] = json!("eHl6");
            spec["insecureSkipTLSVerify"] = json!(true);
        },
        &["spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"],
    );
}

#[test]
fn names() {
    let check = |name: &str, expected: &[&str]| {
        assert_eq!(shown(&APIServices.validate(&service(name, spec(|_| {})))), expected, "{name}");
    };
    check("v1.example.com", &[]);
    check(
        "v1.example.org",
        &[
            "metadata.name: Invalid value: \"v1.example.org\": must be `spec.version+\".\"+spec.group`: \"v1.example.com\"",
        ],
    );
    check("a/b", &[]);
    assert_eq!(APIServices.validate_name("a/b", false), ["may not contain '/'"]);
    assert!(APIServices.validate_name("v1.", false).is_empty());
}

#[test]
fn defaults_and_what_is_prepared() {
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
    let mut remote = service("v1.example.com", spec(|spec| spec["service"]["port"] = Value::Null));
    APIServices.default(&mut remote);
    assert_eq!(remote.spec.as_ref().unwrap().service.as_ref().unwrap().port, Some(443));
    remote.status = Some(APIServiceStatus { conditions: Some(vec![APIServiceCondition::default()]) });
    let mut changed = service("v1.example.com", spec(|_| {}));
    APIServices.prepare_update(&mut changed, &remote, context);
    assert_eq!(changed.status, remote.status);
    APIServices.prepare_create(&mut remote, context);
    assert_eq!(remote.status, Some(APIServiceStatus::default()));

    let mut local = service("v1.example.com", spec(|spec| spec["service"] = Value::Null));
    APIServices.prepare_create(&mut local, context);
    let condition = json!({
        "type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    });
    assert_eq!(serde_json::to_value(&local.status).unwrap(), json!({"conditions": [condition]}));
}

#[test]
fn the_status_is_written_alone() {
    let [update] = &APIServices.updates()[..] else { panic!("one subresource") };
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
    let old = service("v1.example.com", spec(|_| {}));
    let mut new = service("v1.example.com", spec(|spec| spec["versionPriority"] = json!(1)));
    new.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    new.status = Some(serde_json::from_value(json!({"conditions": [{"type": "Available", "status": "Yes"}]})).unwrap());
    (update.prepare)(&mut new, &old, context);
    assert_eq!((&new.spec, &new.metadata), (&old.spec, &old.metadata));
    assert_eq!(
        shown(&(update.validate)(&new, &old)),
        ["status.conditions[0].status: Unsupported value: \"Yes\": supported values: \"True\", \"False\", \"Unknown\""]
    );
}

#[test]
fn rows() {
    let check = |status: Value, remote: bool, expected: [&str; 4]| {
        let spec = spec(|spec| {
            if !remote {
                spec["service"] = Value::Null;
            }
        });
        let mut object = service("v1.example.com", spec);
        object.status = Some(serde_json::from_value(status).unwrap());
        let now = Timestamp::from_second(90).unwrap();
        assert_eq!(APIServices.row(&object, now), expected.map(Value::from));
    };
    let condition =
        |status: &str, reason: &str| json!({"conditions": [{"type": "Available", "status": status, "reason": reason}]});
    check(json!({}), true, ["v1.example.com", "ns/api", "Unknown", "90s"]);
    check(condition("True", "Local"), false, ["v1.example.com", "Local", "True", "90s"]);
    check(
        condition("False", "MissingEndpoints"),
        true,
        ["v1.example.com", "ns/api", "False (MissingEndpoints)", "90s"],
    );
    check(condition("False", ""), true, ["v1.example.com", "ns/api", "False", "90s"]);
}
