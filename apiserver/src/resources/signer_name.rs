//! The names of signers: a domain and a path, such as `example.com/signer`.

use api::field::{Error, ErrorList, Path, go_quote};
use api::names::{DNS_LABEL_MAX_BYTES, DNS_SUBDOMAIN_MAX_BYTES, dns1123_label, dns1123_subdomain};

/// A domain, a slash, and a label, a dot and a subdomain.
const MAX_BYTES: usize = DNS_SUBDOMAIN_MAX_BYTES + 1 + DNS_LABEL_MAX_BYTES + 1 + DNS_SUBDOMAIN_MAX_BYTES;

/// What is wrong with the name of a signer (upstream's `ValidateSignerName`).
pub(super) fn validate(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return Error::required(path, "").into();
    }
    let segments: Vec<&str> = name.split('/').collect();
    let [domain, rest] = segments.as_slice() else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return Error::invalid(path, name, detail).into();
    };
    let mut errors = ErrorList::new();
    if domain.len() > DNS_SUBDOMAIN_MAX_BYTES {
        errors.push(Error::too_long(path, DNS_SUBDOMAIN_MAX_BYTES));
    }
    push_first(&mut errors, domain, dns1123_label, path);
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(Error::invalid(path, *domain, detail));
    }
    push_first(&mut errors, rest, dns1123_subdomain, path);
    if name.len() > MAX_BYTES {
        errors.push(Error::too_long(path, MAX_BYTES));
    }
    errors
}

/// Whether the signer is one of the project's own.
pub(super) fn is_kubernetes(name: &str) -> bool {
    let domain = name.split('/').next().unwrap_or_default();
    domain == "kubernetes.io" || domain.ends_with(".kubernetes.io")
}

/// Adds what is wrong with the first bad part between dots.
fn push_first(errors: &mut ErrorList, segment: &str, validator: fn(&str) -> Vec<String>, path: &Path) {
    let bad = segment.split('.').map(|part| (part, validator(part))).find(|(_, messages)| !messages.is_empty());
    if let Some((part, messages)) = bad {
        let detail = |message: String| format!("validating label {}: {message}", go_quote(part));
        errors.push_invalid(path, segment, messages.into_iter().map(detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                         start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                         validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

    #[test]
    fn messages_as_upstream() {
        let check = |name: &str, expected: &[String]| {
            let errors = validate(name, &Path::new("s"));
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{name}");
        };
        let form = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        check("example.com/signer", &[]);
        check("kubernetes.io/kube-apiserver-client", &[]);
        check("a.b/c.d", &[]);
        check("", &["s: Required value".to_owned()]);
        check("example.com", &[format!("s: Invalid value: \"example.com\": {form}")]);
        check("a.b/c/d", &[format!("s: Invalid value: \"a.b/c/d\": {form}")]);
        check("-.b/c", &[format!("s: Invalid value: \"-.b\": validating label \"-\": {LABEL}")]);
        check(
            "host/c",
            &["s: Invalid value: \"host\": should be a domain with at least two segments separated by dots".to_owned()],
        );
        let long = format!("a.{}/c", "b".repeat(64));
        let segment = &long[..long.len() - 2];
        let label = "b".repeat(64);
        check(
            &long,
            &[format!("s: Invalid value: \"{segment}\": validating label \"{label}\": must be no more than 63 bytes")],
        );
        assert!(validate("a.b/", &Path::new("s")).to_string().starts_with("s: Invalid value: \"\": validating label"));
        let path = vec!["c".repeat(250); 3].join(".");
        check(&format!("a.b/{path}"), &["s: Too long: may not be more than 571 bytes".to_owned()]);
    }

    #[test]
    fn the_projects_own() {
        for (name, expected) in [
            ("kubernetes.io/kubelet-serving", true),
            ("sub.kubernetes.io/x", true),
            ("xkubernetes.io/x", false),
            ("example.com/kubernetes.io", false),
        ] {
            assert_eq!(is_kubernetes(name), expected, "{name}");
        }
    }
}
