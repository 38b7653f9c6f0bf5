//! Whole sandboxes and containers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::cgroups::Driver;
use crate::cri::v1::{ContainerConfig, Mount, NamespaceMode, PodSandboxConfig};
use crate::paths::Paths;
use crate::pod_plan::Role;

fn pod(spec: Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "labels": {"app": "a"}, "annotations": {"n": "v"}},
        "spec": {"containers": []},
    });
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(pod).unwrap()
}

fn asked(spec: Value, node: &Node) -> Result<PodSandboxConfig, String> {
    sandbox(&pod(spec), 2, node, &Paths::new("/root")).map_err(|invalid| {
        assert_eq!(invalid.reason, "CreatePodSandboxError");
        invalid.message
    })
}

#[test]
fn sandboxes_are_asked_for() {
    let spec = json!({"hostname": "h", "securityContext": {"runAsUser": 5, "sysctls": [
        {"name": "net/ipv4/tcp_syncookies", "value": "0"}]}, "overhead": {"cpu": "1"}});
    let node = Node { cgroups: Layout::new(Driver::Cgroupfs, "/g"), ..Node::default() };
    let found = asked(spec, &node).unwrap();
    let metadata = found.metadata.unwrap();
    assert_eq!((metadata.name.as_str(), metadata.namespace.as_str(), metadata.uid.as_str()), ("web", "ns", "u"));
    assert_eq!((metadata.attempt, found.hostname.as_str()), (2, "h"));
    assert_eq!(found.log_directory, "/var/log/pods/ns_web_u");
    let labels = json!({"app": "a", "io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "ns",
        "io.kubernetes.pod.uid": "u"});
    assert_eq!((json!(found.labels), json!(found.annotations)), (labels, json!({"n": "v"})));
    let linux = found.linux.unwrap();
    assert_eq!(linux.cgroup_parent, "/g/kubepods/besteffort/podu");
    assert_eq!(json!(linux.sysctls), json!({"net.ipv4.tcp_syncookies": "0"}));
    assert_eq!(linux.overhead.unwrap().cpu_shares, 1024);
    let security = linux.security_context.unwrap();
    assert_eq!(security.run_as_user.unwrap().value, 5);
    assert_eq!(security.seccomp.unwrap().profile_type, 0);
    assert_eq!(found.dns_config.unwrap(), crate::cri::v1::DnsConfig::default());
    let on_host = asked(json!({"hostNetwork": true, "hostname": "h"}), &node).unwrap();
    assert_eq!(on_host.hostname, "");
    let message = "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
    assert_eq!(asked(json!({"hostUsers": false}), &node).unwrap_err(), message);
}

#[test]
fn ports_are_mapped() {
    let spec = json!({
        "initContainers": [{"name": "s", "restartPolicy": "Always", "ports": [{"containerPort": 1, "hostPort": 2}]},
            {"name": "i", "ports": [{"containerPort": 3, "hostPort": 4}]}],
        "containers": [{"name": "c", "ports": [
            {"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1", "protocol": "TCP"},
            {"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1", "protocol": "TCP"},
            {"containerPort": 53, "protocol": "UDP", "name": "dns"}, {"containerPort": 54, "name": "dns"}]},
            {"name": "d", "ports": [{"containerPort": 9, "protocol": "SCTP"}]}]});
    let found = asked(spec, &Node::default()).unwrap().port_mappings;
    let found: Vec<_> =
        found.iter().map(|port| (port.protocol, port.container_port, port.host_port, port.host_ip.as_str())).collect();
    assert_eq!(found, [(0, 1, 2, ""), (0, 80, 8080, "127.0.0.1"), (1, 53, 0, ""), (2, 9, 0, "")]);
}

