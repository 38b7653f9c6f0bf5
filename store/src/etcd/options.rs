//! What a user says about the etcd to use. Checked in full before anything is connected to.

use std::fmt;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use crate::error::OpenError;
use crate::key::Prefix;

/// Where upstream's API server keeps its objects, and where we do.
pub const DEFAULT_ETCD_PREFIX: &str = "/registry/";

/// etcd's own default limit of a request (`--max-request-bytes`), in bytes.
pub const DEFAULT_ETCD_VALUE_LIMIT: usize = 3 * 512 * 1024;

/// The most endpoints that are taken. etcd recommends no more than seven members.
const MAX_ENDPOINTS: usize = 64;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a connection with open streams is pinged. etcd hangs up on clients that ping more often than
/// `--grpc-keepalive-min-time`, which is 5 s, and on those that ping without an open stream.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// How long an answer to a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach an etcd cluster, and what of it is ours.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// URLs of members, such as `https://10.0.0.1:2379`. One is used at a time; the next takes over when it fails.
    pub endpoints: Vec<String>,
    /// What all keys begin with. Keys outside it are neither read nor written. What is below `<prefix>.gantry/` is kept
    /// for the backend's own use and never shown as a key.
    pub prefix: Prefix,
    /// Certificates, for `https` endpoints.
    pub tls: Option<EtcdTls>,
    /// Who to log in as, where etcd has authentication enabled.
    pub credentials: Option<EtcdCredentials>,
    /// The largest value, in bytes. Raising it takes a higher `--max-request-bytes` of etcd too.
    pub value_limit: usize,
    /// How long one request to one member may take before another member is tried.
    pub request_timeout: Duration,
    /// How long an operation goes on trying while members cannot be reached.
    pub retry_for: Duration,
}

/// What to present to etcd over TLS, and whom to trust. All are PEM.
#[derive(Clone)]
pub struct EtcdTls {
    /// The certificates of the authorities that etcd's certificates are checked against.
    pub ca_certificates: Vec<u8>,
    /// Our certificate, for an etcd with `--client-cert-auth`.
    pub client: Option<EtcdClientCertificate>,
}

/// A client certificate with its key, both PEM.
#[derive(Clone)]
pub struct EtcdClientCertificate {
    /// The certificate, followed by intermediate ones if there are any.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

/// A user of etcd's own authentication.
#[derive(Clone)]
pub struct EtcdCredentials {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
}

impl EtcdOptions {
    /// Options for `endpoints` with every default: `/registry/`, no TLS, no credentials, patience for a change of leader.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        EtcdOptions {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: Prefix::new(DEFAULT_ETCD_PREFIX).expect("a constant that is a prefix"),
            tls: None,
            credentials: None,
            value_limit: DEFAULT_ETCD_VALUE_LIMIT,
            request_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(10),
        }
    }

    /// The endpoints as messages show them.
    pub(super) fn endpoint_list(&self) -> String {
        self.endpoints.join(",")
    }

    /// Checks what can be checked without a connection.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        self.complaint().map_or(Ok(()), |detail| Err(OpenError::Etcd { endpoints: self.endpoint_list(), detail }))
    }

    fn complaint(&self) -> Option<String> {
        if self.endpoints.is_empty() {
            return Some("endpoints: there is none".to_owned());
        }
        if self.endpoints.len() > MAX_ENDPOINTS {
            return Some(format!("endpoints: {} are more than {MAX_ENDPOINTS}", self.endpoints.len()));
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let secure = endpoint.starts_with("https://");
            if !secure && !endpoint.starts_with("http://") {
                return Some(format!("endpoints[{index}]: {endpoint:?} begins with neither http:// nor https://"));
            }
            if secure && self.tls.is_none() {
                return Some(format!("tls: {endpoint} needs ca_certificates"));
            }
            if !secure && self.tls.is_some() {
                return Some(format!("endpoints[{index}]: certificates are given and {endpoint} does not use TLS"));
            }
        }
        if let Some(detail) = self.tls.as_ref().and_then(EtcdTls::complaint) {
            return Some(detail);
        }
        if self.credentials.as_ref().is_some_and(|credentials| credentials.user.is_empty()) {
            return Some("credentials.user: is empty".to_owned());
        }
        if self.request_timeout.is_zero() {
            return Some("request_timeout: is zero".to_owned());
        }
        (self.value_limit == 0).then(|| "value_limit: is zero".to_owned())
    }

    pub(super) fn connect_options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
            .with_keep_alive_while_idle(false)
            // A member that lost its leader must end our watch instead of keeping it, silent, on its side of the split.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.connect_options());
        }
        if let Some(EtcdCredentials { user, password }) = &self.credentials {
            options = options.with_user(user, password);
        }
        options
    }
}

