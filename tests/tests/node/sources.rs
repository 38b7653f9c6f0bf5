//! Where a node's pods, volumes and identity come from, what it says of itself, and that nothing of it is left.

use serde_json::json;
use tests::machine::ADDRESS;
use tests::node::{NAME, Node, User};

use crate::{is_possible, pod, until};

#[test]
fn a_node_has_pods_of_its_own_and_leaves_nothing() {
    if !is_possible() {
        return;
    }
    let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = files.path().to_string_lossy().into_owned();
    let write = |says: &str| {
        let mut manifest = pod("own", &format!("echo {says}; exec sleep 1234"), json!({}), json!({}));
        manifest["metadata"]["namespace"] = "sources".into();
        // A file is there at once, and whole.
        let (unseen, seen) = (files.path().join(".own.json"), files.path().join("own.json"));
        std::fs::write(&unseen, manifest.to_string()).expect("it can be written");
        std::fs::rename(unseen, seen).expect("it can be renamed");
    };
    write("one");
    let mut node = Node::up_with(&["--pod-manifest-path", &path]);
    {
        let user = User::of(&node, "sources");
        mirrors(&user, &write);
        claims(&user);
        says_how_it_is(&user);
        std::fs::remove_file(files.path().join("own.json")).expect("it is there");
        user.ok(&format!("wait pod/own-{NAME} --for=delete --timeout=60s"));
        user.apply(&pod("left", "exec sleep 1234", json!({}), json!({})));
        user.wait("pod/left", "condition=Ready");
    }
    leaves_nothing(&mut node);
}

/// A pod in a file runs, is seen, cannot be deleted by the API, and follows its file.
fn mirrors(user: &User<'_>, write: &dyn Fn(&str)) {
    let mirror = format!("pod/own-{NAME}");
    let container = |user: &User<'_>| user.get(&mirror, ".status.containerStatuses[0].containerID");
    user.ok(&format!("wait {mirror} --for=create --timeout=60s"));
    user.wait(&mirror, "condition=Ready");
    user.until(&format!("logs {mirror}"), |said| said == "one\n");
    assert_eq!(user.get(&mirror, ".metadata.annotations.kubernetes\\.io/config\\.source"), "file");
    let before = (container(user), user.get(&mirror, ".metadata.uid"));
    user.ok(&format!("delete {mirror} --wait=false"));
    until("its mirror is gone", || !user.get("pods", ".items[*].metadata.uid").contains(&before.1));
    user.ok(&format!("wait {mirror} --for=create --timeout=60s"));
    user.wait(&mirror, "condition=Ready");
    assert_eq!(container(user), before.0, "deleting the mirror has restarted the pod");
    write("two");
    let logs = || user.command(&format!("logs {mirror}")).output().expect("kubectl runs").stdout;
    until("the file's pod runs", || logs() == b"two\n");
    user.wait(&mirror, "condition=Ready");
    assert_ne!(container(user), before.0);
}