fn made(container: Value, spec: Value, target: Option<&str>) -> ContainerConfig {
    let mut object = json!({"name": "c", "image": "busybox:1"});
    object.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let mut of_pod = json!({"containers": [object]});
    of_pod.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let pod = pod(of_pod);
    let environment = BTreeMap::from([("A".to_owned(), "a".to_owned())]);
    let mounts = [Mount { container_path: "/data".to_owned(), host_path: "/x".to_owned(), ..Default::default() }];
    super::container(&Making {
        pod: &pod,
        container: &pod.spec.as_ref().unwrap().containers[0],
        role: Role::Regular,
        attempt: 3,
        hash: "ff",
        image: Image { reference: "sha256:1", uid: Some(7), username: "" },
        environment: &environment,
        mounts: &mounts,
        hosts: true,
        groups: &[],
        target,
        node: &Node::default(),
        paths: &Paths::new("/root"),
    })
    .unwrap()
}

#[test]
fn containers_are_asked_for() {
    let container = json!({"command": ["run", "$(A)"], "args": ["$$(A)", "$(B)"], "workingDir": "/w", "stdin": true,
        "stdinOnce": true, "tty": true, "terminationMessagePath": "/dev/termination-log"});
    let found = made(container, json!({}), None);
    let metadata = found.metadata.unwrap();
    assert_eq!((metadata.name.as_str(), metadata.attempt), ("c", 3));
    let image = found.image.unwrap();
    assert_eq!((image.image.as_str(), image.user_specified_image.as_str()), ("sha256:1", "busybox:1"));
    assert_eq!(
        (found.command, found.args),
        (vec!["run".to_owned(), "a".to_owned()], vec!["$(A)".to_owned(), "$(B)".to_owned()])
    );
    assert_eq!((found.working_dir.as_str(), found.log_path.as_str()), ("/w", "c/3.log"));
    assert!(found.stdin && found.stdin_once && found.tty);
    assert_eq!((found.envs[0].key.as_str(), found.envs[0].value.as_str(), found.envs.len()), ("A", "a", 1));
    assert_eq!(found.annotations["io.kubernetes.container.restartCount"], "3");
    assert_eq!(found.annotations["io.kubernetes.container.hash"], "ff");
    assert_eq!(found.labels["io.kubernetes.container.name"], "c");
    let mounts: Vec<_> =
        found.mounts.iter().map(|mount| (mount.container_path.as_str(), mount.host_path.as_str())).collect();
    let expected = [
        ("/data", "/x"),
        ("/etc/hosts", "/root/pods/u/etc-hosts"),
        ("/dev/termination-log", "/root/pods/u/containers/c/3"),
    ];
    assert_eq!(mounts, expected);
    let linux = found.linux.unwrap();
    assert_eq!(linux.security_context.unwrap().run_as_user.unwrap().value, 7);
    assert_eq!(linux.resources.unwrap().cpu_shares, 2);
}

#[test]
fn an_ephemeral_container_looks_at_its_target() {
    let pid = |spec: Value, target| {
        let namespaces = made(json!({}), spec, target).linux.unwrap().security_context.unwrap().namespace_options;
        let namespaces = namespaces.unwrap();
        (namespaces.pid(), namespaces.target_id)
    };
    assert_eq!(pid(json!({}), None), (NamespaceMode::Container, String::new()));
    assert_eq!(pid(json!({}), Some("id")), (NamespaceMode::Target, "id".to_owned()));
    assert_eq!(pid(json!({"shareProcessNamespace": true}), Some("id")), (NamespaceMode::Pod, String::new()));
}

#[test]
fn containers_are_found_in_all_lists() {
    let pod = pod(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}],
        "ephemeralContainers": [{"name": "e", "image": "x", "command": ["sh"], "targetContainerName": "c"}]}));
    let role = |name| find(&pod, name).map(|(role, container)| (role, container.name.clone()));
    assert_eq!(role("i"), Some((Role::Init, "i".to_owned())));
    assert_eq!(role("c"), Some((Role::Regular, "c".to_owned())));
    assert_eq!(role("e"), Some((Role::Ephemeral, "e".to_owned())));
    assert_eq!(role("z"), None);
    let ephemeral = find(&pod, "e").unwrap().1;
    assert_eq!((ephemeral.command.clone().unwrap(), ephemeral.image.as_deref()), (vec!["sh".to_owned()], Some("x")));
}
