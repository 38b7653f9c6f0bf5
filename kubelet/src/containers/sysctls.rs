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

/// The most characters of a name (upstream's number).
const NAME: usize = 253;

/// Whether pods can be allowed to set what a pattern stands for: the name of a parameter, or the beginning of names with `*`
/// after it.
///
/// # Errors
/// If it is no pattern, or if what it stands for is not of a namespace of its own, so that it would be the machine's.
pub fn allowable(pattern: &str) -> Result<(), String> {
    if pattern.chars().count() > NAME || !is_pattern(pattern) {
        return Err(format!(
            "sysctl {pattern:?} must be a name of at most {NAME} characters, such as kernel.shmmax or kernel.shm*"
        ));
    }
    let name = dotted(pattern);
    let start = name.strip_suffix('*').unwrap_or(&name);
    match NAMESPACED.iter().any(|(namespace, _)| start.starts_with(namespace)) {
        true => Ok(()),
        false => Err(format!("the sysctl {name:?} is not known to be namespaced")),
    }
}

/// Parts with dots or slashes in between, the last of which may end in `*`.
fn is_pattern(pattern: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_start = |part: &str| {
        let inner = part.bytes().all(|byte| is_plain(byte) || matches!(byte, b'-' | b'_'));
        inner && part.bytes().next().is_none_or(is_plain)
    };
    let is_part = |part: &str| is_start(part) && part.bytes().last().is_some_and(is_plain);
    let (parts, last) = pattern.rsplit_once(['.', '/']).map_or((None, pattern), |(parts, last)| (Some(parts), last));
    let good = last.strip_suffix('*').map_or_else(|| is_part(last), is_start);
    good && parts.is_none_or(|parts| parts.split(['.', '/']).all(is_part))
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
    fn only_what_is_of_a_namespace_can_be_allowed() {
        let check = |pattern: &str, expected: Option<&str>| {
            let found = allowable(pattern).err();
            assert_eq!(found.is_some(), expected.is_some(), "{pattern}: {found:?}");
            assert!(found.is_none_or(|found| found.contains(expected.unwrap_or_default())), "{pattern}");
        };
        check("kernel.msg*", None);
        check("kernel/shmmax", None);
        check("net.*", None);
        check("net.ipv4.conf.eth0-1.rp_filter", None);
        check("*", Some("not known to be namespaced"));
        check("vm.swappiness", Some("not known to be namespaced"));
        check("kernel.*", Some("not known to be namespaced"));
        check("", Some("must be a name"));
        check("net..core", Some("must be a name"));
        check("net.*.x", Some("must be a name"));
        check("net.core_", Some("must be a name"));
        check("Net.core", Some("must be a name"));
        check(&format!("net.{}", "a".repeat(250)), Some("must be a name"));
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
