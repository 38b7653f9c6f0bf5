//! What may be a name of what, and how names and identities are generated.
//!
//! Every validator takes a text and returns what is wrong with it, in upstream's words, or nothing. Lengths are in
//! bytes. The sources of the rules are `k8s.io/apimachinery/pkg/api/validate/content` and `.../pkg/util/validation`;
//! the patterns are matched by hand, in one pass and without backtracking.

mod dns;
mod generate;
mod identifier;
mod ip;
mod label;
mod message;
mod number;
mod object;
mod request;

pub use dns::{
    DNS_LABEL_MAX_BYTES, DNS_SUBDOMAIN_MAX_BYTES, dns1035_label, dns1123_label, dns1123_subdomain,
    dns1123_subdomain_with_underscore, fully_qualified_domain_name, fully_qualified_name, wildcard_dns1123_subdomain,
};
pub use generate::{MAX_GENERATED_BASE_BYTES, RandomBits, generate_name, random_suffix, safe_encode, uid};
pub use identifier::{c_identifier, config_map_key, env_var_name, relaxed_env_var_name};
pub use ip::{Cidr, cidr, ip, ipv4_address, ipv6_address, legacy_cidr, legacy_ip, parse_cidr_sloppy, parse_ip_sloppy};
pub use label::{
    LABEL_MAX_BYTES, domain_prefixed_key, domain_prefixed_path, label_key, label_value, prefixed_label_key,
};
pub use message::{empty_error, inclusive_range_error, max_length_error, regex_error};
pub use number::{group_id, in_range, percent, port_number, user_id};
pub use object::{
    NameValidator, namespace_name, object_dns_label, object_dns_subdomain, object_dns1035_label, object_path_segment,
};
pub use request::{http_header_name, path_segment_name, path_segment_prefix, port_name};

/// What is wrong with a text; empty when nothing is.
pub type Messages = Vec<String>;

#[cfg(test)]
mod tests;
