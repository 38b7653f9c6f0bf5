//! Environments from every source.

use serde_json::{Value, json};

use super::*;

struct Around {
    config_maps: BTreeMap<String, Arc<ConfigMap>>,
    secrets: BTreeMap<String, Arc<Secret>>,
    services: Vec<Arc<Service>>,
    allocatable: List,
    files: BTreeMap<(String, String), String>,
}

fn around() -> Around {
    let data = json!({"data": {"a": "1", "b": "$(a)", "=bad": "x", "c d": "odd"}});
    let map: ConfigMap = serde_json::from_value(data).unwrap();
    // {"token": "s3cret", "bytes": [0xff]}
    let secret: Secret = serde_json::from_value(json!({"data": {"token": "czNjcmV0", "bytes": "/w=="}})).unwrap();
    let service: Service = serde_json::from_value(json!({
        "metadata": {"namespace": "ns", "name": "db"}, "spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 1}]},
    }))
    .unwrap();
    Around {
        config_maps: [("map".to_owned(), Arc::new(map))].into(),
        secrets: [("secret".to_owned(), Arc::new(secret))].into(),
        services: vec![Arc::new(service)],
        allocatable: [("cpu".to_owned(), "4".parse().unwrap())].into(),
        files: [(("v".to_owned(), "f.env".to_owned()), "A='1'\n# x\nB='two\nlines'\n".to_owned())].into(),
    }
}

fn made(container: Value, links: bool) -> Result<Environment, String> {
    let mut object = json!({"name": "c"});
    object.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "ns"},
        "spec": {"enableServiceLinks": links, "containers": [object]},
    }))
    .unwrap();
    let around = around();
    let sources = Sources {
        config_maps: &around.config_maps,
        secrets: &around.secrets,
        services: &around.services,
        allocatable: &around.allocatable,
        files: &around.files,
    };
    let addresses = ["10.1.1.1".parse().unwrap()];
    let addresses = Addresses { pod: &addresses, host: &[] };
    environment(&pod, &pod.spec.as_ref().unwrap().containers[0], &sources, addresses).map_err(|invalid| {
        assert_eq!(invalid.reason, "CreateContainerConfigError");
        invalid.message
    })
}

fn check(container: Value, expected: Value) -> Vec<Says> {
    let found = made(container, false).unwrap();
    assert_eq!(json!(found.variables), expected);
    found.says
}

#[test]
fn variables_refer_to_those_before_them_and_to_services() {
    check(json!({}), json!({}));
    let variables = [("A", "a"), ("B", "$(A)-$(C)-$$(A)"), ("C", "c"), ("D", "$(B)"), ("E", ""), ("A", "again$(A)")];
    let variables: Vec<Value> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let expected = json!({"A": "againa", "B": "a-$(C)-$(A)", "C": "c", "D": "a-$(C)-$(A)", "E": ""});
    check(json!({"env": variables}), expected);
    let variables =
        json!([{"name": "HOST", "value": "$(DB_SERVICE_HOST)"}, {"name": "DB_SERVICE_PORT", "value": "own"}]);
    let found = made(json!({"env": variables}), true).unwrap().variables;
    assert_eq!((found["HOST"].as_str(), found["DB_SERVICE_PORT"].as_str()), ("10.0.0.9", "own"));
    assert_eq!(found["DB_PORT"], "tcp://10.0.0.9:1");
}

#[test]
fn whole_objects_come_first() {
    let from = json!([{"prefix": "P_", "configMapRef": {"name": "map"}}, {"secretRef": {"name": "secret"}}]);
    let own = json!([{"name": "token", "value": "$(P_a)"}]);
    let expected = json!({"P_a": "1", "P_b": "$(a)", "P_c d": "odd", "token": "1", "bytes": "\u{fffd}"});
    let says = check(json!({"envFrom": from, "env": own}), expected);
    let message = "Keys [P_=bad] from the EnvFrom configMap ns/map were skipped since they are considered invalid \
        environment variable names.";
    let expected =
        Says { warning: true, reason: "InvalidEnvironmentVariableNames", message: message.to_owned(), field: None };
    assert_eq!(says, [expected]);
}

