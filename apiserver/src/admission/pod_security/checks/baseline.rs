//! The checks of the baseline, which keep pods from what is known to lead out of them.

use std::collections::BTreeSet;

use api::field::go_quote;
use k8s_openapi::api::core::v1::{HTTPGetAction, LifecycleHandler, PodSpec, SELinuxOptions, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::words::{containers, plural, quoted, setters};
use super::{Violation, has_own_users, parts, with_context};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// What container runtimes give in any case.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The kernel's settings that reach no further than the pod, from the oldest on, and how many of them each version has.
const SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

/// The types of SELinux that containers have, and how many of them the first version has.
const SE_LINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// No profile of AppArmor but the runtime's and those of the node.
pub(super) fn app_armor_profile(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let wrong = |kind: &str| !matches!(kind, "RuntimeDefault" | "Localhost");
    let mut kinds = BTreeSet::new();
    let of_pod = spec.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    let of_pod = of_pod.map(|profile| &profile.type_).filter(|kind| wrong(kind));
    kinds.extend(of_pod.cloned());
    let names = with_context(spec, |context| {
        let kind = context.app_armor_profile.as_ref().map(|profile| &profile.type_).filter(|kind| wrong(kind));
        kinds.extend(kind.cloned());
        kind.is_some()
    });
    let says_wrong = |(name, value): &(&String, &String)| {
        let allowed = value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/");
        name.starts_with(APP_ARMOR) && !allowed
    };
    let annotations = meta.annotations.iter().flatten().filter(says_wrong);
    let mut annotations: Vec<_> = annotations.map(|(name, value)| format!("{name}={}", go_quote(value))).collect();
    annotations.sort();
    let mut who = setters(of_pod.is_some(), &names);
    if !annotations.is_empty() {
        let and = if who.is_empty() { "" } else { " and " };
        who = format!("{who}{and}{}", plural("annotation", "annotations", annotations.len()));
    }
    let values: Vec<_> = kinds.into_iter().chain(annotations).collect();
    (!who.is_empty()).then(|| Violation {
        reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()),
        detail: format!("{who} must not set AppArmor profile type to {}", quoted(values)),
    })
}

/// No capabilities but those that runtimes give anyway.
pub(super) fn capabilities(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let mut found = BTreeSet::new();
    let names = with_context(spec, |context| {
        let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        let mut wrong = added.filter(|name| !CAPABILITIES.contains(&name.as_str())).peekable();
        let is_wrong = wrong.peek().is_some();
        found.extend(wrong.cloned());
        is_wrong
    });
    (!names.is_empty()).then(|| Violation {
        reason: "non-default capabilities",
        detail: format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&names),
            quoted(found)
        ),
    })
}

/// None of the node's namespaces.
pub(super) fn host_namespaces(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let shared =
        [(spec.host_network, "hostNetwork=true"), (spec.host_pid, "hostPID=true"), (spec.host_ipc, "hostIPC=true")];
    let shared: Vec<_> = shared.into_iter().filter(|(is_set, _)| *is_set == Some(true)).map(|(_, name)| name).collect();
    (!shared.is_empty()).then(|| Violation { reason: "host namespaces", detail: shared.join(", ") })
}

/// Nothing of the node's files.
pub(super) fn host_path_volumes(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let volumes = spec.volumes.iter().flatten().filter(|volume| volume.host_path.is_some());
    let names: Vec<_> = volumes.map(|volume| &volume.name).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", names.len()), quoted(names)),
    })
}

