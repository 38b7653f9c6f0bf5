//! Names of drivers, pools, devices, attributes, and shares of devices.

use api::field::{BadValue, Error, ErrorList, Path, go_quote};
use api::names::{DNS_LABEL_MAX_BYTES, c_identifier, dns1123_label, dns1123_subdomain};

/// Longest name of a request, device or counter.
pub(crate) const MAX_LABEL_BYTES: usize = DNS_LABEL_MAX_BYTES;
const MAX_DRIVER_BYTES: usize = 63;
const MAX_POOL_BYTES: usize = 253;
const MAX_ID_BYTES: usize = 32;
/// Longest name of an attribute or a capacity: a domain, a slash and an identifier.
pub(crate) const MAX_QUALIFIED_BYTES: usize = MAX_DRIVER_BYTES + 1 + MAX_ID_BYTES;

/// What is wrong with the name of a driver: as with that of a CSI driver, case does not matter.
pub(crate) fn driver_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return errors;
    }
    if name.len() > MAX_DRIVER_BYTES {
        errors.push(Error::too_long(path, MAX_DRIVER_BYTES));
    }
    errors.push_invalid(path, name, dns1123_subdomain(&name.to_lowercase()));
    errors
}

/// What is wrong with the name of a pool: subdomains joined by slashes.
pub(crate) fn pool_name(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return Error::required(path, "").into();
    }
    let mut errors = ErrorList::new();
    if name.len() > MAX_POOL_BYTES {
        errors.push(Error::too_long(path, MAX_POOL_BYTES));
    }
    for part in name.split('/') {
        errors.extend(object_name(part, path));
    }
    errors
}

/// What is wrong with a name that is a DNS label: of a device, a request, a counter.
pub(crate) fn label(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.push_invalid(path, name, dns1123_label(name));
    errors
}

/// What is wrong with a name that is a DNS subdomain: of a class, a node.
pub(crate) fn object_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.push_invalid(path, name, dns1123_subdomain(name));
    errors
}

/// What is wrong with the name of an attribute or a capacity: an identifier, which may have a domain.
pub(crate) fn qualified_name(name: &str, path: &Path) -> ErrorList {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [id] => identifier(id, path),
        [domain, id] => {
            let mut errors = if domain.is_empty() {
                Error::invalid(path, "", "the domain must not be empty").into()
            } else {
                driver_name(domain, path)
            };
            errors.extend(if id.is_empty() {
                Error::invalid(path, "", "the name must not be empty").into()
            } else {
                identifier(id, path)
            });
            errors
        }
        _ => Error::invalid(path, name, "must not contain more than one slash").into(),
    }
}

/// The same for a name that must have a domain.
pub(crate) fn fully_qualified_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = qualified_name(name, path);
    if !name.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(Error::invalid(path, name, detail));
    }
    errors
}

fn identifier(id: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if id.len() > MAX_ID_BYTES {
        errors.push(Error::too_long(path, MAX_ID_BYTES));
    }
    errors.push_invalid(path, id, c_identifier(id));
    errors
}

/// What is wrong with a UUID in lower case.
pub(crate) fn is_uid(uid: &str, path: &Path) -> ErrorList {
    if let Err(why) = check_uuid(uid) {
        return Error::invalid(path, uid, format!("error validating uid: {why}")).into();
    }
    if uid.len() != 36 || uid.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let detail = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
                      hexadecimal characters";
        return Error::invalid(path, uid, detail).into();
    }
    ErrorList::new()
}

/// Whether the text is a UUID in any of its forms; else what Go's `uuid` says.
fn check_uuid(text: &str) -> Result<(), String> {
    const FORMAT: &str = "invalid UUID format";
    const URN: &str = "urn:uuid:";
    let all_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bare = match text.len() {
        36 => text,
        45 => match text.split_at_checked(URN.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(URN) => rest,
            Some((prefix, _)) => return Err(format!("invalid urn prefix: {}", go_quote(prefix))),
            None => return Err(FORMAT.to_owned()),
        },
        38 => match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(rest) => rest,
            None => return Err("invalid bracketed UUID format".to_owned()),
        },
        32 if all_hex(text) => return Ok(()),
        32 => return Err(FORMAT.to_owned()),
        length => return Err(format!("invalid UUID length: {length}")),
    };
    let parts: Vec<&str> = bare.split('-').collect();
    let lengths = [8, 4, 4, 4, 12];
    let valid = parts.len() == lengths.len()
        && parts.iter().zip(lengths).all(|(part, length)| part.len() == length && all_hex(part));
    if valid { Ok(()) } else { Err(FORMAT.to_owned()) }
}

