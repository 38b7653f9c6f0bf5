//! Asks for a certificate, and waits until there is one.

use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use tokio::time::{sleep, timeout};

use super::Pair;
use crate::request::{Failure, ask};

/// How long somebody may take to approve before it is asked anew (upstream's number).
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long after a watch broke the request is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be known by the API server.
    Client,
    /// To be known by those who call the node at these names.
    Serving {
        /// DNS names.
        names: Vec<String>,
        /// Addresses.
        addresses: Vec<IpAddr>,
    },
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The node's name.
    pub node: String,
    /// What for.
    pub purpose: Purpose,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The request cannot be made.
    #[error("a certificate cannot be asked for: {0}")]
    Key(#[from] rcgen::Error),
    /// The API did not take it.
    #[error("the API server does not take the request for a certificate: {0}")]
    Refused(String),
    /// Somebody decided against it.
    #[error("CertificateSigningRequest {name} was {what}: {message}")]
    Denied {
        /// The request.
        name: String,
        /// Denied, or failed.
        what: &'static str,
        /// Why.
        message: String,
    },
    /// Nobody decided.
    #[error(
        "nobody approved CertificateSigningRequest {0} within a quarter of an hour: kubectl certificate approve {0}"
    )]
    Undecided(String),
}

impl Wish {
    /// The request, with a new key.
    fn request(&self) -> Result<(CertificateSigningRequest, KeyPair), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        parameters.distinguished_name.push(DnType::CommonName, format!("system:node:{}", self.node));
        let (signer, usage) = match &self.purpose {
            Purpose::Client => {
                parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                ("kubernetes.io/kube-apiserver-client-kubelet", "client auth")
            }
            Purpose::Serving { names, addresses } => {
                parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                for name in names {
                    parameters.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
                }
                parameters.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
                ("kubernetes.io/kubelet-serving", "server auth")
            }
        };
        let pem = parameters.serialize_request(&key)?.pem()?;
        let spec = CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: signer.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), usage.to_owned()]),
            ..CertificateSigningRequestSpec::default()
        };
        let metadata = ObjectMeta { generate_name: Some("csr-".to_owned()), ..ObjectMeta::default() };
        Ok((CertificateSigningRequest { metadata, spec, status: None }, key))
    }
}

/// Asks for a certificate, and waits until there is one, or it is refused.
pub async fn obtain(client: &Client, wish: &Wish) -> Result<Pair, RequestError> {
    let (request, key) = wish.request()?;
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let made = ask(requests.create(&PostParams::default(), &request)).await;
    let made = made.map_err(|failure| RequestError::Refused(failure.to_string()))?;
    let name = made.metadata.name.unwrap_or_default();
    tracing::info!(request = name, signer = request.spec.signer_name, "a certificate is asked for");
    match timeout(PATIENCE, decided(&requests, &name)).await {
        Ok(chain) => Ok(Pair { chain: chain?, key: key.serialize_pem() }),
        Err(_) => Err(RequestError::Undecided(name)),
    }
}

/// Waits until a request is decided upon.
async fn decided(requests: &Api<CertificateSigningRequest>, name: &str) -> Result<String, RequestError> {
    loop {
        match ask(requests.get(name)).await {
            Ok(request) => {
                if let Some(decision) = decision(&request) {
                    return decision;
                }
                let version = request.metadata.resource_version.unwrap_or_default();
                if let Some(decision) = watched(requests, name, &version).await {
                    return decision;
                }
            }
            Err(failure) if failure.is(404) => {
                return Err(RequestError::Refused(format!("CertificateSigningRequest {name} was deleted")));
            }
            Err(failure @ (Failure::Refused(_) | Failure::Late)) => {
                tracing::debug!(request = name, error = %failure, "it is not known what became of the request");
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn watched(
    requests: &Api<CertificateSigningRequest>,
    name: &str,
    version: &str,
) -> Option<Result<String, RequestError>> {
    let parameters = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(60);
    let mut events = requests.watch(&parameters, version).await.ok()?.boxed();
    while let Some(Ok(event)) = events.next().await {
        if let WatchEvent::Added(request) | WatchEvent::Modified(request) = event
            && let Some(decision) = decision(&request)
        {
            return Some(decision);
        }
    }
    None
}

/// What was decided, if it was.
fn decision(request: &CertificateSigningRequest) -> Option<Result<String, RequestError>> {
    let status = request.status.as_ref()?;
    let against = status.conditions.iter().flatten().find_map(|condition| match condition.type_.as_str() {
        "Denied" => Some(("denied", condition)),
        "Failed" => Some(("not signed", condition)),
        _ => None,
    });
    if let Some((what, condition)) = against {
        let name = request.metadata.name.clone().unwrap_or_default();
        let message = condition.message.clone().unwrap_or_default();
        return Some(Err(RequestError::Denied { name, what, message }));
    }
    let certificate = status.certificate.as_ref().filter(|certificate| !certificate.0.is_empty())?;
    Some(Ok(String::from_utf8_lossy(&certificate.0).into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn decisions_are_read() {
        let check = |status: Value, expected: Option<Result<&str, &str>>| {
            let request =
                json!({"metadata": {"name": "csr-1"}, "spec": {"request": "", "signerName": "s"}, "status": status});
            let found = decision(&serde_json::from_value(request).unwrap());
            let found = found.map(|decision| decision.map_err(|error| error.to_string()));
            assert_eq!(found, expected.map(|it| it.map(str::to_owned).map_err(str::to_owned)));
        };
        check(json!({}), None);
        check(json!({"conditions": [{"type": "Approved", "status": "True"}]}), None);
        check(json!({"conditions": [{"type": "Approved", "status": "True"}], "certificate": "UEVN"}), Some(Ok("PEM")));
        check(
            json!({"conditions": [{"type": "Denied", "status": "True", "message": "no"}]}),
            Some(Err("CertificateSigningRequest csr-1 was denied: no")),
        );
    }

    #[test]
    fn a_request_says_who_and_where() {
        let addresses = vec!["10.0.0.1".parse().unwrap()];
        let purpose = Purpose::Serving { names: vec!["n1".to_owned()], addresses };
        let (request, _) = Wish { node: "n1".to_owned(), purpose }.request().unwrap();
        assert_eq!(request.spec.signer_name, "kubernetes.io/kubelet-serving");
        assert_eq!(request.spec.usages.unwrap(), ["digital signature", "server auth"]);
        let (_, pem) = x509_parser::pem::parse_x509_pem(&request.spec.request.0).unwrap();
        let (_, parsed) = <x509_parser::certification_request::X509CertificationRequest as x509_parser::prelude::FromDer<_>>::from_der(&pem.contents).unwrap();
        let subject = parsed.certification_request_info.subject.to_string();
        assert!(subject.contains("CN=system:node:n1") && subject.contains("O=system:nodes"), "{subject}");
    }
}
