//! The Service of the cluster's DNS, `kube-system/kube-dns`, by which nodes learn at which address pods are to ask for names.
//!
//! It has no selector: every node answers at that address itself. Whoever wants another DNS gives it one, or replaces it;
//! what is there is left alone. It is made at a start if it is missing.

use api::status::Status;
use serde_json::json;

use super::ask::{Place, unless_conflict};
use crate::engine::Engine;
use crate::request::Verb;
use crate::resources::service::Config;

const NAME: &str = "kube-dns";
const SERVICES: Place = Place::of("", "v1", "services").within("kube-system");

impl Engine {
    /// Makes the Service of the cluster's DNS, if there is none. Claims of Services must have been repaired before.
    ///
    /// # Errors
    /// What the store answered. What the rules refuse, such as an address that another Service has, is only logged: the
    /// server serves all the same.
    pub async fn bootstrap_cluster_dns(&self, config: &Config) -> Result<(), Status> {
        match self.ask(SERVICES, Verb::Get, NAME, None).await {
            Err(status) if status.code == 404 => {}
            outcome => return outcome.map(drop),
        }
        let Some(address) = config.dns_address() else {
            tracing::warn!("the range of Services has no tenth address: there is no Service {NAME}");
            return Ok(());
        };
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": NAME, "labels": {
                "k8s-app": NAME, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
            }},
            "spec": {
                "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ipFamilyPolicy": "SingleStack",
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                ],
            },
        });
        match unless_conflict(self.ask(SERVICES, Verb::Create, "", Some(&service)).await) {
            Err(status) if status.code < 500 => {
                tracing::warn!(why = status.message, "the cluster's DNS has no Service {NAME} in kube-system");
                Ok(())
            }
            outcome => outcome,
        }
    }
}
