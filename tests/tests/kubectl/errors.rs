//! What the server says of requests that make no sense, and that they change nothing.

use tests::kubectl::Kubectl;

use crate::on_each_store;

on_each_store!(bodies_that_make_no_sense_are_refused, requests_that_make_no_sense_are_refused);

fn bodies_that_make_no_sense_are_refused(kubectl: &Kubectl) {
    let before = kubectl.output("get configmaps -A -o json").stdout;
    let deep =
        format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}}"#, "[".repeat(20_000) + &"]".repeat(20_000));
    let large = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"c"}},"data":{{"a":"{}"}}}}"#,
        "x".repeat(1_100_000)
    );
    let huge = format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","data":{{"a":"{}"}}}}"#, "x".repeat(4_000_000));
    let bodies = [
        "{",
        "null",
        "[]",
        r#""x""#,
        "{}",
        r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}"#,
        r#"{"kind":"Bogus","apiVersion":"v1"}"#,
        r#"{"kind":"ConfigMap","apiVersion":"v2"}"#,
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"a":1}}"#,
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":[]}"#,
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","namespace":"other"}}"#,
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"A_b","labels":{"x":"-"}},"data":{"a b":"c"}}"#,
        &deep,
        &large,
        &huge,
    ];
    let mut shown = String::new();
    for body in bodies {
        let output = kubectl.with_input("create --raw /api/v1/namespaces/default/configmaps -f -", body);
        let begin: String = body.chars().take(80).collect();
        shown.push_str(&format!("{begin}\n  {}", kubectl.shown(&output)));
    }
    insta::assert_snapshot!("bodies", shown);
    let after = kubectl.output("get configmaps -A -o json").stdout;
    assert_eq!(String::from_utf8_lossy(&before), String::from_utf8_lossy(&after));
}

fn requests_that_make_no_sense_are_refused(kubectl: &Kubectl) {
    let paths = [
        "?limit=x",
        "?resourceVersion=abc",
        "?resourceVersion=999999",
        "?resourceVersion=999999&resourceVersionMatch=Exact",
        "?resourceVersionMatch=Exact",
        "?resourceVersionMatch=Exact&resourceVersion=0",
        "?resourceVersionMatch=Other&resourceVersion=1",
        "?sendInitialEvents=true",
        "?watch=1&sendInitialEvents=true",
        "?watch=1&resourceVersionMatch=NotOlderThan",
        "?watch=1&timeoutSeconds=abc",
        "?fieldSelector=foo",
        "?fieldSelector=a%3Db",
        "?labelSelector=a%3D%3D%3D",
        "?labelSelector=a%2Fb%2Fc%3Dd",
        "?labelSelector=a%20in%20(",
        "?labelSelector=%21%21a",
        "?continue=%25%25%25",
        "?continue=abc",
        "?continue=eyJ2IjoidjIiLCJydiI6MSwic3RhcnQiOiJhIn0",
        "?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8uLi9zZWNyZXRzIn0",
        "/nope",
        "/a/b/c",
    ];
    let mut shown = String::new();
    for path in paths {
        let output = kubectl.output(&format!("get --raw /api/v1/namespaces/default/configmaps{path}"));
        shown.push_str(&format!("{path}\n  {}", kubectl.shown(&output)));
    }
    for path in ["/api/v1/nope", "/apis/apps/v1/nope", "/apis/nope/v1/x", "/apis/apps/v7/deployments", "/nope"] {
        shown.push_str(&format!("{path}\n  {}", kubectl.run(&format!("get --raw {path}"))));
    }
    insta::assert_snapshot!("requests", shown);
    insta::assert_snapshot!(
        "unknown",
        kubectl.session(
            "get bogus
        get pods nope
        get pods --field-selector=bogus=x
        create configmap x -n nope
        get configmaps -n nope"
        )
    );
}
