//! Deletion: cascades, finalizers, collections and namespaces.

use tests::kubectl::Kubectl;

use crate::{check_session, on_each_store};

on_each_store!(
    cascades_leave_their_finalizers,
    finalizers_hold_an_object,
    collections_are_deleted_by_selector,
    a_namespace_ends_when_it_is_finalized
);

fn cascades_leave_their_finalizers(kubectl: &Kubectl) {
    check_session!(
        kubectl,
        "cascades",
        "create deployment a --image=x
        delete deployment a --cascade=foreground --wait=false
        get deployment a -o jsonpath='{.metadata.finalizers} {.metadata.generation}'
        delete deployment a --cascade=orphan --wait=false
        get deployment a -o jsonpath='{.metadata.finalizers} {.metadata.generation}'
        patch deployment a --type=json -p '[{\"op\":\"remove\",\"path\":\"/metadata/finalizers\"}]'
        get deployment a
        create deployment a --image=x
        delete deployment a --cascade=background --dry-run=server
        delete deployment a --cascade=background
        get deployment a"
    );
}

fn finalizers_hold_an_object(kubectl: &Kubectl) {
    kubectl.file("held.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/x]}}");
    check_session!(
        kubectl,
        "finalizers",
        "create -f held.yaml
        delete configmap held --wait=false
        get configmap held -o yaml
        create -f held.yaml
        patch configmap held --type=merge -p '{\"metadata\":{\"finalizers\":[\"example.com/y\"]}}'
        delete configmap held --wait=false
        delete configmap held --timeout=1s
        patch configmap held --type=merge -p '{\"metadata\":{\"finalizers\":null}}'
        get configmap held"
    );
}

fn collections_are_deleted_by_selector(kubectl: &Kubectl) {
    check_session!(
        kubectl,
        "collections",
        "create configmap a
        create configmap b
        create configmap c
        label configmap a b x=y
        delete configmaps -l x=y
        get configmaps
        delete configmaps -l 'x in ('
        delete --raw /api/v1/namespaces/default/configmaps?labelSelector=x%3Dz
        delete --raw /api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Dc
        get configmaps
        delete --raw /api/v1/configmaps
        delete configmap nope
        delete configmap nope --ignore-not-found"
    );
}

fn a_namespace_ends_when_it_is_finalized(kubectl: &Kubectl) {
    kubectl.file(
        "done.json",
        r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"t"},"spec":{"finalizers":[]}}"#,
    );
    check_session!(
        kubectl,
        "namespaces",
        "create namespace t
        create configmap x -n t
        delete namespace t --wait=false
        get namespace t
        create configmap y -n t
        delete namespace t --wait=false
        create namespace t
        delete configmap x -n t
        replace --raw /api/v1/namespaces/t/finalize -f done.json
        get namespace t
        create configmap y -n t
        delete namespace default
        delete namespace kube-system"
    );
}
