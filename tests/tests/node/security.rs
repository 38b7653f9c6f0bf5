//! Who containers run as, what they may do, and what they may use.

use serde_json::json;
use tests::node::User;

use crate::pod;

/// Security contexts are what the kernel says of the processes.
pub(crate) fn contexts(user: &User<'_>) {
    let container = json!({"securityContext": {
        "runAsUser": 1000, "runAsGroup": 3000, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }});
    let spec = json!({"securityContext": {
        "supplementalGroups": [4000], "fsGroup": 2000,
        "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "40000 50000"}],
    }});
    user.apply(&pod("confined", "exec sleep 1000", container, spec));
    user.wait("pod/confined", "condition=Ready");
    let shell = |script: &str| user.ok(&format!("exec confined -- sh -c '{script}'"));
    assert_eq!(
        shell("id -u; id -g; id -G").split_whitespace().collect::<Vec<_>>(),
        ["1000", "3000", "3000", "2000", "4000"]
    );
    assert_eq!(shell("touch /x 2>/dev/null || echo read-only"), "read-only\n");
    let status = shell("cat /proc/1/status");
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().last().unwrap_or_default().to_owned()
    };
    assert_eq!((line("NoNewPrivs:").as_str(), line("Seccomp:").as_str()), ("1", "2"), "{status}");
    assert_eq!(line("CapBnd:"), "0000000000000400");
    assert_eq!(
        shell("cat /proc/sys/net/ipv4/ip_local_port_range").split_whitespace().collect::<Vec<_>>(),
        ["40000", "50000"]
    );
    user.apply(&pod(
        "strong",
        "exec sleep 1000",
        json!({"securityContext": {"privileged": true}}),
        json!({"hostPID": true}),
    ));
    user.wait("pod/strong", "condition=Ready");
    let status = user.ok("exec strong -- cat /proc/self/status");
    assert!(status.contains("CapEff:\t000001ff") || status.contains("CapEff:\t000003ff"), "{status}");
    assert!(user.ok("exec strong -- ps").contains("gantry"), "it sees the node's processes");
    user.apply(&pod("rootless", "true", json!({"securityContext": {"runAsNonRoot": true}}), json!({})));
    user.wait(
        "pod/rootless",
        "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError",
    );
    let message = user.get("pod/rootless", ".status.containerStatuses[0].state.waiting.message");
    assert!(message.contains("container has runAsNonRoot and image will run as root"), "{message}");
    let sysctl = json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}});
    user.apply(&pod("unsafe", "true", json!({}), sysctl));
    user.wait("pod/unsafe", "jsonpath={.status.reason}=SysctlForbidden");
}

/// Resources are limits of the kernel: whoever takes too much memory is killed, and that is said.
pub(crate) fn resources(user: &User<'_>) {
    let limits = json!({"limits": {"memory": "32Mi", "cpu": "250m"}, "requests": {"memory": "16Mi", "cpu": "100m"}});
    user.apply(&pod("limited", "exec sleep 1000", json!({"resources": limits}), json!({})));
    user.wait("pod/limited", "condition=Ready");
    assert_eq!(user.get("pod/limited", ".status.qosClass"), "Burstable");
    let uid = user.get("pod/limited", ".metadata.uid");
    let cgroup = |controller: &str, file: &str| {
        let path = format!(
            "/sys/fs/cgroup/{controller}/{}/kubepods/burstable/pod{uid}/{file}",
            user.node().machine().cgroup()
        );
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
    };
    assert_eq!(cgroup("memory", "memory.limit_in_bytes"), (32 << 20).to_string());
    assert_eq!(cgroup("cpu", "cpu.cfs_quota_us"), "25000");
    assert_eq!(cgroup("cpu", "cpu.shares"), "102");
    let hungry = json!({"resources": {"limits": {"memory": "32Mi"}}});
    user.apply(&pod("hungry", "exec tail /dev/zero", hungry, json!({"restartPolicy": "Never"})));
    user.wait("pod/hungry", "jsonpath={.status.phase}=Failed");
    assert_eq!(user.get("pod/hungry", ".status.containerStatuses[0].state.terminated.reason"), "OOMKilled");
    assert_eq!(user.get("pod/hungry", ".status.containerStatuses[0].state.terminated.exitCode"), "137");
    let larger =
        r#"{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"500m"},"requests":{"cpu":"200m"}}}]}}"#;
    user.ok(&format!("patch pod limited --subresource resize -p '{larger}'"));
    user.wait("pod/limited", "jsonpath={.status.containerStatuses[0].resources.limits.cpu}=500m");
    assert_eq!(cgroup("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(user.get("pod/limited", ".status.containerStatuses[0].restartCount"), "0");
}
