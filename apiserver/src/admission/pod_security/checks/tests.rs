//! Every check with what it allows and what it finds, from the documentation of the standards.

use serde_json::{Value, json};

use super::super::levels::{Level, Standard, Version};
use super::*;

const LATEST: Version = Version::Latest;

/// What a check has to say of a pod that is `spec` besides a container.
fn check(level: Level, version: Version, spec: &Value, annotations: &Value, expected: &str) {
    let mut whole = json!({"containers": [hardened(json!({}))]});
    if level == Level::Baseline {
        whole = json!({"containers": [{"name": "c"}]});
    }
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    let meta: ObjectMeta = serde_json::from_value(json!({"annotations": annotations})).unwrap();
    let spec: PodSpec = serde_json::from_value(whole.clone()).unwrap();
    let found = evaluate(Standard { level, version }, &meta, &spec);
    assert_eq!(found.details(), expected, "{level}:{version} {whole} {annotations}");
}

fn baseline(spec: Value, expected: &str) {
    check(Level::Baseline, LATEST, &spec, &json!({}), expected);
}

fn restricted(spec: Value, expected: &str) {
    check(Level::Restricted, LATEST, &spec, &json!({}), expected);
}

/// A security context that is all that is asked for, with `other` in it.
fn context(other: Value) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    for (field, value) in other.as_object().unwrap() {
        context[field] = value.clone();
    }
    context
}

fn hardened(other: Value) -> Value {
    json!({"name": "c", "securityContext": context(other)})
}

/// One container with a security context.
fn one(context: Value) -> Value {
    json!({"containers": [{"name": "c", "securityContext": context}]})
}

/// Two containers with the same context, one of which comes first.
fn two(context: Value) -> Value {
    json!({
        "initContainers": [{"name": "i", "securityContext": context}],
        "containers": [{"name": "c", "securityContext": context}],
    })
}

#[test]
fn nothing_is_asked_of_privileged_pods() {
    let spec = json!({"hostNetwork": true, "containers": [{"name": "c", "securityContext": {"privileged": true}}]});
    check(Level::Privileged, LATEST, &spec, &json!({}), "");
    baseline(json!({}), "");
    restricted(json!({}), "");
}

#[test]
fn host_namespaces() {
    baseline(json!({"hostNetwork": false, "hostPID": false, "hostIPC": false}), "");
    baseline(json!({"hostPID": true}), "host namespaces (hostPID=true)");
    let all = json!({"hostNetwork": true, "hostPID": true, "hostIPC": true});
    baseline(all.clone(), "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)");
    restricted(all, "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)");
}

#[test]
fn privileged() {
    baseline(one(json!({"privileged": false})), "");
    let said = "must not set securityContext.privileged=true)";
    baseline(one(json!({"privileged": true})), &format!("privileged (container \"c\" {said}"));
    baseline(two(json!({"privileged": true})), &format!("privileged (containers \"i\", \"c\" {said}"));
    let added = json!({"ephemeralContainers": [{"name": "e", "securityContext": {"privileged": true}}]});
    baseline(added, &format!("privileged (container \"e\" {said}"));
}

#[test]
fn capabilities() {
    baseline(one(json!({"capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE"], "drop": ["KILL"]}})), "");
    baseline(
        two(json!({"capabilities": {"add": ["SYS_ADMIN", "NET_RAW", "KILL"]}})),
        "non-default capabilities (containers \"i\", \"c\" must not include \"NET_RAW\", \"SYS_ADMIN\" in \
         securityContext.capabilities.add)",
    );
    restricted(
        json!({"containers": [hardened(json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}))]}),
        "",
    );
    let keeps = "container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]";
    restricted(
        json!({"containers": [hardened(json!({"capabilities": null}))]}),
        &format!("unrestricted capabilities ({keeps})"),
    );
    let given = json!({"containers": [hardened(json!({"capabilities": {"drop": ["KILL"], "add": ["CHOWN"]}}))]});
    let adds = "container \"c\" must not include \"CHOWN\" in securityContext.capabilities.add";
    restricted(given.clone(), &format!("unrestricted capabilities ({keeps}; {adds})"));
    check(Level::Restricted, Version::Minor(21), &given, &json!({}), "");
    let mut windows = given;
    windows["os"] = json!({"name": "windows"});
    restricted(windows.clone(), "");
    let found = format!("unrestricted capabilities ({keeps}; {adds})");
    check(Level::Restricted, Version::Minor(24), &windows, &json!({}), &found);
}

