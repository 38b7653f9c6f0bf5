//! How pods begin, go on and end.

use serde_json::json;
use tests::node::User;

use crate::{BUSYBOX, pod};

/// A pod runs, says what it is, and is gone when it is deleted: its processes too.
pub(crate) fn runs_and_ends(user: &User<'_>) {
    user.apply(&pod("web", "echo hello; exec sleep 4321", json!({}), json!({})));
    user.wait("pod/web", "condition=Ready");
    user.until("logs web", |said| said == "hello\n");
    let status = |path: &str| user.get("pod/web", &format!(".status.{path}"));
    assert_eq!(status("phase"), "Running");
    assert_eq!(status("containerStatuses[0].started"), "true");
    assert!(status("containerStatuses[0].containerID").starts_with("containerd://"));
    assert!(status("podIP").starts_with("10."), "{}", status("podIP"));
    assert_eq!(status("hostIP"), tests::machine::ADDRESS);
    let conditions = status("conditions[?(@.status==\"True\")].type");
    for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert!(conditions.contains(kind), "{conditions}");
    }
    let events = user.ok("get events --field-selector involvedObject.name=web -o jsonpath='{.items[*].reason}'");
    for reason in ["Scheduled", "Pulled", "Created", "Started"] {
        assert!(events.contains(reason), "{events}");
    }
    let processes = || String::from_utf8_lossy(&user.node().run("ps", &["axo", "args"]).stdout).into_owned();
    assert!(processes().contains("sleep 4321\n"));
    user.ok("delete pod web");
    assert!(!processes().lines().any(|line| line == "sleep 4321"), "{}", processes());

    user.apply(&pod(
        "done",
        "echo -n fine > /dev/termination-log; exit 0",
        json!({}),
        json!({"restartPolicy": "Never"}),
    ));
    user.wait("pod/done", "jsonpath={.status.phase}=Succeeded");
    assert_eq!(user.get("pod/done", ".status.containerStatuses[0].state.terminated.message"), "fine");
    assert_eq!(user.get("pod/done", ".status.containerStatuses[0].state.terminated.reason"), "Completed");
    user.apply(&pod(
        "failed",
        "echo wrong; exit 3",
        json!({"terminationMessagePolicy": "FallbackToLogsOnError"}),
        json!({"restartPolicy": "Never"}),
    ));
    user.wait("pod/failed", "jsonpath={.status.phase}=Failed");
    assert_eq!(user.get("pod/failed", ".status.containerStatuses[0].state.terminated.exitCode"), "3");
    assert_eq!(user.get("pod/failed", ".status.containerStatuses[0].state.terminated.message"), "wrong\n");
    user.apply(&pod("late", "exec sleep 1000", json!({}), json!({"activeDeadlineSeconds": 1})));
    user.wait("pod/late", "jsonpath={.status.reason}=DeadlineExceeded");
    // One that does not end when it is asked to is ended.
    user.apply(&pod("deaf", "trap : TERM; while :; do sleep 1; done", json!({}), json!({})));
    user.wait("pod/deaf", "condition=Ready");
    user.ok("delete pod deaf --timeout=60s");
    user.apply(&pod(
        "deafer",
        "trap : TERM; while :; do sleep 1; done",
        json!({}),
        json!({"terminationGracePeriodSeconds": 900}),
    ));
    user.wait("pod/deafer", "condition=Ready");
    user.ok("delete pod deafer --grace-period=0 --force --timeout=60s");
}

