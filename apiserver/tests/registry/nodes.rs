//! What nodes may write, in the hands of a hostile one.

use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

use crate::harness::{Ask, Server};

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/default/pods";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const CSI_NODES: &str = "/apis/storage.k8s.io/v1/csinodes";
const SLICES: &str = "/apis/resource.k8s.io/v1/resourceslices";
const SIGNING: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const POD_CERTIFICATES: &str = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests";
const MIRROR: &str = "kubernetes.io/config.mirror";

fn n1(server: &Server) -> Server {
    server.by("system:node:n1", &["system:nodes", "system:authenticated"])
}

fn pod(name: &str, node: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"nodeName": node, "serviceAccountName": "account",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "t", "projected": {"sources": [
            {"serviceAccountToken": {"path": "a"}}, {"serviceAccountToken": {"path": "b", "audience": "vault"}}]}}]}})
}

/// With the nodes n1 and n2 and a pod on each.
async fn server() -> Server {
    let server = Server::with_tokens().await;
    server
        .json(Ask::post("/api/v1/namespaces/default/serviceaccounts", &json!({"metadata": {"name": "account"}})))
        .await;
    for (node, name) in [("n1", "mine"), ("n2", "theirs")] {
        let made = json!({"metadata": {"name": node, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/x": "y"}}});
        server.json(Ask::post(NODES, &made)).await;
        server.json(Ask::post(PODS, &pod(name, node))).await;
    }
    server
}

/// Asks as a node, and looks whether what it is told has this in it; nothing stands for success.
async fn check(node: &Server, ask: Ask<'_>, expected: &str) {
    let what = format!("{} {}?{} {}", ask.method, ask.path, ask.query, String::from_utf8_lossy(&ask.body));
    match (node.ask(ask).await, expected) {
        (Ok(_), "") => {}
        (Err(status), why) if !why.is_empty() && status.message.contains(why) => {
            let code = if why.ends_with("not found") { 404 } else { 403 };
            assert_eq!(status.code, code, "{what}: {}", status.message);
        }
        (answer, _) => panic!("{what}: {expected:?} is expected, and not {answer:?}"),
    }
}

#[tokio::test]
async fn a_node_says_of_itself_what_is_its_to_say() {
    let server = server().await;
    let node = n1(&server);
    let n3 = server.by("system:node:n3", &["system:nodes"]);
    let new = |labels: Value, spec: Value| json!({"metadata": {"name": "n3", "labels": labels}, "spec": spec});
    for (made, why) in [
        (
            new(json!({"node-restriction.kubernetes.io/a": "b"}), json!({})),
            "node \"n3\" is not allowed to set the following labels: node-restriction.kubernetes.io/a",
        ),
        (
            new(json!({"node-role.kubernetes.io/master": "", "k8s.io/a": "b", "mine": "b"}), json!({})),
            "is not allowed to set the following labels: k8s.io/a, node-role.kubernetes.io/master",
        ),
        (json!({"metadata": {"name": "n4"}}), "node \"n3\" is not allowed to modify node \"n4\""),
        (json!({"metadata": {"name": "N3"}}), "node \"n3\" is not allowed to modify node \"N3\""),
        (
            new(
                json!({"kubernetes.io/hostname": "n3", "mine": "b"}),
                json!({"taints": [{"key": "a", "effect": "NoExecute"}]}),
            ),
            "",
        ),
    ] {
        check(&n3, Ask::post(NODES, &made), why).await;
    }
    let made = server.json(Ask::get(&format!("{NODES}/n3"))).await;
    let taints = json!([{"key": "a", "effect": "NoExecute"},
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
    assert_eq!(made["spec"]["taints"], taints);

    let mine = format!("{NODES}/n1");
    let status = format!("{NODES}/n1/status");
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"}]);
    for (patch, why) in [
        (labels(json!({"kubernetes.io/x": null})), "is not allowed to modify labels: kubernetes.io/x"),
        (labels(json!({"kubernetes.io/x": "z"})), "is not allowed to modify labels: kubernetes.io/x"),
        (labels(json!({"a.node-restriction.kubernetes.io/x": "z"})), "is not allowed to modify labels"),
        (json!({"spec": {"taints": null}}), "node \"n1\" is not allowed to modify taints"),
        (json!({"metadata": {"ownerReferences": owner}}), "node \"n1\" is not allowed to modify ownerReferences"),
        (labels(json!({"kubernetes.io/os": "plan9", "mine": "z"})), ""),
    ] {
        for path in [&mine, &status] {
            check(&node, Ask::patch(path, &patch), why).await;
        }
    }
    let theirs = "node \"n1\" is not allowed to modify node \"n2\"";
    check(&node, Ask::patch(&format!("{NODES}/n2/status"), &labels(json!({"a": "b"}))), theirs).await;
    check(&node, Ask::delete(&format!("{NODES}/n2")), theirs).await;
    let other = "node \"n1\" is not allowed to modify node \"n3\"";
    check(&node, Ask::delete(NODES).query("labelSelector=mine"), other).await;
}

#[tokio::test]
async fn who_is_no_node_is_not_judged_as_one() {
    let server = server().await;
    let patch = json!({"metadata": {"labels": {"kubernetes.io/x": "z"}}});
    let theirs = format!("{NODES}/n2");
    check(&server.by("system:node:n1", &["system:authenticated"]), Ask::patch(&theirs, &patch), "").await;
    check(&server.by("jane", &["system:nodes"]), Ask::patch(&theirs, &patch), "").await;
    let nobody = "could not determine node from user \"system:node:\"";
    check(&server.by("system:node:", &["system:nodes"]), Ask::patch(&theirs, &patch), nobody).await;
    let other = "node \"N1\" is not allowed to modify node \"n1\"";
    check(&server.by("system:node:N1", &["system:nodes"]), Ask::patch(&format!("{NODES}/n1"), &patch), other).await;
}

#[tokio::test]
async fn a_node_makes_only_pods_that_stand_for_its_own() {
    let server = server().await;
    let node = n1(&server);
    let uid = server.json(Ask::get(&format!("{NODES}/n1"))).await["metadata"]["uid"].clone();
    let owner = |changes: Value| {
        let mut owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true});
        owner.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        owner
    };
    let mirror = |owners: Value, spec: Value| {
        let mut spec = spec;
        spec["nodeName"] = spec.get("nodeName").cloned().unwrap_or("n1".into());
        spec["containers"] = spec.get("containers").cloned().unwrap_or(json!([{"name": "c", "image": "i"}]));
        json!({"metadata": {"name": "m", "annotations": {MIRROR: "x"}, "ownerReferences": owners}, "spec": spec})
    };
    let owned = |spec: Value| mirror(json!([owner(json!({}))]), spec);
    let of = |changes: Value| mirror(json!([owner(changes)]), json!({}));
    let volume = |source: Value| {
        let mut volume = source;
        volume["name"] = "v".into();
        owned(json!({"volumes": [volume]}))
    };
    let projected = |source: Value| volume(json!({"projected": {"sources": [source]}}));
    let environment = |from: Value| owned(json!({"containers": [{"name": "c", "image": "i", "envFrom": [from]}]}));
    let token = json!({"serviceAccountToken": {"path": "t"}});
    let reference = "node \"n1\" can not create pods that reference";
    for (made, why) in [
        (pod("m", "n1"), "pod does not have \"kubernetes.io/config.mirror\" annotation"),
        (owned(json!({"nodeName": "n2"})), "node \"n1\" can only create pods with spec.nodeName set to itself"),
        (owned(json!({"nodeName": ""})), "node \"n1\" can only create pods with spec.nodeName set to itself"),
        (mirror(json!([]), json!({})), "can only create pods with an owner reference set to itself"),
        (mirror(json!([owner(json!({})), owner(json!({"controller": false}))]), json!({})), "a single owner reference"),
        (of(json!({"name": "n2"})), "can only create pods with an owner reference set to itself"),
        (of(json!({"kind": "Pod"})), "can only create pods with an owner reference set to itself"),
        (of(json!({"controller": false})), "with a controller owner reference set to itself"),
        (of(json!({"blockOwnerDeletion": true})), "must not set blockOwnerDeletion on an owner reference"),
        (of(json!({"uid": "other"})), "node n1 UID mismatch: expected other got "),
        (owned(json!({"serviceAccountName": "account"})), &*format!("{reference} \"serviceaccounts\"")),
        (owned(json!({"imagePullSecrets": [{"name": "s"}]})), &*format!("{reference} \"secrets\"")),
        (environment(json!({"secretRef": {"name": "s"}})), &*format!("{reference} \"secrets\"")),
        (environment(json!({"configMapRef": {"name": "s"}})), &*format!("{reference} \"configmaps\"")),
        (owned(json!({"resourceClaims": [{"name": "c", "resourceClaimName": "d"}]})), "reference \"resourceclaims\""),
        (volume(json!({"secret": {"secretName": "s"}})), "reference \"secrets (via secret volumes)\""),
        (volume(json!({"persistentVolumeClaim": {"claimName": "s"}})), "reference \"persistentvolumeclaims\""),
        (volume(json!({"csi": {"driver": "d.example.com"}})), "reference \"csidrivers (via CSI volumes)\""),
        (volume(json!({"azureFile": {"secretName": "s", "shareName": "t"}})), "reference \"secrets\""),
        (projected(token), "reference \"serviceaccounts (via projected volumes)\""),
        (volume(json!({"emptyDir": {}})), ""),
    ] {
        check(&node, Ask::post(PODS, &made), why).await;
    }
    check(
        &node,
        Ask::patch(&format!("{PODS}/mine"), &json!({"metadata": {"labels": {"a": "b"}}})),
        "unexpected operation \"UPDATE\", node \"n1\" can only create and delete mirror pods",
    )
    .await;
    check(&node, Ask::patch(&format!("{PODS}/mine/resize"), &json!({})), "unexpected pod subresource \"resize\"").await;
    let theirs = "node \"n1\" can only delete pods with spec.nodeName set to itself";
    check(&node, Ask::delete(&format!("{PODS}/theirs")), theirs).await;
    check(&node, Ask::delete(PODS).query("labelSelector=!none"), theirs).await;
    server.json(Ask::get(&format!("{PODS}/theirs"))).await;
    check(&node, Ask::delete(&format!("{PODS}/m")).query("gracePeriodSeconds=0"), "").await;
}

#[tokio::test]
async fn a_node_says_how_its_own_pods_are() {
    let server = server().await;
    let node = n1(&server);
    let (mine, theirs) = (format!("{PODS}/mine/status"), format!("{PODS}/theirs/status"));
    let running = json!({"status": {"phase": "Running"}});
    for (path, patch, why) in [
        (&theirs, running.clone(), "node \"n1\" can only update pod status for pods with spec.nodeName set to itself"),
        (
            &mine,
            json!({"metadata": {"labels": {"app": "bait"}}}),
            "node \"n1\" cannot update labels through pod status",
        ),
        (
            &mine,
            json!({"status": {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "theirs"}]}}),
            "node \"n1\" cannot update resource claim statues",
        ),
        (
            &mine,
            json!({"status": {"extendedResourceClaimStatus": {"resourceClaimName": "x", "requestMappings": []}}}),
            "node \"n1\" cannot update extended resource claim status",
        ),
        (&mine, running, ""),
    ] {
        check(&node, Ask::patch(path, &patch), why).await;
    }
    for (name, why) in [
        ("theirs", "node n1 can only evict pods with spec.nodeName set to itself"),
        ("none", "not found"),
        ("mine", ""),
    ] {
        let eviction = json!({"metadata": {"name": name}});
        check(&node, Ask::post(&format!("{PODS}/{name}/eviction"), &eviction), why).await;
    }
    server.json(Ask::post(PODS, &pod("free", ""))).await;
    let binding = json!({"metadata": {"name": "free"}, "target": {"kind": "Node", "name": "n1"}});
    check(&node, Ask::post(&format!("{PODS}/free/binding"), &binding), "unexpected pod subresource \"binding\"").await;
}

#[tokio::test]
async fn a_node_gets_tokens_for_its_pods_only() {
    let server = server().await;
    let node = n1(&server);
    let uid = async |name: &str| server.json(Ask::get(&format!("{PODS}/{name}"))).await["metadata"]["uid"].clone();
    let (mine, theirs) = (uid("mine").await, uid("theirs").await);
    let bound =
        |reference: Value, audiences: Value| json!({"spec": {"boundObjectRef": reference, "audiences": audiences}});
    let to = |name: &str, uid: &Value| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
    let none = || json!([]);
    let unbound = "node requested token not bound to a pod";
    for (request, why) in [
        (json!({"spec": {}}), unbound),
        (bound(json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": mine}), none()), unbound),
        (bound(json!({"apiVersion": "v2", "kind": "Pod", "name": "mine", "uid": mine}), none()), unbound),
        (bound(json!({"apiVersion": "v1", "kind": "Pod", "name": "mine"}), none()), "a pod binding without a uid"),
        (bound(to("mine", &theirs), none()), "does not match the UID in record"),
        (bound(to("theirs", &theirs), none()), "node requested token bound to a pod scheduled on a different node"),
        (bound(to("none", &mine), none()), "not found"),
        (bound(to("../default/mine", &mine), none()), "not found"),
        (bound(to("mine", &mine), json!(["a", "vault"])), "node may only request 0 or 1 audiences"),
        (
            bound(to("mine", &mine), json!(["bank"])),
            "audience \"bank\" not found in pod spec volume, system:node:n1 is not",
        ),
        (bound(to("mine", &mine), json!(["vault"])), ""),
        (bound(to("mine", &mine), none()), ""),
    ] {
        check(&node, Ask::post("/api/v1/namespaces/default/serviceaccounts/account/token", &request), why).await;
    }
}

#[tokio::test]
async fn a_nodes_lease_and_its_like_have_its_name() {
    let server = server().await;
    let node = n1(&server);
    let named = |name: &str| json!({"metadata": {"name": name}, "spec": {}});
    let other = "can only access node lease with the same name as the requesting node";
    check(&node, Ask::post(LEASES, &named("n2")), other).await;
    check(&node, Ask::post(LEASES, &json!({"metadata": {"generateName": "n1"}, "spec": {}})), other).await;
    check(&node, Ask::put(&format!("{LEASES}/n2"), &named("n2")), other).await;
    check(&node, Ask::post(LEASES, &named("n1")), "").await;
    check(&node, Ask::patch(&format!("{LEASES}/n1"), &json!({"spec": {"holderIdentity": "n1"}})), "").await;
    let elsewhere = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    check(
        &node,
        Ask::post(elsewhere, &named("n1")),
        "can only access leases in the \"kube-node-lease\" system namespace",
    )
    .await;
    check(&node, Ask::delete(&format!("{LEASES}/n1")), "").await;
    let drivers = |name: &str| json!({"metadata": {"name": name}, "spec": {"drivers": []}});
    check(&node, Ask::post(CSI_NODES, &drivers("n2")), "can only access CSINode with the same name").await;
    check(&node, Ask::post(CSI_NODES, &drivers("n1")), "").await;
    let slice = |name: &str, node: &str| {
        json!({"metadata": {"name": name}, "spec": {"nodeName": node, "driver": "d.example.com",
        "pool": {"name": node, "generation": 1, "resourceSliceCount": 1}}})
    };
    let new = "can only create ResourceSlice with the same NodeName as the requesting node";
    check(&node, Ask::post(SLICES, &slice("s2", "n2")), new).await;
    check(&node, Ask::post(SLICES, &slice("s1", "n1")), "").await;
    server.json(Ask::post(SLICES, &slice("s2", "n2"))).await;
    check(&node, Ask::delete(SLICES).query("fieldSelector=spec.nodeName%3Dn1"), "").await;
    check(&node, Ask::delete(SLICES), "can only delete ResourceSlice with the same NodeName as the requesting node")
        .await;
}

#[tokio::test]
async fn of_a_claim_a_node_says_how_large_it_is() {
    let server = server().await;
    let node = n1(&server);
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    server.json(Ask::post(CLAIMS, &claim)).await;
    let status = format!("{CLAIMS}/c/status");
    let why = "is not allowed to update fields other than status.quantity and status.conditions";
    for (patch, why) in [
        (json!({"metadata": {"labels": {"a": "b"}}}), why),
        (json!({"metadata": {"finalizers": ["example.com/a"]}}), why),
        (json!({"status": {"phase": "Bound"}}), why),
        (json!({"status": {"capacity": {"storage": "2Gi"}}}), ""),
    ] {
        check(&node, Ask::patch(&status, &patch), why).await;
    }
    check(&node, Ask::patch(&format!("{CLAIMS}/c"), &json!({})), "may only update PVC status").await;
    check(&node, Ask::delete(&format!("{CLAIMS}/c")), "may only update PVC status").await;
}

#[tokio::test]
async fn a_node_asks_for_certificates_in_its_own_name() {
    let server = server().await;
    let node = n1(&server);
    let request = |name: &str, signer: &str| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        parameters.distinguished_name.push(DnType::CommonName, name);
        let pem = parameters.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        use base64::Engine as _;
        json!({"metadata": {"generateName": "r-"}, "spec": {"signerName": signer, "usages": ["digital signature", "client auth"],
            "request": base64::engine::general_purpose::STANDARD.encode(pem)}})
    };
    let client = "kubernetes.io/kube-apiserver-client-kubelet";
    let why = "can only create a node CSR with CN=system:node:n1";
    check(&node, Ask::post(SIGNING, &request("system:node:n2", client)), why).await;
    check(&node, Ask::post(SIGNING, &request("system:node:N1", "kubernetes.io/kubelet-serving")), why).await;
    check(&node, Ask::post(SIGNING, &request("system:node:n1", client)), "").await;
    check(&node, Ask::post(SIGNING, &request("anybody", "example.com/signer")), "").await;
}

#[tokio::test]
async fn a_node_asks_for_certificates_of_its_pods() {
    let server = server().await;
    let node = n1(&server);
    let uid = async |path: &str| server.json(Ask::get(path)).await["metadata"]["uid"].clone();
    let (n1, n2) = (uid(&format!("{NODES}/n1")).await, uid(&format!("{NODES}/n2")).await);
    let (mine, theirs) = (uid(&format!("{PODS}/mine")).await, uid(&format!("{PODS}/theirs")).await);
    let account = uid("/api/v1/namespaces/default/serviceaccounts/account").await;
    let request = |changes: Value| {
        let mut spec = json!({"nodeName": "n1", "nodeUID": n1, "podName": "mine", "podUID": mine,
            "serviceAccountName": "account", "serviceAccountUID": account, "signerName": "example.com/signer",
            "stubPKCS10Request": ""});
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"metadata": {"name": "r"}, "spec": spec})
    };
    let refusal = async |changes: Value| {
        let status = node.refusal(Ask::post(POD_CERTIFICATES, &request(changes))).await;
        (status.code, status.message)
    };
    for (changes, code, why) in [
        (json!({"nodeName": "n2", "nodeUID": n2}), 403, "which is not the requesting node \"n1\""),
        (json!({"nodeUID": "x"}), 500, "inconsistent with the running node"),
        (json!({"podName": "none"}), 500, "pod \"none\" not found"),
        (json!({"podUID": theirs}), 500, "which differs from running pod"),
        (json!({"podName": "theirs", "podUID": theirs}), 403, "is not running on node \"n1\""),
        (json!({"serviceAccountName": "other"}), 403, "that differs from running pod (\"account\")"),
        (json!({"serviceAccountUID": "x"}), 500, "which differs from the running service account"),
        (json!({}), 403, "does not mount a podCertificate projected volume for signer \"example.com/signer\""),
    ] {
        let (found, message) = refusal(changes.clone()).await;
        assert!(found == code && message.contains(why), "{changes}: {found} {message}");
    }
}
