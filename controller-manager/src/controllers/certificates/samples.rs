//! Requests for tests, for new keys.

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
    CertificateSigningRequestStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

/// Alternative names of each kind.
pub(crate) fn names(dns: &[&str], emails: &[&str], addresses: &[&str], uris: &[&str]) -> Vec<SanType> {
    let text = |name: &str| Ia5String::try_from(name).unwrap();
    let mut names: Vec<SanType> = dns.iter().map(|name| SanType::DnsName(text(name))).collect();
    names.extend(emails.iter().map(|name| SanType::Rfc822Name(text(name))));
    names.extend(addresses.iter().map(|name| SanType::IpAddress(name.parse().unwrap())));
    names.extend(uris.iter().map(|name| SanType::URI(text(name))));
    names
}

/// A request in PEM, with a common name unless it is empty and at most two organizations.
pub(crate) fn pem(common_name: &str, organizations: &[&str], names: &[SanType]) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // rcgen writes one attribute of a type, unless it takes it for another type.
    let types = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    assert!(organizations.len() <= types.len());
    for (kind, organization) in types.into_iter().zip(organizations) {
        params.distinguished_name.push(kind, *organization);
    }
    if !common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.subject_alt_names = names.to_vec();
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// A CertificateSigningRequest.
pub(crate) fn object(name: &str, signer: &str, pem: &str, usages: &[&str]) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into()),
            signer_name: signer.to_owned(),
            usages: Some(usages.iter().map(|usage| (*usage).to_owned()).collect()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

/// The same with a condition more.
pub(crate) fn with_condition(
    mut object: CertificateSigningRequest,
    kind: &str,
    updated: Option<Timestamp>,
) -> CertificateSigningRequest {
    let condition = CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        last_update_time: updated.map(Time),
        ..CertificateSigningRequestCondition::default()
    };
    let status: &mut CertificateSigningRequestStatus = object.status.get_or_insert_default();
    status.conditions.get_or_insert_default().push(condition);
    object
}
