//! What discovery says of a small registry, against what upstream publishes of the same kinds.

use std::marker::PhantomData;
use std::sync::Arc;

use api::field::ErrorList;
use http::HeaderValue;
use http::header::ACCEPT;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use serde_json::{Value, json};

use super::*;
use crate::kind::Builtin;
use crate::registry::Registry;
use crate::strategy::{Names, ScaleSubresource, Strategy, Typed, UpdateSubresource};

/// A kind of which nothing but the names and subresources matters.
struct Sample<T> {
    names: Names,
    parts: &'static [&'static str],
    scaled: bool,
    object: PhantomData<fn() -> T>,
}

impl<T: Typed> Strategy for Sample<T> {
    type Object = T;

    fn names(&self) -> Names {
        self.names.clone()
    }

    fn validate(&self, _: &T) -> ErrorList {
        ErrorList::default()
    }

    fn validate_update(&self, _: &T, _: &T) -> ErrorList {
        ErrorList::default()
    }

    fn updates(&self) -> Vec<UpdateSubresource<T>> {
        let part = |name: &&'static str| UpdateSubresource {
            name,
            prepare: |_, _, _| {},
            validate: |_, _| ErrorList::default(),
        };
        self.parts.iter().map(part).collect()
    }

    fn scale(&self) -> Option<ScaleSubresource<T>> {
        self.scaled.then_some(ScaleSubresource {
            replicas: |_| 0,
            set_replicas: |_, _| {},
            status_replicas: |_| 0,
            selector: |_| String::new(),
        })
    }
}

fn register<T: Typed>(registry: &Registry, names: Names, parts: &'static [&'static str], scaled: bool) {
    registry.register(Arc::new(Builtin::new(Sample::<T> { names, parts, scaled, object: PhantomData })));
}

/// ConfigMaps, Deployments, Namespaces and Pods, as upstream names them.
pub(crate) fn sample() -> Arc<Resources> {
    sample_registry().resources()
}

/// The registry of [`sample`].
pub(crate) fn sample_registry() -> Registry {
    let registry = Registry::new();
    let pods = Names::of::<Pod>("pod", true).short(&["po"]).within(&["all"]);
    register::<Pod>(&registry, pods, &["ephemeralcontainers", "resize", "status"], false);
    let deployments = Names::of::<Deployment>("deployment", true).short(&["deploy"]).within(&["all"]);
    register::<Deployment>(&registry, deployments, &["status"], true);
    register::<ConfigMap>(&registry, Names::of::<ConfigMap>("configmap", true).short(&["cm"]), &[], false);
    let namespaces = Names::of::<Namespace>("namespace", false).short(&["ns"]);
    register::<Namespace>(&registry, namespaces, &["finalize", "status"], false);
    registry
}

/// Registers CronTabs of `stable.example.com`, which no generated type describes.
pub(crate) fn register_custom(registry: &Registry) {
    let names = Names {
        group: "stable.example.com".into(),
        kind: "CronTab".into(),
        plural: "crontabs".into(),
        singular: "crontab".into(),
        ..Names::of::<ConfigMap>("crontab", true)
    };
    register::<ConfigMap>(registry, names, &["status"], false);
}

fn get(path: &str, accept: &'static str) -> Response<Bytes> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    ask(path, &headers)
}

fn ask(path: &str, headers: &HeaderMap) -> Response<Bytes> {
    let addresses = Addresses { client_cidr: "0.0.0.0/0".to_owned(), server_address: "10.0.0.1:6443".to_owned() };
    respond(&sample(), &addresses, path, headers).expect("a discovery path")
}

fn value(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).expect("JSON")
}

