//! Watches: what has changed since a version, as objects and as tables.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;
use tests::kubectl::{Kubectl, stable};

use crate::on_each_store;

on_each_store!(watches_tell_what_has_changed, kubectl_watches_a_table);

const PATH: &str = "/api/v1/namespaces/default/configmaps";

/// The events of a watch of one second, as `TYPE name labels`.
fn events(kubectl: &Kubectl, query: &str) -> Vec<String> {
    let output = kubectl.output(&format!("get --raw {PATH}?watch=1&timeoutSeconds=1&{query}"));
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let shown = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("an event is JSON");
        let (kind, object) = (event["type"].as_str().expect("a type"), &event["object"]);
        if kind == "ERROR" {
            return format!("ERROR {} {}", object["code"], object["reason"].as_str().unwrap_or_default());
        }
        let meta = &object["metadata"];
        let end = &meta["annotations"]["k8s.io/initial-events-end"];
        let end = if end.is_null() { String::new() } else { format!(" end={}", end.as_str().unwrap_or_default()) };
        format!("{kind} {}{end}", meta["name"].as_str().unwrap_or_default()).replace("  ", " ").trim_end().to_owned()
    };
    text.lines().map(shown).collect()
}

fn watches_tell_what_has_changed(kubectl: &Kubectl) {
    let version = || {
        let list = kubectl.output(&format!("get --raw {PATH}")).stdout;
        let list: Value = serde_json::from_slice(&list).expect("a list is JSON");
        list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
    };
    let begin = version();
    for line in [
        "create configmap a",
        "create configmap b",
        "label configmap a x=y",
        "label configmap a x=z --overwrite",
        "delete configmap b",
    ] {
        assert!(kubectl.output(line).status.success(), "{line}");
    }
    let check = |query: &str, expected: &[&str]| assert_eq!(events(kubectl, query), expected, "{query}");
    let since = format!("resourceVersion={begin}");
    check(&since, &["ADDED a", "ADDED b", "MODIFIED a", "MODIFIED a", "DELETED b"]);
    check(&format!("{since}&labelSelector=x%3Dy"), &["ADDED a", "DELETED a"]);
    check(&format!("{since}&fieldSelector=metadata.name%3Db"), &["ADDED b", "DELETED b"]);
    check("", &["ADDED a"]);
    check("resourceVersion=0", &["ADDED a"]);
    check(&format!("resourceVersion={}", version()), &[]);
    check(&format!("resourceVersion={}&allowWatchBookmarks=true", version()), &["BOOKMARK"]);
    let streaming = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    check(streaming, &["ADDED a", "BOOKMARK end=true", "BOOKMARK"]);
}

fn kubectl_watches_a_table(kubectl: &Kubectl) {
    let mut child = kubectl
        .command("get configmaps --watch --output-watch-events")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut shown = Vec::new();
    // Each change waits until the one before has been seen, and the first object until the watch is there.
    for (line, events) in [
        ("create configmap a --from-literal=k=v", 2),
        ("label configmap a x=y", 1),
        ("patch configmap a -p '{\"data\":{\"l\":\"w\"}}'", 1),
        ("delete configmap a", 1),
    ] {
        assert!(kubectl.output(line).status.success(), "{line}");
        shown.extend(lines.by_ref().take(events).map(|line| stable(&line)));
    }
    child.kill().expect("kubectl is running");
    let _ = child.wait();
    let shown: Vec<String> = shown.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        shown,
        ["EVENT NAME DATA AGE", "ADDED a 1 AGE", "MODIFIED a 1 AGE", "MODIFIED a 2 AGE", "DELETED a 2 AGE"],
    );
}
