//! What the server sees of the agent.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::Value;

use crate::observed::RuntimePod;

/// What the agent knows, as it knows it now. None of it waits for anything.
pub trait View: Send + Sync + 'static {
    /// The pods that the node is to run, with the newest status that the agent has of them. A static pod is seen as its
    /// mirror.
    fn pods(&self) -> Vec<Arc<Pod>>;

    /// The pod of a name.
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.pods().into_iter().find(|pod| {
            pod.metadata.name.as_deref() == Some(name) && pod.metadata.namespace.as_deref() == Some(namespace)
        })
    }

    /// What the runtime has of a pod, by the uid that [`View::pods`] shows it with.
    fn runtime(&self, uid: &str) -> Option<Arc<RuntimePod>>;

    /// Whether the agent does its work: otherwise what is wrong, for `/healthz/syncloop`.
    fn healthy(&self) -> Result<(), String> {
        Ok(())
    }

    /// How the agent is configured, as a `KubeletConfiguration` (`kubelet.config.k8s.io/v1beta1`), for `/configz`.
    fn configuration(&self) -> Value {
        Value::Null
    }
}

/// What a pod's spec says of a container of any role: what is started first comes last, as in upstream's order. Only the
/// fields that containers of all roles have are looked at here.
pub(super) fn container_of(pod: &Pod, name: &str) -> Option<Described> {
    let spec = pod.spec.as_ref()?;
    let main = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let described = |container: &Container| Described { tty: container.tty == Some(true) };
    if let Some(container) = main.into_iter().find(|container| container.name == name) {
        return Some(described(container));
    }
    let ephemeral = spec.ephemeral_containers.iter().flatten().find(|container| container.name == name)?;
    Some(Described { tty: ephemeral.tty == Some(true) })
}

/// What the server needs of a container's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// Whether its first process has a terminal.
    pub(super) tty: bool,
}
