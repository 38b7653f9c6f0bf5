//! Tokens of ServiceAccounts: asked for, used, and refused.

use tests::kubectl::Kubectl;

use crate::on_each_store;

on_each_store!(tokens_are_asked_for_and_used);

/// A Pod that runs as the ServiceAccount `default`.
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {serviceAccountName: default, containers: [{name: c, image: nginx}]}
";

fn tokens_are_asked_for_and_used(kubectl: &Kubectl) {
    kubectl.file("one.yaml", POD);
    let mut shown = kubectl.session(
        "create token default
        create serviceaccount default
        create -f one.yaml
        create token default --duration 5m
        create token default --bound-object-kind ConfigMap --bound-object-name one
        create token default --bound-object-kind Pod --bound-object-name two
        create token default --bound-object-kind Pod --bound-object-name one --bound-object-uid other",
    );
    let for_us = "--audience https://kubernetes.default.svc.cluster.local";
    let for_pod =
        format!("create token default {for_us} --duration 20m --bound-object-kind Pod --bound-object-name one");
    let usual = issue(kubectl, "create token default", &mut shown);
    let bound = issue(kubectl, &for_pod, &mut shown);
    let foreign = issue(kubectl, "create token default --audience them", &mut shown);
    shown.push_str(
        &kubectl.session("create token default -o jsonpath='{.metadata.name} {.spec} {.status.expirationTimestamp}'"),
    );

    for (whose, token) in [("usual", &usual), ("bound", &bound), ("foreign", &foreign)] {
        ask(kubectl, (whose, token), "/api/v1/namespaces/default/pods", &mut shown);
    }
    ask(kubectl, ("usual", &usual), "/version/", &mut shown);
    shown.push_str(&kubectl.session("delete pod one --force"));
    ask(kubectl, ("usual", &usual), "/metrics", &mut shown);
    ask(kubectl, ("bound", &bound), "/metrics", &mut shown);
    shown.push_str(&kubectl.session("delete serviceaccount default"));
    ask(kubectl, ("usual", &usual), "/metrics", &mut shown);

    let configuration = kubectl.run("get --raw /.well-known/openid-configuration");
    assert!(
        configuration.starts_with(r#"{"issuer":"https://kubernetes.default.svc.cluster.local","jwks_uri":"https://"#)
    );
    let keys = kubectl.run("get --raw /openid/v1/jwks");
    assert!(keys.starts_with(r#"{"keys":[{"use":"sig","kty":"EC","kid":""#), "{keys}");
    insta::assert_snapshot!("tokens", shown);
}

/// Runs a kubectl that prints a token, and returns that.
fn issue(kubectl: &Kubectl, line: &str, shown: &mut String) -> String {
    let output = kubectl.output(line);
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let parts: Vec<_> = token.split('.').collect();
    assert!(output.status.success() && parts.len() == 3, "{line}: {output:?}");
    shown.push_str(&format!("$ kubectl {line}\nTOKEN\n"));
    token
}

/// Asks for a path with a token, and nothing else to say who asks.
fn ask(kubectl: &Kubectl, (whose, token): (&str, &str), path: &str, shown: &mut String) {
    let server = &kubectl.server;
    let authority = server.file("pki/ca.crt");
    let connection = format!("--kubeconfig= --server={} --certificate-authority={}", server.url, authority.display());
    let mut command = kubectl.command(&format!("{connection} --token={token} get --raw {path}"));
    let output = command.env_remove("KUBECONFIG").output().expect("kubectl can be run");
    let answer = kubectl.shown(&output);
    // What it is asked for is of no interest, if it is given.
    let answer = if output.status.success() { "(answered)\n" } else { &answer };
    shown.push_str(&format!("$ kubectl --token={whose} get --raw {path}\n{answer}"));
}