#[test]
fn volumes() {
    let host = json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "e", "emptyDir": {}}]});
    baseline(host.clone(), "hostPath volumes (volume \"v\")");
    restricted(host, "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")");
    let fine = json!({"volumes": [
        {"name": "a", "configMap": {"name": "m"}},
        {"name": "b", "csi": {"driver": "d"}},
        {"name": "c", "downwardAPI": {}},
        {"name": "d", "emptyDir": {}},
        {"name": "e", "ephemeral": {}},
        {"name": "f", "image": {"reference": "i"}},
        {"name": "g", "persistentVolumeClaim": {"claimName": "p"}},
        {"name": "h", "projected": {}},
        {"name": "i", "secret": {"secretName": "s"}},
    ]});
    baseline(fine.clone(), "");
    restricted(fine, "");
    let others = json!({"volumes": [
        {"name": "a", "nfs": {"server": "s", "path": "/"}},
        {"name": "b", "iscsi": {"targetPortal": "t", "iqn": "q", "lun": 0}},
        {"name": "c"},
    ]});
    baseline(others.clone(), "");
    restricted(
        others,
        "restricted volume types (volumes \"a\", \"b\", \"c\" use restricted volume types \"iscsi\", \"nfs\", \"unknown\")",
    );
}

#[test]
fn host_ports() {
    let ports =
        |ports: &[i32]| -> Value { ports.iter().map(|port| json!({"containerPort": 1, "hostPort": port})).collect() };
    baseline(
        json!({"containers": [{"name": "c", "ports": ports(&[0])}, {"name": "d", "ports": [{"containerPort": 2}]}]}),
        "",
    );
    baseline(
        json!({"containers": [{"name": "c", "ports": ports(&[80])}]}),
        "hostPort (container \"c\" uses hostPort 80)",
    );
    baseline(
        json!({"containers": [{"name": "c", "ports": ports(&[9, 80])}, {"name": "d", "ports": ports(&[80])}]}),
        "hostPort (containers \"c\", \"d\" use hostPorts 80, 9)",
    );
}

#[test]
fn app_armor() {
    let key = |name: &str| format!("container.apparmor.security.beta.kubernetes.io/{name}");
    let annotated = |annotations: Value, expected: &str| {
        check(Level::Baseline, LATEST, &json!({}), &annotations, expected);
    };
    annotated(json!({key("c"): "runtime/default", key("d"): "localhost/x", key("e"): "", "other": "unconfined"}), "");
    annotated(
        json!({key("c"): "unconfined"}),
        &format!(
            "forbidden AppArmor profile (annotation must not set AppArmor profile type to \"{}=\"unconfined\"\")",
            key("c")
        ),
    );
    let profile = |kind: &str| json!({"appArmorProfile": {"type": kind}});
    baseline(one(profile("Localhost")), "");
    baseline(
        json!({"securityContext": profile("Unconfined"), "containers": [{"name": "c", "securityContext": profile("X")}]}),
        "forbidden AppArmor profiles (pod and container \"c\" must not set AppArmor profile type to \"Unconfined\", \"X\")",
    );
}

#[test]
fn se_linux() {
    let options = |options: Value| one(json!({"seLinuxOptions": options}));
    for kind in ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"] {
        baseline(options(json!({"type": kind, "level": "s0"})), "");
    }
    let said = "set forbidden securityContext.seLinuxOptions:";
    let engine = options(json!({"type": "container_engine_t"}));
    let found = format!("seLinuxOptions (container \"c\" {said} type \"container_engine_t\")");
    check(Level::Baseline, Version::Minor(30), &engine, &json!({}), &found);
    baseline(options(json!({"role": "r"})), &format!("seLinuxOptions (container \"c\" {said} role may not be set)"));
    let mut both = options(json!({"type": "a", "user": "u"}));
    both["securityContext"] = json!({"seLinuxOptions": {"type": "b", "role": "r"}});
    let wrong = "types \"a\", \"b\"; user may not be set; role may not be set";
    baseline(both, &format!("seLinuxOptions (pod and container \"c\" {said} {wrong})"));
}

