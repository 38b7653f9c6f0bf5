//! PKCS#10 signing requests: that they can be read, and that whoever made one has its private key.
//!
//! The signature is judged as Go's `CheckSignature` does, and its refusals are in Go's words. What Go says of a request
//! that it cannot even read names its own structs; here the reader's own words stand in their place.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::{Oid, oid};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

const RSA: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const EC: Oid<'static> = oid!(1.2.840.10045.2.1);
const ED25519: Oid<'static> = oid!(1.3.101.112);
const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const P384: Oid<'static> = oid!(1.3.132.0.34);
const P521: Oid<'static> = oid!(1.3.132.0.35);
const MD5_RSA: Oid<'static> = oid!(1.2.840.113549.1.1.4);
const SHA1_RSA: Oid<'static> = oid!(1.2.840.113549.1.1.5);
const SHA256_RSA: Oid<'static> = oid!(1.2.840.113549.1.1.11);
const SHA384_RSA: Oid<'static> = oid!(1.2.840.113549.1.1.12);
const SHA512_RSA: Oid<'static> = oid!(1.2.840.113549.1.1.13);
const RSA_PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);
const ECDSA_SHA1: Oid<'static> = oid!(1.2.840.10045.4.1);
const ECDSA_SHA256: Oid<'static> = oid!(1.2.840.10045.4.3.2);
const ECDSA_SHA384: Oid<'static> = oid!(1.2.840.10045.4.3.3);
const ECDSA_SHA512: Oid<'static> = oid!(1.2.840.10045.4.3.4);
const SHA256: Oid<'static> = oid!(2.16.840.1.101.3.4.2.1);
const SHA384: Oid<'static> = oid!(2.16.840.1.101.3.4.2.2);
const SHA512: Oid<'static> = oid!(2.16.840.1.101.3.4.2.3);

/// What a public key is, as far as rules tell keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyType {
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    P256,
    P384,
    P521,
    /// ECDSA on another curve.
    OtherCurve,
    Ed25519,
    Unknown,
}

/// Reads a request, which must be all of `der`.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn parse(der: &[u8]) -> Result<X509CertificationRequest<'_>, String> {
    match X509CertificationRequest::from_der(der) {
        Ok(([], request)) => Ok(request),
        Ok(_) => Err("asn1: syntax error: trailing data".to_owned()),
        Err(_) if der.is_empty() => Err("asn1: syntax error: sequence truncated".to_owned()),
        Err(error) => Err(format!("asn1: structure error: {error}")),
    }
}

/// Judges the signature of a request.
///
/// # Errors
/// What Go says of a bad one.
pub(super) fn check_signature(request: &X509CertificationRequest<'_>) -> Result<(), &'static str> {
    let info = &request.certification_request_info;
    let (algorithm, refusal) = verification(&request.signature_algorithm, &info.subject_pki)?;
    let key = UnparsedPublicKey::new(algorithm, &info.subject_pki.subject_public_key.data);
    key.verify(info.raw, &request.signature_value.data).map_err(|_| refusal)
}

/// What a public key is.
pub(super) fn key_type(key: &SubjectPublicKeyInfo<'_>) -> KeyType {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == RSA {
        return match key.parsed() {
            Ok(PublicKey::RSA(key)) => KeyType::Rsa(key.key_size()),
            _ => KeyType::Unknown,
        };
    }
    if *algorithm == ED25519 {
        return KeyType::Ed25519;
    }
    if *algorithm != EC {
        return KeyType::Unknown;
    }
    match key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok()) {
        Some(curve) if curve == P256 => KeyType::P256,
        Some(curve) if curve == P384 => KeyType::P384,
        Some(curve) if curve == P521 => KeyType::P521,
        Some(_) => KeyType::OtherCurve,
        None => KeyType::Unknown,
    }
}

