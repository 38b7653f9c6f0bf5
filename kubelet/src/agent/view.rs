//! What the server sees of the agent.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::Agent;
use super::pods::Origin;
use crate::observed::RuntimePod;
use crate::server::View;

impl View for Agent {
    fn pods(&self) -> Vec<Arc<Pod>> {
        let wanted = self.pods.all().into_iter().filter(|entry| entry.origin != Origin::Runtime);
        wanted.map(|entry| entry.with_status()).collect()
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.pods.named(namespace, name).map(|entry| entry.with_status())
    }

    fn runtime(&self, uid: &str) -> Option<Arc<RuntimePod>> {
        Some(Arc::clone(&self.pods.get(uid)?.seen.lock().runtime))
    }

    fn configuration(&self) -> Value {
        self.configuration.clone()
    }

    fn healthy(&self) -> Result<(), String> {
        self.pulse.problem().map_or(Ok(()), Err)
    }
}
