//! TLS: the certificate that the server shows, and what it asks of clients'.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

use super::PemPair;
use crate::authn::ClientCertificates;

/// HTTP/2 over TLS, as RFC 9113 names it.
pub(super) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or the key is not readable.
    #[error("the certificate or its key cannot be read, which must be PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// They do not belong together, or are of a kind that is not supported.
    #[error("the certificate cannot be used with its key: {0}")]
    Unusable(#[from] rustls::Error),
    /// There is no certificate in what should be one.
    #[error("the certificate is empty: there must be at least one PEM block CERTIFICATE")]
    Empty,
}

/// The certificate that a server shows. It can be replaced at any time; connections that there are keep what they saw.
#[derive(Debug)]
pub struct ServingCertificate {
    provider: Arc<CryptoProvider>,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl ServingCertificate {
    /// With a certificate, perhaps with others behind it, and its key.
    pub fn new(serving: &PemPair) -> Result<Arc<ServingCertificate>, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let shown = RwLock::new(Arc::new(certified(&provider, serving)?));
        Ok(Arc::new(ServingCertificate { provider, shown }))
    }

    /// Shows another one from now on. If that cannot be used, the old one stays.
    pub fn replace(&self, serving: &PemPair) -> Result<(), TlsError> {
        let certified = certified(&self.provider, serving)?;
        *self.shown.write() = Arc::new(certified);
        Ok(())
    }

    /// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, with a certificate of the client's if it has one.
    pub fn server_config(self: &Arc<Self>, clients: &ClientCertificates) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(PossessionOnly(Arc::clone(clients.verifier()))))
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read()))
    }
}

/// A certificate with its key, which belong together.
pub(crate) fn certified(provider: &CryptoProvider, pair: &PemPair) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() {
        return Err(TlsError::Empty);
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

/// The same with a certificate that stays.
pub fn server_config(serving: &PemPair, clients: &ClientCertificates) -> Result<Arc<ServerConfig>, TlsError> {
    ServingCertificate::new(serving)?.server_config(clients)
}

/// Has the client prove that it holds the key of its certificate, whatever the certificate is worth. That is judged after
/// the handshake, in [`crate::authn`], where a bad one can be answered with `401` as by upstream.
#[derive(Debug)]
struct PossessionOnly(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for PossessionOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
