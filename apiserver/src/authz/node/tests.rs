//! What nodes may do and what they may not, as data.

use http::Request;
use serde_json::{Value, json};

use super::*;

fn identity(user: &str, groups: &[&str]) -> Identity {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Identity { user: user.to_owned(), groups, ..Identity::default() }
}

fn node(name: &str) -> Identity {
    identity(&format!("system:node:{name}"), &[NODES, "system:authenticated"])
}

/// What is asked by a line such as `GET /api/v1/pods`.
fn asked(line: &str) -> Attributes {
    let (method, uri) = line.split_once(' ').unwrap();
    let request = Request::builder().method(method).uri(uri).body(()).unwrap();
    Attributes::of_request(&request.into_parts().0)
}

fn authorizer(objects: &[(&str, Value)]) -> NodeAuthorizer {
    let authorizer = NodeAuthorizer::default();
    objects.iter().for_each(|(path, object)| authorizer.0.write().store(path, object));
    authorizer
}

/// A container that has its environment from elsewhere.
fn refers(secret: &str, map: &str) -> Value {
    json!({
        "name": "c",
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": format!("{secret}-env"), "key": "k"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": format!("{map}-env"), "key": "k"}}},
        ],
        "envFrom": [{"secretRef": {"name": format!("{secret}-from")}}, {"configMapRef": {"name": format!("{map}-from")}}],
    })
}

/// A pod of node n1 that refers to everything that a pod can refer to, and things of n2.
fn cluster() -> NodeAuthorizer {
    let mine = json!({
        "metadata": {"name": "mine", "namespace": "a", "uid": "u1"},
        "spec": {
            "nodeName": "n1",
            "serviceAccountName": "account",
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [refers("init", "init")],
            "containers": [refers("main", "main")],
            "ephemeralContainers": [refers("late", "late")],
            "resourceClaims": [
                {"name": "named", "resourceClaimName": "gpu"},
                {"name": "made", "resourceClaimTemplateName": "t"},
                {"name": "unmade", "resourceClaimTemplateName": "t"},
            ],
            "volumes": [
                {"name": "v1", "secret": {"secretName": "volume"}},
                {"name": "v2", "configMap": {"name": "volume"}},
                {"name": "v3", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "projected"}}]}},
                {"name": "v4", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}},
                {"name": "v5", "rbd": {"image": "i", "monitors": [], "secretRef": {"name": "rbd"}}},
                {"name": "v6", "azureFile": {"shareName": "s", "secretName": "azure"}},
                {"name": "v7", "scaleIO": {"gateway": "g", "system": "s", "secretRef": {"name": "scale"}}},
                {"name": "v8", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "v9", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            ],
        },
        "status": {
            "resourceClaimStatuses": [{"name": "made", "resourceClaimName": "mine-made-x"}, {"name": "unmade"}],
            "extendedResourceClaimStatus": {"resourceClaimName": "mine-extended", "requestMappings": []},
        },
    });
    let pod = |name: &str, node: &str, secret: &str| {
        json!({
            "metadata": {"name": name, "namespace": "a", "uid": "u2"},
            "spec": {"nodeName": node, "serviceAccountName": "theirs", "containers": [],
                "volumes": [{"name": "v", "secret": {"secretName": secret}},
                    {"name": "w", "persistentVolumeClaim": {"claimName": "claim-of-n2"}}]},
        })
    };
    let mut mirror = pod("mirror", "n1", "theirs");
    mirror["metadata"]["annotations"][MIRROR] = "hash".into();
    let volume = |claim: &str, source: Value| {
        let mut volume = json!({"metadata": {"name": "v"}, "spec": {"claimRef": {"namespace": "a", "name": claim}}});
        volume["spec"].as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        volume
    };
    let csi = json!({"csi": {"driver": "d", "volumeHandle": "h",
        "nodeStageSecretRef": {"namespace": "s", "name": "stage"},
        "controllerPublishSecretRef": {"namespace": "s", "name": "controller"}}});
    authorizer(&[
        ("core/pods/a/mine", mine),
        ("core/pods/a/theirs", pod("theirs", "n2", "theirs")),
        ("core/pods/a/waiting", pod("waiting", "", "waiting")),
        ("core/pods/a/mirror", mirror),
        ("core/persistentvolumes/pv1", volume("claim", csi)),
        (
            "core/persistentvolumes/pv2",
            volume("claim-of-n2", json!({"cephfs": {"monitors": [], "secretRef": {"name": "ceph"}}})),
        ),
        ("core/persistentvolumes/free", json!({"metadata": {"name": "free"}, "spec": {}})),
        ("storage.k8s.io/volumeattachments/va1", json!({"spec": {"nodeName": "n1", "attacher": "d", "source": {}}})),
        ("storage.k8s.io/volumeattachments/va2", json!({"spec": {"nodeName": "n2", "attacher": "d", "source": {}}})),
        ("resource.k8s.io/resourceslices/s1", slice("n1")),
        ("resource.k8s.io/resourceslices/s2", slice("n2")),
        ("certificates.k8s.io/podcertificaterequests/a/r1", request("n1")),
        ("certificates.k8s.io/podcertificaterequests/a/r2", request("n2")),
    ])
}

