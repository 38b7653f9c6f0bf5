//! Who asks: by a client certificate that one of the node's authorities issued, or by a token that the API server knows.
//! Nobody else is let in.
//!
//! Of tokens only a digest is kept. An answer about a token counts for upstream's two minutes; one that says that nobody is
//! known by it for ten seconds only, because a token may begin to be good.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use client::clock::Clock;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use x509_parser::der_parser::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::remembered::Remembered;
use super::reviews::{ReviewError, Reviews};
use super::tls::{ClientAuthority, Verifier};

/// The group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";
/// How long it counts who a token belongs to (upstream's `authentication.webhook.cacheTTL`).
const KNOWN: Duration = Duration::from_secs(120);
/// How long it counts that a token belongs to nobody.
const UNKNOWN: Duration = Duration::from_secs(10);
/// How many tokens are remembered.
const TOKENS: usize = 4096;
/// How many reviews may be under way: who tries tokens out must not keep the API server busy.
const REVIEWS: usize = 32;
/// The attribute of a subject that upstream reads a user's UID from.
const UID_ATTRIBUTE: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The name.
    pub user: String,
    /// What tells users of one name apart; may be empty.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else the authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a connection's client showed.
#[derive(Clone, Debug, Default)]
pub(super) enum Peer {
    /// No certificate, or one without a name, which is as good as none.
    #[default]
    Unknown,
    /// A certificate that one of the authorities issued.
    Certified(Certified),
    /// One that proves nothing, and why.
    Refused(String),
}

/// What is known by a certificate.
#[derive(Clone, Debug)]
pub(super) struct Certified {
    identity: Arc<Identity>,
    valid_from: SystemTime,
    valid_until: SystemTime,
    /// What was shown, the client's own first, and what judged it: whom else is trusted later has to judge it again.
    shown: Arc<[CertificateDer<'static>]>,
    by: Verifier,
}

/// Finds out who asks.
pub(super) struct Authentication {
    clients: Option<ClientAuthority>,
    reviews: Arc<dyn Reviews>,
    clock: Clock,
    tokens: Remembered<[u8; 32], Option<Arc<Identity>>>,
    under_way: Semaphore,
}

impl Authentication {
    pub(super) fn new(clients: Option<ClientAuthority>, reviews: Arc<dyn Reviews>, clock: Clock) -> Authentication {
        let (tokens, under_way) = (Remembered::new(TOKENS), Semaphore::new(REVIEWS));
        Authentication { clients, reviews, clock, tokens, under_way }
    }

    /// Reads the certificates that a client showed, its own first.
    pub(super) fn judge(&self, shown: &[CertificateDer<'_>]) -> Peer {
        let Some(authority) = self.clients.as_ref().filter(|_| !shown.is_empty()) else { return Peer::Unknown };
        let shown = shown.iter().map(|certificate| certificate.clone().into_owned()).collect();
        read(authority.current(), shown, self.now()).unwrap_or_else(Peer::Refused)
    }

    /// Who asks, or `None` if that cannot be told. The certificate is looked at first; if it proves nothing, a token may.
    pub(super) async fn identify(&self, peer: &Peer, headers: &HeaderMap) -> Option<Arc<Identity>> {
        match peer {
            Peer::Certified(certified) => {
                let Certified { identity, valid_from, valid_until, .. } = certified;
                // A connection may outlive the certificate that it began with, and the trust in who issued it.
                if (*valid_from..=*valid_until).contains(&self.now()) && self.is_trusted(certified) {
                    return Some(Arc::clone(identity));
                }
                tracing::debug!(user = identity.user, "a client's certificate is not valid at this time");
            }
            Peer::Refused(why) => tracing::debug!(why, "a client's certificate proves nothing"),
            Peer::Unknown => {}
        }
        let token = bearer(headers)?;
        match self.owner(token).await {
            Ok(owner) => owner,
            Err(error) => {
                tracing::warn!(%error, "a token cannot be judged");
                None
            }
        }
    }

    /// Whether who is trusted now issued a certificate that was good before.
    fn is_trusted(&self, certified: &Certified) -> bool {
        let Some(current) = self.clients.as_ref().map(ClientAuthority::current) else { return false };
        let again =
            || matches!(read(current.clone(), Arc::clone(&certified.shown), self.now()), Ok(Peer::Certified(_)));
        Arc::ptr_eq(&current, &certified.by) || again()
    }

    async fn owner(&self, token: &str) -> Result<Option<Arc<Identity>>, ReviewError> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.tokens.get(&digest) {
            return Ok(known);
        }
        // The semaphore is never closed, so there is always a permit at last.
        let _permit = self.under_way.acquire().await;
        // Whoever had it before may have asked for the same token.
        if let Some(known) = self.tokens.get(&digest) {
            return Ok(known);
        }
        let owner = owner_of(self.reviews.token(token).await?).map(Arc::new);
        self.tokens.put(digest, owner.clone(), if owner.is_some() { KNOWN } else { UNKNOWN });
        Ok(owner)
    }

    fn now(&self) -> SystemTime {
        SystemTime::from(self.clock.now())
    }
}

/// The token of an `Authorization` header, if there is one that is not empty.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    // What follows a second blank is not looked at, as by upstream.
    let token = token.split(' ').next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Who a review says that the token belongs to.
fn owner_of(status: TokenReviewStatus) -> Option<Identity> {
    if status.authenticated != Some(true) {
        tracing::debug!(error = status.error, "a token belongs to nobody");
        return None;
    }
    let user = status.user?;
    let identity = Identity {
        user: user.username.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    };
    Some(authenticated(identity))
}

fn authenticated(mut identity: Identity) -> Identity {
    if !identity.groups.iter().any(|group| group == AUTHENTICATED) {
        identity.groups.push(AUTHENTICATED.to_owned());
    }
    identity
}

/// The common name is the user, the organizations are the groups.
fn read(by: Verifier, shown: Arc<[CertificateDer<'static>]>, now: SystemTime) -> Result<Peer, String> {
    let Some((own, intermediates)) = shown.split_first() else { return Ok(Peer::Unknown) };
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    let since_epoch = UnixTime::since_unix_epoch(since_epoch);
    by.verify_client_cert(own, intermediates, since_epoch).map_err(|error| error.to_string())?;
    let (_, parsed) = X509Certificate::from_der(own).map_err(|error| error.to_string())?;
    let subject = parsed.subject();
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        attribute.as_str().map(str::to_owned).map_err(|error| error.to_string())
    };
    // Where a subject has several common names, the last one counts, as in Go.
    let user = subject.iter_common_name().last().map(text).transpose()?.unwrap_or_default();
    if user.is_empty() {
        return Ok(Peer::Unknown);
    }
    let groups = subject.iter_organization().map(text).collect::<Result<Vec<_>, _>>()?;
    let uid = subject.iter_by_oid(&UID_ATTRIBUTE).last().map(text).transpose()?.unwrap_or_default();
    let validity = parsed.validity();
    let identity = Arc::new(authenticated(Identity { user, uid, groups, extra: BTreeMap::new() }));
    let [valid_from, valid_until] = [validity.not_before, validity.not_after].map(|time| time_of(time.timestamp()));
    Ok(Peer::Certified(Certified { identity, valid_from, valid_until, shown: Arc::clone(&shown), by }))
}

fn time_of(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
