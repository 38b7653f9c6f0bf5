//! Finds out which cluster is at an address, and believes nothing that is not proved: as `kubeadm join` does.
//!
//! 1. Whoever answers is asked, without a word about oneself, what they tell strangers.
//! 2. Of the authorities in it, those count whose hash was given; and it has to be signed by the token.
//! 3. The same is asked again over a connection on which only those authorities count, and has to be proved again.
//! 4. Only now the token is shown, to ask whether it lets one join.

use std::error::Error;
use std::time::Duration;

use api::bootstrap_token::{CLUSTER_INFO, CLUSTER_INFO_NAMESPACE, KUBECONFIG, SIGNATURE_PREFIX, Token, is_signed};
use base64::prelude::{BASE64_STANDARD, Engine};
use client::clock::Clock;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client, Config};
use rustls::CertificateError;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::error::JoinError;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often and after what time it is looked for a signature that is not there yet: the token may be new.
pub(super) const TRIES: usize = 10;
const BETWEEN: Duration = Duration::from_millis(500);

/// What is known of a cluster before it was asked.
pub(super) struct Discovery {
    pub(super) server: String,
    pub(super) token: Token,
    pub(super) hashes: Vec<String>,
    /// How often it is looked for its signature.
    pub(super) tries: usize,
}

/// A cluster that has proved to be the one.
#[derive(Debug)]
pub(super) struct Cluster {
    server: String,
    authorities: Vec<CertificateDer<'static>>,
}

/// What a server told, and proved to know the token for.
#[derive(Debug)]
struct Told {
    authorities: Vec<CertificateDer<'static>>,
    server: String,
}

/// Why what a server told is not enough.
#[derive(Debug)]
enum Doubt {
    /// Nobody has signed it with the token, or not yet.
    Unsigned,
    Wrong(JoinError),
}

impl Cluster {
    /// The kubeconfig with the token.
    pub(super) fn kubeconfig(&self, token: &Token) -> String {
        let authority: String = self.authorities.iter().map(|authority| pem(authority)).collect();
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "default", "cluster": {
                "server": self.server, "certificate-authority-data": BASE64_STANDARD.encode(authority),
            }}],
            "users": [{"name": "default", "user": {"token": token.reveal()}}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
            "current-context": "default",
        });
        format!("{config:#}\n")
    }
}