#[test]
fn proc_mount() {
    let unmasked = |users: bool| {
        let contexts = [("c", "Unmasked"), ("d", "Default")];
        let container =
            |(name, kind): (&str, &str)| json!({"name": name, "securityContext": context(json!({"procMount": kind}))});
        json!({"hostUsers": users, "containers": contexts.map(container)})
    };
    let said = "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")";
    baseline(unmasked(true), said);
    baseline(unmasked(false), "");
    restricted(unmasked(true), said);
    restricted(unmasked(false), said);
    check(Level::Baseline, Version::Minor(34), &unmasked(false), &json!({}), said);
    check(Level::Restricted, Version::Minor(34), &unmasked(false), &json!({}), said);
}

#[test]
fn seccomp() {
    let profile = |kind: &str| json!({"seccompProfile": {"type": kind}});
    baseline(one(profile("Localhost")), "");
    let said = "must not set securityContext.seccompProfile.type to";
    let mut both = one(profile("Unconfined"));
    both["securityContext"] = profile("X");
    baseline(both.clone(), &format!("seccompProfile (pod and container \"c\" {said} \"Unconfined\", \"X\")"));
    check(Level::Baseline, Version::Minor(18), &both, &json!({}), "");
    let without =
        |pod: Value| json!({"securityContext": pod, "containers": [hardened(json!({"seccompProfile": null}))]});
    restricted(without(profile("Localhost")), "");
    let asked = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    restricted(without(json!({})), &format!("seccompProfile (pod or container \"c\" {asked})"));
    restricted(without(profile("Unconfined")), &format!("seccompProfile (pod {said} \"Unconfined\")"));
    check(Level::Restricted, Version::Minor(18), &without(json!({})), &json!({}), "");
    let mut windows = without(json!({}));
    windows["os"] = json!({"name": "windows"});
    restricted(windows, "");
}

#[test]
fn seccomp_annotations() {
    let (of_pod, of_container) =
        ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/c");
    let check = |version: i64, annotations: Value, expected: &str| {
        check(Level::Baseline, Version::Minor(version), &json!({}), &annotations, expected);
    };
    check(18, json!({of_pod: "runtime/default", of_container: "localhost/x"}), "");
    check(18, json!({of_pod: "docker/default"}), "");
    check(18, json!({"container.seccomp.security.alpha.kubernetes.io/other": "unconfined"}), "");
    let said = format!("seccompProfile (forbidden annotations {of_container}=\"x\", {of_pod}=\"unconfined\")");
    check(18, json!({of_pod: "unconfined", of_container: "x"}), &said);
    check(19, json!({of_pod: "unconfined"}), "");
}

#[test]
fn sysctls() {
    let since = [
        (0, "kernel.shm_rmid_forced"),
        (0, "net.ipv4.ip_unprivileged_port_start"),
        (27, "net.ipv4.ip_local_reserved_ports"),
        (29, "net.ipv4.tcp_keepalive_time"),
        (29, "net.ipv4.tcp_keepalive_probes"),
        (32, "net.ipv4.tcp_rmem"),
        (32, "net.ipv4.tcp_wmem"),
        (37, "net.ipv4.tcp_slow_start_after_idle"),
        (37, "net.ipv4.tcp_notsent_lowat"),
    ];
    for (since, name) in since {
        let spec = json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        check(Level::Baseline, Version::Minor(since), &spec, &json!({}), "");
        baseline(spec.clone(), "");
        if since > 0 {
            let found = format!("forbidden sysctls ({name})");
            check(Level::Baseline, Version::Minor(since - 1), &spec, &json!({}), &found);
        }
    }
    let spec = json!({"securityContext": {"sysctls": [{"name": "b", "value": "1"}, {"name": "a", "value": "1"}]}});
    baseline(spec, "forbidden sysctls (b, a)");
}

#[test]
fn windows_host_process() {
    let options = |is: bool| json!({"windowsOptions": {"hostProcess": is}});
    baseline(one(options(false)), "");
    let mut both = one(options(true));
    both["securityContext"] = options(true);
    baseline(
        both,
        "hostProcess (pod and container \"c\" must not set securityContext.windowsOptions.hostProcess=true)",
    );
}