fn slice(node: &str) -> Value {
    json!({"spec": {"nodeName": node, "driver": "d", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}})
}

fn request(node: &str) -> Value {
    json!({"spec": {"nodeName": node, "nodeUID": "", "podName": "", "podUID": "", "serviceAccountName": "",
        "serviceAccountUID": "", "signerName": "", "stubPKCS10Request": ""}})
}

#[test]
fn a_node_reads_what_its_pods_refer_to() {
    let cluster = cluster();
    let n1 = node("n1");
    let check = |line: String| assert_eq!(cluster.authorize(&n1, &asked(&line)), Decision::allow(), "{line}");
    let secrets = "init-env init-from main-env main-from late-env late-from pull volume projected csi rbd azure scale";
    let maps = "init-env init-from main-env main-from late-env late-from volume projected";
    for (resource, names) in [("secrets", secrets), ("configmaps", maps)] {
        for name in names.split(' ') {
            check(format!("GET /api/v1/namespaces/a/{resource}/{name}"));
            check(format!("GET /api/v1/namespaces/a/{resource}?fieldSelector=metadata.name%3D{name}"));
            check(format!("GET /api/v1/namespaces/a/{resource}?watch=1&fieldSelector=metadata.name%3D{name}"));
        }
    }
    for line in [
        "GET /api/v1/namespaces/a/pods/mine",
        "GET /api/v1/namespaces/a/pods/mirror",
        "GET /api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dmine",
        "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1",
        "GET /api/v1/pods?watch=1&fieldSelector=status.phase%3DRunning,spec.nodeName%3Dn1",
        "GET /api/v1/namespaces/a/persistentvolumeclaims/claim",
        "GET /api/v1/namespaces/a/persistentvolumeclaims/mine-v9",
        "PATCH /api/v1/namespaces/a/persistentvolumeclaims/claim/status",
        "GET /api/v1/persistentvolumes/pv1",
        "GET /api/v1/namespaces/s/secrets/stage",
        "GET /apis/resource.k8s.io/v1/namespaces/a/resourceclaims/gpu",
        "GET /apis/resource.k8s.io/v1/namespaces/a/resourceclaims/mine-made-x",
        "GET /apis/resource.k8s.io/v1/namespaces/a/resourceclaims/mine-extended",
        "GET /apis/storage.k8s.io/v1/volumeattachments/va1",
        "POST /api/v1/namespaces/a/serviceaccounts/account/token",
        "GET /apis/resource.k8s.io/v1/resourceslices/s1",
        "DELETE /apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName%3Dn1",
        "POST /apis/resource.k8s.io/v1/resourceslices",
        "GET /apis/certificates.k8s.io/v1/namespaces/a/podcertificaterequests/r1",
        "GET /apis/certificates.k8s.io/v1/podcertificaterequests?watch=1&fieldSelector=spec.nodeName%3Dn1",
        "GET /api/v1/nodes/n1",
        "GET /api/v1/nodes?watch=true&fieldSelector=metadata.name%3Dn1",
        "POST /api/v1/nodes",
        "PATCH /api/v1/nodes/n1/status",
        "POST /api/v1/namespaces/a/pods/mine/eviction",
        "PATCH /api/v1/namespaces/a/pods/mine/status",
        "PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1",
        "POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
        "PATCH /apis/storage.k8s.io/v1/csinodes/n1",
        "GET /api/v1/services?watch=1",
        "POST /apis/authentication.k8s.io/v1/tokenreviews",
        "GET /apis/node.k8s.io/v1/runtimeclasses",
    ] {
        check(line.to_owned());
    }
}

