//! Whole pages, as data.

use jiff::tz::TimeZone;
use serde_json::json;

use super::*;

fn clock() -> Clock {
    Clock { now: "2026-01-02T00:10:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

fn subject(group: &str, kind: &str, object: Value) -> Subject {
    Subject { group: group.to_owned(), kind: kind.to_owned(), object, ..Subject::default() }
}

#[test]
fn a_configmap_shows_its_values_and_a_secret_only_sizes() {
    let object = json!({"metadata": {"name": "a", "namespace": "n"}, "type": "Opaque", "data": {"b": "aGk=", "a": ""}});
    assert_eq!(
        text(&subject("", "Secret", object), &clock()),
        "Name:         a\nNamespace:    n\nLabels:       <none>\nAnnotations:  <none>\n\nType:  Opaque\n\nData\n====\n\
         a:  0 bytes\nb:  2 bytes\n"
    );
    let object = json!({"metadata": {"name": "a", "namespace": "n"}, "data": {"k": "v"}, "binaryData": {"b": "AAEC"}});
    let mut map = subject("", "ConfigMap", object);
    map.events = Some(Vec::new());
    assert_eq!(
        text(&map, &clock()),
        "Name:         a\nNamespace:    n\nLabels:       <none>\nAnnotations:  <none>\n\nData\n====\nk:\n----\nv\n\n\n\
         BinaryData\n====\nb: 3 bytes\n\nEvents:  <none>\n"
    );
}

#[test]
fn any_kind_is_told_field_by_field() {
    let object = json!({"apiVersion": "example.com/v1", "kind": "Gadget",
        "metadata": {"name": "g", "namespace": "n", "labels": {"a": "b"}, "generation": 1, "managedFields": []},
        "spec": {"someAPIUrl": "x", "list": [1, {"a": true}]}});
    let expected = "Name:         g\nNamespace:    n\nLabels:       a=b\nAnnotations:  <none>\n\
        API Version:  example.com/v1\nKind:         Gadget\nMetadata:\n  Generation:  1\nSpec:\n  List:\n    1\n    \
        A:           true\n  Some API URL:  x\n";
    let found = text(&subject("example.com", "Gadget", object), &clock());
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&found), words(expected));
}

#[test]
fn needs_are_of_the_kind() {
    let object =
        json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"selector": {"matchLabels": {"x": "y"}}}});
    let check = |group: &str, kind: &str, expected: &[(&str, &str, &str)]| {
        let needs = needs(group, kind, &object);
        let found: Vec<(&str, &str, &str)> =
            needs.iter().map(|need| (need.path.as_str(), need.labels.as_str(), need.fields.as_str())).collect();
        assert_eq!(found, expected, "{kind}");
    };
    check("apps", "ReplicaSet", &[("/api/v1/namespaces/n/pods", "x=y", "")]);
    check("apps", "Deployment", &[("/apis/apps/v1/namespaces/n/replicasets", "x=y", "")]);
    check(
        "",
        "Service",
        &[("/apis/discovery.k8s.io/v1/namespaces/n/endpointslices", "kubernetes.io/service-name=a", "")],
    );
    check("example.com", "Deployment", &[]);
    check("", "Pod", &[]);
}

#[test]
fn events_are_asked_for_by_what_they_are_about() {
    let check = |kind: &str, object: Value, expected: &[&str]| assert_eq!(event_fields(kind, &object), expected);
    let pod = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u"}});
    check("Pod", pod.clone(), &["involvedObject.name=a,involvedObject.namespace=n,involvedObject.uid=u"]);
    check(
        "Job",
        pod,
        &["involvedObject.name=a,involvedObject.namespace=n,involvedObject.kind=Job,involvedObject.uid=u"],
    );
    let mirror = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u",
        "annotations": {"kubernetes.io/config.mirror": "m"}}});
    check("Pod", mirror, &["involvedObject.name=a,involvedObject.namespace=n,involvedObject.uid=m"]);
    let node = json!({"metadata": {"name": "a", "uid": "u"}});
    check(
        "Node",
        node,
        &[
            "involvedObject.name=a,involvedObject.namespace=,involvedObject.kind=Node,involvedObject.uid=u",
            "involvedObject.name=a,involvedObject.namespace=,involvedObject.kind=Node,involvedObject.uid=a",
        ],
    );
}
