//! Who one is and what one may do, by the reviews that kubectl asks for.

use tests::asking::wait_until;
use tests::kubectl::Kubectl;

use crate::{check_session, on_each_store};

on_each_store!(one_may_ask_about_oneself, one_may_do_what_one_was_granted, certificates_are_approved_by_who_may);

fn one_may_ask_about_oneself(kubectl: &Kubectl) {
    kubectl.file(
        "jane.json",
        r#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":"jane","resourceAttributes":{"verb":"get","resource":"pods","namespace":"default"}}}"#,
    );
    kubectl.file(
        "nobody.json",
        r#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}"#,
    );
    kubectl.file(
        "token.json",
        r#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"nonsense"}}"#,
    );
    check_session!(
        kubectl,
        "identity",
        "auth whoami
        auth can-i create deployments
        auth can-i get pods --subresource=log
        auth can-i '*' '*' --all-namespaces
        auth can-i get /healthz
        create -f jane.json -o jsonpath='{.status}'
        create -f nobody.json
        create -f token.json -o jsonpath='{.status}'
        get tokenreviews
        get componentstatuses etcd-0 -o jsonpath='{.conditions[0].type} {.conditions[0].status}'"
    );
}

/// What Jane may do, before and after she is granted it.
fn one_may_do_what_one_was_granted(kubectl: &Kubectl) {
    let mut shown = kubectl.session(
        "get pods --as jane
        auth can-i list pods --as jane
        create serviceaccount robot
        create role reader --verb=get,list,watch --resource=pods,pods/log
        create role grantor --verb=get,create,patch --resource=roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io
        create clusterrole sees --verb=get --non-resource-url=/metrics,/logs/*
        create rolebinding reads --role=reader --user=jane --serviceaccount=default:robot
        create rolebinding grants --role=grantor --group=team
        create clusterrolebinding sees --clusterrole=sees --user=jane",
    );
    for granted in ["list pods --as jane", "create roles --as jane --as-group team", "get /metrics --as jane"] {
        decided(kubectl, granted, true);
    }
    shown.push_str(&kubectl.session(
        "auth whoami --as jane --as-group team --as-uid 7 --as-user-extra reason=audit
        auth can-i --list --as jane
        auth can-i --list --as jane -n kube-system
        auth can-i --list --as jane --as-group team --no-headers
        auth can-i get pods/log --as system:serviceaccount:default:robot
        auth can-i list pods --as system:serviceaccount:default:robot -n kube-system
        get pods --as jane
        get pods --as jane -n kube-system
        get secrets --as jane
        delete pod one --as jane
        get nodes --as jane
        get --raw /logs/none --as jane
        get --raw /configz --as jane
        create role writer --verb=create,delete --resource=pods --as jane --as-group team
        create role copy --verb=get,list --resource=pods --as jane --as-group team
        create rolebinding self --clusterrole=cluster-admin --user=jane --as jane --as-group team
        create rolebinding self --role=reader --user=mary --as jane --as-group team
        create clusterrole other --verb=get --resource=pods --as jane --as-group team
        get pods --as jane --as-group system:masters --user nobody
        auth whoami --as mary --token nonsense
        delete rolebinding reads",
    ));
    decided(kubectl, "list pods --as jane", false);
    shown.push_str(&kubectl.session("get pods --as jane"));
    insta::assert_snapshot!("rights", shown);
}

/// Who may write that a request is approved may not yet approve it for its signer.
fn certificates_are_approved_by_who_may(kubectl: &Kubectl) {
    kubectl.file("request.yaml", include_str!("../../../manifests/examples/certificatesigningrequest.yaml"));
    // For kubectl's own verbs there are only kinds that are served, and signers are none.
    kubectl.file(
        "vouches.yaml",
        "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: vouches}
rules:
- {apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [kubernetes.io/kube-apiserver-client], verbs: [approve]}
",
    );
    let mut shown = kubectl.session(
        "create -f request.yaml
        certificate approve mina --as jane
        create clusterrole approves --verb=get,update --resource=certificatesigningrequests.certificates.k8s.io,certificatesigningrequests.certificates.k8s.io/approval
        create clusterrolebinding approves --clusterrole=approves --user=jane",
    );
    decided(kubectl, "update certificatesigningrequests.certificates.k8s.io --subresource approval --as jane", true);
    shown.push_str(&kubectl.session(
        "certificate approve mina --as jane
        certificate deny mina --as jane
        create -f vouches.yaml
        create clusterrolebinding vouches --clusterrole=vouches --user=jane",
    ));
    kubectl.file(
        "may.json",
        r#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":"jane","resourceAttributes":{"verb":"approve","group":"certificates.k8s.io","resource":"signers","name":"kubernetes.io/kube-apiserver-client"}}}"#,
    );
    let may = || kubectl.run("create -f may.json -o jsonpath={.status.allowed}");
    wait_until("jane vouches for the signer", may, |may| may == "true\n" || may == "true");
    shown.push_str(&kubectl.session(
        "certificate approve mina --as jane
        certificate deny mina --as jane
        get csr mina -o jsonpath='{.spec.username} {.spec.groups} {.status.conditions[*].type} {.status.conditions[*].reason}'",
    ));
    insta::assert_snapshot!("certificates", shown);
}

/// Waits until a right is given, or is not any more: servers follow what is written, and hold up nobody for it.
fn decided(kubectl: &Kubectl, asked: &str, granted: bool) {
    let may = || kubectl.output(&format!("auth can-i {asked} --quiet")).status.success();
    wait_until(asked, may, |may| *may == granted);
}
