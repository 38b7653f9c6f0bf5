//! How connections to kubelets, pods and other servers are opened.
//!
//! Kubelets are shown the API server's own certificate and must show one of the cluster's authority, for the name or address
//! at which they were called. Others are encrypted if that is asked for, and not verified: nobody could say by which
//! authority (upstream does the same).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::RwLock;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::serve::{PemPair, TlsError, certified, keep_alive};

/// How long it may take to open a connection, and to agree on encryption then; upstream's times.
const DIAL_TIME: Duration = Duration::from_secs(30);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// In the clear.
    Plain,
    /// Encrypted, and without a look at its certificate.
    Unverified,
    /// As a kubelet: with our certificate, and a look at its own.
    Kubelet,
    /// As a kubelet whose certificate the client does not want to be looked at.
    KubeletUnverified,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name or address. An IPv6 address is without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub security: Security,
}

impl Endpoint {
    /// Host and port, as they stand in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.security == Security::Plain { "http" } else { "https" }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No address is known for its name.
    #[error("dial tcp: lookup {host}: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// It does not answer at its address.
    #[error("dial tcp {authority}: {source}")]
    Connect {
        /// Host and port.
        authority: String,
        /// Why not.
        source: io::Error,
    },
    /// It took too long.
    #[error("dial tcp {authority}: i/o timeout")]
    TimedOut {
        /// Host and port.
        authority: String,
    },
    /// There is no agreement on encryption, or it is not who it should be.
    #[error("tls: {source}")]
    Tls {
        /// Why not.
        source: io::Error,
    },
    /// This server has no way to others.
    #[error("this server has no way to {authority}")]
    NoWay {
        /// Host and port.
        authority: String,
    },
}

/// Opens connections.
pub trait Transport: Send + Sync + 'static {
    /// Opens one to `endpoint`.
    fn connect(&self, endpoint: Endpoint) -> BoxFuture<'_, Result<Box<dyn Stream>, DialError>>;

    /// The addresses that the name of a host stands for.
    fn resolve(&self, host: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>>;
}

/// Reaches nobody: for servers that are alone in their process, as in simulations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Transport for Nowhere {
    fn connect(&self, endpoint: Endpoint) -> BoxFuture<'_, Result<Box<dyn Stream>, DialError>> {
        let authority = endpoint.authority();
        async { Err(DialError::NoWay { authority }) }.boxed()
    }

    fn resolve(&self, _: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

/// Why there can be no connections to kubelets.
#[derive(Debug, thiserror::Error)]
pub enum KubeletTlsError {
    /// The authorities are not readable.
    #[error("the authority of kubelets (--kubelet-certificate-authority) cannot be read: {0}")]
    Authority(rustls::pki_types::pem::Error),
    /// There is none.
    #[error("the authority of kubelets (--kubelet-certificate-authority) is no certificate in PEM")]
    NoAuthority,
    /// Our certificate is not readable.
    #[error("the certificate for kubelets (--kubelet-client-certificate, --kubelet-client-key): {0}")]
    Client(#[from] TlsError),
    /// It cannot be used.
    #[error("connections to kubelets cannot be encrypted: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Opens connections over the network.
pub struct Dialer {
    /// What is shown to kubelets.
    client: Arc<ClientCertificate>,
    kubelet: TlsConnector,
    kubelet_unverified: TlsConnector,
    unverified: TlsConnector,
}

impl Dialer {
    /// Trusts kubelets whose certificates lead to `authority` (PEM), and shows them `client`.
    pub fn new(authority: &str, client: &PemPair) -> Result<Dialer, KubeletTlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate.map_err(KubeletTlsError::Authority)?)?;
        }
        if roots.is_empty() {
            return Err(KubeletTlsError::NoAuthority);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let anybody = || Arc::new(Anybody(Arc::clone(&provider)));
        let client = ClientCertificate {
            shown: RwLock::new(Arc::new(certified(&provider, client)?)),
            provider: Arc::clone(&provider),
        };
        let client = Arc::new(client);
        let shown = || Arc::clone(&client) as Arc<dyn ResolvesClientCert>;
        let kubelet = builder()?.with_root_certificates(roots).with_client_cert_resolver(shown());
        let unverified = builder()?.dangerous().with_custom_certificate_verifier(anybody());
        let kubelet_unverified = unverified.with_client_cert_resolver(shown());
        let unverified = builder()?.dangerous().with_custom_certificate_verifier(anybody()).with_no_client_auth();
        let connector = |mut config: ClientConfig| {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Ok(Dialer {
            client,
            kubelet: connector(kubelet),
            kubelet_unverified: connector(kubelet_unverified),
            unverified: connector(unverified),
        })
    }

    /// Shows kubelets another certificate from now on. If that cannot be used, the old one stays.
    pub fn replace(&self, client: &PemPair) -> Result<(), KubeletTlsError> {
        let certified = certified(&self.client.provider, client)?;
        *self.client.shown.write() = Arc::new(certified);
        Ok(())
    }

    /// Encrypts what is said to `endpoint` over `stream`, as far as that is wanted.
    pub async fn secure(&self, endpoint: &Endpoint, stream: impl Stream) -> Result<Box<dyn Stream>, DialError> {
        let connector = match endpoint.security {
            Security::Plain => return Ok(Box::new(stream)),
            Security::Unverified => &self.unverified,
            Security::Kubelet => &self.kubelet,
            Security::KubeletUnverified => &self.kubelet_unverified,
        };
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|error| DialError::Tls { source: io::Error::new(io::ErrorKind::InvalidInput, error) })?;
        let handshake = within(HANDSHAKE_TIME, connector.connect(name, stream), endpoint).await?;
        Ok(Box::new(handshake.map_err(|source| DialError::Tls { source })?))
    }
}

impl Transport for Dialer {
    fn connect(&self, endpoint: Endpoint) -> BoxFuture<'_, Result<Box<dyn Stream>, DialError>> {
        async move {
            let socket = within(DIAL_TIME, dial(&endpoint), &endpoint).await??;
            keep_alive(&socket);
            self.secure(&endpoint, socket).await
        }
        .boxed()
    }

    fn resolve(&self, host: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        async move {
            let found = tokio::time::timeout(DIAL_TIME, tokio::net::lookup_host((host, 0))).await??;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// Tries one address after the other.
async fn dial(endpoint: &Endpoint) -> Result<TcpStream, DialError> {
    let (host, port) = (endpoint.host.as_str(), endpoint.port);
    let lookup = |source| DialError::Lookup { host: host.to_owned(), source };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(lookup)?.collect();
    let mut failed = lookup(io::Error::new(io::ErrorKind::NotFound, "no such host"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(source) => failed = DialError::Connect { authority: address.to_string(), source },
        }
    }
    Err(failed)
}

async fn within<T>(time: Duration, work: impl Future<Output = T>, endpoint: &Endpoint) -> Result<T, DialError> {
    let done = tokio::time::timeout(time, work).await;
    done.map_err(|_| DialError::TimedOut { authority: endpoint.authority() })
}

/// What is shown to kubelets.
#[derive(Debug)]
struct ClientCertificate {
    provider: Arc<CryptoProvider>,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Takes any certificate for good, if its holder has the key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
