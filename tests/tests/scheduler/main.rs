//! What users are promised of the scheduler, through the real kubectl: where pods go, what is said of those that go
//! nowhere, and what brings these back.

mod configured;

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::kubectl::Kubectl;
use tests::priorities::{class, class_of};
use tests::server::Backing;

pub(crate) type User = Kubectl<Cluster>;

/// How long anything may take.
const WITHIN: &str = "--timeout=120s";

/// Runs kubectl, which has to succeed.
pub(crate) fn run(user: &User, line: &str) -> String {
    let output = user.output(line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {line}: {text}{error}");
    text
}

/// Makes a pod with what its spec says besides one container.
pub(crate) fn create(user: &User, name: &str, labels: Value, spec: Value) {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "c"}]},
    });
    if let (Some(target), Value::Object(fields)) = (pod["spec"].as_object_mut(), spec) {
        target.extend(fields);
    }
    let file = format!("{name}.json");
    user.file(&file, &pod.to_string());
    run(user, &format!("create -f {file}"));
}

fn requesting(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "c", "resources": {"requests": {"cpu": cpu}}}]})
}

pub(crate) fn goes_to(user: &User, pod: &str, node: &str) {
    run(user, &format!("wait pod/{pod} --for=jsonpath={{.spec.nodeName}}={node} {WITHIN}"));
}

/// Waits until the pod waits, and returns why.
pub(crate) fn waits(user: &User, pod: &str) -> String {
    run(user, &format!("wait pod/{pod} --for=condition=PodScheduled=False {WITHIN}"));
    // A pod that waits has no other condition.
    run(user, &format!("get pod {pod} -o jsonpath={{.status.conditions[0].message}}"))
}

fn event(user: &User, reason: &str, pod: &str) -> String {
    let fields = format!("reason={reason},involvedObject.name={pod}");
    // Events are written when there is time.
    run(user, &format!("wait events --field-selector {fields} --for=jsonpath={{.reason}}={reason} {WITHIN}"));
    run(user, &format!("get events --field-selector {fields} -o jsonpath={{.items[0].message}}"))
}

#[test]
fn pods_go_where_they_may_and_say_why_they_wait() {
    let user = Kubectl::to(Cluster::up(Backing::Embedded, 3));
    what_is_lacking(&user);
    taints(&user);
    labels(&user);
    gates(&user);
    near_and_far(&user);
    volumes(&user);
    preemption(&user);
}

fn what_is_lacking(user: &User) {
    create(user, "large", json!({}), requesting("1000"));
    let expected = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 Preemption is not \
                    helpful for scheduling.";
    assert_eq!(waits(user, "large"), expected);
    assert_eq!(event(user, "FailedScheduling", "large"), expected);
    create(user, "small", json!({}), json!({}));
    run(user, &format!("wait pod/small --for=condition=Ready {WITHIN}"));
    let node = run(user, "get pod small -o jsonpath={.spec.nodeName}");
    assert_eq!(event(user, "Scheduled", "small"), format!("Successfully assigned default/small to {node}"));
    run(user, "delete pod large small");
}

fn taints(user: &User) {
    run(user, "taint node --all a=b:NoSchedule");
    create(user, "tainted", json!({}), json!({}));
    let message = waits(user, "tainted");
    assert!(message.starts_with("0/3 nodes are available: 3 node(s) had untolerated taint(s)."), "{message}");
    create(user, "tolerant", json!({}), json!({"tolerations": [{"key": "a", "operator": "Exists"}]}));
    run(user, &format!("wait pod/tolerant --for=condition=Ready {WITHIN}"));
    run(user, "taint node hollow-1 a-");
    goes_to(user, "tainted", "hollow-1");
    run(user, "taint node hollow-0 hollow-2 a-");
    run(user, "delete pod tainted tolerant");
    run(user, "cordon hollow-0 hollow-1 hollow-2");
    create(user, "cordoned", json!({}), json!({}));
    let message = waits(user, "cordoned");
    assert!(message.starts_with("0/3 nodes are available: 3 node(s) were unschedulable."), "{message}");
    run(user, "uncordon hollow-2");
    goes_to(user, "cordoned", "hollow-2");
    run(user, "uncordon hollow-0 hollow-1");
    run(user, "delete pod cordoned");
}

fn labels(user: &User) {
    create(user, "choosy", json!({}), json!({"nodeSelector": {"disk": "fast"}}));
    let message = waits(user, "choosy");
    assert!(
        message.starts_with("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."),
        "{message}"
    );
    run(user, "label node hollow-0 disk=fast");
    goes_to(user, "choosy", "hollow-0");
    run(user, "label node hollow-0 disk-");
    run(user, "delete pod choosy");
}

fn gates(user: &User) {
    create(user, "gated", json!({}), json!({"schedulingGates": [{"name": "example.com/later"}]}));
    assert_eq!(waits(user, "gated"), "Scheduling is blocked due to non-empty scheduling gates");
    let shown = run(user, "get pod gated --no-headers");
    assert!(shown.contains("SchedulingGated"), "{shown}");
    user.file("free.yaml", "spec:\n  schedulingGates: null\n");
    run(user, "patch pod gated --patch-file free.yaml");
    run(user, &format!("wait pod/gated --for=condition=Ready {WITHIN}"));
    run(user, "delete pod gated");
}

