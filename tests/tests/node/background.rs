//! A cluster that `gantry up -d` has started, with a real node: how it is, how it ends, and that its pods end or go on with it.

use serde_json::{Value, json};
use tests::node::{Node, User};

use crate::{is_possible, pod};

/// What the pod's process is.
const WORK: &str = "sleep 87654";

fn gantry(node: &Node, arguments: &[&str], code: i32) -> String {
    let output = node.gantry(arguments).output().expect("gantry runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}{error}");
    said
}

fn seen(node: &Node, program: &str, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&node.run(program, arguments).stdout).into_owned()
}

/// What of the pods is on the machine: processes, mounts and cgroups.
fn left(node: &Node) -> Vec<String> {
    let processes = seen(node, "ps", &["axo", "args"]);
    let ours = |line: &&str| [WORK, "containerd", "/pause"].iter().any(|known| line.contains(known));
    let mut found: Vec<String> = processes.lines().filter(ours).map(str::to_owned).collect();
    let (mounts, data) = (seen(node, "cat", &["/proc/mounts"]), node.data().to_string_lossy().into_owned());
    found.extend(mounts.lines().filter(|line| line.contains(&data)).map(str::to_owned));
    let cgroups = format!("*/{}/kubepods*", node.machine().cgroup());
    found.extend(seen(node, "find", &["/sys/fs/cgroup", "-path", &cgroups]).lines().map(str::to_owned));
    found
}

fn deployment() -> Value {
    let of_pod = pod("web", &format!("exec {WORK}"), json!({}), json!({}));
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": of_pod["spec"]});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

#[test]
fn a_cluster_in_the_background_ends_with_its_pods_or_without_them() {
    if !is_possible() {
        return;
    }
    let mut node = Node::in_background();
    let status: Value = serde_json::from_str(&gantry(&node, &["status", "-o", "json"], 0)).expect("it is JSON");
    assert_eq!((&status["status"], &status["nodes"]), (&"ready".into(), &json!({"ready": 1, "total": 1})));
    let user = User::of(&node, "background");
    user.apply(&deployment());
    user.wait("deployment/web", "condition=Available");
    let status: Value = serde_json::from_str(&gantry(&node, &["status", "-o", "json"], 0)).expect("it is JSON");
    assert_eq!(status["pods"], json!({"running": 1, "total": 1}));
    let container = ".items[0].status.containerStatuses[0].containerID";
    let before = user.get("pods", container);

    let said = gantry(&node, &["down", "--keep-pods"], 0);
    assert!(said.contains("has ended\nits pods go on\n"), "{said}");
    assert!(seen(&node, "ps", &["axo", "args"]).lines().any(|line| line == WORK), "its pods go on");
    assert_eq!(seen(&node, "pgrep", &["-x", "gantry"]), "", "and nothing of gantry's does");
    gantry(&node, &["status"], 3);
    node.start_in_background();
    let user = User::known(&node, "background");
    user.wait("deployment/web", "condition=Available");
    assert_eq!(user.get("pods", container), before, "the next one finds them");

    let said = gantry(&node, &["down"], 0);
    assert_eq!(left(&node), Vec::<String>::new(), "after {said}");
    let said = gantry(&node, &["down"], 0);
    assert_eq!(said.lines().count(), 1, "there is nothing to end any more: {said}");
    node.start_in_background();
    let user = User::known(&node, "background");
    user.until(&format!("get pods -o 'jsonpath={{{container}}}'"), |now| !now.is_empty() && now != before);
    user.wait("deployment/web", "condition=Available");

    node.kill();
    let said = gantry(&node, &["down", "--purge", "--yes"], 0);
    assert_eq!(left(&node), Vec::<String>::new(), "after {said}");
    assert!(!node.data().exists(), "after {said}");
}