/// How a signature of this kind by this key is verified, and what a bad one is told.
fn verification(
    algorithm: &AlgorithmIdentifier<'_>,
    key: &SubjectPublicKeyInfo<'_>,
) -> Result<(&'static dyn VerificationAlgorithm, &'static str), &'static str> {
    const UNKNOWN: &str = "x509: cannot verify signature: algorithm unimplemented";
    const RSA_REFUSAL: &str = "crypto/rsa: verification error";
    const ECDSA_REFUSAL: &str = "x509: ECDSA verification failure";
    let (kind, key) = (&algorithm.algorithm, key_type(key));
    if *kind == MD5_RSA {
        return Err("x509: cannot verify signature: insecure algorithm MD5-RSA");
    }
    if *kind == SHA1_RSA {
        return Err("x509: cannot verify signature: insecure algorithm SHA1-RSA");
    }
    if *kind == ECDSA_SHA1 {
        return Err("x509: cannot verify signature: insecure algorithm ECDSA-SHA1");
    }
    let hash = hash_of(algorithm).ok_or(UNKNOWN)?;
    let found: Option<&'static dyn VerificationAlgorithm> = match (key, hash) {
        (KeyType::Rsa(_), 256) if *kind == RSA_PSS => Some(&signature::RSA_PSS_2048_8192_SHA256),
        (KeyType::Rsa(_), 384) if *kind == RSA_PSS => Some(&signature::RSA_PSS_2048_8192_SHA384),
        (KeyType::Rsa(_), 512) if *kind == RSA_PSS => Some(&signature::RSA_PSS_2048_8192_SHA512),
        (KeyType::Rsa(_), 256) if *kind == SHA256_RSA => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        (KeyType::Rsa(_), 384) if *kind == SHA384_RSA => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        (KeyType::Rsa(_), 512) if *kind == SHA512_RSA => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        (KeyType::P256, 256) if *kind == ECDSA_SHA256 => Some(&signature::ECDSA_P256_SHA256_ASN1),
        (KeyType::P256, 384) if *kind == ECDSA_SHA384 => Some(&signature::ECDSA_P256_SHA384_ASN1),
        (KeyType::P256, 512) if *kind == ECDSA_SHA512 => Some(&signature::ECDSA_P256_SHA512_ASN1),
        (KeyType::P384, 256) if *kind == ECDSA_SHA256 => Some(&signature::ECDSA_P384_SHA256_ASN1),
        (KeyType::P384, 384) if *kind == ECDSA_SHA384 => Some(&signature::ECDSA_P384_SHA384_ASN1),
        (KeyType::P384, 512) if *kind == ECDSA_SHA512 => Some(&signature::ECDSA_P384_SHA512_ASN1),
        (KeyType::P521, 256) if *kind == ECDSA_SHA256 => Some(&signature::ECDSA_P521_SHA256_ASN1),
        (KeyType::P521, 384) if *kind == ECDSA_SHA384 => Some(&signature::ECDSA_P521_SHA384_ASN1),
        (KeyType::P521, 512) if *kind == ECDSA_SHA512 => Some(&signature::ECDSA_P521_SHA512_ASN1),
        (KeyType::Ed25519, 0) => Some(&signature::ED25519),
        _ => None,
    };
    let refusal = match key {
        KeyType::Rsa(_) => RSA_REFUSAL,
        KeyType::Ed25519 => "x509: Ed25519 verification failure",
        _ => ECDSA_REFUSAL,
    };
    found.map(|found| (found, refusal)).ok_or(UNKNOWN)
}

/// The bits of the hash that is signed, or 0 where the message itself is.
fn hash_of(algorithm: &AlgorithmIdentifier<'_>) -> Option<u16> {
    use x509_parser::signature_algorithm::RsaSsaPssParams;

    let kind = &algorithm.algorithm;
    if *kind == RSA_PSS {
        let parameters = RsaSsaPssParams::try_from(algorithm.parameters.as_ref()?).ok()?;
        let hash = parameters.hash_algorithm_oid();
        return [(SHA256, 256), (SHA384, 384), (SHA512, 512)]
            .iter()
            .find(|(oid, _)| oid == hash)
            .map(|(_, bits)| *bits);
    }
    let known = [
        (SHA256_RSA, 256),
        (SHA384_RSA, 384),
        (SHA512_RSA, 512),
        (ECDSA_SHA256, 256),
        (ECDSA_SHA384, 384),
        (ECDSA_SHA512, 512),
        (ED25519, 0),
    ];
    known.iter().find(|(oid, _)| oid == kind).map(|(_, bits)| *bits)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    #[test]
    fn requests_are_read_and_judged() {
        for (algorithm, expected) in [
            (&PKCS_ECDSA_P256_SHA256, KeyType::P256),
            (&PKCS_ECDSA_P384_SHA384, KeyType::P384),
            (&PKCS_ED25519, KeyType::Ed25519),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let params = CertificateParams::new(vec!["web.example.com".to_owned()]).unwrap();
            let der = params.serialize_request(&key).unwrap().der().to_vec();
            let request = parse(&der).unwrap();
            assert_eq!(check_signature(&request), Ok(()), "{expected:?}");
            assert_eq!(key_type(&request.certification_request_info.subject_pki), expected);

            // Another name under the same signature.
            let mut forged = der.clone();
            let at = forged.windows(3).position(|window| window == b"web").unwrap();
            forged[at] = b'x';
            let refusal = match expected {
                KeyType::Ed25519 => "x509: Ed25519 verification failure",
                _ => "x509: ECDSA verification failure",
            };
            assert_eq!(check_signature(&parse(&forged).unwrap()), Err(refusal));

            let mut longer = der.clone();
            longer.push(0);
            assert_eq!(parse(&longer).unwrap_err(), "asn1: syntax error: trailing data");
            assert!(parse(&der[..der.len() - 1]).is_err());
        }
        assert_eq!(parse(b"").unwrap_err(), "asn1: syntax error: sequence truncated");
    }
}
