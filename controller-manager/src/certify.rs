//! Signs certificates with the cluster's authority.
//!
//! What a request asks for has been judged before. A certificate carries its subject, its key and its names of the four
//! kinds that matter, and the usages and times that it is given; it never is an authority itself, and never outlives the
//! one that signed it.

mod der;
mod usage;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair, SigningKey};
use x509_parser::asn1_rs::ToDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use crate::controllers::certificates::request::{self, Names, Request};
use crate::plan::Certification;
use usage::Usages;

/// How long before it is signed a certificate is valid, for clocks that are behind.
pub const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// The contents of the object identifiers of extensions.
mod extension {
    pub(super) const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 35];
    pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
    pub(super) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
    pub(super) const NAMES: &[u8] = &[0x55, 0x1d, 17];
    pub(super) const PURPOSES: &[u8] = &[0x55, 0x1d, 37];
}

/// Why no certificate is signed.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// The authority's certificate or key is not what it should be.
    #[error("the certificate authority cannot be used: {0}")]
    Authority(String),
    /// The authority's time is over.
    #[error("refusing to sign a certificate that expired in the past: NotAfter={0}")]
    Expired(Timestamp),
    /// What should be a request is none.
    #[error("unable to parse certificate request")]
    Unreadable,
    /// The request was not signed by the key that it is for.
    #[error("unable to verify certificate request signature")]
    Forged,
    /// Usages of which nothing is known.
    #[error("unrecognized usage values: {0:?}")]
    Usages(Vec<String>),
    /// The key does not sign.
    #[error("failed to sign certificate: {0}")]
    Sign(#[from] rcgen::Error),
}

/// The cluster's authority.
pub struct Authority {
    key: KeyPair,
    /// How the key signs, DER.
    algorithm: Vec<u8>,
    /// Its subject, DER.
    name: Vec<u8>,
    /// The identifier of its key.
    key_id: Option<Vec<u8>>,
    not_after: Timestamp,
}

impl Authority {
    /// The authority of this certificate and its private key, both PEM.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Authority, CertifyError> {
        let unusable = |why: &dyn std::fmt::Display| CertifyError::Authority(why.to_string());
        let key = KeyPair::from_pem(key).map_err(|error| unusable(&error))?;
        let (_, block) = parse_x509_pem(certificate.as_bytes()).map_err(|error| unusable(&error))?;
        let parsed = block.parse_x509().map_err(|error| unusable(&error))?;
        if parsed.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(CertifyError::Authority("the key is not that of the certificate".to_owned()));
        }
        let key_id = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp());
        Ok(Authority {
            algorithm: algorithm(&key)?,
            name: parsed.subject().as_raw().to_vec(),
            key_id,
            not_after: not_after.map_err(|error| unusable(&error))?,
            key,
        })
    }

    /// Signs a certificate; returns it, PEM.
    pub fn certify(&self, certification: &Certification) -> Result<String, CertifyError> {
        let now = certification.not_before.saturating_add(BACKDATED).unwrap_or(Timestamp::MAX);
        if now >= self.not_after {
            return Err(CertifyError::Expired(self.not_after));
        }
        let der = request::decode(certification.request.as_bytes()).ok_or(CertifyError::Unreadable)?;
        let request = Request::from_der(&der).ok_or(CertifyError::Unreadable)?;
        if request::is_forged(&der) {
            return Err(CertifyError::Forged);
        }
        let usages = Usages::read(&certification.usages).map_err(CertifyError::Usages)?;
        let not_after = certification.not_after.min(self.not_after);
        // Not zero, and of as much chance as there is room for.
        let serial = (rand::random::<u128>() >> 1) | 1;
        let stated = der::sequence(&[
            der::value(der::inner(0), &der::positive(&[2])),
            der::positive(&serial.to_be_bytes()),
            self.algorithm.clone(),
            self.name.clone(),
            der::sequence(&[der::time(certification.not_before), der::time(not_after)]),
            request.subject.clone(),
            request.public_key.clone(),
            der::value(der::inner(3), &der::sequence(&self.extensions(&request, &usages))),
        ]);
        let signature = [vec![0], self.key.sign(&stated)?].concat();
        let signed = der::sequence(&[stated, self.algorithm.clone(), der::value(der::BIT_STRING, &signature)]);
        Ok(pem(&signed))
    }

    fn extensions(&self, request: &Request, usages: &Usages) -> Vec<Vec<u8>> {
        let mut extensions = Vec::new();
        if usages.basic != 0 {
            extensions.push(extended(extension::KEY_USAGE, true, &der::flags(usages.basic)));
        }
        if !usages.purposes.is_empty() {
            let identifiers = usages.purposes.iter().map(|content| der::value(der::OBJECT_IDENTIFIER, content));
            let purposes = der::sequence(&identifiers.collect::<Vec<_>>());
            extensions.push(extended(extension::PURPOSES, false, &purposes));
        }
        extensions.push(extended(extension::BASIC_CONSTRAINTS, true, &der::sequence(&[])));
        if let Some(id) = &self.key_id {
            let key = der::sequence(&[der::value(der::context(0), id)]);
            extensions.push(extended(extension::AUTHORITY_KEY, false, &key));
        }
        if !request.names.is_empty() {
            // Who has no subject is known by these names alone.
            let is_nameless = request.subject == der::sequence(&[]);
            extensions.push(extended(extension::NAMES, is_nameless, &alternative(&request.names)));
        }
        extensions
    }
}

/// How a key signs, DER. The key's library keeps that to itself, and shows it in what it signs.
fn algorithm(key: &KeyPair) -> Result<Vec<u8>, CertifyError> {
    let unusable = |why: &dyn std::fmt::Display| CertifyError::Authority(why.to_string());
    let shown = CertificateParams::default().self_signed(key)?;
    let (_, parsed) = X509Certificate::from_der(shown.der()).map_err(|error| unusable(&error))?;
    let mut parts = vec![der::value(der::OBJECT_IDENTIFIER, parsed.signature_algorithm.algorithm.as_bytes())];
    if let Some(parameters) = &parsed.signature_algorithm.parameters {
        parts.push(parameters.to_der_vec().map_err(|error| unusable(&error))?);
    }
    Ok(der::sequence(&parts))
}

/// An extension of a certificate.
fn extended(identifier: &[u8], is_critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::value(der::OBJECT_IDENTIFIER, identifier)];
    if is_critical {
        parts.push(der::value(der::BOOLEAN, &[0xff]));
    }
    parts.push(der::value(der::OCTET_STRING, content));
    der::sequence(&parts)
}

/// The names of a certificate, by the numbers that RFC 5280 gives their kinds.
fn alternative(names: &Names) -> Vec<u8> {
    let text = |number: u8, names: &[String]| -> Vec<Vec<u8>> {
        names.iter().map(|name| der::value(der::context(number), name.as_bytes())).collect()
    };
    let mut written = text(2, &names.dns);
    written.extend(text(1, &names.emails));
    written.extend(names.addresses.iter().map(|address| der::value(der::context(7), address)));
    written.extend(text(6, &names.uris));
    der::sequence(&written)
}

/// A certificate in PEM.
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, which can be split anywhere.
        let (line, behind) = rest.split_at(rest.len().min(64));
        text.extend([line, "\n"]);
        rest = behind;
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests;
