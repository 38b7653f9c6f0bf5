//! Ingresses: refusals, what an update may keep, warnings, rows.

use serde_json::json;

use super::*;

/// An Ingress with this spec.
fn ingress(spec: Value) -> Ingress {
    serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})).unwrap()
}

fn lines(errors: &ErrorList) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn service(name: &str) -> Value {
    json!({"service": {"name": name, "port": {"number": 80}}})
}

/// A spec with one path.
fn path(path_type: &str, path: &str) -> Value {
    json!({"rules": [{"http": {"paths": [{"path": path, "pathType": path_type, "backend": service("web")}]}}]})
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
                         is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                        consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character \
                        (e.g. '*.example.com', regex used for validation is \
                        '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn paths_are_judged_by_their_type() {
    let check = |path_type: &str, value: &str, expected: &[&str]| {
        let at = |field: &str, what: &str| format!("spec.rules[0].http.paths[0].{field}: {what}");
        let expected: Vec<String> = expected
            .iter()
            .map(|detail| match detail.split_once(": ") {
                Some((field, what)) => at(field, what),
                None => at("path", &format!("Invalid value: {value:?}: {detail}")),
            })
            .collect();
        let errors = Ingresses.validate(&ingress(path(path_type, value)));
        assert_eq!(lines(&errors), expected.join("\n"), "{path_type} {value}");
    };
    let absolute = "must be an absolute path";
    check("Exact", "/", &[]);
    check("Prefix", "/a/b/", &[]);
    check("ImplementationSpecific", "", &[]);
    check("ImplementationSpecific", "/a//b/..", &[]);
    check("Exact", "", &[absolute]);
    check("Prefix", "a", &[absolute]);
    check("ImplementationSpecific", "a", &[absolute]);
    check("Prefix", "/a//b", &["must not contain '//'"]);
    check("Exact", "/./a/../b", &["must not contain '/./'", "must not contain '/../'"]);
    check("Exact", "a%2fb%2F", &[absolute, "must not contain '%2f'", "must not contain '%2F'"]);
    check("Prefix", "/a/..", &["cannot end with '/..'"]);
    check("Prefix", "/a/.", &["cannot end with '/.'"]);
    check("", "/", &["pathType: Required value: pathType must be specified"]);
    let unsupported = "pathType: Unsupported value: \"Regex\": supported values: \"Exact\", \"ImplementationSpecific\", \
                       \"Prefix\"";
    check("Regex", "a", &[unsupported]);
}

#[test]
fn backends_are_one_of_two() {
    let check = |backend: Value, expected: &[&str]| {
        let errors = Ingresses.validate(&ingress(json!({"defaultBackend": backend})));
        let expected = expected.iter().map(|what| format!("spec.defaultBackend{what}")).collect::<Vec<_>>();
        assert_eq!(lines(&errors), expected.join("\n"), "{backend}");
    };
    let with_port = |port: Value| json!({"service": {"name": "web", "port": port}});
    let resource = |value: Value| json!({"resource": value});
    check(service("web"), &[]);
    check(service("1-web"), &[]);
    check(with_port(json!({"name": "http"})), &[]);
    check(resource(json!({"apiGroup": "example.com", "kind": "Bucket", "name": "static"})), &[]);
    check(json!({}), &[": Invalid value: \"\": resource or service backend is required"]);
    check(
        json!({"service": {"name": "web"}, "resource": {"kind": "", "name": ""}}),
        &[": Invalid value: \"\": cannot set both resource and service backends"],
    );
    check(
        json!({"service": {"name": ""}}),
        &[".service.name: Required value", ": Required value: port name or number is required"],
    );
    check(service("Web"), &[&format!(".service.name: Invalid value: \"Web\": {LABEL}")]);
    check(
        with_port(json!({"name": "http", "number": 80})),
        &[": Invalid value: \"\": cannot set both port name & port number"],
    );
    check(
        with_port(json!({"number": 65_536})),
        &[".service.port.number: Invalid value: 65536: must be between 1 and 65535, inclusive"],
    );
    check(
        with_port(json!({"name": "80"})),
        &[".service.port.name: Invalid value: \"80\": must contain at least one letter (a-z)"],
    );
    check(
        resource(json!({"apiGroup": "A", "kind": "a/b", "name": ""})),
        &[
            &format!(".resource.apiGroup: Invalid value: \"A\": {SUBDOMAIN}"),
            ".resource.kind: Invalid value: \"a/b\": may not contain '/'",
            ".resource.name: Required value",
        ],
    );
    check(
        resource(json!({"kind": "", "name": ".."})),
        &[".resource.kind: Required value", ".resource.name: Invalid value: \"..\": may not be '..'"],
    );
}

#[test]
fn hosts_and_the_rest() {
    let check = |spec: Value, expected: &[&str]| {
        assert_eq!(lines(&Ingresses.validate(&ingress(spec.clone()))), expected.join("\n"), "{spec}");
    };
    let host = |host: &str| json!({"rules": [{"host": host}]});
    let at_host = |host: &str, detail: &str| format!("spec.rules[0].host: Invalid value: {host:?}: {detail}");
    check(json!({}), &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]);
    check(host("a.example.com"), &[]);
    check(host("*.example.com"), &[]);
    check(host("*"), &[&at_host("*", WILDCARD)]);
    check(host("a.*.com"), &[&at_host("a.*.com", WILDCARD)]);
    check(host("a:80"), &[&at_host("a:80", SUBDOMAIN)]);
    check(host("10.0.0.1"), &[&at_host("10.0.0.1", "must be a DNS name, not an IP address")]);
    let no_paths = json!({"rules": [{"host": "*.a", "http": {"paths": []}}]});
    check(no_paths, &["spec.rules[0].http.paths: Required value"]);
    let mut tls = host("a");
    tls["tls"] = json!([{}, {"hosts": ["*", "A"], "secretName": "S"}]);
    check(
        tls,
        &[
            &format!("spec.tls[1].hosts[0]: Invalid value: \"*\": {WILDCARD}"),
            &format!("spec.tls[1].hosts[1]: Invalid value: \"A\": {SUBDOMAIN}"),
            &format!("spec.tls[1].secretName: Invalid value: \"S\": {SUBDOMAIN}"),
        ],
    );
    let mut class = host("a");
    class["ingressClassName"] = json!("");
    check(class, &[&format!("spec.ingressClassName: Invalid value: \"\": {SUBDOMAIN}")]);
}