/// Containers that end are started again as their pod says, and wait longer each time.
pub(crate) fn restarts(user: &User<'_>) {
    user.apply(&pod("crash", "echo here; exit 1", json!({}), json!({})));
    user.wait("pod/crash", "jsonpath={.status.containerStatuses[0].restartCount}=1");
    user.wait("pod/crash", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff");
    let message = user.get("pod/crash", ".status.containerStatuses[0].state.waiting.message");
    assert!(message.starts_with("back-off 10s restarting failed container=c pod=crash_restarts("), "{message}");
    assert_eq!(user.get("pod/crash", ".status.containerStatuses[0].lastState.terminated.exitCode"), "1");
    assert_eq!(user.ok("logs crash --previous"), "here\n");
    user.apply(&pod(
        "once",
        "[ -e /data/x ] && exit 0; touch /data/x; exit 1",
        json!({
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }),
        json!({"restartPolicy": "OnFailure", "volumes": [{"name": "data", "emptyDir": {}}]}),
    ));
    user.wait("pod/once", "jsonpath={.status.phase}=Succeeded");
    assert_eq!(user.get("pod/once", ".status.containerStatuses[0].restartCount"), "1");
    user.apply(&pod("none", "true", json!({"image": "gantry.local/none:1", "imagePullPolicy": "Never"}), json!({})));
    user.wait("pod/none", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull");
    user.apply(&pod("unknown", "true", json!({"command": ["/no/such/program"]}), json!({"restartPolicy": "Never"})));
    user.wait("pod/unknown", "jsonpath={.status.phase}=Failed");
}

/// Init containers run before the others, one after the other; sidecars go on beside them and end last.
pub(crate) fn init_and_sidecars(user: &User<'_>) {
    let mounts = json!([{"name": "data", "mountPath": "/data"}]);
    let container = |name: &str, script: &str, restarts: bool| {
        let mut container =
            json!({"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], "volumeMounts": mounts});
        if restarts {
            container["restartPolicy"] = "Always".into();
        }
        container
    };
    let sidecar =
        "echo side >> /data/order; trap 'echo side-end >> /data/order; exit 0' TERM; while :; do sleep 0.1; done";
    let spec = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 20,
        "volumes": [{"name": "data", "hostPath": {"path": "/run/order", "type": "DirectoryOrCreate"}}],
        "initContainers": [
            container("first", "echo first >> /data/order", false),
            container("side", sidecar, true),
            container("second", "while ! grep -q side /data/order; do sleep 0.1; done; echo second >> /data/order", false),
        ],
    });
    let script = "echo main >> /data/order; sleep 1; echo main-end >> /data/order";
    user.apply(&pod("all", script, json!({"volumeMounts": mounts}), spec));
    user.wait("pod/all", "jsonpath={.status.phase}=Succeeded");
    let order = String::from_utf8_lossy(&user.node().run("cat", &["/run/order/order"]).stdout).into_owned();
    assert_eq!(order, "first\nside\nsecond\nmain\nmain-end\nside-end\n");
    assert_eq!(user.get("pod/all", ".status.initContainerStatuses[*].state.terminated.exitCode"), "0 0 0");
    let failing = json!({"restartPolicy": "Never", "initContainers": [container("bad", "exit 7", false)], "volumes": [
        {"name": "data", "emptyDir": {}},
    ]});
    user.apply(&pod("bad", "true", json!({}), failing));
    user.wait("pod/bad", "jsonpath={.status.phase}=Failed");
    assert_eq!(user.get("pod/bad", ".status.containerStatuses[0].state.waiting.reason"), "PodInitializing");
}

/// Hooks run after the start and before the end.
pub(crate) fn hooks(user: &User<'_>) {
    let exec = |script: &str| json!({"exec": {"command": ["sh", "-c", script]}});
    let mounts = json!([{"name": "data", "mountPath": "/data"}]);
    let spec = json!({
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "data", "hostPath": {"path": "/run/hooks", "type": "DirectoryOrCreate"}}],
    });
    let lifecycle =
        json!({"postStart": exec("echo begun > /data/hooks"), "preStop": exec("echo ending >> /data/hooks")});
    let script = "trap 'echo ended >> /data/hooks; exit' TERM; while :; do sleep 0.1; done";
    user.apply(&pod("hooked", script, json!({"volumeMounts": mounts, "lifecycle": lifecycle}), spec.clone()));
    user.wait("pod/hooked", "condition=Ready");
    user.ok("delete pod hooked");
    let hooks = String::from_utf8_lossy(&user.node().run("cat", &["/run/hooks/hooks"]).stdout).into_owned();
    assert_eq!(hooks, "begun\nending\nended\n");
    let failing = json!({"lifecycle": {"postStart": exec("exit 4")}});
    user.apply(&pod("failing", "exec sleep 1000", failing, json!({"restartPolicy": "Never"})));
    user.wait("pod/failing", "jsonpath={.status.phase}=Failed");
    let events = user.ok("get events --field-selector involvedObject.name=failing -o jsonpath='{.items[*].reason}'");
    assert!(events.contains("FailedPostStartHook"), "{events}");
}

