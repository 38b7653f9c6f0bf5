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

/// Ends everything that runs in containers, and what holds them, as if the machine had gone down. The machine sees its own
/// processes only; elsewhere this would end those of others.
const GO_DOWN: &str = r#"
pkill -KILL containerd
for process in /proc/[0-9]*; do
    [ "$(readlink $process/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ] || kill -KILL ${process#/proc/} || :
done
"#;

#[test]
fn pods_come_back_after_their_machine_went_down() {
    if !is_possible() {
        return;
    }
    let mut node = Node::up();
    let address = |user: &User<'_>| user.ok("get pod comes-back -o 'jsonpath={.status.podIPs[*].ip}'");
    let mut addresses = {
        let user = User::of(&node, "faults");
        user.apply(&pod("comes-back", "exec sleep 1000", json!({}), json!({})));
        user.wait("pod/comes-back", "condition=Ready");
        vec![address(&user)]
    };
    for restarts in 1..=2 {
        node.kill();
        // Those of the containers that are gone already are no failure.
        let _ = node.run("sh", &["-c", GO_DOWN]);
        node.start(&[]);
        let user = User::known(&node, "faults");
        user.wait("pod/comes-back", &format!("jsonpath={{.status.containerStatuses[0].restartCount}}={restarts}"));
        user.wait("pod/comes-back", "condition=Ready");
        // Each time it is in another network, whose address is its only one.
        let now = address(&user);
        assert!(!now.contains(' ') && !addresses.contains(&now), "{now} after {addresses:?}");
        addresses.push(now);
    }
    let user = User::known(&node, "faults");
    user.ok("delete namespace faults --timeout=60s");
}