const UNRELATED: &str = "no relationship found between node 'n1' and this object";
const UNNAMED: &str = "No Object name found";
const ONE: &str = "can only get individual resources of this type";
const PODS: &str = "can only list/watch pods with spec.nodeName field selector";
const LEASE: &str = "can only access node lease with the same name as the requesting node";
const SLICES: &str = "can only list/watch/deletecollection resourceslices with nodeName field selector";

/// What a node is refused, and why.
const REFUSED: &[(&str, &str)] = &[
    ("GET /api/v1/namespaces/a/secrets/theirs", UNRELATED),
    ("GET /api/v1/namespaces/a/secrets/waiting", UNRELATED),
    ("GET /api/v1/namespaces/b/secrets/volume", UNRELATED),
    ("GET /api/v1/namespaces/a/secrets/VOLUME", UNRELATED),
    ("GET /api/v1/namespaces/a%2Fb/secrets/volume", UNRELATED),
    ("GET /api/v1/namespaces/s/secrets/controller", UNRELATED),
    ("GET /api/v1/namespaces/a/secrets/ceph", UNRELATED),
    ("GET /api/v1/secrets", "can only read namespaced object of this type"),
    ("GET /api/v1/secrets?fieldSelector=metadata.name%3Dvolume", "can only read namespaced object of this type"),
    ("GET /api/v1/namespaces/a/secrets", UNNAMED),
    ("GET /api/v1/namespaces/a/secrets?watch=1", UNNAMED),
    ("GET /api/v1/watch/namespaces/a/secrets?fieldSelector=metadata.name%3Dvolume", UNNAMED),
    ("GET /api/v1/namespaces/a/secrets?fieldSelector=metadata.name!%3Dvolume", UNNAMED),
    ("GET /api/v1/namespaces/a/secrets?fieldSelector=type%3DOpaque", UNNAMED),
    ("GET /api/v1/namespaces/a/secrets?labelSelector=metadata.name%3Dvolume", UNNAMED),
    ("GET /api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Dtheirs", UNRELATED),
    ("GET /api/v1/namespaces/a/secrets/theirs?fieldSelector=metadata.name%3Dvolume", UNRELATED),
    ("GET /api/v1/namespaces/a/secrets/theirs?watch=1&fieldSelector=metadata.name%3Dvolume", UNRELATED),
    (
        "GET /api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Dtheirs&fieldSelector=metadata.name%3Dvolume",
        UNRELATED,
    ),
    ("DELETE /api/v1/namespaces/a/secrets/volume", "can only read resources of this type"),
    ("PUT /api/v1/namespaces/a/configmaps/volume", "can only read resources of this type"),
    ("GET /api/v1/namespaces/a/configmaps/volume/status", "cannot read subresource"),
    ("GET /api/v1/namespaces/a/persistentvolumeclaims/claim-of-n2", UNRELATED),
    ("GET /api/v1/namespaces/a/persistentvolumeclaims", ONE),
    ("GET /api/v1/namespaces/a/persistentvolumeclaims/claim/status", "can only get/update/patch this type"),
    ("PUT /api/v1/namespaces/a/persistentvolumeclaims/claim-of-n2/status", UNRELATED),
    ("GET /api/v1/persistentvolumes/pv2", UNRELATED),
    ("GET /api/v1/persistentvolumes/free", UNRELATED),
    ("GET /apis/resource.k8s.io/v1/namespaces/a/resourceclaims/other", UNRELATED),
    ("GET /apis/storage.k8s.io/v1/volumeattachments/va2", UNRELATED),
    ("GET /apis/storage.k8s.io/v1/volumeattachments", ONE),
    ("GET /apis/storage.k8s.io/v1/volumeattachments/va1/status", "cannot get subresource"),
    ("POST /api/v1/namespaces/a/serviceaccounts/theirs/token", UNRELATED),
    ("POST /api/v1/namespaces/b/serviceaccounts/account/token", UNRELATED),
    ("POST /api/v1/namespaces/a/serviceaccounts", "can only create tokens for individual service accounts"),
    ("GET /api/v1/namespaces/a/serviceaccounts/account", "can only create tokens for individual service accounts"),
    ("GET /apis/resource.k8s.io/v1/resourceslices/s2", UNRELATED),
    ("GET /apis/resource.k8s.io/v1/resourceslices", SLICES),
    ("DELETE /apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName%3Dn2", SLICES),
    ("GET /apis/certificates.k8s.io/v1/namespaces/a/podcertificaterequests/r2", UNRELATED),
    (
        "GET /apis/certificates.k8s.io/v1/podcertificaterequests",
        "can only list/watch podcertificaterequests with nodeName field selector",
    ),
    (
        "PUT /apis/certificates.k8s.io/v1/namespaces/a/podcertificaterequests/r1/status",
        "nodes may not access the status subresource of PodCertificateRequests",
    ),
    ("GET /api/v1/nodes", "node 'n1' cannot read all nodes, only its own Node object"),
    ("GET /api/v1/nodes/n2", "node 'n1' cannot read 'n2', only its own Node object"),
    ("GET /api/v1/nodes?fieldSelector=metadata.name%3DN1", "node 'n1' cannot read 'N1', only its own Node object"),
    ("GET /api/v1/nodes/n2?fieldSelector=metadata.name%3Dn1", "node 'n1' cannot read 'n2', only its own Node object"),
    ("DELETE /api/v1/nodes/n1", ""),
    ("GET /api/v1/nodes/n1/proxy/pods", ""),
    ("GET /api/v1/pods", PODS),
    ("GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn2", PODS),
    ("GET /api/v1/pods?fieldSelector=spec.nodeName!%3Dn2", PODS),
    ("GET /api/v1/watch/pods?fieldSelector=spec.nodeName%3Dn1", PODS),
    ("GET /api/v1/namespaces/a/pods/theirs", UNRELATED),
    ("GET /api/v1/namespaces/a/pods/theirs?watch=1&fieldSelector=spec.nodeName%3Dn1", UNRELATED),
    ("PUT /api/v1/namespaces/a/pods/mine", ""),
    ("DELETE /api/v1/namespaces/a/pods?fieldSelector=spec.nodeName%3Dn1", ""),
    ("POST /api/v1/namespaces/a/pods/mine/binding", ""),
    ("GET /api/v1/namespaces/a/pods/mine/log", ""),
    ("POST /api/v1/namespaces/a/pods/mine/exec", ""),
    ("PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2", LEASE),
    (
        "DELETE /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
        "can only get, create, update, patch, or delete a node lease",
    ),
    (
        "GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/n1",
        "can only access leases in the \"kube-node-lease\" system namespace",
    ),
    ("GET /apis/storage.k8s.io/v1/csinodes/n2", "can only access CSINode with the same name as the requesting node"),
    ("GET /apis/storage.k8s.io/v1/csinodes", "can only get, create, update, patch, or delete a CSINode"),
    ("GET /apis/apps/v1/deployments", ""),
    ("GET /metrics", ""),
];

