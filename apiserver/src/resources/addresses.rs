//! Rules for addresses that several kinds share: what upstream calls legacy fields, which accept forms other than the
//! canonical one, and warn of them.
//!
//! Strict validation (`StrictIPCIDRValidation`, on by default since v1.36) refuses what older parsers accepted, except
//! where it has been stored before.

use std::net::{IpAddr, Ipv6Addr};

use api::field::{Error, ErrorList, Path, go_quote};
use api::names;

/// The protocols of ports, in the order of messages.
pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// The address at `path`, unless it is one of those that were stored before.
pub(super) fn legacy_ip(path: &Path, value: &str, stored: &[String]) -> ErrorList {
    if stored.iter().any(|old| old == value) {
        return ErrorList::new();
    }
    names::legacy_ip(path, value, true)
}

/// The block of addresses at `path`, unless it is one of those that were stored before.
pub(super) fn legacy_cidr<S: AsRef<str>>(path: &Path, value: &str, stored: &[S]) -> ErrorList {
    if stored.iter().any(|old| old.as_ref() == value) {
        return ErrorList::new();
    }
    names::legacy_cidr(path, value, true)
}

/// The address at `path` is one that endpoints and load balancers can have: unspecified, loopback and link-local
/// addresses mean something else on every node.
pub(super) fn not_special(path: &Path, value: &str) -> ErrorList {
    let Some(ip) = names::parse_ip_sloppy(value) else {
        return Error::invalid(path, value, "must be a valid IP address").into();
    };
    let mut errors = ErrorList::new();
    let mut refuse = |is_special: bool, detail: &str| {
        if is_special {
            errors.push(Error::invalid(path, value, detail));
        }
    };
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), is_link_local_multicast(v6)),
    };
    refuse(ip.is_unspecified(), &format!("may not be unspecified ({value})"));
    refuse(ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    refuse(link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    refuse(link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    errors
}

/// What to warn of in an address of a legacy field; nothing if it is no address at all.
pub(super) fn ip_warnings(path: &Path, value: &str) -> Option<String> {
    let ip = names::parse_ip_sloppy(value)?;
    match value.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => None,
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => (v6.to_string() != value).then(|| {
            let (value, canonical) = (go_quote(value), go_quote(&v6.to_string()));
            format!("{path}: IPv6 address {value} should be in RFC 5952 canonical format ({canonical})")
        }),
        _ => {
            let (value, better) = (go_quote(value), go_quote(&ip.to_string()));
            Some(format!(
                "{path}: non-standard IP address {value} will be considered invalid in a future Kubernetes release: use \
                 {better}"
            ))
        }
    }
}

/// What to warn of in a block of a legacy field; nothing if it is no block at all.
pub(super) fn cidr_warnings(path: &Path, value: &str) -> Vec<String> {
    let Some(cidr) = names::parse_cidr_sloppy(value) else { return Vec::new() };
    let (quoted, network) = (go_quote(value), go_quote(&format!("{}/{}", cidr.network(), cidr.prefix_length)));
    let mut warnings = Vec::new();
    if cidr.network() != cidr.address {
        let bits = if cidr.address.is_ipv4() { 32 } else { 128 };
        let single = go_quote(&format!("{}/{bits}", cidr.address));
        warnings.push(format!(
            "{path}: CIDR value {quoted} is ambiguous in this context (should be {network} or {single}?)"
        ));
    }
    let (address, length) = value.split_once('/').unwrap_or((value, ""));
    let standard = match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => v6.to_ipv4_mapped().is_none(),
        Ok(IpAddr::V4(_)) => true,
        Err(_) => false,
    };
    if !standard || (length.len() > 1 && length.starts_with('0')) {
        warnings.push(format!(
            "{path}: non-standard CIDR value {quoted} will be considered invalid in a future Kubernetes release: use \
             {network}"
        ));
    }
    if warnings.is_empty() && cidr.address.is_ipv6() && quoted != network {
        warnings.push(format!("{path}: IPv6 CIDR value {quoted} should be in RFC 5952 canonical format ({network})"));
    }
    warnings
}

/// As Go decides it: `ff02::/16` with any flags.
fn is_link_local_multicast(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 0xff && second & 0x0f == 0x02
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_refused() {
        let cases = [
            ("10.0.0.1", ""),
            ("2001:db8::1", ""),
            ("x", "must be a valid IP address"),
            ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
            ("::", "may not be unspecified (::)"),
            ("127.1.2.3", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("224.0.0.9", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
            ("ff12::1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
            ("224.0.1.9", ""),
        ];
        for (value, expected) in cases {
            let details: Vec<String> = not_special(&Path::new("f"), value).iter().map(|e| e.detail.clone()).collect();
            let expected: Vec<&str> = if expected.is_empty() { vec![] } else { vec![expected] };
            assert_eq!(details, expected, "{value}");
        }
    }

    #[test]
    fn odd_forms_are_warned_of() {
        let cases = [
            ("10.0.0.1", None),
            ("2001:db8::1", None),
            ("x", None),
            (
                "10.00.0.1",
                Some(
                    "f: non-standard IP address \"10.00.0.1\" will be considered invalid in a future Kubernetes release: \
                     use \"10.0.0.1\"",
                ),
            ),
            (
                "::ffff:10.0.0.1",
                Some(
                    "f: non-standard IP address \"::ffff:10.0.0.1\" will be considered invalid in a future Kubernetes \
                     release: use \"10.0.0.1\"",
                ),
            ),
            (
                "2001:DB8::1",
                Some("f: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")"),
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(ip_warnings(&Path::new("f"), value).as_deref(), expected);
        }
        let cases: [(&str, &[&str]); 6] = [
            ("10.0.0.0/8", &[]),
            ("2001:db8::/64", &[]),
            ("x", &[]),
            (
                "10.0.0.1/8",
                &[
                    "f: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
                ],
            ),
            (
                "010.0.0.0/8",
                &[
                    "f: non-standard CIDR value \"010.0.0.0/8\" will be considered invalid in a future Kubernetes release: \
                   use \"10.0.0.0/8\"",
                ],
            ),
            (
                "2001:db8:0::/64",
                &["f: IPv6 CIDR value \"2001:db8:0::/64\" should be in RFC 5952 canonical format (\"2001:db8::/64\")"],
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(cidr_warnings(&Path::new("f"), value), expected);
        }
    }

    #[test]
    fn stored_addresses_stay_valid() {
        let path = Path::new("f");
        assert_eq!(legacy_ip(&path, "010.0.0.1", &[]).len(), 1);
        assert!(legacy_ip(&path, "010.0.0.1", &["010.0.0.1".to_owned()]).is_empty());
        assert_eq!(legacy_cidr(&path, "10.0.0.1/8", &["10.0.0.2/8"]).len(), 1);
        assert!(legacy_cidr(&path, "10.0.0.1/8", &["10.0.0.1/8"]).is_empty());
    }
}
