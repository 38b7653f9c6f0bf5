//! The cluster's certificate authority, in the files of a data directory.
//!
//! The first start makes it; later ones use what is there, and renew what it issued in time. What always holds:
//!
//! - an authority that is there is never replaced: a file of it that is broken is an error;
//! - what it issued is looked at again while a server runs ([`renewal`](super::renewal)): each look renews what is due, and
//!   takes over what somebody put into the files;
//! - files are whole or not there, and only their owner can read them;
//! - a start that was cut short is made good by the next one.

mod certificates;
mod files;
mod inventory;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Clock, Random, kubeconfig};
use crate::authz::NODES;
use certificates::{Facts, Leaf};
pub use inventory::{Entry, Keeper, inventory, renew};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_TIME: Duration = DAY.saturating_mul(3650);
const LEAF_TIME: Duration = DAY.saturating_mul(365);

/// The administrator's name.
const ADMIN: &str = "kubernetes-admin";

/// By what name the API server is known to kubelets (kubeadm's name for it, which audit logs and rules know).
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";

/// The address at which pods reach the API server: the first of the cluster's range for services.
const SERVICE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// A certificate with its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct PemPair {
    /// The certificate, perhaps with others behind it that lead to its authority.
    pub certificate: String,
    /// Its private key. Not to be logged.
    pub key: String,
}

/// Why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is there, and is not what it should be.
    #[error("{path} {why}; put back what was there, or remove it if it is to be made anew")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The authority's certificate is there and its key is not.
    #[error(
        "{path} is missing, without which no certificate can be issued; put it back, or remove the whole directory to \
         begin with a new authority, which no client of the old one will trust"
    )]
    KeyMissing {
        /// The key.
        path: PathBuf,
    },
    /// The authority's own time is over.
    #[error("the certificate authority in {path} is not valid at this time; is the clock right?")]
    NotValid {
        /// Its certificate.
        path: PathBuf,
    },
    /// A certificate is not to be renewed.
    #[error("{name} cannot be renewed: {why}")]
    Refused {
        /// What it is called by.
        name: String,
        /// Why not.
        why: String,
    },
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Issue(#[from] rcgen::Error),
}

/// The authority, with what it issued for this server.
pub struct Authority {
    /// Where its files are.
    directory: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    /// By which the certificates that it issued name it.
    key_id: Option<Vec<u8>>,
    /// When its own time is over.
    ends: SystemTime,
    names: Vec<String>,
    serving: PemPair,
    admin: PemPair,
    clock: Clock,
    random: Random,
}