#[test]
fn a_node_reads_nothing_else() {
    let (cluster, n1) = (cluster(), node("n1"));
    for (line, why) in REFUSED {
        assert_eq!(cluster.authorize(&n1, &asked(line)), no(*why), "{line}");
    }
}

#[test]
fn a_node_is_who_has_its_name_and_its_group() {
    let cluster = cluster();
    let check = |user: &str, groups: &[&str], expected: Decision| {
        let attributes = asked("GET /api/v1/namespaces/a/secrets/volume");
        assert_eq!(cluster.authorize(&identity(user, groups), &attributes), expected, "{user} {groups:?}");
    };
    check("system:node:n1", &[NODES], Decision::allow());
    check("system:node:n1", &["system:authenticated"], no(""));
    check("system:node:n1", &["System:Nodes"], no(""));
    check("jane", &[NODES], no(""));
    check("System:Node:n1", &[NODES], no(""));
    check("system:node:", &[NODES], no("unknown node for user \"system:node:\""));
    check("system:node:N1", &[NODES], no("no relationship found between node 'N1' and this object"));
    check("system:node:n1 ", &[NODES], no("no relationship found between node 'n1 ' and this object"));
    assert!(!cluster.rules(&node("n1"), "a").error.is_empty());
    assert!(cluster.rules(&identity("jane", &[NODES]), "a").error.is_empty());
}

