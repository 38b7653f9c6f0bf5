//! Causes, as data.

use jiff::tz::TimeZone;
use serde_json::json;

use super::*;

/// The facts of an object: the kind, the object, and others.
fn facts(kind: &str, object: Value, related: Value) -> Facts {
    let related = related.as_object().into_iter().flatten();
    Facts {
        kind: kind.to_owned(),
        object,
        related: related.map(|(name, objects)| (name.clone(), list(objects).to_vec())).collect(),
        last_lines: BTreeMap::new(),
        clock: Clock { now: "2026-01-02T00:10:00Z".parse().unwrap(), zone: TimeZone::UTC },
    }
}

#[track_caller]
fn check(kind: &str, object: Value, related: Value, cause: &str) -> Explanation {
    let explanation = explain(&facts(kind, object, related));
    assert_eq!(explanation.cause, cause);
    explanation
}

fn pod(spec: Value, status: Value) -> Value {
    json!({"metadata": {"name": "a", "namespace": "n", "uid": "u"}, "spec": spec, "status": status})
}

fn event(reason: &str, message: &str) -> Value {
    json!({"type": "Warning", "reason": reason, "message": message, "involvedObject": {"name": "a", "uid": "u"},
        "lastTimestamp": "2026-01-02T00:09:00Z", "count": 3})
}

fn container(state: Value, last: Value) -> Value {
    json!({"containerStatuses": [{"name": "c", "image": "reg/x:1", "state": state, "lastState": last, "restartCount": 3}]})
}

#[test]
fn pods_without_a_node() {
    let unscheduled = |message: &str| {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        pod(json!({"volumes": [{"persistentVolumeClaim": {"claimName": "d"}}]}), json!({"conditions": [condition]}))
    };
    let said = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available.";
    let explanation = check(
        "Pod",
        unscheduled(said),
        json!({}),
        "pod/a has no node because none of 2 fits: 2 have too little cpu left.",
    );
    assert_eq!(explanation.evidence, [format!("condition PodScheduled=False (Unschedulable): {said}")]);
    assert!(explanation.next[0].starts_with("request less cpu"));
    check(
        "Pod",
        unscheduled("0/2 nodes are available: persistentvolumeclaim \"d\" not found. preemption: ..."),
        json!({}),
        "pod/a has no node because its claim \"d\" is not there.",
    );
    check(
        "Pod",
        unscheduled("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        json!({}),
        "pod/a has no node because a claim of it has no volume yet (d).",
    );
    check("Pod", pod(json!({}), json!({})), json!({}), "pod/a has no node yet, and no scheduler has said why.");
    check(
        "Pod",
        pod(json!({"schedulingGates": [{"name": "x/y"}]}), json!({})),
        json!({}),
        "pod/a is held back by its scheduling gates: x/y.",
    );
}

#[test]
fn containers_that_cannot_start() {
    let waiting = |reason: &str, message: &str| {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        pod(json!({"nodeName": "m"}), container(state, json!({})))
    };
    let check_one = |reason: &str, message: &str, events: Value, cause: &str| {
        check("Pod", waiting(reason, message), json!({"events": events}), cause);
    };
    let image = |why: &str| format!("pod/a cannot start because its image reg/x:1 is not to be had: {why}.");
    check_one(
        "ImagePullBackOff",
        "Back-off",
        json!([event("Failed", "reg/x:1: not found")]),
        &image("the registry does not have it"),
    );
    check_one("ErrImagePull", "401 Unauthorized", json!([]), &image("the registry does not let us have it"));
    check_one("ErrImagePull", "dial: no such host", json!([]), &image("the registry cannot be reached"));
    check_one("InvalidImageName", "", json!([]), &image("its name is none"));
    check_one(
        "CreateContainerConfigError",
        "configmap \"k\" not found",
        json!([]),
        "pod/a cannot start because its ConfigMap \"k\" is not there.",
    );
    check_one(
        "CreateContainerConfigError",
        "secret \"k\" not found",
        json!([]),
        "pod/a cannot start because its Secret \"k\" is not there.",
    );
    check_one(
        "CreateContainerConfigError",
        "couldn't find key p in Secret n/k",
        json!([]),
        "pod/a cannot start because its Secret \"k\" has no key \"p\".",
    );
    check_one(
        "ContainerCreating",
        "",
        json!([event("FailedMount", "MountVolume.SetUp failed for volume \"v\" : configmap \"k\" not found")]),
        "pod/a cannot start because its ConfigMap \"k\" is not there.",
    );
    check_one(
        "RunContainerError",
        "exec: no such file",
        json!([]),
        "pod/a cannot start its container c: exec: no such file.",
    );
}

#[test]
fn containers_that_crash() {
    let crashing = |end: Value| {
        let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}});
        let spec = json!({"nodeName": "m", "containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}}]});
        pod(spec, container(state, json!({"terminated": end})))
    };
    let begin = "pod/a crashes again and again: container c:";
    check(
        "Pod",
        crashing(json!({"exitCode": 1, "reason": "Error"})),
        json!({}),
        &format!("{begin} it ends with exit code 1."),
    );
    check(
        "Pod",
        crashing(json!({"exitCode": 137, "reason": "OOMKilled"})),
        json!({}),
        &format!("{begin} it ran out of memory (its limit is 64Mi)."),
    );
    check(
        "Pod",
        crashing(json!({"exitCode": 127})),
        json!({}),
        &format!("{begin} its command is not in the image (exit code 127)."),
    );
    check(
        "Pod",
        crashing(json!({"exitCode": 0})),
        json!({}),
        &format!("{begin} it ends by itself, with exit code 0, though it is to go on."),
    );
    check(
        "Pod",
        crashing(json!({"exitCode": 137})),
        json!({"events": [event("Unhealthy", "Liveness probe failed: 500")]}),
        &format!("{begin} its liveness probe fails, so that it is killed (Liveness probe failed: 500)."),
    );
    let mut with_log = facts("Pod", crashing(json!({"exitCode": 2})), json!({}));
    with_log.last_lines.insert("c".to_owned(), "panic: no database".to_owned());
    assert!(explain(&with_log).evidence.contains(&"last line of c: panic: no database".to_owned()));
}