/// One device, or one share of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceId {
    driver: String,
    pool: String,
    device: String,
    share: String,
}

impl DeviceId {
    /// The device of this name in the driver's pool; `share` tells shares of one device apart.
    pub(crate) fn new(driver: &str, pool: &str, device: &str, share: Option<&String>) -> DeviceId {
        let share = share.cloned().unwrap_or_default();
        DeviceId { driver: driver.to_owned(), pool: pool.to_owned(), device: device.to_owned(), share }
    }
}

impl From<DeviceId> for BadValue {
    fn from(id: DeviceId) -> BadValue {
        let DeviceId { driver, pool, device, share } = id;
        let share = if share.is_empty() { share } else { format!("/{share}") };
        BadValue::Json(format!("{driver}/{pool}/{device}{share}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names() {
        let check = |validator: fn(&str, &Path) -> ErrorList, name: &str, expected: &[&str]| {
            let errors = shown(&validator(name, &Path::new("n")));
            assert_eq!(errors.len(), expected.len(), "{name}: {errors:?}");
            assert!(errors.iter().zip(expected).all(|(shown, start)| shown.starts_with(start)), "{name}: {errors:?}");
        };
        let subdomain = "a lowercase RFC 1123 subdomain must consist";
        let c = "a valid C identifier must start with alphabetic character";
        check(driver_name, "GPU.example.com", &[]);
        check(driver_name, "", &["n: Required value"]);
        check(driver_name, "a_b", &[&format!("n: Invalid value: \"a_b\": {subdomain}")]);
        check(driver_name, &"a".repeat(64), &["n: Too long: may not be more than 63 bytes"]);
        check(pool_name, "node-1/gpus", &[]);
        check(pool_name, "", &["n: Required value"]);
        check(pool_name, "a//b", &[&format!("n: Invalid value: \"\": {subdomain}")]);
        check(
            pool_name,
            &["a".repeat(127), "b".repeat(126)].join("/"),
            &["n: Too long: may not be more than 253 bytes"],
        );
        check(qualified_name, "model", &[]);
        check(qualified_name, "gpu.example.com/model", &[]);
        check(qualified_name, "", &[&format!("n: Invalid value: \"\": {c}")]);
        check(qualified_name, "1a", &[&format!("n: Invalid value: \"1a\": {c}")]);
        check(
            qualified_name,
            "/",
            &[
                "n: Invalid value: \"\": the domain must not be empty",
                "n: Invalid value: \"\": the name must not be empty",
            ],
        );
        check(qualified_name, "a/b/c", &["n: Invalid value: \"a/b/c\": must not contain more than one slash"]);
        check(qualified_name, &"a".repeat(33), &["n: Too long: may not be more than 32 bytes"]);
        check(fully_qualified_name, "a/b", &[]);
        check(fully_qualified_name, "b", &["n: Invalid value: \"b\": a fully qualified name must be a domain"]);
    }

    #[test]
    fn uids() {
        const GOOD: &str = "0d5a1f0e-6a3f-4c8e-9d55-8f5f0c1f6a01";
        let check = |uid: &str, expected: &str| {
            let errors = is_uid(uid, &Path::new("u"));
            let details: Vec<&str> = errors.iter().map(|error| error.detail.as_str()).collect();
            assert_eq!(details.join("; "), expected, "{uid}");
        };
        let form = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
                    hexadecimal characters";
        check(GOOD, "");
        check(&GOOD.to_uppercase(), form);
        check(&GOOD.replace('-', ""), form);
        check(&format!("{{{GOOD}}}"), form);
        check(&format!("urn:uuid:{GOOD}"), form);
        check("", "error validating uid: invalid UUID length: 0");
        check(&GOOD.replace('a', "g"), "error validating uid: invalid UUID format");
        check(&format!("({GOOD})"), "error validating uid: invalid bracketed UUID format");
        check(&format!("urn:guid:{GOOD}"), "error validating uid: invalid urn prefix: \"urn:guid:\"");
        check(&"z".repeat(32), "error validating uid: invalid UUID format");
    }
}
