//! The command by which a machine joins: where the cluster is for other machines, and by which hash they know its authority.
//!
//! Both are what the cluster tells strangers in the ConfigMap `kube-public/cluster-info`, which is read over a connection
//! that is trusted. Where the kubeconfig says an address that other machines can reach, too, that one counts.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kube::config::Kubeconfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::session::Ask;
use crate::{Error, Session, authority_hash};

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// How often and after what time the ConfigMap is looked for that the controllers of a new cluster are about to make.
const TRIES: usize = 20;
const BETWEEN: Duration = Duration::from_millis(250);
/// How long an address may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// Where machines join, and how they know that it is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    url: String,
    hashes: Vec<String>,
}

impl Place {
    /// The line that somebody types on another machine.
    pub(super) fn line(&self, token: &str) -> String {
        let hashes: String = self.hashes.iter().map(|hash| format!(" --ca-hash {hash}")).collect();
        format!("gantry join {} --token {token}{hashes}", self.url)
    }
}

/// Finds it.
pub(super) async fn find(session: &mut Session<'_>) -> Result<Place, Error> {
    let told = told(session).await?;
    // A session may have no kubeconfig.
    let own = session.connection().config().await.ok().map(|config| config.cluster_url.to_string());
    let place = place(own.as_deref(), &told).map_err(Error::said)?;
    if own.is_none_or(|own| own.trim_end_matches('/') != place.url) {
        check_answers(&place.url).await.map_err(Error::said)?;
    }
    Ok(place)
}

/// Whether anybody is at the address that the cluster tells others, as far as can be told from here: a server that listens at its
/// machine's own addresses only does not know better.
async fn check_answers(url: &str) -> Result<(), String> {
    let uri = url.parse::<Uri>().map_err(|error| format!("{url}: {error}"))?;
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
    let connecting = tokio::net::TcpStream::connect((host.trim_matches(['[', ']']), port));
    match tokio::time::timeout(ANSWERS_WITHIN, connecting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!(
            "{url} is where other machines are to find the cluster, and nobody answers there ({error}): \
             start the API server with --listen 0.0.0.0:{port}"
        )),
        Err(_) => Err(format!(
            "{url} is where other machines are to find the cluster, and nobody answers there: start the API \
             server with --listen 0.0.0.0:{port}"
        )),
    }
}

/// The kubeconfig that the cluster tells strangers.
async fn told(session: &mut Session<'_>) -> Result<String, Error> {
    for _ in 1..TRIES {
        match session.json(Ask::get(CLUSTER_INFO)).await {
            Err(error) if error.reason() == Some("NotFound") => tokio::time::sleep(BETWEEN).await,
            found => return Ok(found?["data"]["kubeconfig"].as_str().unwrap_or_default().to_owned()),
        }
    }
    Err(Error::said(
        "the cluster does not say where other machines find it, in the ConfigMap kube-public/cluster-info: its API server \
         listens only at addresses of its own machine (start it with --listen 0.0.0.0:6443), or its controllers do not run",
    ))
}

/// Where machines join, by the address in one's own kubeconfig and by what the cluster tells strangers.
fn place(own: Option<&str>, told: &str) -> Result<Place, String> {
    let unusable = || {
        "the ConfigMap kube-public/cluster-info has no kubeconfig with a server and its authority: delete it, and the \
         controllers make it anew"
            .to_owned()
    };
    let config = Kubeconfig::from_yaml(told).map_err(|_| unusable())?;
    let cluster = config.clusters.into_iter().find_map(|named| named.cluster).ok_or_else(unusable)?;
    let pem = cluster.certificate_authority_data.and_then(|data| STANDARD.decode(data).ok()).ok_or_else(unusable)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).flatten();
    let hashes: Vec<String> = certificates.filter_map(|certificate| authority_hash(&certificate)).collect();
    let own = own.filter(|url| is_for_others(url)).map(str::to_owned);
    let url = own.or(cluster.server).filter(|url| !url.is_empty()).ok_or_else(unusable)?;
    if hashes.is_empty() {
        return Err(unusable());
    }
    Ok(Place { url: url.trim_end_matches('/').to_owned(), hashes })
}

/// Whether a URL means the same on other machines.
fn is_for_others(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some(host) = uri.host().filter(|_| uri.scheme_str() == Some("https")) else { return false };
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => !ip.is_loopback() && !ip.is_unspecified(),
        Err(_) => host != "localhost" && !host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: &str = include_str!("../../authority_hash/authority.pem");
    const HASH: &str = include_str!("../../authority_hash/hash.txt");

    fn told(server: &str, authority: &str) -> String {
        let authority = STANDARD.encode(authority);
        format!("clusters: [{{name: '', cluster: {{server: '{server}', certificate-authority-data: {authority}}}}}]")
    }

    #[test]
    fn machines_are_told_an_address_that_they_reach() {
        let told = told("https://192.0.2.1:6443", AUTHORITY);
        let check = |own: Option<&str>, expected: &str| {
            let line = place(own, &told).unwrap().line("abcdef.0123456789abcdef");
            let expected = format!("gantry join {expected} --token abcdef.0123456789abcdef --ca-hash {}", HASH.trim());
            assert_eq!(line, expected);
        };
        check(None, "https://192.0.2.1:6443");
        for own in [
            "https://127.0.0.1:6443/",
            "https://127.0.1.1:6443",
            "https://[::1]:6443",
            "https://localhost:6443",
            "https://0.0.0.0:6443",
            "http://203.0.113.1:8080",
            "nonsense",
        ] {
            check(Some(own), "https://192.0.2.1:6443");
        }
        check(Some("https://203.0.113.1:6443/"), "https://203.0.113.1:6443");
        check(Some("https://cluster.example/"), "https://cluster.example");
        check(Some("https://[2001:db8::1]:6443/"), "https://[2001:db8::1]:6443");
    }

    #[test]
    fn every_authority_is_named() {
        let two = told("https://192.0.2.1:6443", &format!("{AUTHORITY}{AUTHORITY}"));
        assert_eq!(place(None, &two).unwrap().hashes, [HASH.trim(), HASH.trim()]);
    }

    #[test]
    fn what_says_too_little_is_refused() {
        for told in ["", "{", "clusters: []", &told("", AUTHORITY), &told("https://192.0.2.1", "")] {
            let error = place(None, told).unwrap_err();
            assert!(error.contains("kube-public/cluster-info"), "{error}");
        }
    }
}
