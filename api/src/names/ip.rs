//! IP addresses and CIDR blocks.
//!
//! Fields that predate strict validation ("legacy" ones) accept what Go's parser accepted before 1.17: leading zeros in
//! IPv4, IPv4-mapped IPv6, bits beyond the prefix. New fields accept the canonical form only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::field::{Error, ErrorList, Path, go_quote};

const IP_RULE: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const CIDR_RULE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// A block of addresses, or an address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address as written; IPv4-mapped IPv6 is IPv4.
    pub address: IpAddr,
    /// Bits in common.
    pub prefix_length: u8,
}

impl Cidr {
    /// The address with everything beyond the prefix cleared.
    pub fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_length)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_length)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        }
    }
}

/// The address at `path` is well-formed and in canonical form.
pub fn ip(path: &Path, value: &str) -> ErrorList {
    let errors = legacy_ip(path, value, true);
    match parse_ip_sloppy(value) {
        Some(ip) if errors.is_empty() => canonical(path, value, &ip.to_string()),
        _ => errors,
    }
}

/// The address at `path`, in a field that accepts forms other than the canonical one. Strict validation refuses leading
/// zeros and IPv4-mapped IPv6.
pub fn legacy_ip(path: &Path, value: &str, strict: bool) -> ErrorList {
    if parse_ip_sloppy(value).is_none() {
        return Error::invalid(path, value, IP_RULE).into();
    }
    if strict {
        match value.parse::<IpAddr>() {
            Err(_) => return Error::invalid(path, value, "must not have leading 0s").into(),
            Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
                return Error::invalid(path, value, "must not be an IPv4-mapped IPv6 address").into();
            }
            Ok(_) => {}
        }
    }
    ErrorList::new()
}

/// The value at `path` is an IPv4 address, leniently.
pub fn ipv4_address(path: &Path, value: &str) -> ErrorList {
    match parse_ip_sloppy(value) {
        Some(IpAddr::V4(_)) => ErrorList::new(),
        _ => Error::invalid(path, value, "must be a valid IPv4 address").into(),
    }
}

/// The value at `path` is an IPv6 address, leniently; IPv4-mapped ones are IPv4.
pub fn ipv6_address(path: &Path, value: &str) -> ErrorList {
    match parse_ip_sloppy(value) {
        Some(IpAddr::V6(_)) => ErrorList::new(),
        _ => Error::invalid(path, value, "must be a valid IPv6 address").into(),
    }
}

/// The block at `path` is well-formed and in canonical form.
pub fn cidr(path: &Path, value: &str) -> ErrorList {
    let errors = legacy_cidr(path, value, true);
    match parse_cidr_sloppy(value) {
        Some(cidr) if errors.is_empty() => {
            canonical(path, value, &format!("{}/{}", cidr.network(), cidr.prefix_length))
        }
        _ => errors,
    }
}

/// The block at `path`, in a field that accepts forms other than the canonical one. Strict validation refuses leading
/// zeros, IPv4-mapped IPv6, and bits beyond the prefix.
pub fn legacy_cidr(path: &Path, value: &str, strict: bool) -> ErrorList {
    let Some(parsed) = parse_cidr_sloppy(value) else {
        return Error::invalid(path, value, CIDR_RULE).into();
    };
    if !strict {
        return ErrorList::new();
    }
    let (address, length) = value.split_once('/').unwrap_or((value, ""));
    let detail = match address.parse::<IpAddr>() {
        _ if length.len() > 1 && length.starts_with('0') => "must not have leading 0s in IP or prefix length",
        Err(_) => "must not have leading 0s in IP or prefix length",
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => "must not have an IPv4-mapped IPv6 address",
        Ok(_) if parsed.network() != parsed.address => "must not have bits set beyond the prefix length",
        Ok(_) => return ErrorList::new(),
    };
    Error::invalid(path, value, detail).into()
}

/// An address as legacy fields accept it. IPv4-mapped IPv6 addresses become IPv4.
pub fn parse_ip_sloppy(text: &str) -> Option<IpAddr> {
    if !text.contains(':') {
        return parse_ipv4_sloppy(text).map(IpAddr::V4);
    }
    let v6: Ipv6Addr = match text.rsplit_once(':') {
        Some((head, tail)) if tail.contains('.') => format!("{head}:{}", parse_ipv4_sloppy(tail)?).parse().ok()?,
        _ => text.parse().ok()?,
    };
    Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

/// A block as legacy fields accept it. The prefix of an IPv4-mapped block that is shorter than the mapping itself
/// counts as none.
pub fn parse_cidr_sloppy(text: &str) -> Option<Cidr> {
    let (address, length) = text.split_once('/')?;
    let ip = parse_ip_sloppy(address)?;
    let written_bits: u8 = if address.contains(':') { 128 } else { 32 };
    let length = parse_decimal(length, u32::from(written_bits))?;
    let length = u8::try_from(length).ok()?;
    // Written as IPv6 and meaning IPv4: the first 96 bits are the mapping.
    let prefix_length = if ip.is_ipv4() && written_bits == 128 { length.saturating_sub(96) } else { length };
    Some(Cidr { address: ip, prefix_length })
}

fn parse_ipv4_sloppy(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = u8::try_from(parse_decimal(parts.next()?, 255)?).ok()?;
    }
    parts.next().is_none().then_some(octets.into())
}

/// Digits, leading zeros allowed, for a number up to `max`.
fn parse_decimal(digits: &str, max: u32) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| *number <= max)
}