#[test]
fn pods_that_run_and_are_not_ready() {
    let running = |conditions: Value, gates: Value, ready: bool| {
        pod(
            json!({"nodeName": "m", "readinessGates": gates}),
            json!({"phase": "Running", "conditions": conditions,
                "containerStatuses": [{"name": "c", "ready": ready, "started": true, "state": {"running": {}}}]}),
        )
    };
    check(
        "Pod",
        running(json!([]), json!([]), false),
        json!({"events": [event("Unhealthy", "Readiness probe failed: 503")]}),
        "pod/a is not ready because container c fails its readiness probe: Readiness probe failed: 503.",
    );
    check(
        "Pod",
        running(json!([]), json!([{"conditionType": "x/g"}]), true),
        json!({}),
        "pod/a is not ready because its readiness gate x/g is not open.",
    );
    check(
        "Pod",
        running(json!([{"type": "Ready", "status": "True"}]), json!([]), true),
        json!({}),
        "pod/a is running and ready: nothing is wrong with it.",
    );
    check("Pod", running(json!([]), json!([]), true), json!({"nodes": []}), "pod/a is on node m, which is gone.");
}

#[test]
fn pods_that_do_not_end() {
    let ending = |finalizers: Value, node: &str| {
        json!({"metadata": {"name": "a", "uid": "u", "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": finalizers},
            "spec": {"nodeName": node}, "status": {"phase": "Running"}})
    };
    check("Pod", ending(json!([]), "m"), json!({"nodes": []}), "pod/a cannot end because its node m is gone.");
    let node = json!({"metadata": {"name": "m"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    check(
        "Pod",
        ending(json!([]), "m"),
        json!({"nodes": [node]}),
        "pod/a cannot end because its node m does not answer.",
    );
    check("Pod", ending(json!(["x/f"]), ""), json!({}), "pod/a is deleted but kept by its finalizers: x/f.");
    check(
        "Pod",
        ending(json!([]), "m"),
        json!({}),
        "pod/a should have ended, but its node has not said that its containers are gone.",
    );
    check(
        "ConfigMap",
        ending(json!(["x/f"]), ""),
        json!({}),
        "configmap/a is deleted but kept by its finalizers: x/f.",
    );
}

#[test]
fn services_that_lead_nowhere() {
    let service = |selector: Value, target: Value| json!({"metadata": {"name": "s"}, "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": target}]}});
    let web = json!({"metadata": {"name": "a", "uid": "u", "labels": {"app": "web"}},
        "spec": {"containers": [{"ports": [{"name": "http"}]}]}, "status": {}});
    let explanation = check(
        "Service",
        service(json!({"app": "webb"}), json!(80)),
        json!({"pods": [web]}),
        "service/s has no endpoints because its selector app=webb matches no pod.",
    );
    assert_eq!(explanation.evidence, ["nearest: pod/a has app=web instead of app=webb"]);
    check(
        "Service",
        service(json!({"app": "web"}), json!("htp")),
        json!({"pods": [web]}),
        "service/s has no endpoints for its port 80 because no pod of it has a port with the name \"htp\".",
    );
    check(
        "Service",
        service(json!({"app": "web"}), json!("http")),
        json!({"pods": [web]}),
        "service/s has no endpoints because no pod of it is ready: pod/a has no node yet, and no scheduler has said why.",
    );
    check(
        "Service",
        service(Value::Null, json!(80)),
        json!({}),
        "service/s has no selector, and nobody has given it endpoints.",
    );
    let slice = json!({"ports": [{"name": "", "port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]});
    check(
        "Service",
        service(json!({"app": "web"}), json!(80)),
        json!({"endpointslices": [slice]}),
        "service/s leads to 1 ready endpoints: nothing is wrong with it.",
    );
}

#[test]
fn workloads_that_do_not_get_on() {
    let deployment = |conditions: Value| {
        json!({"metadata": {"name": "d", "uid": "du", "generation": 1},
            "spec": {"replicas": 1, "template": {}}, "status": {"observedGeneration": 1, "conditions": conditions}})
    };
    let quota = "pods \"d-1\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4";
    let failure = json!([{"type": "ReplicaFailure", "status": "True", "message": quota}]);
    check(
        "Deployment",
        deployment(failure),
        json!({}),
        &format!("deployment/d cannot make its pods because the quota q is used up: {quota}."),
    );
    check(
        "Deployment",
        deployment(json!([])),
        json!({}),
        "deployment/d has no ReplicaSet yet, which the controller manager is to make.",
    );
    let owned = |by: &str| json!([{"controller": true, "uid": by}]);
    let set = json!({"metadata": {"name": "d-1", "uid": "ru", "ownerReferences": owned("du")},
        "spec": {"replicas": 1, "template": {}}, "status": {}});
    let pod = json!({"metadata": {"name": "a", "uid": "u", "ownerReferences": owned("ru")}, "spec": {}, "status": {}});
    check(
        "Deployment",
        deployment(json!([])),
        json!({"replicasets": [set], "pods": [pod]}),
        "deployment/d is not available because pod/a has no node yet, and no scheduler has said why.",
    );
    let mut unseen = deployment(json!([]));
    unseen["metadata"]["generation"] = json!(2);
    check("Deployment", unseen, json!({}), "deployment/d was changed, and no controller has seen it yet.");
    let job = json!({"metadata": {"name": "j", "uid": "ju"}, "spec": {}, "status": {"conditions": [
        {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}});
    check("Job", job, json!({}), "job/j failed because it took longer than its activeDeadlineSeconds.");
    check("Job", json!({"metadata": {"name": "j"}, "spec": {"suspend": true}}), json!({}), "job/j is suspended.");
}

#[test]
fn claims_nodes_and_namespaces() {
    let claim = |class: &str| {
        json!({"metadata": {"name": "c", "uid": "u"}, "status": {"phase": "Pending"},
            "spec": {"storageClassName": class, "resources": {"requests": {"storage": "2Gi"}}, "accessModes": ["ReadWriteOnce"]}})
    };
    let small = json!({"metadata": {"name": "v"}, "spec": {"storageClassName": "x", "capacity": {"storage": "1Gi"}}});
    let explanation = check(
        "PersistentVolumeClaim",
        claim("x"),
        json!({"persistentvolumes": [small]}),
        "persistentvolumeclaim/c is pending because its StorageClass \"x\" is not there, and no volume fits it.",
    );
    assert_eq!(explanation.evidence, ["persistentvolume/v has only 1Gi"]);
    let free = json!({"metadata": {"name": "v"}, "spec": {"storageClassName": "x", "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"]}});
    check(
        "PersistentVolumeClaim",
        claim("x"),
        json!({"persistentvolumes": [free]}),
        "persistentvolumeclaim/c is pending though the volume v fits it: nobody has bound them yet.",
    );
    let mut bound = claim("x");
    bound["spec"]["volumeName"] = json!("w");
    check(
        "PersistentVolumeClaim",
        bound,
        json!({"persistentvolumes": []}),
        "persistentvolumeclaim/c is pending because the volume w that it names is not there.",
    );
    let class = json!({"metadata": {"name": "x"}, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer"});
    check(
        "PersistentVolumeClaim",
        claim("x"),
        json!({"storageclasses": [class]}),
        "persistentvolumeclaim/c is pending because its class x waits for a pod that uses it.",
    );
    let node = |status: &str, message: &str| json!({"metadata": {"name": "m"}, "status": {"conditions": [{"type": "Ready", "status": status, "message": message}]}});
    check("Node", node("Unknown", ""), json!({}), "node/m is not ready because its agent has stopped reporting.");
    check("Node", node("False", "no network"), json!({}), "node/m is not ready: no network.");
    check("Node", node("True", ""), json!({}), "node/m is ready: nothing is wrong with it.");
    let namespace = json!({"metadata": {"name": "n", "deletionTimestamp": "2026-01-02T00:00:00Z"}, "status": {"conditions": [
        {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "x/f in 1 resource instances"}]}});
    check(
        "Namespace",
        namespace,
        json!({}),
        "namespace/n has been ending for 10m because objects in it have finalizers: x/f in 1 resource instances.",
    );
    let gadget = json!({"metadata": {"name": "g"}, "status": {"conditions": [
        {"type": "Synced", "status": "False", "message": "no such bucket"}]}});
    check("Gadget", gadget, json!({}), "gadget/g is not Synced: no such bucket.");
}

#[test]
fn an_explanation_is_shown_with_what_shows_it_and_what_comes_next() {
    let explanation = Explanation::new("a is b.").because(["c".to_owned(), "c".to_owned()]).then("d");
    assert_eq!(explanation.text(), "a is b.\n\nEvidence:\n  c\n\nNext:\n  d\n");
    assert_eq!(Explanation::new("fine.").text(), "fine.\n");
}