#[test]
fn the_class_is_stated_once() {
    let of = |annotation: Option<&str>, class: Option<&str>| {
        let mut ingress = ingress(json!({"rules": [{"host": "a"}], "ingressClassName": class}));
        ingress.metadata.annotations =
            annotation.map(|class| [(CLASS_ANNOTATION.to_owned(), class.to_owned())].into_iter().collect());
        ingress
    };
    let check = |annotation, class, errors: &str, warnings: &[&str]| {
        let new = of(annotation, class);
        assert_eq!(lines(&Ingresses.validate(&new)), errors);
        assert_eq!(Ingresses.warnings(&new, None), warnings);
        // An update may do as it likes.
        let old = of(None, None);
        assert_eq!(lines(&Ingresses.validate_update(&new, &old)), "");
        assert_eq!(Ingresses.warnings(&new, Some(&old)), [""; 0]);
    };
    check(None, Some("a"), "", &[]);
    check(Some("a"), Some("a"), "", &[]);
    let deprecated =
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead";
    check(Some("a"), None, "", &[deprecated]);
    let mismatch = "annotations.kubernetes.io/ingress.class: Invalid value: \"b\": must match `ingressClassName` when both are \
                    specified";
    check(Some("b"), Some("a"), mismatch, &[]);
}

#[test]
fn updates_may_keep_what_was_stored() {
    let check = |old: Value, new: Value, expected: &str| {
        assert_eq!(lines(&Ingresses.validate_update(&ingress(new), &ingress(old))), expected);
    };
    let secret = |name: &str| json!({"rules": [{"host": "a"}], "tls": [{"secretName": name}]});
    let refused = format!("spec.tls[0].secretName: Invalid value: \"S\": {SUBDOMAIN}");
    check(secret("s"), secret("S"), &refused);
    check(secret("T"), secret("S"), "");
    let rule = |host: &str, service_name: &str, value: &str| {
        let mut spec = path("Exact", value);
        spec["rules"][0]["host"] = json!(host);
        spec["rules"][0]["http"]["paths"][0]["backend"] = service(service_name);
        spec
    };
    let relative = "spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path";
    check(rule("*.a", "web", "/"), rule("*.a", "web", "a"), relative);
    check(rule("*.a", "web", "b"), rule("*.a", "web", "a"), "");
    check(rule("*.a", "1-web", "/"), rule("*.a", "web", "a"), "");
    check(rule("b.a", "web", "b"), rule("*.a", "web", "a"), relative);
    check(rule("*.a", "web", "b"), rule("b.a", "web", "a"), relative);
}