#[test]
fn values_come_from_elsewhere() {
    let cases = [
        (json!({"fieldRef": {"fieldPath": "metadata.name"}}), json!({"X": "web"})),
        (json!({"fieldRef": {"fieldPath": "status.podIP"}}), json!({"X": "10.1.1.1"})),
        (json!({"resourceFieldRef": {"resource": "limits.cpu"}}), json!({"X": "4"})),
        (json!({"configMapKeyRef": {"name": "map", "key": "b"}}), json!({"X": "$(a)"})),
        (json!({"secretKeyRef": {"name": "secret", "key": "token"}}), json!({"X": "s3cret"})),
        (json!({"configMapKeyRef": {"name": "none", "key": "a", "optional": true}}), json!({})),
        (json!({"configMapKeyRef": {"name": "map", "key": "none", "optional": true}}), json!({})),
        (json!({"secretKeyRef": {"name": "none", "key": "a", "optional": true}}), json!({})),
        (json!({"secretKeyRef": {"name": "secret", "key": "none", "optional": true}}), json!({})),
        (json!({"fileKeyRef": {"volumeName": "v", "path": "f.env", "key": "B"}}), json!({"X": "two\nlines"})),
        (json!({"fileKeyRef": {"volumeName": "v", "path": "none", "key": "B", "optional": true}}), json!({})),
    ];
    for (source, expected) in cases {
        check(json!({"env": [{"name": "X", "valueFrom": source}]}), expected);
    }
    let optional = json!([{"configMapRef": {"name": "none", "optional": true}},
        {"secretRef": {"name": "none", "optional": true}}]);
    check(json!({"envFrom": optional}), json!({}));
}

#[test]
fn what_is_missing_is_named_as_upstream_does() {
    let check = |container: Value, expected: &str| assert_eq!(made(container, false).unwrap_err(), expected);
    let of = |source: Value| json!({"env": [{"name": "X", "valueFrom": source}]});
    check(json!({"envFrom": [{"configMapRef": {"name": "none"}}]}), "configmap \"none\" not found");
    check(json!({"envFrom": [{"secretRef": {"name": "none"}}]}), "secret \"none\" not found");
    check(of(json!({"configMapKeyRef": {"name": "none", "key": "a"}})), "configmap \"none\" not found");
    check(of(json!({"configMapKeyRef": {"name": "map", "key": "z"}})), "couldn't find key z in ConfigMap ns/map");
    check(of(json!({"secretKeyRef": {"name": "none", "key": "a"}})), "secret \"none\" not found");
    check(of(json!({"secretKeyRef": {"name": "secret", "key": "z"}})), "couldn't find key z in Secret ns/secret");
    check(of(json!({"fieldRef": {"fieldPath": "spec.x"}})), "unsupported fieldPath: spec.x");
    let file = |path: &str, key: &str| of(json!({"fileKeyRef": {"volumeName": "v", "path": path, "key": key}}));
    check(file("none", "A"), "env file \"none\" not found in volume \"v\"");
    check(file("f.env", "Z"), "environment variable key \"Z\" not found in file \"f.env\"");
}

#[test]
fn files_hold_quoted_values() {
    let check = |content: &str, expected: Result<Option<&str>, usize>| {
        assert_eq!(quoted_value(content, "K"), expected.map(|value| value.map(str::to_owned)), "{content:?}");
    };
    check("", Ok(None));
    check("K='v'", Ok(Some("v")));
    check("\n# c\n K='a'\nK='b' # last\n", Ok(Some("b")));
    check("J='K='\n", Ok(None));
    check("K='1\n2'\nL='3'", Ok(Some("1\n2")));
    check("L='3'\nK=v\n", Err(2));
    check("K='v' w\n", Err(1));
    check("K='v\n", Err(1));
}

#[test]
fn references_are_found() {
    let container = json!({"name": "c",
        "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
        "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "Y", "valueFrom": {"secretKeyRef": {"name": "d", "key": "k"}}},
            {"name": "Z", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}}, {"name": "W"}]});
    let found = references(&serde_json::from_value(container).unwrap());
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!((found.config_maps, found.secrets), (names(&["a", "c"]), names(&["b", "d"])));
    assert_eq!(found.files, BTreeSet::from([("v".to_owned(), "p".to_owned())]));
}