fn canonical(path: &Path, value: &str, canonical: &str) -> ErrorList {
    if value == canonical {
        return ErrorList::new();
    }
    Error::invalid(path, value, format!("must be in canonical form ({})", go_quote(canonical))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Validator = fn(&Path, &str) -> ErrorList;

    #[track_caller]
    fn check(validator: Validator, value: &str, expected: &str) {
        let errors = validator(&Path::new("f"), value);
        let expected: Vec<&str> = if expected.is_empty() { vec![] } else { vec![expected] };
        assert_eq!(errors.iter().map(|e| e.detail.as_str()).collect::<Vec<_>>(), expected, "{value:?}");
    }

    const ZEROS: &str = "must not have leading 0s";
    const MAPPED: &str = "must not be an IPv4-mapped IPv6 address";

    #[test]
    fn ips_as_upstream() {
        // value, canonical rule, legacy strict rule, legacy rule
        let cases = [
            ("1.2.3.4", "", "", ""),
            ("255.0.0.1", "", "", ""),
            ("2001:db8::1", "", "", ""),
            ("::1", "", "", ""),
            ("::", "", "", ""),
            ("2001:0db8::1", "must be in canonical form (\"2001:db8::1\")", "", ""),
            ("2001:db8:0:0:0:0:0:1", "must be in canonical form (\"2001:db8::1\")", "", ""),
            ("2001:DB8::1", "must be in canonical form (\"2001:db8::1\")", "", ""),
            ("1.2.03.4", ZEROS, ZEROS, ""),
            ("::ffff:1.2.3.4", MAPPED, MAPPED, ""),
            ("::ffff:1.2.03.4", ZEROS, ZEROS, ""),
            ("", IP_RULE, IP_RULE, IP_RULE),
            ("aaaaaaa", IP_RULE, IP_RULE, IP_RULE),
            ("myhost.mydomain", IP_RULE, IP_RULE, IP_RULE),
            ("1.2.3.4/24", IP_RULE, IP_RULE, IP_RULE),
            ("1.2.3.4:80", IP_RULE, IP_RULE, IP_RULE),
            ("1.2.3", IP_RULE, IP_RULE, IP_RULE),
            ("1.2.3.256", IP_RULE, IP_RULE, IP_RULE),
            ("1.2.3.4.5", IP_RULE, IP_RULE, IP_RULE),
            ("1.2..4", IP_RULE, IP_RULE, IP_RULE),
            ("+1.2.3.4", IP_RULE, IP_RULE, IP_RULE),
            (" 1.2.3.4", IP_RULE, IP_RULE, IP_RULE),
            ("[2001:db8::1]", IP_RULE, IP_RULE, IP_RULE),
            ("2001:db8::1::2", IP_RULE, IP_RULE, IP_RULE),
            ("2001:db8:::1", IP_RULE, IP_RULE, IP_RULE),
            ("fe80::1%eth0", IP_RULE, IP_RULE, IP_RULE),
            ("2001:dbx::1", IP_RULE, IP_RULE, IP_RULE),
        ];
        for (value, new, strict, lax) in cases {
            check(ip, value, new);
            check(|p, v| legacy_ip(p, v, true), value, strict);
            check(|p, v| legacy_ip(p, v, false), value, lax);
        }
    }

    #[test]
    fn families() {
        let (v4, v6) = ("must be a valid IPv4 address", "must be a valid IPv6 address");
        for (value, as_v4, as_v6) in
            [("1.2.3.4", "", v6), ("::1", v4, ""), ("::ffff:1.2.3.4", "", v6), ("x", v4, v6), ("", v4, v6)]
        {
            check(ipv4_address, value, as_v4);
            check(ipv6_address, value, as_v6);
        }
    }

    #[test]
    fn cidrs_as_upstream() {
        let zeros = "must not have leading 0s in IP or prefix length";
        let mapped = "must not have an IPv4-mapped IPv6 address";
        let bits = "must not have bits set beyond the prefix length";
        let cases = [
            ("1.0.0.0/8", "", "", ""),
            ("0.0.0.0/0", "", "", ""),
            ("1.2.3.4/32", "", "", ""),
            ("2001:db8::/64", "", "", ""),
            ("2001:db8::1/128", "", "", ""),
            ("::/0", "", "", ""),
            ("2001:0db8::/64", "must be in canonical form (\"2001:db8::/64\")", "", ""),
            ("2001:DB8::/64", "must be in canonical form (\"2001:db8::/64\")", "", ""),
            ("1.1.01.0/24", zeros, zeros, ""),
            ("192.168.0.0/016", zeros, zeros, ""),
            ("::ffff:1.1.1.0/24", mapped, mapped, ""),
            ("::ffff:1.1.1.0/120", mapped, mapped, ""),
            ("1.2.3.4/24", bits, bits, ""),
            ("2001:db8::1/64", bits, bits, ""),
            ("", CIDR_RULE, CIDR_RULE, CIDR_RULE),
            ("aaaaaaa", CIDR_RULE, CIDR_RULE, CIDR_RULE),
            ("1.2.3.4", CIDR_RULE, CIDR_RULE, CIDR_RULE),
            ("1.2.3.0/33", CIDR_RULE, CIDR_RULE, CIDR_RULE),
            ("1.2.3.0/", CIDR_RULE, CIDR_RULE, CIDR_RULE),
            ("1.2.3.0/a", CIDR_RULE, CIDR_RULE, CIDR_RULE),
            ("1.2.3.0/-1", CIDR_RULE, CIDR_RULE, CIDR_RULE),
            ("1.2.3.0/24/24", CIDR_RULE, CIDR_RULE, CIDR_RULE),
            ("2001:db8::/129", CIDR_RULE, CIDR_RULE, CIDR_RULE),
        ];
        for (value, new, strict, lax) in cases {
            check(cidr, value, new);
            check(|p, v| legacy_cidr(p, v, true), value, strict);
            check(|p, v| legacy_cidr(p, v, false), value, lax);
        }
    }
}
