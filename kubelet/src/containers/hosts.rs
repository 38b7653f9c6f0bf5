//! What a pod's containers see as `/etc/hosts`.

use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use super::{Invalid, Node, hostname, on_host_network};

/// The first lines of a file of ours.
const MANAGED: &str = "# Kubernetes-managed hosts file.\n\
    127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    fe00::0\tip6-mcastprefix\n\
    fe00::1\tip6-allnodes\n\
    fe00::2\tip6-allrouters\n";
/// The first line of the node's own file, as pods on its network get it.
const MANAGED_OF_HOST: &str = "# Kubernetes-managed hosts file (host network).\n";

/// The content of a pod's `/etc/hosts`: its addresses by its name, and its `hostAliases`. On the host's network it is the
/// node's own file, `of_node`, with the aliases. `None` while the pod has no address: the containers then see what their
/// image has.
///
/// # Errors
/// If the spec's names are none.
pub fn hosts_file(pod: &Pod, addresses: &[IpAddr], node: &Node, of_node: &str) -> Result<Option<String>, Invalid> {
    if addresses.is_empty() {
        return Ok(None);
    }
    let mut content = String::new();
    if on_host_network(pod) {
        content.extend([MANAGED_OF_HOST, of_node]);
    } else {
        content.push_str(MANAGED);
        let host = hostname(pod, node)?;
        let qualified = if host.domain.is_empty() { String::new() } else { format!("{}.{}\t", host.name, host.domain) };
        for address in addresses {
            // Writing to a string cannot fail.
            let _ = writeln!(content, "{address}\t{qualified}{}", host.name);
        }
    }
    let aliases = pod.spec.as_ref().and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default();
    if !aliases.is_empty() {
        content.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let _ = writeln!(content, "{}\t{}", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t"));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn names_addresses_and_aliases_are_in_it() {
        let check = |spec: Value, addresses: &[&str], expected: Option<&str>| {
            let mut pod = json!({"metadata": {"name": "web", "namespace": "ns"}, "spec": {"containers": []}});
            pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            let pod = serde_json::from_value(pod).unwrap();
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            let found = hosts_file(&pod, &addresses, &Node::default(), "127.0.0.1 localhost node\n").unwrap();
            let found = found.as_ref().map(|found| found.strip_prefix(MANAGED).unwrap_or(found));
            assert_eq!(found, expected);
        };
        let aliases = json!([{"ip": "1.2.3.4", "hostnames": ["a", "b.c"]}, {"ip": "::2", "hostnames": ["d"]}]);
        check(json!({}), &[], None);
        check(json!({}), &["10.0.0.1"], Some("10.0.0.1\tweb\n"));
        check(
            json!({"subdomain": "s"}),
            &["10.0.0.1", "fd00::1"],
            Some("10.0.0.1\tweb.s.ns.svc.cluster.local\tweb\nfd00::1\tweb.s.ns.svc.cluster.local\tweb\n"),
        );
        let of_aliases = "\n# Entries added by HostAliases.\n1.2.3.4\ta\tb.c\n::2\td\n";
        check(json!({"hostAliases": aliases}), &["10.0.0.1"], Some(&format!("10.0.0.1\tweb\n{of_aliases}")));
        check(
            json!({"hostNetwork": true, "hostAliases": aliases}),
            &["10.0.0.1"],
            Some(&format!("# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost node\n{of_aliases}")),
        );
    }
}
