//! That what was issued is what was asked for: the chain, its key, and the times that the status says.
//!
//! Upstream also demands that `notBefore` be within five minutes of the server's time. Rules of subresources know no time
//! here, so that this is left to the signer.

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::certificates::v1::{PodCertificateRequestSpec, PodCertificateRequestStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::resources::{pem, pkcs10};

const MAX_CHAIN_BYTES: usize = 100 * 1024;
const MIN_LIFETIME_SECONDS: i64 = 3600;
/// How far the refresh begins from both ends.
const REFRESH_MARGIN_SECONDS: i64 = 600;

pub(super) fn validate(
    status: &PodCertificateRequestStatus,
    spec: &PodCertificateRequestSpec,
    path: &Path,
) -> ErrorList {
    let chain_path = path.child("certificateChain");
    let chain = status.certificate_chain.as_deref().unwrap_or_default();
    if chain.len() > MAX_CHAIN_BYTES {
        return Error::too_long(&chain_path, MAX_CHAIN_BYTES).into();
    }
    let wrong = |detail: &str| ErrorList::from(Error::invalid(&chain_path, chain, detail));
    let mut blocks = pem::blocks(chain.as_bytes());
    let Some(leaf) = blocks.next() else {
        return wrong("issued certificate chain must contain at least one certificate");
    };
    if leaf.label != pem::CERTIFICATE {
        return wrong("issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Ok(([], leaf)) = X509Certificate::from_der(&leaf.bytes) else {
        return wrong("leaf certificate does not parse as valid X.509");
    };
    let mut errors = validate_names(&leaf, &chain_path);
    match is_for(&leaf, spec) {
        None => errors.extend(not_a_key(path)),
        Some(false) => errors.extend(wrong("leaf certificate was not issued to the requested public key")),
        Some(true) => {}
    }
    if !errors.is_empty() {
        return errors;
    }
    let errors = validate_times(&leaf, status, spec, path);
    if !errors.is_empty() {
        return errors;
    }
    for block in blocks {
        if block.label != pem::CERTIFICATE {
            // Upstream's spelling.
            return wrong("issued certificate chain must consist entirely of CERTFICATE PEM blocks");
        }
        if !matches!(X509Certificate::from_der(&block.bytes), Ok(([], _))) {
            return wrong("intermediate certificate does not parse as valid X.509");
        }
    }
    ErrorList::new()
}

fn not_a_key(path: &Path) -> ErrorList {
    let detail = "spec.stubPKCS10Request must be a valid PKCS#10 certificate signing request";
    Error::invalid(path, BadValue::Omitted, detail).into()
}

/// Whether the certificate is for the requested key; `None` if the request cannot be read.
fn is_for(leaf: &X509Certificate<'_>, spec: &PodCertificateRequestSpec) -> Option<bool> {
    let request = pkcs10::parse(&spec.stub_pkc_s10_request.0).ok()?;
    let (wanted, shown) = (&request.certification_request_info.subject_pki, leaf.public_key());
    let same_bits = wanted.subject_public_key.data == shown.subject_public_key.data;
    Some(same_bits && pkcs10::key_type(wanted) == pkcs10::key_type(shown))
}

fn validate_names(leaf: &X509Certificate<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = || names.iter().flat_map(|names| &names.value.general_names);
    for name in names().filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None }) {
        if name.is_empty() {
            errors.push(Error::invalid(path, name, "leaf certificate should not contain empty DNSName"));
        }
        if name.contains("..") {
            errors.push(Error::invalid(path, name, "leaf certificate's DNSName should not contain '..'"));
        }
        if name.starts_with('.') || name.ends_with('.') {
            errors.push(Error::invalid(path, name, "leaf certificate's DNSName should not start or end with '.'"));
        }
    }
    for mail in names().filter_map(|name| if let GeneralName::RFC822Name(name) = name { Some(*name) } else { None }) {
        if !is_mail_address(mail) {
            errors.push(Error::invalid(path, mail, "leaf certificate should not contain invalid EmailAddress"));
        }
    }
    errors
}

/// Whether the text looks like `somebody@somewhere`.
fn is_mail_address(text: &str) -> bool {
    let is_word =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "<>()[],;:\\\"".contains(c));
    text.split_once('@').is_some_and(|(user, host)| is_word(user) && is_word(host) && !host.contains('@'))
}

fn validate_times(
    leaf: &X509Certificate<'_>,
    status: &PodCertificateRequestStatus,
    spec: &PodCertificateRequestSpec,
    path: &Path,
) -> ErrorList {
    let (before_path, after_path) = (path.child("notBefore"), path.child("notAfter"));
    let refresh_path = path.child("beginRefreshAt");
    let consistent = "must be present and consistent with the issued certificate";
    let (Some(not_before), Some(not_after), Some(refresh)) =
        (&status.not_before, &status.not_after, &status.begin_refresh_at)
    else {
        let in_range = "must be present and in the range [notbefore+10min, notafter-10min]";
        return [
            (&status.not_before, &before_path, consistent),
            (&status.not_after, &after_path, consistent),
            (&status.begin_refresh_at, &refresh_path, in_range),
        ]
        .into_iter()
        .filter(|(time, ..)| time.is_none())
        .map(|(_, path, detail)| Error::required(path, detail))
        .collect();
    };
    let wrong = |path: &Path, time: &Time, detail: &str| Error::invalid(path, BadValue::json(time), detail).into();
    let seconds = |time: &Time| time.0.as_second();
    let validity = leaf.validity();
    let (valid_from, valid_until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if seconds(not_before) != valid_from {
        return wrong(&before_path, not_before, "must be set to the NotBefore time encoded in the leaf certificate");
    }
    if seconds(not_after) != valid_until {
        return wrong(&after_path, not_after, "must be set to the NotAfter time encoded in the leaf certificate");
    }
    let lifetime = valid_until.saturating_sub(valid_from);
    let max = spec.max_expiration_seconds.unwrap_or_default();
    let wrong_lifetime = |detail: String| {
        let nanoseconds = lifetime.saturating_mul(1_000_000_000);
        ErrorList::from(Error::invalid(&path.child("certificateChain"), nanoseconds, detail))
    };
    if lifetime < MIN_LIFETIME_SECONDS {
        return wrong_lifetime("leaf certificate lifetime must be >= 1 hour".to_owned());
    }
    if lifetime > max.into() {
        return wrong_lifetime(format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({max})"));
    }
    if seconds(refresh) < seconds(not_before).saturating_add(REFRESH_MARGIN_SECONDS) {
        return wrong(&refresh_path, refresh, "must be at least 10 minutes after status.notBefore");
    }
    if seconds(refresh) > seconds(not_after).saturating_sub(REFRESH_MARGIN_SECONDS) {
        return wrong(&refresh_path, refresh, "must be at least 10 minutes before status.notAfter");
    }
    ErrorList::new()
}
