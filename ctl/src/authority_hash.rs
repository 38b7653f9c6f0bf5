//! The hash by which whoever joins a cluster knows its authority: of the public key, as kubeadm's
//! `--discovery-token-ca-cert-hash` has it, so that it stays the same when the certificate is renewed.

use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// What hashes begin with.
pub const HASH_PREFIX: &str = "sha256:";

/// The hash of the authority with this certificate (DER), as `sha256:` and hexadecimal digits; `None` if it cannot be read.
#[must_use]
pub fn authority_hash(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let hash = Sha256::digest(parsed.public_key().raw);
    Some(hash.iter().fold(HASH_PREFIX.to_owned(), |text, byte| text + &format!("{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::*;

    /// Made by `openssl req -x509`; the hash by `openssl x509 -pubkey`, `openssl pkey -pubin -outform der` and `sha256sum`.
    const AUTHORITY: &str = include_str!("authority_hash/authority.pem");
    const HASH: &str = include_str!("authority_hash/hash.txt");

    #[test]
    fn hashes_are_those_of_openssl() {
        let certificate = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap();
        assert_eq!(authority_hash(&certificate).as_deref(), Some(HASH.trim()));
        assert_eq!(authority_hash(b"garbage"), None);
    }
}