/// The directory of the node that a claim is bound to has what pods before have left in it.
fn claims(user: &User<'_>) {
    let modes = json!(["ReadWriteOnce"]);
    user.apply(&json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "sources"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": modes, "storageClassName": "by-hand",
        "hostPath": {"path": "/run/claimed", "type": "DirectoryOrCreate"},
    }}));
    // Bound by hand: nothing in this cluster does that.
    user.apply(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "claim", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"accessModes": modes, "storageClassName": "by-hand", "volumeName": "sources",
            "resources": {"requests": {"storage": "1Gi"}}},
    }));
    let uid = user.get("pvc/claim", ".metadata.uid");
    let reference = json!({"spec": {"claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": "claim",
        "namespace": user.namespace(), "uid": uid}}});
    user.ok(&format!("patch pv sources -p '{reference}'"));
    for object in ["pv sources", "pvc claim"] {
        user.ok(&format!("patch {object} --subresource=status -p '{}'", json!({"status": {"phase": "Bound"}})));
    }
    let container = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let spec =
        json!({"restartPolicy": "Never", "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}]});
    for (name, script) in [("writes", "echo kept > /v/file"), ("reads", "cat /v/file")] {
        user.apply(&pod(name, script, container.clone(), spec.clone()));
        user.wait(&format!("pod/{name}"), "jsonpath={.status.phase}=Succeeded");
    }
    user.until("logs reads", |said| said == "kept\n");
    user.ok("delete pod writes reads");
}

/// The node's server answers those who may ask, and nobody else.
fn says_how_it_is(user: &User<'_>) {
    let raw = |path: &str| user.ok(&format!("get --raw /api/v1/nodes/{NAME}/proxy/{path}"));
    let check = |path: &str, expected: &str| {
        let answer = raw(path);
        assert!(answer.contains(expected), "{path}: {expected} is not in {answer}");
    };
    assert_eq!(raw("healthz"), "ok");
    check("pods", "\"PodList\"");
    check("pods", &format!("own-{NAME}"));
    check("stats/summary", &format!("\"nodeName\":\"{NAME}\""));
    check("stats/summary", "workingSetBytes");
    check("metrics", "kubelet_running_pods");
    check("metrics/resource", "pod_cpu_usage_seconds_total");
    check("metrics/cadvisor", "container_memory_working_set_bytes");
    let probed = json!({"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}});
    user.apply(&pod("probed", "exec sleep 1000", probed, json!({})));
    user.wait("pod/probed", "condition=Ready");
    until("a probe is counted", || raw("metrics/probes").contains("probe_type=\"Liveness\""));
    user.ok("delete pod probed");
    let node =
        format!("--kubeconfig=/dev/null --server=https://{ADDRESS}:10250 --insecure-skip-tls-verify --token=guessed");
    let refused = user.fails(&format!("{node} get --raw /pods"));
    assert!(refused.contains("Unauthorized") || refused.contains("must be logged in"), "{refused}");
}

/// After `gantry reset` there is no process, no mount, no network and no cgroup of the node's.
fn leaves_nothing(node: &mut Node) {
    node.kill();
    let cgroup = format!("/{}", node.machine().cgroup());
    // What was killed may take a moment to be gone.
    until("gantry is gone", || !node.run("pgrep", &["-x", "gantry"]).status.success());
    let output = node.gantry(&["reset", "--cgroup-root", &cgroup]).output().expect("gantry runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let seen =
        |program: &str, arguments: &[&str]| String::from_utf8_lossy(&node.run(program, arguments).stdout).into_owned();
    let processes = seen("ps", &["axo", "args"]);
    for left in ["sleep 1234", "containerd", "pause"] {
        assert!(!processes.contains(left), "{left} goes on after {said}: {processes}");
    }
    let mounts = seen("cat", &["/proc/mounts"]);
    let data = node.data().to_string_lossy().into_owned();
    for left in [&*data, "/run/netns", "/run/gantry"] {
        assert!(!mounts.contains(left), "{left} is mounted after {said}: {mounts}");
    }
    let cards = seen("ip", &["-brief", "link"]);
    assert!(cards.lines().all(|line| ["lo ", "eth0", "uplink"].iter().any(|known| line.starts_with(known))), "{cards}");
    let routes = seen("sh", &["-c", "ip route; ip -6 route; nft list tables 2>/dev/null"]);
    assert!(!routes.contains("proto 103") && !routes.contains("gantry-network"), "{routes}");
    assert_eq!(seen("sh", &["-c", "ls /var/log/pods /var/log/containers 2>/dev/null | grep left"]), "");
}

/// A machine joins with a kubeconfig of somebody who may ask for certificates, and goes on with its own.
#[test]
fn a_machine_joins_with_a_certificate_of_its_own() {
    if !is_possible() {
        return;
    }
    let mut node = Node::joined();
    let user = User::of(&node, "joins");
    user.wait(&format!("node/{NAME}"), "condition=Ready");
    let own = node.own_kubeconfig().to_string_lossy().into_owned();
    let who = user.ok(&format!("--kubeconfig={own} auth whoami -o 'jsonpath={{.status.userInfo.username}}'"));
    assert_eq!(who, format!("system:node:{NAME}"));
    user.apply(&pod("runs", "echo hello; exec sleep 1000", json!({}), json!({})));
    user.wait("pod/runs", "condition=Ready");
    let requests = || user.ok("get csr -o 'jsonpath={.items[*].spec.signerName}'");
    for signer in ["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"] {
        until(signer, || requests().contains(signer));
    }
    // The address is the API server's, too: whether it may serve there is for an administrator to say.
    let names = user.ok("get csr -o name");
    user.ok(&format!("certificate approve {}", names.split_whitespace().collect::<Vec<_>>().join(" ")));
    until("the node's server is trusted", || user.command("logs runs").output().is_ok_and(|it| it.status.success()));
    user.until("logs runs", |said| said == "hello\n");
    let before = user.get("pod/runs", ".status.containerStatuses[0].containerID");
    node.rejoin();
    let user = User::known(&node, "joins");
    user.wait("pod/runs", "condition=Ready");
    assert_eq!(user.get("pod/runs", ".status.containerStatuses[0].containerID"), before);
    assert_eq!(user.ok("exec runs -- echo well"), "well\n");
    assert_eq!(user.ok("get csr -o name"), names, "it asked for certificates that it has");
}
