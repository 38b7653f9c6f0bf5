//! What users are promised when a machine shuts down: it waits until pods have ended, the critical ones last, and their
//! statuses and the node's say so.

use std::future::Future;
use std::time::Duration;

use serde_json::json;
use tests::logind::{Bus, Logind};
use tests::machine::Machine;
use tests::node::{NAME, Node, User};
use tokio::runtime::Runtime;

use super::{is_possible, pod};

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(60);
/// Takes a while to end when it is told to.
const TAKES_LEAVE: &str = "trap 'sleep 1; exit 0' TERM; echo here; while :; do sleep 100 & wait $!; done";

fn soon<T>(runtime: &Runtime, what: &str, happens: impl Future<Output = T>) -> T {
    let happened = runtime.block_on(async { tokio::time::timeout(WITHIN, happens).await });
    happened.unwrap_or_else(|_| panic!("it does not happen: {what}"))
}

#[test]
fn a_machine_that_shuts_down_waits_for_its_pods() {
    if !is_possible() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let machine = Machine::new();
    let bus = Bus::start(machine.directory());
    let logind = runtime.block_on(Logind::start(&bus, WITHIN, None));
    // Where the bus of a system is.
    let link = format!("mkdir /run/dbus && ln -s {} /run/dbus/system_bus_socket", bus.socket().display());
    assert!(machine.command("sh").args(["-c", &link]).status().expect("there is a shell").success());
    let periods = ["--shutdown-grace-period", "20s", "--shutdown-grace-period-critical-pods", "10s"];
    let node = Node::up_on(machine, &periods);
    let mut lock = soon(&runtime, "a lock is taken", logind.lock());

    let user = User::of(&node, "shutdown");
    let slow = json!({"terminationGracePeriodSeconds": 60});
    user.apply(&pod("usual", TAKES_LEAVE, json!({}), slow.clone()));
    let mut critical = pod("critical", TAKES_LEAVE, json!({}), slow);
    critical["spec"]["priorityClassName"] = json!("system-node-critical");
    user.apply(&critical);
    for pod in ["pod/usual", "pod/critical"] {
        user.wait(pod, "condition=Ready");
    }
    assert!(lock.is_held());
    runtime.block_on(logind.say(true));
    soon(&runtime, "the machine is let go", lock.released());

    const ENDED: &str = "Failed Terminated Pod was terminated in response to imminent node shutdown.";
    for pod in ["pod/usual", "pod/critical"] {
        assert_eq!(user.get(pod, ".status.phase} {.status.reason} {.status.message"), ENDED, "{pod}");
    }
    let finished = |pod: &str| {
        let of = ".status.containerStatuses[0].state.terminated";
        user.get(pod, &format!("{of}.exitCode}} {{{of}.finishedAt"))
    };
    let (usual, critical) = (finished("pod/usual"), finished("pod/critical"));
    assert!(usual.starts_with("0 ") && critical.starts_with("0 ") && usual < critical, "{usual}, {critical}");
    let object = format!("node/{NAME}");
    let of = ".status.conditions[?(@.type==\"Ready\")]";
    let ready = user.get(&object, &format!("{of}.status}} {{{of}.reason}} {{{of}.message"));
    assert_eq!(ready, "False KubeletNotReady node is shutting down");

    user.apply(&pod("late", "sleep 100", json!({}), json!({"nodeName": NAME})));
    user.wait("pod/late", "jsonpath={.status.reason}=NodeShutdown");

    // It does not shut down after all.
    runtime.block_on(logind.say(false));
    user.wait(&object, "condition=Ready");
    assert!(soon(&runtime, "another lock is taken", logind.lock()).is_held());
}
