//! Pods that mean harm, or want more than there is: they hurt themselves, and neither the node nor its other pods.

use serde_json::json;
use tests::images::archives;
use tests::node::{Node, User};

use crate::{is_possible, pod, run_all};

/// How many processes a pod may have on this node.
const PROCESSES: &str = "120";

#[test]
fn hostile_pods_hurt_only_themselves() {
    if !is_possible() {
        return;
    }
    let node = Node::up_with(&["--pod-max-pids", PROCESSES]);
    run_all(
        &node,
        &[
            ("floods-its-log", floods_its_log),
            ("forks-without-end", forks_without_end),
            ("fills-its-volumes", fills_its_volumes),
            ("swaps-logs", swaps_logs),
            ("escapes-its-volume", escapes_its_volume),
            ("reads-much", reads_much),
            ("is-rejected", is_rejected),
            ("damaged-images", damaged_images),
        ],
    );
    let user = User::of(&node, "afterwards");
    user.apply(&pod("fine", "exec sleep 1000", json!({}), json!({})));
    user.wait("pod/fine", "condition=Ready");
}

/// What a program says on the machine.
fn said(user: &User<'_>, program: &str, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&user.node().run(program, arguments).stdout).into_owned()
}

/// The logs of a container that writes half a gigabyte take no more than what is kept of them.
fn floods_its_log(user: &User<'_>) {
    let line = "0123456789abcdef".repeat(60);
    let script = format!("yes {line} | head -c 536870912; echo; echo the end");
    user.apply(&pod("flood", &script, json!({}), json!({"restartPolicy": "Never"})));
    user.wait("pod/flood", "jsonpath={.status.containerStatuses[0].containerID}");
    let directory = format!("/var/log/pods/{}_flood_{}/c", user.namespace(), user.get("pod/flood", ".metadata.uid"));
    let mut most = 0;
    while user.get("pod/flood", ".status.phase") != "Succeeded" {
        let size = said(user, "du", &["-sm", &directory]);
        most = most.max(size.split_whitespace().next().and_then(|size| size.parse().ok()).unwrap_or(0));
        let lines = user.ok("logs flood --tail=3");
        assert!(lines.lines().count() <= 3, "{lines}");
    }
    // Five files of ten megabytes, and what is written between two looks at the one that grows.
    assert!((1..300).contains(&most), "the logs took {most} MiB");
    assert_eq!(user.ok("logs flood --tail=1"), "the end\n");
}

/// A pod cannot take all processes that the machine has, and can be ended while it tries.
fn forks_without_end(user: &User<'_>) {
    let script = "bomb() { bomb | bomb & }; while :; do bomb; done";
    user.apply(&pod("bomb", script, json!({"resources": {"limits": {"memory": "64Mi", "cpu": "200m"}}}), json!({})));
    user.wait("pod/bomb", "jsonpath={.status.containerStatuses[0].containerID}");
    let uid = user.get("pod/bomb", ".metadata.uid");
    let top = format!("/sys/fs/cgroup/pids/{}/kubepods", user.node().machine().cgroup());
    let limit = [format!("{top}/pod{uid}/pids.max"), format!("{top}/burstable/pod{uid}/pids.max")];
    let limit = limit.iter().find_map(|path| std::fs::read_to_string(path).ok()).expect("it has a cgroup");
    assert_eq!(limit.trim(), PROCESSES);
    user.wait("pod/bomb", "jsonpath={.status.containerStatuses[0].restartCount}=1");
    assert!(user.ok("logs bomb --previous --tail=20").contains("can't fork"), "it met its limit");
    user.apply(&pod("beside", "exec sleep 1000", json!({}), json!({})));
    user.wait("pod/beside", "condition=Ready");
    assert_eq!(user.ok("exec beside -- echo well"), "well\n");
    user.ok("delete pod bomb --timeout=60s");
}

/// Who fills a volume beyond its limit is evicted; one in memory cannot be filled beyond it.
fn fills_its_volumes(user: &User<'_>) {
    let mounts = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let fills = "dd if=/dev/zero of=/v/file bs=1M count=20; exec sleep 1000";
    let limit = json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "10Mi"}}]});
    user.apply(&pod("disk", fills, mounts.clone(), limit));
    let limit = json!({"restartPolicy": "Never", "volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]});
    user.apply(&pod("memory", "dd if=/dev/zero of=/v/file bs=64k count=100", mounts, limit));
    user.wait("pod/memory", "jsonpath={.status.phase}=Failed");
    let lines = user.ok("logs memory");
    assert!(lines.contains("No space left on device"), "{lines}");
    user.wait("pod/disk", "jsonpath={.status.reason}=Evicted");
    let message = user.get("pod/disk", ".status.message");
    assert_eq!(message, "Usage of EmptyDir volume \"v\" exceeds the limit \"10Mi\". ");
    assert_eq!(user.get("pod/disk", ".status.phase"), "Failed");
    let events = user.ok("get events --field-selector involvedObject.name=disk,reason=Evicted -o name");
    assert_eq!(events.lines().count(), 1, "{events}");
}

/// Whoever may write where logs are cannot have the node show other files of its own.
fn swaps_logs(user: &User<'_>) {
    let planted = user.node().run("sh", &["-c", "mkdir -p /run/kept; echo hidden > /run/kept/0.log"]);
    assert!(planted.status.success());
    for name in ["file", "directory"] {
        user.apply(&pod(name, "echo harmless; exec sleep 1000", json!({}), json!({})));
        user.wait(&format!("pod/{name}"), "condition=Ready");
    }
    let logs = format!("/logs/{}", user.namespace());
    let script = format!(
        "set -e; rm {logs}_file_*/c/0.log; ln -s /run/kept/0.log $(echo {logs}_file_*)/c/0.log; \
         mv {logs}_directory_*/c $(echo {logs}_directory_*)/d; ln -s /run/kept $(echo {logs}_directory_*)/c"
    );
    user.apply(&pod(
        "swaps",
        &script,
        json!({"volumeMounts": [{"name": "logs", "mountPath": "/logs"}]}),
        json!({"restartPolicy": "Never", "volumes": [{"name": "logs", "hostPath": {"path": "/var/log/pods"}}]}),
    ));
    user.wait("pod/swaps", "jsonpath={.status.phase}=Succeeded");
    for name in ["file", "directory"] {
        let output = user.command(&format!("logs {name}")).output().expect("kubectl can be run");
        let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!shown.contains("hidden"), "{name}: {shown}");
        assert!(shown.contains("failed to open log file"), "{name}: {shown}");
        user.ok(&format!("delete pod {name}"));
    }
    assert_eq!(said(user, "cat", &["/run/kept/0.log"]), "hidden\n", "what links led to is not removed");
}

