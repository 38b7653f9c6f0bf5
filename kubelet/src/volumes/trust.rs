//! The certificates that pods are to trust (`clusterTrustBundle` in projected volumes).
//!
//! Bundles are asked for when they are needed and kept for a while. Those of a signer are put together: each certificate
//! once, in an order that says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::selector::label::from_api;
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::ClusterTrustBundleProjection;
use kube::api::ListParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::problem::said;

/// How long bundles are good for once they were read.
const GOOD: Duration = Duration::from_secs(60);
/// The most selections of bundles that are kept.
const KEPT: usize = 256;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Where bundles are got.
pub(super) struct TrustBundles {
    client: Client,
    kept: Mutex<BTreeMap<String, (Instant, String)>>,
}

impl TrustBundles {
    pub(super) fn new(client: Client) -> TrustBundles {
        TrustBundles { client, kept: Mutex::default() }
    }

    /// The certificates that a projection selects, as PEM.
    ///
    /// # Errors
    /// If there are none and they are not optional, or they cannot be read.
    pub(super) async fn get(&self, projection: &ClusterTrustBundleProjection) -> Result<String, String> {
        let selection = format!("{:?} {:?} {:?}", projection.name, projection.signer_name, projection.label_selector);
        let kept = self.kept.lock().get(&selection).cloned();
        let bundle = match kept {
            Some((at, bundle)) if at.elapsed() < GOOD => bundle,
            kept => {
                let read = timeout(ANSWER, self.read(projection)).await;
                let read = read.unwrap_or_else(|_| Err("the API server does not answer".to_owned()));
                // While it cannot be asked, what it said last goes on being true.
                let bundle = read.or_else(|error| kept.map(|(_, bundle)| bundle).ok_or(error))?;
                self.keep(selection, bundle.clone());
                bundle
            }
        };
        if bundle.is_empty() && projection.optional != Some(true) {
            return Err(match &projection.name {
                Some(name) => format!("clustertrustbundle {name:?} not found"),
                None => "combined trustbundle is empty".to_owned(),
            });
        }
        Ok(bundle)
    }

    fn keep(&self, selection: String, bundle: String) {
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.retain(|_, (at, _)| at.elapsed() < GOOD);
        }
        if kept.len() < KEPT || kept.contains_key(&selection) {
            kept.insert(selection, (Instant::now(), bundle));
        }
    }

    async fn read(&self, projection: &ClusterTrustBundleProjection) -> Result<String, String> {
        let api = Api::<ClusterTrustBundle>::all(self.client.clone());
        if let Some(name) = &projection.name {
            // A node may list and watch them, and nothing else.
            let listed =
                api.list(&ListParams::default().fields(&format!("metadata.name={name}"))).await.map_err(said)?;
            let named = listed.items.iter().filter(|bundle| bundle.metadata.name.as_ref() == Some(name));
            return Ok(combined(named));
        }
        let signer = projection.signer_name.as_deref().ok_or("neither name nor signerName is set")?;
        // No selector selects nothing; an empty one selects all.
        let Some(selector) = &projection.label_selector else { return Ok(String::new()) };
        let selector = from_api(Some(selector))?;
        let params = ListParams::default().fields(&format!("spec.signerName={signer}"));
        let listed = api.list(&params).await.map_err(said)?;
        let no_labels = BTreeMap::new();
        Ok(combined(listed.items.iter().filter(|bundle| {
            bundle.spec.signer_name.as_deref() == Some(signer)
                && selector.matches(bundle.metadata.labels.as_ref().unwrap_or(&no_labels))
        })))
    }
}

/// The certificates of bundles, each once.
fn combined<'a>(bundles: impl IntoIterator<Item = &'a ClusterTrustBundle>) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let mut certificates = BTreeSet::new();
    for bundle in bundles {
        for certificate in bundle.spec.trust_bundle.split(BEGIN).skip(1) {
            let body = certificate.split("-----END").next().unwrap_or_default();
            certificates.insert(body.split_whitespace().collect::<String>());
        }
    }
    let lines = |body: &String| {
        let lines = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
        format!("{BEGIN}\n{lines}\n-----END CERTIFICATE-----\n")
    };
    certificates.iter().map(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_put_together_once() {
        let pem = |body: &str| format!("# a comment\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let bundle = |text: String| {
            let mut bundle = ClusterTrustBundle::default();
            bundle.spec.trust_bundle = text;
            bundle
        };
        let long = "A".repeat(70);
        let (one, two) = (bundle(pem("Bb==") + &pem(&long)), bundle(pem("B\nb==")));
        let expected = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n{}\n-----END CERTIFICATE-----\n\
             -----BEGIN CERTIFICATE-----\nBb==\n-----END CERTIFICATE-----\n",
            "A".repeat(64),
            "A".repeat(6),
        );
        assert_eq!(combined([&one, &two]), expected);
        assert_eq!(combined([]), "");
    }
}
