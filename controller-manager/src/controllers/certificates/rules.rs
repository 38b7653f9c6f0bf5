//! What the built-in signers ask of requests. Who breaks a rule is told which, in upstream's words.

use std::collections::BTreeSet;

use super::request::Request;

const CLIENT_AUTH: &str = "client auth";
const DIGITAL_SIGNATURE: &str = "digital signature";
const KEY_ENCIPHERMENT: &str = "key encipherment";
const SERVER_AUTH: &str = "server auth";

const NODES_GROUP: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";

type Rule = Result<(), String>;

fn unless(broken: bool, message: &str) -> Rule {
    if broken { Err(message.to_owned()) } else { Ok(()) }
}

/// For `kubernetes.io/kube-apiserver-client-kubelet`.
pub(super) fn kubelet_client(request: &Request, usages: &[String]) -> Rule {
    is_of_nodes(request)?;
    unless(!request.names.dns.is_empty(), "DNS subjectAltNames are not allowed")?;
    unless(!request.names.emails.is_empty(), "Email subjectAltNames are not allowed")?;
    unless(!request.names.addresses.is_empty(), "IP subjectAltNames are not allowed")?;
    unless(!request.names.uris.is_empty(), "URI subjectAltNames are not allowed")?;
    is_a_node(request)?;
    is_for(usages, CLIENT_AUTH)
}

/// For `kubernetes.io/kubelet-serving`.
pub(super) fn kubelet_serving(request: &Request, usages: &[String]) -> Rule {
    is_of_nodes(request)?;
    let nowhere = request.names.dns.is_empty() && request.names.addresses.is_empty();
    unless(nowhere, "DNS or IP subjectAltName is required")?;
    unless(!request.names.emails.is_empty(), "Email subjectAltNames are not allowed")?;
    unless(!request.names.uris.is_empty(), "URI subjectAltNames are not allowed")?;
    is_for(usages, SERVER_AUTH)?;
    is_a_node(request)
}

/// For `kubernetes.io/kube-apiserver-client`.
pub(super) fn api_server_client(usages: &[String]) -> Rule {
    let known = |usage: &&String| [CLIENT_AUTH, DIGITAL_SIGNATURE, KEY_ENCIPHERMENT].contains(&usage.as_str());
    if let Some(usage) = usages.iter().find(|usage| !known(usage)) {
        return Err(format!("invalid usage for client certificate: {usage}"));
    }
    let missing = !usages.iter().any(|usage| usage == CLIENT_AUTH);
    unless(missing, "missing required usage for client certificate: client auth")
}

fn is_of_nodes(request: &Request) -> Rule {
    unless(request.organizations != [NODES_GROUP], "subject organization is not system:nodes")
}

fn is_a_node(request: &Request) -> Rule {
    let is_one = request.common_name.starts_with(NODE_PREFIX);
    unless(!is_one, "subject common name does not begin with system:node:")
}

/// Whether the usages are those of keys by which their holder is known, as a client or as a server. What only RSA can do
/// may be left out.
fn is_for(usages: &[String], purpose: &str) -> Rule {
    let usages: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let with_encipherment: BTreeSet<&str> = [DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, purpose].into();
    let without: BTreeSet<&str> = [DIGITAL_SIGNATURE, purpose].into();
    if usages == with_encipherment || usages == without {
        return Ok(());
    }
    let wanted = with_encipherment.into_iter().collect::<Vec<_>>().join(" ");
    Err(format!("usages did not match [{wanted}]"))
}

#[cfg(test)]
mod tests {
    use rcgen::SanType;

    use super::*;
    use crate::controllers::certificates::samples::{names, pem};

    fn request(common_name: &str, organizations: &[&str], names: &[SanType]) -> Request {
        Request::from_pem(pem(common_name, organizations, names).as_bytes()).unwrap()
    }