#[test]
fn probes_and_handlers() {
    let fine = json!({
        "name": "c",
        "livenessProbe": {"httpGet": {"port": 80, "host": ""}},
        "readinessProbe": {"tcpSocket": {"port": 80}},
        "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
    });
    baseline(json!({"containers": [fine]}), "");
    let spec = json!({"containers": [
        {"name": "d", "startupProbe": {"tcpSocket": {"port": 80, "host": "b"}}},
        {"name": "c", "lifecycle": {"postStart": {"httpGet": {"port": 80, "host": "a"}}}},
    ]});
    let found = "probe or lifecycle host (containers \"c\", \"d\" use probe or lifecycle hosts \"a\", \"b\")";
    baseline(spec.clone(), found);
    check(Level::Baseline, Version::Minor(33), &spec, &json!({}), "");
}

#[test]
fn allow_privilege_escalation() {
    let said = "must set securityContext.allowPrivilegeEscalation=false)";
    let given = json!({"containers": [
        hardened(json!({"allowPrivilegeEscalation": true})),
        {"name": "d", "securityContext": context(json!({"allowPrivilegeEscalation": null}))},
    ]});
    let found = format!("allowPrivilegeEscalation != false (containers \"c\", \"d\" {said}");
    restricted(given.clone(), &found);
    check(Level::Restricted, Version::Minor(7), &given, &json!({}), "");
    let mut windows = given;
    windows["os"] = json!({"name": "windows"});
    restricted(windows.clone(), "");
    check(Level::Restricted, Version::Minor(24), &windows, &json!({}), &found);
}

#[test]
fn run_as_non_root() {
    let pod = |of_pod: Value, of_container: Value| {
        json!({
            "securityContext": {"runAsNonRoot": of_pod},
            "containers": [hardened(json!({"runAsNonRoot": of_container}))],
        })
    };
    restricted(pod(json!(true), json!(null)), "");
    restricted(pod(json!(null), json!(true)), "");
    let said = "runAsNonRoot != true";
    let must = "must set securityContext.runAsNonRoot=true)";
    restricted(pod(json!(null), json!(null)), &format!("{said} (pod or container \"c\" {must}"));
    let must_not = "must not set securityContext.runAsNonRoot=false)";
    restricted(pod(json!(true), json!(false)), &format!("{said} (container \"c\" {must_not}"));
    let mut both = pod(json!(false), json!(false));
    restricted(both.clone(), &format!("{said} (pod and container \"c\" {must_not}"));
    both["hostUsers"] = json!(false);
    restricted(both.clone(), "");
    check(
        Level::Restricted,
        Version::Minor(34),
        &both,
        &json!({}),
        &format!("{said} (pod and container \"c\" {must_not}"),
    );
}

#[test]
fn run_as_user() {
    let pod = |of_pod: i64, of_container: i64| {
        json!({
            "securityContext": {"runAsUser": of_pod},
            "containers": [hardened(json!({"runAsUser": of_container}))],
        })
    };
    restricted(pod(1, 1000), "");
    restricted(pod(1, 0), "runAsUser=0 (container \"c\" must not set runAsUser=0)");
    let mut both = pod(0, 0);
    restricted(both.clone(), "runAsUser=0 (pod and container \"c\" must not set runAsUser=0)");
    check(Level::Restricted, Version::Minor(22), &both, &json!({}), "");
    both["hostUsers"] = json!(false);
    restricted(both, "");
}

#[test]
fn checks_come_in_the_order_of_names() {
    let mut names: Vec<_> = BASELINE.iter().map(|check| check.name).collect();
    names.sort_unstable();
    assert_eq!(names, BASELINE.iter().map(|check| check.name).collect::<Vec<_>>());
    let mut names: Vec<_> = RESTRICTED.iter().map(|check| check.name).collect();
    names.sort_unstable();
    assert_eq!(names, RESTRICTED.iter().map(|check| check.name).collect::<Vec<_>>());
    let spec = json!({"containers": [{"name": "c"}]});
    restricted(
        spec,
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != \
         true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" \
         must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
    );
    check(Level::Restricted, Version::Minor(7), &json!({"containers": [{"name": "c"}]}), &json!({}), {
        "runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true)"
    });
}
