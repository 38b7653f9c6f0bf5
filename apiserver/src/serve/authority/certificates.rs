//! What certificates say, to make them and to read them back.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

use super::AuthorityError;

/// How long before its making a certificate is valid, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// A certificate that the authority issues.
pub(super) struct Leaf<'a> {
    /// The common name.
    pub(super) user: &'a str,
    /// The organization. rcgen writes one of each attribute of a name, and no more.
    pub(super) group: Option<&'a str>,
    /// DNS names and IP addresses of its holder.
    pub(super) names: &'a [String],
    /// What it is for.
    pub(super) purpose: ExtendedKeyUsagePurpose,
    /// How long it is valid.
    pub(super) time: Duration,
}

impl Leaf<'_> {
    pub(super) fn params(&self, now: SystemTime, serial: u128) -> Result<CertificateParams, AuthorityError> {
        let mut params = CertificateParams::new(self.names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(group) = self.group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.distinguished_name.push(DnType::CommonName, self.user);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.purpose.clone()];
        params.use_authority_key_identifier_extension = true;
        set_time(&mut params, now, serial, self.time);
        Ok(params)
    }
}

/// The authority's own certificate.
pub(super) fn root_params(now: SystemTime, serial: u128, time: Duration) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "gantry");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_time(&mut params, now, serial, time);
    Ok(params)
}

/// A key of ECDSA on P-256.
pub(super) fn new_key() -> Result<KeyPair, AuthorityError> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
}

pub(super) fn read_key(path: &Path, pem: &str) -> Result<KeyPair, AuthorityError> {
    KeyPair::from_pem(pem).map_err(|error| AuthorityError::Broken {
        path: path.to_owned(),
        why: format!("is not a private key in PEM: {error}"),
    })
}

/// What a certificate says, as far as it matters here.
pub(super) struct Facts {
    pub(super) public_key: Vec<u8>,
    /// The common name.
    pub(super) user: Option<String>,
    /// The first organization.
    pub(super) group: Option<String>,
    pub(super) names: Vec<String>,
    /// The whole name of its holder, and that of its issuer.
    pub(super) subject: String,
    pub(super) issuer: String,
    /// What it is for: to be a server, to be a client, to issue others.
    pub(super) is_server: bool,
    pub(super) is_client: bool,
    pub(super) is_authority: bool,
    pub(super) valid_from: SystemTime,
    pub(super) valid_until: SystemTime,
    /// The identifier of its key.
    pub(super) key_id: Option<Vec<u8>>,
    /// The identifier of its issuer's key.
    pub(super) issuer_key_id: Option<Vec<u8>>,
}

impl Facts {
    pub(super) fn read(path: &Path, pem: &str) -> Result<Facts, AuthorityError> {
        let broken = |why: String| AuthorityError::Broken {
            path: path.to_owned(),
            why: format!("is not a certificate in PEM: {why}"),
        };
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| broken(error.to_string()))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| broken(error.to_string()))?;
        let (mut names, mut key_id, mut issuer_key_id) = (Vec::new(), None, None);
        let (mut is_server, mut is_client) = (false, false);
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(alternative) => {
                    names = alternative.general_names.iter().filter_map(name).collect();
                }
                ParsedExtension::SubjectKeyIdentifier(id) => key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    (is_server, is_client) = (usage.server_auth, usage.client_auth);
                }
                _ => {}
            }
        }
        let subject = parsed.subject();
        let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
        Ok(Facts {
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            user: subject.iter_common_name().next().and_then(text),
            group: subject.iter_organization().next().and_then(text),
            names,
            subject: subject.to_string(),
            issuer: parsed.issuer().to_string(),
            is_server,
            is_client,
            is_authority: parsed.is_ca(),
            valid_from: parsed.validity().not_before.to_datetime().into(),
            valid_until: parsed.validity().not_after.to_datetime().into(),
            key_id,
            issuer_key_id,
        })
    }

    pub(super) fn is_valid_at(&self, now: SystemTime) -> bool {
        (self.valid_from..=self.valid_until).contains(&now)
    }

    /// Whether so little of its time is left that it is to be renewed: less than a third.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        let left = self.valid_until.duration_since(now).unwrap_or_default();
        left < self.valid_until.duration_since(self.valid_from).unwrap_or_default() / 3
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
                return Some(IpAddr::from(v4).to_string());
            }
            <[u8; 16]>::try_from(*bytes).ok().map(|v6| IpAddr::from(v6).to_string())
        }
        _ => None,
    }
}

fn set_time(params: &mut CertificateParams, now: SystemTime, serial: u128, time: Duration) {
    params.not_before = OffsetDateTime::from(now - BACKDATED);
    params.not_after = OffsetDateTime::from(now + time);
    // Positive and not zero, as RFC 5280 wants serial numbers.
    params.serial_number = Some(SerialNumber::from_slice(&((serial >> 1) | 1).to_be_bytes()));
}
