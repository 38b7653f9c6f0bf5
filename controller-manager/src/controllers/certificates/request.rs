//! Reads what certificates are asked for with: a PKCS #10 request in PEM.
//!
//! Of what a request may ask for, its subject, its key and four kinds of names are read. Everything else is passed over,
//! and so comes into no certificate.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AttributeTypeAndValue;

const LABEL: &str = "CERTIFICATE REQUEST";

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The common name; where there are several the last one counts, as in Go.
    pub(crate) common_name: String,
    /// The organizations, in the order in which they stand there.
    pub(crate) organizations: Vec<String>,
    /// The alternative names.
    pub(crate) names: Names,
    /// The subject, DER.
    pub(crate) subject: Vec<u8>,
    /// The public key with its kind, DER.
    pub(crate) public_key: Vec<u8>,
}

/// The alternative names that a request asks for, as they are written in certificates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) dns: Vec<String>,
    pub(crate) emails: Vec<String>,
    /// Four or sixteen bytes each.
    pub(crate) addresses: Vec<Vec<u8>>,
    pub(crate) uris: Vec<String>,
}

/// What the first PEM block holds, if it is a request.
pub(crate) fn decode(pem: &[u8]) -> Option<Vec<u8>> {
    let (_, block) = parse_x509_pem(pem).ok()?;
    (block.label == LABEL).then_some(block.contents)
}

impl Request {
    /// Reads a request in PEM; `None` if it is none.
    pub(crate) fn from_pem(pem: &[u8]) -> Option<Request> {
        Request::from_der(&decode(pem)?)
    }

    /// Reads a request in DER; `None` if it is none.
    pub(crate) fn from_der(der: &[u8]) -> Option<Request> {
        let (rest, parsed) = X509CertificationRequest::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let info = &parsed.certification_request_info;
        let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
        let common_name = match info.subject.iter_common_name().last() {
            Some(name) => text(name)?,
            None => String::new(),
        };
        let organizations = info.subject.iter_organization().map(text).collect::<Option<Vec<_>>>()?;
        let mut names = Names::default();
        for attribute in info.iter_attributes() {
            if let ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute() {
                asked.extensions.iter().try_for_each(|extension| names.take_in(extension))?;
            }
        }
        let (subject, public_key) = (info.subject.as_raw().to_vec(), info.subject_pki.raw.to_vec());
        Some(Request { common_name, organizations, names, subject, public_key })
    }
}

/// Whether a request in DER is known not to be signed by the key that it is for. The API server lets no such request in,
/// and knows more algorithms.
pub(crate) fn is_forged(der: &[u8]) -> bool {
    match X509CertificationRequest::from_der(der).map(|(_, request)| request.verify_signature()) {
        Ok(verified) => !matches!(verified, Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm)),
        Err(_) => true,
    }
}

impl Names {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Names::default()
    }

    /// Adds the names of an extension, if it is the one that has names; `None` if it is broken.
    fn take_in(&mut self, extension: &X509Extension<'_>) -> Option<()> {
        if extension.oid != OID_X509_EXT_SUBJECT_ALT_NAME {
            return Some(());
        }
        let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension() else { return None };
        for name in &alternative.general_names {
            match name {
                GeneralName::DNSName(name) => self.dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => self.emails.push((*name).to_owned()),
                GeneralName::URI(name) => self.uris.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) if matches!(bytes.len(), 4 | 16) => self.addresses.push(bytes.to_vec()),
                GeneralName::IPAddress(_) | GeneralName::Invalid(..) => return None,
                // No signer has a use for these.
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;
    use crate::controllers::certificates::samples::{names, pem};

    #[test]
    fn subjects_and_names_are_read() {
        let check = |pem: &str, common_name: &str, organizations: &[&str], expected: &[&[&str]; 4]| {
            let request = Request::from_pem(pem.as_bytes()).unwrap();
            assert_eq!(request.common_name, common_name);
            assert_eq!(request.organizations, organizations);
            let addresses: Vec<String> = request.names.addresses.iter().map(|bytes| format!("{bytes:?}")).collect();
            let read = [request.names.dns, request.names.emails, addresses, request.names.uris];
            assert_eq!(read, *expected);
        };
        check(&pem("ann", &["dev", "ops"], &[]), "ann", &["dev", "ops"], &[&[], &[], &[], &[]]);
        check(&pem("", &[], &[]), "", &[], &[&[], &[], &[], &[]]);
        let asked = names(&["n1"], &["a@b.c"], &["10.0.0.1"], &["spiffe://x"]);
        let expected: [&[&str]; 4] = [&["n1"], &["a@b.c"], &["[10, 0, 0, 1]"], &["spiffe://x"]];
        check(&pem("n1", &[], &asked), "n1", &[], &expected);
    }

    #[test]
    fn what_is_no_request_is_none() {
        let certificate = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let whole = pem("ann", &[], &[]);
        let mut longer = decode(whole.as_bytes()).unwrap();
        longer.push(0);
        for text in ["", "garbage", &certificate, &whole[..whole.len() / 2]] {
            assert_eq!(Request::from_pem(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Request::from_der(&longer), None);
    }

    #[test]
    fn a_request_that_was_changed_is_forged() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ann");
        params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from("ann.example").unwrap()));
        let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let der = request.der().to_vec();
        assert!(!is_forged(&der));
        let at = der.windows(3).position(|bytes| bytes == b"ann").unwrap();
        let mut changed = der.clone();
        changed[at] = b'e';
        assert!(Request::from_der(&changed).is_some());
        assert!(is_forged(&changed));
        assert!(is_forged(&der[1..]));
    }

    proptest! {
        /// Whatever is changed of a request, it is read or not; half of one never is.
        #[test]
        fn broken_requests_do_no_harm(at: proptest::sample::Index, bits in 1_u8.., cut: proptest::sample::Index) {
            let asked = names(&["n1"], &["a@b.c"], &["10.0.0.1"], &[]);
            let whole = decode(pem("ann", &["dev"], &asked).as_bytes()).unwrap();
            let mut changed = whole.clone();
            changed[at.index(whole.len())] ^= bits;
            let _ = (Request::from_der(&changed), is_forged(&changed));
            prop_assert_eq!(Request::from_der(&whole[..cut.index(whole.len())]), None);
        }
    }

    #[test]
    fn a_request_by_a_key_of_another_kind_is_left_to_the_server() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        assert!(Request::from_der(request.der()).is_some() && !is_forged(request.der()));
    }
}
