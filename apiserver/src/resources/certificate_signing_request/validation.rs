//! What is wrong with a request, and with a change of one.
//!
//! What an older server let through stays valid as long as it is there: each leniency is granted only where the stored
//! object already needs it.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::conditions::{self, APPROVED, DENIED, FAILED};
use crate::resources::{pem, pkcs10, signer_name};

/// The signer of requests that named none, when they could.
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const MIN_EXPIRATION_SECONDS: i32 = 600;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// By which path a change comes, which says what it may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    Object,
    Approval,
    Status,
}

/// What the stored object already is, and its changes may therefore stay.
#[derive(Clone, Copy, Debug, Default)]
struct Lenience {
    both_verdicts: bool,
    legacy_signer: bool,
    duplicate_conditions: bool,
    empty_condition: bool,
    any_certificate: bool,
    duplicate_usages: bool,
    unknown_usages: bool,
}

impl Lenience {
    fn towards(new: &CertificateSigningRequest, old: &CertificateSigningRequest) -> Lenience {
        let types = || conditions::all(old).iter().map(|condition| condition.type_.as_str());
        let has = |kind: &str| types().any(|shown| shown == kind);
        let mut seen = HashSet::new();
        Lenience {
            both_verdicts: has(APPROVED) && has(DENIED),
            legacy_signer: old.spec.signer_name == LEGACY_SIGNER,
            duplicate_conditions: !types().all(|kind| seen.insert(kind)),
            empty_condition: has(""),
            any_certificate: certificate(new) == certificate(old) || check_certificates(certificate(old)).is_err(),
            duplicate_usages: !duplicates(usages(&old.spec)).is_empty(),
            unknown_usages: usages(&old.spec).iter().any(|usage| !USAGES.contains(&usage.as_str())),
        }
    }
}

pub(super) fn validate(request: &CertificateSigningRequest) -> ErrorList {
    validate_with(request, Lenience::default())
}

pub(super) fn validate_update(
    new: &CertificateSigningRequest,
    old: &CertificateSigningRequest,
    through: Through,
) -> ErrorList {
    let mut errors = validate_with(new, Lenience::towards(new, old));
    let path = Path::new("status");
    let conditions_path = path.child("conditions");
    let count = |request: &CertificateSigningRequest, kind: &str| conditions::of_type(request, kind).len();
    for kind in [APPROVED, DENIED, FAILED] {
        if count(new, kind) < count(old, kind) {
            let detail = format!("updates may not remove a condition of type \"{kind}\"");
            errors.push(Error::forbidden(&conditions_path, detail));
        }
    }
    // A verdict that is kept is kept as it was: whoever may not change it cannot even send another one.
    for kind in [APPROVED, DENIED] {
        if through != Through::Approval && count(new, kind) > count(old, kind) {
            let detail = format!("updates may not add a condition of type \"{kind}\"");
            errors.push(Error::forbidden(&conditions_path, detail));
        }
    }
    if certificate(new) != certificate(old) {
        let path = path.child("certificate");
        if through != Through::Status {
            errors.push(Error::forbidden(&path, "updates may not set certificate content"));
        } else if !certificate(old).is_empty() {
            errors.push(Error::forbidden(&path, "updates may not modify existing certificate content"));
        }
    }
    errors
}

fn validate_with(request: &CertificateSigningRequest, lenience: Lenience) -> ErrorList {
    let (spec, path) = (&request.spec, Path::new("spec"));
    let mut errors = ErrorList::new();
    if let Err(why) = check_request(&spec.request.0) {
        errors.push(Error::invalid(&path.child("request"), BadValue::json(&spec.request), why));
    }
    errors.extend(validate_usages(usages(spec), lenience, &path.child("usages")));
    let signer_path = path.child("signerName");
    if spec.signer_name == LEGACY_SIGNER && !lenience.legacy_signer {
        let detail = "the legacy signerName is not allowed via this API version";
        errors.push(Error::invalid(&signer_path, &spec.signer_name, detail));
    } else {
        errors.extend(signer_name::validate(&spec.signer_name, &signer_path));
    }
    if let Some(seconds) = spec.expiration_seconds.filter(|seconds| *seconds < MIN_EXPIRATION_SECONDS) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    let path = Path::new("status");
    errors.extend(validate_conditions(request, lenience, &path.child("conditions")));
    if !lenience.any_certificate
        && let Err(why) = check_certificates(certificate(request))
    {
        errors.push(Error::invalid(&path.child("certificate"), "<certificate data>", why));
    }
    errors
}