impl EtcdTls {
    fn complaint(&self) -> Option<String> {
        let client = self.client.as_ref();
        let fields = [
            ("tls.ca_certificates", "CERTIFICATE", Some(&self.ca_certificates)),
            ("tls.client.certificate", "CERTIFICATE", client.map(|client| &client.certificate)),
            ("tls.client.key", "PRIVATE KEY", client.map(|client| &client.key)),
        ];
        fields.into_iter().find_map(|(field, label, pem)| {
            let text = String::from_utf8_lossy(pem?);
            let begins = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(label));
            (!begins).then(|| format!("{field}: holds no PEM block of a {}", label.to_lowercase()))
        })
    }

    fn connect_options(&self) -> TlsOptions {
        let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(&self.ca_certificates));
        if let Some(EtcdClientCertificate { certificate, key }) = &self.client {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        tls
    }
}

impl fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdTls").field("client", &self.client).finish_non_exhaustive()
    }
}

impl fmt::Debug for EtcdClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdClientCertificate").finish_non_exhaustive()
    }
}

impl fmt::Debug for EtcdCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";

    fn options(endpoints: &[&str]) -> EtcdOptions {
        EtcdOptions::new(endpoints.iter().copied())
    }

    fn tls(client: Option<(&[u8], &[u8])>) -> Option<EtcdTls> {
        let client = client
            .map(|(certificate, key)| EtcdClientCertificate { certificate: certificate.to_vec(), key: key.to_vec() });
        Some(EtcdTls { ca_certificates: PEM.to_vec(), client })
    }

    #[test]
    fn a_complaint_names_its_field() {
        let key: &[u8] = b"-----BEGIN PRIVATE KEY-----\n";
        let secure = || options(&["https://a:2379"]);
        let named = |user: &str| Some(EtcdCredentials { user: user.to_owned(), password: "secret".to_owned() });
        let cases: Vec<(EtcdOptions, Option<&str>)> = vec![
            (options(&["http://a:2379", "http://b:2379"]), None),
            (EtcdOptions { tls: tls(None), ..secure() }, None),
            (EtcdOptions { tls: tls(Some((PEM, key))), ..secure() }, None),
            (EtcdOptions { credentials: named("root"), ..options(&["http://a"]) }, None),
            (options(&[]), Some("endpoints: ")),
            (options(&["http://a"; MAX_ENDPOINTS + 1]), Some("endpoints: ")),
            (options(&["http://a", "b:2379"]), Some("endpoints[1]: ")),
            (secure(), Some("tls: ")),
            (EtcdOptions { tls: tls(None), ..options(&["http://a"]) }, Some("endpoints[0]: ")),
            (EtcdOptions { tls: tls(Some((key, key))), ..secure() }, Some("tls.client.certificate: ")),
            (EtcdOptions { tls: tls(Some((PEM, PEM))), ..secure() }, Some("tls.client.key: ")),
            (EtcdOptions { credentials: named(""), ..options(&["http://a"]) }, Some("credentials.user: ")),
            (EtcdOptions { value_limit: 0, ..options(&["http://a"]) }, Some("value_limit: ")),
            (EtcdOptions { request_timeout: Duration::ZERO, ..options(&["http://a"]) }, Some("request_timeout: ")),
        ];
        for (options, expected) in cases {
            let complaint = options.complaint();
            let fits = match (&complaint, expected) {
                (Some(complaint), Some(field)) => complaint.starts_with(field),
                (complaint, expected) => complaint.is_none() && expected.is_none(),
            };
            assert!(fits, "{options:?}: {complaint:?}, not {expected:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let credentials = Some(EtcdCredentials { user: "root".to_owned(), password: "hunter2".to_owned() });
        let tls = tls(Some((PEM, b"-----BEGIN PRIVATE KEY-----\nhunter2")));
        let printed = format!("{:?}", EtcdOptions { credentials, tls, ..options(&["https://a"]) });
        assert!(printed.contains("root") && !printed.contains("hunter2"), "{printed}");
    }
}
