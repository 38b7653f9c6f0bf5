//! What clients are warned of: fields without effect, and CIDRs in forms that will cease to be accepted.

use std::net::IpAddr;

use api::field::{Path, go_quote};
use api::names::{Cidr, parse_cidr_sloppy};
use k8s_openapi::api::core::v1::Node;

/// Warnings about a node.
pub(super) fn warnings(node: &Node) -> Vec<String> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let mut warnings = Vec::new();
    if spec.config_source.is_some() {
        warnings.push("spec.configSource: the feature is removed".to_owned());
    }
    if spec.external_id.as_ref().is_some_and(|id| !id.is_empty()) {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    let path = Path::new("spec").child("podCIDRs");
    let cidrs = spec.pod_cidrs.iter().flatten().enumerate();
    warnings.extend(cidrs.flat_map(|(i, cidr)| warnings_for_cidr(&path.index(i), cidr)));
    warnings
}

/// Warnings about a CIDR that legacy rules accept, and newer ones would not as it is written.
fn warnings_for_cidr(path: &Path, value: &str) -> Vec<String> {
    let Some(parsed) = parse_cidr_sloppy(value) else { return Vec::new() };
    let mut warnings = Vec::new();
    let network = format!("{}/{}", parsed.network(), parsed.prefix_length);
    let shown = go_quote(value);
    if parsed.address != parsed.network() {
        let bits = if value.contains(':') { 128 } else { 32 };
        let single = go_quote(&format!("{}/{bits}", parsed.address));
        warnings.push(format!(
            "{path}: CIDR value {shown} is ambiguous in this context (should be {} or {single}?)",
            go_quote(&network)
        ));
    }
    if !is_strict(value, &parsed) {
        warnings.push(format!(
            "{path}: non-standard CIDR value {shown} will be considered invalid in a future Kubernetes release: use {}",
            go_quote(&network)
        ));
    }
    if warnings.is_empty() && parsed.address.is_ipv6() && value != network {
        warnings.push(format!(
            "{path}: IPv6 CIDR value {shown} should be in RFC 5952 canonical format ({})",
            go_quote(&network)
        ));
    }
    warnings
}

/// Whether neither the address nor the prefix length has leading zeros, and the address is no IPv4 address in IPv6 form.
fn is_strict(value: &str, parsed: &Cidr) -> bool {
    let Some((address, length)) = value.split_once('/') else { return false };
    let is_mapped = parsed.address.is_ipv4() && address.contains(':');
    let has_leading_zero = length.len() > 1 && length.starts_with('0');
    address.parse::<IpAddr>().is_ok() && !is_mapped && !has_leading_zero
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidrs() {
        let check = |value: &str, expected: &[&str]| {
            let expected: Vec<String> = expected.iter().map(|warning| format!("f: {warning}")).collect();
            assert_eq!(warnings_for_cidr(&Path::new("f"), value), expected, "{value}");
        };
        let future = "will be considered invalid in a future Kubernetes release: use";
        check("10.0.0.0/24", &[]);
        check("fd00::/64", &[]);
        check("nonsense", &[]);
        check(
            "10.0.0.5/24",
            &[
                "CIDR value \"10.0.0.5/24\" is ambiguous in this context (should be \"10.0.0.0/24\" or \"10.0.0.5/32\"?)",
            ],
        );
        check("010.0.0.0/24", &[&format!("non-standard CIDR value \"010.0.0.0/24\" {future} \"10.0.0.0/24\"")]);
        check("10.0.0.0/08", &[&format!("non-standard CIDR value \"10.0.0.0/08\" {future} \"10.0.0.0/8\"")]);
        check(
            "::ffff:10.0.0.0/104",
            &[&format!("non-standard CIDR value \"::ffff:10.0.0.0/104\" {future} \"10.0.0.0/8\"")],
        );
        check("FD00::/64", &["IPv6 CIDR value \"FD00::/64\" should be in RFC 5952 canonical format (\"fd00::/64\")"]);
        check(
            "fd00::1/64",
            &["CIDR value \"fd00::1/64\" is ambiguous in this context (should be \"fd00::/64\" or \"fd00::1/128\"?)"],
        );
    }
}