#[test]
fn statuses_are_judged() {
    let of = |points: Value| {
        let mut ingress = ingress(json!({"rules": [{"host": "a"}]}));
        ingress.status = serde_json::from_value(json!({"loadBalancer": {"ingress": points}})).unwrap();
        ingress
    };
    let check = |old: Value, new: Value, expected: &str| {
        assert_eq!(lines(&validation::status(&of(new), &of(old))), expected);
    };
    check(json!([]), json!([{"ip": "192.0.2.1", "hostname": "a.example.com"}, {}]), "");
    let zeros = "status.loadBalancer.ingress[0].ip: Invalid value: \"192.0.2.01\": must not have leading 0s";
    check(json!([]), json!([{"ip": "192.0.2.01"}]), zeros);
    check(json!([{"ip": "192.0.2.01"}]), json!([{"ip": "192.0.2.01"}]), "");
    let expected = format!(
        "status.loadBalancer.ingress[0].hostname: Invalid value: \"A\": {SUBDOMAIN}\n\
         status.loadBalancer.ingress[1].hostname: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"
    );
    check(json!([]), json!([{"hostname": "A"}, {"hostname": "10.0.0.1"}]), &expected);
}

#[test]
fn statuses_are_apart_and_generations_follow_specs() {
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    let mut new = ingress(json!({"rules": [{"host": "a"}]}));
    new.status = serde_json::from_value(json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})).unwrap();
    let stored = new.clone();
    Ingresses.prepare_create(&mut new, context);
    assert_eq!(serde_json::to_value(&new.status).unwrap(), json!({"loadBalancer": {}}));
    Ingresses.prepare_update(&mut new, &stored, context);
    assert_eq!(new.status, stored.status);
    let grows = Ingresses.generation().unwrap();
    assert!(!grows(&ingress(json!({"rules": [{"host": "a"}], "tls": []})), &stored));
    assert!(grows(&ingress(json!({"rules": [{"host": "b"}]})), &stored));
}

#[test]
fn rows() {
    let now = Timestamp::new(3 * 86_400, 0).unwrap();
    let check = |spec: Value, points: Value, expected: [&str; 4]| {
        let mut ingress = ingress(spec);
        ingress.metadata.creation_timestamp = serde_json::from_value(json!("1970-01-01T00:00:00Z")).unwrap();
        ingress.status = serde_json::from_value(json!({"loadBalancer": {"ingress": points}})).unwrap();
        let [class, hosts, address, ports] = expected;
        assert_eq!(Ingresses.row(&ingress, now), ["web", class, hosts, address, ports, "3d"].map(Value::from));
    };
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| json!({"host": host})).collect::<Value>();
    check(json!({}), json!([]), ["<none>", "*", "", "80"]);
    check(
        json!({"ingressClassName": "c", "rules": hosts(&["a", "", "b"]), "tls": [{}]}),
        json!([{"hostname": "x"}, {"ip": "192.0.2.2", "hostname": "y"}, {"ip": "192.0.2.2"}, {}]),
        ["c", "a,b", "192.0.2.2,x", "80, 443"],
    );
    check(json!({"rules": hosts(&["a", "b", "c"])}), json!([]), ["<none>", "a,b,c", "", "80"]);
    check(json!({"rules": hosts(&["a", "", "b", "c", "d"])}), json!([]), ["<none>", "a,b,c + 2 more...", "", "80"]);
    let names = Ingresses.columns().iter().map(|column| column.name).collect::<Vec<_>>();
    assert_eq!(names, ["Name", "Class", "Hosts", "Address", "Ports", "Age"]);
}
