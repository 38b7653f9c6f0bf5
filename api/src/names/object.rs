//! Validators of object names, which also take the beginning of a generated name.

use super::{Messages, dns1035_label, dns1123_label, dns1123_subdomain, path_segment_name, path_segment_prefix};

/// What a kind demands of its objects' names. The second argument tells that the text is a `generateName`, to which
/// more will be appended.
pub type NameValidator = fn(&str, bool) -> Messages;

/// The object's name is a DNS subdomain, as most kinds demand.
pub fn object_dns_subdomain(name: &str, prefix: bool) -> Messages {
    dns1123_subdomain(&mask_trailing_dash(name, prefix))
}

/// The object's name is a DNS label.
pub fn object_dns_label(name: &str, prefix: bool) -> Messages {
    dns1123_label(&mask_trailing_dash(name, prefix))
}

/// The object's name is a DNS label that starts with a letter.
pub fn object_dns1035_label(name: &str, prefix: bool) -> Messages {
    dns1035_label(&mask_trailing_dash(name, prefix))
}

/// The object's name is anything that fits into a URL, as RBAC's kinds demand.
pub fn object_path_segment(name: &str, prefix: bool) -> Messages {
    if prefix { path_segment_prefix(name) } else { path_segment_name(name) }
}

/// A namespace's name.
pub fn namespace_name(name: &str, prefix: bool) -> Messages {
    object_dns_label(name, prefix)
}

/// A beginning may end with a dash, since something follows it: as upstream does, the last two bytes become one letter.
fn mask_trailing_dash(name: &str, prefix: bool) -> std::borrow::Cow<'_, str> {
    match name.strip_suffix('-') {
        Some(rest) if prefix && !rest.is_empty() => {
            let mut masked: String = rest.to_owned();
            masked.pop();
            masked.push('a');
            masked.into()
        }
        _ => name.into(),
    }
}
