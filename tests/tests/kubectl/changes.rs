//! Writes: dry run, field validation, generated names, versions and preconditions, patches.

use tests::kubectl::Kubectl;

use crate::{DEPLOYMENT, check_session, on_each_store};

on_each_store!(
    a_dry_run_changes_nothing,
    unknown_fields_are_refused_warned_of_or_ignored,
    names_are_generated,
    stale_versions_conflict
);

fn a_dry_run_changes_nothing(kubectl: &Kubectl) {
    kubectl.file("web.yaml", DEPLOYMENT);
    assert_eq!(kubectl.run("create -f web.yaml"), "deployment.apps/web created\n");
    let before = kubectl.output("get deploy,configmaps,services -A -o json").stdout;
    check_session!(
        kubectl,
        "dry_run",
        "create configmap x --dry-run=server
        create configmap x --dry-run=server -o yaml
        create -f web.yaml --dry-run=server
        replace -f web.yaml --dry-run=server
        delete deploy web --dry-run=server
        patch deploy web -p '{\"spec\":{\"replicas\":9}}' --dry-run=server -o jsonpath='{.spec.replicas}'
        scale deploy web --replicas=7 --dry-run=server
        label deploy web q=r --dry-run=server
        create service nodeport s --tcp=80 --node-port=30001 --dry-run=server
        delete --raw /api/v1/namespaces/default/configmaps?dryRun=All"
    );
    let after = kubectl.output("get deploy,configmaps,services -A -o json").stdout;
    assert_eq!(String::from_utf8_lossy(&before), String::from_utf8_lossy(&after));
}

fn unknown_fields_are_refused_warned_of_or_ignored(kubectl: &Kubectl) {
    let bad = DEPLOYMENT.replace("replicas:", "replicaz:").replace("nginx:1'", "nginx:1', imag: x");
    kubectl.file("bad.yaml", &bad);
    check_session!(
        kubectl,
        "field_validation",
        "create -f bad.yaml
        create -f bad.yaml --validate=strict
        create -f bad.yaml --validate=warn
        delete deploy web
        create -f bad.yaml --validate=ignore
        get deploy web -o jsonpath='{.spec.replicas}'
        replace -f bad.yaml
        replace -f bad.yaml --validate=warn
        patch deploy web -p '{\"spec\":{\"replicaz\":3}}'
        patch deploy web --type=merge -p '{\"spec\":{\"replicaz\":3}}'
        patch deploy web -p '{\"spec\":{\"replicas\":\"x\"}}'
        patch deploy web -p '{\"spec\":{\"replicas\":-1}}'
        patch deploy web --type=merge -p '[]'
        patch deploy web --type=json -p '[{\"op\":\"remove\",\"path\":\"/nope\"}]'
        patch deploy web --type=json -p '[{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":5}]'
        patch deploy web --type=json -p '{}'
        patch deploy web --type=merge -p '{\"metadata\":{\"resourceVersion\":\"1\"}}'
        patch deploy web --type=merge -p '{\"metadata\":{\"name\":\"other\"}}'"
    );
}

fn names_are_generated(kubectl: &Kubectl) {
    kubectl.file("gen.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: gen-}}");
    let one = kubectl.run("create -f gen.yaml -o name");
    let two = kubectl.run("create -f gen.yaml -o name");
    assert_ne!(one, two);
    for name in [one, two] {
        let suffix = name.trim().strip_prefix("configmap/gen-").unwrap_or_else(|| panic!("{name}"));
        assert_eq!(suffix.len(), 5, "{name}");
    }
}

fn stale_versions_conflict(kubectl: &Kubectl) {
    kubectl.file("new.yaml", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","resourceVersion":"1"}}"#);
    kubectl.file("pre.json", r#"{"preconditions":{"uid":"5"}}"#);
    kubectl.file("pre2.json", r#"{"preconditions":{"resourceVersion":"1"}}"#);
    check_session!(
        kubectl,
        "versions",
        "create --raw /api/v1/namespaces/default/configmaps -f new.yaml
        create configmap c
        create configmap c
        replace -f new.yaml
        delete --raw /api/v1/namespaces/default/configmaps/c -f pre2.json
        get configmap c -o name"
    );
    let text = kubectl.run("delete --raw /api/v1/namespaces/default/configmaps/c -f pre.json");
    assert!(text.contains("the UID in the precondition (5) does not match the UID in record"), "{text}");
}
