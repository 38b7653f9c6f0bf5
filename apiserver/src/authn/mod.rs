//! Who is asking: client certificates, then bearer tokens (those of a file, those of ServiceAccounts, those by which machines
//! join, and those of an OpenID Connect issuer), then, for a few paths, nobody in particular.
//!
//! What always holds: whoever presents something that does not prove who they are is refused, even where no proof is
//! needed; and no identity is ever made of anything but a certificate of the cluster's authority, a known token, or one
//! that this cluster or the issuer that it trusts has signed.

mod bearer;
mod bootstrap_token;
mod certificate;
mod issuer;
mod oidc;
mod service_account;
mod token_file;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::request::Parts;

pub use bootstrap_token::BootstrapTokens;
pub use certificate::{CertificateError, ClientCertificates, PeerCertificate};
pub use issuer::{CONFIGURATION_PATH, DEFAULT_ISSUER, Issuer, KEYS_PATH, KeyError};
pub use oidc::{Algorithm, Oidc, OidcError, OidcOptions, UnknownAlgorithm};
pub(crate) use service_account::{Binding, Reference};
pub use service_account::{ServiceAccountTokens, TokenOwner};
pub use token_file::{TokenFile, TokenFileError};

/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody who is not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Who asks when nobody says who asks.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// The key in [`Identity::extra`] that tells which credential was used.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The paths that may be asked for without saying who asks. The last is where a cluster tells strangers how to know it again.
const PUBLIC_PATHS: [&str; 6] = [
    "/healthz",
    "/livez",
    "/readyz",
    "/version",
    "/version/",
    "/api/v1/namespaces/kube-public/configmaps/cluster-info",
];

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name, unique among the users of a cluster.
    pub user: String,
    /// What tells this user from another who had the name before; may be empty.
    pub uid: String,
    /// The groups that the user is in.
    pub groups: Vec<String>,
    /// Whatever else the means of authentication states.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// Whether the user is in `group`.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|in_group| in_group == group)
    }

    /// With [`AUTHENTICATED`] among the groups, as all have who are known.
    #[must_use]
    pub(crate) fn authenticated(mut self) -> Identity {
        if !self.is_in(AUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }

    fn anonymous() -> Identity {
        Identity { user: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Identity::default() }
    }
}

/// A request that proves nobody's identity. The client is told no more than that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing that says who asks.
    #[error("no credentials")]
    NoCredentials,
    /// The client's certificate is not one of the cluster's authority, or not valid at this time.
    #[error("client certificate: {0}")]
    Certificate(String),
    /// A token that nobody has.
    #[error("invalid bearer token")]
    Token,
    /// A ServiceAccount's token that is not good, or not good any more.
    #[error("[invalid bearer token, {0}]")]
    ServiceAccountToken(String),
    /// A token of the OpenID Connect issuer that is not good.
    #[error("[invalid bearer token, {0}]")]
    OidcToken(String),
}

/// The means of authentication, in their order.
#[derive(Clone)]
pub struct Authenticators {
    tokens: Option<Arc<TokenFile>>,
    service_accounts: Option<ServiceAccountTokens>,
    bootstrap: Option<BootstrapTokens>,
    oidc: Option<Oidc>,
    /// For whom tokens are that are for this server.
    audiences: Arc<[String]>,
    anonymous: Arc<Identity>,
}

impl Authenticators {
    /// Client certificates, which come with the connection, and the tokens of a file.
    #[must_use]
    pub fn new(tokens: Option<TokenFile>) -> Self {
        let audiences = Arc::new([DEFAULT_ISSUER.to_owned()]);
        let anonymous = Arc::new(Identity::anonymous());
        Authenticators {
            tokens: tokens.map(Arc::new),
            service_accounts: None,
            bootstrap: None,
            oidc: None,
            audiences,
            anonymous,
        }
    }

    /// With the tokens of ServiceAccounts. Tokens for their issuer are for this server.
    #[must_use]
    pub fn with_service_accounts(self, tokens: ServiceAccountTokens) -> Self {
        let audiences = Arc::new([tokens.issuer().url().to_owned()]);
        Authenticators { service_accounts: Some(tokens), audiences, ..self }
    }

    /// With the tokens by which machines join.
    #[must_use]
    pub fn with_bootstrap_tokens(self, tokens: BootstrapTokens) -> Self {
        Authenticators { bootstrap: Some(tokens), ..self }
    }

    /// With the tokens of an OpenID Connect issuer, which are for this server.
    #[must_use]
    pub fn with_oidc(self, oidc: Oidc) -> Self {
        Authenticators { oidc: Some(oidc), ..self }
    }

    /// Says who sends a request over a connection with `peer`, and takes the proof out of the request, so that nothing
    /// behind can leak it.
    pub async fn authenticate(
        &self,
        parts: &mut Parts,
        peer: &PeerCertificate,
        now: SystemTime,
    ) -> Result<Arc<Identity>, Refused> {
        let token = bearer::token(&parts.headers);
        let found = self.find(token.as_deref(), peer, now).await;
        parts.headers.remove(AUTHORIZATION);
        match found {
            Err(Refused::NoCredentials) if PUBLIC_PATHS.contains(&parts.uri.path()) => Ok(Arc::clone(&self.anonymous)),
            found => found,
        }
    }

    /// Whose `token` is, if it is for one of `audiences`, or for this server if there are none.
    pub async fn owner(&self, token: &str, audiences: &[String], now: SystemTime) -> Result<TokenOwner, Refused> {
        let audiences = if audiences.is_empty() { &self.audiences } else { audiences };
        if let Some(identity) = self.tokens.as_ref().and_then(|tokens| tokens.identity(token)) {
            return self.for_this_server(identity, audiences);
        }
        if let Some(known) = &self.service_accounts
            && let Some(owner) = known.owner(token, audiences, now).await.map_err(Refused::ServiceAccountToken)?
        {
            return Ok(owner);
        }
        if let Some(known) = &self.bootstrap
            && let Some(identity) = known.owner(token, now).await
        {
            return self.for_this_server(identity, audiences);
        }
        if let Some(oidc) = &self.oidc
            && let Some(identity) = oidc.owner(token, now).await.map_err(Refused::OidcToken)?
        {
            return self.for_this_server(Arc::new(identity), audiences);
        }
        Err(Refused::Token)
    }

    /// The owner of a token that says nothing of audiences: it is for this server.
    fn for_this_server(&self, identity: Arc<Identity>, audiences: &[String]) -> Result<TokenOwner, Refused> {
        let shared: Vec<String> = self.audiences.iter().filter(|own| audiences.contains(own)).cloned().collect();
        if shared.is_empty() { Err(Refused::Token) } else { Ok(TokenOwner { identity, audiences: shared }) }
    }

    async fn find(
        &self,
        token: Option<&str>,
        peer: &PeerCertificate,
        now: SystemTime,
    ) -> Result<Arc<Identity>, Refused> {
        let certificate = peer.identity(now);
        if let Ok(Some(identity)) = certificate {
            return Ok(identity);
        }
        match token {
            // A bad certificate does not spoil a good token.
            Some(token) => Ok(self.owner(token, &[], now).await?.identity),
            None => match certificate {
                Err(why) => Err(Refused::Certificate(why.to_string())),
                Ok(_) => Err(Refused::NoCredentials),
            },
        }
    }
}