/// None of the node's ports.
pub(super) fn host_ports(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let mut names = Vec::new();
    for part in parts(spec) {
        let taken = part.ports.iter().filter_map(|port| port.host_port).filter(|port| *port != 0);
        let taken: Vec<_> = taken.map(|port| port.to_string()).collect();
        if !taken.is_empty() {
            names.push(part.name);
        }
        ports.extend(taken);
    }
    (!names.is_empty()).then(|| Violation {
        reason: "hostPort",
        detail: format!(
            "{} {} {} {}",
            containers(&names),
            plural("uses", "use", names.len()),
            plural("hostPort", "hostPorts", ports.len()),
            ports.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// The node asks the pod whether it is well, and nobody else.
pub(super) fn host_probes_and_lifecycle(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let mut hosts = BTreeSet::new();
    let mut names = BTreeSet::new();
    for part in parts(spec) {
        let of_probes = part.probes.into_iter().flatten().flat_map(|probe| asked(&probe.http_get, &probe.tcp_socket));
        let handlers = part.lifecycle.into_iter().flat_map(|lifecycle| [&lifecycle.post_start, &lifecycle.pre_stop]);
        let of_handlers =
            handlers.flatten().flat_map(|handler: &LifecycleHandler| asked(&handler.http_get, &handler.tcp_socket));
        let found: Vec<_> = of_probes.chain(of_handlers).collect();
        if !found.is_empty() {
            names.insert(part.name);
        }
        hosts.extend(found);
    }
    let names: Vec<_> = names.into_iter().collect();
    (!names.is_empty()).then(|| Violation {
        reason: "probe or lifecycle host",
        detail: format!(
            "{} {} {} {}",
            containers(&names),
            plural("uses", "use", names.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
            quoted(hosts)
        ),
    })
}

/// The hosts that a handler names.
fn asked<'a>(http: &'a Option<HTTPGetAction>, tcp: &'a Option<TCPSocketAction>) -> impl Iterator<Item = &'a str> {
    let http = http.as_ref().and_then(|get| get.host.as_deref());
    let tcp = tcp.as_ref().and_then(|socket| socket.host.as_deref());
    [http, tcp].into_iter().flatten().filter(|host| !host.is_empty())
}

/// No container that may do what the node may.
pub(super) fn privileged(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let names = with_context(spec, |context| context.privileged == Some(true));
    (!names.is_empty()).then(|| Violation {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", containers(&names)),
    })
}

/// What `/proc` hides stays hidden.
pub(super) fn proc_mount(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let mut kinds = BTreeSet::new();
    let names = with_context(spec, |context| {
        let kind = context.proc_mount.as_ref().filter(|kind| *kind != "Default");
        kinds.extend(kind.cloned());
        kind.is_some()
    });
    (!names.is_empty()).then(|| Violation {
        reason: "procMount",
        detail: format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(kinds)),
    })
}

/// The same, but for pods whose users are not the node's.
pub(super) fn proc_mount_1_35(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    if has_own_users(spec) { None } else { proc_mount(meta, spec) }
}

/// No SELinux types but those of containers, and neither users nor roles.
pub(super) fn se_linux_options(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    se_linux(spec, &SE_LINUX_TYPES[..4])
}

/// The same, with a type for container engines.
pub(super) fn se_linux_options_1_31(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    se_linux(spec, &SE_LINUX_TYPES)
}

fn se_linux(spec: &PodSpec, allowed: &[&str]) -> Option<Violation> {
    let (mut kinds, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut wrong = |options: &SELinuxOptions| {
        let kind = options.type_.as_deref().filter(|kind| !allowed.contains(kind));
        let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let (sets_user, sets_role) = (is_set(&options.user), is_set(&options.role));
        kinds.extend(kind.map(str::to_owned));
        user |= sets_user;
        role |= sets_role;
        kind.is_some() || sets_user || sets_role
    };
    let pod =
        spec.security_context.as_ref().and_then(|context| context.se_linux_options.as_ref()).is_some_and(&mut wrong);
    let names = with_context(spec, |context| context.se_linux_options.as_ref().is_some_and(&mut wrong));
    let types = (!kinds.is_empty()).then(|| format!("{} {}", plural("type", "types", kinds.len()), quoted(&kinds)));
    let user = user.then(|| "user may not be set".to_owned());
    let role = role.then(|| "role may not be set".to_owned());
    let found: Vec<_> = [types, user, role].into_iter().flatten().collect();
    (!found.is_empty()).then(|| Violation {
        reason: "seLinuxOptions",
        detail: format!("{} set forbidden securityContext.seLinuxOptions: {}", setters(pod, &names), found.join("; ")),
    })
}

/// No profile of seccomp but the runtime's and those of the node, as annotations had them.
pub(super) fn seccomp_annotations(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let of_containers = parts(spec).map(|part| format!("{SECCOMP_OF_CONTAINER}{}", part.name));
    let mut found = BTreeSet::new();
    for name in of_containers.chain([SECCOMP_OF_POD.to_owned()]) {
        let value = meta.annotations.as_ref().and_then(|annotations| annotations.get(&name));
        let allowed = |value: &String| {
            matches!(value.as_str(), "runtime/default" | "docker/default") || value.starts_with("localhost/")
        };
        found.extend(value.filter(|value| !allowed(value)).map(|value| format!("{name}={}", go_quote(value))));
    }
    (!found.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "forbidden {} {}",
            plural("annotation", "annotations", found.len()),
            found.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// No profile of seccomp but the runtime's and those of the node.
pub(super) fn seccomp_profile(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let wrong = |kind: &&String| !is_seccomp_allowed(kind);
    let mut kinds = BTreeSet::new();
    let of_pod = spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    let of_pod = of_pod.map(|profile| &profile.type_).filter(wrong);
    kinds.extend(of_pod.cloned());
    let names = with_context(spec, |context| {
        let kind = context.seccomp_profile.as_ref().map(|profile| &profile.type_).filter(wrong);
        kinds.extend(kind.cloned());
        kind.is_some()
    });
    (!kinds.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            setters(of_pod.is_some(), &names),
            quoted(kinds)
        ),
    })
}

/// Whether a type of profiles is the runtime's or the node's.
pub(super) fn is_seccomp_allowed(kind: &str) -> bool {
    matches!(kind, "Localhost" | "RuntimeDefault")
}

/// No settings of the kernel but those that reach no further than the pod.
pub(super) fn sysctls(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    kernel_settings(spec, &SYSCTLS[..5])
}

/// The same, with those that were found safe by 1.27.
pub(super) fn sysctls_1_27(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    kernel_settings(spec, &SYSCTLS[..6])
}

/// The same, with those that were found safe by 1.29.
pub(super) fn sysctls_1_29(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    kernel_settings(spec, &SYSCTLS[..10])
}

/// The same, with those that were found safe by 1.32.
pub(super) fn sysctls_1_32(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    kernel_settings(spec, &SYSCTLS[..12])
}

/// The same, with those that were found safe by 1.37.
pub(super) fn sysctls_1_37(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    kernel_settings(spec, &SYSCTLS)
}

fn kernel_settings(spec: &PodSpec, allowed: &[&str]) -> Option<Violation> {
    let settings = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    let names = settings.map(|setting| setting.name.as_str()).filter(|name| !allowed.contains(name));
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| Violation { reason: "forbidden sysctls", detail: names.join(", ") })
}

/// No processes of the node, on Windows.
pub(super) fn windows_host_process(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let names = with_context(spec, |context| {
        context.windows_options.as_ref().is_some_and(|options| options.host_process == Some(true))
    });
    let of_pod = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
    let pod = of_pod.is_some_and(|options| options.host_process == Some(true));
    (pod || !names.is_empty()).then(|| Violation {
        reason: "hostProcess",
        detail: format!("{} must not set securityContext.windowsOptions.hostProcess=true", setters(pod, &names)),
    })
}
