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
    check("networking.k8s.io", "Ingress", &[]);
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

#[test]
fn an_ingress_shows_where_it_leads_to_or_why_that_is_not_known() {
    let backend = |name: &str, port: Value| json!({"backend": {"service": {"name": name, "port": port}}, "path": "/"});
    let object = json!({"metadata": {"name": "i", "namespace": "n"}, "spec": {"rules": [{"http": {"paths": [
        backend("a", json!({"number": 80})), backend("b", json!({"name": "http"})), backend("a", json!({"number": 81}))]}}]}});
    let needs: Vec<(String, String, String)> = needs("networking.k8s.io", "Ingress", &object)
        .into_iter()
        .map(|need| (need.name, need.path, need.labels))
        .collect();
    let service =
        |name: &str| (format!("services/{name}"), format!("/api/v1/namespaces/n/services/{name}"), String::new());
    let slices = |name: &str| {
        let path = "/apis/discovery.k8s.io/v1/namespaces/n/endpointslices".to_owned();
        (format!("endpointslices/{name}"), path, format!("kubernetes.io/service-name={name}"))
    };
    assert_eq!(needs, [service("a"), slices("a"), service("b"), slices("b")]);
    let mut ingress = subject("networking.k8s.io", "Ingress", object);
    let slice = json!({"ports": [{"name": "web", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {}}]});
    let found = json!({"spec": {"ports": [{"name": "web", "port": 80}]}});
    ingress.related.insert("services/a".to_owned(), Ok(vec![found]));
    ingress.related.insert("endpointslices/a".to_owned(), Ok(vec![slice]));
    ingress.related.insert("services/b".to_owned(), Err("services \"b\" not found".to_owned()));
    assert_eq!(
        text(&ingress, &clock()),
        "Name:             i\nLabels:           <none>\nNamespace:        n\nAddress:          \n\
         Ingress Class:    <none>\nDefault backend:  <default>\nRules:\n  Host        Path  Backends\n  \
         ----        ----  --------\n  *           \n              /   a:80 (10.0.0.1:8080)\n              \
         /   b:http (<error: services \"b\" not found>)\n              /   a:81 ()\nAnnotations:  <none>\n"
    );
}

#[test]
fn a_node_tells_of_ten_pools_of_devices() {
    let slice = |pool: usize| json!({"spec": {"driver": "gpu.example.com", "pool": {"name": format!("p{pool:02}")}, "devices": [{}, {}]}});
    let check = |slices: Vec<Value>, expected: &[&str]| {
        let mut node = subject("", "Node", json!({"metadata": {"name": "n"}}));
        node.related.insert("resourceslices".to_owned(), Ok(slices));
        let page = text(&node, &clock());
        let lines = page.lines().skip_while(|line| !line.starts_with("Node-Local")).skip(3);
        let found: Vec<&str> = lines.take_while(|line| line.starts_with(' ')).collect();
        assert_eq!(found, expected);
    };
    check(Vec::new(), &[]);
    check(
        vec![slice(0), slice(1), slice(0)],
        &["  gpu.example.com  p00   2       4", "  gpu.example.com  p01   1       2"],
    );
    let many: Vec<String> = (0..10).map(|pool| format!("  gpu.example.com  p{pool:02}   1       2")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["  ...and 2 more pools"]).collect();
    check((0..12).map(slice).collect(), &many);
}
