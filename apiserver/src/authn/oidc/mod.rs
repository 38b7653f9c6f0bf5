//! Tokens of an OpenID Connect issuer, which the cluster trusts to say who people are (`--oidc-issuer-url` and the like).
//!
//! What always holds: only tokens that name the issuer wait for it, and only as long as one question takes; its keys are asked
//! for again at most every ten seconds, however many tokens name keys that it does not have; and nothing that a token says is
//! believed before its signature was checked.

mod claims;
mod keys;
mod provider;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::claims::Claims;
use self::keys::Keys;
pub use self::keys::{Algorithm, UnknownAlgorithm};
use self::provider::Provider;
use super::Identity;

/// How long it takes until the issuer is asked again (upstream's interval for the first answer).
const INTERVAL: Duration = Duration::from_secs(10);

/// How tokens of an issuer are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcOptions {
    /// Who issues the tokens; a URL of HTTPS.
    pub issuer_url: String,
    /// For whom they have to be.
    pub client_id: String,
    /// Which claim is the name of the user.
    pub username_claim: String,
    /// What is put before it; `-` for nothing. Without, that is the issuer and `#`, except with the claim `email`.
    pub username_prefix: Option<String>,
    /// Which claim is the groups of the user.
    pub groups_claim: Option<String>,
    /// What is put before each.
    pub groups_prefix: String,
    /// Claims that have to be there, and their values.
    pub required_claims: Vec<(String, String)>,
    /// The authorities that the issuer's certificate is checked against, PEM; those of the machine without.
    pub ca_file: Option<PathBuf>,
    /// How the tokens may be signed.
    pub signing_algorithms: Vec<Algorithm>,
}

impl OidcOptions {
    /// With upstream's defaults.
    #[must_use]
    pub fn new(issuer_url: impl Into<String>, client_id: impl Into<String>) -> OidcOptions {
        OidcOptions {
            issuer_url: issuer_url.into(),
            client_id: client_id.into(),
            username_claim: "sub".to_owned(),
            username_prefix: None,
            groups_claim: None,
            groups_prefix: String::new(),
            required_claims: Vec::new(),
            ca_file: None,
            signing_algorithms: vec![Algorithm::Rs256],
        }
    }

    fn prefix_of_users(&self) -> String {
        match self.username_prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
            Some("-") => String::new(),
            Some(prefix) => prefix.to_owned(),
            None if self.username_claim == "email" => String::new(),
            None => format!("{}#", self.issuer_url),
        }
    }
}

/// Options that make no sense.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The issuer has no URL of HTTPS.
    #[error("--oidc-issuer-url {0:?} is no URL that begins with https:// and has neither query nor fragment")]
    Url(String),
    /// The authorities cannot be read.
    #[error("--oidc-ca-file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There are none.
    #[error("--oidc-ca-file: there is no certificate in it that can be used")]
    NoAuthority,
    /// TLS cannot be set up.
    #[error("the OpenID Connect issuer cannot be asked: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Knows the tokens of an issuer. Cloning gives another handle.
#[derive(Clone)]
pub struct Oidc(Arc<Inner>);

struct Inner {
    options: OidcOptions,
    provider: Provider,
    /// `None` until the issuer has answered.
    keys: RwLock<Option<Arc<Keys>>>,
    /// When it was asked last. Who holds this asks.
    asked: Mutex<Option<Instant>>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// A token, taken apart.
struct Parts<'a> {
    header: Header,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Option<Parts<'a>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Parts {
            header: serde_json::from_slice(&decoded(header)?).ok()?,
            claims: serde_json::from_slice(&decoded(claims)?).ok()?,
            signed,
            signature: decoded(signature)?,
        })
    }
}

impl Oidc {
    /// For tokens of the issuer that `options` name. It is not asked yet.
    ///
    /// # Errors
    /// If the options make no sense.
    pub fn new(options: OidcOptions) -> Result<Oidc, OidcError> {
        let provider = Provider::new(&options)?;
        Ok(Oidc(Arc::new(Inner { options, provider, keys: RwLock::default(), asked: Mutex::default() })))
    }

    /// Asks the issuer for its keys until it answers, or until `stopping`.
    pub fn start(&self, stopping: CancellationToken) {
        let oidc = self.clone();
        tokio::spawn(async move {
            let asks = async {
                while oidc.0.keys.read().is_none() {
                    oidc.refresh().await;
                    tokio::time::sleep(INTERVAL).await;
                }
            };
            stopping.run_until_cancelled(asks).await;
        });
    }

    /// Whose `token` is, if it is one of the issuer's. The error says why it is nobody's.
    pub(super) async fn owner(&self, token: &str, now: SystemTime) -> Result<Option<Identity>, String> {
        let Some(parts) = Parts::of(token) else { return Ok(None) };
        let inner = &self.0;
        if parts.claims.get("iss").and_then(serde_json::Value::as_str) != Some(&inner.options.issuer_url) {
            return Ok(None);
        }
        let algorithm = parts.header.alg.parse().ok().filter(|it| inner.options.signing_algorithms.contains(it));
        let Some(algorithm) = algorithm else {
            let alg = api::field::go_quote(&parts.header.alg);
            return Err(format!("oidc: verify token: oidc: id token signed with unsupported algorithm, got {alg}"));
        };
        let is_signed =
            |keys: &Keys| keys.signed(algorithm, &parts.header.kid, parts.signed.as_bytes(), &parts.signature);
        let known = inner.keys.read().clone();
        if !known.is_some_and(|keys| is_signed(&keys)) {
            // The issuer may have taken a new key.
            self.refresh().await;
            let Some(keys) = inner.keys.read().clone() else {
                return Err("oidc: authenticator not initialized".to_owned());
            };
            if !is_signed(&keys) {
                return Err(
                    "oidc: verify token: failed to verify signature: failed to verify id token signature".to_owned()
                );
            }
        }
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        claims::identity(&inner.options, &parts.claims, i64::try_from(since).unwrap_or(i64::MAX)).map(Some)
    }

    /// Asks the issuer for its keys, unless that was done a moment ago. Who comes while it is asked waits for that answer.
    async fn refresh(&self) {
        let mut asked = self.0.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < INTERVAL) {
            return;
        }
        *asked = Some(Instant::now());
        match self.0.provider.keys().await {
            Ok(keys) => *self.0.keys.write() = Some(Arc::new(keys)),
            Err(error) => {
                tracing::warn!(issuer = self.0.options.issuer_url, %error, "an issuer of tokens cannot be asked")
            }
        }
    }
}