/// A link out of a volume is not followed for a subPath.
fn escapes_its_volume(user: &User<'_>) {
    let mounts = json!([{"name": "v", "mountPath": "/v"}]);
    let plants = json!({"name": "plants", "image": crate::BUSYBOX, "volumeMounts": mounts,
        "command": ["sh", "-c", "ln -s /etc /v/link; ln -s ../../../../../../../../../../etc /v/up"]});
    for (name, path) in [("absolute", "link"), ("upwards", "up/ssl"), ("file", "link/passwd")] {
        let container = json!({"volumeMounts": [{"name": "v", "mountPath": "/out", "subPath": path}]});
        let spec = json!({"initContainers": [plants], "volumes": [{"name": "v", "emptyDir": {}}]});
        user.apply(&pod(name, "ls /out; exec sleep 1000", container, spec));
    }
    for name in ["absolute", "upwards", "file"] {
        let object = format!("pod/{name}");
        user.wait(&object, "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError");
        let message = user.get(&object, ".status.containerStatuses[0].state.waiting.message");
        assert_eq!(message, "failed to prepare subPath for volumeMount \"v\" of container \"c\"");
    }
}

/// As much as a ConfigMap may hold arrives whole; as a variable, it is more than the kernel takes.
fn reads_much(user: &User<'_>) {
    let content: String =
        (0..131_000_u32).map(|number| format!("{:07x}\n", number.wrapping_mul(2_654_435_761) >> 4)).collect();
    user.file("much", &content);
    user.ok("create configmap much --from-file=data=much");
    let container = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let spec = json!({"restartPolicy": "Never", "volumes": [{"name": "v", "configMap": {"name": "much"}}]});
    user.apply(&pod("reads", "sha256sum < /v/data", container, spec));
    user.apply(&pod(
        "variable",
        "true",
        json!({"envFrom": [{"configMapRef": {"name": "much"}}]}),
        json!({"restartPolicy": "Never"}),
    ));
    user.wait("pod/reads", "jsonpath={.status.phase}=Succeeded");
    let file = user.directory().join("much");
    let expected = said(user, "busybox", &["sha256sum", &file.to_string_lossy()]);
    assert_eq!(user.ok("logs reads").split_whitespace().next(), expected.split_whitespace().next());
    user.wait("pod/variable", "jsonpath={.status.phase}=Failed");
    let lines = user.ok("logs variable");
    assert!(lines.contains("argument list too long"), "{lines}");
}

/// What the runtime does not do is said, and the pod can be deleted.
fn is_rejected(user: &User<'_>) {
    user.apply(&json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "none"}, "handler": "none"}));
    user.apply(&pod("no-runtime", "true", json!({}), json!({"runtimeClassName": "none"})));
    let profile = json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "none.json"}});
    user.apply(&pod("no-profile", "true", json!({"securityContext": profile}), json!({})));
    user.wait("pod/no-profile", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerError");
    let message = user.get("pod/no-profile", ".status.containerStatuses[0].state.waiting.message");
    assert!(message.contains("none.json"), "{message}");
    let events = "events --field-selector involvedObject.name=no-runtime,reason=FailedCreatePodSandBox";
    user.ok(&format!("wait {events} --for=create --timeout=60s"));
    let message = user.ok(&format!("get {events} -o 'jsonpath={{.items[0].message}}'"));
    assert!(message.starts_with("Failed to create pod sandbox: "), "{message}");
    assert!(message.contains("no runtime for \"none\" is configured"), "{message}");
    assert_eq!(user.get("pod/no-runtime", ".status.phase"), "Pending");
    user.ok("delete pod no-runtime no-profile --timeout=30s");
    user.ok("delete runtimeclass none");
}

/// An archive that is damaged or ends early is refused whole.
fn damaged_images(user: &User<'_>) {
    let node = user.node();
    let images = || {
        let output = node.gantry(&["image", "ls"]).output().expect("gantry runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let before = images();
    let whole = std::fs::read(archives().join("test-1.tar")).expect("it is there");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let check = |name: &str, content: &[u8], expected: &str| {
        let path = user.directory().join(name);
        std::fs::write(&path, content).expect("it can be written");
        let output = node.gantry(&["image", "load"]).arg(&path).output().expect("gantry runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} was loaded");
        assert!(error.contains(name) && error.contains(expected), "{name}: {error}");
        assert_eq!(images(), before, "{name}");
    };
    check("flipped.tar", &flipped, "is damaged: ");
    check("short.tar", &whole[..whole.len() / 2], "is not complete: ");
    check("text.tar", b"no archive at all", "is not a tar archive");
    check("empty.tar", b"", "is empty");
}
