//! How an issuer is asked for its keys: its configuration first (OpenID Connect Discovery 1.0), and then what that names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::keys::Keys;
use super::{OidcError, OidcOptions};

/// Where the configuration is.
const CONFIGURATION: &str = "/.well-known/openid-configuration";
/// The most that is read of a document.
const MOST_BYTES: usize = 1 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks an issuer.
pub(super) struct Provider {
    issuer: String,
    connector: TlsConnector,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderError {
    #[error("{0:?} is no URL of HTTPS")]
    Url(String),
    #[error("{url}: {source}")]
    Connect { url: String, source: std::io::Error },
    #[error("{url}: {source}")]
    Http { url: String, source: hyper::Error },
    #[error("{url} answers {status}")]
    Status { url: String, status: StatusCode },
    #[error("{url}: {why}")]
    Body { url: String, why: String },
    #[error("{url} does not answer in time")]
    TimedOut { url: String },
    #[error("oidc: issuer did not match the issuer returned by provider, expected {expected:?} got {found:?}")]
    Issuer { expected: String, found: String },
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    pub(super) fn new(options: &OidcOptions) -> Result<Provider, OidcError> {
        let issuer = options.issuer_url.clone();
        let good = issuer.starts_with("https://") && !issuer.contains(['?', '#']);
        if !good || issuer.parse::<Uri>().ok().is_none_or(|url| url.host().is_none()) {
            return Err(OidcError::Url(issuer));
        }
        let roots = roots(options)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Provider { issuer, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// The keys that the issuer has now.
    pub(super) async fn keys(&self) -> Result<Keys, ProviderError> {
        let url = format!("{}{CONFIGURATION}", self.issuer.trim_end_matches('/'));
        let answer = self.fetch(&url).await?;
        let broken = |url: &str| {
            let url = url.to_owned();
            move |error: serde_json::Error| ProviderError::Body { url, why: error.to_string() }
        };
        let configuration: Configuration = serde_json::from_slice(&answer).map_err(broken(&url))?;
        if configuration.issuer != self.issuer {
            return Err(ProviderError::Issuer { expected: self.issuer.clone(), found: configuration.issuer });
        }
        let answer = self.fetch(&configuration.jwks_uri).await?;
        Keys::read(&answer).map_err(broken(&configuration.jwks_uri))
    }

    async fn fetch(&self, url: &str) -> Result<Bytes, ProviderError> {
        let asked = tokio::time::timeout(PATIENCE, self.ask(url)).await;
        asked.unwrap_or_else(|_| Err(ProviderError::TimedOut { url: url.to_owned() }))
    }

    async fn ask(&self, url: &str) -> Result<Bytes, ProviderError> {
        let bad = || ProviderError::Url(url.to_owned());
        let parsed: Uri = url.parse().map_err(|_| bad())?;
        let (Some("https"), Some(host)) = (parsed.scheme_str(), parsed.host()) else { return Err(bad()) };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let failed = |source| ProviderError::Connect { url: url.to_owned(), source };
        let socket = TcpStream::connect((host.as_str(), parsed.port_u16().unwrap_or(443))).await.map_err(failed)?;
        let name = ServerName::try_from(host).map_err(|_| bad())?;
        let stream = self.connector.connect(name, socket).await.map_err(failed)?;
        let broken = |source| ProviderError::Http { url: url.to_owned(), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let path = parsed.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path).header(ACCEPT, "application/json");
        let authority = parsed.authority().map_or("", |authority| authority.as_str());
        let request = request.header(HOST, authority).body(Empty::<Bytes>::new()).map_err(|_| bad())?;
        // It ends with the answer, or when this is given up.
        let asked = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            if answer.status() != StatusCode::OK {
                return Err(ProviderError::Status { url: url.to_owned(), status: answer.status() });
            }
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
            body.map(http_body_util::Collected::to_bytes)
                .map_err(|error| ProviderError::Body { url: url.to_owned(), why: error.to_string() })
        };
        tokio::pin!(asked);
        tokio::select! {
            biased;
            answer = &mut asked => answer,
            ended = connection => {
                ended.map_err(broken)?;
                // What had come before it ended is still there.
                asked.await
            }
        }
    }
}

fn roots(options: &OidcOptions) -> Result<RootCertStore, OidcError> {
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(path) => {
            let pem = std::fs::read(path).map_err(|source| OidcError::Unreadable { path: path.clone(), source })?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|_| OidcError::NoAuthority)?)?;
            }
        }
        None => {
            // Those that cannot be used are of no use to anybody.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() { Err(OidcError::NoAuthority) } else { Ok(roots) }
}