impl Authority {
    /// Opens the authority in `<data_dir>/pki`, or makes it, with a certificate for serving at `names` (DNS names and IP
    /// addresses) and one for the administrator. They are renewed if less than a third of their time is left, if `names`
    /// has changed, or if another authority issued them.
    pub fn open(data_dir: &Path, names: &[String], clock: Clock, random: Random) -> Result<Authority, AuthorityError> {
        let directory = data_dir.join("pki");
        files::create_directory(&directory)?;
        let (certificate, key) = open_root(&directory, clock(), random())?;
        let path = directory.join("ca.crt");
        let facts = Facts::read(&path, &certificate)?;
        if !facts.is_valid_at(clock()) {
            return Err(AuthorityError::NotValid { path });
        }
        if facts.public_key != key.public_key_raw() {
            let why = "does not belong to the key in ca.key".to_owned();
            return Err(AuthorityError::Broken { path, why });
        }
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(|error| AuthorityError::Broken { path, why: format!("cannot be read: {error}") })?;
        let nothing = PemPair { certificate: String::new(), key: String::new() };
        let (serving, admin) = (nothing.clone(), nothing);
        let (key_id, ends, names) = (facts.key_id, facts.valid_until, names.to_vec());
        let mut authority =
            Authority { directory, certificate, issuer, key_id, ends, names, serving, admin, clock, random };
        authority.serving = authority.current_serving()?;
        authority.admin = authority.current_admin()?;
        Ok(authority)
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The key that signs the tokens of ServiceAccounts (PKCS #8, DER), from `sa.key` beside the authority's, or new.
    pub fn token_key(&self) -> Result<Vec<u8>, AuthorityError> {
        let path = self.directory.join("sa.key");
        let key = match files::read(&path)? {
            Some(pem) => certificates::read_key(&path, &pem)?,
            None => {
                let key = certificates::new_key()?;
                files::write(&path, &key.serialize_pem())?;
                key
            }
        };
        Ok(key.serialize_der())
    }

    /// What the server is to show from now on: what is in the files, renewed if that is due.
    pub fn current_serving(&self) -> Result<PemPair, AuthorityError> {
        let purpose = ExtendedKeyUsagePurpose::ServerAuth;
        let leaf = Leaf { user: "kube-apiserver", group: None, names: &self.names, purpose, time: LEAF_TIME };
        self.leaf(&self.directory, "apiserver", &leaf)
    }

    /// By which the administrator is known from now on.
    fn current_admin(&self) -> Result<PemPair, AuthorityError> {
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        let group = Some(crate::authn::MASTERS);
        self.leaf(&self.directory, "admin", &Leaf { user: ADMIN, group, names: &[], purpose, time: LEAF_TIME })
    }

    /// How much of the authority's own time is left, if it is so little that certificates could outlive it. Nothing renews
    /// an authority: everybody would have to trust the new one first.
    #[must_use]
    pub fn is_ending_in(&self) -> Option<Duration> {
        let left = self.ends.duration_since((self.clock)()).unwrap_or_default();
        (left < LEAF_TIME).then_some(left)
    }

    /// What the server showed at its start.
    #[must_use]
    pub fn serving(&self) -> &PemPair {
        &self.serving
    }

    /// By which the administrator was known then.
    #[must_use]
    pub fn admin(&self) -> &PemPair {
        &self.admin
    }

    /// What to trust.
    pub fn roots(&self) -> Result<RootCertStore, AuthorityError> {
        let mut roots = RootCertStore::empty();
        let broken = |why: String| AuthorityError::Broken { path: PathBuf::from("pki/ca.crt"), why };
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let der = der.map_err(|error| broken(format!("cannot be read: {error}")))?;
        roots.add(der).map_err(|error| broken(format!("cannot be trusted: {error}")))?;
        Ok(roots)
    }

    /// Issues a client certificate to `user`, in `group` if there is one, for a new key, that is valid for `time`.
    pub fn issue_client(&self, user: &str, group: Option<&str>, time: Duration) -> Result<PemPair, AuthorityError> {
        let key = certificates::new_key()?;
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        let certificate = self.issue(&Leaf { user, group, names: &[], purpose, time }, &key)?;
        Ok(PemPair { certificate, key: key.serialize_pem() })
    }

    /// Writes the administrator's kubeconfig for the server at `url` to `path`, unless that is what is there.
    pub fn write_kubeconfig(&self, path: &Path, url: &str) -> Result<(), AuthorityError> {
        self.write_config(path, url, ADMIN, &self.current_admin()?)
    }

    /// Writes the kubeconfig of a part of the cluster, which the API knows as `user`, to `path`, with a certificate that is
    /// kept as `name`.
    pub fn write_component_kubeconfig(
        &self,
        path: &Path,
        url: &str,
        name: &str,
        user: &str,
    ) -> Result<(), AuthorityError> {
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        let leaf = Leaf { user, group: None, names: &[], purpose, time: LEAF_TIME };
        self.write_config(path, url, user, &self.leaf(&self.directory, name, &leaf)?)
    }

    /// Writes the kubeconfig of the agent of the node `node` to `path`, with a certificate that is kept as `node`. The API
    /// knows it as `system:node:<node>`, of the group of all nodes.
    pub fn write_node_kubeconfig(&self, path: &Path, url: &str, node: &str) -> Result<(), AuthorityError> {
        let user = node_user(node);
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        let leaf = Leaf { user: &user, group: Some(NODES), names: &[], purpose, time: LEAF_TIME };
        self.write_config(path, url, &user, &self.leaf(&self.directory, "node", &leaf)?)
    }

    /// What the agent of the node `node`, on this machine, shows to those who call it at `names` (DNS names and IP
    /// addresses): the certificate that a request of the node's for `kubernetes.io/kubelet-serving` would get it. It is
    /// kept as `kubelet`, and renewed as the server's own is.
    pub fn kubelet_serving(&self, node: &str, names: &[String]) -> Result<PemPair, AuthorityError> {
        let user = node_user(node);
        let purpose = ExtendedKeyUsagePurpose::ServerAuth;
        self.leaf(
            &self.directory,
            "kubelet",
            &Leaf { user: &user, group: Some(NODES), names, purpose, time: LEAF_TIME },
        )
    }

    /// By what the API server is known to kubelets. It is kept as `apiserver-kubelet-client`, kubeadm's name for it.
    pub fn kubelet_client(&self) -> Result<PemPair, AuthorityError> {
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        // Roles say what it may do at kubelets, and nothing else.
        let leaf = Leaf { user: KUBELET_CLIENT, group: None, names: &[], purpose, time: LEAF_TIME };
        self.leaf(&self.directory, "apiserver-kubelet-client", &leaf)
    }

    fn write_config(&self, path: &Path, url: &str, name: &str, user: &PemPair) -> Result<(), AuthorityError> {
        let text = kubeconfig::kubeconfig(url, &self.certificate, name, user);
        match files::read(path)? {
            Some(there) if there == text => Ok(()),
            _ => files::write(path, &text),
        }
    }

    #[cfg(test)]
    pub(super) fn with_clock(self, clock: Clock) -> Authority {
        Authority { clock, ..self }
    }

    fn issue(&self, leaf: &Leaf<'_>, key: &KeyPair) -> Result<String, AuthorityError> {
        let params = leaf.params((self.clock)(), (self.random)())?;
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }

    /// The certificate of a name in `directory`, as it is there if it is still good, or a new one. A key that is there
    /// is kept.
    fn leaf(&self, directory: &Path, name: &str, leaf: &Leaf<'_>) -> Result<PemPair, AuthorityError> {
        let (certificate_path, key_path) =
            (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        let (key, new_key) = match files::read(&key_path)? {
            Some(pem) => (certificates::read_key(&key_path, &pem)?, false),
            None => (certificates::new_key()?, true),
        };
        // A certificate without its key is worth nothing.
        if !new_key && let Some(certificate) = files::read(&certificate_path)? {
            let facts = Facts::read(&certificate_path, &certificate)?;
            if facts.public_key == key.public_key_raw() && self.is_good(&facts, leaf) {
                return Ok(PemPair { certificate, key: key.serialize_pem() });
            }
        }
        let certificate = self.issue(leaf, &key)?;
        if new_key {
            files::write(&key_path, &key.serialize_pem())?;
        }
        files::write(&certificate_path, &certificate)?;
        tracing::info!(path = %certificate_path.display(), "issued a certificate");
        Ok(PemPair { certificate, key: key.serialize_pem() })
    }

    fn is_good(&self, facts: &Facts, leaf: &Leaf<'_>) -> bool {
        let now = (self.clock)();
        // A node's name, which its user has in it, may change.
        let same_holder = facts.user.as_deref() == Some(leaf.user) && facts.group.as_deref() == leaf.group;
        let same_names = {
            let (mut wanted, mut there) = (leaf.names.to_vec(), facts.names.clone());
            wanted.sort_unstable();
            there.sort_unstable();
            wanted.dedup();
            there.dedup();
            wanted == there
        };
        same_holder && same_names && facts.is_valid_at(now) && !facts.is_due(now) && facts.issuer_key_id == self.key_id
    }
}

/// By what name the API knows the agent of a node.
fn node_user(node: &str) -> String {
    format!("system:node:{node}")
}

/// The names under which a server that listens at `listen` is found: those of every cluster, of this machine, and the
/// address itself; if that is every address, the one from which this machine reaches others.
#[must_use]
pub fn serving_names(listen: SocketAddr, host_name: &str, advertised: &[IpAddr]) -> Vec<String> {
    let mut names: Vec<String> = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    .map(str::to_owned)
    .into();
    if !host_name.is_empty() && host_name.is_ascii() {
        names.push(host_name.to_ascii_lowercase());
    }
    let own = if listen.ip().is_unspecified() { outward_address() } else { Some(listen.ip()) };
    names.extend(["127.0.0.1".to_owned(), "::1".to_owned(), SERVICE_ADDRESS.to_string()]);
    names.extend(own.iter().chain(advertised).map(|ip| ip.to_string()));
    names.sort_unstable();
    names.dedup();
    names
}

/// The address that this machine would send from. Connecting a datagram socket sends nothing.
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address that is set aside for documentation (RFC 5737), and so routed like any that is not near.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

/// The authority's certificate and key, from the files or new. The key is written first: a certificate can be made of it
/// again, under which all that was issued before is still good.
fn open_root(directory: &Path, now: SystemTime, serial: u128) -> Result<(String, KeyPair), AuthorityError> {
    let (certificate_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
    let certificate = files::read(&certificate_path)?;
    let key = match (files::read(&key_path)?, &certificate) {
        (Some(pem), _) => certificates::read_key(&key_path, &pem)?,
        (None, Some(_)) => return Err(AuthorityError::KeyMissing { path: key_path }),
        (None, None) => {
            let key = certificates::new_key()?;
            files::write(&key_path, &key.serialize_pem())?;
            key
        }
    };
    if let Some(certificate) = certificate {
        return Ok((certificate, key));
    }
    let certificate = certificates::root_params(now, serial, AUTHORITY_TIME)?.self_signed(&key)?.pem();
    files::write(&certificate_path, &certificate)?;
    tracing::info!(path = %certificate_path.display(), "made a certificate authority");
    Ok((certificate, key))
}

#[cfg(test)]
mod tests;
