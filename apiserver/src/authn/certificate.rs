//! Client certificates: the common name is the user, the organizations are the groups.
//!
//! The handshake proves that the client has the certificate's key. Whether the certificate itself is good is judged here
//! and not in the handshake, so that a client with an expired one is told `401` in place of a broken connection, as by
//! upstream; and again with each request, because a connection may outlive the certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::der_parser::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CREDENTIAL_ID, Identity};

/// The attribute of a subject that upstream reads a user's UID from.
const UID_ATTRIBUTE: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// Why a client's certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The authority did not issue it, or not for this, or not for now.
    #[error("{0}")]
    NotVerified(String),
    /// Its time has passed, or has not come.
    #[error("it is not valid at this time")]
    NotNow,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// Judges client certificates by the cluster's authority.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
}

/// What the certificate of a connection's client says of them.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificate(Peer);

#[derive(Clone, Debug, Default)]
enum Peer {
    #[default]
    None,
    Known {
        identity: Arc<Identity>,
        valid_from: SystemTime,
        valid_until: SystemTime,
    },
    /// No certificate, and none needed.
    OfThisProcess(Arc<Identity>),
    /// Verified, but without a name, which is as good as none.
    Nameless,
    Refused(CertificateError),
}

impl PeerCertificate {
    /// What stands for a certificate where the client is a part of this process.
    #[must_use]
    pub(crate) fn of_this_process(identity: Identity) -> PeerCertificate {
        PeerCertificate(Peer::OfThisProcess(Arc::new(identity)))
    }

    /// Who the client is at this time, or `None` if it showed no certificate.
    pub fn identity(&self, now: SystemTime) -> Result<Option<Arc<Identity>>, CertificateError> {
        match &self.0 {
            Peer::None | Peer::Nameless => Ok(None),
            Peer::OfThisProcess(identity) => Ok(Some(Arc::clone(identity))),
            Peer::Known { identity, valid_from, valid_until } if (*valid_from..=*valid_until).contains(&now) => {
                Ok(Some(Arc::clone(identity)))
            }
            Peer::Known { .. } => Err(CertificateError::NotNow),
            Peer::Refused(why) => Err(why.clone()),
        }
    }
}

impl ClientCertificates {
    /// Trusts what was issued by one of `authorities`, of which there must be one.
    pub fn new(authorities: RootCertStore) -> Result<Self, CertificateError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider).build();
        let verifier = verifier.map_err(|error| CertificateError::NotVerified(error.to_string()))?;
        Ok(ClientCertificates { verifier })
    }

    /// The verifier, for what a handshake needs of it.
    pub(crate) fn verifier(&self) -> &Arc<dyn ClientCertVerifier> {
        &self.verifier
    }

    /// Reads the certificates that a client showed, its own first.
    #[must_use]
    pub fn judge(&self, shown: &[CertificateDer<'_>], now: SystemTime) -> PeerCertificate {
        let Some((own, intermediates)) = shown.split_first() else { return PeerCertificate::default() };
        PeerCertificate(self.read(own, intermediates, now).unwrap_or_else(Peer::Refused))
    }

    fn read(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Peer, CertificateError> {
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| CertificateError::NotNow)?;
        let now = UnixTime::since_unix_epoch(since_epoch);
        let verified = self.verifier.verify_client_cert(own, intermediates, now);
        verified.map_err(|error| CertificateError::NotVerified(error.to_string()))?;

        let unreadable = |why: String| CertificateError::Unreadable(why);
        let (_, parsed) = X509Certificate::from_der(own).map_err(|error| unreadable(error.to_string()))?;
        let subject = parsed.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().map(str::to_owned).map_err(|error| unreadable(error.to_string()))
        };
        // Where a subject has several common names, the last one counts, as in Go.
        let user = subject.iter_common_name().last().map(text).transpose()?.unwrap_or_default();
        if user.is_empty() {
            return Ok(Peer::Nameless);
        }
        let groups = subject.iter_organization().map(text).collect::<Result<Vec<_>, _>>()?;
        let uid = subject.iter_by_oid(&UID_ATTRIBUTE).last().map(text).transpose()?.unwrap_or_default();
        let credential = digest(&SHA256, own).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let extra = [(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={credential}")])].into();
        let validity = parsed.validity();
        Ok(Peer::Known {
            identity: Arc::new(Identity { user, uid, groups, extra }.authenticated()),
            valid_from: time_of(validity.not_before.timestamp()),
            valid_until: time_of(validity.not_after.timestamp()),
        })
    }
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
