//! The agent and the runtime end and come back, and pods go on.

use serde_json::json;
use tests::node::{Node, User};

use crate::{is_possible, pod};

/// What tells whether a container is the same that it was.
fn identity(user: &User<'_>, pod: &str) -> String {
    let path = "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.podIP}";
    user.ok(&format!("get pod {pod} -o 'jsonpath={path}'"))
}

#[test]
fn pods_outlive_their_agent_and_their_runtime() {
    if !is_possible() {
        return;
    }
    let mut node = Node::up();
    let before = {
        let user = User::of(&node, "faults");
        user.apply(&pod("goes-on", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done", json!({}), json!({})));
        user.apply(&pod(
            "ends",
            "while [ ! -e /go ]; do sleep 0.1; done; exit 5",
            json!({}),
            json!({"restartPolicy": "Never"}),
        ));
        user.wait("pod/goes-on", "condition=Ready");
        user.wait("pod/ends", "condition=Ready");
        identity(&user, "goes-on")
    };
    for _ in 0..2 {
        node.kill();
        node.start(&[]);
    }
    let user = User::known(&node, "faults");
    user.wait("pod/goes-on", "condition=Ready");
    assert_eq!(identity(&user, "goes-on"), before, "a container was restarted with its agent");
    // What ends while nobody looks is found out.
    user.ok("exec ends -- touch /go");
    user.wait("pod/ends", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=5");
    // Another containerd takes the place of one that is killed.
    let killed = node.run("pkill", &["-KILL", "-x", "containerd"]);
    assert!(killed.status.success());
    user.apply(&pod("later", "exec sleep 1000", json!({}), json!({})));
    user.wait("pod/later", "condition=Ready");
    assert_eq!(identity(&user, "goes-on"), before, "a container was restarted with its runtime");
    let lines = user.ok("logs goes-on");
    let numbers: Vec<u32> = lines.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(numbers.iter().copied().eq(0..u32::try_from(numbers.len()).expect("not that many")), "lines are lost");
}