/// Probes decide when a container is ready, when it has started, and when it has to be started again.
pub(crate) fn probes(user: &User<'_>) {
    let probe =
        |script: &str| json!({"exec": {"command": ["sh", "-c", script]}, "periodSeconds": 1, "failureThreshold": 1});
    user.apply(&pod("ready", "exec sleep 1000", json!({"readinessProbe": probe("test -e /tmp/ready")}), json!({})));
    user.wait("pod/ready", "jsonpath={.status.phase}=Running");
    user.wait("pod/ready", "condition=Ready=False");
    user.ok("exec ready -- mkdir -p /tmp");
    user.ok("exec ready -- touch /tmp/ready");
    user.wait("pod/ready", "condition=Ready");
    user.ok("exec ready -- rm /tmp/ready");
    user.wait("pod/ready", "condition=Ready=False");
    user.apply(&pod("alive", "exec sleep 1000", json!({"livenessProbe": probe("exit 1")}), json!({})));
    user.wait("pod/alive", "jsonpath={.status.containerStatuses[0].restartCount}=1");
    let events = user.ok("get events --field-selector involvedObject.name=alive -o jsonpath='{.items[*].message}'");
    assert!(events.contains("Container c failed liveness probe, will be restarted"), "{events}");
    let port = json!({"ports": [{"containerPort": 8080, "name": "http"}]});
    let mut served = json!({
        "readinessProbe": {"httpGet": {"path": "/index.html", "port": "http"}, "periodSeconds": 1},
        "startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    });
    served["ports"] = port["ports"].clone();
    let script = "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www";
    user.apply(&pod("served", script, served, json!({})));
    user.wait("pod/served", "condition=Ready");
}

/// A pod is ready when somebody else says so, too, if its spec asks for that.
pub(crate) fn readiness_gates(user: &User<'_>) {
    let gates = json!({"readinessGates": [{"conditionType": "example.com/admitted"}]});
    user.apply(&pod("gated", "exec sleep 1000", json!({}), gates));
    user.wait("pod/gated", "condition=ContainersReady");
    let ready = ".status.conditions[?(@.type==\"Ready\")]";
    assert_eq!(user.get("pod/gated", &format!("{ready}.status")), "False");
    assert_eq!(user.get("pod/gated", &format!("{ready}.reason")), "ReadinessGatesNotReady");
    let condition = json!({"status": {"conditions": [{"type": "example.com/admitted", "status": "True"}]}});
    user.ok(&format!("patch pod gated --subresource=status -p '{condition}'"));
    user.wait("pod/gated", "condition=Ready");
}

/// A pod runs by the handler of its RuntimeClass, if the runtime has it.
pub(crate) fn runtime_classes(user: &User<'_>) {
    for (name, handler) in [("there", "runc"), ("not-there", "nobody")] {
        let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler});
        user.apply(&class);
        user.apply(&pod(name, "exec sleep 1000", json!({}), json!({"runtimeClassName": name})));
    }
    user.wait("pod/there", "condition=Ready");
    let events = "get events -o 'jsonpath={.items[*].message}' --field-selector=involvedObject.name=not-there";
    user.until(events, |said| said.contains("nobody"));
}