    fn owned(usages: &[&str]) -> Vec<String> {
        usages.iter().map(|usage| (*usage).to_owned()).collect()
    }

    #[test]
    fn client_certificates_of_kubelets_name_a_node_and_nothing_else() {
        let usages = ["digital signature", "client auth"];
        let check = |request: Request, usages: &[&str], expected: Result<(), &str>| {
            assert_eq!(kubelet_client(&request, &owned(usages)), expected.map_err(str::to_owned));
        };
        let node = |names: &[SanType]| request("system:node:n1", &["system:nodes"], names);
        check(node(&[]), &usages, Ok(()));
        check(node(&[]), &["key encipherment", "client auth", "digital signature", "client auth"], Ok(()));
        let unlike = Err("usages did not match [client auth digital signature key encipherment]");
        for usages in [&[][..], &["client auth"], &["digital signature", "server auth"]] {
            check(node(&[]), usages, unlike);
        }
        check(node(&[]), &["digital signature", "client auth", "server auth"], unlike);
        check(node(&names(&["n1"], &[], &[], &[])), &usages, Err("DNS subjectAltNames are not allowed"));
        check(node(&names(&[], &["n@x"], &["::1"], &[])), &usages, Err("Email subjectAltNames are not allowed"));
        check(node(&names(&[], &[], &["::1"], &[])), &usages, Err("IP subjectAltNames are not allowed"));
        check(node(&names(&[], &[], &[], &["a://b"])), &usages, Err("URI subjectAltNames are not allowed"));
        let no_node = Err("subject common name does not begin with system:node:");
        check(request("n1", &["system:nodes"], &[]), &usages, no_node);
        let no_group = Err("subject organization is not system:nodes");
        for organizations in [&[][..], &["system:masters"], &["system:nodes", "system:masters"]] {
            check(request("system:node:n1", organizations, &[]), &usages, no_group);
        }
    }

    #[test]
    fn serving_certificates_of_kubelets_name_a_node_and_where_it_is() {
        let usages = ["digital signature", "server auth"];
        let check = |request: Request, usages: &[&str], expected: Result<(), &str>| {
            assert_eq!(kubelet_serving(&request, &owned(usages)), expected.map_err(str::to_owned));
        };
        let node = |names: &[SanType]| request("system:node:n1", &["system:nodes"], names);
        let (by_name, by_address) = (names(&["n1"], &[], &[], &[]), names(&[], &[], &["10.0.0.1"], &[]));
        check(node(&by_name), &usages, Ok(()));
        check(node(&by_address), &["digital signature", "server auth", "key encipherment"], Ok(()));
        check(node(&[]), &usages, Err("DNS or IP subjectAltName is required"));
        check(node(&names(&["n1"], &["n@x"], &[], &[])), &usages, Err("Email subjectAltNames are not allowed"));
        check(node(&names(&["n1"], &[], &[], &["a://b"])), &usages, Err("URI subjectAltNames are not allowed"));
        let unlike = Err("usages did not match [digital signature key encipherment server auth]");
        check(node(&by_name), &["digital signature", "client auth"], unlike);
        let no_node = Err("subject common name does not begin with system:node:");
        check(request("n1", &["system:nodes"], &by_name), &usages, no_node);
        check(request("system:node:n1", &[], &by_name), &usages, Err("subject organization is not system:nodes"));
    }

    #[test]
    fn client_certificates_are_for_clients() {
        let check = |usages: &[&str], expected: Result<(), &str>| {
            assert_eq!(api_server_client(&owned(usages)), expected.map_err(str::to_owned), "{usages:?}");
        };
        check(&["client auth"], Ok(()));
        check(&["key encipherment", "digital signature", "client auth"], Ok(()));
        check(&["client auth", "server auth"], Err("invalid usage for client certificate: server auth"));
        let missing = Err("missing required usage for client certificate: client auth");
        check(&["digital signature"], missing);
        check(&[], missing);
    }
}
