//! Tests of signing: what certificates say, read back, and that a server that trusts the authority takes them.

use std::sync::Arc;

use rcgen::{BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

use super::*;
use crate::controllers::certificates::samples;

/// An authority that is valid in 2026, with its certificate.
fn authority(algorithm: &'static rcgen::SignatureAlgorithm) -> (Authority, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (Authority::from_pem(&certificate, &key.serialize_pem()).unwrap(), certificate)
}

/// What is asked for on the first of March, at noon.
fn certification(request: &str, usages: &[&str], not_after: &str) -> Certification {
    Certification {
        version: "7".to_owned(),
        request: request.to_owned(),
        usages: usages.iter().map(|usage| (*usage).to_owned()).collect(),
        not_before: "2026-03-01T11:55:00Z".parse().unwrap(),
        not_after: not_after.parse().unwrap(),
    }
}

fn read(pem: &str) -> Pem {
    let (rest, block) = parse_x509_pem(pem.as_bytes()).unwrap();
    assert!(rest.is_empty());
    assert!(pem.lines().all(|line| line.len() <= 64));
    block
}

/// The alternative names of a certificate.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Some(alternative) = certificate.subject_alternative_name().unwrap() else { return Vec::new() };
    let tell = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
        other => panic!("{other:?}"),
    };
    alternative.value.general_names.iter().map(tell).collect()
}

#[test]
fn a_certificate_says_what_was_asked_for() {
    let (authority, root) = authority(&rcgen::PKCS_ECDSA_P256_SHA256);
    let asked = samples::names(&["n1", "n1.example"], &["a@b.c"], &["10.0.0.1", "::1"], &["spiffe://x"]);
    let request = samples::pem("ann", &["dev", "ops"], &asked);
    let usages = ["client auth", "digital signature", "server auth", "key encipherment"];
    let pem = authority.certify(&certification(&request, &usages, "2026-03-02T12:00:00Z")).unwrap();
    let (block, root) = (read(&pem), read(&root));
    let (certificate, root) = (block.parse_x509().unwrap(), root.parse_x509().unwrap());
    certificate.verify_signature(Some(root.public_key())).unwrap();
    assert_eq!(certificate.issuer(), root.subject());
    let read = Request::from_pem(request.as_bytes()).unwrap();
    assert_eq!((certificate.subject().as_raw(), certificate.public_key().raw), (&*read.subject, &*read.public_key));
    let organizations: Vec<&str> =
        certificate.subject().iter_organization().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(organizations, ["dev", "ops"]);
    assert_eq!(certificate.validity().not_before.timestamp(), 1_772_366_100);
    assert_eq!(certificate.validity().not_after.timestamp(), 1_772_452_800);
    let address = "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]";
    assert_eq!(names(&certificate), ["n1", "n1.example", "a@b.c", "[10, 0, 0, 1]", address, "spiffe://x"]);
    assert!(!certificate.is_ca());
    let basic = certificate.key_usage().unwrap().unwrap().value;
    assert_eq!(basic.to_string(), "Digital Signature, Key Encipherment");
    let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && purposes.server_auth && !purposes.any && purposes.other.is_empty());
}

#[test]
fn what_was_not_asked_for_is_not_in_a_certificate() {
    let (authority, _) = authority(&rcgen::PKCS_ED25519);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let pem = authority.certify(&certification(&request, &[], "2026-03-02T12:00:00Z")).unwrap();
    let block = read(&pem);
    let certificate = block.parse_x509().unwrap();
    assert!(!certificate.is_ca());
    assert!(certificate.key_usage().unwrap().is_none() && certificate.extended_key_usage().unwrap().is_none());
    assert!(certificate.subject().iter().next().is_none() && names(&certificate).is_empty());
}

#[test]
fn serial_numbers_differ() {
    let (authority, _) = authority(&rcgen::PKCS_ECDSA_P256_SHA256);
    let asked = certification(&samples::pem("ann", &[], &[]), &["client auth"], "2026-03-02T12:00:00Z");
    let serial = || read(&authority.certify(&asked).unwrap()).parse_x509().unwrap().tbs_certificate.serial.clone();
    assert_ne!(serial(), serial());
}

/// A server with the authority's certificate as its root takes what the authority signed, whatever kind of key it has.
#[test]
fn servers_take_the_certificates() {
    let algorithms =
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256];
    for algorithm in algorithms {
        let (authority, root) = authority(algorithm);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let at = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let check = |usages: &[&str], seconds: u64, expected: bool| {
            let asked = certification(&samples::pem("ann", &["dev"], &[]), usages, "2026-03-01T13:00:00Z");
            let pem = authority.certify(&asked).unwrap();
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let verified = verifier.verify_client_cert(&certificate, &[], at(seconds));
            assert_eq!(verified.is_ok(), expected, "{usages:?} at {seconds}: {verified:?}");
        };
        check(&["digital signature", "client auth"], 1_772_366_400, true);
        check(&["digital signature", "client auth"], 1_772_366_100, true);
        check(&["digital signature", "client auth"], 1_772_366_099, false);
        check(&["digital signature", "client auth"], 1_772_370_001, false);
        check(&["digital signature", "server auth"], 1_772_366_400, false);
    }
}

#[test]
fn a_certificate_does_not_outlive_its_authority() {
    let (authority, _) = authority(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut asked = certification(&samples::pem("ann", &[], &[]), &["client auth"], "2050-03-01T12:00:00Z");
    let block = read(&authority.certify(&asked).unwrap());
    assert_eq!(block.parse_x509().unwrap().validity().not_after.timestamp(), 1_798_761_600);
    asked.not_before = "2026-12-31T23:55:00Z".parse().unwrap();
    assert!(matches!(authority.certify(&asked), Err(CertifyError::Expired(_))));
}

#[test]
fn bad_requests_and_usages_are_refused() {
    let (authority, _) = authority(&rcgen::PKCS_ECDSA_P256_SHA256);
    let check = |request: &str, usages: &[&str], expected: &str| {
        let refused = authority.certify(&certification(request, usages, "2026-03-02T12:00:00Z"));
        assert_eq!(refused.unwrap_err().to_string(), expected);
    };
    let request = samples::pem("ann", &[], &[]);
    check("garbage", &["client auth"], "unable to parse certificate request");
    check(&request, &["client auth", "flying"], "unrecognized usage values: [\"flying\"]");
    let mut forged = request::decode(request.as_bytes()).unwrap();
    let at = forged.windows(3).position(|bytes| bytes == b"ann").unwrap();
    forged[at] = b'e';
    let forged = pem(&forged).replace("CERTIFICATE", "CERTIFICATE REQUEST");
    check(&forged, &["client auth"], "unable to verify certificate request signature");
}

#[test]
fn an_authority_is_a_certificate_with_its_key() {
    let mut params = CertificateParams::default();
    params.key_identifier_method = KeyIdMethod::Sha256;
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = params.self_signed(&key).unwrap().pem();
    let check = |certificate: &str, key: &str, is_one: bool| {
        assert_eq!(Authority::from_pem(certificate, key).is_ok(), is_one);
    };
    check(&certificate, &key.serialize_pem(), true);
    check(&certificate, &other.serialize_pem(), false);
    check(&certificate, "garbage", false);
    check("garbage", &key.serialize_pem(), false);
    check(&key.serialize_pem(), &key.serialize_pem(), false);
}
