//! What a pod's machine is called, and the domain that it is known in.

use api::names::{dns1123_label, dns1123_subdomain};
use k8s_openapi::api::core::v1::Pod;

use super::{Invalid, Node};

/// The longest hostname, in bytes: the longest label of DNS.
const LONGEST: usize = 63;
/// The longest name that the kernel takes, in bytes.
const LONGEST_QUALIFIED: usize = 64;

/// What a pod is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hostname {
    /// The name.
    pub name: String,
    /// The domain; empty without a subdomain.
    pub domain: String,
}

/// What a pod is called: its `hostnameOverride`, its `hostname` or its own name, cut to what DNS takes, in the domain of its
/// `subdomain`.
///
/// # Errors
/// If what the spec says is no such name.
pub fn hostname(pod: &Pod, node: &Node) -> Result<Hostname, Invalid> {
    let Some(spec) = &pod.spec else { return Ok(Hostname::default()) };
    let invalid = |field: &str, value: &str, kind: &str, messages: &[String]| {
        Invalid::sandbox(format!("pod {field} {value:?} is not a valid DNS {kind}: {}", messages.join(";")))
    };
    if let Some(name) = &spec.hostname_override {
        let messages = dns1123_subdomain(name);
        if !messages.is_empty() {
            return Err(invalid("HostnameOverride", name, "subdomain", &messages));
        }
        return Ok(Hostname { name: cut(pod, name)?, domain: String::new() });
    }
    let given = |value: &Option<String>, field: &str| match value.as_deref().filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => match dns1123_label(value) {
            messages if messages.is_empty() => Ok(Some(value.to_owned())),
            messages => Err(invalid(field, value, "label", &messages)),
        },
    };
    let name = given(&spec.hostname, "Hostname")?.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    let name = cut(pod, &name)?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let domain = given(&spec.subdomain, "Subdomain")?;
    let domain = domain.map(|subdomain| format!("{subdomain}.{namespace}.svc.{}", node.cluster_domain));
    Ok(Hostname { name, domain: domain.unwrap_or_default() })
}

/// What the kernel is told: the name, or all of it with `setHostnameAsFQDN`.
pub(super) fn for_kernel(pod: &Pod, hostname: &Hostname) -> Result<String, Invalid> {
    let qualified = pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn).unwrap_or(false);
    if !qualified || hostname.domain.is_empty() {
        return Ok(hostname.name.clone());
    }
    let name = format!("{}.{}", hostname.name, hostname.domain);
    if name.len() > LONGEST_QUALIFIED {
        let length = name.len();
        return Err(Invalid::sandbox(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long \
             ({LONGEST_QUALIFIED} characters is the max, {length} characters requested)"
        )));
    }
    Ok(name)
}

/// As much of the name as fits and can stand alone.
fn cut(pod: &Pod, name: &str) -> Result<String, Invalid> {
    if name.len() <= LONGEST {
        return Ok(name.to_owned());
    }
    let mut end = LONGEST;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let fits = name[..end].trim_end_matches(['-', '.']);
    if fits.is_empty() {
        let pod = pod.metadata.name.as_deref().unwrap_or_default();
        return Err(Invalid::sandbox(format!("hostname for pod {pod:?} was invalid: {name:?}")));
    }
    Ok(fits.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn named(name: &str, spec: Value) -> Pod {
        let mut pod = json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {"containers": []}});
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn pods_are_called_as_they_say() {
        let check = |name: &str, spec: Value, expected: Result<(&str, &str), &str>| {
            let found = hostname(&named(name, spec), &Node::default()).map_err(|invalid| invalid.message);
            let expected = expected.map(|(name, domain)| Hostname { name: name.to_owned(), domain: domain.to_owned() });
            match expected {
                Ok(expected) => assert_eq!(found, Ok(expected)),
                Err(start) => assert!(found.as_ref().unwrap_err().starts_with(start), "{found:?}"),
            }
        };
        check("web", json!({}), Ok(("web", "")));
        check("web", json!({"hostname": "", "subdomain": ""}), Ok(("web", "")));
        check("web", json!({"hostname": "h"}), Ok(("h", "")));
        check("web", json!({"hostname": "h", "subdomain": "s"}), Ok(("h", "s.ns.svc.cluster.local")));
        check("web", json!({"subdomain": "s"}), Ok(("web", "s.ns.svc.cluster.local")));
        check("web", json!({"hostnameOverride": "a.b", "subdomain": "s", "hostname": "h"}), Ok(("a.b", "")));
        check(&"x".repeat(64), json!({}), Ok((&"x".repeat(63), "")));
        check(&format!("{}-.-y", "x".repeat(61)), json!({}), Ok((&"x".repeat(61), "")));
        check("web", json!({"hostname": "a.b"}), Err("pod Hostname \"a.b\" is not a valid DNS label: "));
        check("web", json!({"subdomain": "a.b"}), Err("pod Subdomain \"a.b\" is not a valid DNS label: "));
        check(
            "web",
            json!({"hostnameOverride": "A"}),
            Err("pod HostnameOverride \"A\" is not a valid DNS subdomain: "),
        );
        check(&"-".repeat(64), json!({}), Err("hostname for pod \""));
    }

    #[test]
    fn the_kernel_is_told_all_of_it_if_that_is_wanted() {
        let told = |name: &str, spec: Value| {
            let pod = named(name, spec);
            for_kernel(&pod, &hostname(&pod, &Node::default()).unwrap()).map_err(|invalid| invalid.message)
        };
        assert_eq!(told("web", json!({"subdomain": "s"})).unwrap(), "web");
        assert_eq!(told("web", json!({"setHostnameAsFQDN": true})).unwrap(), "web");
        let all = json!({"subdomain": "s", "setHostnameAsFQDN": true});
        assert_eq!(told("web", all.clone()).unwrap(), "web.s.ns.svc.cluster.local");
        let message = told(&"x".repeat(43), all).unwrap_err();
        assert!(message.ends_with("is too long (64 characters is the max, 66 characters requested)"), "{message}");
    }
}
