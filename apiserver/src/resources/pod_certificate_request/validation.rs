//! What is wrong with a request. Nothing of it may change.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{dns1123_subdomain, domain_prefixed_key};
use api::validate::meta::{FIELD_IMMUTABLE, MAX_ANNOTATION_BYTES};
use k8s_openapi::api::certificates::v1::{PodCertificateRequest, PodCertificateRequestSpec};

use crate::resources::pkcs10::{self, KeyType};
use crate::resources::signer_name;

const MAX_UID_BYTES: usize = 128;
const MAX_REQUEST_BYTES: usize = 10 * 1024;
const MIN_SECONDS: i32 = 3600;
/// 91 days.
const MAX_SECONDS: i32 = 91 * 86_400;
/// A day, for the signers of the project.
const MAX_KUBERNETES_SECONDS: i32 = 86_400;

pub(super) fn validate(request: &PodCertificateRequest) -> ErrorList {
    let (spec, path) = (&request.spec, Path::new("spec"));
    let mut errors = signer_name::validate(&spec.signer_name, &path.child("signerName"));
    errors.extend(validate_annotations(spec, &path.child("unverifiedUserAnnotations")));
    for (name, name_field, uid, uid_field) in [
        (&spec.pod_name, "podName", &spec.pod_uid, "podUID"),
        (&spec.service_account_name, "serviceAccountName", &spec.service_account_uid, "serviceAccountUID"),
        (&spec.node_name, "nodeName", &spec.node_uid, "nodeUID"),
    ] {
        errors.push_invalid(&path.child(name_field), name, dns1123_subdomain(name));
        let path = path.child(uid_field);
        if uid.is_empty() {
            errors.push(Error::invalid(&path, uid, "must not be empty"));
        }
        if uid.len() > MAX_UID_BYTES {
            errors.push(Error::too_long(&path, MAX_UID_BYTES));
        }
    }
    let seconds_path = path.child("maxExpirationSeconds");
    let Some(seconds) = spec.max_expiration_seconds else {
        errors.push(Error::required(&seconds_path, "must be set"));
        return errors;
    };
    let max = if signer_name::is_kubernetes(&spec.signer_name) { MAX_KUBERNETES_SECONDS } else { MAX_SECONDS };
    if !(MIN_SECONDS..=max).contains(&seconds) {
        let detail = format!("must be in the range [{MIN_SECONDS}, {max}]");
        errors.push(Error::invalid(&seconds_path, seconds, detail));
    }
    errors.extend(validate_key(&spec.stub_pkc_s10_request.0, &path.child("stubPKCS10Request")));
    errors
}

pub(super) fn validate_update(new: &PodCertificateRequest, old: &PodCertificateRequest) -> ErrorList {
    if new.spec == old.spec {
        return ErrorList::new();
    }
    Error::invalid(&Path::new("spec"), BadValue::json(&new.spec), FIELD_IMMUTABLE).into()
}

/// Keys are as those of annotations, but all have a domain.
fn validate_annotations(spec: &PodCertificateRequestSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut total = 0_usize;
    for (key, value) in spec.unverified_user_annotations.iter().flatten() {
        errors.extend(domain_prefixed_key(path, &key.to_lowercase()));
        total = total.saturating_add(key.len()).saturating_add(value.len());
    }
    if total > MAX_ANNOTATION_BYTES {
        errors.push(Error::too_long(path, MAX_ANNOTATION_BYTES));
    }
    errors
}

fn validate_key(der: &[u8], path: &Path) -> Option<Error> {
    if der.is_empty() {
        return Some(Error::required(path, "must be set"));
    }
    if der.len() > MAX_REQUEST_BYTES {
        return Some(Error::too_long(path, MAX_REQUEST_BYTES));
    }
    let wrong = |shown: BadValue, detail: &str| Some(Error::invalid(path, shown, detail));
    let Ok(request) = pkcs10::parse(der) else {
        return wrong(BadValue::Omitted, "must be a valid PKCS#10 certificate signing request");
    };
    match pkcs10::key_type(&request.certification_request_info.subject_pki) {
        KeyType::P256 | KeyType::P384 | KeyType::P521 | KeyType::Ed25519 | KeyType::Rsa(3072 | 4096) => {}
        KeyType::Rsa(bits) => {
            let shown = format!("{bits}-bit modulus");
            return wrong(shown.into(), "RSA keys must have modulus size 3072 or 4096");
        }
        KeyType::OtherCurve => {
            return wrong(BadValue::Omitted, "elliptic public keys must use curve P256, P384, or P521");
        }
        KeyType::Unknown => {
            return wrong(BadValue::Omitted, "unknown public key type; supported types are Ed25519, ECDSA, and RSA");
        }
    }
    pkcs10::check_signature(&request).err().and_then(|_| wrong(BadValue::Omitted, "signature is not valid"))
}
