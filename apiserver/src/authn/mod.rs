//! Who is asking: client certificates, then bearer tokens, then, for a few paths, nobody in particular.
//!
//! What always holds: whoever presents something that does not prove who they are is refused, even where no proof is
//! needed; and no identity is ever made of anything but a certificate of the cluster's authority or a known token.

mod bearer;
mod certificate;
mod token_file;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::request::Parts;

pub use certificate::{CertificateError, ClientCertificates, PeerCertificate};
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

/// The paths that may be asked for without saying who asks.
const PUBLIC_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];

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
}

/// The means of authentication, in their order.
#[derive(Clone)]
pub struct Authenticators {
    tokens: Option<Arc<TokenFile>>,
    anonymous: Arc<Identity>,
}

impl Authenticators {
    /// Client certificates, which come with the connection, and the tokens of a file.
    #[must_use]
    pub fn new(tokens: Option<TokenFile>) -> Self {
        Authenticators { tokens: tokens.map(Arc::new), anonymous: Arc::new(Identity::anonymous()) }
    }

    /// Says who sends a request over a connection with `peer`, and takes the proof out of the request, so that nothing
    /// behind can leak it.
    pub fn authenticate(
        &self,
        parts: &mut Parts,
        peer: &PeerCertificate,
        now: SystemTime,
    ) -> Result<Arc<Identity>, Refused> {
        let token = bearer::token(&parts.headers);
        let found = self.find(token.as_deref(), peer, now);
        parts.headers.remove(AUTHORIZATION);
        match found {
            Err(Refused::NoCredentials) if PUBLIC_PATHS.contains(&parts.uri.path()) => Ok(Arc::clone(&self.anonymous)),
            found => found,
        }
    }

    fn find(&self, token: Option<&str>, peer: &PeerCertificate, now: SystemTime) -> Result<Arc<Identity>, Refused> {
        let certificate = peer.identity(now);
        if let Ok(Some(identity)) = certificate {
            return Ok(identity);
        }
        match token {
            // A bad certificate does not spoil a good token.
            Some(token) => {
                let known = self.tokens.as_ref().and_then(|tokens| tokens.identity(token));
                known.ok_or(Refused::Token)
            }
            None => match certificate {
                Err(why) => Err(Refused::Certificate(why.to_string())),
                Ok(_) => Err(Refused::NoCredentials),
            },
        }
    }
}