/// A certificate in PEM.
fn pem(certificate: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    // 64 characters a line (RFC 7468), of a text that is all ASCII.
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect::<String>();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

impl Discovery {
    /// Finds the cluster.
    pub(super) async fn find(&self) -> Result<Cluster, JoinError> {
        let mut stranger = self.config()?;
        stranger.accept_invalid_certs = true;
        let first = self.ask_until_signed(&self.client(stranger)?, None).await?;
        let mut trusting = self.config()?;
        trusting.root_cert = Some(first.authorities.iter().map(|authority| authority.to_vec()).collect());
        let second = self.ask_until_signed(&self.client(trusting.clone())?, Some(&first.server)).await?;
        // Whoever is in between had no say in it.
        trusting.root_cert = Some(second.authorities.iter().map(|authority| authority.to_vec()).collect());
        trusting.auth_info.token = Some(self.token.reveal().into());
        self.check_rights(&self.client(trusting)?).await?;
        Ok(Cluster { server: self.server.clone(), authorities: second.authorities })
    }

    fn config(&self) -> Result<Config, JoinError> {
        let uri = self.server.parse().map_err(|error: http::uri::InvalidUri| self.unreachable(error.to_string()))?;
        Ok(Config::new(uri))
    }

    fn client(&self, config: Config) -> Result<Client, JoinError> {
        client::connection::connect(config).map_err(|error| self.unreachable(error.to_string()))
    }

    fn unreachable(&self, why: String) -> JoinError {
        JoinError::Unreachable { url: self.server.clone(), why }
    }

    /// What the server tells strangers, once it is signed. `told` is where it said to be before.
    async fn ask_until_signed(&self, client: &Client, told: Option<&str>) -> Result<Told, JoinError> {
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), CLUSTER_INFO_NAMESPACE);
        for _ in 0..self.tries {
            let answer = timeout(PATIENCE, config_maps.get(CLUSTER_INFO)).await;
            let answer = answer.map_err(|_| self.unreachable("it takes too long".to_owned()))?;
            let config_map = answer.map_err(|error| self.failure(&error, told))?;
            match self.judge(&config_map) {
                Ok(told) => return Ok(told),
                Err(Doubt::Unsigned) => sleep(BETWEEN).await,
                Err(Doubt::Wrong(error)) => return Err(error),
            }
        }
        Err(self.unknown_token())
    }

    fn unknown_token(&self) -> JoinError {
        JoinError::Token { url: self.server.clone(), id: self.token.id().to_owned() }
    }

    /// Believes what is proved of what was told.
    fn judge(&self, config_map: &ConfigMap) -> Result<Told, Doubt> {
        let url = || self.server.clone();
        let silent = |why: &str| Doubt::Wrong(JoinError::Silent { url: url(), why: why.to_owned() });
        let field = |key: &str| config_map.data.as_ref().and_then(|data| data.get(key));
        let text = field(KUBECONFIG).ok_or_else(|| silent("there is no kubeconfig in it"))?;
        let config = Kubeconfig::from_yaml(text).map_err(|_| silent("its kubeconfig cannot be read"))?;
        let cluster = config.clusters.into_iter().find_map(|named| named.cluster).unwrap_or_default();
        let pem = cluster.certificate_authority_data.and_then(|data| BASE64_STANDARD.decode(data).ok());
        let pem = pem.ok_or_else(|| silent("its kubeconfig has no authority"))?;
        let mut found = Vec::new();
        let mut authorities: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem).flatten().collect();
        authorities.retain(|authority| {
            let hash = ctl::authority_hash(authority).unwrap_or_default();
            let is_meant = self.hashes.contains(&hash);
            found.push(hash);
            is_meant
        });
        if authorities.is_empty() {
            return Err(Doubt::Wrong(JoinError::Authority { url: url(), found: found.join(", ") }));
        }
        let id = self.token.id();
        let signature = field(&format!("{SIGNATURE_PREFIX}{id}")).ok_or(Doubt::Unsigned)?;
        if !is_signed(signature, text, &self.token) {
            return Err(Doubt::Wrong(JoinError::Signature { url: url(), id: id.to_owned() }));
        }
        Ok(Told { authorities, server: cluster.server.unwrap_or_default() })
    }

    /// Asks whether the token lets one join.
    async fn check_rights(&self, client: &Client) -> Result<(), JoinError> {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some("certificates.k8s.io".to_owned()),
                    resource: Some("certificatesigningrequests".to_owned()),
                    verb: Some("create".to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        let answer = timeout(PATIENCE, reviews.create(&PostParams::default(), &review)).await;
        let powerless = || JoinError::Powerless { id: self.token.id().to_owned() };
        match answer.map_err(|_| self.unreachable("it takes too long".to_owned()))? {
            Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => Ok(()),
            Ok(_) => Err(powerless()),
            // It is signed with, and yet nobody is known by it.
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => Err(powerless()),
            Err(error) => Err(self.failure(&error, None)),
        }
    }

    /// What a failed request means.
    fn failure(&self, error: &kube::Error, told: Option<&str>) -> JoinError {
        let url = self.server.clone();
        if let kube::Error::Api(status) = error {
            return JoinError::Silent { url, why: format!("{} {}", status.code, status.message) };
        }
        let (last, certificate) = causes(error);
        match certificate {
            Some(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => JoinError::Clock { url, now: Clock::Machine.now().to_string() },
            Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
                let told = told.filter(|told| !told.is_empty()).unwrap_or("one of its addresses").to_owned();
                JoinError::Name { url, told }
            }
            Some(other) => JoinError::Impostor { url, why: rustls::Error::InvalidCertificate(other).to_string() },
            None => self.unreachable(last),
        }
    }
}

/// The last cause of an error, and what is wrong with a certificate if that is it.
fn causes(error: &kube::Error) -> (String, Option<CertificateError>) {
    let mut cause: &(dyn Error + 'static) = error;
    let mut certificate = None;
    loop {
        // Errors of I/O pass over what they hold.
        let held = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let held = held.map(|held| held as &(dyn Error + 'static)).unwrap_or(cause);
        if let Some(rustls::Error::InvalidCertificate(why)) = held.downcast_ref() {
            certificate = Some(why.clone());
        }
        let next = if std::ptr::addr_eq(held, cause) { cause.source() } else { Some(held) };
        match next {
            Some(next) => cause = next,
            None => return (cause.to_string(), certificate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_apart() {
        let discovery = Discovery {
            server: "https://192.0.2.1:6443".to_owned(),
            token: "abcdef.0123456789abcdef".parse().unwrap(),
            hashes: Vec::new(),
            tries: 1,
        };
        let check = |cause: Box<dyn Error + Send + Sync>, expected: &str| {
            let failed = discovery.failure(&kube::Error::Service(cause), Some("https://192.0.2.2:6443"));
            let said = failed.to_string();
            assert!(said.contains(expected), "{said}");
        };
        let wrong = |why: CertificateError| {
            // As hyper's connector wraps it.
            let held = std::io::Error::other(rustls::Error::InvalidCertificate(why));
            Box::new(std::io::Error::other(held))
        };
        check(wrong(CertificateError::Expired), "set the clock");
        check(wrong(CertificateError::NotValidYet), "set the clock");
        check(wrong(CertificateError::NotValidForName), "join by https://192.0.2.2:6443");
        check(wrong(CertificateError::UnknownIssuer), "somebody is in between");
        check(wrong(CertificateError::BadSignature), "somebody is in between");
        check(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)), "nobody answers at");
    }

    #[test]
    fn certificates_are_written_as_they_are_read() {
        let der: Vec<u8> = (0..=u8::MAX).collect();
        let text = pem(&der);
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        assert_eq!(CertificateDer::from_pem_slice(text.as_bytes()).unwrap().as_ref(), der);
    }
}