#[test]
fn the_roots_and_groups_are_written_in_upstreams_order() {
    let check = |path: &str, expected: &str| {
        let answer = get(path, "application/json");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json", "{path}");
        assert_eq!(std::str::from_utf8(answer.body()).unwrap(), format!("{expected}\n"), "{path}");
    };
    let api = concat!(
        r#"{"kind":"APIVersions","versions":["v1"],"#,
        r#""serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"10.0.0.1:6443"}]}"#,
    );
    check("/api", api);
    check("/api/", api);
    let apps = concat!(
        r#""name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],"#,
        r#""preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}"#,
    );
    check("/apis", &format!(r#"{{"kind":"APIGroupList","apiVersion":"v1","groups":[{{{apps}]}}"#));
    check("/apis/apps", &format!(r#"{{"kind":"APIGroup","apiVersion":"v1",{apps}"#));
    check(
        "/apis/apps/v1",
        concat!(
            r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"apps/v1","resources":["#,
            r#"{"name":"deployments","singularName":"deployment","namespaced":true,"kind":"Deployment","#,
            r#""verbs":["create","delete","deletecollection","get","list","patch","update","watch"],"#,
            r#""shortNames":["deploy"],"categories":["all"],"storageVersionHash":"8aSe+NMegvE="},"#,
            r#"{"name":"deployments/scale","singularName":"","namespaced":true,"group":"autoscaling","#,
            r#""version":"v1","kind":"Scale","verbs":["get","patch","update"]},"#,
            r#"{"name":"deployments/status","singularName":"","namespaced":true,"kind":"Deployment","#,
            r#""verbs":["get","patch","update"]}]}"#,
        ),
    );
}

#[test]
fn the_core_group_lists_its_subresources() {
    let list = value(&get("/api/v1", "application/json"));
    assert!(list.get("apiVersion").is_none());
    let resources = list["resources"].as_array().unwrap();
    let names: Vec<&str> = resources.iter().map(|resource| resource["name"].as_str().unwrap()).collect();
    let expected = [
        "configmaps",
        "namespaces",
        "namespaces/finalize",
        "namespaces/status",
        "pods",
        "pods/attach",
        "pods/binding",
        "pods/ephemeralcontainers",
        "pods/eviction",
        "pods/exec",
        "pods/log",
        "pods/portforward",
        "pods/proxy",
        "pods/resize",
        "pods/status",
    ];
    assert_eq!(names, expected);
    let named = |name: &str| resources.iter().find(|resource| resource["name"] == name).unwrap();
    assert_eq!(named("configmaps")["storageVersionHash"], "qFsyl6wFWjQ=");
    assert_eq!(named("pods")["storageVersionHash"], "xPOwRZ+Yhw8=");
    assert_eq!(named("namespaces")["storageVersionHash"], "Q3oi5N2YM8M=");
    assert_eq!(named("namespaces")["verbs"], json!(["create", "delete", "get", "list", "patch", "update", "watch"]),);
    assert_eq!(
        *named("namespaces/finalize"),
        json!({"name": "namespaces/finalize", "singularName": "", "namespaced": false, "kind": "Namespace",
               "verbs": ["update"]}),
    );
    assert_eq!(
        *named("pods/binding"),
        json!({"name": "pods/binding", "singularName": "", "namespaced": true, "kind": "Binding", "verbs": ["create"]}),
    );
    assert_eq!(
        *named("pods/exec"),
        json!({"name": "pods/exec", "singularName": "", "namespaced": true, "kind": "PodExecOptions",
               "verbs": ["create", "get"]}),
    );
    assert_eq!(
        *named("pods/eviction"),
        json!({"name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
               "kind": "Eviction", "verbs": ["create"]}),
    );
}

#[test]
fn unknown_groups_and_versions_are_not_found() {
    for path in ["/apis/batch", "/apis/batch/v1", "/apis/apps/v2", "/api/v2", "/apis/", "/apis//v1"] {
        let answer = get(path, "application/json");
        let found = path == "/apis/";
        assert_eq!(answer.status() == StatusCode::OK, found, "{path}");
        if !found {
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            assert_eq!(answer.body(), "404 page not found\n");
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        }
    }
    let addresses = Addresses { client_cidr: String::new(), server_address: String::new() };
    for path in ["", "/", "/healthz", "/api/v1/pods", "/apis/apps/v1/deployments"] {
        assert!(respond(&sample(), &addresses, path, &HeaderMap::new()).is_none(), "{path}");
    }
}

const KUBECTL: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                       application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

#[test]
fn aggregated_discovery_has_everything_in_one() {
    let answer = get("/apis", KUBECTL);
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",);
    assert_eq!(answer.headers()[VARY], "Accept");
    assert_eq!(
        std::str::from_utf8(answer.body()).unwrap(),
        concat!(
            r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":["#,
            r#"{"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[{"resource":"deployments","#,
            r#""responseKind":{"group":"","version":"","kind":"Deployment"},"scope":"Namespaced","#,
            r#""singularResource":"deployment","verbs":["create","delete","deletecollection","get","list","patch","#,
            r#""update","watch"],"shortNames":["deploy"],"categories":["all"],"subresources":[{"subresource":"scale","#,
            r#""responseKind":{"group":"autoscaling","version":"v1","kind":"Scale"},"verbs":["get","patch","update"]},"#,
            r#"{"subresource":"status","responseKind":{"group":"","version":"","kind":"Deployment"},"#,
            r#""verbs":["get","patch","update"]}]}],"freshness":"Current"}]}]}"#,
            "\n",
        ),
    );
    let core = value(&get("/api", KUBECTL));
    assert_eq!(core["items"][0]["metadata"], json!({}));
    assert_eq!(core["items"][0]["versions"][0]["resources"][2]["resource"], "pods");
    let older = get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList");
    assert_eq!(value(&older)["apiVersion"], "apidiscovery.k8s.io/v2beta1");
}

#[test]
fn aggregated_discovery_is_not_sent_again() {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(KUBECTL));
    let tag = ask("/apis", &headers).headers()[ETAG].clone();
    assert_eq!(tag.len(), 130);
    headers.insert(IF_NONE_MATCH, tag.clone());
    let again = ask("/apis", &headers);
    assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(again.headers()[ETAG], tag);
    headers.insert(IF_NONE_MATCH, HeaderValue::from_static("\"0\""));
    assert_eq!(ask("/apis", &headers).status(), StatusCode::OK);
}

#[test]
fn the_form_is_negotiated() {
    let check = |accept: &'static str, status: u16, kind: &str| {
        let answer = get("/apis", accept);
        assert_eq!(answer.status(), status, "{accept}");
        assert_eq!(value(&answer)["kind"], kind, "{accept}");
    };
    check("*/*", 200, "APIGroupList");
    check("application/yaml", 200, "APIGroupList");
    check("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json", 200, "APIGroupList");
    check("application/json,application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", 200, "APIGroupList");
    check("text/html", 406, "Status");
}

#[test]
fn documents_have_a_protobuf_form() {
    let check = |path: &str, accept: &'static str, kind: &str| {
        let answer = get(path, accept);
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(answer.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("application/vnd.kubernetes.protobuf"));
        let json = api::protobuf::decode(answer.body()).unwrap();
        assert_eq!(serde_json::to_value(&json).unwrap()["kind"], kind, "{path}");
    };
    let protobuf = "application/vnd.kubernetes.protobuf";
    check("/api", protobuf, "APIVersions");
    check("/apis", protobuf, "APIGroupList");
    check("/apis/apps", protobuf, "APIGroup");
    check("/apis/apps/v1", protobuf, "APIResourceList");
    check("/api/v1", protobuf, "APIResourceList");
    let aggregated = "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    check("/apis", aggregated, "APIGroupDiscoveryList");
}
