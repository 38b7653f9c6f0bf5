//! Who one is and what one may do, by the reviews that kubectl asks for.

use tests::kubectl::Kubectl;

use crate::{check_session, on_each_store};

on_each_store!(one_may_ask_about_oneself);

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
