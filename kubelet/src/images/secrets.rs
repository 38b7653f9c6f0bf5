//! The Secrets that a pod names for pulling its images (`imagePullSecrets`).

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client};

use super::credentials::{CredentialsError, Keyring};

/// Those that could be read, and the names of those that could not.
#[derive(Debug, Default)]
pub(super) struct PullSecrets {
    read: Vec<Secret>,
    missing: Vec<String>,
}

/// Reads a pod's Secrets. They are read anew for each pull: pulls are rare, and what is not kept cannot leak.
pub(super) async fn of(client: &Client, pod: &Pod) -> PullSecrets {
    let mut secrets = PullSecrets::default();
    let named = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    let names: Vec<&str> = named.map(|reference| reference.name.as_str()).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return secrets;
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for name in names {
        match api.get(name).await {
            Ok(secret) => secrets.read.push(secret),
            Err(error) => {
                tracing::info!(namespace, name, %error, "a pull secret could not be read");
                secrets.missing.push(name.to_owned());
            }
        }
    }
    secrets
}

impl PullSecrets {
    /// What is said of Secrets that could not be read, if there are any.
    pub(super) fn unreadable(&self) -> Option<String> {
        let names = self.missing.join(", ");
        let message = format!(
            "Unable to retrieve some image pull secrets ({names}); attempting to pull the image may not succeed."
        );
        (!self.missing.is_empty()).then_some(message)
    }

    /// The credentials in them.
    pub(super) fn keyring(&self) -> Result<Keyring, CredentialsError> {
        Keyring::of(&self.read)
    }
}