fn validate_usages(usages: &[String], lenience: Lenience, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if usages.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if !lenience.unknown_usages {
        let unknown = usages.iter().enumerate().filter(|(_, usage)| !USAGES.contains(&usage.as_str()));
        errors.extend(unknown.map(|(i, usage)| Error::not_supported(&path.index(i), usage, &USAGES)));
    }
    if !lenience.duplicate_usages {
        errors.extend(duplicates(usages).into_iter().map(|(i, usage)| Error::duplicate(&path.index(i), usage)));
    }
    errors
}

fn validate_conditions(request: &CertificateSigningRequest, lenience: Lenience, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (i, condition) in conditions::all(request).iter().enumerate() {
        let (path, kind) = (path.index(i), condition.type_.as_str());
        let type_path = path.child("type");
        if kind.is_empty() && !lenience.empty_condition {
            errors.push(Error::required(&type_path, ""));
        }
        let allowed: &[&str] =
            if [APPROVED, DENIED, FAILED].contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        let status_path = path.child("status");
        if condition.status.is_empty() {
            errors.push(Error::required(&status_path, ""));
        } else if !allowed.contains(&condition.status.as_str()) {
            errors.push(Error::not_supported(&status_path, &condition.status, allowed));
        }
        let opposite = match kind {
            APPROVED => Some(DENIED),
            DENIED => Some(APPROVED),
            _ => None,
        };
        if !lenience.both_verdicts && opposite.is_some_and(|opposite| seen.contains(opposite)) {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(Error::invalid(&type_path, kind, detail));
        }
        if !seen.insert(kind) && !lenience.duplicate_conditions {
            errors.push(Error::duplicate(&type_path, kind));
        }
    }
    errors
}

fn check_request(data: &[u8]) -> Result<(), String> {
    let der = request_der(data)?;
    Ok(pkcs10::check_signature(&pkcs10::parse(&der)?)?)
}

fn request_der(data: &[u8]) -> Result<Vec<u8>, String> {
    let block = pem::decode(data).map(|(block, _)| block).filter(|block| block.label == pem::CERTIFICATE_REQUEST);
    Ok(block.ok_or("PEM block type must be CERTIFICATE REQUEST")?.bytes)
}

/// The organizations of a request's subject, which are the groups of a user.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn organizations(data: &[u8]) -> Result<Vec<String>, String> {
    let der = request_der(data)?;
    let request = pkcs10::parse(&der)?;
    let organizations = request.certification_request_info.subject.iter_organization();
    organizations.map(|name| name.as_str().map(str::to_owned).map_err(|error| error.to_string())).collect()
}

/// The common name in the request's subject, as Go reads it: of several the last.
///
/// # Errors
/// Why the request cannot be read.
pub(crate) fn common_name(data: &[u8]) -> Result<Option<String>, String> {
    let der = request_der(data)?;
    let request = pkcs10::parse(&der)?;
    let name = request.certification_request_info.subject.iter_common_name().last();
    name.map(|name| name.as_str().map(str::to_owned).map_err(|error| error.to_string())).transpose()
}

/// Whether the data is none, or certificates in PEM and nothing else in PEM.
fn check_certificates(data: &[u8]) -> Result<(), String> {
    if data.is_empty() {
        return Ok(());
    }
    let mut count = 0;
    for block in pem::blocks(data) {
        if block.label != pem::CERTIFICATE {
            let label = api::field::go_quote(&block.label);
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {label}"));
        }
        if block.has_headers {
            return Err("no PEM block headers are permitted".to_owned());
        }
        count += 1;
        if block.bytes.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        let mut rest = block.bytes.as_slice();
        while !rest.is_empty() {
            (rest, _) = X509Certificate::from_der(rest).map_err(|_| "x509: malformed certificate")?;
        }
    }
    if count == 0 { Err("must contain at least one CERTIFICATE PEM block".to_owned()) } else { Ok(()) }
}

fn certificate(request: &CertificateSigningRequest) -> &[u8] {
    request.status.as_ref().and_then(|status| status.certificate.as_ref()).map_or(&[], |certificate| &certificate.0)
}

fn usages(spec: &CertificateSigningRequestSpec) -> &[String] {
    spec.usages.as_deref().unwrap_or_default()
}

/// What occurs for the second time or a later one, and where.
fn duplicates(usages: &[String]) -> Vec<(usize, &String)> {
    let mut seen = HashSet::new();
    usages.iter().enumerate().filter(|(_, usage)| !seen.insert(usage.as_str())).collect()
}
