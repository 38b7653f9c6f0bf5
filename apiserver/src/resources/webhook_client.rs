//! How a webhook is called: rules of URLs, service references and certificates that admission and conversion share.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{dns1123_subdomain, port_number};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::pem::Pem;

use super::go_url;

/// The port of a service that states none.
pub(super) const DEFAULT_PORT: i32 = 443;

const FORM: &str = "; desired format: https://host[/path]";

/// A service that serves a webhook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) path: Option<&'a str>,
    pub(super) port: i32,
}

/// What is wrong with where a webhook is served: at a URL or by a service, but not both.
pub(super) fn validate(url: Option<&str>, service: Option<Service<'_>>, path: &Path) -> ErrorList {
    match (url, service) {
        (Some(url), None) => validate_url(url, &path.child("url")),
        (None, Some(service)) => validate_service(service, &path.child("service")),
        _ => Error::required(path, "exactly one of url or service is required").into(),
    }
}

/// What is wrong with certificates in PEM.
pub(super) fn validate_ca_bundle(bundle: &[u8], path: &Path) -> Option<Error> {
    let mut found = false;
    let mut malformed = false;
    for pem in Pem::iter_from_buffer(bundle).map_while(Result::ok).filter(|pem| pem.label == "CERTIFICATE") {
        found = true;
        malformed |= pem.parse_x509().is_err();
    }
    let why = match (found, malformed) {
        (true, false) => return None,
        (true, true) => "x509: malformed certificate",
        (false, _) => "data does not contain any valid RSA or ECDSA certificates",
    };
    let shown = BadValue::json(&STANDARD.encode(bundle));
    Some(Error::invalid(path, shown, format!("unable to load root certificates: {why}")))
}

fn validate_url(url: &str, path: &Path) -> ErrorList {
    let url = match go_url::parse(url) {
        Ok(url) => url,
        Err(why) => return Error::required(path, format!("url must be a valid URL: {why}{FORM}")).into(),
    };
    let mut errors = ErrorList::new();
    if url.scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(Error::invalid(path, &url.scheme, detail));
    }
    if url.host.is_empty() {
        errors.push(Error::invalid(path, "", format!("host must be provided{FORM}")));
    }
    if let Some(user) = &url.user {
        errors.push(Error::invalid(path, user, "user information is not permitted in the URL"));
    }
    if !url.fragment.is_empty() {
        errors.push(Error::invalid(path, &url.fragment, "fragments are not permitted in the URL"));
    }
    if !url.query.is_empty() {
        errors.push(Error::invalid(path, &url.query, "query parameters are not permitted in the URL"));
    }
    errors
}

fn validate_service(service: Service<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    // Upstream's callers hand over name and namespace the wrong way round, so that each is reported as the other.
    if service.namespace.is_empty() {
        errors.push(Error::required(&path.child("name"), "service name is required"));
    }
    if service.name.is_empty() {
        errors.push(Error::required(&path.child("namespace"), "service namespace is required"));
    }
    let messages = port_number(service.port.into());
    if !messages.is_empty() {
        let detail = format!("port is not valid: {}", messages.join(", "));
        errors.push(Error::invalid(&path.child("port"), service.port, detail));
    }
    errors.extend(service.path.map(|url_path| validate_path(url_path, &path.child("path"))).unwrap_or_default());
    errors
}

/// A URL's path whose segments are DNS subdomains.
fn validate_path(url_path: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match url_path {
        "" | "/" => return errors,
        "//" => return Error::invalid(path, url_path, "segment[0] may not be empty").into(),
        _ => {}
    }
    if !url_path.starts_with('/') {
        errors.push(Error::invalid(path, url_path, "must start with a '/'"));
    }
    // Whatever the first byte is, it is skipped.
    let mut rest = url_path.chars();
    rest.next();
    let segments = rest.as_str();
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    for (i, segment) in segments.split('/').enumerate() {
        if segment.is_empty() {
            errors.push(Error::invalid(path, url_path, format!("segment[{i}] may not be empty")));
            continue;
        }
        let messages = dns1123_subdomain(segment);
        errors.push_invalid(path, url_path, messages.into_iter().map(|message| format!("segment[{i}]: {message}")));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation() {
        let check = |url: Option<&str>, service: Option<Service<'_>>, expected: &[&str]| {
            let errors = validate(url, service, &Path::new("c"));
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{url:?} {service:?}");
        };
        let service = Service { namespace: "ns", name: "n", path: None, port: 443 };
        let at = |path| Some(Service { path: Some(path), ..service });
        check(Some("https://example.com/x"), None, &[]);
        check(None, Some(service), &[]);
        check(None, None, &["c: Required value: exactly one of url or service is required"]);
        check(Some("https://a"), Some(service), &["c: Required value: exactly one of url or service is required"]);
        let form = "; desired format: https://host[/path]";
        check(
            Some("http://a"),
            None,
            &[&format!("c.url: Invalid value: \"http\": 'https' is the only allowed URL scheme{form}")],
        );
        check(Some("https:///x"), None, &[&format!("c.url: Invalid value: \"\": host must be provided{form}")]);
        check(
            Some("https://u:p@a?q#f"),
            None,
            &[
                "c.url: Invalid value: \"u:p\": user information is not permitted in the URL",
                "c.url: Invalid value: \"f\": fragments are not permitted in the URL",
                "c.url: Invalid value: \"q\": query parameters are not permitted in the URL",
            ],
        );
        let required =
            format!("c.url: Required value: url must be a valid URL: parse \":\": missing protocol scheme{form}");
        check(Some(":"), None, &[&required]);
        check(
            None,
            Some(Service { namespace: "ns", name: "", path: None, port: 0 }),
            &[
                "c.service.namespace: Required value: service namespace is required",
                "c.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            ],
        );
        for path in ["", "/", "/a", "/a/b.c/"] {
            check(None, at(path), &[]);
        }
        check(None, at("//"), &["c.service.path: Invalid value: \"//\": segment[0] may not be empty"]);
        check(None, at("/a//b"), &["c.service.path: Invalid value: \"/a//b\": segment[1] may not be empty"]);
        check(None, at("xa"), &["c.service.path: Invalid value: \"xa\": must start with a '/'"]);
    }

    #[test]
    fn certificates() {
        let check = |bundle: &[u8], expected: Option<&str>| {
            let error = validate_ca_bundle(bundle, &Path::new("ca")).map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected);
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        check(certificate.pem().as_bytes(), None);
        let none = "data does not contain any valid RSA or ECDSA certificates";
        check(b"x", Some(&format!("ca: Invalid value: \"eA==\": unable to load root certificates: {none}")));
    }
}