#[test]
fn what_ends_leaves_nothing_behind() {
    let cluster = cluster();
    let mut known = cluster.0.write();
    let may = |known: &Known, name: &str| known.graph.is_of(&Place::new(Kind::Secret, "a", name), "n1");
    let mut pod = json!({"metadata": {"name": "two", "namespace": "a", "uid": "u3"}, "spec": {"nodeName": "n1", "containers": [],
        "imagePullSecrets": [{"name": "pull"}]}});
    known.store("core/pods/a/two", &pod);
    known.store("core/pods/a/mine", &Value::Null);
    // One of two that refer to it is left.
    assert!(may(&known, "pull") && !may(&known, "volume"));
    assert!(!known.graph.is_of(&Place::new(Kind::Secret, "s", "stage"), "n1"));
    // Another pod of the name, and one whose claims are made later.
    pod["metadata"]["uid"] = "u4".into();
    pod["spec"] = json!({"nodeName": "n1", "containers": [],
        "resourceClaims": [{"name": "c", "resourceClaimTemplateName": "t"}]});
    known.store("core/pods/a/two", &pod);
    assert!(!may(&known, "pull"));
    let made = |known: &Known| known.graph.is_of(&Place::new(Kind::ResourceClaim, "a", "two-c-1"), "n1");
    assert!(!made(&known));
    pod["status"] = json!({"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "two-c-1"}]});
    known.store("core/pods/a/two", &pod);
    assert!(made(&known));
    for kind in [Kind::Pod, Kind::Volume, Kind::Attachment, Kind::Slice, Kind::CertificateRequest] {
        known.forget(kind);
    }
    assert!(known.graph.is_empty() && known.pods.is_empty());
}

#[tokio::test]
async fn what_is_known_follows_the_store() {
    let registry = Arc::new(crate::registry::Registry::new());
    crate::resources::register_all(&registry, crate::resources::Config::default());
    let objects = crate::entry::Objects::new(registry);
    let backend = Arc::new(store::MemoryBackend::new());
    let store = store::Store::open(backend, objects, store::StoreOptions::default()).await.unwrap();
    let put = async |name: &str, secret: &str| {
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "a", "uid": name},
            "spec": {"nodeName": "n1", "containers": [], "imagePullSecrets": [{"name": secret}]}});
        let key = store::Key::new(&format!("{}core/pods/a/{name}", crate::entry::ROOT)).unwrap();
        let json = serde_json::to_vec(&pod).unwrap().into();
        store.create(key.clone(), json, store::Durability::Flushed).await.unwrap();
        key
    };
    put("before", "one").await;
    let stopping = tokio_util::sync::CancellationToken::new();
    let nodes = NodeAuthorizer::follow(store.clone(), stopping.clone()).await.unwrap();
    let may = |secret: &str| {
        let asked = asked(&format!("GET /api/v1/namespaces/a/secrets/{secret}"));
        nodes.authorize(&node("n1"), &asked) == Decision::allow()
    };
    assert!(may("one") && !may("two"));
    let after = put("after", "two").await;
    while !may("two") {
        tokio::task::yield_now().await;
    }
    let stored = store.get(&after, store::At::Latest).await.unwrap().unwrap();
    store.delete(after, stored.revision, store::Durability::Flushed).await.unwrap();
    while may("two") {
        tokio::task::yield_now().await;
    }
    assert!(may("one"));
    stopping.cancel();
}