fn near_and_far(user: &User) {
    let far = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "far"}}},
    ]}}});
    let names = ["far-0", "far-1", "far-2", "far-3"];
    for name in &names[..3] {
        create(user, name, json!({"app": "far"}), far.clone());
        run(user, &format!("wait pod/{name} --for=condition=Ready {WITHIN}"));
    }
    let nodes = run(user, "get pods -l app=far -o jsonpath={.items[*].spec.nodeName}");
    let mut nodes: Vec<&str> = nodes.split(' ').collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["hollow-0", "hollow-1", "hollow-2"]);
    create(user, names[3], json!({"app": "far"}), far);
    let message = waits(user, names[3]);
    assert!(
        message.starts_with("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."),
        "{message}"
    );
    let node = run(user, "get pod far-1 -o jsonpath={.spec.nodeName}");
    run(user, "delete pod far-1");
    goes_to(user, names[3], &node);
    run(user, "delete pod -l app=far");
}

/// A pod waits for its claim, and goes where the claim's volume is.
fn volumes(user: &User) {
    let volume = json!({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]});
    create(user, "stateful", json!({}), volume);
    let message = waits(user, "stateful");
    let expected = "0/3 nodes are available: persistentvolumeclaim \"data\" not found.";
    assert!(message.starts_with(expected), "{message}");
    let on_node =
        json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["hollow-2"]}]});
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "local": {"path": "/disk"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [on_node]}},
        "claimRef": {"namespace": "default", "name": "data"},
    }});
    user.file("volume.json", &volume.to_string());
    run(user, "create -f volume.json");
    // As whoever binds claims leaves it.
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "volumeName": "disk",
        "resources": {"requests": {"storage": "1Gi"}},
    }});
    user.file("claim.json", &claim.to_string());
    run(user, "create -f claim.json");
    goes_to(user, "stateful", "hollow-2");
    what_is_used_stays(user);
}

/// The claim of a pod, and the volume that it is bound to, are deleted, and go when nobody uses them any longer.
fn what_is_used_stays(user: &User) {
    let is_going = |object: &str, finalizer: &str| {
        let held = run(user, &format!("get {object} -o jsonpath={{.metadata.finalizers}}"));
        assert_eq!(held, format!("[\"kubernetes.io/{finalizer}\"]"));
        let shown = run(user, &format!("get {object} --no-headers"));
        assert!(shown.contains("Terminating"), "{shown}");
    };
    let phase = |phase: &str| {
        let patch = json!({"status": {"phase": phase}});
        run(user, &format!("patch pv disk --subresource=status -p '{patch}'"));
    };
    phase("Bound");
    run(user, "delete pvc data --wait=false");
    run(user, "delete pv disk --wait=false");
    // By the time that others are gone these have been looked at, too.
    for name in ["spare", "last"] {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        let meta = json!({"name": name});
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec});
        user.file("spare.json", &claim.to_string());
        run(user, "create -f spare.json");
        run(user, &format!("delete pvc {name} {WITHIN}"));
    }
    is_going("pvc/data", "pvc-protection");
    is_going("pv/disk", "pv-protection");
    let described = run(user, "describe pvc data");
    assert!(described.contains("Terminating (lasts "), "{described}");
    assert!(described.contains("Finalizers:    [kubernetes.io/pvc-protection]"), "{described}");
    assert!(described.contains("Used By:       stateful"), "{described}");
    run(user, "delete pod stateful");
    run(user, &format!("wait pvc/data --for=delete {WITHIN}"));
    is_going("pv/disk", "pv-protection");
    phase("Released");
    run(user, &format!("wait pv/disk --for=delete {WITHIN}"));
}

/// The important pod takes the room of the one that no budget protects.
fn preemption(user: &User) {
    let cpu = run(user, "get node hollow-0 -o jsonpath={.status.allocatable.cpu}");
    let wanting_all = |priority: i32, node: Option<&str>| {
        let mut spec = requesting(&cpu);
        spec["priorityClassName"] = json!(class_of(priority));
        if let Some(node) = node {
            spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        }
        spec
    };
    for priority in [1, 10, 1000, 5000] {
        user.file("class.json", &class(priority).to_string());
        run(user, "create -f class.json");
    }
    for (name, node, app) in [("kept", "hollow-0", "kept"), ("lost", "hollow-1", "lost"), ("high", "hollow-2", "high")]
    {
        let priority = if name == "high" { 5000 } else { 10 };
        create(user, name, json!({"app": app}), wanting_all(priority, Some(node)));
        run(user, &format!("wait pod/{name} --for=condition=Ready {WITHIN}"));
    }
    run(user, "create poddisruptionbudget kept --selector=app=kept --min-available=1");
    run(user, &format!("wait poddisruptionbudget/kept --for=jsonpath={{.status.currentHealthy}}=1 {WITHIN}"));
    create(user, "important", json!({}), wanting_all(1000, None));
    goes_to(user, "important", "hollow-1");
    run(user, &format!("wait pod/lost --for=delete {WITHIN}"));
    run(user, "get pods kept high");
    let uid = run(user, "get pod important -o jsonpath={.metadata.uid}");
    assert_eq!(event(user, "Preempted", "lost"), format!("Preempted by pod {uid} on node hollow-1"));
    create(user, "late", json!({}), wanting_all(1, None));
    let expected = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption \
                    victims found for incoming pod.";
    assert_eq!(waits(user, "late"), expected);
}
