//! TLS: the certificate that the server shows, which may be replaced while it serves, and what clients' certificates say.
//!
//! A handshake never fails because of what a client's certificate is worth: it only proves that the client has its key.
//! What it is worth is judged afterwards, in [`authentication`](super::authentication), and a bad one is answered with
//! `401`, as by upstream.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::TlsAcceptor;

/// HTTP/2 over TLS, as RFC 9113 names it.
pub(super) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or a key is not readable.
    #[error("the serving certificate cannot be read, which must be PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// They do not belong together, or are of a kind that is not supported.
    #[error("the serving certificate cannot be used with its key: {0}")]
    Unusable(#[from] rustls::Error),
    /// There is no certificate in what should be one.
    #[error("the serving certificate is empty: there must be at least one PEM block CERTIFICATE")]
    Empty,
    /// The authority that client certificates are judged by is not one.
    #[error("the authority of client certificates cannot be used: {0}")]
    Authority(String),
    /// A certificate cannot be made.
    #[error("a serving certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// The certificate that a server shows. It can be replaced at any time; connections that there are keep what they saw.
#[derive(Debug)]
pub struct ServingCertificate {
    provider: Arc<CryptoProvider>,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl ServingCertificate {
    /// With a chain (its own certificate first) and a key, both PEM.
    pub fn new(chain: &str, key: &str) -> Result<Arc<ServingCertificate>, TlsError> {
        let provider = provider();
        let shown = RwLock::new(Arc::new(certified(&provider, chain, key)?));
        Ok(Arc::new(ServingCertificate { provider, shown }))
    }

    /// One that signs itself, for a node that has no other yet, as upstream's kubelet makes it.
    pub fn self_signed(node: &str, addresses: &[IpAddr]) -> Result<Arc<ServingCertificate>, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![node.to_owned()])?;
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key)?;
        ServingCertificate::new(&certificate.pem(), &key.serialize_pem())
    }

    /// Shows another one from now on. If that cannot be used, the old one stays.
    pub fn replace(&self, chain: &str, key: &str) -> Result<(), TlsError> {
        let certified = certified(&self.provider, chain, key)?;
        *self.shown.write() = Arc::new(certified);
        Ok(())
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read()))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certified(provider: &CryptoProvider, chain: &str, key: &str) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() {
        return Err(TlsError::Empty);
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

/// Judges clients' certificates by the authorities that the node trusts for that, which may be replaced at any time. Cloning
/// gives another handle to the same.
#[derive(Clone, Debug)]
pub struct ClientAuthority {
    current: Arc<RwLock<Verifier>>,
}

/// Judges certificates by the authorities of one moment.
pub(super) type Verifier = Arc<dyn ClientCertVerifier>;

impl ClientAuthority {
    /// Trusts what was issued by one of the certificates in `pem`, of which there must be one.
    pub fn new(pem: &str) -> Result<ClientAuthority, TlsError> {
        Ok(ClientAuthority { current: Arc::new(RwLock::new(verifier(pem)?)) })
    }

    /// Trusts others from now on, on connections that there are too. If there is none in `pem`, those before stay.
    pub fn replace(&self, pem: &str) -> Result<(), TlsError> {
        *self.current.write() = verifier(pem)?;
        Ok(())
    }

    /// What judges now.
    pub(super) fn current(&self) -> Verifier {
        Arc::clone(&self.current.read())
    }
}

/// Judges by the certificates in `pem`, of which there must be one.
fn verifier(pem: &str) -> Result<Verifier, TlsError> {
    let authority = |why: String| TlsError::Authority(why);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| authority(error.to_string()))?;
        roots.add(certificate).map_err(|error| authority(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    verifier.map_err(|error| authority(error.to_string()))
}

/// What handshakes are made by: with the authorities that are trusted when they begin.
pub(super) struct Handshakes {
    serving: Arc<ServingCertificate>,
    clients: Option<ClientAuthority>,
    made: Mutex<(Option<Verifier>, TlsAcceptor)>,
}

impl Handshakes {
    pub(super) fn new(
        serving: Arc<ServingCertificate>,
        clients: Option<ClientAuthority>,
    ) -> Result<Handshakes, TlsError> {
        let current = clients.as_ref().map(ClientAuthority::current);
        let config = server_config(Arc::clone(&serving), current.clone())?;
        Ok(Handshakes { serving, clients, made: Mutex::new((current, TlsAcceptor::from(config))) })
    }

    /// What makes the next one.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.clients.as_ref().map(ClientAuthority::current);
        let mut made = self.made.lock();
        let is_same = match (&made.0, &current) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        if !is_same {
            match server_config(Arc::clone(&self.serving), current.clone()) {
                Ok(config) => *made = (current, TlsAcceptor::from(config)),
                Err(error) => tracing::warn!(%error, "clients are told of the authorities from before"),
            }
        }
        made.1.clone()
    }
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, with a certificate of the client's if it has one.
fn server_config(serving: Arc<ServingCertificate>, clients: Option<Verifier>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&serving.provider)).with_safe_default_protocol_versions()?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(Arc::new(PossessionOnly(verifier))),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(serving);
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}

/// Has the client prove that it holds the key of its certificate, whatever the certificate is worth.
#[derive(Debug)]
struct PossessionOnly(Verifier);

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
