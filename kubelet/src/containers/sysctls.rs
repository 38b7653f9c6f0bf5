//! Kernel parameters that pods may set: those of a namespace of their own, and of these the safe ones, unless the node's
//! owner allows more (`allowedUnsafeSysctls`).

use k8s_openapi::api::core::v1::Pod;

/// The reason with which a pod is turned away.
pub const FORBIDDEN: &str = "SysctlForbidden";

/// Those that everybody may set: each is its pod's own, and can do no harm to others.
const SAFE: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Which parameters are of which namespace: all that start like this.
const NAMESPACED: &[(&str, Namespace)] = &[
    ("kernel.msg", Namespace::Ipc),
    ("kernel.sem", Namespace::Ipc),
    ("kernel.shm", Namespace::Ipc),
    ("fs.mqueue.", Namespace::Ipc),
    ("net.", Namespace::Net),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Net,
}

/// A parameter's name with dots between its parts: slashes may stand there too, and then dots within parts.
#[must_use]
pub fn dotted(name: &str) -> String {
    let Some(at) = name.find(['.', '/']) else { return name.to_owned() };
    if name[at..].starts_with('.') {
        return name.to_owned();
    }
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swapped).collect()
}

/// Why a pod must not set what it wants to. `allowed` are those that the node's owner allows besides the safe ones; one that
/// ends in `*` stands for all that start so.
#[must_use]
pub fn forbidden(pod: &Pod, allowed: &[String]) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let sysctls = spec.security_context.as_ref()?.sysctls.iter().flatten();
    let shares = |namespace| match namespace {
        Namespace::Ipc => spec.host_ipc.unwrap_or(false),
        Namespace::Net => spec.host_network.unwrap_or(false),
    };
    sysctls.map(|sysctl| dotted(&sysctl.name)).find_map(|name| {
        let namespace = NAMESPACED.iter().find(|(start, _)| name.starts_with(start)).map(|(_, namespace)| *namespace);
        let is_allowed = SAFE.contains(&name.as_str())
            || allowed.iter().map(|allowed| dotted(allowed)).any(|allowed| match allowed.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == allowed,
            });
        let problem = match namespace {
            Some(namespace) if is_allowed && shares(namespace) => {
                let namespace = if namespace == Namespace::Ipc { "ipc" } else { "net" };
                format!("not allowed with host {namespace} enabled")
            }
            Some(_) if is_allowed => return None,
            _ => "not allowlisted".to_owned(),
        };
        Some(format!("forbidden sysctl: {name:?} {problem}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn slashes_and_dots_are_the_same() {
        let check = |name: &str, expected: &str| assert_eq!(dotted(name), expected);
        check("kernel.shm_rmid_forced", "kernel.shm_rmid_forced");
        check("kernel/shm_rmid_forced", "kernel.shm_rmid_forced");
        check("net.ipv4.conf.eno2/100.rp_filter", "net.ipv4.conf.eno2/100.rp_filter");
        check("net/ipv4/conf/eno2.100/rp_filter", "net.ipv4.conf.eno2/100.rp_filter");
        check("plain", "plain");
    }

    #[test]
    fn only_what_is_the_pods_own_and_allowed_may_be_set() {
        let check = |name: &str, host: bool, expected: Option<&str>| {
            let sysctls = json!([{"name": name, "value": "1"}]);
            let pod = json!({"spec": {"containers": [], "hostNetwork": host, "securityContext": {"sysctls": sysctls}}});
            let allowed = ["kernel.msg*".to_owned(), "net/core/somaxconn".to_owned(), "vm.*".to_owned()];
            let found = forbidden(&serde_json::from_value(pod).unwrap(), &allowed);
            assert_eq!(found.as_deref(), expected);
        };
        check("net.ipv4.tcp_syncookies", false, None);
        check("net/ipv4/tcp_syncookies", false, None);
        check("kernel.shm_rmid_forced", true, None);
        check("kernel.msgmax", false, None);
        check("net.core.somaxconn", false, None);
        check("kernel.sem", false, Some("forbidden sysctl: \"kernel.sem\" not allowlisted"));
        // The machine's own parameters stay out of reach whatever is allowed.
        check("vm.swappiness", false, Some("forbidden sysctl: \"vm.swappiness\" not allowlisted"));
        let message = "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled";
        check("net.ipv4.tcp_syncookies", true, Some(message));
    }
}
